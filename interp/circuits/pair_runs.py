"""Several pairs as one: what circuits of a model are found and judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interp.causal.metrics import answered
from interp.causal.pairs import Pair
from interp.causal.patching import record_pair
from interp.causal.value_metric import ValueMetric
from interp.circuits.cut_runs import Cut, CutRuns
from interp.circuits.replaced_writes import replaced_writes, writes_of
from interp.circuits.step_graph import StepGraph
from interp.engine.interventions import Recording
from interp.progress import followed, phase
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer


@one_line
@dataclass(frozen=True, eq=False)
class PairRuns:
    """Runs of one length of pairs of graphs, whose edges can be cut; see :func:`pair_runs`.

    Attributes:
        ablation: what stands on cut edges, one of :data:`interp.circuits.replaced_writes.ABLATIONS`.
        pairs: one :class:`CutRuns` each.
    """

    ablation: str
    pairs: tuple[CutRuns, ...]

    @property
    def model(self) -> RecurrentTransformer:
        """Which model."""
        return self.pairs[0].model

    @property
    def graph(self) -> StepGraph:
        """The edges of a step."""
        return self.pairs[0].graph

    @property
    def n_steps(self) -> int:
        """Length of all runs."""
        return self.pairs[0].n_steps

    @property
    def shape(self) -> tuple[int, int]:
        """Steps, edges."""
        return self.n_steps, len(self.graph.edges)

    def measure_each(self, cuts: Sequence[Cut]) -> NDArray[np.float64]:
        """The metric of every pair with each of the cuts, float [cut, pair]."""
        return np.stack([pair.measure(cuts) for pair in followed(self.pairs)], axis=1)

    def measure(self, cuts: Sequence[Cut]) -> NDArray[np.float64]:
        """Mean metric over the pairs, m in the definition of faithfulness, float [cut]."""
        return self.measure_each(cuts).mean(1)

    def measure_by_step(self, cuts: Sequence[Cut]) -> NDArray[np.float64]:
        """Mean over the pairs of the metric of every step's logits, float [step, cut]."""
        return np.mean([pair.measure_by_step(cuts) for pair in followed(self.pairs)], axis=0)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """m with nothing cut, and with everything."""
        with phase(0.0, 0.0):
            whole, nothing = self.measure([np.zeros(self.shape, bool), np.ones(self.shape, bool)])
        return float(whole), float(nothing)

    def faithfulness_each(self, kept: Sequence[Cut]) -> NDArray[np.float64]:
        """:meth:`faithfulness` of circuits on every pair alone, float [circuit, pair]."""
        return np.stack([replace(self, pairs=(pair,)).faithfulness(kept) for pair in self.pairs], axis=1)

    def faithfulness(self, kept: Sequence[Cut]) -> NDArray[np.float64]:
        """``(m(C) - m(empty)) / (m(full) - m(empty))`` of circuits, bool [edge] or [step, edge] each (MIB: Mueller et
        al. 2025); nan where both ends are alike.
        """
        whole, nothing = self.ends
        if whole == nothing or not kept:
            return np.full(len(kept), np.nan)
        return (self.measure([~one for one in kept]) - nothing) / (whole - nothing)


def pair_runs(
    model: RecurrentTransformer,
    pairs: Sequence[Pair | tuple[ComputationGraph, ComputationGraph]],
    ablation: str = "corrupt",
    n_steps: int | None = None,
    metric: str = "logit_diff",
    nodes: Sequence[int | str] | None = None,
    seed: int = 0,
    tokens: int = 2048,
) -> PairRuns:
    """Run all pairs, as long as the longest needs, and keep what every writer has written.

    Args:
        ablation: what stands on cut edges, one of :data:`interp.circuits.replaced_writes.ABLATIONS`.
        metric: one of logits (:func:`interp.causal.metric_records.smooth_metrics`).
        nodes: which it reads; default: those at which the two runs of a pair end differently.
        seed: of resampled positions. tokens: positions in one forward pass, about.

    Raises:
        ValueError: no pair; a model without a discrete state; an unknown ablation or metric; a pair with nothing to
            read, or of different lengths.

    Examples:
        >>> from interp import pair_runs
        >>> from models import ComputationGraph, load
        >>> pair = [ComputationGraph.parse(f"{leaf} = a; 2 = b; a + b = c") for leaf in (20, 7)]
        >>> pair_runs(load("compiled"), [pair]).ends
        (30.0, -30.0)
    """
    if not pairs:
        raise ValueError("there is no pair to find a circuit on; allowed: at least one")
    if model.cfg.bottleneck != "discrete":
        raise ValueError(
            f"this model passes on a {model.cfg.bottleneck} state, and circuits over steps are those of a discrete "
            "one: allowed are models with bottleneck 'discrete'"
        )
    both = [(pair.clean, pair.corrupt) if isinstance(pair, Pair) else pair for pair in pairs]
    if n_steps is None:
        n_steps = max(1, model.run([graph for pair in both for graph in pair]).n_steps)
    recorded = [record_pair(model, one, other, n_steps) for one, other in both]
    clean, corrupt = ([writes_of(model, pair[side]) for pair in recorded] for side in (0, 1))
    instead = replaced_writes(ablation, clean, corrupt, seed)
    graph = StepGraph.of(model.cfg)
    return PairRuns(
        ablation,
        tuple(
            CutRuns(model, graph, *runs, _metrics(runs, metric, nodes), own, other, tokens)
            for runs, own, other in zip(recorded, clean, instead, strict=True)
        ),
    )


def _metrics(
    runs: tuple[Recording, Recording], name: str, nodes: Sequence[int | str] | None
) -> tuple[ValueMetric | None, ...]:
    """Of every step, but the last only where the runs differ after it."""
    clean, corrupt = (run.trajectory for run in runs)
    ends = range(1, clean.n_steps)
    early = [
        ValueMetric.of(runs, name, nodes, end) if answered(clean, corrupt, end) else None for end in ends
    ]
    return (*early, ValueMetric.of(runs, name, nodes))
