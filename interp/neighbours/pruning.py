"""Which neurons generalise and which memorise: periodicity of operand tuning, and pruning in its order.

Doshi et al. (2024, arXiv 2310.13061) call a neuron periodic by the inverse participation ratio of the Fourier transform
of its weights over an operand's values, and find that periodic neurons generalise while the others memorise wrong
labels. Here a neuron's *tuning curve* for an operand is its pre-activation at the right-hand side for each value of
that operand, averaged over the others. Its IPR is

    sum over k of (|u_k| / ||u||)^(2 r), r = 2, u the transform of a real curve of m values, k = 0 .. m // 2

Each pair of frequencies a and -a counts once, and so does the constant. With it (as in the paper, whose weights have no
biases) a curve that is 1 at one of 23 values has 1 / 12, a cosine 1, Gaussian numbers 0.158. A neuron's curve carries
its bias and all that does not depend on the operand as a constant, which is left out here: then it is 1 / 11, 1, 0.167.

Pruned neurons are set to their means over all operand tuples. Orders: from the lowest IPR, from the highest, at random,
from the weakest (by variance), and, at equal energy, from the lowest with neurons of the same eighth of the variance
exchanged at random. The last is the control of the first: where it does as well, strength counts and not period.

Of a model trained with wrong labels (:mod:`models.training.label_noise`) tuples with a wrong label are looked at apart:
whether they are answered as labelled (memorised) or right (restored). One that was trained without is the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.neuron_rerun import NeuronRun, neuron_run
from interp.fourier_analysis.operand_tuples import OperandGrid, collect_grid, operand_grid
from interp.neighbours.neurons import answered, decisive, eighths, exchanged, that_vary, variance
from interp.neighbours.wrong_labels import WrongLabels, followed, wrong_labels
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
ORDERS: Final = ("lowest", "equal energy", "random", "weakest", "highest")


@one_line
@dataclass(frozen=True, eq=False)
class NeuronPruning:
    """Accuracy on all operand tuples as neurons are pruned in several orders.

    Attributes:
        layer: whose neurons. operations: of the equation.
        ipr: float [neuron, operand], nan for neurons that do not vary; untrained: the same of untrained weights.
        energy: float [neuron], variance over all tuples.
        shares: float [point], share of the varying neurons that is pruned.
        accuracy: order (:data:`ORDERS`) -> float [draw, point]; one draw where nothing is drawn.
        values: of an operand, how many. noise: what becomes of wrong labels; None where none were asked about.
    """

    layer: int
    operations: tuple[str, ...]
    ipr: Floats
    untrained: Floats
    energy: Floats
    shares: Floats
    accuracy: Mapping[str, Floats]
    values: int
    noise: WrongLabels | None = None

    @property
    def of_neurons(self) -> Floats:
        """Float [neuron that varies], mean IPR over operands."""
        return _of_neurons(self.ipr)

    @property
    def of_untrained(self) -> Floats:
        """Float [neuron], the same of untrained weights."""
        return _of_neurons(self.untrained)

    def mean_accuracy(self, order: str) -> Floats:
        """Float [draw], accuracy averaged over all shares that are pruned: 1 where pruning costs nothing."""
        return np.asarray(np.trapezoid(self.accuracy[order], self.shares, axis=1))

    def halved(self, order: str) -> float:
        """Accuracy with half of the neurons pruned, mean over draws."""
        return float(self.accuracy[order][:, self.half].mean())

    @property
    def half(self) -> int:
        """The point at which about half of the neurons are pruned."""
        return int(np.abs(self.shares - 0.5).argmin())

    @property
    def periodic_carry(self) -> bool:
        """Whether the neurons of low IPR can be spared more than any draw of equal energy, those of high IPR less than
        any at random.
        """
        mean = {order: self.mean_accuracy(order) for order in ORDERS}
        spared = mean["lowest"][0] > mean["equal energy"].max()
        return bool(spared and mean["highest"][0] < mean["random"].min())

    def sentence(self) -> str:
        """What was found, with the controls."""
        found, other = self.of_neurons, self.of_untrained
        half = {order: f"{self.halved(order):.1%}" for order in ORDERS}
        answer = "periodic neurons carry the sum" if self.periodic_carry else "no sign that period decides"
        return (
            f"{len(found)} of {len(self.ipr)} neurons of layer {self.layer} vary, median IPR {np.median(found):.2f} "
            f"(untrained {np.median(other):.2f}). With half of them pruned, right are {half['lowest']} from the lowest "
            f"IPR ({half['equal energy']} at equal energy), {half['random']} at random, {half['weakest']} from the "
            f"weakest, {half['highest']} from the highest: {answer}."
            + ("" if self.noise is None else f" {self.noise.sentence(self.half)}")
        )

    def to_frame(self) -> pd.DataFrame:
        """A row a pruned share and order: ``share, order, accuracy, low, high`` (over draws); means of ``memorised``,
        ``restored``, ``others`` where wrong labels were asked about.
        """
        rows: list[dict[str, Any]] = []
        for order, accuracy in self.accuracy.items():
            for at, share in enumerate(self.shares.tolist()):
                column = accuracy[:, at]
                rows.append(
                    {
                        "order": order,
                        "share": share,
                        "accuracy": float(column.mean()),
                        "low": float(column.min()),
                        "high": float(column.max()),
                    }
                    | self._noise(order, at)
                )
        return pd.DataFrame(rows)

    def _noise(self, order: str, at: int) -> dict[str, float]:
        if self.noise is None:
            return {}
        found = {
            "memorised": self.noise.memorised,
            "restored": self.noise.restored,
            "others": self.noise.others,
        }
        return {name: float(one[order][:, at].mean()) for name, one in found.items()}

    def summary(self) -> pd.DataFrame:
        """A row an order: accuracy averaged over all shares, and with half of the neurons pruned."""
        return pd.DataFrame(
            {
                "pruned": list(self.accuracy),
                "draws": [len(accuracy) for accuracy in self.accuracy.values()],
                "mean accuracy": [float(self.mean_accuracy(order).mean()) for order in self.accuracy],
                "half pruned": [self.halved(order) for order in self.accuracy],
            }
        )

    def frames(self) -> dict[str, pd.DataFrame]:
        """Every neuron: ``neuron, energy``, and the IPR for each operand."""
        operands = {f"ipr_{operand + 1}": column for operand, column in enumerate(self.ipr.T)}
        return {"neurons": pd.DataFrame({"neuron": range(len(self.ipr)), "energy": self.energy, **operands})}

    def figures(self) -> dict[str, go.Figure]:
        """`pruning`."""
        from interp.neighbours.pruning_figure import pruning_figure

        return {"pruning": pruning_figure(self)}


def ipr(curves: NDArray[Any], constant: bool = True, r: int = 2) -> Floats:
    """Float [...]: inverse participation ratio of the transform of real curves [..., value]; nan for those without any.

    constant: whether the mean counts as a frequency.

    Examples:
        >>> import numpy as np
        >>> from interp import ipr
        >>> [round(float(ipr(curve)), 4) for curve in (np.eye(23)[3], np.cos(6 * np.pi * np.arange(23) / 23))]
        [0.0833, 1.0]
    """
    power = np.square(np.abs(np.fft.rfft(np.asarray(curves, np.float64), axis=-1)))
    power = power if constant else power[..., 1:]
    total = power.sum(-1, keepdims=True)
    shares = np.divide(power, total, out=np.full_like(power, np.nan), where=total > 0)
    return (shares**r).sum(-1)


def tuning_curves(model: RecurrentTransformer, grid: OperandGrid, layer: int) -> Floats:
    """Float [neuron, operand, value]: pre-activations of a layer for each value of an operand, averaged over others."""
    name = f"blocks.{layer}.mlp.hook_pre"
    before = collect_grid(model, grid, [name])[name]
    axes = range(before.ndim - 1)
    curves = [before.mean(tuple(set(axes) - {axis}), dtype=np.float64).T for axis in axes]
    return np.stack(curves, 1)


def prune_neurons(
    model: RecurrentTransformer,
    operation: str | None = None,
    layer: int | None = None,
    points: int = 20,
    draws: int = 8,
    seed: int = 0,
    label_noise: float = 0.0,
) -> NeuronPruning:
    """Prune a layer's neurons in every order, and score all pairs of operands.

    Args:
        operation: default the model's first. layer: default the one without whose neurons fewest are right, the last of
            equals. points: shares that are pruned, beside 0. draws: of orders that are drawn.
        label_noise: share of tuples that had wrong labels in training (or would have had); 0 not to look at them.

    Raises:
        ValueError: no points or draws, a label noise that is no share; a layer or an operation that the model does not
            have.
    """
    if points < 2 or draws < 1:
        raise ValueError(f"points={points}, draws={draws}; allowed: 2 points or more, and 1 draw or more")
    if not 0 <= label_noise < 1:
        raise ValueError(f"label_noise={label_noise}; allowed: 0 or more, and less than 1")
    grid = operand_grid(model, operation or model.vocabulary.ops[0], 2, seed=seed)
    run = decisive(model, grid) if layer is None else neuron_run(model, grid, layer)
    found = ipr(tuning_curves(model, grid, run.layer), constant=False)
    other = ipr(tuning_curves(model.untrained(seed + 1), grid, run.layer), constant=False)
    energy = variance(run)
    varying = that_vary(energy)
    found[np.setdiff1d(np.arange(len(energy)), varying)] = np.nan
    shares = np.linspace(0, 1, points + 1)
    orders = _orders(varying, found.mean(1), energy, draws, np.random.default_rng(seed))
    answers = {
        name: np.array([_answers(run, order, shares) for order in drawn]) for name, drawn in orders.items()
    }
    tuples = tuple(range(2, 2 + len(grid.shape)))
    accuracy = {name: (given == grid.truth).mean(tuples) for name, given in answers.items()}
    wrong = wrong_labels(grid, model.vocabulary, label_noise)
    noise = followed(answers, grid, wrong, model.vocabulary.modulus) if wrong.any() else None
    operations, values = grid.characters.operations, grid.characters.order
    return NeuronPruning(run.layer, operations, found, other, energy, shares, accuracy, values, noise)


def _answers(run: NeuronRun, order: NDArray[np.int64], shares: Floats) -> list[NDArray[np.int64]]:
    return [answered(run, order[: round(share * len(order))]) for share in shares.tolist()]


def _orders(
    varying: NDArray[np.int64], periodicity: Floats, energy: Floats, draws: int, rng: np.random.Generator
) -> dict[str, Sequence[NDArray[np.int64]]]:
    lowest = varying[np.argsort(periodicity[varying], kind="stable")]
    weakest = varying[np.argsort(energy[varying], kind="stable")]
    groups = eighths(energy, varying)[lowest]
    return {
        "lowest": [lowest],
        "equal energy": [exchanged(lowest, groups, rng) for _ in range(draws)],
        "random": [rng.permutation(varying) for _ in range(draws)],
        "weakest": [weakest],
        "highest": [lowest[::-1]],
    }


def _of_neurons(found: Floats) -> Floats:
    mean = found.mean(1)
    return mean[~np.isnan(mean)]
