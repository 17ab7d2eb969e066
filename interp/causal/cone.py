"""The damage cone: which nodes an intervention changes, step after step, in levels of the graph.

Level of a node: edges on the shortest walk from an edited node to it (0: edited itself). One step moves a change
over one edge, so ``k`` steps after its onset only nodes of level <= k can differ: the *shadow*, what the graph
allows. Nodes that depend on no edited node have no level, and none of them may ever change; where one does, that is
*false spread*. A node of the shadow need not change (the operation may send both values to the same), and changes
back when its operands have.

The onset (k = 0) is the state that is edited: the one that enters the step, or, where the site reaches no other
position of that step (the last layer behind its keys), the one the step writes. What is edited in the middle of a
step can be seen one level away in the state it writes, and that is k = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.causal.loop_cone import loop_cone
from interp.engine.interventions import Intervention, Recording, record
from interp.engine.replay import Progress, run_interventions
from interp.engine.sites import position_of, resolve
from interp.engine.sparse.tally import Exactness, Tally
from interp.loop.either import also_for_loops
from interp.synchronous import token_places
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]


def graph_levels(graph: ComputationGraph, edited: Sequence[int]) -> tuple[int, ...]:
    """For every node the number of edges on the shortest walk from an edited node, -1 where there is none."""
    levels: list[int] = []
    for index, node in enumerate(graph.nodes):
        before = [levels[operand] for operand in node.operands if levels[operand] >= 0]
        levels.append(0 if index in edited else 1 + min(before) if before else -1)
    return tuple(levels)


@one_line
@dataclass(frozen=True, eq=False)
class DamageCone:
    """Nodes that differ from the run without the intervention.

    Attributes:
        graph: the graph.
        edited: nodes the intervention is at.
        onset: index of the first state that can differ; ``states[onset]`` enters step ``onset``.
        changed: bool [k, node], k states after the onset: whether the node shows another value.
    """

    graph: ComputationGraph
    edited: tuple[int, ...]
    onset: int
    changed: NDArray[np.bool_]

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """Int [node]; -1: depends on no edited node."""
        return np.array(graph_levels(self.graph, self.edited))

    @property
    def ever(self) -> NDArray[np.bool_]:
        """Bool [node]: whether a node differed at any step."""
        return np.asarray(self.changed.any(0))

    @property
    def shadow(self) -> NDArray[np.bool_]:
        """Bool [k, node]: what the graph allows to differ after k steps."""
        since = np.arange(len(self.changed))[:, None]
        return (self.levels >= 0) & (self.levels <= since)

    @property
    def reached(self) -> float:
        """Share of the shadow (edited nodes left out) that ever differed; nan where it is empty."""
        return _share(self.ever, self.shadow[-1] & (self.levels > 0))

    @property
    def false_spread(self) -> float:
        """Share of the nodes without a level that ever differed; nan where all have one."""
        return _share(self.ever, self.levels < 0)

    @property
    def too_early(self) -> float:
        """Share of the nodes with a level that differed before the graph allows it."""
        return _share(np.asarray((self.changed & ~self.shadow).any(0)), self.levels >= 0)

    @property
    def first_changed(self) -> NDArray[np.int64]:
        """Int [node]: k at which a node first differed, -1 if never."""
        return np.where(self.ever, self.changed.argmax(0), -1)

    @property
    def heal_step(self) -> int | None:
        """The number of steps after the onset from which on no value differs: 0 if none ever did, None if one still
        does at the end.
        """
        differing = np.flatnonzero(self.changed.any(1))
        if not len(differing):
            return 0
        return None if differing[-1] == len(self.changed) - 1 else int(differing[-1]) + 1

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Changed nodes int [k, level], and nodes there are int [level]; the last column is the nodes without level."""
        columns = np.where(self.levels < 0, self.levels.max() + 1, self.levels)
        member = np.eye(int(self.levels.max()) + 2, dtype=np.int64)[columns]
        return self.changed.astype(np.int64) @ member, np.asarray(member.sum(0))

    def to_frame(self) -> pd.DataFrame:
        """One row per step since the onset and level: ``since``, ``state``, ``level`` (-1: none), ``nodes``,
        ``changed``, ``allowed`` (whether the graph lets it differ).
        """
        changed, nodes = self.counts()
        since, column = (axis.ravel() for axis in np.indices(changed.shape))
        level = np.where(column == len(nodes) - 1, -1, column)
        return pd.DataFrame(
            {
                "since": since,
                "state": since + self.onset,
                "level": level,
                "nodes": nodes[column],
                "changed": changed.ravel(),
                "allowed": (level >= 0) & (level <= since),
            }
        )

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.causal.cone_figure.cone_figure`."""
        from interp.causal.cone_figure import cone_figure

        return cone_figure([self], width)

    def __str__(self) -> str:
        """What was found, in one line."""
        heals = "does not heal" if self.heal_step is None else f"healed after {self.heal_step} steps"
        names = ", ".join(self.graph.nodes[node].name for node in self.edited)
        return (
            f"{names}: {self.reached:.1%} of {int((self.levels > 0).sum())} descendants reached, "
            f"{self.false_spread:.1%} of {int((self.levels < 0).sum())} others changed, {heals}"
        )


@also_for_loops(loop_cone)
def damage_cones(
    model: RecurrentTransformer,
    base: ComputationGraph | Recording,
    interventions: Sequence[Intervention],
    edited: Sequence[Sequence[int]] | None = None,
    n_steps: int | None = None,
    tokens: int = 4096,
    progress: Progress | None = None,
    exact: Exactness = "states",
    tally: Tally | None = None,
) -> list[DamageCone]:
    """The cone of every intervention, each in a run of its own.

    Of another looped model arguments and result are those of :func:`interp.loop_cone`.

    Args:
        base: one graph, or a recorded run of it.
        interventions: each at one step, or from step 0 on ("all").
        edited: for every intervention the nodes it edits; default: those whose equation its position is part of.
        n_steps: length of the runs; default: the latest onset, as many steps as the graph is deep, and two more, so
            that the whole shadow is seen and a change can heal.
        tokens, progress, exact, tally: as for :func:`interp.run_interventions`.

    Raises:
        SiteError: a site that does not exist, a step beyond the run.
        ValueError: another number of ``edited`` than of interventions.

    Examples:
        >>> from interp import SetCode, damage_cones
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> (cone,) = damage_cones(model, graph, [SetCode(1, "rhs:a", "value", 5)])
        >>> cone.edited, cone.onset, cone.reached
        ((0,), 1, 1.0)
    """
    graph = base.graph if isinstance(base, Recording) else base
    encoded = base.encoded if isinstance(base, Recording) else model.to_encoded(graph)
    places = token_places(graph)
    if edited is None:
        found = [position_of(given.site.pos, encoded) for given in interventions]
        edited = [range(len(graph)) if pos is None else [places[pos][0]] for pos in found]
    if len(edited) != len(interventions):
        raise ValueError(
            f"edited nodes are given for {len(edited)} of {len(interventions)} interventions; allowed: all"
        )
    onsets = [_onset(model, given, resolve(given.site, model, encoded).local) for given in interventions]
    length = n_steps or max(onsets, default=0) + max(graph.depths_by_node) + 2
    recording = base if isinstance(base, Recording) else record(model, base, length)
    replays = run_interventions(model, recording, interventions, length, None, tokens, progress, exact, tally)
    return [
        DamageCone(graph, tuple(nodes), onset, replay.changed[onset:].numpy())
        for nodes, onset, replay in zip(edited, onsets, replays, strict=True)
    ]


def cone_table(cones: Sequence[DamageCone]) -> pd.DataFrame:
    """One row a cone: ``edited`` (own names), ``onset``, ``descendants``, ``reached``, ``others``, ``false_spread``,
    ``too_early``, ``heal_step`` (none where it does not heal).
    """
    return pd.DataFrame(
        {
            "edited": [", ".join(cone.graph.nodes[node].name for node in cone.edited) for cone in cones],
            "onset": [cone.onset for cone in cones],
            "descendants": [int((cone.levels > 0).sum()) for cone in cones],
            "reached": [cone.reached for cone in cones],
            "others": [int((cone.levels < 0).sum()) for cone in cones],
            "false_spread": [cone.false_spread for cone in cones],
            "too_early": [cone.too_early for cone in cones],
            "heal_step": pd.array([cone.heal_step for cone in cones], dtype="Int64"),
        }
    )


def _onset(model: RecurrentTransformer, given: Intervention, local: bool) -> int:
    site = given.site
    step = 0 if site.step == "all" else int(site.step)
    behind = local and (site.layer is None or site.layer == model.cfg.n_layers - 1)
    return step + 1 if behind else step


def _share(changed: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(changed[among].mean()) if among.any() else float("nan")
