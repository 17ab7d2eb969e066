"""How an ablation of tuned neurons depends on what counts as tuned: a curve over the threshold, not a verdict.

A neuron is tuned where at least ``share`` of its energy is at one frequency (:attr:`interp.SiteSpectrum.tuning`). At
each share the answers are scored with these neurons set to their means over all operand tuples, with all others that
vary set to theirs, and with as many as are tuned, but the strongest ones by energy, whatever they are tuned to. Where
the last does as much as the first, tuned neurons matter because they are strong; and where the first two cross, it is
the share that says which of them carry the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.neuron_rerun import NeuronRun
from interp.fourier_analysis.spectrum import site_spectrum
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

SHARES: Final = tuple(round(0.3 + 0.05 * step, 2) for step in range(13))
"""0.3 to 0.9."""
ABLATED: Final = ("tuned", "untuned", "strongest")


@one_line
@dataclass(frozen=True, eq=False)
class TuningCurve:
    """Accuracy over the share that makes a neuron tuned.

    Attributes:
        layer: block. operations: of the equation.
        shares: float [share]. n_tuned: int [share], how many neurons are tuned; n_varying: that vary at all.
        full: accuracy without ablation.
        accuracy, energy: float [ablated, share], by :data:`ABLATED`: share of tuples answered right, and share of the
            layer's energy that is ablated.
    """

    layer: int
    operations: tuple[str, ...]
    shares: NDArray[np.float64]
    n_tuned: NDArray[np.int64]
    n_varying: int
    full: float
    accuracy: NDArray[np.float64]
    energy: NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """Columns ``layer, share, n_tuned``, and for each of :data:`ABLATED` ``accuracy_`` and ``energy_``."""
        columns: dict[str, object] = {"layer": self.layer, "share": self.shares, "n_tuned": self.n_tuned}
        for name, accuracy, energy in zip(ABLATED, self.accuracy, self.energy, strict=True):
            columns |= {f"accuracy_{name}": accuracy, f"energy_{name}": energy}
        return pd.DataFrame(columns)

    def verdict(self) -> str:
        """One sentence, without capital and full stop: at which shares which ablation costs more."""
        tuned, untuned, _ = self.accuracy
        told = [
            f"{name} from {min(found):g} to {max(found):g}"
            for name, found in (
                ("losing the tuned costs more", self.shares[tuned < untuned].tolist()),
                ("losing the others costs more", self.shares[tuned > untuned].tolist()),
            )
            if found
        ]
        apart = float(np.abs(self.accuracy[0] - self.accuracy[2]).max())
        return (
            f"of layer {self.layer}'s neurons, by the share of energy at one frequency that makes them tuned, "
            f"{' and '.join(told) or 'losing either costs as much'}; losing as many of the strongest instead differs "
            f"by at most {apart:.0%} of answers"
        )

    def figure(self, width: int = 720) -> go.Figure:
        """:func:`interp.fourier_analysis.own_frequency_figure.tuning_figure`."""
        from interp.fourier_analysis.own_frequency_figure import tuning_figure

        return tuning_figure(self, width)


def tuning_curve(run: NeuronRun, shares: Sequence[float] = SHARES) -> TuningCurve:
    """Ablate the tuned neurons, all others, and as many of the strongest, for each share.

    Raises:
        ValueError: no shares, or one outside 0 to 1.
    """
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares are {tuple(shares)}; allowed: one or more from 0 to 1")
    spectrum = site_spectrum(run.neurons, run.grid.characters, f"blocks.{run.layer}.mlp.hook_post")
    energy, alive = spectrum.unit_energy, np.flatnonzero(spectrum.alive)
    strongest = alive[np.argsort(-energy[alive], kind="stable")]
    mean = run.neurons.mean(tuple(range(run.neurons.ndim - 1)), dtype=np.float64)
    known: dict[bytes, float] = {}

    def accuracy(neurons: NDArray[np.int64]) -> float:
        key = np.sort(neurons).tobytes()
        if key not in known:
            changed = run.neurons.copy()
            changed[..., neurons] = mean[neurons]
            known[key] = run.score_with(changed).accuracy
        return known[key]

    sets: list[tuple[NDArray[np.int64], ...]] = []
    for share in shares:
        tuned = alive[spectrum.tuning[alive] >= share]
        sets.append((tuned, np.setdiff1d(alive, tuned), strongest[: len(tuned)]))
    total = float(energy.sum()) or 1.0
    return TuningCurve(
        layer=run.layer,
        operations=run.grid.characters.operations,
        shares=np.array(shares, np.float64),
        n_tuned=np.array([len(tuned) for tuned, *_ in sets]),
        n_varying=len(alive),
        full=run.score(run.logits).accuracy,
        accuracy=np.array([[accuracy(neurons) for neurons in three] for three in sets]).T,
        energy=np.array([[float(energy[neurons].sum()) / total for neurons in three] for three in sets]).T,
    )
