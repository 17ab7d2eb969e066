"""Where a chain of thought loses its place: the first wrong token of every written-out solution, and what it is.

The right text is given, the most likely next token is read at every place of the solution, and the first that is wrong
is where greedy decoding leaves the solution (see :mod:`models.training.objectives.chain_of_thought`). Places by kind:

    opening     the first token of an equation, a name or a leaf's number: which equation comes next
    name        a further operand, or the name of the node
    operator    an operation between operands
    equals      either '=' of an equation
    value       the number behind the second '=', the only token that is computed
    separator   between two equations

and what was written instead, by outcome:

    copy        a token that in the question stands behind the same two tokens (behind a separator, that alone): another
                equation is continued or begun, or the question goes on where the solution's value is due
    value       another number where a value is due
    end         the text is ended: [pad]
    other       anything else

Controls: of kinds, how many of the first mistakes would be at each were they at random tokens of the solutions; of
copies, how often a token of the question drawn among those of the written token's syntax would count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.failures.frames import column, flags, select
from interp.failures.schedule import by_size
from interp.statistics.counted import percent
from interp.statistics.shares import Share
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.training.objectives.chain_of_thought import Thoughts, write_thoughts
from models.training.objectives.protocol import to_tensor
from models.training.sampling import (
    NUMBER,
    PADDING,
    SEPARATOR,
    SYNTAX,
    VALUE,
    GraphBatch,
    Ints,
    batch_of,
)
from models.training.transition import true_values
from models.vocabulary import FACTORS, FactoredVocabulary

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

KINDS: Final = ("opening", "name", "operator", "equals", "value", "separator")
OUTCOMES: Final = ("copy", "value", "end", "other")
TOKENS_AT_ONCE: Final = 2500
"""Tokens of the questions that are read together; each with its solution is about three times as long."""
QUARTERS: Final = 4
NOWHERE: Final = -1


@one_line
@dataclass(frozen=True, eq=False)
class LostPlace:
    """First mistakes of solutions, and errors of all tokens given the right text before them.

    Attributes:
        mistakes: a row a graph that goes wrong: graph, nodes, node (number of the equation), name, depth, operands,
            index (of the token in the solution), place (that, as a share of the solution), kind, outcome, factors (that
            are wrong), wrote, right (tokens), continued (number of the equation that is continued, -1: none), chance
            (that a token of its syntax from the question counts as a copy).
        runs: a row per graph: graph, nodes, tokens (of its solution), solved.
        tokens: a row per size, kind and quarter of the solution: nodes, kind, quarter (1..4), total, wrong, first.
    """

    mistakes: pd.DataFrame
    runs: pd.DataFrame
    tokens: pd.DataFrame

    @property
    def sizes(self) -> list[int]:
        """Nodes of the graphs, ascending."""
        return sorted(set(column(self.runs, "nodes").tolist()))

    def solved(self, size: int) -> Share:
        """Graphs of a size whose solution is written without a mistake."""
        return Share.of(flags(self.runs, "solved")[column(self.runs, "nodes") == size])

    def by(self, name: str) -> pd.DataFrame:
        """By ``kind`` or ``quarter``, a row per size and group: nodes, group, first (mistakes there), first_share,
        expected (share, were first mistakes at random tokens), and error rate given the right text: wrong, total, rate,
        low, high.

        Raises:
            ValueError: another name.
        """
        if name not in ("kind", "quarter"):
            raise ValueError(f"by {name!r}; allowed: kind, quarter")
        rows: list[dict[str, Any]] = []
        for size in self.sizes:
            part = select(self.tokens, column(self.tokens, "nodes") == size)
            first, total = (max(int(column(part, key).sum()), 1) for key in ("first", "total"))
            for group in KINDS if name == "kind" else range(1, QUARTERS + 1):
                at: Any = select(part, column(part, name) == group)
                errors = Share(int(at["wrong"].sum()), int(at["total"].sum()))
                rows.append(
                    {"nodes": size, "group": group, "first": int(at["first"].sum())}
                    | {"first_share": int(at["first"].sum()) / first, "expected": errors.total / total}
                    | {"wrong": errors.count, "total": errors.total, "rate": errors.value}
                    | dict(zip(("low", "high"), errors.interval, strict=True))
                )
        return pd.DataFrame(rows)

    def outcomes(self, size: int | None = None) -> dict[str, Share]:
        """Of the first mistakes of a size, or all: what was written instead."""
        chosen = column(self.mistakes, "outcome")
        if size is not None:
            chosen = chosen[column(self.mistakes, "nodes") == size]
        return {outcome: Share.of(chosen == outcome) for outcome in OUTCOMES}

    @property
    def chance(self) -> float:
        """Mean chance of a copy, over the first mistakes that are not at a value; nan without any."""
        elsewhere = column(self.mistakes, "kind") != "value"
        return float(column(self.mistakes, "chance")[elsewhere].mean()) if elsewhere.any() else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """:attr:`mistakes`, a copy."""
        return self.mistakes.copy()

    def figure(self) -> go.Figure:
        """:func:`interp.failures.failing_runs_figure.losing_figure`."""
        from interp.failures.failing_runs_figure import losing_figure

        return losing_figure(self)

    def verdict(self) -> str:
        """Where it is lost, beside random places, and what is written."""
        n = len(self.mistakes)
        solved = ", ".join(f"{size} nodes {self.solved(size)}" for size in self.sizes)
        if not n:
            return f"every solution is written without a mistake ({solved})"
        table: Any = self.by("kind")
        sums = table.groupby("group", sort=False)[["first", "total"]].sum()
        kind = str((sums["first"] / n - sums["total"] / sums["total"].sum()).idxmax())
        share, expected = Share(int(sums["first"][kind]), n), sums["total"][kind] / sums["total"].sum()
        stands_out = "more than" if share.interval[0] > expected else "not measurably more than"
        found = self.outcomes()
        elsewhere = Share(found["copy"].count, n - int((column(self.mistakes, "kind") == "value").sum()))
        copies = (
            f"; not at values, {elsewhere} continue another equation (random tokens: {percent(self.chance)})"
        )
        return (
            f"written without a mistake: {solved}. Of the first mistakes {share} are at tokens of the kind {kind}, "
            f"{stands_out} the {percent(expected)} of all tokens that are of it. What stands there instead: another "
            f"equation's token in {found['copy'].count}, a wrong value in {found['value'].count}, an end in "
            f"{found['end'].count}, anything else in {found['other'].count}"
            + (copies if elsewhere.total else "")
        )


@torch.no_grad()
def losing_place(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> LostPlace:
    """Read every solution once, given the right text.

    Raises:
        ValueError: no graphs, or a model that does not write its solution as text. VocabularyError: a graph the model
            cannot read.
    """
    if not model.cfg.writes_text:
        raise ValueError(
            f"a model of method {model.cfg.method!r} writes no text; allowed: chain-of-thought models"
        )
    parts: list[LostPlace] = []
    for _, indices, encoded in by_size(model, graphs, TOKENS_AT_ONCE):
        batch = batch_of(encoded.graphs, model.vocabulary)
        thoughts = write_thoughts(batch, true_values(batch, model.vocabulary), model.vocabulary)
        logits = model.transition(to_tensor(thoughts.tokens[:, :-1], model.W_E.device))
        written = model.discretise(logits).cpu().numpy()
        parts.append(classified(written, thoughts, batch, encoded.graphs, model.vocabulary, indices))
    return LostPlace(
        *(
            pd.concat([getattr(part, name) for part in parts], ignore_index=True)
            for name in ("mistakes", "runs", "tokens")
        )
    )


def classified(
    written: Ints,
    thoughts: Thoughts,
    batch: GraphBatch,
    graphs: Sequence[ComputationGraph],
    vocabulary: FactoredVocabulary,
    indices: Sequence[int] | None = None,
) -> LostPlace:
    """The first mistakes of what was written, int [graph, pos, factor]: at position i the token after position i of
    ``thoughts.tokens``, given those up to i.

    indices: numbers of the graphs, default 0, 1, ...
    """
    wanted, counted = thoughts.tokens[:, 1:], thoughts.solution[:, 1:]
    wrong = (written != wanted).any(-1) & counted
    mistakes: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    tallies: list[pd.DataFrame] = []
    for row, graph in enumerate(graphs):
        number = row if indices is None else indices[row]
        begin = int(np.flatnonzero(counted[row])[0])
        nodes, kinds = solution_places(graph)
        failed = np.flatnonzero(wrong[row])
        runs.append({"graph": number, "nodes": len(graph), "tokens": len(kinds), "solved": not len(failed)})
        flags = wrong[row, begin : begin + len(kinds)]
        tallies.append(_tally(len(graph), kinds, flags))
        if len(failed):
            index = int(failed[0]) - begin
            question = thoughts.tokens[row, : int(batch.mask[row].sum())]
            before = thoughts.tokens[row, int(failed[0]) - 1 : int(failed[0]) + 1]
            token, right = written[row, failed[0]], wanted[row, failed[0]]
            outcome, continued, chance = _outcome(kinds[index], question, before, token, graph, vocabulary)
            node = nodes[index]
            mistakes.append(
                {"graph": number, "nodes": len(graph), "node": node, "name": graph.nodes[node].name}
                | {"depth": graph.depths_by_node[node], "operands": len(graph.nodes[node].operands)}
                | {"index": index, "place": index / len(kinds), "kind": kinds[index], "outcome": outcome}
                | {"factors": ", ".join(np.array(FACTORS)[token != right]), "continued": continued}
                | {"chance": chance, "wrote": _shown(token, vocabulary), "right": _shown(right, vocabulary)}
            )
    together: Any = pd.concat(tallies)
    sums = together.groupby(["nodes", "kind", "quarter"], as_index=False, sort=False).sum()
    columns = (
        "graph nodes node name depth operands index place kind outcome factors continued chance wrote right"
    )
    return LostPlace(pd.DataFrame(mistakes, columns=columns.split()), pd.DataFrame(runs), sums)


def solution_places(graph: ComputationGraph) -> tuple[list[int], list[str]]:
    """Of every token of the solution in order: the number of its equation, and its kind of :data:`KINDS`."""
    nodes: list[int] = []
    kinds: list[str] = []
    for number, node in enumerate(graph.nodes):
        further = ["operator", "name"] * (len(node.operands) - 1)
        own = ["opening", *further, "equals", "name", "equals", "value", "separator"]
        nodes += [number] * len(own)
        kinds += own
    return nodes[:-1], kinds[:-1]


def _tally(size: int, kinds: list[str], wrong: NDArray[np.bool_]) -> pd.DataFrame:
    quarter = 1 + QUARTERS * np.arange(len(kinds)) // len(kinds)
    first = wrong & (np.cumsum(wrong) == 1)
    counts = {"total": np.ones(len(kinds), int), "wrong": wrong.astype(int), "first": first.astype(int)}
    table: Any = pd.DataFrame({"nodes": size, "kind": kinds, "quarter": quarter} | counts)
    return table.groupby(["nodes", "kind", "quarter"], as_index=False, sort=False).sum()


def _outcome(
    kind: str,
    question: Ints,
    before: Ints,
    token: Ints,
    graph: ComputationGraph,
    vocabulary: FactoredVocabulary,
) -> tuple[str, int, float]:
    """Outcome, the equation that is continued, and the chance of a copy; before: the last two tokens, [2, factor]."""
    text = np.concatenate(
        [_separator(vocabulary), question]
    )  # so that the first equation stands behind one too
    at = np.arange(1, len(text)) if kind == "opening" else np.arange(2, len(text))
    fits = (text[at - 1] == before[1]).all(-1)
    if kind != "opening":
        fits &= (text[at - 2] == before[0]).all(-1)
    at = at[fits]
    same = question[question[:, SYNTAX] == token[SYNTAX]]
    chance = float((same[:, None] == text[at]).all(-1).any(-1).mean()) if len(same) and len(at) else 0.0
    if kind == "value" and token[SYNTAX] == VALUE and token[NUMBER] < vocabulary.modulus:
        return "value", NOWHERE, chance
    hits = at[(text[at] == token).all(-1)]
    if len(hits):
        lengths = [2 * max(len(node.operands), 1) + 2 for node in graph.nodes]
        return "copy", int(np.searchsorted(np.cumsum(lengths), int(hits[0]) - 1, side="right")), chance
    return ("end" if token[SYNTAX] == PADDING else "other"), NOWHERE, chance


def _separator(vocabulary: FactoredVocabulary) -> Ints:
    """Int [1, factor]."""
    return np.array([[SEPARATOR, *(vocabulary.n_a(factor) for factor in FACTORS[1:])]], dtype=np.int64)


def _shown(token: Ints, vocabulary: FactoredVocabulary) -> str:
    """The symbols of a token that are not N/A or EMPTY."""
    symbols = [vocabulary.symbols(factor)[int(code)] for factor, code in zip(FACTORS, token, strict=True)]
    return " ".join([symbols[0], *(symbol for symbol in symbols[1:] if symbol not in ("N/A", "EMPTY"))])
