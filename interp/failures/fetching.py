"""What the fetching heads looked at when a value was written: the right key's share of attention, and its margin.

A node is written by heads that look from its right-hand side to those of its operands, where their values stand. In the
step that a node is due, for each of its operands (by place, counted from the end of the left-hand side) and each head:

    mass      attention probability on that operand's right-hand side, the right key
    margin    score of the right key minus that of the best other key, before the softmax
              (log p_key - max log p_other): below 0 another key wins

A head fetches a place if the mass is at least ``least`` on average over writes that are right (the rule of
:func:`interp.mechanism.heads.name_heads`). Dilution is mass that falls as texts get longer while the margin stays above
0: the right key wins still, against more others. A miss is mass below ``least`` at one write.

A head is named as the one that fails where its misses at wrong writes are above those at right writes by more than
their 95 % intervals; of several, the one with the largest difference. Only clean writes are looked at (see
:mod:`interp.failures.writes`), so that an operand that was wrong already is nobody's fault. That a head looked
elsewhere goes with the error; whether it is the reason is asked by :mod:`interp.failures.sharpening`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.data.rhs_runs import rhs_runs
from interp.failures.frames import column, flags, select
from interp.failures.writes import Writes
from interp.mechanism.variances import PLACES
from interp.statistics.shares import Share
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

LEAST: Final = 0.5
ATTENDED: Final = 12
"""Graphs of each size that attention is looked at in; those that fail come first."""
_SMALLEST: Final = 1e-30


@dataclass(frozen=True)
class Fetcher:
    """A head and the place whose operand it fetches; ``mass``: mean over right writes."""

    layer: int
    head: int
    place: str
    mass: float

    def __str__(self) -> str:
        return f"{self.layer}.{self.head} ({self.place} operand)"


@one_line
@dataclass(frozen=True, eq=False)
class Fetching:
    """Attention of the fetching heads at clean due writes.

    Attributes:
        fetchers: the heads, for every place those that fetch it; none where no head has the mass.
        frame: a row a write and fetcher: graph, nodes, node, operands, layer, head, place, distance (tokens to the
            key), mass, margin, right (what was written).
        n_layers, n_heads: of the model.
    """

    fetchers: tuple[Fetcher, ...]
    frame: pd.DataFrame
    n_layers: int
    n_heads: int

    @property
    def heads(self) -> list[tuple[int, int]]:
        """(layer, head) of those that fetch."""
        return sorted({(one.layer, one.head) for one in self.fetchers})

    @property
    def others(self) -> list[tuple[int, int]]:
        """(layer, head) of all that do not."""
        every = np.ndindex(self.n_layers, self.n_heads)
        return [(layer, head) for layer, head in every if (layer, head) not in self.heads]

    def rows(self, fetcher: Fetcher, right: bool | None = None) -> pd.DataFrame:
        """The rows of a fetcher, at right writes, wrong ones or all."""
        chosen = np.ones(len(self.frame), bool)
        for name in ("layer", "head", "place"):
            chosen &= column(self.frame, name) == getattr(fetcher, name)
        if right is not None:
            chosen &= flags(self.frame, "right") == right
        return select(self.frame, chosen)

    def misses(self, fetcher: Fetcher, right: bool) -> Share:
        """Share of the writes of a kind at which its mass on the right key is below :data:`LEAST`."""
        return Share.of(column(self.rows(fetcher, right), "mass").astype(float) < LEAST)

    def failing(self) -> Fetcher | None:
        """The head named by the rule of this module; None where no head is."""
        found = [
            (self.misses(one, False).value - self.misses(one, True).value, one)
            for one in self.fetchers
            if self.misses(one, False).above(self.misses(one, True))
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def by_size(self) -> pd.DataFrame:
        """A row a fetcher, size and kind of write: layer, head, place, nodes, right, writes, mass and margin (means),
        mass_low, mass_high (10th and 90th percentile), missed, low, high (share with its interval), won (share of
        writes whose margin is above 0).
        """
        rows: list[dict[str, Any]] = []
        for one in self.fetchers:
            for right in (True, False):
                part = self.rows(one, right)
                for size in sorted(set(column(part, "nodes").tolist())):
                    chosen = select(part, column(part, "nodes") == size)
                    mass, margin = (column(chosen, name).astype(float) for name in ("mass", "margin"))
                    low, high = np.quantile(mass, (0.1, 0.9))
                    missed = Share.of(mass < LEAST)
                    rows.append(
                        {
                            "layer": one.layer,
                            "head": one.head,
                            "place": one.place,
                            "nodes": size,
                            "right": right,
                        }
                        | {"writes": len(chosen), "mass": mass.mean(), "mass_low": low, "mass_high": high}
                        | {"margin": margin.mean(), "missed": missed.value, "won": float((margin > 0).mean())}
                        | {"low": missed.interval[0], "high": missed.interval[1]}
                    )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """:attr:`frame`, a copy."""
        return self.frame.copy()

    def figure(self) -> go.Figure:
        """:func:`interp.failures.failing_writes_figure.fetching_figure`."""
        from interp.failures.failing_writes_figure import fetching_figure

        return fetching_figure(self)

    def verdict(self) -> str:
        """Which head misses its key at wrong writes, if any, and whether mass falls with the size."""
        if not self.fetchers:
            return f"no head has a mean attention of {LEAST:g} on an operand's right-hand side: none is known to fetch"
        one = self.failing()
        if one is None:
            heads = f"the heads (layer.head) that fetch are {', '.join(map(str, self.fetchers))}"
            if flags(self.frame, "right").all():
                return f"{heads}; no clean write, one whose operands are all right, was wrong"
            return (
                f"{heads}; none of them misses its key more often at wrong writes than at right ones, beyond the 95 % "
                "intervals"
            )
        wrong = self.rows(one, False)
        won = Share.of(column(wrong, "margin").astype(float) > 0)
        return (
            f"head (layer.head) {one} misses its key at {self.misses(one, False)} wrong writes and at "
            f"{self.misses(one, True)} right ones; the right key still has the highest score at {won} wrong writes"
        )


@torch.no_grad()
def fetching(model: RecurrentTransformer, found: Writes, per_size: int = ATTENDED) -> Fetching:
    """Attention at the clean due writes of some graphs of every size.

    found: of the same model. per_size: graphs of each size, those that fail first.

    Raises:
        ValueError: per_size < 1.
    """
    if per_size < 1:
        raise ValueError(f"per_size is {per_size}; allowed: 1 or more")
    failed = set(found.failed)
    tables: list[pd.DataFrame] = []
    kept: Any = found.clean()
    clean = kept.set_index(["graph", "node"])["right"]
    for size in found.sizes:
        indices = [index for index, graph in enumerate(found.graphs) if len(graph) == size]
        indices = sorted(indices, key=lambda index: (index not in failed, index))[:per_size]
        graphs = [found.graphs[index] for index in indices]
        n_steps = max(max(graph.depths_by_node) for graph in graphs) + 1
        for encoded, cache in rhs_runs(model, graphs, ["hook_pattern"], n_steps):
            patterns = [
                cache[f"blocks.{layer}.attn.hook_pattern"].cpu() for layer in range(model.cfg.n_layers)
            ]
            part = _looked(patterns, encoded)
            part["graph"] = np.array(indices[: len(encoded.graphs)])[part["row"]]
            indices = indices[len(encoded.graphs) :]
            tables.append(pd.DataFrame({name: values for name, values in part.items() if name != "row"}))
    frame: Any = pd.concat(tables, ignore_index=True)
    frame = frame.join(clean, on=["graph", "node"], how="inner")
    right: Any = frame[frame["right"].astype(bool)]
    means: Any = right.groupby(["place", "layer", "head"])["mass"].mean()
    fetchers = tuple(
        Fetcher(int(layer), int(head), str(place), float(mass))
        for (place, layer, head), mass in means.items()
        if mass >= LEAST
    )
    named = {(one.layer, one.head, one.place) for one in fetchers}
    keys = zip(frame["layer"], frame["head"], frame["place"], strict=True)
    chosen = np.array([key in named for key in keys], dtype=bool)
    order = sorted(fetchers, key=lambda one: (one.layer, one.head, PLACES.index(one.place)))
    return Fetching(tuple(order), frame[chosen].reset_index(drop=True), model.cfg.n_layers, model.cfg.n_heads)


def _looked(patterns: Sequence[Tensor], encoded: EncodedGraphs) -> dict[str, Any]:
    """Columns row, nodes, node, operands, layer, head, place, distance, mass, margin of all heads.

    patterns: of every layer, [step, batch, head, node, pos].
    """
    row, node, operand = (encoded.operand_nodes >= 0).nonzero(as_tuple=True)
    step = encoded.depths[row, node]
    key = encoded.rhs[row, encoded.operand_nodes[row, node, operand]]
    count = (encoded.operand_nodes >= 0).sum(-1)[row, node]
    sizes = torch.tensor([len(graph) for graph in encoded.graphs])[row]
    n_heads = patterns[0].shape[2]
    columns: dict[str, list[Any]] = {name: [] for name in ("layer", "head", "mass", "margin")}
    for layer, pattern in enumerate(patterns):
        looked = pattern[step, row, :, node]  # [write, head, pos]
        at = key[:, None, None].expand(-1, n_heads, 1)
        mass = looked.gather(-1, at)[..., 0]
        best = looked.scatter(-1, at, 0.0).amax(-1)
        margin = mass.clamp_min(_SMALLEST).log() - best.clamp_min(_SMALLEST).log()
        columns["layer"].append(np.full(mass.numel(), layer))
        columns["head"].append(np.tile(np.arange(n_heads), len(row)))
        columns["mass"].append(mass.flatten().double().numpy())
        columns["margin"].append(margin.flatten().double().numpy())
    shared = {"row": row, "nodes": sizes, "node": node, "operands": count}
    shared |= {"distance": encoded.rhs[row, node] - key}
    repeated = {
        name: np.tile(np.repeat(values.numpy(), n_heads), len(patterns)) for name, values in shared.items()
    }
    from_end = (count - 1 - operand).numpy()
    place = np.tile(np.repeat(np.array(PLACES)[from_end], n_heads), len(patterns))
    return repeated | {"place": place} | {name: np.concatenate(parts) for name, parts in columns.items()}
