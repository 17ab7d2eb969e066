"""The preset `mini`: all six methods on a task that a laptop trains in an evening, three seeds each.

Modulus 7, one or two operands, 64 variables; two layers of 64 (eight heads of 16, MLP 256), 0.14 million weights.
Training graphs have 6 to 16 nodes, four leaves and depth at most 5; tests go to 64 nodes. Methods are trained as in the
preset `staged` (`models.training.stages`): phases that accuracy ends, from a first stage that looks operands up.
"""

from __future__ import annotations

from typing import Any

from models.training.curriculum import Phase
from models.training.stages import kept

MINUTES = 6.0
STAGES = {"lookup": 0.25, "lookup-text": 0.3, "aligned": 0.2}
"""The first stages, and the share of a method's minutes that each takes. Every seed has its own."""
BEFORE = {
    "aligned": ("lookup",),
    "chain-of-thought": ("lookup-text",),
    "discrete": ("lookup",),
    "discrete-corrected": ("lookup",),
    "continuous": ("lookup", "aligned"),
    "recurrent": ("lookup", "aligned"),
    "feedforward": ("lookup", "aligned"),
}
"""Method -> the stages that come before it, first to last."""
MODULUS, LARGEST, LEAVES, MAX_OPERANDS = 7, 64, 4, 2

MODEL: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 64,
    "n_heads": 8,
    "d_head": 16,
    "d_mlp": 256,
    "n_variables": LARGEST,
    "modulus": MODULUS,
    "positions": "relative_bias",
    "position_window": 16,
    "attention_scale": "log",
    "embed_std": 0.1,
}
MODELS: dict[str, dict[str, Any]] = {}
VALIDATION: dict[str, Any] = {
    "validation_sizes": (8, 16, 64),
    "validation_graphs": 64,
    "validate_minutes": 1.0,
}

_FULL: dict[str, Any] = {
    "name": "full",
    "sizes": (6, 16),
    "leaves": (LEAVES, LEAVES),
    "operand_weights": (1, 1, 0),
    "max_depth": 5,
    "most_skew": 0.0,
}


def _shallow(depth: int, **changes: Any) -> Phase:
    """Graphs of at most this depth, most nodes with two operands."""
    settings: dict[str, Any] = {
        "name": f"depth {depth}",
        "sizes": (6, 6 + 2 * depth),
        "leaves": (3, LEAVES),
        "operand_weights": (1, 3, 0),
        "max_depth": depth,
        "gated": (2,),
        "leave_on": (1, 2),
        "gate": 0.65,
        "skew_step": 0.002,
        "leave_at": 0.95,
    }
    return Phase(**settings | changes)


_SUMS = _shallow(
    1,
    name="sums",
    sizes=(8, 12),
    operand_weights=(1, 4, 0),
    frozen=kept(MODEL["n_layers"]),
    most_skew=0.0,
    leave_on=(2,),
    leave_at=0.9,
    first_step=1,
    tokens=1500,
)
_TRANSITIONS = (_SUMS, Phase(**_FULL, tokens=2000, attention_noise=1.0))
_UNROLLED = (_shallow(2, name="unrolled 2", tokens=1300), Phase(**_FULL, tokens=1400))
_END_ONLY = (
    _shallow(1, tokens=1000, leave_at=0.97),
    _shallow(2, tokens=1000, leave_at=0.97),
    _shallow(3, tokens=1000, leave_at=0.97),
    Phase(**_FULL, tokens=1200),
)
_SMALL: dict[str, Any] = {
    "sizes": (5, 8),
    "leaves": (3, LEAVES),
    "operand_weights": (1, 1, 0),
    "gated": (2,),
    "leave_on": (1, 2),
}

_COPIES = Phase(
    name="copies",
    sizes=(5, 8),
    leaves=(2, LEAVES),
    operand_weights=(1, 0, 0),
    tokens=900,
    most_skew=0.0,
    leave_on=(1,),
    leave_at=0.9,
)
_WRITTEN = (_SUMS.model_copy(update={"latest": 0.5}), Phase(**_FULL, tokens=1600))
"""Of three seeds one had not learned to look up both operands when its first stage ended, and kept attention cannot."""

SETTINGS: dict[str, dict[str, Any]] = {
    "lookup": {
        "phases": (Phase(name="lookup", tokens=1200, skew_step=0.0, **_SMALL),),
        "skew": 0.5,
        "decay": 0.0,
    },
    "lookup-text": {
        "phases": (
            _COPIES,
            Phase(name="lookup", tokens=1200, skew_step=0.0, begin_skew=0.5, **_SMALL),
        ),
        "decay": 0.0,
    },
    "aligned": {
        "phases": (_SUMS, _shallow(2, name="all", first_step=1, tokens=1500)),
        "clip": 0.5,
    },
    "discrete": {"phases": _TRANSITIONS},
    "discrete-corrected": {"phases": _TRANSITIONS},
    "continuous": {
        "phases": _UNROLLED,
        "learning_rate": 5e-4,
        "clip": 0.5,
        "extra_steps": 5,
    },
    "recurrent": {"phases": _END_ONLY, "learning_rate": 5e-4, "clip": 0.5},
    "feedforward": {"phases": _END_ONLY, "learning_rate": 5e-4},
    "chain-of-thought": {"phases": _WRITTEN, "learning_rate": 1.5e-3},
}
"""What a method adds to the preset, or changes in it."""
