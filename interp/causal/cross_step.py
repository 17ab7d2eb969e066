"""Cross-step patching: what a site held at step i of the clean run, put in at step j of the corrupt run.

One block of weights runs at every step, so an activation of one step can stand in for that of another; S[i, j] says
whether it still means the same there. Normalised: 0 is the corrupt run's end, 1 the clean run's.

What the graph predicts. The synchronous algorithm (:mod:`interp.synchronous`) says what a site carries at step i and
what becomes of it when it is put in at step j; :data:`CARRIES` are the hypotheses it can be given:

``entering``     (default for ``state``, ``embed``, ``resid_pre`` of layer 0) the symbol in the state that enters the
                 step. A right-hand side carries its node's value iff i > depth, EMPTY before. Step j reads it at every
                 operand that names the node, and overwrites it: after step j + k it is seen in nodes that a walk of
                 exactly k + 1 edges leads to, and nowhere else. Any other token is part of the text, the same at
                 every i, and is copied on: it acts from step j to the end.
``output``       (default for ``resid_post`` of the last layer, and ``logits``) the symbol in the state that follows:
                 the value iff i >= depth. The step's own readout shows it, at whatever j; then the same as above,
                 with walks of exactly k edges.
``operand:<k>``  (no default; for ``z`` of a head, say) the value of operand k (from 0; -1 is the last) of the node at
                 whose right-hand side it stands, as in the state that enters the step: known iff i > the operand's
                 depth. Step j computes the node with it and the other operands it finds.

With all positions at once the run goes on from j as the clean run does from i, so node n is restored after k more
steps iff i + k >= its depth (``output``; ``entering``: i + k > depth): S depends on i - j alone, read at the end.

A metric is predicted from symbols: a node counts 1 where it shows the clean value, -1 (``logit_diff`` only) where it
shows the corrupt one, else 0 (for logits a convention: where a node is EMPTY they need not be equal). A prediction that
is met is evidence only where it is not constant: :meth:`CrossStep.matched` is to be read beside
:meth:`CrossStep.matched_by_nothing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.causal.agreement import Agreement
from interp.causal.metrics import Answer, measure
from interp.causal.patching import record_pair
from interp.interventions import Recording, SetFrom, record
from interp.replay import Progress, run_interventions
from interp.sites import Site, position_of, resolve, rhs
from interp.synchronous import SymbolicState, symbolic_run, token_places
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.vocabulary import EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

METRICS: Final = ("accuracy", "logit_diff", "prob")
"""Those of :mod:`interp.causal.metrics` that symbols determine."""
CARRIES: Final = ("entering", "output", "operand:<k>")
Positions = int | str | Sequence[int | str]


@dataclass(frozen=True, eq=False)
class CrossStep:
    """The matrix S and its prediction.

    Attributes:
        sites: what is put in together, without a step.
        raw: float [from step, to step]; the metric.
        predicted: float [from step, to step], normalised; None where the site says nothing about what it carries.
        carries: the hypothesis behind the prediction.
        lag: how many steps after step j the metric is read; None: after the last step, n_steps - 1.
        clean, corrupt: the metric after the last step of the two runs.
        nodes: which the metric reads.
    """

    sites: tuple[Site, ...]
    metric: str
    nodes: tuple[int, ...]
    lag: int | None
    raw: NDArray[np.float64]
    clean: float
    corrupt: float
    predicted: NDArray[np.float64] | None
    carries: str | None
    clean_graph: ComputationGraph
    corrupt_graph: ComputationGraph

    @property
    def n_steps(self) -> int:
        """Side of the matrix."""
        return len(self.raw)

    @property
    def normalised(self) -> NDArray[np.float64]:
        """Float [from step, to step]: 0 as at the corrupt run's end, 1 as at the clean run's; nan where they agree."""
        return _normalised(self.raw, self.clean, self.corrupt)

    def matched(self, tolerance: float = 0.1) -> float:
        """The share of cells that are as predicted, up to ``tolerance`` in normalised units; nan without prediction."""
        return float("nan") if self.predicted is None else self._share(self.predicted, tolerance)

    def matched_by_nothing(self, tolerance: float = 0.1) -> float:
        """The same for the prediction that no patch has any effect (0 everywhere): what the score has to beat."""
        return self._share(np.zeros_like(self.raw), tolerance)

    def _share(self, predicted: NDArray[np.float64], tolerance: float) -> float:
        return float((np.abs(self.normalised - predicted) <= tolerance).mean())

    @property
    def correlation(self) -> float:
        """Pearson's, of prediction and measurement over the cells; nan where one is constant or there is none."""
        if self.predicted is None:
            return float("nan")
        cells = tuple(np.ndindex(self.raw.shape))
        return Agreement(
            "synchronous algorithm", cells, self.predicted.ravel(), self.normalised.ravel()
        ).pearson

    def to_frame(self) -> pd.DataFrame:
        """One row a cell: ``from_step``, ``to_step``, ``read_after`` (a step), raw, normalised and predicted metric."""
        source, target = (axis.ravel() for axis in np.indices(self.raw.shape))
        frame = pd.DataFrame(
            {
                "site": "; ".join(_described(site) for site in self.sites),
                "from_step": source,
                "to_step": target,
                "read_after": self.n_steps - 1 if self.lag is None else target + self.lag,
                "raw": self.raw.ravel(),
                "normalised": self.normalised.ravel(),
            }
        )
        if self.predicted is not None:
            frame["predicted"] = self.predicted.ravel()
        return frame

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.figures.cross_step.cross_step_figure`."""
        from interp.figures.cross_step import cross_step_figure

        return cross_step_figure([self], width)

    def __str__(self) -> str:
        """What was found, in one line."""
        where = "; ".join(_described(site) for site in self.sites[:2]) + (
            " ..." if len(self.sites) > 2 else ""
        )
        if self.predicted is None:
            return f"{where}: no prediction"
        return (
            f"{where} ({self.carries}): {self.matched():.1%} of {self.raw.size} cells as predicted, "
            f"{self.matched_by_nothing():.1%} by no effect, correlation {self.correlation:.3f}"
        )


def cross_step_matrix(
    model: RecurrentTransformer,
    clean: ComputationGraph,
    corrupt: ComputationGraph,
    name: str,
    layer: int | None = None,
    pos: Positions = "all",
    head: int | None = None,
    metric: str = "accuracy",
    nodes: Sequence[int] | None = None,
    lag: int | None = None,
    n_steps: int | None = None,
    carries: str | None = None,
    tokens: int = 4096,
    progress: Progress | None = None,
) -> CrossStep:
    """Measure S over all pairs of steps, and predict it.

    Args:
        name, layer, head: the site, as for :class:`interp.Site`.
        pos: one position, "all", "rhs" (all right-hand sides), or several that are put in together.
        metric: one of :data:`METRICS`.
        nodes: which the metric reads; default: those whose true value differs between the graphs.
        lag: read the metric this many steps after step j (0: in step j's own output); None: at the end of the run.
        n_steps: steps i and j are taken from; default: as many as the longer of the two runs has.
        carries: one of :data:`CARRIES`; default as the site's name says.
        tokens, progress: as for :func:`interp.run_interventions`.

    Raises:
        SiteError: a site that does not exist. PatchingError: texts of different length.
        ValueError: graphs of different size, an unknown metric, node, or hypothesis, a negative lag.
    """
    if len(clean) != len(corrupt):
        raise ValueError(f"the graphs have {len(clean)} and {len(corrupt)} nodes; allowed: the same number")
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; allowed are {', '.join(METRICS)}")
    if lag is not None and lag < 0:
        raise ValueError(f"lag is {lag}; allowed are 0 or more steps, or None for the end of the run")
    if nodes is None:
        values = zip(clean.values_by_node, corrupt.values_by_node, strict=True)
        nodes = [index for index, (one, other) in enumerate(values) if one != other]
    if not nodes or not all(0 <= node < len(clean) for node in nodes):
        raise ValueError(
            f"nodes are {list(nodes)}; allowed is at least one of 0 to {len(clean) - 1} "
            "(by default those whose true value differs, if any does)"
        )
    count = n_steps or max(record(model, graph).n_steps for graph in (clean, corrupt))
    runs = record_pair(model, clean, corrupt, count if lag is None else count + lag)
    where = [rhs(node) for node in range(len(clean))] if pos == "rhs" else pos
    places = [where] if isinstance(where, int | str) else list(where)
    sites = tuple(Site(name, layer=layer, pos=place, head=head) for place in places)
    for site in sites:
        resolve(site, model, runs[0].encoded)
    answer = Answer.of(runs[0].trajectory, runs[1].trajectory, nodes, count)
    raw = _measured(model, runs, sites, answer, metric, lag, count, tokens, progress)
    ends = [
        measure(metric, next(run_interventions(model, run, [()], count, _logits_at(metric))), answer)
        for run in runs
    ]
    hypothesis = carries or _default(sites[0], model)
    predicted = None
    if hypothesis is not None:
        score = partial(_score, clean=clean, corrupt=corrupt, nodes=nodes, signed=metric == "logit_diff")
        predicted = _predicted(clean, corrupt, sites, runs[0].encoded, score, lag, count, hypothesis)
    return CrossStep(
        sites=sites,
        metric=metric,
        nodes=tuple(nodes),
        lag=lag,
        raw=raw,
        clean=ends[0],
        corrupt=ends[1],
        predicted=predicted,
        carries=hypothesis,
        clean_graph=clean,
        corrupt_graph=corrupt,
    )


def _measured(
    model: RecurrentTransformer,
    runs: tuple[Recording, Recording],
    sites: tuple[Site, ...],
    answer: Answer,
    metric: str,
    lag: int | None,
    count: int,
    tokens: int,
    progress: Progress | None,
) -> NDArray[np.float64]:
    source, base = runs
    raw = np.empty((count, count))
    source.keep((sites[0].hook_name, step) for step in range(count))
    # A metric is read at the end of a run, so a lag needs runs of as many lengths as there are steps j.
    for columns in [range(count)] if lag is None else [range(j, j + 1) for j in range(count)]:
        cells = [(i, j) for j in columns for i in range(count)]
        patches = [[SetFrom(replace(site, step=j), source, i) for site in sites] for i, j in cells]
        length = count if lag is None else columns[0] + lag + 1
        replays = run_interventions(model, base, patches, length, _logits_at(metric), tokens)
        for done, (cell, replay) in enumerate(zip(cells, replays, strict=True), start=1):
            raw[cell] = measure(metric, replay, answer)
            if progress is not None:
                progress(columns[0] * count + done, count * count)
    return raw


def _logits_at(metric: str) -> Literal["rhs"] | None:
    return None if metric == "accuracy" else "rhs"


def _predicted(
    clean: ComputationGraph,
    corrupt: ComputationGraph,
    sites: tuple[Site, ...],
    encoded: EncodedGraphs,
    score: Callable[[SymbolicState], float],
    lag: int | None,
    count: int,
    carries: str,
) -> NDArray[np.float64]:
    every = token_places(clean)
    found = [position_of(site.pos, encoded) for site in sites]
    tokens = every if None in found else [every[position] for position in found if position is not None]
    patch = _Patch.parse(carries, tokens)
    length = count if lag is None else count + lag
    source, base = symbolic_run(clean, length), symbolic_run(corrupt, length)
    raw = np.empty((count, count))
    for j in range(count):
        last = count - 1 if lag is None else j + lag
        known: dict[tuple[SymbolicState, SymbolicState], float] = {}
        for i in range(count):
            key = source[i], source[i + 1]
            if key not in known:
                known[key] = score(patch.applied(source, i, base[j], last - j))
            raw[i, j] = known[key]
    ends = (score(run[count]) for run in (source, base))
    return _normalised(raw, *ends)


@dataclass(frozen=True)
class _Patch:
    """A hypothesis about the tokens that are put in; ``operand`` for that kind."""

    kind: str
    tokens: Sequence[tuple[int, int]]
    operand: int = 0

    @classmethod
    def parse(cls, carries: str, tokens: Sequence[tuple[int, int]]) -> _Patch:
        kind, _, number = carries.partition(":")
        if carries in ("entering", "output"):
            return cls(kind, tokens)
        if kind != "operand" or not number.removeprefix("-").isdigit():
            raise ValueError(f"carries is {carries!r}; allowed are {', '.join(CARRIES)}")
        return cls(kind, tokens, int(number))

    def applied(
        self, source: Sequence[SymbolicState], i: int, state: SymbolicState, more: int
    ) -> SymbolicState:
        """The state after the step that ``state`` enters and ``more`` others."""
        if self.kind == "entering":
            state = state.with_tokens(source[i], self.tokens).after()
        elif self.kind == "output":
            state = state.after().with_tokens(source[i + 1], self.tokens)
        else:
            state = state.after(self._operands(source[i]))
        for _ in range(more):
            state = state.after()
        return state

    def _operands(self, source: SymbolicState) -> Mapping[tuple[int, int], int | None]:
        read: dict[tuple[int, int], int | None] = {}
        for index, place in self.tokens:
            operands = source.nodes[index].operands
            if place == 2 * len(operands) and -len(operands) <= self.operand < len(operands):
                which = self.operand % len(operands)
                read[index, which] = source.values[operands[which]]
        return read


def _score(
    state: SymbolicState,
    clean: ComputationGraph,
    corrupt: ComputationGraph,
    nodes: Sequence[int],
    signed: bool,
) -> float:
    """The metric of symbols: share of the nodes that show the clean value, minus, if ``signed``, the corrupt one."""
    shown = [state.values[node] for node in nodes]
    right = sum(value == clean.values_by_node[node] for node, value in zip(nodes, shown, strict=True))
    wrong = sum(value == corrupt.values_by_node[node] for node, value in zip(nodes, shown, strict=True))
    return (right - wrong * signed) / len(nodes)


def _default(site: Site, model: RecurrentTransformer) -> str | None:
    if site.name in ("state", "embed") or (site.name == "resid_pre" and site.layer == 0):
        return "entering"
    last = site.name == "resid_post" and site.layer == model.cfg.n_layers - 1
    return "output" if last or site.name == "logits" else None


def _normalised(raw: NDArray[np.float64], clean: float, corrupt: float) -> NDArray[np.float64]:
    return np.full_like(raw, np.nan) if clean == corrupt else (raw - corrupt) / (clean - corrupt)


def _described(site: Site) -> str:
    return str(site).partition(" · ")[2]
