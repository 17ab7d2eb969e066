"""The preset `staged`: how each method is trained on one core, in phases that end by accuracy.

What keeps methods from learning the task is fetching operands, not adding them, and most of the paper's methods give
too little signal for it (a state of a real run has few nodes that compute). So there is a first stage that belongs
to no method, `lookup`, and the methods go on from its weights with their own objectives.

That stage's attention is lost again if sums are trained on as they are: as long as nothing can be made of the operands,
finding them has no gradient but noise. So a method's first phase keeps the attention (`kept`) and trains the rest on
graphs of depth 1, until sums of two are right; then everything is trained. The last phase is the paper's training
distribution: 8 to 32 nodes, depth at most 6, one to three operands alike.

A model that passes on its hidden state cannot read what it wrote, at first: the hidden state is no embedding of
anything. So `continuous` has a second stage, `aligned`: single steps, the hidden state pulled to the embedding of the
state that follows. `recurrent` and `feedforward`, of which only the end is supervised, go on from `continuous`. Chain
of thought, whose text is another, has a first stage of its own, `lookup-text`; its attention is not kept.
"""

from __future__ import annotations

from typing import Any

from models.training.curriculum import Phase

SHARED = "shared"
"""The bundled checkpoint of the first stage: `recurlens train --method lookup --preset staged --minutes 10`."""
SHARED_TEXT = "shared-text"
"""That of chain of thought: `recurlens train --method lookup-text --preset staged --minutes 10`."""
ALIGNED = "aligned"
"""The bundled checkpoint from which the methods without a bottleneck go on: `recurlens train --method aligned --preset
staged --minutes 12`."""

_FULL: dict[str, Any] = {"name": "full", "sizes": (8, 32), "leaves": (6, 6), "most_skew": 0.0}


def kept(n_layers: int) -> tuple[str, ...]:
    """Names of the parameters that find operands, in a stack of the first stage's two layers repeated: all of the
    layers that copy names, and what the others' attention patterns depend on."""
    names: list[str] = []
    for layer in range(0, n_layers, 2):
        found = f"blocks.{layer + 1}."
        attention = (f"{found}attn.{part}" for part in ("W_Q", "W_K", "b_Q", "b_K", "pos"))
        names += [f"blocks.{layer}.", f"{found}ln1", *attention]
    return tuple(names)


def _shallow(depth: int, **changes: Any) -> Phase:
    """Graphs of at most this depth, most nodes with three operands."""
    settings: dict[str, Any] = {
        "name": f"depth {depth}",
        "sizes": (7, 6 + 3 * depth),
        "leaves": (4, 6),
        "operand_weights": (1, 1, 4),
        "max_depth": depth,
        "gated": (2, 3),
        "gate": 0.65,
        "skew_step": 0.00075,
        "leave_at": 0.95,
    }
    return Phase(**settings | changes)


_SUMS = (
    _shallow(
        1,
        name="sums of two",
        sizes=(12, 20),
        operand_weights=(1, 3, 2),
        frozen=kept(2),
        most_skew=0.0,
        leave_on=(2,),
        leave_at=0.9,
        first_step=1,
        tokens=2900,
    ),
    _shallow(2, name="sums of three", gated=(3,), begin_skew=0.6, first_step=1, tokens=2900),
)
"""Single transitions: sums of two with the attention kept, then sums of three."""

_TRANSITIONS = (*_SUMS, Phase(**_FULL, tokens=3200, attention_noise=1.0))

_UNROLLED = (
    _shallow(2, name="unrolled 2", most_skew=0.0, tokens=1300, latest=0.32),
    _shallow(3, name="unrolled 3", operand_weights=(1, 1, 2), tokens=1300, latest=0.5),
    Phase(**_FULL, tokens=1400),
)


_LOOKUP = Phase(
    name="lookup", sizes=(5, 10), leaves=(3, 4), operand_weights=(1, 1, 4), tokens=2900, skew_step=0.0
)
_COPIES = Phase(
    name="copies",
    sizes=(5, 8),
    leaves=(2, 4),
    operand_weights=(1, 0, 0),
    tokens=900,
    most_skew=0.0,
    leave_on=(1,),
    leave_at=0.9,
)


_WRITTEN = (
    _shallow(2, name="sums", gated=(2,), skew_step=0.001, tokens=1500, leave_at=0.9),
    Phase(**_FULL, tokens=1600),
)

_END_ONLY = (
    _shallow(1, tokens=1000, leave_at=0.97),
    _shallow(2, tokens=1000, operand_weights=(1, 1, 2), leave_at=0.97),
    _shallow(3, tokens=1000, operand_weights=(1, 1, 1), leave_at=0.97),
    _shallow(4, tokens=1000, operand_weights=(1, 1, 1), leave_at=0.97),
    Phase(**_FULL, tokens=1200),
)

MODELS: dict[str, dict[str, Any]] = {}
"""Model settings of the methods whose model differs."""

SETTINGS: dict[str, dict[str, Any]] = {
    "lookup": {"phases": (_LOOKUP,), "skew": 0.5, "decay": 0.0},
    "lookup-text": {
        "phases": (_COPIES, _LOOKUP.model_copy(update={"tokens": 1500, "begin_skew": 0.5})),
        "decay": 0.0,
    },
    "discrete": {"start": SHARED, "phases": _TRANSITIONS},
    "discrete-corrected": {"start": SHARED, "phases": _TRANSITIONS},
    "aligned": {
        "start": SHARED,
        "phases": _SUMS,
        "clip": 0.5,
    },
    "continuous": {
        "start": ALIGNED,
        "phases": _UNROLLED,
        "learning_rate": 5e-4,
        "clip": 0.5,
        "extra_steps": 5,
    },
    "recurrent": {"start": "continuous", "phases": _END_ONLY, "learning_rate": 5e-4, "clip": 0.5},
    "feedforward": {"start": "continuous", "phases": _END_ONLY, "learning_rate": 5e-4},
    "chain-of-thought": {"start": SHARED_TEXT, "phases": _WRITTEN, "skew": 0.6, "learning_rate": 1.5e-3},
}
"""What a method adds to the preset, or changes in it. The rates come from single pilots; on the small task half
of them and twice were tried as well (`analyses.rates`)."""
