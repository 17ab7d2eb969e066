"""How a code comes about inside a step: the edges between heads and MLPs, and how far they add up.

The step is run twice, with the state that entered it and with one in which all that the code depends on is replaced.
What is read is the logit of the code's symbol minus that of the one that the second state gives; an edge's score is by
how much of the difference between the two runs it is lower when the edge alone carries what it does in the second.
Scores are shares: 1 is the whole difference.

Inside a step nothing is discrete, so scores need not add up. **Completeness** is how far they do: of every head and MLP
and of the logits, what the edges into it carry one by one (in) is held against what all edges out of it carry together
(out; of the logits 1). What is missing is the error, ``|out - in|``, its share ``error / (sum of |edges in| + error)``,
and completeness the mean of ``1 - share`` weighted by ``|out|``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from interp.causal.value_metric import ValueMetric
from interp.circuits.cut_runs import CutRuns
from interp.circuits.replaced_writes import writes_of
from interp.circuits.step_graph import StepGraph
from interp.engine.interventions import Recording
from models.one_line import one_line
from models.vocabulary import FACTORS


@one_line
@dataclass(frozen=True, eq=False)
class InsideStep:
    """The edges inside one step that make one code.

    Attributes:
        graph: which edges there are. scores: float [edge]; share of the difference that is lost without it.
        difference: of the two runs, in logits.
        completeness: see the module.
    """

    graph: StepGraph
    scores: NDArray[np.float64]
    difference: float
    completeness: float


def inside_step(run: Recording, step: int, equation: int, replaced: Tensor) -> InsideStep | None:
    """What makes the value at an equation's right-hand side in a step; None where ``replaced``, int [pos, factor],
    makes the same one.
    """
    model, graph = run.model, run.graph
    if model.cfg.attention_dir == "causal":  # what stands behind the equation does not matter
        graph = replace(graph, nodes=graph.nodes[: equation + 1])
    encoded = model.to_encoded(graph)
    end = encoded.factors.shape[1]
    both: list[Recording] = []
    for state in (run.trajectory.states[step, 0, :end][None], replaced[None, :end]):
        entering = replace(encoded, factors=state, packed=model.vocabulary.pack(state))
        both.append(Recording(model, model.run(entering, n_steps=1)))
    at = int(encoded.rhs[0, equation])
    right, wrong = (int(one.trajectory.states[1, 0, at, FACTORS.index("value")]) for one in both)
    if right == wrong:
        return None
    metric = ValueMetric(
        "logit_diff", (equation,), (at,), (right,), (wrong,), (True,), model.vocabulary.slice("value")
    )
    step_graph = StepGraph.of(model.cfg)
    first, second = (writes_of(model, one) for one in both)
    runs = CutRuns(model, step_graph, both[0], both[1], (metric,), first, second)
    cuts = list(np.eye(len(step_graph.edges), dtype=bool))
    outs = [step_graph.writer_of == place for place in range(1, len(step_graph.writers))]
    whole, nothing, *measured = runs.measure(
        [np.zeros(len(step_graph.edges), bool), np.ones(len(step_graph.edges), bool), *cuts, *outs]
    ).tolist()
    shares = (whole - np.array(measured)) / (whole - nothing)
    scores, out = shares[: len(cuts)], shares[len(cuts) :]
    return InsideStep(step_graph, scores, whole - nothing, _completeness(step_graph, scores, out))


def _completeness(graph: StepGraph, scores: NDArray[np.float64], out: NDArray[np.float64]) -> float:
    parts: list[tuple[float, float]] = []
    for place, (kind, layer, head) in enumerate([*graph.writers[1:], ("logits", None, None)]):
        into = [
            span
            for (reader, own_layer, own_head), span in graph.spans.items()
            if (own_layer, own_head) == (layer, head)
            and (reader in ("q", "k", "v") if kind == "head" else reader == kind)
        ]
        edges = np.concatenate([scores[span] for span in into])
        carried = float(out[place]) if kind != "logits" else 1.0
        error = abs(carried - float(edges.sum()))
        total = float(np.abs(edges).sum()) + error
        parts.append((abs(carried), 1 - error / total if total else 1.0))
    weights, values = (np.array(column) for column in zip(*parts, strict=True))
    return float((weights * values).sum() / weights.sum())
