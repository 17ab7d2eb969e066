"""Methods that score edges, held against models whose edges are known from the weights.

A model is looked at with pairs of its own for every seed, with mean ablation, under which an edge matters whatever it
carries. A method's scores are judged by what only they say, their order by magnitude:

    auroc       probability that an edge that can matter has a larger score than one that cannot, ties counted half
    precision   share of edges that can matter among as many edges with the largest scores
    seconds     processor time of the scores

An exact score is not right by definition: it asks whether an edge is *needed*, and one of two twins never is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.causal.pairs import Pair, sample_pairs
from interp.circuits.method_records import score_method
from interp.circuits.pair_runs import PairRuns, pair_runs
from interp.circuits.weight_edges import weight_edges
from interp.engine.replay import Progress
from models.compiled import compile_model
from models.recurrent import RecurrentTransformer

KINDS: Final = ("leaf-value", "operand")
"""Kinds of pairs, in turn."""
_MOST_OPERANDS: Final = 3
_TRIES: Final = 50
"""Draws of a pair."""


@dataclass(frozen=True)
class KnownModel:
    """A model whose edges are known: its name, what is known about it, and how it is made."""

    name: str
    label: str
    make: Callable[[], RecurrentTransformer]


KNOWN_MODELS: Final = {
    known.name: known
    for known in (
        KnownModel("compiled", "every head that writes is needed", compile_model),
        KnownModel(
            "compiled-spare",
            "with a twin of one head, and a decoy that nothing reads",
            lambda: compile_model(spare_heads=True),
        ),
    )
}
"""By name. Another is one record more; it has no LayerNorm (:func:`interp.circuits.weight_edges.weight_edges`)."""


@dataclass(frozen=True)
class MethodScore:
    """One method on one model with one seed."""

    model: str
    method: str
    seed: int
    auroc: float
    precision: float
    seconds: float


@dataclass(frozen=True)
class MethodBenchmark:
    """All rows, model by model, seed by seed.

    Attributes:
        n_edges: model -> edges of a step, and how many of them can matter.
    """

    rows: tuple[MethodScore, ...]
    n_edges: dict[str, tuple[int, int]]

    def to_frame(self) -> pd.DataFrame:
        """One row per model, method and seed."""
        return pd.DataFrame([vars(row) for row in self.rows])

    def summary(self) -> pd.DataFrame:
        """One row per model and method, in the order given: mean, least and largest ``auroc``; mean ``precision`` and
        ``seconds``; ``seeds``.
        """
        frame: Any = self.to_frame()
        grouped = frame.groupby(["model", "method"], sort=False)
        return grouped.agg(
            auroc=("auroc", "mean"),
            least=("auroc", "min"),
            most=("auroc", "max"),
            precision=("precision", "mean"),
            seconds=("seconds", "mean"),
            seeds=("seed", "count"),
        ).reset_index()


def auroc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Area under the receiver operating characteristic: Mann and Whitney's U over the number of couples."""
    order = np.unique(scores, return_inverse=True)[1]
    counts = np.bincount(order)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[order]
    yes, no = int(truth.sum()), int((~truth).sum())
    return float((ranks[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


def precision(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Of as many scores as there are true edges, the largest, the share of true ones; ties in the order of a step."""
    return float(truth[np.argsort(-scores, kind="stable")[: int(truth.sum())]].mean())


def benchmark_pairs(model: RecurrentTransformer, seed: int, n_pairs: int, n_nodes: int) -> PairRuns:
    """The pairs of one seed, of all operations of the model, with mean ablation.

    An edge shows only where it is at work, so pairs are drawn until a node that is read has three operands: what
    fetches and adds the third has nothing to do for others. After :data:`_TRIES` draws the first stands.
    """
    pairs = [
        _exercising(KINDS[index % len(KINDS)], n_nodes, model.cfg.ops, seed * 1000 + index)
        for index in range(n_pairs)
    ]
    return pair_runs(model, pairs, "mean")


def _exercising(kind: str, n_nodes: int, ops: Sequence[str], seed: int) -> Pair:
    drawn = (sample_pairs(1, kind, n_nodes, ops, seed + attempt * 10**6)[0] for attempt in range(_TRIES))
    first = next(drawn)
    return next((pair for pair in chain((first,), drawn) if _reads_three(pair)), first)


def _reads_three(pair: Pair) -> bool:
    ends = pair.clean.evaluate(), pair.corrupt.evaluate()
    return any(
        len(node.operands) == _MOST_OPERANDS and ends[0][node.name] != ends[1][node.name]
        for node in pair.clean.nodes
    )


def benchmark_methods(
    methods: Sequence[str],
    models: Sequence[str] = tuple(KNOWN_MODELS),
    seeds: Sequence[int] = range(5),
    n_pairs: int = 3,
    n_nodes: int = 8,
    progress: Progress | None = None,
) -> MethodBenchmark:
    """Score all edges of all models by all methods, tied.

    Args:
        methods: names of :data:`interp.circuits.method_records.SCORE_METHODS`. models: of :data:`KNOWN_MODELS`.
        n_pairs, n_nodes: pairs of a seed, and the size of their graphs. progress: called with (done, total).

    Raises:
        ValueError: an unknown method or model, or none.
    """
    chosen = [score_method(name) for name in methods]
    unknown = sorted(set(models) - set(KNOWN_MODELS))
    if unknown or not models or not methods or not seeds:
        raise ValueError(
            f"models are {', '.join(models) or 'none'}; allowed are {', '.join(KNOWN_MODELS)}, at least one of them, "
            "one method and one seed"
        )
    rows: list[MethodScore] = []
    sizes: dict[str, tuple[int, int]] = {}
    for name in models:
        model = KNOWN_MODELS[name].make()
        truth = weight_edges(model)
        sizes[name] = len(truth), int(truth.sum())
        for seed in seeds:
            runs = benchmark_pairs(model, seed, n_pairs, n_nodes)
            _ = runs.ends  # what all methods need is not counted to the first
            for method in chosen:
                begin = time.process_time()
                scores = np.abs(method.scores(runs, True, seed)[0])
                spent = time.process_time() - begin
                judged = auroc(scores, truth), precision(scores, truth)
                rows.append(MethodScore(name, method.name, seed, *judged, spent))
                if progress is not None:
                    progress(len(rows), len(models) * len(seeds) * len(chosen))
    return MethodBenchmark(tuple(rows), sizes)
