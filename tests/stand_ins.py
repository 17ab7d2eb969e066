"""Models with the members of Huginn's, Ouro's and OpenMythos's classes, whose code cannot be installed here.

Each has the names and the order of computation of the original, and a forward of its own that the adapter does not
call; layers are as small as they can be. What an original computes besides (caches, training, generation) is left out.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

N_TOKENS, D = 11, 8


def causal_mean(x: Tensor) -> Tensor:
    """What attention could do at the least: the mean of this position and those before."""
    return x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(D, D)

    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        return self.proj(causal_mean(x))


class SandwichBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.mlp, self.norm = Mixing(), nn.Linear(D, D), nn.LayerNorm(D)

    def forward(
        self, x: Tensor, freqs_cis: Tensor, step_idx: Tensor, mask: Any = None, cache: Any = None
    ) -> Tensor:
        x = self.norm(self.attn(x + freqs_cis[0, :, :1]) + x)
        return self.norm(self.mlp(x) + x)


class RavenForCausalLM(nn.Module):
    """Huginn: names as in ``recpre/raven_modeling_minimal.py`` of seal-rg/recurrent-pretraining."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(mean_recurrence=4, num_attention_heads=2)
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(N_TOKENS, D),
                "prelude": nn.ModuleList([SandwichBlock()]),
                "adapter": nn.Linear(2 * D, D),
                "core_block": nn.ModuleList([SandwichBlock(), SandwichBlock()]),
                "coda": nn.ModuleList([SandwichBlock()]),
                "ln_f": nn.LayerNorm(D),
            }
        )
        self.lm_head = nn.Linear(D, N_TOKENS)
        self.freqs_cis: Tensor
        self.register_buffer("freqs_cis", torch.randn(1, 32, 2))

    def embed_inputs(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        x, index = self.transformer["wte"](input_ids), torch.tensor(-1)
        for block in self.transformer["prelude"]:
            index += 1
            x = block(x, self.freqs_cis[:, : x.shape[1]], index)
        return x, index

    def initialize_state(self, input_embeds: Tensor, scale: float = 1.0) -> Tensor:
        return scale * torch.randn_like(input_embeds)

    def core_block_forward(
        self,
        x: Tensor,
        input_embeds: Tensor,
        freqs_cis: Tensor,
        mask: Any,
        cache: Any,
        block_idx: Tensor,
        step: Any,
    ) -> tuple[Tensor, Tensor]:
        x = self.transformer["adapter"](torch.cat([x, input_embeds], dim=-1))
        for block in self.transformer["core_block"]:
            block_idx += 1
            x = block(x, freqs_cis, block_idx, mask, cache)
        return x, block_idx

    def predict_from_latents(self, latents: Tensor) -> SimpleNamespace:
        x = self.transformer["ln_f"](latents)
        for block in self.transformer["coda"]:
            x = block(x, self.freqs_cis[:, : x.shape[1]], torch.tensor(-1))
        return SimpleNamespace(logits=self.lm_head(self.transformer["ln_f"](x)))

    def forward(self, input_ids: Tensor, input_states: Tensor, num_steps: int) -> Tensor:
        embedded, index = self.embed_inputs(input_ids)
        x = input_states
        for step in range(num_steps):
            rotary = self.freqs_cis[:, : x.shape[1]]
            x, index = self.core_block_forward(x, embedded, rotary, None, None, index, step)
        return self.predict_from_latents(x).logits


class OuroLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn, self.mlp = Mixing(), nn.Linear(D, D)

    def forward(
        self, hidden_states: Tensor, *, position_embeddings: Any, current_ut: int, **rest: Any
    ) -> Tensor:
        cos, _ = position_embeddings
        hidden_states = hidden_states + self.self_attn(hidden_states + cos)
        return hidden_states + self.mlp(hidden_states)


class OuroModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.total_ut_steps = 4
        self.embed_tokens = nn.Embedding(N_TOKENS, D)
        self.layers = nn.ModuleList([OuroLayer(), OuroLayer()])
        self.norm = nn.LayerNorm(D)
        self.early_exit_gate = nn.Linear(D, 1)

    def rotary_emb(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions[..., None].float() / torch.arange(1, D + 1)
        return angles.cos(), angles.sin()


class OuroForCausalLM(nn.Module):
    """Ouro: names as in ``modeling_ouro.py``, which comes with the checkpoints; a gate at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.config: Any = None
        self.model = OuroModel()
        self.lm_head = nn.Linear(D, N_TOKENS)
        self.early_exit_threshold = 0.9

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Logits after all steps, and the exit distribution [batch, pos, step] without the last step's remainder."""
        model = self.model
        hidden = model.embed_tokens(input_ids)
        positions = torch.arange(input_ids.shape[1])[None]
        remaining, pdf = torch.ones(input_ids.shape), []
        for step in range(model.total_ut_steps):
            for layer in model.layers:
                rotary = model.rotary_emb(hidden, positions)
                hidden = layer(hidden, position_embeddings=rotary, current_ut=step)
            hidden = model.norm(hidden)
            leaves = torch.sigmoid(model.early_exit_gate(hidden).squeeze(-1))
            pdf.append(leaves * remaining)
            remaining = remaining * (1.0 - leaves)
        return self.lm_head(hidden), torch.stack(pdf, dim=-1)


def loop_index_embedding(h: Tensor, loop_t: int, loop_dim: int) -> Tensor:
    added = torch.zeros(h.shape[-1])
    added[:loop_dim] = torch.sin(torch.arange(loop_dim) + float(loop_t))
    return h + added


class MythosBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.ffn = Mixing(), nn.Linear(D, D)

    def forward(self, x: Tensor, freqs_cis: Tensor, mask: Any = None, kv_cache: Any = None) -> Tensor:
        x = x + self.attn(x + freqs_cis)
        return x + self.ffn(x)


class Injection(nn.Module):
    def forward(self, h: Tensor, e: Tensor, out: Tensor) -> Tensor:
        return 0.4 * h + 0.1 * e + out


class Adapter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(D, D)

    def forward(self, x: Tensor, loop_t: int) -> Tensor:
        return self.down(x) / (loop_t + 1)


class Halting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.halt = nn.Linear(D, 1)

    def forward(self, h: Tensor) -> Tensor:
        return torch.sigmoid(self.halt(h)).squeeze(-1)


class RecurrentBlock(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.cfg, self.loop_dim = cfg, 2
        self.block, self.injection, self.act = MythosBlock(), Injection(), Halting()
        self.lora, self.norm = Adapter(), nn.LayerNorm(D)


class OpenMythos(nn.Module):
    """OpenMythos: names as in ``open_mythos/main.py`` of the PyPI package."""

    def __init__(self) -> None:
        super().__init__()
        self.cfg = SimpleNamespace(max_loop_iters=6, n_heads=1, act_threshold=0.99, attn_type="gqa")
        self.embed = nn.Embedding(N_TOKENS, D)
        self.freqs_cis = torch.randn(32, D)
        self.prelude, self.coda = nn.ModuleList([MythosBlock()]), nn.ModuleList([MythosBlock()])
        self.recurrent = RecurrentBlock(self.cfg)
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, N_TOKENS)

    @staticmethod
    def _causal_mask(n: int, device: Any) -> Tensor:
        return torch.full((1, 1, n, n), float("-inf")).triu(1)

    def forward(self, input_ids: Tensor) -> tuple[Tensor, int]:
        """Logits, and how many steps were run."""
        rotary, r = self.freqs_cis[: input_ids.shape[1]], self.recurrent
        h = self.embed(input_ids)
        for layer in self.prelude:
            h = layer(h, rotary)
        e, out = h, torch.zeros_like(h)
        used, halted = torch.zeros(input_ids.shape), torch.zeros(input_ids.shape, dtype=torch.bool)
        steps = 0
        for t in range(self.cfg.max_loop_iters):
            x = r.block(r.norm(loop_index_embedding(h, t, r.loop_dim) + e), rotary)
            h = r.injection(h, e, x + r.lora(x, t))
            p, still = r.act(h), (~halted).float()
            weight = torch.where(used + p >= self.cfg.act_threshold, (1.0 - used).clamp(min=0), p) * still
            out = out + weight.unsqueeze(-1) * h
            used = used + p * still
            halted = halted | (used >= self.cfg.act_threshold)
            steps += 1
            if halted.all():
                break
        for layer in self.coda:
            out = layer(out, rotary)
        return self.head(self.norm(out)), steps
