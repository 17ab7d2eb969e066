"""Whether sharper attention mends what fails: the scores of some heads times a constant, nothing trained.

A softmax over more keys leaves less for the right one. If that is why a fetching head fails, the same scores times 1.5
or 2 give its key the mass back, and graphs that failed are solved. The control multiplies the scores of all heads that
do not fetch: were sharpness as such of use, they would do as well. Multiplied is the whole score, content and position
(queries and position terms times the factor), in a copy of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray

from interp.failures.schedule import by_size
from interp.statistics.shares import Share, solves_more
from models.graph import ComputationGraph
from models.one_line import one_line
from models.positions import Disentangled, RelativeBias
from models.recurrent import RecurrentTransformer

FACTORS: Final = (1.5, 2.0)
FETCHING, CONTROL = "fetching heads", "other heads"
Heads = Sequence[tuple[int, int]]


@one_line
@dataclass(frozen=True, eq=False)
class Sharpening:
    """Graphs solved with the attention scores of some heads times a factor.

    Attributes:
        sizes: int [graph], nodes.
        plain: bool [graph], solved as the model is.
        solved: (group of heads, factor) -> bool [graph]. Groups: :data:`FETCHING`, :data:`CONTROL`, and every fetching
            head alone, as ``head 1.6``.
    """

    sizes: NDArray[np.int64]
    plain: NDArray[np.bool_]
    solved: Mapping[tuple[str, float], NDArray[np.bool_]]

    @property
    def groups(self) -> list[str]:
        """Names of the groups of heads."""
        return list(dict.fromkeys(group for group, _ in self.solved))

    def factors(self, group: str) -> list[float]:
        """Those that were tried with a group, ascending, 1 (the model as it is) first."""
        return [1.0, *sorted(factor for name, factor in self.solved if name == group)]

    def share(self, group: str, factor: float, size: int | None = None) -> Share:
        """Of the graphs of a size, or of all."""
        flags = self.plain if factor == 1.0 else self.solved[group, factor]
        return Share.of(flags if size is None else flags[self.sizes == size])

    def mended(self, group: str, factor: float) -> Share:
        """Of the graphs that fail as the model is, those that are solved."""
        return Share.of(self.solved[group, factor][~self.plain])

    def broken(self, group: str, factor: float) -> Share:
        """Of the graphs that are solved as the model is, those that fail."""
        return Share.of(~self.solved[group, factor][self.plain])

    def best(self, group: str) -> float:
        """The factor that solves most, the smallest of equals; 1 where none solves more than the model as it is."""
        return max(self.factors(group), key=lambda factor: (self.share(group, factor).count, -factor))

    @property
    def mends(self) -> bool:
        """Whether sharpening the fetching heads solves measurably more of the graphs than the model as it is, and than
        the control with each of its factors (:func:`interp.statistics.shares.solves_more`).
        """
        factor = self.best(FETCHING)
        if factor == 1.0:
            return False
        others = [self.solved[CONTROL, one] for one in self.factors(CONTROL)[1:]]
        return all(solves_more(self.solved[FETCHING, factor], one) for one in (self.plain, *others))

    def to_frame(self) -> pd.DataFrame:
        """A row per group, factor and size: group, factor, nodes, and the share of graphs solved."""
        rows: list[dict[str, Any]] = []
        for group in self.groups:
            for factor in self.factors(group):
                rows += [
                    {"group": group, "factor": factor, "nodes": size}
                    | self.share(group, factor, size).to_dict()
                    for size in sorted(set(self.sizes.tolist()))
                ]
        return pd.DataFrame(rows)

    def verdict(self) -> str:
        """Whether it mends, beside the control."""
        factor = self.best(FETCHING)
        tried = ", ".join(f"x{one:g}" for one in self.factors(FETCHING)[1:])
        if factor == 1.0:
            return f"sharper fetching heads (scores {tried}) solve no more graphs: dilution is not the reason"
        others = [self.mended(CONTROL, one) for one in self.factors(CONTROL)[1:]]
        control = max(others, key=lambda one: one.count) if others else "nothing (all heads fetch)"
        alone = [
            (self.mended(group, self.factors(group)[-1]), group)
            for group in self.groups
            if group not in (FETCHING, CONTROL)
        ]
        most, head = max(alone, key=lambda pair: pair[0].count)
        by_one = f"; alone {head} mends {most}" if len(alone) > 1 else ""
        ending = "dilution" if self.mends else "not measurably more, so dilution is not shown"
        return (
            f"with the scores of the fetching heads x{factor:g} {self.mended(FETCHING, factor)} of the failing graphs "
            f"are solved and {self.broken(FETCHING, factor)} of the others fail; with other heads sharpened at most "
            f"{control}{by_one}: {ending}"
        )


def sharpened(model: RecurrentTransformer, heads: Heads, factor: float) -> RecurrentTransformer:
    """A copy whose heads (layer, head) have their attention scores times ``factor``.

    Raises:
        ValueError: a factor that is not above 0, or a head the model does not have.
    """
    if not factor > 0:
        raise ValueError(f"factor is {factor}; allowed: above 0")
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for layer, head in heads:
            if not (0 <= layer < model.cfg.n_layers and 0 <= head < model.cfg.n_heads):
                raise ValueError(
                    f"there is no head {layer}.{head}; allowed: layers 0..{model.cfg.n_layers - 1}, heads "
                    f"0..{model.cfg.n_heads - 1}"
                )
            attention = changed.layers[layer].attn
            parts = [attention.W_Q, attention.b_Q]
            if isinstance(attention.pos, RelativeBias):
                parts.append(attention.pos.bias)
            elif isinstance(attention.pos, Disentangled):
                parts += [attention.pos.W_Q_pos, attention.pos.b_Q_pos]
            for part in parts:
                part[head] *= factor
    return changed


def sharpening(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    heads: Heads,
    others: Heads,
    factors: Sequence[float] = FACTORS,
) -> Sharpening:
    """Solve the graphs with the scores of the heads, and of the others as the control, times each factor; and with
    those of every one of the heads alone, times 2 (or the largest factor below).

    Raises:
        ValueError: no graphs, no heads, or a model that is not discrete.
    """
    if not heads:
        raise ValueError("there are no heads to sharpen; allowed: at least one")
    if model.cfg.bottleneck != "discrete":
        raise ValueError("runs of a continuous model do not end at a fixed point; allowed: discrete models")
    tried = sorted({float(factor) for factor in factors} - {1.0})
    alone = max((factor for factor in tried if factor <= 2), default=tried[-1])
    solved = {(group, factor): _solved(sharpened(model, some, factor), graphs)
              for group, some in ((FETCHING, heads), (CONTROL, others)) if some for factor in tried}  # fmt: skip
    for layer, head in heads:
        solved[f"head {layer}.{head}", alone] = _solved(sharpened(model, [(layer, head)], alone), graphs)
    return Sharpening(np.array([len(graph) for graph in graphs]), _solved(model, graphs), solved)


def _solved(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> NDArray[np.bool_]:
    """Bool [graph]."""
    found = np.zeros(len(graphs), dtype=bool)
    for _, indices, encoded in by_size(model, graphs):
        found[indices] = model.run(encoded).fully_solved.numpy()
    return found
