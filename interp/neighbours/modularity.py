"""Whether an MLP falls into modules: clusters of its weights, what they match, and what is lost without one.

Golechha et al. (2025, arXiv 2502.02470) call a matrix *clusterable* by the share of its squared weights that lies
inside clusters, when rows and columns are parted together by the singular vectors of D_u^-1/2 |W| D_v^-1/2
(Dhillon 2001; scikit-learn's ``SpectralCoclustering``). k balanced clusters hold 1 / k by chance; unbalanced ones more,
so the chance that counts is that of shuffled weights, clustered again (Filan et al. 2021, arXiv 2103.03386). Rows and
columns of zeros are left out.

What clusters of neurons match is asked of the layer that decides most: the operand to which a neuron is tuned most, its
frequency, the operation at which it varies most, the factor whose embeddings drive it most; by the adjusted Rand index,
0 by chance. Of each cluster it is asked what is answered right with its neurons at their means, beside random neurons
of equal number, and of equal number and energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.operand_tuples import operand_grid
from interp.neighbours.neurons import decisive, of_equal_energy, pruned, that_vary, variance
from interp.neighbours.pruning import tuning_curves
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

    from interp.fourier_analysis.neuron_rerun import NeuronRun

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
MATRICES: Final = ("W_in", "W_out")
LOST: Final = 0.01
"""Of the answers, what a cluster must cost beyond every draw of its control to count as a module."""


class Clusters(NamedTuple):
    """Cluster of every row and column of a matrix; -1 for those of zeros."""

    rows: Labels
    columns: Labels


@dataclass(frozen=True, eq=False)
class Clustered:
    """One matrix.

    Attributes:
        layer, matrix: which. share: of its squared weights inside clusters.
        shuffled: float [shuffle], the same of shuffled weights; untrained: of untrained ones.
    """

    layer: int
    matrix: str
    share: float
    shuffled: Floats
    untrained: float


@dataclass(frozen=True)
class Ablated:
    """A cluster of neurons at their means: how many, accuracy, and that of draws of equal number, and energy too."""

    neurons: int
    accuracy: float
    equal_number: tuple[float, ...]
    equal_energy: tuple[float, ...]

    @property
    def lost(self) -> bool:
        """Whether it costs more than every draw of either control, by :data:`LOST`."""
        return self.accuracy < min(*self.equal_number, *self.equal_energy) - LOST


@one_line
@dataclass(frozen=True, eq=False)
class Modularity:
    """How modular MLPs are.

    Attributes:
        k: clusters. matrices: of every layer. layer: that decides most.
        matches: label -> adjusted Rand index of the layer's clusters of neurons (of ``W_in``) with it, and the
            largest over as many shuffled labels as weights were shuffled.
        full: accuracy of the model as it is. ablated: for every cluster that has neurons which vary.
    """

    k: int
    matrices: tuple[Clustered, ...]
    layer: int
    matches: Mapping[str, tuple[float, float]]
    full: float
    ablated: tuple[Ablated, ...]

    def sentence(self) -> str:
        """What was found, with the controls."""
        best = max(self.matrices, key=lambda one: one.share - one.shuffled.max())
        label, (match, chance) = max(self.matches.items(), key=lambda item: item[1][0] - item[1][1])
        modules = sum(one.lost for one in self.ablated)
        return (
            f"{best.matrix} of layer {best.layer} has {best.share:.1%} of its squared weights inside {self.k} clusters "
            f"(shuffled at most {best.shuffled.max():.1%}, untrained {best.untrained:.1%}). Clusters of neurons of "
            f"layer {self.layer} match {label} best, adjusted Rand index {match:.2f} (shuffled at most {chance:.2f}). "
            f"{modules} of {len(self.ablated)} clusters cost more than random neurons of equal number and energy."
        )

    def to_frame(self) -> pd.DataFrame:
        """A row a matrix: ``layer, matrix, inside, shuffled, shuffled_most, untrained``."""
        return pd.DataFrame(
            [
                {
                    "layer": one.layer,
                    "matrix": one.matrix,
                    "inside": one.share,
                    "shuffled": float(one.shuffled.mean()),
                    "shuffled_most": float(one.shuffled.max()),
                    "untrained": one.untrained,
                }
                for one in self.matrices
            ]
        )

    def summary(self) -> pd.DataFrame:
        """The same."""
        table: Any = self.to_frame()
        table.insert(0, "weights", [f"{one.layer}.{one.matrix}" for one in self.matrices])
        return table.drop(columns=["layer", "matrix"])

    def frames(self) -> dict[str, pd.DataFrame]:
        """`matches` and `ablated`."""
        labels = [
            {"label": name, "rand_index": found, "shuffled_most": most}
            for name, (found, most) in self.matches.items()
        ]
        rows = [
            {
                "cluster": cluster,
                "neurons": one.neurons,
                "accuracy": one.accuracy,
                "equal_number": float(np.mean(one.equal_number)),
                "equal_number_least": min(one.equal_number),
                "equal_energy": float(np.mean(one.equal_energy)),
                "equal_energy_least": min(one.equal_energy),
            }
            for cluster, one in enumerate(self.ablated)
        ]
        return {"matches": pd.DataFrame(labels), "ablated": pd.DataFrame(rows)}

    def figures(self) -> dict[str, go.Figure]:
        """`modularity`."""
        from interp.neighbours.modularity_figure import modularity_figure

        return {"modularity": modularity_figure(self)}


def cocluster(weights: NDArray[Any], k: int, seed: int = 0) -> Clusters:
    """Rows and columns of a matrix in k clusters, by the singular vectors of its normalised absolute values.

    Raises:
        ValueError: fewer than 2 clusters, or fewer rows or columns with weights than clusters.
    """
    from sklearn.cluster import SpectralCoclustering  # pyright: ignore[reportMissingTypeStubs]

    kept = [np.asarray(weights.any(axis), bool) for axis in (1, 0)]
    if k < 2 or min(kept[0].sum(), kept[1].sum()) < k:
        raise ValueError(
            f"k is {k}, and weights are in {kept[0].sum()} rows and {kept[1].sum()} columns; allowed: 2 clusters or "
            "more, and a row and a column for each"
        )
    fitted: Any = SpectralCoclustering(k, n_init=3, random_state=seed)
    fitted.fit(np.abs(weights[kept[0]][:, kept[1]]))
    labels = [np.full(len(one), -1) for one in kept]
    labels[0][kept[0]], labels[1][kept[1]] = fitted.row_labels_, fitted.column_labels_
    return Clusters(*labels)


def inside(weights: NDArray[Any], clusters: Clusters) -> float:
    """Share of squared weights whose row and column are in one cluster."""
    squares = np.square(weights, dtype=np.float64)
    return float(squares[clusters.rows[:, None] == clusters.columns].sum() / squares.sum())


def modularity(
    model: RecurrentTransformer, k: int = 4, shuffles: int = 100, draws: int = 8, seed: int = 0
) -> Modularity:
    """Cluster all MLPs, and ask what the clusters of the layer that decides most are.

    Args:
        k: clusters. shuffles: of weights and labels. draws: of random neurons.

    Raises:
        ValueError: fewer than 2 clusters, no shuffles or draws, or a matrix that is too small.
    """
    if shuffles < 1 or draws < 1:
        raise ValueError(f"shuffles={shuffles}, draws={draws}; allowed: 1 or more of each")
    rng = np.random.default_rng(seed)
    other = model.untrained(seed + 1)
    matrices = tuple(
        _clustered(layer, matrix, model, other, k, shuffles, rng)
        for layer in range(model.cfg.n_layers)
        for matrix in MATRICES
        if _weights(model, layer, matrix).any()
    )
    run = decisive(model, operand_grid(model, model.vocabulary.ops[0], 2, seed=seed))
    clusters = cocluster(_weights(model, run.layer, "W_in"), k, seed).columns
    varying = that_vary(variance(run))
    matches = {
        name: _match(clusters[varying], labels[varying], shuffles, rng)
        for name, labels in _labels(model, run, seed).items()
    }
    ablated = [_ablated(run, varying[clusters[varying] == one], draws, rng) for one in range(k)]
    full = run.score(run.logits).accuracy
    return Modularity(k, matrices, run.layer, matches, full, tuple(one for one in ablated if one is not None))


def _weights(model: RecurrentTransformer, layer: int, matrix: str) -> NDArray[np.float32]:
    return getattr(model.layers[layer].mlp, matrix).detach().cpu().numpy()


def _clustered(
    layer: int,
    matrix: str,
    model: RecurrentTransformer,
    other: RecurrentTransformer,
    k: int,
    shuffles: int,
    rng: np.random.Generator,
) -> Clustered:
    own = _weights(model, layer, matrix)
    shuffled = [_share(rng.permuted(own, axis=None), k) for _ in range(shuffles)]
    return Clustered(
        layer, matrix, _share(own, k), np.array(shuffled), _share(_weights(other, layer, matrix), k)
    )


def _share(weights: NDArray[np.float32], k: int) -> float:
    return inside(weights, cocluster(weights, k))


def _labels(model: RecurrentTransformer, run: NeuronRun, seed: int) -> dict[str, Labels]:
    """Name -> int [neuron]."""
    curves = tuning_curves(model, run.grid, run.layer)
    power = np.square(np.abs(np.fft.rfft(curves, axis=-1)))[..., 1:].sum(1)
    read = _weights(model, run.layer, "W_in")
    driven = [
        np.square(model.W_E[model.vocabulary.slice(factor)].detach().cpu().numpy() @ read).mean(0)
        for factor in FACTORS
    ]
    found = {
        "operand": curves.var(-1).argmax(1),
        "frequency": power.argmax(1),
        "factor": np.argmax(driven, axis=0),
    }
    if len(model.vocabulary.ops) > 1:
        varied = [
            tuning_curves(model, operand_grid(model, operation, 2, seed=seed), run.layer).var(-1).sum(1)
            for operation in model.vocabulary.ops
        ]
        found["operation"] = np.argmax(varied, axis=0)
    return found


def _match(clusters: Labels, labels: Labels, shuffles: int, rng: np.random.Generator) -> tuple[float, float]:
    import sklearn.metrics  # pyright: ignore[reportMissingTypeStubs]

    metrics: Any = sklearn.metrics
    index = metrics.adjusted_rand_score
    drawn = [float(index(clusters, rng.permutation(labels))) for _ in range(shuffles)]
    return float(index(clusters, labels)), max(drawn)


def _ablated(
    run: NeuronRun, neurons: NDArray[np.int64], draws: int, rng: np.random.Generator
) -> Ablated | None:
    if not neurons.size:
        return None
    energy = variance(run)
    varying = that_vary(energy)
    number = [pruned(run, rng.choice(varying, len(neurons), replace=False)) for _ in range(draws)]
    energetic = [pruned(run, of_equal_energy(neurons, energy, rng)) for _ in range(draws)]
    return Ablated(len(neurons), pruned(run, neurons), tuple(number), tuple(energetic))
