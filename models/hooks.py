"""The hook tree: every HookPoint of one recurrence step, apart from the weights.

The weight modules carry no HookPoints; a block is called with the hook tree of its step. So the same weights
have different hook names at every step (``steps.3.blocks.1.attn.hook_z``), forward and backward hooks know
their step, and ``state_dict`` does not change with the number of steps. Inside one step the names are
TransformerLens's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

from torch import nn
from transformer_lens.hook_points import HookPoint

from models.bounds import index_of


class StepHookPoint(HookPoint):
    """A HookPoint of one recurrence step, named ``steps.{step}.{TransformerLens name}``."""

    @property
    def step(self) -> int:
        """Index of the recurrence step this point belongs to."""
        return split_step(self._full_name())[0]

    @property
    def plain_name(self) -> str:
        """The name without its step, as TransformerLens would call it."""
        return split_step(self._full_name())[1]

    def layer(self) -> int:
        """Index of the block within its step; raises ValueError where the point is in no block."""
        return layer_of(self.plain_name)

    def _full_name(self) -> str:
        if self.name is None:
            raise ValueError("this hook point has no name yet: call setup() on the model that owns it")
        return self.name


def split_step(name: str) -> tuple[int, str]:
    """``"steps.3.blocks.1.hook_resid_pre"`` -> ``(3, "blocks.1.hook_resid_pre")``.

    Raises:
        ValueError: a name without a step.
    """
    prefix, _, rest = name.partition(".")
    step, _, plain = rest.partition(".")
    index = index_of(step)
    if prefix != "steps" or index is None or not plain:
        raise ValueError(f"{name!r} names no recurrence step; expected 'steps.<step>.<hook name>'")
    return index, plain


def layer_of(plain_name: str) -> int:
    """``"blocks.1.attn.hook_z"`` -> 1; ValueError where the name is in no block."""
    parts = plain_name.split(".")
    layer = index_of(parts[1]) if len(parts) > 2 else None
    if parts[0] != "blocks" or layer is None:
        raise ValueError(f"{plain_name!r} is in no block, so it has no layer")
    return layer


ALIASES = {
    "hook_q_input": "attn.hook_q_input",
    "hook_k_input": "attn.hook_k_input",
    "hook_v_input": "attn.hook_v_input",
    "attn.hook_attn_in": "hook_attn_in",
}
"""Further names that TransformerLens has inside a block -> the name of the same point here."""


_BLOCK = re.compile(r"(^|\.)blocks\.\d+\.$")


def aliases_of(names: Iterable[str]) -> dict[str, str]:
    """Alias -> name, of all hook points ``names`` (with or without a step) that have a further name."""
    found: dict[str, str] = {}
    for alias, own in ALIASES.items():
        for name in names:
            block = _block(name, own)
            if block is not None:
                found[block + alias] = name
    return found


def own_name(name: str) -> str:
    """The name (with or without a step) of the hook point that ``name`` is an alias of; else ``name``."""
    for alias, own in ALIASES.items():
        block = _block(name, alias)
        if block is not None:
            return block + own
    return name


def _block(name: str, inside: str) -> str | None:
    """``"blocks.1."`` of ``"blocks.1.hook_q_input"``, ``"hook_q_input"``; None where it is not a block's."""
    if not name.endswith(inside):
        return None
    block = name.removesuffix(inside)
    return block if _BLOCK.search(block) else None


class NormHooks(nn.Module):
    """``hook_scale`` [batch, pos, 1] and ``hook_normalized`` [batch, pos, d_model] of one LayerNorm, the latter
    before the learned scale and bias. With ``cfg.use_split_qkv_input`` those of ``ln1`` are the queries' alone,
    with a head axis before the last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hook_scale = StepHookPoint()
        self.hook_normalized = StepHookPoint()


class AttentionHooks(nn.Module):
    """The points inside one attention layer.

    ``hook_q``, ``hook_k``, ``hook_v``, ``hook_z`` [batch, pos, head, d_head]; ``hook_rot_q``, ``hook_rot_k``
    the same after rotation; ``hook_attn_scores`` and ``hook_pattern`` [batch, head, dest, src];
    ``hook_result`` [batch, pos, head, d_model] (only with ``cfg.use_attn_result``); ``hook_q_input`` ...
    [batch, pos, head, d_model] (only with ``cfg.use_split_qkv_input``).
    """

    def __init__(self) -> None:
        super().__init__()
        self.hook_q_input = StepHookPoint()
        self.hook_k_input = StepHookPoint()
        self.hook_v_input = StepHookPoint()
        self.hook_q = StepHookPoint()
        self.hook_k = StepHookPoint()
        self.hook_v = StepHookPoint()
        self.hook_rot_q = StepHookPoint()
        self.hook_rot_k = StepHookPoint()
        self.hook_attn_scores = StepHookPoint()
        self.hook_pattern = StepHookPoint()
        self.hook_z = StepHookPoint()
        self.hook_result = StepHookPoint()

    @property
    def needs_pattern(self) -> bool:
        """Whether somebody watches the scores or the pattern, so that the fused attention path would hide
        them.
        """
        return is_watched(self.hook_attn_scores) or is_watched(self.hook_pattern)


class MLPHooks(nn.Module):
    """``hook_pre`` and ``hook_post`` [batch, pos, d_mlp]."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_pre = StepHookPoint()
        self.hook_post = StepHookPoint()


class BlockHooks(nn.Module):
    """The points of one block; all residual points are [batch, pos, d_model]."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_resid_pre = StepHookPoint()
        self.hook_attn_in = StepHookPoint()
        self.ln1 = NormHooks()
        self.attn = AttentionHooks()
        self.hook_attn_out = StepHookPoint()
        self.hook_resid_mid = StepHookPoint()
        self.hook_mlp_in = StepHookPoint()
        self.ln2 = NormHooks()
        self.mlp = MLPHooks()
        self.hook_mlp_out = StepHookPoint()
        self.hook_resid_post = StepHookPoint()


class StepHooks(nn.Module):
    """All points of one recurrence step.

    Beside TransformerLens's: ``hook_state`` int [batch, pos, factor], the discrete state entering the step,
    and ``hook_logits`` [batch, pos, d_vocab], the four readouts before they are snapped to symbols.
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.hook_state = StepHookPoint()
        self.hook_embed = StepHookPoint()
        self.hook_pos_embed = StepHookPoint()
        self.blocks = nn.ModuleList(BlockHooks() for _ in range(n_layers))
        self.ln_final = NormHooks()
        self.hook_logits = StepHookPoint()


def is_watched(point: HookPoint) -> bool:
    """Whether ``point`` has a forward or backward hook, TransformerLens's or PyTorch's own."""
    module = cast(Any, point)
    return bool(module._forward_hooks or module._backward_hooks)
