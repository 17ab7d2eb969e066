"""Steps into which a state enters that differs from the base run's in some codes, up to what enters the last MLP.

Every attention layer is computed from the base run's. Where few positions have moved, each query is updated through
their keys: with e and e' as in :mod:`interp.engine.sparse.attention`, exactly,

    z'_i - z_i = sum_p (e'_ip (v'_p - z_i) - e_ip (v_p - z_i)) / (1 + sum_p (e'_ip - e_ip))

In the first layer these are the positions whose codes differ. A query that gives none of them any weight, which
attention that is sharp enough does in float32, has not moved at all, and is not followed any further. Where many have
moved, queries attend anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.engine.following import BaseRun
from interp.engine.sparse.attention import SMALLEST_REST, BaseAttention
from interp.engine.sparse.positions import behind_mlp, projected, with_attention
from interp.engine.sparse.writes import Writes

FEW = 1 / 8
"""Share of the positions that may have moved for queries to be updated through them; above it they attend anew."""

NO_WRITES = Writes([])


@dataclass(frozen=True, eq=False)
class Moved:
    """What enters the last MLP where it may differ from the base run.

    row, query: int [point], the item and the position, counted from the first that is looked at; stream: [point,
    d_model].
    """

    row: Int[Tensor, " point"]
    query: Int[Tensor, " point"]
    stream: Float[Tensor, "point d_model"]


def moved_streams(
    base: BaseRun,
    t: int,
    attentions: Callable[[int], BaseAttention],
    entering: Int[Tensor, "item pos"],
    start: int,
) -> Moved:
    """Step t of items that enter with these packed states; positions before ``start`` are the base run's."""
    model = base.model
    codes = entering[:, start:]
    active = codes != base.packed[t, start:]
    rows = model.embed_state(model.vocabulary.unpack(codes[active])[None])[0]
    for layer, block in enumerate(model.layers):
        stream = base.resid_pre(t, layer)[start:].expand(len(entering), -1, -1)
        if bool(active.all()):
            stream = rows.view(stream.shape)
        else:
            stream = stream.clone()
            stream[active] = rows
        normalised = block.ln1(rows)
        q, k, v = (projected(block.attn, normalised, which) for which in "QKV")
        z, active = _attended(attentions(layer), q, k, v, active, start)
        rows = with_attention(block, stream[active], z, NO_WRITES)
        if layer < model.cfg.n_layers - 1:
            rows = behind_mlp(block, rows, NO_WRITES)
    row, query = active.nonzero().unbind(1)
    return Moved(row, query, rows)


def _attended(
    attention: BaseAttention,
    q: Float[Tensor, "moved head d_head"],
    k: Float[Tensor, "moved head d_head"],
    v: Float[Tensor, "moved head d_head"],
    active: Bool[Tensor, "item later"],
    start: int,
) -> tuple[Float[Tensor, "point head d_head"], Bool[Tensor, "item later"]]:
    """z where it may differ, and where that is, given queries, keys and values of the ``active`` positions."""
    later = active.shape[1]
    pos = active.nonzero()[:, 1] + start
    q = q * attention.scale[pos][:, None, None]
    most = int(active.sum(1).max())
    if most > FEW * later:
        return _anew(attention, q, k, v, active, start)
    slots = active.int().sort(dim=1, descending=True, stable=True).indices[:, :most]
    valid = active.gather(1, slots)
    slots = torch.where(valid, slots, slots[:, :1])
    number = torch.zeros_like(active, dtype=torch.int64)
    number[active] = torch.arange(len(pos))
    of = number.gather(1, slots)
    keys, flat = slots + start, of.flatten()
    shape = (len(attention.k), *slots.shape, later)
    before, after = (
        weight.view(shape) * valid[..., None] for weight in attention.weights(keys.flatten(), k[flat], start)
    )
    excess = (after - before).sum(2)
    values = v[flat].view(*slots.shape, *v.shape[1:]).permute(2, 0, 1, 3)
    old, z = attention.v[:, keys], attention.z[:, None, start:]
    change = after.transpose(-1, -2) @ values - before.transpose(-1, -2) @ old - excess[..., None] * z
    z = z + change / (1 + excess).clamp_min(SMALLEST_REST)[..., None]
    touched = active | ((before > 0) | (after > 0)).any(2).any(0)
    anew = active | (1 + excess < SMALLEST_REST).any(0)
    z = z.permute(1, 2, 0, 3)
    item, query = anew.nonzero().unbind(1)
    queries = attention.q[:, query + start].transpose(0, 1).clone()
    queries[active[anew]] = q
    # A slot that stands for none repeats the first key, and adds nothing to it.
    added = torch.where(valid[..., None, None], v[of], old[:, :, :1].permute(1, 2, 0, 3))
    z = z.contiguous()
    z[anew] = attention.attend_scaled(queries, query + start, keys[item], k[of[item]], added[item])
    return z[touched], touched


def _anew(
    attention: BaseAttention, q: Tensor, k: Tensor, v: Tensor, active: Tensor, start: int
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
    touched = active.cumsum(1) > 0
    return z.transpose(1, 2)[touched], touched
