"""What the record of a hook point says is so in a model: its shape, its place, what it needs, what a change reaches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp import Site, SiteError
from interp.engine.sites import BY_DESTINATION, OUTSIDE_BLOCKS, PER_HEAD, SHORT_NAMES, resolve
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.hook_points import HOOK_POINTS, SITES, HookPointRecord

SIZES = {"d_model": 12, "d_head": 5, "n_heads": 2, "d_mlp": 7, "n_layers": 2}
GRAPH = ComputationGraph.sample(7, seed=0)
ROTARY = ("attn.hook_rot_q", "attn.hook_rot_k")


def model_for(record: HookPointRecord) -> RecurrentTransformer:
    positions = {"hook_pos_embed": "absolute", **dict.fromkeys(ROTARY, "rotary")}
    sizes = SIZES | ({"d_head": 4} if record.name in ROTARY else {})
    cfg = RecurrentConfig(**sizes, positions=positions.get(record.name, "relative_bias"))
    model = RecurrentTransformer(cfg).eval()
    if record.needs:
        getattr(model, f"set_{record.needs}")(True)
    return model


def full_name(record: HookPointRecord) -> str:
    return f"blocks.1.{record.name}" if record.where == "block" else record.name


@pytest.mark.parametrize("record", HOOK_POINTS, ids=lambda record: record.name)
def test_it_has_its_shape_and_fires_when_it_says(record: HookPointRecord) -> None:
    model = model_for(record)
    _, cache = model.run_with_cache(GRAPH, names="all", n_steps=1)
    n_pos = int(model.to_encoded(GRAPH).mask.sum())
    sizes: dict[str, Any] = {"pos": n_pos, "source": n_pos, "head": 2, "factor": 4, "1": 1}
    expected = [sizes[axis] if axis in sizes else getattr(model.cfg, axis) for axis in record.axes]
    assert list(cache[full_name(record)].shape[2:]) == expected
    if record.needs:
        getattr(model, f"set_{record.needs}")(False)
        _, without = model.run_with_cache(GRAPH, names="all", n_steps=1)
        assert full_name(record) not in without


@pytest.mark.parametrize(
    "record", [one for one in HOOK_POINTS if one.where == "block"], ids=lambda one: one.name
)
def test_a_change_reaches_other_positions_in_its_layer_unless_it_is_local(record: HookPointRecord) -> None:
    """The last position's activation is changed; those before see nothing of it, those after are asked."""
    model = model_for(record)
    torch.manual_seed(0)
    name = f"steps.0.blocks.0.{record.name}"
    axis = record.axes.index("pos") + 1

    def changed(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        edited = activation.clone()
        edited.select(axis, 1).add_(torch.randn_like(edited.select(axis, 1)))
        return edited

    _, plain = model.run_with_cache(GRAPH, names=["hook_resid_post"], n_steps=1)
    with model.hooks(fwd_hooks=[(name, changed)]):
        _, cache = model.run_with_cache(GRAPH, names=["hook_resid_post"], n_steps=1)
    after = "blocks.0.hook_resid_post"
    # A hook on scores or patterns makes attention take another path, whose sums differ in the last digits.
    others = ((cache[after] - plain[after]).abs() > 1e-4).any(-1)[0, 0]
    if record.local:
        assert not others[torch.arange(len(others)) != 1].any()
    elif record.name in ("hook_resid_pre", "attn.hook_k", "attn.hook_v"):
        assert others[2:].any()


def test_what_sites_know_is_what_the_records_say() -> None:
    assert list(SHORT_NAMES.items()) == [(one.short, one.name) for one in HOOK_POINTS if one.short]
    assert OUTSIDE_BLOCKS == ("state", "embed", "logits")
    assert PER_HEAD == ("q", "k", "v", "attn_scores", "pattern", "z", "result")
    assert BY_DESTINATION == ("attn_scores", "pattern")
    assert {short for short, one in SITES.items() if one.has_factors} == {"state", "logits"}
    model = RecurrentTransformer(RecurrentConfig(**SIZES)).eval()
    encoded = model.to_encoded(GRAPH)
    layers = {short: resolve(Site(short), model, encoded).layer for short in OUTSIDE_BLOCKS}
    assert layers == {"state": -1, "embed": -1, "logits": 2}
    with pytest.raises(SiteError, match=r"'result' is computed after model.set_use_attn_result\(True\) only"):
        resolve(Site("result", layer=0), model, encoded)
