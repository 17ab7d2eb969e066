"""Activation patching per recurrence step: activations of one run put into another, site by site.

``denoise`` puts the clean run's activation into the corrupt run and asks how much of the clean answer comes back;
``noise`` puts the corrupt run's activation into the clean run and asks how much is lost. Normalised, the corrupt
run's metric is 0 and the clean run's 1 in both directions (Zhang & Nanda 2024). A patch that restores an answer shows
that what differs between the two texts passed through that place; a place can be used and still show nothing, where
the rest of the run makes up for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.causal.loop_sweep import loop_patch_sweep
from interp.causal.metric_records import METRICS
from interp.causal.metrics import Answer, Metric, answered, measure, no_answer
from interp.causal.normalising import Direction, base_and_source, normalised
from interp.causal.stored_pair import read_about
from interp.engine.interventions import Recording, SetFrom, record
from interp.engine.replay import Replay, run_interventions
from interp.engine.sites import Site, position_of
from interp.engine.sparse.tally import Exactness, Tally
from interp.loop.either import also_for_loops
from interp.npz import read_npz, write_npz
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import EncodedGraphs, FactoredVocabulary

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

AXES = ("step", "layer", "pos", "head")


class PatchingError(ValueError):
    """Two runs that cannot be patched into each other, or a question that has no answer."""


@one_line
@dataclass(frozen=True, eq=False)
class PatchSweep:
    """The metric after a patch at each site.

    Attributes:
        sites: what was patched.
        raw: float [site], the metric.
        clean, corrupt: the metric of the two runs without patch.
        nodes: the nodes the metric reads, in text order.
        n_steps: length of all runs.
        seconds: wall-clock of the sweep.
        tally: what of it was computed; None in a sweep that was saved by an earlier version.
    """

    sites: tuple[Site, ...]
    raw: NDArray[np.float64]
    clean: float
    corrupt: float
    metric: str
    direction: Direction
    nodes: tuple[int, ...]
    clean_graph: ComputationGraph
    corrupt_graph: ComputationGraph
    n_steps: int
    seconds: float
    tally: Tally | None = None

    @property
    def normalised(self) -> NDArray[np.float64]:
        """Float [site]: 0 for the corrupt run's metric, 1 for the clean run's; nan where the two are equal."""
        return normalised(self.raw, self.clean, self.corrupt)

    def grid(
        self, rows: str = "step", columns: str = "pos"
    ) -> tuple[NDArray[np.float64], list[Any], list[Any]]:
        """Normalised effects [row, column] and the labels of both axes, in order of appearance; nan: no such site.

        Where several sites share a cell, the one with the largest absolute effect stands for them.

        Raises:
            PatchingError: an axis that sites do not have.
        """
        for axis in (rows, columns):
            if axis not in AXES:
                raise PatchingError(f"there is no axis {axis!r}; there are {', '.join(AXES)}")
        row_of, column_of = (
            {label: index for index, label in enumerate(dict.fromkeys(getattr(s, axis) for s in self.sites))}
            for axis in (rows, columns)
        )
        cells = np.full((len(row_of), len(column_of)), np.nan)
        for site, effect in zip(self.sites, self.normalised, strict=True):
            cell = row_of[getattr(site, rows)], column_of[getattr(site, columns)]
            if np.isnan(cells[cell]) or abs(effect) > abs(cells[cell]):
                cells[cell] = effect
        return cells, list(row_of), list(column_of)

    def to_frame(self) -> pd.DataFrame:
        """One row per site: site, step, name, layer, pos, position, head, factor, raw, normalised."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        encoded = _encode(self.clean_graph)
        records = [
            {
                "site": str(site),
                **{axis: getattr(site, axis) for axis in ("step", "name", "layer")},
                "pos": str(site.pos),
                "position": position_of(site.pos, encoded),
                "head": site.head,
                "factor": site.factor,
                "raw": raw,
                "normalised": normalised,
            }
            for site, raw, normalised in zip(
                self.sites, self.raw.tolist(), self.normalised.tolist(), strict=True
            )
        ]
        return pd.DataFrame(records).convert_dtypes(
            convert_string=False, convert_boolean=False, convert_floating=False
        )

    def figure(self, rows: str | None = None, columns: str | None = None) -> go.Figure:
        """See :func:`interp.causal.patching_figure.patching_figure`."""
        from interp.causal.patching_figure import patching_figure

        return patching_figure(self, rows, columns)

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        about = {
            "sites": [site.to_dict() for site in self.sites],
            **{name: getattr(self, name) for name in ("clean", "corrupt", "metric", "direction", "nodes")},
            **{name: getattr(self, name) for name in ("n_steps", "seconds")},
            "tally": None if self.tally is None else asdict(self.tally),
            "clean_graph": self.clean_graph.to_json(),
            "corrupt_graph": self.corrupt_graph.to_json(),
        }
        return write_npz(path, {"raw": self.raw, "about": np.array(json.dumps(about))})

    @classmethod
    def load(cls, path: str | Path) -> PatchSweep:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        arrays = read_npz(path)
        about = read_about(arrays)
        tally = about.pop("tally", None)
        return cls(raw=arrays["raw"], tally=None if tally is None else Tally.of(tally), **about)


@also_for_loops(loop_patch_sweep)
def patch_sweep(
    model: RecurrentTransformer,
    clean: ComputationGraph | Recording,
    corrupt: ComputationGraph | Recording,
    sites: Sequence[Site],
    metric: Metric = "logit_diff",
    direction: Direction = "denoise",
    nodes: Sequence[int | str] | None = None,
    n_steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    exact: Exactness = "states",
    tally: Tally | None = None,
) -> PatchSweep:
    """Patch every site, one at a time, and measure what comes of it.

    Of another looped model arguments and result are those of :func:`interp.loop_patch_sweep`.

    Args:
        clean, corrupt: two graphs with texts of the same length (:mod:`interp.causal.pairs` makes them), or recorded
            runs of them, which spare several sweeps of one pair the recording.
        metric: a name of `interp.causal.metric_records.METRICS`, or a function of a :class:`interp.Replay`.
        nodes: what the metric reads, as indices or names (default: nodes at which the two runs end differently, the
            clean one with a number).
        n_steps: length of all runs (default: the longer of the two).
        progress: called with (sites done, sites in all).
        exact, tally: as for :func:`interp.run_interventions`.

    Raises:
        PatchingError: texts of different length; no node with an answer to restore; an unknown node or direction.
        SiteError, MetricError: a site or metric that does not exist.

    Examples:
        >>> from interp import Site, patch_sweep
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> clean = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> corrupt = ComputationGraph.parse("7 = a; 2 = b; a + b = c")
        >>> sites = Site.grid(model, clean, "resid_pre", layer=[0], n_steps=2, pos=["rhs:a", "rhs:b"])
        >>> sweep = patch_sweep(model, clean, corrupt, sites, n_steps=2)
        >>> sweep.to_frame()[["step", "pos", "normalised"]].round(2).values.tolist()
        [[0, 'rhs:a', 0.0], [0, 'rhs:b', 0.0], [1, 'rhs:a', 0.5], [1, 'rhs:b', 0.0]]
    """
    if direction not in get_args(Direction):
        raise PatchingError(f"direction={direction!r}; allowed are {', '.join(get_args(Direction))}")
    runs = record_pair(model, clean, corrupt, n_steps)
    steps = runs[0].n_steps
    answer = Answer.of(runs[0].trajectory, runs[1].trajectory, _nodes(runs, nodes, steps), steps)
    asks = isinstance(metric, str) and metric in METRICS and METRICS[metric].answered
    if asks and not bool(answer.known.any()):
        raise PatchingError(no_answer(steps))
    base, source = base_and_source(*runs, direction)
    begin, tally = time.perf_counter(), Tally() if tally is None else tally
    ends = [measure(metric, next(run_interventions(model, run, [()], steps)), answer) for run in runs]
    replays = run_interventions(
        model,
        base,
        [SetFrom(site, source) for site in sites],
        steps,
        progress=progress,
        exact=exact,
        tally=tally,
    )
    raw = np.array(_measured(metric, replays, answer))
    return PatchSweep(
        sites=tuple(sites),
        raw=raw,
        clean=ends[0],
        corrupt=ends[1],
        metric=metric if isinstance(metric, str) else getattr(metric, "__name__", "metric"),
        direction=direction,
        nodes=answer.nodes,
        clean_graph=runs[0].graph,
        corrupt_graph=runs[1].graph,
        n_steps=steps,
        seconds=time.perf_counter() - begin,
        tally=tally,
    )


def _measured(metric: Metric, replays: Iterable[Replay], answer: Answer) -> list[float]:
    """The metric of every run; of those that are the base run throughout, measured once."""
    found: list[float] = []
    untouched: tuple[Tensor | None, float] | None = None
    for replay in replays:
        same = isinstance(metric, str) and not replay.differing and untouched is not None
        if not same or untouched is None or replay.logits is not untouched[0]:
            found.append(measure(metric, replay, answer))
            if not replay.differing:
                untouched = replay.logits, found[-1]
        else:
            found.append(untouched[1])
    return found


def record_pair(
    model: RecurrentTransformer,
    clean: ComputationGraph | Recording,
    corrupt: ComputationGraph | Recording,
    n_steps: int | None = None,
) -> tuple[Recording, Recording]:
    """Both runs, equally long (default: as long as the longer one needs); recorded ones of that length are kept.

    Raises:
        PatchingError: texts of different length, or graphs of different size.
    """
    given = [run if isinstance(run, Recording) else record(model, run, n_steps) for run in (clean, corrupt)]
    steps = max(1, *(run.n_steps for run in given)) if n_steps is None else n_steps
    first, second = (run if run.n_steps == steps else record(model, run.graph, steps) for run in given)
    runs = first, second
    if len(first.graph) != len(second.graph):
        raise PatchingError(
            f"the clean graph has {len(first.graph)} nodes and the corrupt one {len(second.graph)}; "
            "a metric reads the same nodes in both"
        )
    lengths = [int(run.encoded.mask.sum()) for run in runs]
    if lengths[0] != lengths[1]:
        raise PatchingError(
            f"the clean text has {lengths[0]} tokens and the corrupt one {lengths[1]}; runs can be patched into "
            "each other only if their texts are equally long"
        )
    return runs


def _nodes(runs: tuple[Recording, Recording], nodes: Sequence[int | str] | None, steps: int) -> list[int]:
    names = [node.name for node in runs[0].graph.nodes]
    if nodes is not None:
        for node in nodes:
            if node not in names and not (isinstance(node, int) and 0 <= node < len(names)):
                raise PatchingError(
                    f"there is no node {node!r}; there are 0..{len(names) - 1}, named {', '.join(names)}"
                )
        return [node if isinstance(node, int) else names.index(node) for node in nodes]
    return answered(runs[0].trajectory, runs[1].trajectory, steps)


def _encode(graph: ComputationGraph) -> EncodedGraphs:
    vocabulary = FactoredVocabulary(graph.n_variables, graph.modulus, tuple(graph.ops) or ("ADD",))
    return vocabulary.encode([graph])
