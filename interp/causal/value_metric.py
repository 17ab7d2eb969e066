"""Those of :mod:`interp.causal.metric_records` that have a gradient, as functions of logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.causal.metric_records import METRICS, smooth_metrics
from interp.causal.metrics import Answer, answered, no_answer
from interp.engine.interventions import Recording
from models.one_line import one_line


@one_line
@dataclass(frozen=True)
class ValueMetric:
    """A metric with a gradient, ready to be applied to logits.

    Attributes:
        name: which.
        nodes: the nodes it reads.
        rows: index on the position axis of the logits, one for each node.
        right, wrong: the value symbol that the clean and the corrupt run write there.
        known: whether ``right`` is a number; a node at which it is EMPTY or N/A has no answer and adds 0.
        values: where the value factor lies on the last axis of the logits.
    """

    name: str
    nodes: tuple[int, ...]
    rows: tuple[int, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]
    known: tuple[bool, ...]
    values: slice

    @classmethod
    def of(
        cls,
        runs: tuple[Recording, Recording],
        name: str = "logit_diff",
        nodes: Sequence[int | str] | None = None,
        n_steps: int | None = None,
    ) -> ValueMetric:
        """The metric of the last step of a clean and a corrupt run, for logits of all positions.

        nodes: indices or own names; default: those at which the two runs end differently and the clean one with a
            number.
        n_steps: after how many steps the runs end; default: all of them.

        Raises:
            ValueError: an unknown name; a node that is not there; no node; no node with an answer.
        """
        if name not in smooth_metrics():
            raise ValueError(f"metric {name!r} has no gradient; allowed are {', '.join(smooth_metrics())}")
        clean, corrupt = (run.trajectory for run in runs)
        n_steps = clean.n_steps if n_steps is None else n_steps
        if nodes is None:
            chosen = answered(clean, corrupt, n_steps)
            if not chosen:
                raise ValueError(no_answer(n_steps))
        else:
            chosen = [_index(node, [known.name for known in runs[0].graph.nodes]) for node in nodes]
            if not chosen:
                raise ValueError("there are no nodes for the metric to read; allowed is at least one")
        answer = Answer.of(clean, corrupt, chosen, n_steps)
        if name == "logit_diff" and torch.equal(answer.clean, answer.corrupt):
            raise ValueError(
                f"after {n_steps} steps both runs show the same value at the nodes {chosen}, so that logit_diff "
                "is 0 whatever happens; allowed: at least one node at which they differ, or metric 'prob'"
            )
        if not bool(answer.known.any()):
            raise ValueError(no_answer(n_steps))
        return cls(
            name=name,
            nodes=answer.nodes,
            rows=tuple(int(clean.encoded.rhs[0, node]) for node in answer.nodes),
            right=tuple(int(symbol) for symbol in answer.clean),
            wrong=tuple(int(symbol) for symbol in answer.corrupt),
            known=tuple(bool(known) for known in answer.known),
            values=clean.vocabulary.slice("value"),
        )

    def __call__(self, logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, " batch"]:
        """The metric of every row of the batch."""
        scores = METRICS[self.name].scores
        assert scores is not None
        right, wrong, known = (
            torch.tensor(values, device=logits.device) for values in (self.right, self.wrong, self.known)
        )
        return torch.where(known, scores(logits[:, list(self.rows), self.values], right, wrong), 0).mean(-1)


def _index(node: int | str, names: Sequence[str]) -> int:
    if isinstance(node, str) and node in names:
        return names.index(node)
    if isinstance(node, str) or not 0 <= node < len(names):
        raise ValueError(
            f"there is no node {node!r}; there are 0 to {len(names) - 1}, named {', '.join(names)}"
        )
    return node
