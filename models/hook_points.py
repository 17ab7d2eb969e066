"""The hook points of a step, one record each; trees, sites, shapes and what may be resumed derive from it.

To add one, add its record where its activation is made, and call it there (:mod:`models.components`,
:mod:`models.recurrent`). Inside a block the names are TransformerLens's own. Nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class HookPointRecord:
    """One hook point.

    Attributes:
        name: within its block or, outside the blocks, within its step.
        shape: the axes behind ``batch``, separated by blanks: ``pos``, ``source`` (the position that is looked at),
            ``head``, ``factor``, ``1``, or a width of the configuration (``d_model``, ``d_head``, ``d_mlp``,
            ``d_vocab``).
        short: the name by which sites, patches and probes know it; "": it is no site.
        where: in every block, or before or after them.
        local: whether what is changed here reaches no other position before the next layer's attention, so that
            replays may compute that position alone.
        whole: whether, at all positions, it is all that the rest of a run depends on.
        needs: the switch of the configuration without which it is not computed; "": none.
    """

    name: str
    shape: str = "pos d_model"
    short: str = ""
    where: Literal["before", "block", "after"] = "block"
    local: bool = False
    whole: bool = False
    needs: str = ""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes behind ``batch``, in order."""
        return tuple(self.shape.split())

    @property
    def has_factors(self) -> bool:
        """Whether the last axis is made of the four factors: symbols or logits."""
        return self.axes[-1] in ("factor", "d_vocab")


HOOK_POINTS: Final = (
    HookPointRecord("hook_state", "pos factor", "state", "before", whole=True),
    HookPointRecord("hook_embed", short="embed", where="before", whole=True),
    HookPointRecord("hook_pos_embed", where="before"),
    HookPointRecord("hook_resid_pre", short="resid_pre", whole=True),
    HookPointRecord("hook_attn_in", "pos head d_model", needs="use_attn_in"),
    HookPointRecord("ln1.hook_scale", "pos 1"),
    HookPointRecord("ln1.hook_normalized"),
    HookPointRecord("attn.hook_q_input", "pos head d_model", needs="use_split_qkv_input"),
    HookPointRecord("attn.hook_k_input", "pos head d_model", needs="use_split_qkv_input"),
    HookPointRecord("attn.hook_v_input", "pos head d_model", needs="use_split_qkv_input"),
    HookPointRecord("attn.hook_q", "pos head d_head", "q", local=True),
    HookPointRecord("attn.hook_k", "pos head d_head", "k"),
    HookPointRecord("attn.hook_v", "pos head d_head", "v"),
    HookPointRecord("attn.hook_rot_q", "pos head d_head"),
    HookPointRecord("attn.hook_rot_k", "pos head d_head"),
    HookPointRecord("attn.hook_attn_scores", "head pos source", "attn_scores", local=True),
    HookPointRecord("attn.hook_pattern", "head pos source", "pattern", local=True),
    HookPointRecord("attn.hook_z", "pos head d_head", "z", local=True),
    HookPointRecord("attn.hook_result", "pos head d_model", "result", local=True, needs="use_attn_result"),
    HookPointRecord("hook_attn_out", short="attn_out", local=True),
    HookPointRecord("hook_resid_mid", short="resid_mid", local=True, whole=True),
    HookPointRecord("hook_mlp_in", needs="use_hook_mlp_in"),
    HookPointRecord("ln2.hook_scale", "pos 1"),
    HookPointRecord("ln2.hook_normalized"),
    HookPointRecord("mlp.hook_pre", "pos d_mlp", "mlp_pre", local=True),
    HookPointRecord("mlp.hook_post", "pos d_mlp", "mlp_post", local=True),
    HookPointRecord("hook_mlp_out", short="mlp_out", local=True),
    HookPointRecord("hook_resid_post", short="resid_post", local=True, whole=True),
    HookPointRecord("ln_final.hook_scale", "pos 1", where="after"),
    HookPointRecord("ln_final.hook_normalized", where="after"),
    HookPointRecord("hook_logits", "pos d_vocab", "logits", "after", local=True, whole=True),
)
"""In the order of a step. Scales are ``sqrt(var + eps)``, normalised activations before the learned scale and bias;
with ``use_split_qkv_input`` those of ``ln1`` are the queries' alone, with a head axis before the last. ``hook_state``
holds the symbols that enter the step, ``hook_logits`` the four readouts before they are snapped to symbols.
"""

SITES: Final = {record.short: record for record in HOOK_POINTS if record.short}
"""Those that are sites, by their short names."""
