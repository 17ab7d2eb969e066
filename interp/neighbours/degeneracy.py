"""How degenerate the loss of one step is: local learning coefficients of all weights, of heads and of MLPs.

*Using Degeneracy in the Loss Landscape* (Bushnaq et al. 2024, arXiv 2405.10927) takes the local learning coefficient
for the number of weights that matter. It is estimated by Langevin dynamics (:mod:`interp.neighbours.langevin`) on the
loss of training over a fixed set of the algorithm's steps: of all weights, and of one head's or one MLP's while all
others stay (a head has its rows of W_Q, W_K, W_V, W_O, their biases and its position scores). n beta is set, not
n / log n: the loss of a model that makes no mistake is flat unless it is looked at sharply. A chain forgets where it
began in about 2 / (step gamma) draws, and as many and more are made before any is counted; gamma is as small as that
allows. It is part of the answer: of a loss that is flat near w* and rises steeply further away (no quadratic, as that
of a model that makes no mistake) the coefficient grows with the reach of a chain, 1 / sqrt(gamma) a weight.

Held against it: what the loss rises by without the head or MLP (zeros in its place), by rank; the estimate at half and
double the step and temperature; and how many chains came out negative, which a minimum does not allow. Over snapshots
of training onsets of the coefficients stand beside those at which heads look at names and values.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.mechanism.onsets import onset
from interp.mechanism.variances import PLACES
from interp.neighbours.interaction_basis import BASES, InteractionBasis, interaction_basis
from interp.neighbours.langevin import Part, Sampler, coefficient, langevin
from interp.neighbours.masks import HEADS, MLPS, only
from interp.neighbours.separation import KINDS, head_separation
from interp.neighbours.step_set import StepSet, step_sets
from interp.progress import followed, phase
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
WHOLE: Final = "all weights"
OF_WHOLE: Final = Sampler(n_beta=100.0, gamma=300.0, step=8e-5, draws=54, burn=110)
OF_PART: Final = Sampler(n_beta=100.0, gamma=300.0, step=6e-4, draws=16, burn=24)
"""A part has fewer weights that move together, and can take larger steps."""
IN_TRAINING: Final = 0.3
"""Of n beta, over snapshots: most are no minima, and a chain that runs down the loss, as cold ones do, is negative."""
FACTORS: Final = (0.5, 1.0, 2.0)
"""Of step and n beta, for the plateau."""


@dataclass(frozen=True, eq=False)
class Over:
    """Coefficients over snapshots of training.

    Attributes:
        steps: int [snapshot]. values: name of a part -> float [snapshot]; mean of its chains.
        onsets: what `training-dynamics` calls a head's role (``name:last``, ``value:first``) -> the training step at
            which a head looks there. heads: role -> the head that looks there most in the end.
    """

    steps: NDArray[np.int64]
    values: Mapping[str, Floats]
    onsets: Mapping[str, float]
    heads: Mapping[str, str]

    def onset(self, part: str) -> float:
        """Training step at which a coefficient passes half of its rise for good."""
        return onset(self.steps, self.values[part])


@one_line
@dataclass(frozen=True, eq=False)
class Degeneracy:
    """Coefficients of one model.

    Attributes:
        parts: name -> float [chain]; first :data:`WHOLE`, then heads (``0.3``) and MLPs (``mlp0``).
        weights: name -> how many. cost: name of a head or MLP -> nats that the loss rises by without it.
        grid: float [n beta, step], of all weights, factors as :data:`FACTORS`; None where it was not asked for.
        loss: nats, before anything moves. n_steps: how many steps of the algorithm it is the mean of.
        bases: interaction bases, by layer. over: None where there are no snapshots.
    """

    parts: Mapping[str, Floats]
    weights: Mapping[str, int]
    cost: Mapping[str, float]
    grid: Floats | None
    loss: float
    n_steps: int
    bases: tuple[InteractionBasis, ...]
    over: Over | None

    @property
    def rank_correlation(self) -> tuple[float, float]:
        """Spearman's, of the coefficients of heads and MLPs with what the loss rises by without them; and the largest
        absolute value of it over 200 shuffles.
        """
        names = list(self.cost)
        ranks: list[Floats] = [
            cast(Any, pd.Series([values[name] for name in names])).rank().to_numpy()
            for values in ({name: self.parts[name].mean() for name in names}, self.cost)
        ]
        rng = np.random.default_rng(0)
        drawn = [_correlated(ranks[0], np.array(rng.permutation(ranks[1]), np.float64)) for _ in range(200)]
        return _correlated(*ranks), max(map(abs, drawn))

    @property
    def negative(self) -> tuple[int, int]:
        """Chains whose estimate is below zero, and all; those of the grid and of snapshots too."""
        more = [] if self.grid is None else [self.grid.ravel()]
        more += [] if self.over is None else list(self.over.values.values())
        every = np.concatenate([*self.parts.values(), *more])
        return int((every < 0).sum()), every.size

    def sentence(self) -> str:
        """What was found, with the controls."""
        whole = float(self.parts[WHOLE].mean())
        heads = sorted(
            ((float(self.parts[name].mean()), name) for name in self.cost if not name.startswith("mlp")),
            reverse=True,
        )
        strongest = ", ".join(f"{name} {value:.2g}" for value, name in heads[:3])
        found, chance = self.rank_correlation
        negative, chains = self.negative
        plateau = (
            ""
            if self.grid is None
            else f" ({self.grid.min():.3g} to {self.grid.max():.3g} over half and double step and n beta)"
        )
        bases = "; ".join(
            f"after layer {basis.layer} {basis.enough('interaction') or 'more'} directions of the interaction basis "
            f"suffice ({basis.enough('principal') or 'more'} principal, {basis.enough('random') or 'more'} random, of "
            f"{len(basis.variance)})"
            for basis in self.bases
        )
        grown = ""
        if self.over is not None:
            at = self.over.onset(WHOLE)
            first, last = self.over.values[WHOLE][[0, -1]].tolist()
            grown = (
                f" Over {len(self.over.steps)} snapshots, at {IN_TRAINING:g} of n beta, it goes from {first:.3g} to "
                f"{last:.3g}" + ("." if np.isnan(at) else f", half of it at step {at:.0f}.")
            )
        median = float(np.median([value for value, _ in heads]))
        return (
            f"the coefficient of all {self.weights[WHOLE]:,} weights is {whole:.3g}{plateau}; the largest of heads are "
            f"{strongest}, the median of {len(heads)} is {median:.2g}. By rank it agrees with what the loss rises by "
            f"without a part at {found:.2f} (shuffled at most {chance:.2f}); {negative} of {chains} chains are "
            f"negative. In one step, {bases}.{grown}"
        )

    def to_frame(self) -> pd.DataFrame:
        """A row per part: ``part, weights, coefficient, least, most, cost``."""
        rows = [
            {
                "part": name,
                "weights": self.weights[name],
                "coefficient": float(values.mean()),
                "least": float(values.min()),
                "most": float(values.max()),
                "cost": self.cost.get(name, float("nan")),
            }
            for name, values in self.parts.items()
        ]
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """The same."""
        return self.to_frame()

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """`grid`, `basis`, and over snapshots `training` and `onsets`."""
        basis = [
            {"layer": one.layer, "directions": int(k)}
            | {name: float(one.written[name][at]) for name in BASES}
            for one in self.bases
            for at, k in enumerate(one.kept)
        ]
        found = {"basis": pd.DataFrame(basis)}
        if self.grid is not None:
            grid = [
                {"n_beta": n_beta, "step": step, "coefficient": float(self.grid[row, column])}
                for (row, n_beta), (column, step) in product(enumerate(FACTORS), enumerate(FACTORS))
            ]
            found["grid"] = pd.DataFrame(grid)
        if self.over is None:
            return found
        over = self.over
        training = [
            {"training_step": int(step), "part": name, "coefficient": float(values[at])}
            for name, values in over.values.items()
            for at, step in enumerate(over.steps)
        ]
        onsets = [
            {"role": role, "head": head, "looks": over.onsets[role], "coefficient": over.onset(head)}
            for role, head in over.heads.items()
        ]
        return found | {"training": pd.DataFrame(training), "onsets": pd.DataFrame(onsets)}

    def figures(self) -> dict[str, go.Figure]:
        """`degeneracy`."""
        from interp.neighbours.degeneracy_figure import degeneracy_figure

        return {"degeneracy": degeneracy_figure(self)}


def degeneracy(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    snapshots: Sequence[tuple[int, RecurrentTransformer]] = (),
    n_beta: float = OF_WHOLE.n_beta,
    chains: int = 2,
    n_steps: int = 48,
    plateau: bool = True,
    length: float = 1.0,
    seed: int = 0,
) -> Degeneracy:
    """Estimate coefficients of a model, and of snapshots (training step, model) of its training.

    n_beta: of the density; of snapshots 0.3 of it. chains: of every estimate of the model; of snapshots one. n_steps:
    steps of the algorithm that the loss is the mean of, at most. plateau: whether to estimate at other steps and
    temperatures too. length: of chains, relative to :data:`OF_WHOLE` and :data:`OF_PART`.

    Raises:
        ValueError: no graphs or chains, an n beta or a length that is not positive, or one so large that a chain runs
            away.
    """
    if chains < 1 or not length > 0:
        raise ValueError(f"chains={chains}, length={length}; allowed: 1 chain or more, a length above 0")
    (steps,) = step_sets(model, graphs, n_steps, seed=seed)
    parts = all_parts(model)
    with _moving(model), phase(0.0, 0.5):
        found = {
            name: np.array(
                [
                    estimate(model, steps, part, _sampler(name, n_beta, length), seed + chain)
                    for chain in range(chains)
                ]
            )
            for name, part in followed(parts.items())
        }
    with _moving(model), phase(0.5, 0.7):
        grid = _plateau(model, steps, _sampler(WHOLE, n_beta, length), seed) if plateau else None
    with phase(0.7, 1.0):
        over = _over(snapshots, graphs[:4], steps, IN_TRAINING * n_beta, length, seed)
    loss = steps.loss(model)
    return Degeneracy(
        parts=found,
        weights={name: sum(one.of(one.tensor).numel() for one in part) for name, part in parts.items()},
        cost={name: _without(model, steps, name) - loss for name in parts if name != WHOLE},
        grid=grid,
        loss=loss,
        n_steps=len(steps),
        bases=tuple(interaction_basis(model, steps, layer, seed) for layer in range(model.cfg.n_layers)),
        over=over,
    )


def all_parts(model: RecurrentTransformer) -> dict[str, list[Part]]:
    """Name -> its weights: all, then every head and every MLP."""
    found = {WHOLE: [Part(weight) for weight in model.parameters()]}
    for layer, block in enumerate(model.layers):
        # Position scores that every head has a row of belong to the head.
        tensors = [weight for name, weight in block.attn.named_parameters() if name != "b_O"]
        for head in range(model.cfg.n_heads):
            found[f"{layer}.{head}"] = [Part(one, head) for one in tensors if len(one) == model.cfg.n_heads]
    for layer, block in enumerate(model.layers):
        found[f"mlp{layer}"] = [Part(weight) for weight in block.mlp.parameters()]
    return found


def estimate(
    model: RecurrentTransformer, steps: StepSet, parts: Sequence[Part], sampler: Sampler, seed: int = 0
) -> float:
    """The coefficient by one chain over these weights, which must require gradients; they are put back.

    Raises:
        ValueError: a chain whose losses are no numbers any more.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = langevin(steps.losses(model), parts, sampler, generator)
    if not np.isfinite(drawn).all():
        raise ValueError(
            f"a chain ran away at n beta {sampler.n_beta:g} and step {sampler.step:g}: its losses are no numbers; "
            "allowed: a smaller n beta"
        )
    return coefficient(drawn, steps.loss(model), sampler.n_beta)


@contextmanager
def _moving(model: RecurrentTransformer) -> Generator[None]:
    """All weights require gradients, as they may not have before."""
    before = {weight: weight.requires_grad for weight in model.parameters()}
    try:
        model.requires_grad_(True)
        yield
    finally:
        for weight, asked in before.items():
            weight.requires_grad_(asked)


def _sampler(part: str, n_beta: float, length: float) -> Sampler:
    return _as_long(replace(OF_WHOLE if part == WHOLE else OF_PART, n_beta=n_beta), length)


def _as_long(sampler: Sampler, length: float) -> Sampler:
    return replace(sampler, draws=max(1, round(length * sampler.draws)), burn=round(length * sampler.burn))


def _without(model: RecurrentTransformer, steps: StepSet, part: str) -> float:
    """Loss with a head or an MLP at zero."""
    layer, _, head = part.removeprefix("mlp").partition(".")
    on = np.ones(model.cfg.n_heads if head else 1, bool)
    on[int(head or 0)] = False
    with only(model, {f"blocks.{layer}.{HEADS if head else MLPS}": on}):
        return steps.loss(model)


def _correlated(one: Floats, other: Floats) -> float:
    if not np.ptp(one) or not np.ptp(other):
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _plateau(model: RecurrentTransformer, steps: StepSet, sampler: Sampler, seed: int) -> Floats:
    """Float [n beta, step], of all weights; a chain of half the step is twice as long."""
    parts = all_parts(model)[WHOLE]
    found = np.zeros((len(FACTORS), len(FACTORS)))
    for (row, n_beta), (column, step) in followed(list(product(enumerate(FACTORS), enumerate(FACTORS)))):
        other = replace(sampler, n_beta=n_beta * sampler.n_beta, step=step * sampler.step)
        other = _as_long(other, 1 / step)
        found[row, column] = estimate(model, steps, parts, other, seed)
    return found


def _over(
    snapshots: Sequence[tuple[int, RecurrentTransformer]],
    graphs: Sequence[ComputationGraph],
    steps: StepSet,
    n_beta: float,
    length: float,
    seed: int,
) -> Over | None:
    if not snapshots:
        return None
    values: dict[str, list[float]] = {}
    for _, model in followed(snapshots):
        with _moving(model):
            for name, part in followed(all_parts(model).items()):
                values.setdefault(name, []).append(
                    estimate(model, steps, part, _sampler(name, n_beta, length), seed)
                )
    heads = head_separation(snapshots[-1][1], graphs, snapshots, seed)
    table: Any = heads.onsets()
    looks = {str(row["what"]): float(row["onset"]) for row in table.to_dict("records")}
    looks.pop("separation")
    best = {
        f"{kind}:{place}": heads.mass[-1, k, p]
        for (k, kind), (p, place) in product(enumerate(KINDS), enumerate(PLACES))
    }
    named = {
        role: "{}.{}".format(*np.unravel_index(int(one.argmax()), one.shape)) for role, one in best.items()
    }
    return Over(
        np.array([step for step, _ in snapshots]),
        {name: np.array(one) for name, one in values.items()},
        looks,
        named,
    )
