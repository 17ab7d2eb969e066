"""A model's circuit over steps: found on pairs, judged on others, beside what else would do as well.

Edges are ranked by a method (:mod:`interp.circuits.method_records`) and the first so many are kept that f
(:mod:`interp.circuits.faithfulness`) is large enough and stays so: on the pairs it is judged on taken together, or,
with ``every_pair``, on each of them and of those it was found on. A pair that needs few edges says little of others, so
that the second transfers better. Kept is what the rest is asked about:

    sufficiency   f of the circuit alone
    necessity     1 - f of everything but the circuit
    rivals        a second circuit without any edge of the first, where what is left is enough for one; and edges with a
                  stand-in: the circuit needs them, the whole model does not
    stability     the mean Jaccard index of the circuits, of the same size, that single pairs give; beside it that of
                  circuits drawn at random; more pairs can be given for this alone

No circuit is *the* circuit: what the score of another method, another ablation or other pairs keeps may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.circuits.cut_runs import Cut
from interp.circuits.faithfulness import (
    FaithfulnessCurve,
    circuits_of,
    faithfulness_curve,
    order_of,
    random_curve,
    sizes_of,
    weighted_size,
)
from interp.circuits.method_records import ScoreMethod, score_method
from interp.circuits.pair_runs import PairRuns
from interp.circuits.step_graph import StepGraph
from interp.progress import followed, phase
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

SHARINGS: Final = ("tied", "per-step")
"""An edge is in or out in all steps, or in every step anew."""


@one_line
@dataclass(frozen=True, eq=False)
class Discovery:
    """A circuit, and what speaks for and against it.

    Attributes:
        method, ablation: how edges are scored, and what stands on cut ones.
        sharing: of the circuit that is kept, one of :data:`SHARINGS`.
        graph: the edges of a step.
        scores: sharing -> float [step, edge].
        curves: sharing -> f over sizes; and "random", tied circuits drawn at random.
        kept: bool [step, edge]; the circuit.
        least: f that was asked for; whether it was reached says ``reached``.
        least_each: the least f of the circuit on any one pair, of those it was found and judged on.
        sufficiency, necessity: of ``kept``.
        rival: bool [step, edge]; a circuit without any of its edges with f at least ``least``; None: there is none in
            what is left, which together has f ``1 - necessity``.
        stand_ins: places of kept edges that the whole model can do without and the circuit cannot.
        jaccard, jaccard_random: of the circuits of single pairs; nan with one pair. compared: how many these are.
        found_on, judged_on: numbers of pairs.
        same_pairs: whether they are the same ones.
    """

    method: ScoreMethod
    ablation: str
    sharing: str
    graph: StepGraph
    scores: dict[str, NDArray[np.float64]]
    curves: dict[str, FaithfulnessCurve]
    kept: Cut
    least: float
    least_each: float
    sufficiency: float
    necessity: float
    rival: Cut | None
    stand_ins: tuple[int, ...]
    jaccard: float
    jaccard_random: float
    compared: int
    found_on: int
    judged_on: int
    same_pairs: bool

    @property
    def reached(self) -> bool:
        """Whether the circuit has the f that was asked for."""
        return self.sufficiency >= self.least

    @property
    def curve(self) -> FaithfulnessCurve:
        """Of the sharing that was chosen."""
        return self.curves[self.sharing]

    @property
    def sharing_gap(self) -> float:
        """CPR(per step) - CPR(tied), at equal unique edges."""
        return self.curves["per-step"].cpr - self.curves["tied"].cpr

    @property
    def named(self) -> Cut:
        """Bool [edge]: which edges the circuit uses in some step."""
        return _named(self.kept)

    @property
    def unique_edges(self) -> int:
        """How many these are."""
        return int(self.named.sum())

    @property
    def weighted_size(self) -> float:
        """:func:`interp.circuits.faithfulness.weighted_size`."""
        return weighted_size(self.kept)

    @property
    def heads(self) -> list[tuple[int, int]]:
        """Heads that read and write over kept edges, as (layer, head)."""
        return self.graph.heads_of(self.named)

    def to_frame(self) -> pd.DataFrame:
        """One row per step and edge: ``step``, ``from``, ``to``, ``score``, ``kept``."""
        n_steps, n_edges = len(self.kept), len(self.graph.edges)
        names = [edge.names for edge in self.graph.edges]
        return pd.DataFrame(
            {
                "step": np.repeat(np.arange(n_steps), n_edges),
                "from": [writer for writer, _ in names] * n_steps,
                "to": [reader for _, reader in names] * n_steps,
                "score": self.scores[self.sharing].ravel(),
                "kept": self.kept.ravel(),
            }
        )

    def figures(self, width: int = 1000) -> dict[str, go.Figure]:
        """:mod:`interp.circuits.discovery_figure`: f over sizes, and the edges kept."""
        from interp.circuits.discovery_figure import edges_figure, faithfulness_figure

        return {"faithfulness": faithfulness_figure(self, width), "edges": edges_figure(self, width)}


def discover(
    runs: PairRuns,
    judged: PairRuns | None = None,
    method: str = "exact",
    sharing: str = "tied",
    least: float = 0.95,
    draws: int = 5,
    seed: int = 0,
    every_pair: bool = False,
    resampled: PairRuns | None = None,
) -> Discovery:
    """Find a circuit on ``runs`` and judge it on ``judged`` (None: on the same).

    Args:
        method: one of :data:`interp.circuits.method_records.SCORE_METHODS`.
        sharing: of the circuit that is kept; curves are made of both.
        least: f that it should have.
        draws: random circuits of every size. seed: of these, and of methods that draw.
        every_pair: whether every pair must have it, those that the circuit was found on too.
        resampled: other pairs, whose own circuits are compared with those of ``runs``.

    Raises:
        ValueError: an unknown method or sharing, ``least`` not in 0..1; pairs on which the whole model and nothing at
            all have the same metric.

    Examples:
        >>> from interp import discover, pair_runs
        >>> from models import ComputationGraph, load
        >>> pair = [ComputationGraph.parse(f"{leaf} = a; 2 = b; a + b = c") for leaf in (20, 7)]
        >>> found = discover(pair_runs(load("compiled"), [pair]), draws=1)
        >>> found.unique_edges, found.heads
        (8, [(0, 1), (1, 1)])
    """
    chosen = score_method(method)
    if sharing not in SHARINGS:
        raise ValueError(f"sharing is {sharing!r}; allowed are {', '.join(SHARINGS)}")
    if not 0 < least <= 1:
        raise ValueError(f"least is {least}; allowed is a faithfulness above 0 and up to 1")
    judged_on = runs if judged is None else judged
    if judged_on.ends[0] == judged_on.ends[1]:
        raise ValueError(
            "with every edge cut the metric is as with none, so that nothing says what a circuit does; allowed are "
            f"pairs that differ at what is read, or another ablation than {runs.ablation!r}"
        )
    with phase(0.0, 0.4 if chosen.estimates else 0.3):
        alone = {one: _scores_by_pair(chosen, runs, one == "tied", seed) for one in followed(SHARINGS)}
    with phase(0.4 if chosen.estimates else 0.3, 0.6):
        scores = {
            one: np.mean(alone[one], axis=0) if chosen.estimates else chosen.scores(runs, one == "tied", seed)
            for one in followed(SHARINGS)
        }
    fitted = {one: of_length(judged_on, scores[one]) for one in SHARINGS}
    with phase(0.6, 0.8):
        curves = {
            one: faithfulness_curve(judged_on, fitted[one], one == "tied") for one in followed(SHARINGS)
        }
    with phase(0.8, 0.9):
        curves["random"] = random_curve(judged_on, draws, seed)
    tied = sharing == "tied"
    sides = [judged_on] if judged is None else [judged_on, runs]
    kept = _kept(judged_on, fitted[sharing], tied, least, sides if every_pair else None)
    found = judged_on.faithfulness([kept, ~kept])
    more = [] if resampled is None else _scores_by_pair(chosen, resampled, tied, seed)
    own = [_top(of_length(judged_on, each), int(kept.sum()), tied) for each in (*alone[sharing], *more)]
    return Discovery(
        method=chosen,
        ablation=runs.ablation,
        sharing=sharing,
        graph=runs.graph,
        scores=fitted,
        curves=curves,
        kept=kept,
        least=least,
        least_each=min(float(side.faithfulness_each([of_length(side, kept)]).min()) for side in sides),
        sufficiency=float(found[0]),
        necessity=float(1 - found[1]),
        rival=_rival(judged_on, fitted[sharing], kept, tied, least, float(found[1])),
        stand_ins=_stand_ins(judged_on, kept, least) if tied else (),
        jaccard=_mean_jaccard(own),
        jaccard_random=_mean_jaccard(_drawn(kept, draws, seed, tied)),
        compared=len(own),
        found_on=len(runs.pairs),
        judged_on=len(judged_on.pairs),
        same_pairs=judged is None,
    )


def _named(kept: Cut) -> Cut:
    """Bool [edge] of bool [step, edge]: in some step."""
    return cast(Any, kept).any(0)


def _scores_by_pair(method: ScoreMethod, runs: PairRuns, tied: bool, seed: int) -> list[NDArray[np.float64]]:
    """Every pair alone; where scores are no estimates of m and there is one pair only, nothing is asked twice."""
    return [method.scores(replace(runs, pairs=(pair,)), tied, seed) for pair in followed(runs.pairs)]


def of_length(runs: PairRuns, scores: NDArray[Any]) -> NDArray[Any]:
    """Scores or a circuit, [step, edge], for runs of another length: the last step goes on, or later ones are cut."""
    missing = runs.n_steps - len(scores)
    return (
        scores[: runs.n_steps] if missing <= 0 else np.concatenate([scores, scores[-1:].repeat(missing, 0)])
    )


def _top(scores: NDArray[np.float64], n: int, tied: bool) -> Cut:
    """The ``n`` (step, edge) cells with the largest scores by magnitude; of a tied circuit whole edges."""
    kept = np.zeros(scores.shape, bool)
    order = order_of(scores, tied, signed=False)
    if tied:
        kept[:, order[: n // len(scores)]] = True
    else:
        kept.ravel()[order[:n]] = True
    return kept


def _kept(
    runs: PairRuns,
    scores: NDArray[np.float64],
    tied: bool,
    least: float,
    sides: Sequence[PairRuns] | None,
) -> Cut:
    """The smallest circuit of the ranking from which on f is large enough, without edges that lead nowhere.

    sides: runs whose every pair must have it; None: ``runs`` as a whole.
    """

    def circuits(side: PairRuns, sizes: Sequence[int]) -> list[Cut]:
        return circuits_of(order_of(of_length(side, scores), tied, signed=False), sizes, side.shape, tied)

    def held(sizes: Sequence[int]) -> NDArray[np.float64]:
        if sides is None:
            return runs.faithfulness(circuits(runs, sizes))
        each = [side.faithfulness_each(circuits(side, sizes)) for side in sides]
        return np.concatenate(each, axis=1).min(1)

    n_edges = runs.shape[1]
    counts = sizes_of(n_edges)
    coarse = held([int(count) for count in counts])
    upper = FaithfulnessCurve(n_edges, counts, coarse, coarse).smallest(least) or n_edges
    below = [int(count) for count in counts if count < upper]
    sizes = list(range(below[-1] + 1 if below else 0, upper + 1))
    enough = held(sizes) >= least
    first = int(np.argmax(enough)) if enough.any() else len(sizes) - 1
    return _leading(runs.graph, circuits(runs, sizes[first : first + 1])[0])


def _leading(graph: StepGraph, kept: Cut) -> Cut:
    """Without edges into heads and MLPs that reach the logits over no kept edge: they change nothing."""
    left = kept.copy()
    for step in left:
        alive: set[Any] = set()
        for reader in reversed(graph.readers):
            kind, layer, head = reader
            span = graph.spans[reader]
            part = "mlp" if kind == "mlp" else "head"
            if kind != "logits" and (part, layer, head) not in alive:
                step[span] = False
            for place in np.flatnonzero(step[span]):
                alive.add(graph.writers[int(place)])
    return left


def _rival(
    runs: PairRuns, scores: NDArray[np.float64], kept: Cut, tied: bool, least: float, left: float
) -> Cut | None:
    if not left >= least:
        return None
    order = order_of(np.where(kept, 0.0, scores), tied, signed=False)
    sizes = list(range(1, int(_named(~kept).sum()) + 1))
    circuits = [one & ~kept for one in circuits_of(order, sizes, runs.shape, tied)]
    enough = runs.faithfulness(circuits) >= least
    return circuits[int(np.argmax(enough))] if enough.any() else None


def _stand_ins(runs: PairRuns, kept: Cut, least: float) -> tuple[int, ...]:
    edges = [int(edge) for edge in np.flatnonzero(_named(kept))]
    without: list[Cut] = [~one for one in np.eye(kept.shape[1], dtype=bool)[edges]]
    of_circuit = runs.faithfulness([kept & one for one in without])
    of_model = runs.faithfulness(without)
    return tuple(
        edge for edge, own, whole in zip(edges, of_circuit, of_model, strict=True) if own < least <= whole
    )


def _mean_jaccard(circuits: Sequence[Cut]) -> float:
    """Mean over pairs of circuits of what both have, of what either has."""
    both = [((one & other).sum(), (one | other).sum()) for one, other in combinations(circuits, 2)]
    return float(np.mean([shared / max(either, 1) for shared, either in both])) if both else float("nan")


def _drawn(kept: Cut, draws: int, seed: int, tied: bool) -> list[Cut]:
    rng = np.random.default_rng(seed)
    scores = [rng.random(kept.shape) for _ in range(max(draws, 2))]
    return [_top(one, int(kept.sum()), tied) for one in scores]
