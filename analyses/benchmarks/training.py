"""One training step of ours against a minimal plain-PyTorch step of the same model on the same batch.

    python -m analyses.benchmarks.training [--json FILE] [--repeats 11] [--threads 1]

Both take the batch as given, do forward, loss, backward, clipping and AdamW. The plain model is nn.Linear layers and
nothing else. Bar: at least 0.95 of its sequences per second. After the ratio it prints where our step's time goes,
the sampling of the batch included.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from analyses.benchmarks.harness import JsonOption, RepeatsOption, ThreadsOption, compare, report
from models import RecurrentTransformer
from models.positions import RelativeBias
from models.training.objectives.discrete_corrected import DiscreteCorrected
from models.training.objectives.protocol import Batch
from models.training.presets import training_config
from models.training.sampling import Recipe
from models.training.trainer import build_model

CHANGED_WEIGHT = 6.0
N_GRAPHS = 24


class PlainLayer(nn.Module):
    """A pre-norm block with a learned bias per head and distance."""

    def __init__(self, d_model: int, n_heads: int, d_head: int, d_mlp: int, window: int) -> None:
        super().__init__()
        self.n_heads, self.d_head, self.window = n_heads, d_head, window
        self.ln1, self.ln2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * n_heads * d_head)
        self.out = nn.Linear(n_heads * d_head, d_model)
        self.mlp_in, self.mlp_out = nn.Linear(d_model, d_mlp), nn.Linear(d_mlp, d_model)
        self.bias = nn.Parameter(torch.zeros(n_heads, window))

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        n = x.shape[1]
        qkv = self.qkv(self.ln1(x)).unflatten(-1, (3, self.n_heads, self.d_head))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        place = torch.arange(n)
        distance = (place[:, None] - place).clamp(0, self.window - 1)
        forbidden = torch.full((n, n), -torch.inf).triu(1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.d_head) + self.bias[:, distance]
        pattern = (scores * scale + forbidden).softmax(-1)
        x = x + self.out((pattern @ v).transpose(1, 2).flatten(2))
        return x + self.mlp_out(F.relu(self.mlp_in(self.ln2(x))))


class PlainModel(nn.Module):
    """The same function as our model of the `cpu` preset, weights copied from it."""

    offsets: Tensor

    def __init__(self, model: RecurrentTransformer) -> None:
        super().__init__()
        cfg = model.cfg
        self.vocabulary, self.reference = model.vocabulary, cfg.attention_scale_reference
        self.register_buffer("offsets", torch.tensor(model.vocabulary.offsets))
        self.embed = nn.Embedding(cfg.d_vocab, cfg.d_model)
        d_mlp = cast(int, cfg.d_mlp)
        self.layers = nn.ModuleList(
            PlainLayer(cfg.d_model, cfg.n_heads, cfg.d_head, d_mlp, cfg.position_window) for _ in model.layers
        )
        self.ln_final = nn.LayerNorm(cfg.d_model)
        self.unembed = nn.Linear(cfg.d_model, cfg.d_vocab)
        with torch.no_grad():
            self.embed.weight.copy_(model.W_E)
            self.unembed.weight.copy_(model.W_U.T)
            self.unembed.bias.copy_(model.b_U)
            for module, block in zip(self.layers, model.layers, strict=True):
                layer, attn, mlp = cast(PlainLayer, module), block.attn, block.mlp
                weights = [w.transpose(0, 1).flatten(1).T for w in (attn.W_Q, attn.W_K, attn.W_V)]
                layer.qkv.weight.copy_(torch.cat(weights))
                layer.qkv.bias.copy_(torch.cat([b.flatten() for b in (attn.b_Q, attn.b_K, attn.b_V)]))
                layer.out.weight.copy_(attn.W_O.flatten(0, 1).T)
                layer.out.bias.copy_(attn.b_O)
                layer.mlp_in.weight.copy_(mlp.W_in.T)
                layer.mlp_in.bias.copy_(mlp.b_in)
                layer.mlp_out.weight.copy_(mlp.W_out.T)
                layer.mlp_out.bias.copy_(mlp.b_out)
                layer.bias.copy_(cast(RelativeBias, attn.pos).bias)

    def forward(self, state: Tensor) -> Tensor:
        """Logits [example, pos, d_vocab] of a state [example, pos, factor]."""
        x = self.embed(state + self.offsets).sum(-2)
        n_keys = torch.arange(1, state.shape[1] + 1, dtype=x.dtype)
        scale = (n_keys.log() / math.log(self.reference)).clamp_min(1.0)[:, None]
        for layer in self.layers:
            x = layer(x, scale)
        return self.unembed(self.ln_final(x))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the four factors, values that have to change weighted."""
        logits, total = self(batch.state), torch.zeros(())
        weight = 1 + (CHANGED_WEIGHT - 1) * (batch.state[..., 3] != batch.target[..., 3]).float()
        weight = weight[batch.mask]
        for index, part in enumerate(logits[batch.mask].split(list(self.vocabulary.sizes), dim=-1)):
            losses = F.cross_entropy(part, batch.target[batch.mask][:, index], reduction="none")
            total = total + (losses * weight if index == 3 else losses).sum()
        return total / weight.sum()


def make_step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward, backward, clipping and AdamW, as the trainer does them."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.01)

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        loss().backward()  # pyright: ignore[reportUnknownMemberType]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]

    return step


def breakdown(
    model: RecurrentTransformer, objective: DiscreteCorrected, recipe: Recipe, repeats: int
) -> dict[str, float]:
    """Seconds per part of our step, medians: sampling the batch, forward and loss, backward, clipping and AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    times: dict[str, list[float]] = {}
    for repeat in range(repeats):
        marks = [("start", time.perf_counter())]
        batch = objective.draw(np.random.default_rng(repeat), recipe, N_GRAPHS, 0.0)
        marks.append(("sampling", time.perf_counter()))
        optimizer.zero_grad(set_to_none=False)
        loss = objective.loss(model, batch).loss
        marks.append(("forward and loss", time.perf_counter()))
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        marks.append(("backward", time.perf_counter()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        marks.append(("clipping and AdamW", time.perf_counter()))
        for (_, before), (name, after) in pairwise(marks):
            times.setdefault(name, []).append(after - before)
    return {name: float(np.median(values)) for name, values in times.items()}


def main(
    json: JsonOption = None,
    repeats: RepeatsOption = 11,
    threads: ThreadsOption = 1,
) -> None:
    """Measure and print; see the module's text."""
    model = build_model(training_config("discrete-corrected", "cpu"))
    model.cfg.attention_noise = 0.0
    objective = DiscreteCorrected(model.vocabulary, changed_weight=CHANGED_WEIGHT)
    recipe = Recipe(sizes=(16, 18))
    batch = objective.draw(np.random.default_rng(0), recipe, N_GRAPHS, 0.0)
    plain = PlainModel(model)
    ours_loss, plain_loss = objective.loss(model, batch).loss, plain.loss(batch)
    difference = abs(float(ours_loss.detach()) - float(plain_loss.detach()))
    ours = make_step(model, lambda: objective.loss(model, batch).loss)
    ratios: dict[str, Any] = {
        "training step": compare(ours, make_step(plain, lambda: plain.loss(batch)), repeats)
    }
    title = f"{N_GRAPHS} graphs of 16 to 18 nodes, {batch.state.shape[1]} positions, {threads} thread(s)"
    report(title, ratios, difference, json)
    print(f"  sequences per second: ours {N_GRAPHS / ratios['training step'].ours_s:.1f}")
    parts = breakdown(model, objective, recipe, repeats)
    for name, seconds in parts.items():
        print(f"  {name:<28} {1e3 * seconds:9.2f} ms   {seconds / sum(parts.values()):6.1%}")


if __name__ == "__main__":
    typer.run(main)
