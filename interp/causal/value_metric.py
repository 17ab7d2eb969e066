"""Those of :mod:`interp.causal.metrics` that have a gradient, as functions of logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from interp.causal.metrics import Answer
from interp.interventions import Recording

SMOOTH_METRICS: Final = ("logit_diff", "prob")


@dataclass(frozen=True)
class ValueMetric:
    """A metric of :data:`SMOOTH_METRICS`, ready to be applied to logits.

    Attributes:
        name: which.
        nodes: the nodes it reads.
        rows: index on the position axis of the logits, one for each node.
        right, wrong: the value symbol that the clean and the corrupt run write there.
        values: where the value factor lies on the last axis of the logits.
    """

    name: str
    nodes: tuple[int, ...]
    rows: tuple[int, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]
    values: slice

    @classmethod
    def of(
        cls,
        runs: tuple[Recording, Recording],
        name: str = "logit_diff",
        nodes: Sequence[int | str] | None = None,
    ) -> ValueMetric:
        """The metric of the last step of a clean and a corrupt run, for logits of all positions.

        nodes: indices or own names; default: those at which the two runs end differently.

        Raises:
            ValueError: an unknown name; a node that is not there; no node.
        """
        if name not in SMOOTH_METRICS:
            raise ValueError(f"metric {name!r} has no gradient; allowed are {', '.join(SMOOTH_METRICS)}")
        clean, corrupt = (run.trajectory for run in runs)
        if nodes is None:
            chosen = [int(n) for n in (clean.values[-1, 0] != corrupt.values[-1, 0]).nonzero().flatten()]
            if not chosen:
                raise ValueError(
                    f"after {clean.n_steps} steps both runs show the same value at every node; "
                    "say which nodes the metric reads, or choose another step"
                )
        else:
            chosen = [_index(node, [known.name for known in runs[0].graph.nodes]) for node in nodes]
            if not chosen:
                raise ValueError("there are no nodes for the metric to read; allowed is at least one")
        answer = Answer.of(clean, corrupt, chosen, clean.n_steps)
        if name == "logit_diff" and torch.equal(answer.clean, answer.corrupt):
            raise ValueError(
                f"after {clean.n_steps} steps both runs show the same value at the nodes {chosen}, so that logit_diff "
                "is 0 whatever happens; allowed: at least one node at which they differ, or metric 'prob'"
            )
        return cls(
            name=name,
            nodes=answer.nodes,
            rows=tuple(int(clean.encoded.rhs[0, node]) for node in answer.nodes),
            right=tuple(int(symbol) for symbol in answer.clean),
            wrong=tuple(int(symbol) for symbol in answer.corrupt),
            values=clean.vocabulary.slice("value"),
        )

    def __call__(self, logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, " batch"]:
        """The metric of every row of the batch."""
        read = logits[:, list(self.rows), self.values]
        if self.name == "prob":
            read = read.softmax(-1)
        index = torch.arange(len(self.rows), device=logits.device)
        right = read[:, index, list(self.right)]
        return (right if self.name == "prob" else right - read[:, index, list(self.wrong)]).mean(-1)


def _index(node: int | str, names: Sequence[str]) -> int:
    if isinstance(node, str) and node in names:
        return names.index(node)
    if isinstance(node, str) or not 0 <= node < len(names):
        raise ValueError(
            f"there is no node {node!r}; there are 0 to {len(names) - 1}, named {', '.join(names)}"
        )
    return node
