"""Whether states one code away from a solved one come back: what makes a solved state an attractor, and no mere place
where nothing moves.

In the solved state, made from the text (:mod:`interp.recovery.staying`), one right-hand side is made to show another
number, or EMPTY. The algorithm overwrites it in one step, and what was computed from it in the next, level by level, so
that every such state is solved again after at most one step more than there are levels above the node. A model that
keeps what stands at a right-hand side stays in all of these states as it stays in the solved one: that solved states
stay is then no merit. States are followed by replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.codebook.code_edits import CodeEdit, all_edits
from interp.engine.interventions import Recording, SetCode
from interp.engine.replay import run_interventions
from interp.recovery.atlas import expected_paths, path_of, sample_edits
from interp.recovery.staying import STEPS, solved_state
from interp.statistics.shares import Share
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS

_VALUE = FACTORS.index("value")


@one_line
@dataclass(frozen=True, eq=False)
class Returning:
    """What became of solved states with one value replaced.

    Attributes:
        frame: a row per state: graph, node (its number), name, depth, before, after (symbols); time: steps until it
            is the solved one to the end, -1 where it is not; expected: the same of the algorithm; kept: whether the
            value that was put in still stands in the last state.
        all_states: how many there are of all graphs; :attr:`exhaustive`: whether all were made.
        n_steps: [graph], how many steps were run: eight, or two more than the graph has levels.
    """

    frame: pd.DataFrame
    all_states: int
    n_steps: tuple[int, ...]

    def __len__(self) -> int:
        """How many states."""
        return len(self.frame)

    @property
    def exhaustive(self) -> bool:
        """Whether every state one value away is in it."""
        return len(self) == self.all_states

    @property
    def returned(self) -> Share:
        """States that come back to the solved one and stay there."""
        return Share.of(self._column("time") >= 0)

    @property
    def in_time(self) -> Share:
        """States that come back after as many steps as in the algorithm."""
        return Share.of(self._column("time") == self._column("expected"))

    @property
    def kept(self) -> Share:
        """States whose wrong value still stands at the end."""
        return Share.of(self._column("kept"))

    def to_frame(self) -> pd.DataFrame:
        """:attr:`frame`, a copy."""
        return self.frame.copy()

    def _column(self, name: str) -> Any:
        frame: Any = self.frame
        return frame[name].to_numpy()


def returning(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph] | ComputationGraph,
    most: int | None = None,
    seed: int = 0,
) -> Returning:
    """Give the model every state that is one value away from a solved one, or ``most`` of them, and follow each.

    Args:
        most: states of all graphs together; a simple random sample where there are more. None: all.
        seed: of the sample.

    Raises:
        ValueError: fewer than one state, no graph, a model that writes text, is watched by hooks or draws noise.

    Examples:
        >>> from interp import returning
        >>> from models import ComputationGraph, load
        >>> found = returning(load("compiled"), ComputationGraph.parse("20 = a; 2 = b; a + b = c"))
        >>> str(found.returned), found.kept.count
        ('69 of 69 (100.0 % [94.7, 100.0])', 0)
    """
    if most is not None and most < 1:
        raise ValueError(f"most is {most}; allowed is 1 state or more, or None for all")
    chosen = (graphs,) if isinstance(graphs, ComputationGraph) else tuple(graphs)
    if not chosen:
        raise ValueError("there is no graph to run; allowed: at least one")
    runs = [_from_solved(model, graph) for graph in chosen]
    edits = [[edit for edit in all_edits(run, 0, [0]) if edit.kind == "value"] for run in runs]
    rows: list[dict[str, Any]] = []
    for index, (run, some) in enumerate(zip(runs, sample_edits(edits, most, seed), strict=True)):
        rows += [row | {"graph": index} for row in (_followed(model, run, some) if some else ())]
    return Returning(pd.DataFrame(rows), sum(map(len, edits)), tuple(run.n_steps for run in runs))


def _from_solved(model: RecurrentTransformer, graph: ComputationGraph) -> Trajectory:
    encoded = model.to_encoded(graph)
    solved = solved_state(encoded)
    entering = replace(encoded, factors=solved, packed=model.vocabulary.pack(solved))
    return model.run(entering, n_steps=max(STEPS, max(graph.depths_by_node) + 2))


def _followed(
    model: RecurrentTransformer, run: Trajectory, edits: Sequence[CodeEdit]
) -> list[dict[str, Any]]:
    base = run.vocabulary.pack(run.states[:, 0])
    solved = np.broadcast_to(base[:1].numpy(), base.shape)
    symbols = run.vocabulary.symbols("value")
    expected = expected_paths(run, 0, edits)
    given = [SetCode(0, edit.pos, "value", edit.after) for edit in edits]
    replays = run_interventions(model, Recording(model, run), given, n_steps=run.n_steps, logits_at=None)
    rows: list[dict[str, Any]] = []
    for place, (edit, replay) in enumerate(zip(edits, replays, strict=True)):
        rows.append(
            {
                "graph": 0,
                "node": edit.node,
                "name": run.encoded.graphs[0].nodes[edit.node].name,
                "depth": int(run.encoded.depths[0, edit.node]),
                "before": symbols[edit.before],
                "after": symbols[edit.after],
                "time": _back(path_of(replay, base, 0), solved),
                "expected": _back(expected[:, place], solved),
                "kept": int(replay.final[edit.pos, _VALUE]) == edit.after,
            }
        )
    return rows


def _back(path: NDArray[np.int64], solved: NDArray[np.int64]) -> int:
    """Steps until the states are the solved one to the end; -1 where they are not."""
    apart = np.flatnonzero((path != solved).any(1))
    last = int(apart[-1]) if len(apart) else -1
    return last + 1 if last < len(path) - 1 else -1
