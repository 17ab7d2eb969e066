"""The recovery atlas: every edit of one code of a run, where it leads, when, and what the algorithm says of it.

An edit puts another symbol in for one factor at one position of the state that enters one step
(:mod:`interp.codebook.code_edits`: those after which the state is still that of a graph). The run goes on from there
by replay, until it is back in the run without the edit, at rest elsewhere, or in a cycle
(:mod:`interp.recovery.outcomes`). The prediction is the algorithm's own run from the same state
(:mod:`interp.oracle_step`), judged in the same way beside its run from the state without the edit. An edit is AS
PREDICTED if both have the same outcome after the same number of steps, and, where they do not recover, come to the same
state or cycle; the PATH is as predicted if all states between are the same too.

The algorithm overwrites a wrong value in one step, but what was computed from it only then, so a value recovers in at
most one step more than there are levels above it; an edit of the text stays, and the run ends in the solution of the
other graph.

A model without a bottleneck has no code to set; there the hidden state is moved by as little as makes the readout show
the other symbol (:class:`interp.engine.interventions.SetCode`), and the states are what is read out.

Design: all edits of all graphs, or a simple random sample of them without replacement, so that shares are those of all
edits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.codebook.code_edits import CodeEdit, all_edits, edited_states
from interp.engine.interventions import Recording, SetCode
from interp.engine.replay import Replay, run_interventions
from interp.recovery.outcomes import Outcome, outcome_of
from interp.recovery.predicted import predicted_paths
from interp.statistics.shares import Share
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]


@one_line
@dataclass(frozen=True, eq=False)
class RecoveryAtlas:
    """What became of every edit, beside what the algorithm says.

    Attributes:
        graphs: those that were run.
        all_edits: [graph], how many edits there are of each; exhaustive: whether all of them were made.
        steps: [graph], how many steps each was run for before it settled.
        solved: [graph], whether the run without an edit ends in the true values.
        frame: a row per edit:
            graph, step, kind, node (its number), name, depth, pos, factor, before, after (symbols);
            outcome, time, period, and the same of the algorithm: expected, expected_time, expected_period;
            as_predicted; same_path; apart: steps after which the states differ first, -1 where they never do;
            wrong: right-hand sides at which the last state of the run and of the algorithm differ.
    """

    graphs: tuple[ComputationGraph, ...]
    all_edits: tuple[int, ...]
    steps: tuple[int, ...]
    solved: tuple[bool, ...]
    frame: pd.DataFrame

    def __len__(self) -> int:
        """How many edits."""
        return len(self.frame)

    @property
    def exhaustive(self) -> bool:
        """Whether every edit of every graph is in it."""
        return len(self) == sum(self.all_edits)

    def column(self, name: str) -> NDArray[Any]:
        """One column of :attr:`frame`, [edit]."""
        frame: Any = self.frame
        return frame[name].to_numpy()

    @property
    def as_predicted(self) -> Share:
        """Edits with the predicted outcome, time and end."""
        return Share.of(self.column("as_predicted"))

    @property
    def same_path(self) -> Share:
        """Edits after which every state is the algorithm's."""
        return Share.of(self.column("same_path"))

    def exceptions(self) -> pd.DataFrame:
        """The rows that are not as predicted, with the graph's ``text``."""
        frame: Any = self.frame
        found = frame[~self.column("as_predicted")].copy()
        graphs: list[int] = found["graph"].tolist()
        found["text"] = [self.graphs[graph].to_text() for graph in graphs]
        return found

    def by_kind(self) -> pd.DataFrame:
        """A row per kind of edit and outcome that was expected: edits, as_predicted (count), share, low, high (95 %
        Wilson), mean_time, longest (of those as predicted).
        """
        frame: Any = self.frame
        rows: list[dict[str, Any]] = []
        for (kind, expected), group in frame.groupby(["kind", "expected"], sort=False):
            share = Share.of(group["as_predicted"].to_numpy())
            low, high = share.interval
            times = group["time"][group["as_predicted"]]
            rows.append(
                {
                    "kind": kind,
                    "expected": expected,
                    "edits": share.total,
                    "as_predicted": share.count,
                    "share": share.value,
                    "low": low,
                    "high": high,
                    "mean_time": float(times.mean()) if len(times) else float("nan"),
                    "longest": int(times.max()) if len(times) else -1,
                }
            )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """:attr:`frame`, a copy."""
        return self.frame.copy()

    def figure(self, width: int = 1000) -> go.Figure:
        """Recovery times: :func:`interp.recovery.atlas_figure.times_figure`."""
        from interp.recovery.atlas_figure import times_figure

        return times_figure(self, width)

    def map_figure(self, graph: int = 0, width: int = 1000) -> go.Figure:
        """Step x node: :func:`interp.recovery.atlas_figure.map_figure`."""
        from interp.recovery.atlas_figure import map_figure

        return map_figure(self, graph, width)


def recovery_atlas(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph] | ComputationGraph,
    most: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RecoveryAtlas:
    """Make every edit of one code in the runs of the graphs, or ``most`` of them, and follow each to its end.

    Args:
        most: edits of all graphs together; a random sample where there are more. None: all.
        seed: of the sample.
        progress: called with (edits done, edits in all).

    Raises:
        ValueError: fewer than one edit, no graph, a model that writes text, is watched by hooks or draws noise.

    Examples:
        >>> from interp import recovery_atlas
        >>> from models import ComputationGraph, load
        >>> atlas = recovery_atlas(load("compiled"), ComputationGraph.parse("20 = a; 2 = b; a + b = c"), most=50)
        >>> str(atlas.as_predicted)
        '50 of 50 (100.0 % [92.9, 100.0])'
    """
    if most is not None and most < 1:
        raise ValueError(f"most is {most}; allowed is 1 edit or more, or None for all")
    chosen = (graphs,) if isinstance(graphs, ComputationGraph) else tuple(graphs)
    if not chosen:
        raise ValueError("there is no graph to run; allowed: at least one")
    runs = [_settled(model, graph) for graph in chosen]
    edits = [list(all_edits(run, 0, range(_steps_of(run)))) for run in runs]
    sampled = sample_edits(edits, most, seed)
    total = sum(map(len, sampled))
    rows: list[dict[str, Any]] = []
    for index, (run, of_graph) in enumerate(zip(runs, sampled, strict=True)):
        for row in _followed(model, run, of_graph):
            rows.append(row | {"graph": index})
            if progress is not None:
                progress(len(rows), total)
    return RecoveryAtlas(
        chosen,
        tuple(map(len, edits)),
        tuple(_steps_of(run) for run in runs),
        tuple(bool(run.fully_solved[0]) for run in runs),
        pd.DataFrame(rows),
    )


def _settled(model: RecurrentTransformer, graph: ComputationGraph) -> Trajectory:
    """The run without an edit, with as many steps again behind where it settles, and two."""
    run = model.run(graph)
    return model.run(graph, n_steps=2 * run.n_steps + 2)


def _steps_of(run: Trajectory) -> int:
    """Steps until it settled: edits are made in the states that enter these."""
    return run.n_steps // 2 - 1


def sample_edits(edits: list[list[CodeEdit]], most: int | None, seed: int) -> list[list[CodeEdit]]:
    """Those of every graph in a simple random sample of all; all of them where there are no more than ``most``."""
    pool = [(graph, index) for graph, of_graph in enumerate(edits) for index in range(len(of_graph))]
    if most is None or len(pool) <= most:
        return edits
    drawn: list[list[CodeEdit]] = [[] for _ in edits]
    rows: list[int] = np.sort(np.random.default_rng(seed).choice(len(pool), most, replace=False)).tolist()
    for graph, index in (pool[row] for row in rows):
        drawn[graph].append(edits[graph][index])
    return drawn


def _followed(
    model: RecurrentTransformer, run: Trajectory, edits: Sequence[CodeEdit]
) -> Iterator[dict[str, Any]]:
    """The row of every edit of one graph's run, in order."""
    determined = model.cfg.bottleneck == "discrete"
    base = run.vocabulary.pack(run.states[:, 0])
    by_step = {step: [edit for edit in edits if edit.step == step] for step in {edit.step for edit in edits}}
    expected = {step: expected_paths(run, step, of_step) for step, of_step in by_step.items()}
    place = dict.fromkeys(by_step, 0)
    given = [SetCode(edit.step, edit.pos, edit.factor, edit.after) for edit in edits]
    replays = run_interventions(model, Recording(model, run), given, n_steps=run.n_steps, logits_at=None)
    for edit, replay in zip(edits, replays, strict=True):
        algorithm, unedited = expected[edit.step][:, place[edit.step]], expected[edit.step][:, -1]
        place[edit.step] += 1
        path = path_of(replay, base, edit.step)
        found = outcome_of(path, base[edit.step :].numpy(), determined)
        yield _row(run, edit, path, algorithm) | _judged(found, outcome_of(algorithm, unedited))


def expected_paths(run: Trajectory, step: int, edits: Sequence[CodeEdit]) -> NDArray[np.int64]:
    """Packed states int [state, edit + 1, pos] of the algorithm from each edited state, and last from the unedited."""
    edited = edited_states(run, edits, run.states.shape[2])
    states = torch.cat([edited, run.states[step]])
    return predicted_paths(states, run.encoded, run.vocabulary, run.n_steps - step).numpy()


def path_of(replay: Replay, base: torch.Tensor, step: int) -> NDArray[np.int64]:
    """Packed states int [state, pos] of a replay from the state that enters a step on; base: those of the whole run."""
    states = base[step:].clone()
    for index, packed in replay.differing.items():
        states[index - step] = packed
    return states.numpy()


def _row(
    run: Trajectory, edit: CodeEdit, path: NDArray[np.int64], algorithm: NDArray[np.int64]
) -> dict[str, Any]:
    apart = np.flatnonzero((path != algorithm).any(1))
    rhs = run.encoded.rhs[0].numpy()
    symbols = run.vocabulary.symbols(edit.factor)
    return {
        "graph": 0,
        "step": edit.step,
        "kind": edit.kind,
        "node": edit.node,
        "name": run.encoded.graphs[0].nodes[edit.node].name,
        "depth": int(run.encoded.depths[0, edit.node]),
        "pos": edit.pos,
        "factor": edit.factor,
        "before": symbols[edit.before],
        "after": symbols[edit.after],
        "same_path": not len(apart),
        "apart": int(apart[0]) if len(apart) else -1,
        "wrong": int((path[-1, rhs] != algorithm[-1, rhs]).sum()),
    }


def _judged(found: Outcome, expected: Outcome) -> dict[str, Any]:
    return {
        "outcome": found.kind,
        "time": found.time,
        "period": found.period,
        "expected": expected.kind,
        "expected_time": expected.time,
        "expected_period": expected.period,
        "as_predicted": found == expected and found.time >= 0,
    }
