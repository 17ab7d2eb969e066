"""Restricted and excluded loss (Nanda et al. 2023, arXiv 2301.05217, section 5.1), over all operand tuples.

    restricted   only the mean and the key frequencies' diagonal cells are kept: the loss stays low where the answer
                 needs nothing else
    excluded     the key frequencies' diagonal cells are taken out, all else is kept: the loss rises where the answer
                 needs them

Of the logits, as in that paper; and of the neurons, which the rest of the step then reads. Any perfect adder's logits
are diagonal, so on logits a low restricted loss says that few frequencies suffice, not that they were used to
compute; where all frequencies are key it says nothing. Control of both: equally many cells drawn at random off the
diagonal (with their conjugates) instead of the diagonal ones; they hold less energy than those, mostly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.characters import Characters
from interp.fourier_analysis.neuron_rerun import NeuronRun, Score
from interp.fourier_analysis.spectrum import diagonal_cells, keep_cells, site_spectrum
from models.one_line import one_line


@one_line
@dataclass(frozen=True)
class FrequencyLoss:
    """Losses with parts of the spectrum kept or taken out.

    Attributes:
        key_frequencies: whose diagonal cells are kept or taken out.
        n_frequencies: how many there are.
        full: as the model answers. restricted, excluded: of ``logits`` and of ``neurons``.
        restricted_control, excluded_control: for ``logits`` and ``neurons``, one score a draw.
    """

    key_frequencies: tuple[int, ...]
    n_frequencies: int
    full: Score
    restricted: dict[str, Score]
    excluded: dict[str, Score]
    restricted_control: dict[str, tuple[Score, ...]]
    excluded_control: dict[str, tuple[Score, ...]]

    def to_frame(self) -> pd.DataFrame:
        """One row for the full model and for each kind and place: loss, accuracy, and the mean of the control's."""
        nan = float("nan")
        first = {"kind": "full", "of": "", "loss": self.full.loss, "accuracy": self.full.accuracy}
        rows = [first | {"control_loss": nan, "control_accuracy": nan}]
        for kind, scores, controls in (
            ("restricted", self.restricted, self.restricted_control),
            ("excluded", self.excluded, self.excluded_control),
        ):
            rows += [
                {
                    "kind": kind,
                    "of": place,
                    "loss": score.loss,
                    "accuracy": score.accuracy,
                    "control_loss": float(np.mean([one.loss for one in controls[place]] or [nan])),
                    "control_accuracy": float(np.mean([one.accuracy for one in controls[place]] or [nan])),
                }
                for place, score in scores.items()
            ]
        return pd.DataFrame(rows)


def key_frequency_loss(
    run: NeuronRun, frequencies: Sequence[int] | None = None, draws: int = 3, seed: int = 0
) -> FrequencyLoss:
    """Restricted and excluded loss of a model whose neurons were recorded.

    Args:
        frequencies: the key frequencies; default: those of the neurons' diagonal (see `spectrum`).
        draws: of control cells.

    Raises:
        ValueError: frequencies the characters do not have, or none.
    """
    characters = run.grid.characters
    if frequencies is None:
        frequencies = site_spectrum(run.neurons, characters).key_frequencies
    if not frequencies:
        raise ValueError("there is no key frequency: the neurons have no energy on the diagonal; name some")
    diagonal = diagonal_cells(characters, frequencies)
    rng = np.random.default_rng(seed)
    others = [_random_cells(characters, int(diagonal.sum()), rng) for _ in range(draws)]

    def scores(cells: NDArray[np.bool_], restricted: bool) -> dict[str, Score]:
        kept = cells.copy() if restricted else ~cells
        kept.flat[0] = True
        return {
            "logits": run.score(keep_cells(run.logits, kept)),
            "neurons": run.score_with(keep_cells(run.neurons, kept)),
        }

    def controls(restricted: bool) -> dict[str, tuple[Score, ...]]:
        drawn = [scores(cells, restricted) for cells in others]
        return {place: tuple(one[place] for one in drawn) for place in ("logits", "neurons")}

    return FrequencyLoss(
        key_frequencies=tuple(frequencies),
        n_frequencies=len(characters.frequencies),
        full=run.score(run.logits),
        restricted=scores(diagonal, True),
        excluded=scores(diagonal, False),
        restricted_control=controls(True),
        excluded_control=controls(False),
    )


def _random_cells(characters: Characters, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """As many cells with their conjugates, neither DC nor on the diagonal (one more where it cannot be even)."""
    taken = diagonal_cells(characters, characters.frequencies)
    taken.flat[0] = True
    cells = np.zeros_like(taken)
    m = characters.order
    for place in rng.permutation(np.argwhere(~taken)):
        if cells.sum() >= count:
            break
        cells[tuple(place)] = True
        cells[tuple(-place % m)] = True
    return cells
