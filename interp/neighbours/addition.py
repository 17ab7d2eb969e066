"""How a sum is made and when it fails: streams, phases, an ideal network in place of the MLP, and all triples.

Quirke and Barez (2024, arXiv 2310.13121) find that operands are carried in parallel streams, and that rare cases fail
where a part was left out. 2602.16849 and 2603.23784 find, for one equation, neurons of a single frequency whose phases
add. Of all operand tuples of one equation (m^3 triples, m^2 pairs), in the last layer:

    streams      share of the variance of the residual stream before the MLP that is additive, a sum of functions of one
                 operand each: 1 where operands do not meet before. And by interchange: the stream of one operand
                 (its mean over the others) is replaced by that of another value; share answered with that operand
                 replaced and the others left. Control: the same change made of shuffled values' streams.
    frequencies  share of the neurons' energy at each one's own frequency; how many frequencies hold 90 %; phases' error
    ideal        each neuron's pre-activation is replaced by its mean and one fitted wave per operand, at its own
                 frequency; the rest of the model is as it is. Answers on all tuples, and on graphs from the algorithm's
                 states: a graph is solved if all its sums of two and three operands are. Control: the waves' phases
                 exchanged among the neurons of a frequency.
    failures     triples that are answered wrong, and margins: logit of the right value less the largest other. What
                 is hard for the values and not for their order shows in the margins of the other orders of a triple.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.fourier_analysis.neuron_rerun import NeuronRun, neuron_run
from interp.fourier_analysis.operand_tuples import operand_grid
from interp.fourier_analysis.phases import phase_sum
from interp.fourier_analysis.spectrum import key_frequencies, site_spectrum
from interp.neighbours.graph_sums import GraphSums
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
_SWAPS: Final = 2000
"""Interchanges of each operand."""


@dataclass(frozen=True)
class Streams:
    """Whether operands are carried side by side before the MLP of a layer.

    Attributes:
        additive: share of variance. after: the same behind the MLP.
        moved: float an operand, share of interchanges after which the answer is that with this operand replaced.
        control: the same with shuffled streams.
    """

    additive: float
    after: float
    moved: tuple[float, ...]
    control: tuple[float, ...]


@dataclass(frozen=True)
class Ideal:
    """Answers with one fitted wave per operand in place of every pre-activation.

    Attributes:
        pairs, triples: share answered right. shuffled_pairs, shuffled_triples: with phases exchanged.
        sums: of graphs' sums of two and three operands, the share written right. solved, graphs: graphs of which all
            are, and of how many. solved_as_is: without any change. solved_shuffled: with phases exchanged.
    """

    pairs: float
    triples: float
    shuffled_pairs: float
    shuffled_triples: float
    sums: float
    solved: int
    solved_as_is: int
    solved_shuffled: int
    graphs: int


@one_line
@dataclass(frozen=True, eq=False)
class Addition:
    """How one operation is done in the last layer.

    Attributes:
        layer: whose MLP. operations: between the operands of a triple.
        margins: float [first, second, third], right logit less the largest other.
        streams: before that MLP.
        energy: float [frequency], of the neurons whose own frequency it is (pairs), shares of all.
        single: share of energy at own frequencies. phase_error, phase_chance: degrees, over pairs.
        ideal: None without graphs.
    """

    layer: int
    operations: tuple[str, ...]
    margins: Floats
    streams: Streams
    energy: Floats
    single: float
    phase_error: float
    phase_chance: float
    ideal: Ideal

    @property
    def wrong(self) -> NDArray[np.int64]:
        """Int [failure, 3], triples that are answered wrong (as values)."""
        return np.argwhere(self.margins <= 0)

    @property
    def n_frequencies(self) -> int:
        """The fewest that hold 90 % of the energy."""
        return len(key_frequencies(self.energy))

    @property
    def other_orders(self) -> float:
        """Mean percentile of the margins of a wrong triple's other orders among all: 50 where order alone decides; nan
        where nothing is wrong.
        """
        ranks = self.margins.ravel().argsort().argsort().reshape(self.margins.shape) / (self.margins.size - 1)
        others = [
            float(ranks[order])
            for triple in self.wrong.tolist()
            for order in set(permutations(triple)) - {tuple(triple)}
        ]
        return 100 * float(np.mean(others)) if others else float("nan")

    def sentence(self) -> str:
        """What was found, with the controls."""
        streams, ideal, wrong = self.streams, self.ideal, len(self.wrong)
        again = (
            ""
            if np.isnan(self.other_orders)
            else f", their other orders at percentile {self.other_orders:.0f}"
        )
        moved = " ".join(f"{share:.0%}" for share in streams.moved)
        control = " ".join(f"{share:.0%}" for share in streams.control)
        return (
            f"before the MLP of layer {self.layer} {streams.additive:.1%} of the variance over triples is additive "
            f"(behind it {streams.after:.1%}); one operand's stream replaced moves it alone in {moved} (shuffled "
            f"{control}). Neurons have {self.single:.1%} of their energy at one frequency each, {self.n_frequencies} "
            f"of {len(self.energy)} frequencies hold 90 %, phases add within {self.phase_error:.0f}° (chance "
            f"{self.phase_chance:.0f}°). With one wave per operand {ideal.pairs:.1%} of pairs and {ideal.triples:.1%} "
            f"of triples are right (phases exchanged {ideal.shuffled_pairs:.1%}, {ideal.shuffled_triples:.1%}), and "
            f"{ideal.solved} of {ideal.graphs} graphs (as it is {ideal.solved_as_is}, exchanged "
            f"{ideal.solved_shuffled}). Of {self.margins.size:,} triples {wrong} fail{again}; the margin is at least "
            f"{self.margins.min():.2f}, below {np.percentile(self.margins, 1):.2f} in 1 %."
        )

    def to_frame(self) -> pd.DataFrame:
        """A row for each of the 100 triples of lowest margin: ``first, second, third, margin, wrong``."""
        lowest = np.argsort(self.margins, axis=None, kind="stable")[:100]
        places = np.stack(np.unravel_index(lowest, self.margins.shape), 1)
        margin = self.margins.ravel()[lowest]
        columns = dict(zip(("first", "second", "third"), places.T, strict=True))
        return pd.DataFrame({**columns, "margin": margin, "wrong": margin <= 0})

    def summary(self) -> pd.DataFrame:
        """What was measured, each beside its control."""
        nan, ideal = float("nan"), self.ideal
        graphs = max(ideal.graphs, 1)
        rows: list[tuple[str, float, float]] = [
            ("additive before the MLP (control: behind it)", self.streams.additive, self.streams.after),
            *(
                (f"operand {number} moved alone", moved, control)
                for number, (moved, control) in enumerate(
                    zip(self.streams.moved, self.streams.control, strict=True), start=1
                )
            ),
            ("energy at own frequency", self.single, nan),
            ("phase error, degrees", self.phase_error, self.phase_chance),
            ("ideal: pairs right", ideal.pairs, ideal.shuffled_pairs),
            ("ideal: triples right", ideal.triples, ideal.shuffled_triples),
            ("ideal: graphs solved", ideal.solved / graphs, ideal.solved_shuffled / graphs),
            ("triples right", 1 - len(self.wrong) / self.margins.size, nan),
        ]
        return pd.DataFrame(rows, columns=["what", "found", "control"])

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """`frequencies`: share of the neurons' energy at each."""
        shares = {"frequency": np.arange(1, len(self.energy) + 1), "energy": self.energy}
        return {"frequencies": pd.DataFrame(shares)}

    def figures(self) -> dict[str, go.Figure]:
        """`addition`."""
        from interp.neighbours.addition_figure import addition_figure

        return {"addition": addition_figure(self)}


def addition(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    operation: str = "ADD",
    seed: int = 0,
) -> Addition:
    """Take one operation apart.

    graphs: that the ideal network is to solve; sums of other operations in them are left as they are.

    Raises:
        ValueError: no graphs, an operation that the model does not have, or one without characters.
    """
    rng = np.random.default_rng(seed)
    pairs, triples = (operand_grid(model, operation, count, seed=seed) for count in (2, 3))
    layer = model.cfg.n_layers - 1
    of_pairs, of_triples = neuron_run(model, pairs, layer), neuron_run(model, triples, layer)
    spectrum = site_spectrum(of_pairs.neurons, pairs.characters)
    phases = phase_sum(model, pairs, layer, draws=4, seed=seed)
    own = 1 + spectrum.unit_frequency.argmax(1)
    held = spectrum.unit_frequency.max(1)
    energy = np.bincount(own - 1, held, len(pairs.characters.frequencies))
    return Addition(
        layer=layer,
        operations=triples.characters.operations,
        margins=_margins(of_triples.logits, triples.truth),
        streams=_streams(of_triples, rng),
        energy=energy / (energy.sum() or 1.0),
        single=spectrum.single_frequency_share,
        phase_error=phases.error,
        phase_chance=phases.chance,
        ideal=_ideal(of_pairs, of_triples, own, graphs, rng),
    )


def _margins(logits: Singles, truth: NDArray[np.int64]) -> Floats:
    right = np.take_along_axis(logits, truth[..., None], -1)
    others = logits.copy()
    np.put_along_axis(others, truth[..., None], -np.inf, -1)
    return (right[..., 0] - others.max(-1)).astype(np.float64)


# Streams ---------------------------------------------------------------------------------------------------------


def mains(values: NDArray[Any]) -> list[Floats]:
    """Of values [axis 1, ..., axis n, unit] for every axis its main effect [element, unit]: the mean over all other
    axes, without the mean of all.
    """
    axes = range(values.ndim - 1)
    mean = values.mean(tuple(axes), dtype=np.float64)
    return [values.mean(tuple(set(axes) - {axis}), dtype=np.float64) - mean for axis in axes]


def additive_share(values: NDArray[Any]) -> float:
    """Share of the variance over all axes, summed over units, that main effects hold; nan where nothing varies."""
    total = float(values.reshape(-1, values.shape[-1]).var(0, dtype=np.float64).sum())
    held = sum(float(np.square(main).mean(0).sum()) for main in mains(values))
    return held / total if total > 0 else float("nan")


def _streams(run: NeuronRun, rng: np.random.Generator) -> Streams:
    middle = run.resid_mid
    effects = mains(middle)
    n, m = run.grid.characters.n_operands, run.grid.characters.order
    moved: list[float] = []
    control: list[float] = []
    for operand in range(n):
        base = rng.integers(m, size=(_SWAPS, n))
        other = (base[:, operand] + rng.integers(1, m, _SWAPS)) % m
        target = base.copy()
        target[:, operand] = other
        wanted = run.grid.truth[tuple(target.T)]
        renamed = rng.permutation(m)
        for found, name in ((moved, np.arange(m)), (control, renamed)):
            change = effects[operand][name[other]] - effects[operand][name[base[:, operand]]]
            changed = (middle[tuple(base.T)] + change).astype(np.float32)
            found.append(float((_answers(run, changed) == wanted).mean()))
    after = middle + _mlp(run, run.neurons)
    return Streams(additive_share(middle), additive_share(after), tuple(moved), tuple(control))


@torch.no_grad()
def _answers(run: NeuronRun, middle: Singles) -> NDArray[np.int64]:
    """Int [row]: what is answered from a residual stream [row, d_model] before the MLP of the run's (last) layer."""
    model = run.model
    after = middle + _mlp(run, _active(run, _before(run, middle)))
    resid = torch.tensor(after, device=model.device)[:, None]
    values = model.unembed(model.ln_final(resid))[:, 0, model.vocabulary.slice("value")]
    return values.argmax(-1).cpu().numpy()


@torch.no_grad()
def _before(run: NeuronRun, middle: Singles) -> Singles:
    """Pre-activations [..., neuron] of the run's layer, from the residual stream [..., d_model] before its MLP."""
    block = run.model.layers[run.layer]
    resid = torch.tensor(middle, device=run.model.device).flatten(0, -2)
    before = torch.addmm(block.mlp.b_in, block.ln2(resid), block.mlp.W_in)
    return before.cpu().numpy().reshape(*middle.shape[:-1], -1)


def _active(run: NeuronRun, before: Singles) -> Singles:
    """Activations of pre-activations."""
    if run.model.layers[run.layer].mlp.gelu:
        return torch.nn.functional.gelu(torch.tensor(before)).numpy()
    return np.maximum(before, 0)


def _mlp(run: NeuronRun, neurons: Singles) -> Singles:
    mlp = run.model.layers[run.layer].mlp
    return neurons @ mlp.W_out.detach().cpu().numpy() + mlp.b_out.detach().cpu().numpy()


# The ideal network -----------------------------------------------------------------------------------------------


def _ideal(
    of_pairs: NeuronRun,
    of_triples: NeuronRun,
    own: NDArray[np.int64],
    graphs: Sequence[ComputationGraph],
    rng: np.random.Generator,
) -> Ideal:
    order = np.arange(len(own))
    for frequency in np.unique(own):
        units = np.flatnonzero(own == frequency)
        order[units] = rng.permutation(units)
    runs = {2: of_pairs, 3: of_triples}
    waves = {count: _waves(run, own) for count, run in runs.items()}
    tables = {count: _neurons(run, *waves[count]) for count, run in runs.items()}
    mixed = {
        count: _neurons(run, waves[count][0], waves[count][1][..., order]) for count, run in runs.items()
    }
    right = {count: runs[count].score_with(table).accuracy for count, table in tables.items()}
    by_chance = {count: runs[count].score_with(table).accuracy for count, table in mixed.items()}
    model = of_pairs.model
    steps = GraphSums.of(model, graphs, of_pairs.grid)
    sums, solved = steps.written(model, of_pairs.layer, tables)
    _, as_is = steps.written(model, of_pairs.layer, {})
    _, shuffled = steps.written(model, of_pairs.layer, mixed)
    return Ideal(right[2], right[3], by_chance[2], by_chance[3], sums, solved, as_is, shuffled, len(graphs))


def _waves(run: NeuronRun, own: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Means of the pre-activations float [neuron], and for every operand its wave at each neuron's own frequency, float
    [operand, element, neuron].
    """
    before = _before(run, run.resid_mid)
    basis = run.grid.characters.basis
    waves = np.zeros((before.ndim - 1, run.grid.characters.order, len(own)))
    for operand, main in enumerate(mains(before)):
        for frequency in np.unique(own).tolist():
            rows = basis[run.grid.characters.basis_rows(frequency)]
            units = own == frequency
            waves[operand][:, units] = rows.T @ (rows @ main[:, units])
    return before.mean(tuple(range(before.ndim - 1)), dtype=np.float64), waves


def _neurons(run: NeuronRun, mean: Floats, waves: Floats) -> Singles:
    """Activations [axis 1, ..., axis n, neuron] of one wave per operand."""
    n = len(waves)
    total = np.zeros((*run.grid.shape, len(mean)), np.float32)
    for axis, wave in enumerate(waves):
        shape = [1] * n + [len(mean)]
        shape[axis] = wave.shape[0]
        total += wave.reshape(shape).astype(np.float32)
    return _active(run, total + mean.astype(np.float32))
