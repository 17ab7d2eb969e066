"""Cross-step patching: what a site held at step i of the clean run, put in at step j of the corrupt run.

One block of weights runs at every step, so an activation of one step can stand in for that of another; S[i, j] says
whether it still means the same there. Normalised: 0 is the corrupt run's end, 1 the clean run's.

What counts as right is a node's true value in the clean graph, in the measurement as in the prediction. Where a run has
fewer steps than a node is deep, the node ends EMPTY in both runs, which is right in neither.

What the graph predicts. The synchronous algorithm (:mod:`interp.synchronous`) says what a site carries at step i and
what becomes of it when it is put in at step j; :data:`interp.causal.cross_step_prediction.CARRIES` are the
hypotheses it can be given:

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

A metric is predicted from symbols: a node counts 1 where it shows its true value in the clean graph, -1 (``logit_diff``
only) where it shows that in the corrupt one, else 0 (for logits a convention: where a node is EMPTY they need not be
equal).

What is evidence. :attr:`CrossStep.evidence` are the cells where the prediction with the patch is not the one without:
only there can a patch do what is predicted, and :meth:`CrossStep.matched` counts them alone; "nothing happens" is
counted apart (:meth:`CrossStep.silent_matched`). Where the site is all that the rest of a run depends on
(:data:`WHOLE`, at all positions), the run goes on as the clean run did because a model is a function of its state: that
follows from determinism, whatever the model has learned, so no cell of such a matrix is evidence
(:attr:`CrossStep.whole`). It checks the engine instead (:attr:`CrossStep.consistent`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.causal.agreement import Agreement
from interp.causal.cross_step_prediction import predicted_matrix, score_of
from interp.causal.loop_cross_step import loop_cross_step
from interp.causal.metric_records import METRICS, predicted_metrics
from interp.causal.metrics import Answer, measure
from interp.causal.normalising import normalised
from interp.causal.patching import record_pair
from interp.causal.stored_pair import read_about
from interp.engine.interventions import Recording, SetFrom, record
from interp.engine.replay import Progress, run_interventions
from interp.engine.sites import Site, resolve, rhs
from interp.engine.sparse.tally import Exactness, Tally
from interp.loop.either import also_for_loops
from interp.npz import read_npz, write_npz
from models.graph import ComputationGraph
from models.hook_points import SITES
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

"""Those of :mod:`interp.causal.metrics` that symbols determine."""
WHOLE: Final = tuple(short for short, point in SITES.items() if point.whole)
"""Sites that, at all positions and with all factors, are all that the rest of a run depends on."""
Positions = int | str | Sequence[int | str]


@one_line
@dataclass(frozen=True, eq=False)
class CrossStep:
    """The matrix S and its prediction.

    Attributes:
        sites: what is put in together, without a step.
        raw: float [from step, to step]; the metric.
        predicted: float [from step, to step], normalised; None where the site says nothing about what it carries; nan
            where the two graphs show the same at the nodes after n_steps steps.
        unpatched: float [to step], normalised; what is predicted for the corrupt run without a patch, read when the
            cells of that column are; None where ``predicted`` is.
        carries: the hypothesis behind the prediction.
        lag: how many steps after step j the metric is read; None: after the last step, n_steps - 1.
        clean, corrupt: the metric after step n_steps - 1 of the two runs, true values being the answers.
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
    unpatched: NDArray[np.float64] | None
    carries: str | None
    clean_graph: ComputationGraph
    corrupt_graph: ComputationGraph

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        about = {
            "sites": [site.to_dict() for site in self.sites],
            **{
                name: getattr(self, name)
                for name in ("metric", "nodes", "lag", "clean", "corrupt", "carries")
            },
            "clean_graph": self.clean_graph.to_json(),
            "corrupt_graph": self.corrupt_graph.to_json(),
        }
        arrays: dict[str, Any] = {"raw": self.raw, "about": np.array(json.dumps(about))}
        for name in ("predicted", "unpatched"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        return write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> CrossStep:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        arrays = read_npz(path)
        about = read_about(arrays)
        found = {name: arrays.get(name) for name in ("predicted", "unpatched")}
        return cls(raw=arrays["raw"], **found, **about)

    @property
    def n_steps(self) -> int:
        """Side of the matrix."""
        return len(self.raw)

    @property
    def normalised(self) -> NDArray[np.float64]:
        """Float [from step, to step]: 0 as at the corrupt run's end, 1 as at the clean run's; nan where they agree."""
        return normalised(self.raw, self.clean, self.corrupt)

    @property
    def predicts(self) -> bool:
        """Whether there is a prediction, and the two graphs show something else at the nodes after n_steps steps."""
        return self.predicted is not None and bool(np.isfinite(self.predicted).all())

    @property
    def whole(self) -> bool:
        """Whether all that the rest of the run depends on is put in, so that its course follows from determinism."""
        return len(self.sites) == 1 and any(
            site.name in WHOLE and site.pos == "all" and site.factor is None for site in self.sites
        )

    @property
    def evidence(self) -> NDArray[np.bool_]:
        """Bool [from step, to step]: the cells where an effect is predicted; none where :attr:`predicts` is false, and
        none where :attr:`whole` is true.
        """
        if self.whole:
            return np.zeros(self.raw.shape, dtype=bool)
        return self._effect_predicted

    @property
    def _effect_predicted(self) -> NDArray[np.bool_]:
        if self.predicted is None or self.unpatched is None or not self.predicts:
            return np.zeros(self.raw.shape, dtype=bool)
        return ~np.isclose(self.predicted, self.unpatched[None, :])

    def matched(self, tolerance: float = 0.1) -> float:
        """Of :attr:`evidence`, the share that is as predicted, up to ``tolerance`` in normalised units; nan without
        any.
        """
        return (
            float("nan") if self.predicted is None else self._share(self.predicted, self.evidence, tolerance)
        )

    def matched_by_nothing(self, tolerance: float = 0.1) -> float:
        """The same for the prediction that no patch has any effect: what the score has to beat."""
        if self.unpatched is None:
            return float("nan")
        return self._share(np.broadcast_to(self.unpatched, self.raw.shape), self.evidence, tolerance)

    def silent_matched(self, tolerance: float = 0.1) -> float:
        """Of the cells where no effect is predicted, the share without one; nan without any, and for :attr:`whole`."""
        if self.predicted is None or self.whole or not self.predicts:
            return float("nan")
        return self._share(self.predicted, ~self._effect_predicted, tolerance)

    @property
    def consistent(self) -> bool:
        """Of a :attr:`whole` site, whether cells that determinism makes alike are alike, up to rounding: those with as
        many steps of the clean run in all (i of them before the patch, and those from step j to where it is read).
        """
        if self.lag is not None:
            return bool(np.allclose(self.raw, self.raw[:, :1], atol=1e-4))
        return bool(np.allclose(self.raw[1:, 1:], self.raw[:-1, :-1], atol=1e-4))

    def _share(self, predicted: NDArray[np.float64], cells: NDArray[np.bool_], tolerance: float) -> float:
        near = np.abs(self.normalised - predicted) <= tolerance
        return float(near[cells].mean()) if cells.any() else float("nan")

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
        """One row per cell: ``from_step``, ``to_step``, ``read_after`` (a step), raw, normalised and predicted metric,
        and whether the cell is :attr:`evidence`.
        """
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
            frame["evidence"] = self.evidence.ravel()
        return frame

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.causal.cross_step_figure.cross_step_figure`."""
        from interp.causal.cross_step_figure import cross_step_figure

        return cross_step_figure([self], width)

    def __str__(self) -> str:
        """What was found, in one line."""
        where = "; ".join(_described(site) for site in self.sites[:2]) + (
            " ..." if len(self.sites) > 2 else ""
        )
        if self.predicted is None:
            return f"{where}: no prediction"
        if not self.predicts:
            return f"{where}: after {self.n_steps} steps the graphs show the same at the nodes read"
        if self.whole:
            return (
                f"{where}: the whole state, so what follows is determined; a check of the engine, no evidence"
            )
        return (
            f"{where} ({self.carries}): {self.matched():.1%} of {self.evidence.sum()} cells with a predicted effect as "
            f"predicted, {self.matched_by_nothing():.1%} by no effect, correlation {self.correlation:.3f}"
        )


@also_for_loops(loop_cross_step)
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
    exact: Exactness = "states",
    tally: Tally | None = None,
) -> CrossStep:
    """Measure S over all pairs of steps, and predict it.

    Of another looped model arguments and result are those of :func:`interp.loop_cross_step`; nothing is predicted.

    Args:
        name, layer, head: the site, as for :class:`interp.Site`.
        pos: one position, "all", "rhs" (all right-hand sides), or several that are put in together.
        metric: one of `interp.causal.metric_records.predicted_metrics`.
        nodes: which the metric reads; default: those whose true value differs between the graphs.
        lag: read the metric this many steps after step j (0: in step j's own output); None: at the end of the run.
        n_steps: steps i and j are taken from; default: as many as the longer of the two runs has.
        carries: one of :data:`interp.causal.cross_step_prediction.CARRIES`; default as the site's name says.
        tokens, progress, exact, tally: as for :func:`interp.run_interventions`.

    Raises:
        SiteError: a site that does not exist. PatchingError: texts of different length.
        ValueError: graphs of different size, an unknown metric, node, or hypothesis, a negative lag.

    Examples:
        >>> from interp import cross_step_matrix
        >>> from models import ComputationGraph, load
        >>> texts = "20 = a; 2 = b; a + b = c", "7 = a; 2 = b; a + b = c"
        >>> clean, corrupt = map(ComputationGraph.parse, texts)
        >>> found = cross_step_matrix(load("compiled"), clean, corrupt, "resid_post", layer=2, pos="rhs")
        >>> found.matched()
        1.0
    """
    if len(clean) != len(corrupt):
        raise ValueError(f"the graphs have {len(clean)} and {len(corrupt)} nodes; allowed: the same number")
    if metric not in predicted_metrics():
        raise ValueError(f"metric is {metric!r}; allowed are {', '.join(predicted_metrics())}")
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
    answer = Answer.true(runs[0].trajectory, runs[1].trajectory, nodes, count)
    raw = _measured(model, runs, sites, answer, metric, lag, count, tokens, progress, exact, tally)
    ends = [
        measure(metric, next(run_interventions(model, run, [()], count, _logits_at(metric))), answer)
        for run in runs
    ]
    hypothesis = carries or _default(sites[0], model)
    predicted = unpatched = None
    if hypothesis is not None:
        score = partial(score_of, clean=clean, corrupt=corrupt, nodes=nodes, signed=METRICS[metric].signed)
        predicted, unpatched = predicted_matrix(
            clean, corrupt, sites, runs[0].encoded, score, lag, count, hypothesis
        )
    return CrossStep(
        sites=sites,
        metric=metric,
        nodes=tuple(nodes),
        lag=lag,
        raw=raw,
        clean=ends[0],
        corrupt=ends[1],
        predicted=predicted,
        unpatched=unpatched,
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
    exact: Exactness,
    tally: Tally | None,
) -> NDArray[np.float64]:
    source, base = runs
    raw = np.empty((count, count))
    source.keep((sites[0].hook_name, step) for step in range(count))
    # A metric is read at the end of a run, so a lag needs runs of as many lengths as there are steps j.
    for columns in [range(count)] if lag is None else [range(j, j + 1) for j in range(count)]:
        cells = [(i, j) for j in columns for i in range(count)]
        patches = [[SetFrom(replace(site, step=j), source, i) for site in sites] for i, j in cells]
        length = count if lag is None else columns[0] + lag + 1
        replays = run_interventions(
            model, base, patches, length, _logits_at(metric), tokens, exact=exact, tally=tally
        )
        for done, (cell, replay) in enumerate(zip(cells, replays, strict=True), start=1):
            raw[cell] = measure(metric, replay, answer)
            if progress is not None:
                progress(columns[0] * count + done, count * count)
    return raw


def _logits_at(metric: str) -> Literal["rhs"] | None:
    return None if METRICS[metric].scores is None else "rhs"


def _default(site: Site, model: RecurrentTransformer) -> str | None:
    if site.name in ("state", "embed") or (site.name == "resid_pre" and site.layer == 0):
        return "entering"
    last = site.name == "resid_post" and site.layer == model.cfg.n_layers - 1
    return "output" if last or site.name == "logits" else None


def _described(site: Site) -> str:
    return str(site).partition(" · ")[2]
