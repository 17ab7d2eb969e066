"""Why a graph is not solved: the first write that is not the algorithm's, and the edits of one code that mend it.

A discrete state holds all that enters a step, so a run that ends wrong has a first step whose state is not what the
algorithm makes of the state that entered it. The first token there is the wrong write. All edits of one code of the
entering state that the token can see (:mod:`interp.codebook.code_edits`) are tried, or a random sample of them: an edit
MENDS the write if the step then writes at this token what the algorithm makes of the edited state. Read the other way
round, putting the code back breaks a write that was right. Of several, the smallest is the one after which the
algorithm's answer differs from that without it at the fewest right-hand sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch

from interp.codebook.code_edits import CodeEdit, all_edits, edited_states
from interp.engine.interventions import Recording, SetCode
from interp.engine.replay import run_interventions
from interp.oracle_step import oracle_step, oracle_steps
from interp.recovery.predicted import repeated
from interp.statistics.counted import counted
from interp.statistics.shares import Share
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

_AT_ONCE = 64


@one_line
@dataclass(frozen=True, eq=False)
class Mending:
    """One wrong write and what mends it.

    Attributes:
        graph: the graph that is not solved.
        step, pos, node: the first wrong write: in this step, at this position; node: whose right-hand side that is, -1
            for another token.
        written, due: what the model wrote there and what the algorithm does, as text of the token.
        stays: whether the graph's solved state stays as it is (:mod:`interp.recovery.staying`), so that the graph could
            be solved from elsewhere.
        tried: edits that were made, of ``all_edits`` that there are.
        frame: a row per edit that mends: step, kind, node, name, pos, before, after, affected (right-hand sides at
            which the algorithm's answer differs from that without the edit), back (positions before the wrong token);
            the smallest first.
    """

    graph: ComputationGraph
    step: int
    pos: int
    node: int
    written: str
    due: str
    stays: bool
    tried: int
    all_edits: int
    frame: pd.DataFrame

    @property
    def mends(self) -> Share:
        """Edits that mend, of those tried."""
        return Share(len(self.frame), self.tried)

    def sentence(self) -> str:
        """What happened, and the smallest edit that mends it."""
        what = self.graph.equation(self.node) if self.node >= 0 else f"position {self.pos}"
        begin = f"Step {self.step} writes {self.written} at {what}, where the algorithm writes {self.due}"
        if not len(self.frame):
            return f"{begin}; none of {counted(self.tried, 'edit')} of one code mends it"
        frame: Any = self.frame
        first = frame.iloc[0]
        where = f"the {first['kind']} of {first['name']}, {counted(int(first['back']), 'token')} before"
        return (
            f"{begin}; {self.mends} edits of one code mend it, the smallest from {first['before']} to {first['after']} "
            f"at {where}"
        )


def mending(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    most: int = 1000,
    seed: int = 0,
) -> list[Mending]:
    """For every graph that is not solved, the first wrong write and up to ``most`` edits of one code that may mend it.

    Raises:
        ValueError: a model without a discrete state, fewer than one edit.
    """
    if model.cfg.bottleneck != "discrete":
        raise ValueError(
            f"this model (method {model.cfg.method!r}) passes on a hidden state, so a write has no state of codes that "
            "explains it; mending needs bottleneck='discrete'"
        )
    if most < 1:
        raise ValueError(f"most is {most}; allowed is 1 edit or more")
    rng = np.random.default_rng(seed)
    found: list[Mending] = []
    for graph in graphs:
        run = model.run(graph)
        if not bool(run.fully_solved[0]):
            found.append(_mended(model, run, most, rng))
    return found


def _mended(model: RecurrentTransformer, run: Trajectory, most: int, rng: np.random.Generator) -> Mending:
    from interp.recovery.staying import staying

    encoded, vocabulary = run.encoded, run.vocabulary
    answers = oracle_steps(run.states, encoded, vocabulary)[:, 0]
    wrong = (answers != run.states[1:, 0]).any(-1)
    step, pos = (int(index) for index in wrong.nonzero()[0])
    nodes: list[int] = np.flatnonzero(encoded.rhs[0].numpy() == pos).tolist()
    edits = [edit for edit in all_edits(run, 0, [step]) if edit.pos <= pos]
    drawn: list[int] = np.sort(rng.choice(len(edits), min(most, len(edits)), replace=False)).tolist()
    chosen = [edits[index] for index in drawn]
    given = [SetCode(step, edit.pos, edit.factor, edit.after) for edit in chosen]
    replays = run_interventions(model, Recording(model, run), given, n_steps=step + 1, logits_at=None)
    rows: list[dict[str, Any]] = []
    for begin in range(0, len(chosen), _AT_ONCE):
        part = chosen[begin : begin + _AT_ONCE]
        states = edited_states(run, part, run.states.shape[2])
        due = oracle_step(states, repeated(encoded, len(part)), vocabulary)
        affected = (due[:, encoded.rhs[0], 3] != answers[step, encoded.rhs[0], 3]).sum(1)
        for edit, answer, count in zip(part, due, affected, strict=True):
            if torch.equal(next(replays).final[pos], answer[pos]):
                rows.append(_row(run, edit, pos, int(count)))
    columns = ["step", "kind", "node", "name", "pos", "before", "after", "affected", "back"]
    frame = pd.DataFrame(rows, columns=columns).sort_values(["affected", "back"], ignore_index=True)
    return Mending(
        encoded.graphs[0], step, pos, nodes[0] if nodes else -1,
        _text(run, run.states[step + 1, 0, pos], answers[step, pos]),
        _text(run, answers[step, pos], run.states[step + 1, 0, pos]),
        bool(staying(model, encoded.graphs, 1).left[0] < 0), len(chosen), len(edits), frame,
    )  # fmt: skip


def _text(run: Trajectory, token: torch.Tensor, other: torch.Tensor) -> str:
    """The symbols of a token in which it differs from another."""
    factors = ("syntax", "variable", "operation", "value")
    return " ".join(
        run.vocabulary.symbols(factor)[int(code)]
        for factor, code, theirs in zip(factors, token, other, strict=True)
        if code != theirs
    )


def _row(run: Trajectory, edit: CodeEdit, pos: int, affected: int) -> dict[str, Any]:
    symbols = run.vocabulary.symbols(edit.factor)
    return {
        "step": edit.step,
        "kind": edit.kind,
        "node": edit.node,
        "name": run.encoded.graphs[0].nodes[edit.node].name,
        "pos": edit.pos,
        "before": symbols[edit.before],
        "after": symbols[edit.after],
        "affected": affected,
        "back": pos - edit.pos,
    }
