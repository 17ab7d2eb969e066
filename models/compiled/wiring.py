"""The compiler: heads and neurons described slot by slot become weights of Transformer blocks, and circuit data.

It knows no task. A head's score is a sum of two kinds of terms, which its weights give exactly:

    matches   strength * <query's slot, key's slot>     the key carries what the query asks for
    prefers   <weights, key's slot>                     whoever asks: ranks keys, or offers a place to rest

and what it moves goes from slot to slot unchanged. A group of neurons is ``relu(reads + bias)``, written to slots.
Scores that matter differ by :data:`SHARPNESS` or more: in float32 all weight of attention then lies on the best key,
exactly, and keys that are equally good share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast

import torch
from torch import Tensor

from models.compiled.circuit import (
    Circuit,
    Necessity,
    PlantedHead,
    PlantedMLP,
    idle_heads,
    slots_of,
)
from models.components import Block
from models.config import AttentionDirection, RecurrentConfig
from models.positions import RelativeBias

SHARPNESS: Final = 120.0
"""Gap between the scores of the key that is meant and of any other: exp(-120) is 0 in float32."""

Weight = float | Tensor
"""A factor per dimension of a slot, one for all of them, or a whole matrix."""


@dataclass(frozen=True, eq=False)
class _Head:
    planted: PlantedHead
    matches: Mapping[tuple[str, str], float]
    prefers: Mapping[str, Weight]
    distances: Mapping[int, float]


@dataclass(frozen=True, eq=False)
class _Neurons:
    layer: int
    n: int
    reads: Mapping[str, Weight]
    bias: float
    writes: Mapping[str, Weight]


@dataclass
class Wiring:
    """Collects heads and neurons of ``n_layers`` blocks; :meth:`build` makes the blocks."""

    n_layers: int
    widths: Mapping[str, int]
    attention_dir: AttentionDirection = "bidirectional"
    position_window: int | None = None
    _heads: list[_Head] = field(default_factory=list["_Head"])
    _neurons: list[_Neurons] = field(default_factory=list["_Neurons"])
    _mlps: list[PlantedMLP] = field(default_factory=list[PlantedMLP])

    def __post_init__(self) -> None:
        self.slots = slots_of(self.widths)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return sum(self.widths.values())

    def head(
        self,
        layer: int,
        role: str,
        moves: Mapping[str, str],
        matches: Mapping[tuple[str, str], float] | None = None,
        prefers: Mapping[str, Weight] | None = None,
        offset: int | None = None,
        distances: Mapping[int, float] | None = None,
        necessity: Necessity = "needed",
        breaks: tuple[str, ...] = (),
    ) -> None:
        """The next head of a layer.

        Args:
            moves: slot that is read -> slot that is written.
            matches: (query's slot, key's slot) -> strength.
            prefers: key's slot -> what it adds to the score.
            offset: attends so many positions back.
            distances: positions back -> what that adds to the score, for heads that have no ``offset``.
        """
        matches, prefers = matches or {}, prefers or {}
        n_before = sum(head.planted.layer == layer for head in self._heads)
        planted = PlantedHead(
            layer,
            n_before,
            "lookup" if offset is None else "offset",
            role,
            offset,
            reads=tuple(moves),
            writes=tuple(moves.values()),
            queries=tuple(dict.fromkeys(query for query, _ in matches)),
            keys=tuple(dict.fromkeys([*(key for _, key in matches), *prefers])),
            necessity=necessity,
            breaks=breaks,
        )
        by_distance = {offset: SHARPNESS} if offset is not None else (distances or {})
        self._heads.append(_Head(planted, matches, prefers, by_distance))

    def twin(self, layer: int, role: str, moves: Mapping[str, str] | None = None) -> None:
        """One more head that does what the one with ``role`` does; both are redundant from now on.

        ``moves``: where it writes to, if not to the same slots.
        """
        index = next(i for i, head in enumerate(self._heads) if head.planted.role == role)
        first = self._heads[index]
        n_before = sum(head.planted.layer == layer for head in self._heads)
        planted = replace(first.planted, necessity="redundant")
        self._heads[index] = replace(first, planted=planted)
        writes = planted.writes if moves is None else tuple(moves.values())
        self._heads.append(
            replace(first, planted=replace(planted, layer=layer, head=n_before, writes=writes))
        )

    def neurons(
        self,
        layer: int,
        role: str,
        n: int,
        reads: Mapping[str, Weight],
        writes: Mapping[str, Weight],
        bias: float = 0.0,
        kind: Literal["table", "gate"] = "gate",
    ) -> None:
        """``n`` neurons ``relu(sum of reads + bias)``, each added to ``writes``.

        A number is that factor dimension by dimension where the slot has ``n`` of them, and on its one dimension for
        all neurons where it has one; a tensor is [width of the slot, n] for reads, [n, width of the slot] for writes.
        """
        group = _Neurons(layer, n, reads, bias, writes)
        before = [*(planted.neurons for planted in self._mlps if planted.layer == layer)]
        start = max((span[1] for span in before if span is not None), default=0)
        self._neurons.append(group)
        self._mlps.append(
            PlantedMLP(layer, kind, role, tuple(reads), tuple(writes), neurons=(start, start + n))
        )

    @torch.no_grad()
    def build(self) -> tuple[RecurrentConfig, list[Block], Circuit]:
        """The blocks with their configuration, and what is in them."""
        busy = tuple(head.planted for head in self._heads)
        per_layer = [sum(planted.layer == layer for planted in busy) for layer in range(self.n_layers)]
        d_mlp = max((span[1] for p in self._mlps if (span := p.neurons) is not None), default=1)
        cfg = RecurrentConfig(
            n_layers=self.n_layers,
            d_model=self.d_model,
            n_heads=max(per_layer),
            d_head=self._d_head(),
            d_mlp=d_mlp,
            normalization_type=None,
            attention_dir=self.attention_dir,
            positions="none" if self.position_window is None else "relative_bias",
            position_window=self.position_window or 1,
            bottleneck="continuous",
        )
        blocks = [Block(cfg) for _ in range(self.n_layers)]
        for block in blocks:
            for parameter in block.parameters():
                parameter.zero_()
        for head in self._heads:
            self._write_head(blocks[head.planted.layer], head)
        for group, planted in zip(self._neurons, self._mlps, strict=True):
            self._write_neurons(blocks[group.layer], group, cast("tuple[int, int]", planted.neurons)[0])
        with_neurons = {planted.layer for planted in self._mlps}
        idle = [PlantedMLP(layer, "idle", "idle") for layer in range(self.n_layers)]
        mlps = sorted(
            [*self._mlps, *(planted for planted in idle if planted.layer not in with_neurons)],
            key=lambda planted: planted.layer,
        )
        return cfg, blocks, Circuit(idle_heads(busy, cfg.n_layers, cfg.n_heads), tuple(mlps), self.slots)

    def _d_head(self) -> int:
        """A power of 4, so that its root divides without rounding."""
        needed = 1
        for head in self._heads:
            n_queries = sum(self.widths[query] for query, _ in head.matches) + len(head.prefers)
            n_values = sum(self.widths[slot] for slot in head.planted.reads)
            needed = max(needed, n_queries, n_values)
        power = 1
        while power < needed:
            power *= 4
        return power

    def _write_head(self, block: Block, head: _Head) -> None:
        attn, index, slots = block.attn, head.planted.head, self.slots
        column = 0
        for (query, key), strength in head.matches.items():
            width = self.widths[query]
            columns = slice(column, column + width)
            attn.W_Q[index, slots[query], columns] = attn.attn_scale * strength * torch.eye(width)
            attn.W_K[index, slots[key], columns] = torch.eye(width)
            column += width
        for key, weights in head.prefers.items():
            attn.b_Q[index, column] = attn.attn_scale
            attn.W_K[index, slots[key], column] = torch.as_tensor(weights)
            column += 1
        if isinstance(attn.pos, RelativeBias):
            for distance, score in head.distances.items():
                attn.pos.bias[index, distance] = score
        column = 0
        for source, target in zip(head.planted.reads, head.planted.writes, strict=True):
            width = self.widths[source]
            columns = slice(column, column + width)
            attn.W_V[index, slots[source], columns] = torch.eye(width)
            attn.W_O[index, columns, slots[target]] = torch.eye(width)
            column += width

    def _write_neurons(self, block: Block, group: _Neurons, start: int) -> None:
        mlp, columns = block.mlp, slice(start, start + group.n)
        mlp.b_in[columns] = group.bias
        for name, weight in group.reads.items():
            mlp.W_in[self.slots[name], columns] = self._matrix(name, weight, group.n)
        for name, weight in group.writes.items():
            mlp.W_out[columns, self.slots[name]] = self._matrix(name, weight, group.n, transposed=True)

    def _matrix(self, name: str, weight: Weight, n: int, transposed: bool = False) -> Tensor:
        if isinstance(weight, Tensor):
            return weight
        width = self.widths[name]
        if width not in (1, n):
            raise ValueError(
                f"slot {name!r} has {width} dimensions, and there are {n} neurons; allowed is a matrix"
            )
        matrix = weight * (torch.ones(1, n) if width == 1 else torch.eye(n))
        return matrix.T if transposed else matrix
