"""What has to change in a step: right-hand sides that are due, told apart from all that merely has to stay.

A right-hand side is *due* in a step where all operands of its node show a value in the state that enters it, and it
does not show the result yet: one synchronous step of the algorithm (:mod:`interp.oracle_step`) writes a value there
that was not there. Everything else has to become what the algorithm makes of it, which is nearly always what it is.
Copying the text is most of all transitions, so a share of all of them says little: the identity map, which never
changes anything, has a high one. Of what is due it writes nothing, and is the control (:func:`unchanged`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from interp.codebook.codes import CodeUsage
from models.vocabulary import EMPTY


@dataclass(frozen=True)
class DueWrites:
    """Counts over all steps.

    Attributes:
        due: right-hand sides that are due. written: those of them that get the value the algorithm writes.
        others: all other symbols, of every factor. changed: those of them that do not become what the algorithm makes
            of them.
    """

    due: int
    written: int
    others: int
    changed: int

    @property
    def share(self) -> float:
        """Of what is due, how much is written; nan where nothing is."""
        return self.written / self.due if self.due else float("nan")

    @property
    def changed_share(self) -> float:
        """Of all else, how much is not what the algorithm makes of it; nan where there is nothing else."""
        return self.changed / self.others if self.others else float("nan")


def due_writes(usage: CodeUsage) -> DueWrites:
    """Count what is due and what becomes of it.

    Raises:
        ValueError: codes without the oracle's answers, or of tokens whose role is not known.

    Examples:
        >>> from interp import code_usage, due_writes
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> due_writes(code_usage(model, graph))
        DueWrites(due=3, written=3, others=153, changed=0)
    """
    if usage.expected is None or "role" not in usage.tokens:
        raise ValueError("what is due is known from the oracle and the tokens' roles; these codes lack them")
    before, after, expected = usage.codes[:-1], usage.codes[1:], usage.expected
    value = usage.factors.index("value")
    empty = usage.symbols["value"].index(EMPTY)
    due = np.zeros(before.shape, bool)
    due[..., value] = (
        (usage.tokens["role"] == "rhs")
        & (expected[..., value] != before[..., value])
        & (expected[..., value] != empty)
    )
    right: Any = after == expected
    return DueWrites(
        due=int(due.sum()),
        written=int((due & right).sum()),
        others=int((~due).sum()),
        changed=int((~due & ~right).sum()),
    )


def unchanged(usage: CodeUsage) -> DueWrites:
    """The same of the identity map: every state of the run followed by itself. Raises as :func:`due_writes`."""
    if usage.expected is None:
        return due_writes(usage)
    steps = [
        due_writes(replace(usage, codes=usage.codes[[t, t]], expected=usage.expected[t : t + 1]))
        for t in range(len(usage.expected))
    ]
    return DueWrites(
        *(sum(getattr(step, name) for step in steps) for name in ("due", "written", "others", "changed"))
    )
