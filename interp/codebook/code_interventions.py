"""Code interventions: set one code in a state, run one step, and ask the oracle what the step should have written.

The oracle's answer is one synchronous step of the symbolic algorithm on that very state (:mod:`interp.oracle_step`). A
step of a discretely bottlenecked model is a function of the state alone, so the edit is exact and the states of a run
are as good a place to start from as any. :mod:`interp.codebook.code_edits` says which edits there are: a value at a
right-hand side, of which every node that names it must be computed anew; a leaf's number, an operand, an operation.

An edit that the oracle's answer does not follow tests little: a model that ignores edits gets it right. So agreement
is also counted over AFFECTED values alone, those right-hand sides at which the answer differs from the answer to the
state without the edit; there a model that ignores edits scores 0 by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.codebook.code_edits import KINDS, CodeEdit, draw_edit, edited_states, targets_of
from interp.oracle_step import oracle_step, oracle_steps
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS, EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]


@one_line
@dataclass(frozen=True, eq=False)
class CodeInterventions:
    """What one step made of edited states, beside the oracle's answers.

    Attributes:
        frame: a row per edit:
            graph, step, kind, node (its number), depth, pos, factor, before, after (symbols);
            affected: right-hand sides at which the oracle's answer differs from that without the edit;
            affected_right: those of them that the model writes as the oracle does;
            affected_ignored: those of them that a model which ignores the edit gets right: the model's own step from
            the state without the edit writes the answer to the edited one;
            wrong: tokens of the text, of any factor, that the model writes otherwise than the oracle;
            exact: wrong is 0;
            exact_without: the model's own step from the state without the edit is the oracle's.
    """

    frame: pd.DataFrame

    def __len__(self) -> int:
        """How many edits."""
        return len(self.frame)

    @property
    def exact(self) -> float:
        """Share of edits after which the whole next state is the oracle's; nan without edits."""
        return float(self.column("exact").mean()) if len(self) else float("nan")

    @property
    def affected_agreement(self) -> float:
        """Share of all affected values that are written as the oracle does; nan without any."""
        affected, right = (int(self.column(name).sum()) for name in ("affected", "affected_right"))
        return right / affected if affected else float("nan")

    def column(self, name: str) -> NDArray[Any]:
        """One column of :attr:`frame`, [edit]."""
        frame: Any = self.frame
        return frame[name].to_numpy()

    def by_kind(self) -> pd.DataFrame:
        """A row per kind: edits, exact, exact_without, ignored (share that a model that ignores the edit gets right at
        all right-hand sides), affected (values), affected_agreement.
        """
        frame: Any = self.frame
        groups = frame.assign(ignored=frame["affected"] == 0).groupby("kind", sort=False)
        table = groups[["exact", "exact_without", "ignored"]].mean()
        table.insert(0, "edits", groups.size())
        sums = groups[["affected", "affected_right"]].sum()
        table["affected"] = sums["affected"]
        table["affected_agreement"] = sums["affected_right"] / sums["affected"]
        return table.reset_index()

    def to_frame(self) -> pd.DataFrame:
        """:attr:`frame`, a copy."""
        return self.frame.copy()

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.codebook.snapping_figure.intervention_figure`."""
        from interp.codebook.snapping_figure import intervention_figure

        return intervention_figure(self, width)


def code_interventions(
    model: RecurrentTransformer,
    graphs: Trajectory | Sequence[ComputationGraph] | ComputationGraph,
    kinds: Sequence[str] = KINDS,
    per_kind: int = 8,
    n_steps: int | None = None,
    seed: int = 0,
    tokens: int = 16384,
    progress: Callable[[int, int], None] | None = None,
) -> CodeInterventions:
    """Edit states of a run, one code at a time, and score the step that follows.

    Args:
        graphs: graphs, which are run first (``n_steps`` as for ``model.run``), or a run of this model.
        kinds: of :data:`KINDS`; one that the graphs have no place for (no other operation) gives no edits.
        per_kind: edits of each kind drawn for each graph: step, token and new code uniformly, by ``seed``.
        tokens: positions in one forward pass, about.
        progress: called with (edits done, edits in all).

    Raises:
        ValueError: a model without a discrete state, one that is watched by hooks or draws noise, an unknown kind, a
            negative number of edits, a run without steps.
        VocabularyError: no graph, or one outside the vocabulary.
    """
    _check(model, kinds, per_kind)
    run = graphs if isinstance(graphs, Trajectory) else model.run(graphs, n_steps)
    if run.n_steps < 1:
        raise ValueError(
            "the run has no steps, so there is none to make from an edited state; allowed: 1 or more"
        )
    rng = np.random.default_rng(seed)
    edits = [
        edit
        for graph in range(len(run.encoded))
        for kind in kinds
        for edit in _drawn(run, graph, kind, per_kind, rng)
    ]
    return CodeInterventions(score_edits(model, run, edits, tokens, progress))


def score_edits(
    model: RecurrentTransformer,
    run: Trajectory,
    edits: Sequence[CodeEdit],
    tokens: int = 16384,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """One step from every edited state of ``run``: the rows of :attr:`CodeInterventions.frame`, in order."""
    encoded, vocabulary = run.encoded, run.vocabulary
    answers = oracle_steps(run.states, encoded, vocabulary)
    lengths = encoded.mask.sum(1)
    order = sorted(range(len(edits)), key=lambda index: int(lengths[edits[index].graph]))
    counted = np.zeros((len(edits), 5), dtype=np.int64)
    done = 0
    for batch in _batches(order, [int(lengths[edit.graph]) for edit in edits], tokens):
        chosen = [edits[index] for index in batch]
        graph, step = (torch.tensor([getattr(edit, name) for edit in chosen]) for name in ("graph", "step"))
        layout = layout_of(encoded, graph, int(lengths[graph].max()))
        state = edited_states(run, chosen, layout.mask.shape[1])
        answer = oracle_step(state, layout, vocabulary)
        unedited = answers[step, graph, : layout.mask.shape[1]]
        with torch.no_grad():
            logits = model.transition(state.to(model.W_E.device), padding=~layout.mask.to(model.W_E.device))
        written = model.discretise(logits).cpu()
        own = run.states[step + 1, graph, : layout.mask.shape[1]]
        counted[batch] = _compared(written, answer, unedited, own, layout)
        done += len(batch)
        if progress is not None:
            progress(done, len(edits))
    return _frame(edits, counted, run)


def _check(model: RecurrentTransformer, kinds: Sequence[str], per_kind: int) -> None:
    if model.cfg.bottleneck != "discrete":
        raise ValueError(
            f"this model (method {model.cfg.method!r}) passes on a hidden state, not codes, so there is no code to set "
            "in what enters a step; code interventions need bottleneck='discrete'"
        )
    if model.is_watched():
        raise ValueError("the model has hooks attached; take them off first (model.reset_hooks())")
    if model.training and (model.cfg.dropout > 0 or model.cfg.attention_noise > 0):
        raise ValueError("the model is in training mode and draws noise; call model.eval() first")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"kinds are {list(kinds)}; allowed is at least one of {', '.join(KINDS)}")
    if per_kind < 1:
        raise ValueError(f"per_kind is {per_kind}; allowed are 1 or more edits of a kind in every graph")


def _drawn(run: Trajectory, graph: int, kind: str, count: int, rng: np.random.Generator) -> list[CodeEdit]:
    """``count`` edits of one kind in one graph, or none where it has no token for them."""
    targets = targets_of(run.encoded.graphs[graph], kind, run.vocabulary)
    drawn = [
        draw_edit(run, graph, range(run.n_steps), kind, targets, rng) for _ in range(count if targets else 0)
    ]
    return [edit for edit in drawn if edit is not None]


def _batches(order: Sequence[int], lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Edits from short texts to long ones, as many at once as fit ``tokens``, at least one."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[index] > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def layout_of(encoded: EncodedGraphs, rows: Tensor, n_pos: int) -> EncodedGraphs:
    """Some graphs, one per row, cut to ``n_pos`` positions."""
    by_position = {"factors", "packed", "mask"}
    tensors = {
        field.name: getattr(encoded, field.name)[rows][:, :n_pos]
        if field.name in by_position
        else getattr(encoded, field.name)[rows]
        for field in fields(encoded)[1:]
    }
    return EncodedGraphs(tuple(encoded.graphs[int(row)] for row in rows), **tensors)


def _compared(
    written: Tensor, answer: Tensor, unedited: Tensor, own: Tensor, layout: EncodedGraphs
) -> NDArray[np.int64]:
    """Int [edit, 5]: affected, affected_right, affected_ignored, wrong, wrong without the edit; states are int
    [edit, pos, factor].
    """
    rows = torch.arange(len(answer))[:, None]
    rhs, is_node = layout.rhs.clamp_min(0), layout.rhs >= 0
    affected = is_node & (answer[rows, rhs, 3] != unedited[rows, rhs, 3])
    right = affected & (written[rows, rhs, 3] == answer[rows, rhs, 3])
    ignored = affected & (own[rows, rhs, 3] == answer[rows, rhs, 3])
    wrong = [
        ((one != other).any(-1) & layout.mask).sum(-1) for one, other in ((written, answer), (own, unedited))
    ]
    return torch.stack([affected.sum(-1), right.sum(-1), ignored.sum(-1), *wrong], dim=-1).numpy()


def _frame(edits: Sequence[CodeEdit], counted: NDArray[np.int64], run: Trajectory) -> pd.DataFrame:
    symbols = {factor: run.vocabulary.symbols(factor) for factor in FACTORS}
    columns = [field.name for field in fields(CodeEdit)]
    frame = pd.DataFrame([[getattr(edit, name) for name in columns] for edit in edits], columns=columns)
    for end in ("before", "after"):
        frame[end] = [symbols[edit.factor][getattr(edit, end)] for edit in edits]
    frame.insert(4, "depth", [int(run.encoded.depths[edit.graph, edit.node]) for edit in edits])
    affected, right, ignored, wrong, without = counted.T
    counts = {"affected": affected, "affected_right": right, "affected_ignored": ignored, "wrong": wrong}
    for name, column in (counts | {"exact": wrong == 0, "exact_without": without == 0}).items():
        frame[name] = column
    return frame
