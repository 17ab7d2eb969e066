"""One step of many runs, computed where a certificate does not say that codes stay.

Four kinds of items are told apart; what is none of them (patterns, scores, all positions at once written) is left to
:func:`interp.engine.following.evaluate_items`:

unchanged    what is written stands there already
local        one position, behind the last layer's keys: that position alone is computed
one key      one position whose keys and values in the last layer change (written there, or before it and carried
             there by its own position alone): every later query moves by a bound of
             :mod:`interp.engine.sparse.attention`, and is computed if its certificate
             (:mod:`interp.engine.sparse.certificate`) does not allow that
others       other codes enter, or several single places are written: what enters the last MLP is computed from the
             base run's (:mod:`interp.engine.sparse.updates`), and that MLP and the readout only at positions whose
             certificate does not allow how far it has moved

What is computed is gathered over all items into one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from interp.engine.following import BaseRun, Item, Result, batches, evaluate_items
from interp.engine.sparse.attention import SMALLEST_REST, length
from interp.engine.sparse.positions import behind_attention, behind_mlp, projected, read_out
from interp.engine.sparse.prepared import PreparedStep, PreparedSteps
from interp.engine.sparse.tally import Exactness, Tally
from interp.engine.sparse.unchanged import unchanged
from interp.engine.sparse.updates import moved_streams
from interp.engine.sparse.writes import (
    AFTER_ATTENTION,
    BEFORE_ATTENTION,
    ENTERING,
    KEYS,
    LOCAL,
    Writes,
    several_places,
    single_place,
)
from models.recurrent import RecurrentTransformer

CHECKED_FACTOR = 8.0
"""In mode ``"checked"``, what the bound is divided by: an empirical bound, audited against dense steps."""

AUDITED = 50
"""In mode ``"checked"``, one of so many certified steps is computed densely, too."""

FLOATS = 2**20
"""Numbers in one [head, item, query] array."""

INFLATION = 1e-3
"""Relative rounding of the bound itself, which is a sum of a few products."""

TIE = 2.0**-12
"""A lead of logits, in units of the largest, that rounding may turn over at a position that is computed alone."""

LEAST = 24
"""Items with one changed key that a step must have for its certificate to be worth making."""

LEAST_OTHERS = 32
"""The same of items that other codes enter or that are written into at several places."""

MOST_HOPELESS = 0.5
"""Share of positions without a certificate beyond which a step is computed densely at once."""


@dataclass(frozen=True, eq=False)
class PointResult:
    """A step computed at some positions: the packed state that follows, and logits [point, d_vocab] there."""

    packed: Tensor
    points: Tensor
    logits: Tensor

    def logits_at(self, positions: Tensor, base: Tensor) -> Tensor:
        """Logits at positions, from the base run's [pos, d_vocab] where nothing was computed."""
        read = base[positions].clone()
        if len(self.points):
            match = positions[:, None] == self.points
            which, there = match.any(1), match.int().argmax(1)
            read[which] = self.logits[there[which]]
        return read


def certifiable(model: RecurrentTransformer) -> bool:
    """Whether certificates are known for an architecture: resumable, ReLU, no further copies of
    the stream; and whether it is where they are computed, on the processor."""
    cfg = model.cfg
    plain = not (cfg.use_attn_in or cfg.use_split_qkv_input or cfg.use_hook_mlp_in or cfg.use_attn_result)
    return model.resumable and cfg.act_fn == "relu" and plain and model.W_E.device.type == "cpu"


class SparseSteps:
    """Steps of runs that differ from one base run, with what its steps allow remembered."""

    def __init__(self, base: BaseRun, exact: Exactness, tally: Tally) -> None:
        self.base, self.exact, self.tally = base, exact, tally
        self.layer = base.model.cfg.n_layers - 1
        self.prepared = PreparedSteps(base)

    def evaluate(
        self, t: int, items: Sequence[Item], tokens: int, wanted: Tensor | None
    ) -> list[Result | PointResult]:
        """Step t of every item, in their order; ``wanted`` are positions whose logits have to be exact."""
        base = self.base
        if self.exact == "dense" or not certifiable(base.model):
            return list(self._densely(t, items, tokens))
        results: dict[int, Result | PointResult] = {}
        rest: list[int] = []
        for index, same in enumerate(unchanged(base, t, items)):
            if same:
                results[index] = self._nothing(t)
            else:
                rest.append(index)
        self.tally.unchanged += len(results)
        local, keys, others, dense = self._sorted(items, rest)
        if local:
            found = self._local(t, items, local)
            results |= found
            dense += self._failed(local, found)
        if len(keys) < LEAST and not self.prepared.has(t):
            dense += keys
        elif keys:
            found = self._keys(t, items, keys, wanted)
            results |= found
            dense += self._failed(keys, found)
            self._audit(t, items, list(found), results, tokens)
        if len(others) < LEAST_OTHERS and not self.prepared.has_through(t):
            dense += others
        elif others:
            found = self._others(t, items, others, tokens, wanted)
            results |= found
            dense += self._failed(others, found)
            self._audit(t, items, list(found), results, tokens)
        evaluated = self._densely(t, [items[index] for index in dense], tokens)
        results |= dict(zip(dense, evaluated, strict=True))
        return [results[index] for index in range(len(items))]

    def _failed(self, tried: Sequence[int], found: Mapping[int, PointResult]) -> list[int]:
        failed = [index for index in tried if index not in found]
        self.tally.fell_back += len(failed)
        return failed

    def _densely(self, t: int, items: Sequence[Item], tokens: int) -> list[Result]:
        self.tally.dense += len(items)
        for span in (self.base.span(t, item) for item in items):
            self.tally.dense_positions += span.end - span.start
            self.tally.compute(t, span.end - span.start)
        return evaluate_items(self.base, t, items, tokens)

    def _nothing(self, t: int) -> PointResult:
        base = self.base
        none = torch.empty(0, dtype=torch.int64)
        return PointResult(base.packed[t + 1], none, base.logits(t, none))

    def _sorted(self, items: Sequence[Item], among: Sequence[int]) -> tuple[list[int], ...]:
        """Indices of items that are local, that change one key of the last layer, that are updated, and of the rest."""
        local: list[int] = []
        keys: list[int] = []
        others: list[int] = []
        dense: list[int] = []
        for index in among:
            item = items[index]
            place = single_place(item.edits) if item.entering is None else None
            names = {edit.place.site.name for edit in item.edits}
            if place is not None and place[0] == self.layer and names <= set(LOCAL):
                local.append(index)
            elif place is not None and (
                (place[0] == self.layer and (names == set(ENTERING) or names <= set(KEYS)))
                or (place[0] == self.layer - 1 and names <= set(LOCAL))
            ):
                keys.append(index)
            elif names <= {*BEFORE_ATTENTION, *AFTER_ATTENTION} and several_places(item.edits):
                others.append(index)
            else:
                dense.append(index)
        return local, keys, others, dense

    def _behind(self, t: int, layer: int, pos: Tensor, writes: Writes) -> Tensor:
        """What leaves a layer at ``pos`` [item, d_model] when local edits act there."""
        base, block = self.base, self.base.model.layers[layer]
        resid = base.resid_pre(t, layer)[pos]
        z = base.recording.activation(f"blocks.{layer}.attn.hook_z", t)[pos]
        if "q" in writes.names:
            step = self.prepared.attention(t, layer)
            q = writes("q", projected(block.attn, block.ln1(resid), "Q"))
            own = (part[:, pos].transpose(0, 1)[:, None] for part in (step.k, step.v))
            z = step.attend(q, pos, pos[:, None], *own)
        return behind_attention(block, resid, writes("z", z), writes)

    def _local(self, t: int, items: Sequence[Item], chosen: Sequence[int]) -> dict[int, PointResult]:
        base = self.base
        pos = torch.tensor([items[index].edits[0].place.pos for index in chosen])
        writes = Writes([items[index].edits for index in chosen])
        logits = read_out(base.model, self._behind(t, self.layer, pos, writes))
        codes = base.model.vocabulary.pack(base.model.discretise(logits[None])[0])
        certain = cast(
            list[bool], cast(Any, _margin(base.model, logits) >= TIE * logits.abs().max()).tolist()
        )
        found: dict[int, PointResult] = {}
        for row, index in enumerate(chosen):
            if not certain[row]:
                continue
            packed = base.packed[t + 1]
            if codes[row] != packed[pos[row]]:
                packed = packed.clone()
                packed[pos[row]] = codes[row]
            found[index] = PointResult(packed, pos[row : row + 1], logits[row : row + 1])
        self.tally.certified += len(found)
        self.tally.positions += len(found)
        self.tally.computed += len(found)
        self.tally.compute(t, len(found))
        return found

    def _keys(
        self, t: int, items: Sequence[Item], chosen: Sequence[int], wanted: Tensor | None
    ) -> dict[int, PointResult]:
        """Those of the items with one changed key whose states are certain."""
        step = self.prepared.step(t)
        if bool((step.certificate.reach <= 0).float().mean() > MOST_HOPELESS):
            return {}
        found: dict[int, PointResult] = {}
        order = sorted(chosen, key=lambda index: items[index].edits[0].place.pos or 0)
        n, heads = self.base.packed.shape[1], self.base.model.cfg.n_heads
        while order:
            start = items[order[0]].edits[0].place.pos or 0
            count = max(1, FLOATS // (heads * (n - start)))
            chunk, order = order[:count], order[count:]
            found |= self._chunk(t, step, items, chunk, start, wanted)
        return found

    def _entering(
        self, t: int, step: PreparedStep, items: Sequence[Item], chunk: Sequence[int], pos: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of every item what enters the last layer at its position [item, d_model], and its key and value there."""
        block = self.base.model.layers[self.layer]
        resid = step.resid[pos].clone()
        k, v = (part[:, pos].transpose(0, 1).clone() for part in (step.attention.k, step.attention.v))
        places = [items[index].edits[0].place for index in chunk]
        earlier = [row for row, place in enumerate(places) if place.layer < self.layer]
        if earlier:
            writes = Writes([items[chunk[row]].edits for row in earlier])
            resid[earlier] = self._behind(t, self.layer - 1, pos[earlier], writes)
        here = [
            () if places[row].layer < self.layer else items[index].edits for row, index in enumerate(chunk)
        ]
        writes = Writes(here)
        resid = writes("resid_pre", resid)
        moved = [
            row for row, place in enumerate(places) if place.layer < self.layer or place.site.name in ENTERING
        ]
        if moved:
            normalised = block.ln1(resid[moved])
            k[moved], v[moved] = (projected(block.attn, normalised, which) for which in "KV")
        return resid, writes("k", k), writes("v", v)

    def _chunk(
        self,
        t: int,
        step: PreparedStep,
        items: Sequence[Item],
        chunk: Sequence[int],
        start: int,
        wanted: Tensor | None,
    ) -> dict[int, PointResult]:
        base, model, attention = self.base, self.base.model, step.attention
        block, certificate = model.layers[self.layer], step.certificate
        pos = torch.tensor([items[index].edits[0].place.pos for index in chunk])
        resid, k, v = self._entering(t, step, items, chunk, pos)
        before, after = attention.weights(pos, k, start)
        bound = torch.einsum(
            "h,hiq->iq", step.heads, attention.moves(pos, v, (before, after), start, certificate.slack)
        )
        if self.exact == "checked":
            bound = bound / CHECKED_FACTOR
        later = torch.arange(start, base.packed.shape[1]) - pos[:, None]
        cancels = (1 + after - before < SMALLEST_REST).any(0)
        needed = (bound * (1 + INFLATION) >= certificate.reach[start:]) | cancels
        if wanted is not None:
            needed[:, wanted[wanted >= start] - start] = True
        needed = (needed & (later > 0)) | (later == 0)
        row, query = needed.nonzero().unbind(1)
        anew = cancels[row, query] | (later[row, query] == 0)
        if wanted is not None:
            anew |= torch.isin(query + start, wanted)  # logits that are kept: no difference of weights
        own = later[row, query] == 0
        z = attention.updated(query + start, pos[row], v[row], before[:, row, query], after[:, row, query])
        stream = step.resid[query + start]
        stream[own] = resid[row[own]]
        q = attention.q[:, query[anew] + start].transpose(0, 1).clone()
        scale = attention.scale[pos[row[own]]][:, None, None]
        q[own[anew]] = projected(block.attn, block.ln1(resid[row[own]]), "Q") * scale
        own_keys = (part[row[anew], None] for part in (pos, k, v))
        z[anew] = attention.attend_scaled(q, query[anew] + start, *own_keys)
        logits = read_out(model, behind_attention(block, stream, z, Writes([])))
        found, certain = self._settled(t, chunk, row, query + start, logits, certificate.close)
        self.tally.certified += len(found)
        self.tally.positions += int((later >= 0)[certain].sum())
        self.tally.computed += int(needed[certain].sum())
        self.tally.compute(t, int(needed[certain].sum()))
        return found

    def _others(
        self, t: int, items: Sequence[Item], chosen: Sequence[int], tokens: int, wanted: Tensor | None
    ) -> dict[int, PointResult]:
        """Those of the items that are updated whose states are certain."""
        step, through = self.prepared.step(t), self.prepared.through(t)
        reach = step.certificate.reach - max(0.0, through.streams - step.certificate.streams)
        if self.exact == "checked":
            reach = reach * CHECKED_FACTOR
        found: dict[int, PointResult] = {}
        spans = [self.base.span(t, items[index]) for index in chosen]
        for batch in batches(spans, tokens):
            start = min(spans[number].start for number in batch)
            chunk = [chosen[number] for number in batch]
            moved = moved_streams(
                self.base, t, partial(self.prepared.attention, t), [items[index] for index in chunk], start
            )
            pos = moved.query + start
            needed = moved.written | (length(moved.stream - step.mid[pos]) * (1 + INFLATION) >= reach[pos])
            if wanted is not None:
                needed |= torch.isin(pos, wanted)
            row, query = moved.row[needed], moved.query[needed]
            there = torch.zeros(len(chunk), self.base.packed.shape[1] - start, dtype=torch.bool)
            there[row, query] = True
            stream = behind_mlp(
                self.base.model.layers[self.layer], moved.stream[needed], moved.writes.at(there)
            )
            logits = read_out(self.base.model, stream)
            settled, certain = self._settled(t, chunk, row, query + start, logits, through.close)
            found |= settled
            behind = torch.tensor([spans[number].end - spans[number].start for number in batch])[certain]
            self.tally.updated += len(settled)
            self.tally.updated_positions += int(behind.sum())
            self.tally.updated_computed += int(certain[row].sum())
            self.tally.compute(t, int(behind.sum()))
        return found

    def _settled(
        self, t: int, chunk: Sequence[int], row: Tensor, pos: Tensor, logits: Tensor, close: float
    ) -> tuple[dict[int, PointResult], Tensor]:
        """Results of the items, given logits [point, d_vocab] at their positions in the order of ``row``, where no lead
        is as ``close`` as that; and for each whether it is so.
        """
        base, model = self.base, self.base.model
        packed = base.packed[t + 1].repeat(len(chunk), 1)
        packed[row, pos] = model.vocabulary.pack(model.discretise(logits[None])[0])
        certain = torch.ones(len(chunk), dtype=torch.bool)
        certain[row[_margin(model, logits) < close]] = False
        ends = cast(list[int], cast(Any, row.bincount(minlength=len(chunk)).cumsum(0)).tolist())
        found: dict[int, PointResult] = {}
        for number, index in enumerate(chunk):
            if bool(certain[number]):
                points = slice(ends[number - 1] if number else 0, ends[number])
                found[index] = PointResult(packed[number], pos[points], logits[points])
        return found, certain

    def _audit(
        self,
        t: int,
        items: Sequence[Item],
        found: Sequence[int],
        results: dict[int, Result | PointResult],
        tokens: int,
    ) -> None:
        """Compare a sample of certified steps with dense ones; what is found goes on dense."""
        if self.exact != "checked":
            return
        sample = [index for number, index in enumerate(found) if (self.tally.audited + number) % AUDITED == 0]
        dense = evaluate_items(self.base, t, [items[index] for index in sample], tokens)
        for index, result in zip(sample, dense, strict=True):
            self.tally.disagreements += int(not torch.equal(result.packed, results[index].packed))
            results[index] = result
        self.tally.audited += len(sample)


def _margin(model: RecurrentTransformer, logits: Tensor) -> Tensor:
    """The smallest lead of a code over the next of its factor, float [point]."""
    margins: list[Tensor] = []
    for part in torch.split(logits, list(model.vocabulary.sizes), dim=-1):
        top = part.topk(2, -1).values
        margins.append(top[:, 0] - top[:, 1])
    return torch.stack(margins).amin(0)
