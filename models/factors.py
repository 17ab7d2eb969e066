"""The four factors of a position and the symbols that every vocabulary has; no torch is needed to name them."""

from __future__ import annotations

from typing import Final

FACTORS: Final = ("syntax", "variable", "operation", "value")
SYNTAX: Final = ("variable", "operation", "value", "=", "[sep]", "[pad]")
N_A: Final = "N/A"
EMPTY: Final = "EMPTY"
