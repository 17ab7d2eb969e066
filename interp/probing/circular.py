"""Circular probes: values modulo p read as angles, frequency by frequency.

A ridge regression predicts cos and sin of 2 pi f v / p from the activations, for frequencies f = 1..(p - 1) // 2. Its
held-out R^2 says how well the wave of that frequency can be read, and the decoded value is the v whose angles are
nearest to what was predicted. A code with a dimension for every value (one-hot) has all frequencies alike; few of them
high is the sign of values kept on circles (Nanda et al. 2023, arXiv 2301.05217, section 4). ``power`` says the same
without a probe: how the variation of the values' mean activations is spread over the frequencies, 1 in sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV  # pyright: ignore[reportMissingTypeStubs]
from sklearn.pipeline import Pipeline  # pyright: ignore[reportMissingTypeStubs]
from sklearn.preprocessing import StandardScaler  # pyright: ignore[reportMissingTypeStubs]

from interp.data.datasets import ActivationDataset
from interp.probing.fits import Split, features_of, graph_folds, in_parallel
from interp.probing.rows import ProbeError, ProbeRows, Steps, check_folds, chosen_sites, probe_task
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

ARMS: Final = ("target", "shuffled", "untrained")
PENALTIES: Final = (1.0, 10.0, 100.0, 1000.0, 10000.0)
"""Of the ridge on standardised features; the one that predicts best when a training row is left out is taken."""
Floats = NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class CircularProbe:
    """What is read of every frequency, on rows of graphs that were not fitted to; nan where nothing was measured.

    Attributes:
        r2: float [arm, step, site, frequency], of cos and sin together; 0: no better than the mean. Arms: target,
            shuffled (values permuted), untrained.
        decoded: float [arm, step, site]: share of values decoded right from all frequencies together.
        decoded_alone: float [step, site, frequency]: the same from one frequency.
        power: float [step, site, frequency]: share of the variation of the mean activations by value.
        n_rows: int [step].
    """

    model: str
    target: str
    status: str | None
    modulus: int
    frequencies: tuple[int, ...]
    steps: tuple[int, ...]
    sites: tuple[str, ...]
    r2: Floats
    decoded: Floats
    decoded_alone: Floats
    power: Floats
    n_rows: NDArray[np.int64]

    def to_frame(self) -> pd.DataFrame:
        """One row per step, site and frequency."""
        shape = self.power.shape
        step, site, frequency = (axis.ravel() for axis in np.indices(shape))
        return pd.DataFrame(
            {
                "target": self.target,
                "status": self.status or "all",
                "step": np.array(self.steps)[step],
                "site": np.array(self.sites)[site],
                "frequency": np.array(self.frequencies)[frequency],
                **{
                    name: self.r2[arm].ravel()
                    for arm, name in enumerate(("r2", "r2_shuffled", "r2_untrained"))
                },
                "power": self.power.ravel(),
                "decoded_alone": self.decoded_alone.ravel(),
                "decoded": self.decoded[0][step, site],
                "decoded_shuffled": self.decoded[1][step, site],
                "decoded_untrained": self.decoded[2][step, site],
                "n_rows": self.n_rows[step],
            }
        )

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.probing.probes_figure.circular_figure`."""
        from interp.probing.probes_figure import circular_figure

        return circular_figure(self, width)


def circular_probe(
    data: ActivationDataset,
    target: str = "value",
    untrained: ActivationDataset | None = None,
    sites: Sequence[str] | str | None = None,
    steps: Steps = "all",
    status: str | None = None,
    role: str | None = None,
    frequencies: Sequence[int] | None = None,
    modulus: int | None = None,
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
) -> CircularProbe:
    """Fit circular probes, one per step and site.

    Arguments as for :func:`interp.fit_probe_grid`. target: a label that is a value (rows where it is not in
    0..modulus-1, such as EMPTY, are left out). frequencies: default 1..(p - 1) // 2. modulus: default: the data's.

    Raises:
        ProbeError: as :func:`interp.fit_probe_grid`; no modulus of 3 or more; a frequency outside 1..p // 2.
    """
    check_folds(data, folds)
    keys = chosen_sites(data, sites)
    p = data.modulus if modulus is None else modulus
    if p < 3:
        raise ProbeError(f"the modulus is {p}; a circular probe needs values modulo 3 or more")
    waves = tuple(range(1, (p - 1) // 2 + 1)) if frequencies is None else tuple(frequencies)
    if not waves or not all(1 <= wave <= p // 2 for wave in waves):
        raise ProbeError(f"frequencies are {list(waves)}; allowed is at least one of 1 to {p // 2}")
    task = probe_task(data, target, status, role, steps)
    if not np.issubdtype(task.classes.dtype, np.integer):
        raise ProbeError(f"target {target!r} is no number, and a circular probe reads values modulo {p}")
    rows = [_values_only(here, task.classes, p) for here in task.rows.values()]
    measured = [index for index, here in enumerate(rows) if here.can_be_split(folds)]
    if not measured:
        raise ProbeError(f"no step has two values of 0 to {p - 1} and rows of {folds} graphs")
    sources = [data] if untrained is None else [data, untrained]
    cells = [(index, key) for index in measured for key in keys]
    arguments = (
        (
            rows[index],
            [source.activations[key][task.steps[index]] for source in sources],
            p,
            waves,
            folds,
            seed,
        )
        for index, key in cells
    )
    found = in_parallel(_fit_cell, arguments, jobs)
    shape = (len(rows), len(keys))
    r2, decoded = np.full((len(ARMS), *shape, len(waves)), np.nan), np.full((len(ARMS), *shape), np.nan)
    alone, power = np.full((*shape, len(waves)), np.nan), np.full((*shape, len(waves)), np.nan)
    for (index, key), cell in zip(cells, found, strict=True):
        place = index, keys.index(key)
        arms = len(cell.r2)
        r2[:arms, *place], decoded[:arms, *place] = cell.r2, cell.decoded
        alone[place], power[place] = cell.alone, cell.power
    return CircularProbe(
        model=data.model,
        target=target,
        status=task.status,
        modulus=p,
        frequencies=waves,
        steps=task.steps,
        sites=keys,
        r2=r2,
        decoded=decoded,
        decoded_alone=alone,
        power=power,
        n_rows=np.array([len(here.index) for here in rows]),
    )


@dataclass(frozen=True, eq=False)
class _Cell:
    """r2 float [arm, frequency], decoded float [arm], alone float [frequency], power float [frequency]."""

    r2: Floats
    decoded: Floats
    alone: Floats
    power: Floats


def _values_only(rows: ProbeRows, classes: NDArray[Any], p: int) -> ProbeRows:
    """The rows that have a value, their labels being the values themselves."""
    values = classes[rows.labels].astype(np.int64)
    kept = values < p
    return ProbeRows(rows.index[kept], values[kept], rows.graphs[kept], rows.words[kept])


def _fit_cell(
    rows: ProbeRows,
    activations: Sequence[NDArray[np.float32]],
    p: int,
    waves: tuple[int, ...],
    folds: int,
    seed: int,
) -> _Cell:
    shuffled = np.random.default_rng([seed, 1]).permutation(rows.labels)
    own, *other = [features_of(given[rows.index]) for given in activations]
    arms = [(own, rows.labels), (own, shuffled), *((features, rows.labels) for features in other)]
    splits = graph_folds(rows.graphs, folds, seed)
    circle = _circle(np.arange(p), waves, p)
    r2, decoded, alone = np.empty((len(arms), len(waves))), np.empty(len(arms)), np.empty(len(waves))
    for arm, (features, values) in enumerate(arms):
        wanted = _circle(values, waves, p)
        predicted = _predicted(features, wanted, splits)
        missed = ((wanted - predicted) ** 2).sum((0, 2))
        r2[arm] = 1 - missed / ((wanted - wanted.mean(0)) ** 2).sum((0, 2))
        similarity = np.einsum("nfc,vfc->nvf", predicted, circle)
        decoded[arm] = np.mean(similarity.sum(-1).argmax(-1) == values)
        if arm == 0:
            alone = np.mean(similarity.argmax(1) == values[:, None], axis=0)
    return _Cell(r2, decoded, alone, _power(own, rows.labels, waves, p))


def _circle(values: NDArray[np.int64], waves: tuple[int, ...], p: int) -> Floats:
    """Float [value, frequency, (cos, sin)]."""
    angle = 2 * np.pi * np.outer(values, waves) / p
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def _predicted(features: Floats, wanted: Floats, splits: Sequence[Split]) -> Floats:
    probe: Any = Pipeline([("scale", StandardScaler()), ("probe", RidgeCV(alphas=PENALTIES))])
    flat = wanted.reshape(len(wanted), -1)
    predicted = np.empty_like(flat)
    for train, test in splits:
        predicted[test] = probe.fit(features[train], flat[train]).predict(features[test])
    return predicted.reshape(wanted.shape)


def _power(features: Floats, values: NDArray[np.int64], waves: tuple[int, ...], p: int) -> Floats:
    """Share float [frequency] of the energy of the mean activations by value; nan where a value is missing."""
    if len(np.unique(values)) < p:
        return np.full(len(waves), np.nan)
    means = np.stack([features[values == value].mean(0) for value in range(p)])
    energy = (np.abs(np.fft.fft(means, axis=0)) ** 2).sum(-1)
    both = np.array([energy[wave] + (energy[p - wave] if 2 * wave != p else 0) for wave in waves])
    total = energy[1:].sum()
    return both / total if total > 0 else np.full(len(waves), np.nan)
