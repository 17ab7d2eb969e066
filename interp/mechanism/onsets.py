"""What a model has learnt by when: measures of every snapshot of a training run, and when each of them appears.

A measure *appears* at the first snapshot from which on it stays at or above half-way between its lowest value and its
last (its start need not be its lowest: heads may be born looking somewhere). Between that snapshot and the one before,
the step is interpolated on a log scale. What differs by less than one snapshot's distance is not ordered by this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.fourier_analysis.characters import with_characters
from interp.fourier_analysis.fourier import fourier
from interp.mechanism.attention_roles import DETECTED, ROLES, attention_targets
from interp.mechanism.variances import PLACES
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

Floats = NDArray[np.float64]
WORDS: Final[Mapping[str, str]] = {
    **{f"name:{place}": f"a head looks at the {place} operand's name" for place in PLACES},
    **{f"value:{place}": f"a head looks up the {place} operand's value" for place in PLACES},
    "previous_token_head": "previous-token score of the best head",
    "induction_head": "induction score of the best head",
    "fourier:single": "MLP neurons: energy at each one's own frequency",
    "fourier:diagonal": "last residual stream: energy on the diagonal",
    **{
        f"right:{k}": f"computing nodes of {k} operand{'s' * (k > 1)} right after one step" for k in (1, 2, 3)
    },
    "committed": "nodes that commit to their true value at their depth",
    "solved": "graphs solved completely",
}
"""What each measure is; all are shares from 0 to 1."""


@one_line
@dataclass(frozen=True, eq=False)
class TrainingDynamics:
    """Measures of every snapshot.

    Attributes:
        steps: int [snapshot], training steps done.
        measures: name (:data:`WORDS`) -> float [snapshot].
        graphs: how many graphs each snapshot was run on.
    """

    steps: NDArray[np.int64]
    measures: Mapping[str, Floats]
    graphs: int

    def onset(self, name: str) -> float:
        """Training step at which a measure appears; nan where it does not rise by 0.1 over its lowest value."""
        return onset(self.steps, self.measures[name])

    def onsets(self) -> pd.DataFrame:
        """A line a measure, the first to appear first: ``measure, what, onset, before, after, lowest, end``.

        ``before`` and ``after`` are the training steps of the two snapshots between which it appears.
        """
        rows: list[dict[str, Any]] = []
        for name, values in self.measures.items():
            at = _first_for_good(values)
            rows.append(
                {
                    "measure": name,
                    "what": WORDS[name],
                    "onset": self.onset(name),
                    "before": None if at is None or at == 0 else int(self.steps[at - 1]),
                    "after": None if at is None else int(self.steps[at]),
                    "lowest": float(values.min()),
                    "end": float(values[-1]),
                }
            )
        return cast(Any, pd.DataFrame(rows)).sort_values("onset", na_position="last", ignore_index=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingDynamics:
        """Of ``steps``, ``measures`` and ``graphs`` as plain values.

        Raises:
            ValueError: keys or measures that are missing or unknown, or of another length than the steps.
        """
        missing = [name for name in ("steps", "measures", "graphs") if name not in data]
        if missing:
            raise ValueError(f"there is no {', '.join(missing)}; needed are steps, measures and graphs")
        steps = np.array(data["steps"], np.int64)
        measures = {str(name): np.array(values, np.float64) for name, values in data["measures"].items()}
        wrong = [
            name for name, values in measures.items() if name not in WORDS or values.shape != steps.shape
        ]
        if wrong:
            raise ValueError(
                f"measures {', '.join(wrong)}; allowed: those of interp.mechanism.onsets.WORDS, "
                f"a value a step ({len(steps)})"
            )
        return cls(steps, measures, int(data["graphs"]))

    def to_frame(self) -> pd.DataFrame:
        """Columns ``step, measure, value``."""
        rows = [
            {"step": int(step), "measure": name, "value": float(value)}
            for name, values in self.measures.items()
            for step, value in zip(self.steps, values, strict=True)
        ]
        return pd.DataFrame(rows)


def onset(steps: NDArray[np.int64], values: Floats) -> float:
    """The step at which ``values`` [snapshot] pass half of their rise for good; nan for a rise below 0.1."""
    at = _first_for_good(values)
    if at is None:
        return float("nan")
    if at == 0:
        return float(steps[0])
    half = half_way(values)
    share = float(half - values[at - 1]) / float(values[at] - values[at - 1])
    low, high = float(np.log(float(steps[at - 1]))), float(np.log(float(steps[at])))
    return float(np.exp(low + share * (high - low)))


def half_way(values: Floats) -> float:
    """Half-way between the lowest value and the last."""
    return float(values.min() + values[-1]) / 2


def _first_for_good(values: Floats) -> int | None:
    if not values[-1] - values.min() >= 0.1:
        return None
    below = np.flatnonzero(values < half_way(values))
    return int(below[-1]) + 1 if len(below) else 0


def training_dynamics(
    snapshots: Sequence[tuple[int, RecurrentTransformer]] | Iterator[tuple[int, RecurrentTransformer]],
    graphs: Sequence[ComputationGraph],
) -> TrainingDynamics:
    """Measure snapshots (training step, model in evaluation mode) of one run, in order, on the same graphs.

    Raises:
        ValueError: no snapshot or graph, or steps that do not rise.
    """
    steps: list[int] = []
    found: dict[str, list[float]] = {}
    for step, model in snapshots:
        if steps and step <= steps[-1]:
            raise ValueError(f"snapshot of step {step} after one of step {steps[-1]}; allowed: rising steps")
        steps.append(step)
        for name, value in measure(model, graphs).items():
            found.setdefault(name, []).append(value)
    if not steps:
        raise ValueError("there is no snapshot; at least one is needed")
    return TrainingDynamics(np.array(steps), {name: np.array(v) for name, v in found.items()}, len(graphs))


@torch.no_grad()
def measure(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> dict[str, float]:
    """All measures of one model: name (:data:`WORDS`) -> share. Those of Fourier are of its first operation that has
    characters, and left out where none has.
    """
    targets = attention_targets(model, graphs)
    mass = np.nan_to_num(targets.over_steps(targets.mass))
    detected = np.nan_to_num(targets.detected).mean(1)
    found = {
        role: float(mass[ROLES.index(role)].max()) for role in ROLES if role.startswith(("name:", "value:"))
    }
    for name in ("previous_token_head", "induction_head"):
        found[name] = float(detected[DETECTED.index(name)].max())
    for operation in with_characters(model.vocabulary.ops)[:1]:
        spectra = fourier(
            model, operation, 2, at=("mlp_post", "mlp_out", "resid_post"), control=False, draws=2
        )
        found["fourier:single"] = spectra.neurons(spectra.main_layer).single_frequency_share
        found["fourier:diagonal"] = spectra.site(
            f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
        ).diagonal_share
    return found | _accuracies(model, graphs)


def _accuracies(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> dict[str, float]:
    """Right nodes after one step from the true state before it, by operands; and what becomes of whole runs."""
    encoded = model.to_encoded(graphs)
    is_node = encoded.rhs >= 0
    width = (encoded.operand_nodes >= 0).sum(-1)
    rows = torch.arange(len(graphs))[:, None]
    rhs = encoded.rhs.clamp_min(0)
    right = torch.zeros_like(is_node)
    deepest = int(encoded.depths.max())
    for step in range(1, deepest + 1):
        state = encoded.factors.clone()
        known = is_node & (encoded.depths < step)
        batch, node = known.nonzero(as_tuple=True)
        state[batch, rhs[batch, node], 3] = encoded.values[batch, node]
        written = model.discretise(model.transition(state.to(model.W_E.device), step)).cpu()[rows, rhs, 3]
        right |= is_node & (encoded.depths == step) & (written == encoded.values)
    found = {f"right:{k}": float(right[(width == k) & is_node].double().mean()) for k in (1, 2, 3)}
    run = model.run(graphs, n_steps=deepest + 1)
    shown, steps = run.right[1:], torch.arange(deepest + 1)[:, None, None]  # [step, batch, node]
    committed = (shown | (steps < encoded.depths)).all(0)[is_node]
    return found | {
        "committed": float(committed.double().mean()),
        "solved": float(run.fully_solved.double().mean()),
    }
