"""Steps of items that enter with other codes, or that are written into at any places, up to what enters the last MLP.

Every layer is computed from the base run's, at positions that may have moved. Where few have moved when they enter an
attention layer, each query is updated through their keys: with e and e' as in :mod:`interp.engine.sparse.attention`,
exactly,

    z'_i - z_i = sum_p (e'_ip (v'_p - z_i) - e_ip (v_p - z_i)) / (1 + sum_p (e'_ip - e_ip))

For changed codes these are, in the first layer, the positions at which they stand. A query that gives none of them any
weight, which attention that is sharp enough does in float32, has not moved at all, and is not followed any further.
Where many have moved, queries attend anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.engine.following import BaseRun, Item
from interp.engine.sparse.attention import SMALLEST_REST, BaseAttention
from interp.engine.sparse.positions import behind_mlp, projected, with_attention
from interp.engine.sparse.writes import AFTER_ATTENTION, BEFORE_ATTENTION, BEHIND_MID, LayerWrites, numbers

FEW = 1 / 8
"""Share of the positions that may have moved for queries to be updated through them; above it they attend anew."""


@dataclass(frozen=True, eq=False)
class Moved:
    """What enters the last MLP where it may differ from the base run, or is written into behind it.

    row, query: int [point], the item and the position, counted from the first that is looked at; stream: [point,
    d_model]; written: bool [point], where something is written behind ``stream``; writes: what that is.
    """

    row: Int[Tensor, " point"]
    query: Int[Tensor, " point"]
    stream: Float[Tensor, "point d_model"]
    written: Bool[Tensor, " point"]
    writes: LayerWrites


def moved_streams(
    base: BaseRun, t: int, attentions: Callable[[int], BaseAttention], items: Sequence[Item], start: int
) -> Moved:
    """Step t of the items; positions before ``start`` are the base run's."""
    model = base.model
    packed = base.packed[t]
    codes = torch.stack([packed if item.entering is None else item.entering for item in items])[:, start:]
    active = codes != packed[start:]
    rows = base.resid_pre(t, 0)[:0]
    if bool(active.any()):
        rows = model.embed_state(model.vocabulary.unpack(codes[active])[None])[0]
    edits, last = [item.edits for item in items], model.cfg.n_layers - 1
    writes = LayerWrites(edits, last, start)
    for layer, block in enumerate(model.layers):
        writes = LayerWrites(edits, layer, start)
        stream = base.resid_pre(t, layer)[start:]
        rows, active = _widened(rows, active, writes.mask(BEFORE_ATTENTION, active), stream)
        after = writes.mask(AFTER_ATTENTION, active)
        if not bool((active | after).any()):
            continue
        if bool(active.any()):
            write = writes.at(active)
            rows = write("resid_pre", rows)
            normalised = block.ln1(rows)
            q, k, v = (write(name, projected(block.attn, normalised, name.upper())) for name in "qkv")
            z, touched = _attended(attentions(layer), q, k, v, active, after, start)
        else:
            own = base.recording.activation(f"blocks.{layer}.attn.hook_z", t)[start:]
            z, touched = own[after.nonzero()[:, 1]], after
        rows, active = _widened(rows, active, touched, stream)
        write = writes.at(active)
        rows = with_attention(block, rows, write("z", z), write)
        if layer < last:
            rows = behind_mlp(block, rows, write)
    row, query = active.nonzero().unbind(1)
    return Moved(row, query, rows, writes.mask(BEHIND_MID, active)[active], writes)


def _widened(
    rows: Tensor, active: Tensor, further: Tensor, stream: Float[Tensor, "later d_model"]
) -> tuple[Tensor, Tensor]:
    """Rows for further positions, too, which have not moved: the base run's."""
    wider = active | further
    if torch.equal(wider, active):
        return rows, active
    found = stream[wider.nonzero()[:, 1]]
    found[active[wider]] = rows
    return found, wider


def _attended(
    attention: BaseAttention,
    q: Float[Tensor, "moved head d_head"],
    k: Float[Tensor, "moved head d_head"],
    v: Float[Tensor, "moved head d_head"],
    active: Bool[Tensor, "item later"],
    after: Bool[Tensor, "item later"],
    start: int,
) -> tuple[Float[Tensor, "point head d_head"], Bool[Tensor, "item later"]]:
    """z where it may differ or is asked for (``after``), and where that is, given queries, keys and values of the
    ``active`` positions.
    """
    later = active.shape[1]
    pos = active.nonzero()[:, 1] + start
    q = q * attention.scale[pos][:, None, None]
    most = int(active.sum(1).max())
    if most > FEW * later:
        return _anew(attention, q, k, v, active, after, start)
    slots = active.int().sort(dim=1, descending=True, stable=True).indices[:, :most]
    valid = active.gather(1, slots)
    slots = torch.where(valid, slots, slots[:, :1])
    # An item in which nothing has moved has no key of its own, whose number is never used.
    of = numbers(active).gather(1, slots).clamp_min(0)
    keys, flat = slots + start, of.flatten()
    shape = (len(attention.k), *slots.shape, later)
    before, now = (
        weight.view(shape) * valid[..., None] for weight in attention.weights(keys.flatten(), k[flat], start)
    )
    excess = (now - before).sum(2)
    values = v[flat].view(*slots.shape, *v.shape[1:]).permute(2, 0, 1, 3)
    old, z = attention.v[:, keys], attention.z[:, None, start:]
    change = now.transpose(-1, -2) @ values - before.transpose(-1, -2) @ old - excess[..., None] * z
    z = z + change / (1 + excess).clamp_min(SMALLEST_REST)[..., None]
    touched = active | after | ((before > 0) | (now > 0)).any(2).any(0)
    anew = active | (1 + excess < SMALLEST_REST).any(0)
    z = z.permute(1, 2, 0, 3).contiguous()
    item, query = anew.nonzero().unbind(1)
    queries = attention.q[:, query + start].transpose(0, 1).clone()
    queries[active[anew]] = q
    # A slot that stands for none repeats the first key, and adds nothing to it.
    added = torch.where(valid[..., None, None], v[of], old[:, :, :1].permute(1, 2, 0, 3))
    z[anew] = attention.attend_scaled(queries, query + start, keys[item], k[of[item]], added[item])
    return z[touched], touched


def _anew(
    attention: BaseAttention, q: Tensor, k: Tensor, v: Tensor, active: Tensor, after: Tensor, start: int
) -> tuple[Tensor, Tensor]:
    """The same, by attending to all keys."""
    items = len(active)

    def put(of_base: Tensor, new: Tensor, since: int) -> Tensor:
        whole = of_base[:, since:].transpose(0, 1).expand(items, -1, -1, -1).clone()
        whole[:, start - since :][active] = new
        return whole.transpose(1, 2)

    mask = (
        attention.offset[:, :, start:].transpose(-1, -2)[None].contiguous()
    )  # else no fused kernel takes it
    z = F.scaled_dot_product_attention(
        put(attention.q, q, start), put(attention.k, k, 0), put(attention.v, v, 0), attn_mask=mask, scale=1.0
    )
    touched = (active.cumsum(1) > 0) | after
    return z.transpose(1, 2)[touched], touched
