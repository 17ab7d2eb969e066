"""Where runs of a discrete model break: every value that was due, the first wrong write of every graph, and what of it
is ever repaired.

    due       a node is due in the step equal to its depth: the first in which its operands can all be known
    clean     its operands show their true values in the state that enters that step, and the text is whole: an error
              then is the step's own and is not passed on from another node
    first     the earliest state of a run that is not that of a perfect run (:mod:`interp.failures.schedule`), at every
              token that differs there, in graphs that do not end solved: a ``value`` that was due, one that was there
              and is ``lost``, one that came ``early``, or a token of the ``text``
    repaired  a value that was wrong after it was due and is right in a later state

Compounding: were errors independent, a graph of n inner nodes and m leaves would be right with probability
(1 - p)^n (1 - q)^m, p and q being the shares of their clean due writes that are wrong. With p and q of the same size
the comparison tells whether errors come alone; with those of the smallest size, whether more nodes alone explain what
larger graphs lose, or whether every write got worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.failures.frames import column, flags, select
from interp.failures.schedule import by_size, right_state
from interp.statistics.counted import counted, percent
from interp.statistics.shares import Share
from interp.synchronous import token_places
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS, EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

KINDS: Final = ("value", "lost", "early", "text")
GROUPS: Final = 4
"""Groups of like size into which distances and places are parted."""


@dataclass(frozen=True)
class Compounding:
    """Graphs of one size: ``solved``; ``errors`` among clean due writes of inner nodes; what independent errors would
    leave solved.

    predicted: with this size's own error rate. from_smallest: with that of the smallest size. Shares of graphs.
    """

    n_nodes: int
    solved: Share
    errors: Share
    predicted: float
    from_smallest: float


@one_line
@dataclass(frozen=True, eq=False)
class Writes:
    """What a discrete model wrote, and when it was wrong.

    Attributes:
        graphs: which were run.
        due: a row per node: graph, nodes, node, name, depth, operands (how many), position (token of its right-hand
            side) and place (that, as a share of the text), distance (tokens back to the farthest operand's right-hand
            side), clean, right, wrote (symbol); and wrong_later, repaired (see above).
        runs: a row per graph: graph, nodes, depth, tokens, solved, first_step (-1: none).
        first: a row per token of the first wrong writes: graph, nodes, step, kind, node, name, depth, operands,
            position, place, distance, factor, wrote, right (symbols).
    """

    graphs: tuple[ComputationGraph, ...]
    due: pd.DataFrame
    runs: pd.DataFrame
    first: pd.DataFrame

    @property
    def sizes(self) -> list[int]:
        """Nodes of the graphs, ascending."""
        return sorted({len(graph) for graph in self.graphs})

    @property
    def failed(self) -> list[int]:
        """Indices of the graphs that do not end solved."""
        return [int(index) for index in np.flatnonzero(~flags(self.runs, "solved"))]

    def clean(self, size: int | None = None) -> pd.DataFrame:
        """The rows of :attr:`due` that are clean, of one size or all."""
        chosen = flags(self.due, "clean")
        return select(self.due, chosen if size is None else chosen & (column(self.due, "nodes") == size))

    def compounding(self) -> list[Compounding]:
        """Of every size."""
        found: list[Compounding] = []
        smallest = self._rates(self.sizes[0])
        for size in self.sizes:
            rates = self._rates(size)
            solved = flags(self.runs, "solved")[column(self.runs, "nodes") == size]
            inner = [
                sum(bool(node.operands) for node in graph.nodes)
                for graph in self.graphs
                if len(graph) == size
            ]
            own, small = (
                float(np.mean([(1 - one.value) ** n * (1 - leaves.value) ** (size - n) for n in inner]))
                for one, leaves in (rates, smallest)
            )
            found.append(Compounding(size, Share.of(solved), rates[0], own, small))
        return found

    def _rates(self, size: int) -> tuple[Share, Share]:
        """Errors among the clean due writes of inner nodes, and of leaves."""
        part = self.clean(size)
        inner = column(part, "operands") > 0
        return _error_rate(select(part, inner)), _error_rate(select(part, ~inner))

    def repaired(self, own: bool = False) -> Share:
        """Of the values that were wrong after they were due those that are right in a later state; ``own``: only of
        nodes whose operands were right, so that the error is their own.
        """
        wrong = flags(self.due, "wrong_later")
        if own:
            wrong &= flags(self.due, "clean") & ~flags(self.due, "right")
        return Share.of(flags(self.due, "repaired")[wrong])

    def errors_by(self, name: str) -> pd.DataFrame:
        """Share of clean due writes that are wrong by ``operands``, ``distance``, ``place`` or ``depth``: a row per
        size and group with group, middle, count, total, share, low, high. Distances and places in quarters, one size at
        a time; leaves, which fetch nothing, are left out of them.

        Raises:
            ValueError: another name.
        """
        if name not in ("operands", "distance", "place", "depth"):
            raise ValueError(f"errors by {name!r}; allowed: operands, distance, place, depth")
        rows: list[dict[str, Any]] = []
        for size in self.sizes:
            part = self.clean(size)
            part = part if name in ("operands", "depth") else select(part, column(part, "operands") > 0)
            if not len(part):
                continue
            values = column(part, name).astype(float)
            groups = values if name in ("operands", "depth") else _quarters(values)
            for group in np.unique(groups):
                chosen = groups == group
                middle = float(np.median(values[chosen]))
                rows.append({"nodes": size, "by": name, "group": group, "middle": middle}
                            | _error_rate(select(part, chosen)).to_dict())  # fmt: skip
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """:attr:`due`, a copy."""
        return self.due.copy()

    def figure(self) -> go.Figure:
        """:func:`interp.failures.failing_writes_figure.writes_figure`."""
        from interp.failures.failing_writes_figure import writes_figure

        return writes_figure(self)

    def verdict(self) -> str:
        """Where it breaks, whether errors compound, and whether any is repaired."""
        if not self.failed:
            solved = "the graph is" if len(self.graphs) == 1 else f"all {len(self.graphs)} graphs are"
            return f"{solved} solved, so there is no first wrong write"
        _, one_a_graph = np.unique(column(self.first, "graph").astype(int), return_index=True)
        found = column(self.first, "kind")[one_a_graph].tolist()
        kinds = ", ".join(f"{kind} in {found.count(kind)}" for kind in KINDS if kind in found)
        return (
            f"{len(self.failed)} of {counted(len(self.graphs), 'graph')} end unsolved; kind of the first wrong write: "
            f"{kinds}; {_where(self)}. {_compounding(self.compounding())}. Of wrong values {self.repaired()} are right "
            f"again later, of errors made with right operands {self.repaired(own=True)}"
        )


def writes(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> Writes:
    """Run the graphs, as many steps as each takes to settle, and compare every write with the perfect run's.

    Raises:
        ValueError: no graphs, or a model that does not step from discrete state to discrete state.
        VocabularyError: a graph the model cannot read.

    Examples:
        >>> from interp import writes
        >>> from models import ComputationGraph, load
        >>> found = writes(load("compiled"), [ComputationGraph.parse("20 = a; 2 = b; a + b = c")])
        >>> found.sizes, found.failed, len(found.due)
        ([3], [], 3)
    """
    if model.cfg.bottleneck != "discrete" or model.cfg.default_steps is not None:
        raise ValueError(
            f"a model of method {model.cfg.method!r} does not write a discrete state in every step until nothing "
            "changes; allowed: discrete, discrete-corrected and compiled models"
        )
    due: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    first: list[dict[str, Any]] = []
    for size, indices, encoded in by_size(model, graphs):
        run = model.run(encoded, n_steps=None)
        ideal = torch.stack(
            [right_state(encoded, step, model.vocabulary.empty) for step in range(len(run.states))]
        )
        differs = (run.states != ideal).any(-1) & encoded.mask
        due += due_writes(run, indices)
        for row, index in enumerate(indices):
            broken = differs[:, row].any(-1)
            solved = bool(run.fully_solved[row])
            step = -1 if solved or not bool(broken.any()) else int(broken.int().argmax()) - 1
            runs.append(
                {"graph": index, "nodes": size, "depth": max(graphs[index].depths_by_node)}
                | {"tokens": int(encoded.mask[row].sum()), "solved": solved, "first_step": step}
            )
            if step >= 0:
                first += _first_rows(run, ideal, row, index, step)
    order = ["graph", "node"]
    return Writes(
        tuple(graphs),
        pd.DataFrame(due).sort_values(order, ignore_index=True),
        pd.DataFrame(runs).sort_values("graph", ignore_index=True),
        pd.DataFrame(first).sort_values("graph", kind="stable", ignore_index=True)
        if first
        else pd.DataFrame(columns=_FIRST_COLUMNS),
    )


def clean_writes(run: Trajectory) -> Tensor:
    """Bool [batch, node]: operands right, and the text whole, in the state that enters the node's step."""
    encoded = run.encoded
    rows = torch.arange(len(encoded.rhs))[:, None]
    entering = encoded.depths.clamp(0, run.n_steps - 1)  # a run that settled early stays as it is
    right = run.right[entering[..., None], rows[..., None], encoded.operand_nodes.clamp_min(0)]
    whole = _text_whole(run)[entering, rows]
    return (right | (encoded.operand_nodes < 0)).all(-1) & whole & (encoded.rhs >= 0)


def _text_whole(run: Trajectory) -> Tensor:
    """Bool [state, batch]: everything but the values at right-hand sides is as the graph's text has it."""
    same = run.states == run.encoded.factors
    row, node = (run.encoded.rhs >= 0).nonzero(as_tuple=True)
    same[:, row, run.encoded.rhs[row, node], 3] = True
    return (same.all(-1) | ~run.encoded.mask).all(-1)


def due_writes(run: Trajectory, indices: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of :attr:`Writes.due` of a run; indices: numbers of its graphs."""
    encoded, symbols = run.encoded, run.vocabulary.symbols("value")
    clean, values = clean_writes(run), run.values
    states = torch.arange(len(run.states))[:, None, None]
    wrong = ~run.right & (states > encoded.depths) & (encoded.rhs >= 0)
    later = (
        torch.flip(torch.flip(run.right.int(), [0]).cumsum(0), [0]) - run.right.int()
    )  # right states after this one
    repaired = (wrong & (later > 0)).any(0)
    distance = farthest_operand(encoded)
    rows: list[dict[str, Any]] = []
    for row, index in enumerate(indices):
        graph = encoded.graphs[row]
        tokens = int(encoded.mask[row].sum())
        for node, depth in enumerate(graph.depths_by_node):
            state = min(depth + 1, run.n_steps)
            wrote = int(values[state, row, node])
            rows.append(
                _node_facts(encoded, row, index, node, tokens, distance)
                | {
                    "clean": bool(clean[row, node]),
                    "right": wrote == int(encoded.values[row, node]),
                    "wrote": symbols[wrote],
                    "wrong_later": bool(wrong[:, row, node].any()),
                    "repaired": bool(repaired[row, node]),
                }
            )
    return rows


def farthest_operand(encoded: EncodedGraphs) -> Tensor:
    """Int [batch, node]: tokens from a node's right-hand side back to that of its farthest operand; 0 for a leaf."""
    rows = torch.arange(len(encoded.rhs))[:, None, None]
    keys = encoded.rhs[rows, encoded.operand_nodes.clamp_min(0)]
    return torch.where(encoded.operand_nodes >= 0, encoded.rhs[..., None] - keys, 0).amax(-1)


def _node_facts(
    encoded: EncodedGraphs, row: int, index: int, node: int, tokens: int, distance: Tensor
) -> dict[str, Any]:
    graph = encoded.graphs[row]
    position = int(encoded.rhs[row, node])
    return {
        "graph": index,
        "nodes": len(graph),
        "node": node,
        "name": graph.nodes[node].name,
        "depth": graph.depths_by_node[node],
        "operands": len(graph.nodes[node].operands),
        "position": position,
        "place": position / tokens,
        "distance": int(distance[row, node]),
    }


_FIRST_COLUMNS: Final = (
    "graph", "nodes", "node", "name", "depth", "operands", "position", "place", "distance", "step", "kind", "factor",
    "wrote", "right",
)  # fmt: skip


def _first_rows(run: Trajectory, ideal: Tensor, row: int, index: int, step: int) -> list[dict[str, Any]]:
    """The tokens that differ in the state that ``step`` wrote; one row each, of the first factor that does."""
    encoded = run.encoded
    graph, distance = encoded.graphs[row], farthest_operand(encoded)
    places, tokens = token_places(graph), int(encoded.mask[row].sum())
    written, wanted = run.states[step + 1, row], ideal[step + 1, row]
    found: list[dict[str, Any]] = []
    for position in np.flatnonzero((written != wanted).any(-1)[:tokens].numpy()):
        node, place = places[int(position)]
        factor = int((written[position] != wanted[position]).int().argmax())
        at_rhs = place == 2 * max(len(graph.nodes[node].operands), 1)
        kind = "text"
        if at_rhs and factor == FACTORS.index("value"):
            depth = graph.depths_by_node[node]
            kind = "value" if depth == step else "early" if depth > step else "lost"
        symbols = run.vocabulary.symbols(FACTORS[factor])
        found.append(
            _node_facts(encoded, row, index, node, tokens, distance)
            | {"position": int(position), "place": position / tokens, "step": step, "kind": kind}
            | {"factor": FACTORS[factor], "wrote": symbols[int(written[position, factor])]}
            | {"right": symbols[int(wanted[position, factor])]}
        )
    return sorted(found, key=lambda one: KINDS.index(one["kind"]))


def _error_rate(part: pd.DataFrame) -> Share:
    return Share.of(~flags(part, "right"))


def _quarters(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """1..GROUPS by rank."""
    edges = np.quantile(values, np.arange(1, GROUPS) / GROUPS)
    return np.searchsorted(edges, values, side="left") + 1


def _where(found: Writes) -> str:
    """How the first wrong values differ from the clean due writes at the same sizes that are right."""
    chosen = select(found.first, column(found.first, "kind") == "value")
    if not len(chosen):
        return "none of them is a value that was due"
    clean = found.clean()
    same = np.isin(column(clean, "nodes"), column(chosen, "nodes"))
    right = select(clean, flags(clean, "right") & (column(clean, "operands") > 0) & same)
    parts = [
        f"{name} {column(chosen, key).mean():.{digits}f} (at right writes of inner nodes "
        f"{column(right, key).mean():.{digits}f})"
        for key, name, digits in (
            ("operands", "operands", 2),
            ("place", "place in the text", 2),
            ("distance", "tokens to the farthest operand", 0),
        )
    ]
    return "means at the first wrong values: " + ", ".join(parts)


def _compounding(sizes: list[Compounding]) -> str:
    last, first = sizes[-1], sizes[0]
    low, high = last.solved.interval
    alone = "within" if low <= last.predicted <= high else "outside"
    said = (
        f"A write is clean where all operands are right as the step is entered; of clean writes of inner nodes "
        f"{last.errors} are wrong at {last.n_nodes} nodes. If errors were independent, {percent(last.predicted)} of "
        f"the graphs would be solved, {alone} the 95 % interval of those that are: {last.solved}"
    )
    if first is last:
        return said
    grows = (
        "grows with the size" if last.errors.above(first.errors) else "does not measurably grow with the size"
    )
    return (
        f"{said}. The error rate {grows}: at {first.n_nodes} nodes it is {first.errors}, with which "
        f"{percent(last.from_smallest)} of the larger graphs would be solved"
    )
