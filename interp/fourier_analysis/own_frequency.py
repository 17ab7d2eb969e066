"""The causal test within each neuron: only its own frequency is kept, or taken out, and the answers are scored.

Every neuron of a layer has a frequency of its own, the one with most of its energy over all operand tuples (cells whose
k are all 0 or +-a, see `spectrum`); no threshold says which neurons count, all do. What is written
back in place of a neuron's activation:

    own kept        its mean and the component of its own frequency
    own removed     all but that component
    other kept      its mean and the component of another frequency, drawn for each neuron, again and again
    other removed   all but that one
    own weakened    as own kept, but where the component has more energy than all the rest of the neuron, with as much
                    as that: own removed is the rest, so these two have equal energy
    evenly          the energy of the own component taken out, but of all alike: the variation made smaller as a whole

All but the first two are controls; another frequency holds less energy, the last two as much. A model that adds by
Fourier answers right with the own component alone and not with another, and is lost without the own one and not
without another. Where neurons answer to pairs of values, as in a table, or to one value of a sum that is ready-made,
all frequencies are alike: the controls do as well, or as badly, and :attr:`carries` says no.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.characters import Characters
from interp.fourier_analysis.neuron_rerun import NeuronRun, Score, neuron_run
from interp.fourier_analysis.operand_tuples import OperandGrid
from interp.fourier_analysis.spectrum import frequency_energy
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]


@one_line
@dataclass(frozen=True, eq=False)
class OwnFrequency:
    """Answers with parts of every neuron's variation.

    Attributes:
        layer: block. operations: of the equation. n_operands: how many of its operands vary.
        own: int [neuron], the frequency of each.
        energy_share: of the layer's energy that the own components hold, weakened_share: when weakened; other_share:
            float [draw], the others.
        full: score of the model as it is. own_kept, own_removed, own_weakened, evenly: as the module says.
        other_kept, other_removed: one score a draw.
    """

    layer: int
    operations: tuple[str, ...]
    n_operands: int
    own: NDArray[np.int64]
    energy_share: float
    weakened_share: float
    other_share: NDArray[np.float64]
    full: Score
    own_kept: Score
    own_removed: Score
    own_weakened: Score
    evenly: Score
    other_kept: tuple[Score, ...]
    other_removed: tuple[Score, ...]

    @property
    def kept_chance(self) -> float:
        """Share of right answers with another frequency kept, mean over draws."""
        return float(np.mean([score.accuracy for score in self.other_kept]))

    @property
    def removed_chance(self) -> float:
        """Share of right answers with another frequency removed, mean over draws."""
        return float(np.mean([score.accuracy for score in self.other_removed]))

    @property
    def carries(self) -> bool:
        """Whether own frequencies carry the answer: at least half of the answers that are right as the model is are so
        with them alone, less than half without them; another frequency alone gives less than half as many as the own
        one; and without the own one fewer than half as many are right as without another, with the own one weakened to
        that energy, and with that energy taken out evenly.
        """
        half, lost = self.full.accuracy / 2, 2 * self.own_removed.accuracy
        return (
            self.own_kept.accuracy >= half > self.own_removed.accuracy
            and 2 * self.kept_chance < self.own_kept.accuracy
            and lost < min(self.removed_chance, self.own_weakened.accuracy, self.evenly.accuracy)
        )

    def verdict(self) -> str:
        """One sentence, without capital and full stop: what is answered right with the own frequency and without."""
        operations = " and ".join(dict.fromkeys(self.operations))
        return (
            f"with every neuron of layer {self.layer} reduced to its own frequency {self.own_kept.accuracy:.1%} of the "
            f"operand tuples of {operations} are answered right (to another frequency {self.kept_chance:.1%}), with "
            f"that taken out {self.own_removed.accuracy:.1%} (another taken out {self.removed_chance:.1%}; at equal "
            f"energy: taken out of all alike {self.evenly.accuracy:.1%}, the own one alone but weakened "
            f"{self.own_weakened.accuracy:.1%}), as the model is {self.full.accuracy:.1%}"
        )

    def to_frame(self) -> pd.DataFrame:
        """A row for what is ``kept``, ``removed`` or ``weakened``: columns ``layer, part, whose, draw, accuracy, loss,
        energy_share`` (of the layer's energy that the component holds); ``draw`` is -1 where nothing is drawn.
        """
        rows: list[tuple[str, str, int, Score, float]] = [("as it is", "", -1, self.full, 1.0)]
        for part, own, others in (
            ("kept", self.own_kept, self.other_kept),
            ("removed", self.own_removed, self.other_removed),
        ):
            rows.append((part, "own", -1, own, self.energy_share))
            for draw, (score, share) in enumerate(zip(others, self.other_share.tolist(), strict=True)):
                rows.append((part, "another", draw, score, share))
        rows.append(("weakened", "own", -1, self.own_weakened, self.weakened_share))
        rows.append(("removed", "evenly", -1, self.evenly, self.energy_share))
        return pd.DataFrame(
            {
                "layer": self.layer,
                "part": [row[0] for row in rows],
                "whose": [row[1] for row in rows],
                "draw": [row[2] for row in rows],
                "accuracy": [row[3].accuracy for row in rows],
                "loss": [row[3].loss for row in rows],
                "energy_share": [row[4] for row in rows],
            }
        )

    def figure(self, width: int = 720) -> go.Figure:
        """:func:`interp.fourier_analysis.own_frequency_figure.own_frequency_figure`."""
        from interp.fourier_analysis.own_frequency_figure import own_frequency_figure

        return own_frequency_figure(self, width)


def own_frequency(run: NeuronRun, draws: int = 8, seed: int = 0) -> OwnFrequency:
    """Keep and remove every neuron's own frequency, and another for control.

    Raises:
        ValueError: no draws, or characters with one frequency only.
    """
    characters = run.grid.characters
    count = len(characters.frequencies)
    if draws < 1 or count < 2:
        raise ValueError(f"draws={draws}, {count} frequencies; allowed: 1 draw or more, and 2 frequencies")
    energy = frequency_energy(run.neurons, characters).astype(np.float64)
    own = 1 + energy.argmax(1)
    mean = run.neurons.mean(tuple(range(run.neurons.ndim - 1)), dtype=np.float64).astype(np.float32)
    total = np.square(run.neurons - mean).mean(tuple(range(run.neurons.ndim - 1)), dtype=np.float64)
    rng = np.random.default_rng(seed)

    def held(frequency: NDArray[np.int64]) -> NDArray[np.float64]:
        return energy[np.arange(len(frequency)), frequency - 1]

    def scores(frequency: NDArray[np.int64]) -> tuple[Score, Score]:
        part = component(run.neurons, characters, frequency)
        return run.score_with(mean + part), run.score_with(run.neurons - part)

    others = [1 + (own - 1 + rng.integers(1, count, len(own))) % count for _ in range(draws)]
    drawn = [scores(frequency) for frequency in others]
    kept, removed = scores(own)
    rest = np.maximum(total - held(own), 0)
    weaker = np.sqrt(_ratio(np.minimum(held(own), rest), held(own)))
    smaller = np.sqrt(_ratio(rest, total))
    part = component(run.neurons, characters, own)
    whole = float(total.sum()) or 1.0
    return OwnFrequency(
        layer=run.layer,
        operations=characters.operations,
        n_operands=characters.n_operands,
        own=own,
        energy_share=float(held(own).sum()) / whole,
        weakened_share=float(np.minimum(held(own), rest).sum()) / whole,
        other_share=np.array([float(held(frequency).sum()) / whole for frequency in others]),
        full=run.score(run.logits),
        own_kept=kept,
        own_removed=removed,
        own_weakened=run.score_with((mean + part * weaker).astype(np.float32)),
        evenly=run.score_with((mean + (run.neurons - mean) * smaller).astype(np.float32)),
        other_kept=tuple(one for one, _ in drawn),
        other_removed=tuple(one for _, one in drawn),
    )


def own_in_layers(
    model: RecurrentTransformer, grid: OperandGrid, layers: Sequence[int], draws: int = 8, seed: int = 0
) -> tuple[OwnFrequency, ...]:
    """:func:`own_frequency` of each of the layers.

    Raises:
        ValueError: no layers, or one that the model does not have.
    """
    if not layers:
        raise ValueError(f"there are no layers to look at; allowed are those of 0..{model.cfg.n_layers - 1}")
    return tuple(own_frequency(neuron_run(model, grid, layer), draws, seed) for layer in layers)


def most_carried(found: Sequence[OwnFrequency]) -> OwnFrequency:
    """The layer whose own frequencies carry most: whose removal costs most beside that of others."""
    return max(found, key=lambda one: one.removed_chance - one.own_removed.accuracy)


def component(
    activations: NDArray[np.float32], characters: Characters, frequency: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The part of activations [axis 1, ..., axis n, unit] in the cells whose k are all 0 or +-a, DC left out; int
    [unit] ``frequency`` has the a of every unit.
    """
    result = np.zeros_like(activations)
    axes = tuple(range(activations.ndim - 1))
    for a in characters.frequencies:
        units = np.flatnonzero(frequency == a)
        if not units.size:
            continue
        rows = characters.basis[[0, *characters.basis_rows(a)]]
        projector = (rows.T @ rows).astype(activations.dtype)
        chosen = activations[..., units]
        part = chosen - chosen.mean(
            axes, keepdims=True
        )  # else rounding of a large mean would look like variation
        for axis in axes:
            part = np.moveaxis(np.tensordot(projector, part, (1, axis)), 0, axis)
        result[..., units] = part
    return result


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
