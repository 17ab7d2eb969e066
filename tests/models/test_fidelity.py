"""The computation itself: against the paper's own encoder, and against a plain, untied network written only
for this test.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import CheckpointError, ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.conversion import load_paper_encoder

ENCODER = Path(__file__).parents[1] / "data" / "encoder_deberta.safetensors"
POSITIONS = ("deberta", "relative_bias", "rotary", "absolute", "none")
DIRECTIONS = ("causal", "bidirectional")


def small_config(**changes: object) -> RecurrentConfig:
    sizes = {
        "n_layers": 2,
        "d_model": 24,
        "n_heads": 3,
        "d_head": 10,
        "d_mlp": 40,
        "position_window": 7,
        "seed": 3,
    }
    return RecurrentConfig(**{**sizes, **changes})  # type: ignore[arg-type]


def randomise(model: RecurrentTransformer) -> RecurrentTransformer:
    """Give biases, norms and position tables values of their own, so that none can be left out unnoticed."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


# ---- the paper's encoder -----------------------------------------------------------------------------------


def test_paper_encoder_output_and_patterns() -> None:
    reference = load_file(ENCODER)
    model = load_paper_encoder(ENCODER)
    patterns: dict[int, Tensor] = {}

    def keep(pattern: Tensor, hook: object) -> None:
        patterns[hook.layer()] = pattern  # type: ignore[attr-defined]

    with torch.no_grad():
        fused = model.step(reference["input"])
        with model.hooks(fwd_hooks=[(lambda name: name.endswith("hook_pattern"), keep)]):
            unfused = model.step(reference["input"])
    assert (fused - reference["output"]).abs().max() < 1e-5
    assert (unfused - reference["output"]).abs().max() < 1e-5
    assert sorted(patterns) == [0, 1]
    for layer, pattern in patterns.items():
        assert (pattern - reference[f"pattern.{layer}"]).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["relpos_k_proj.weight", "relpos_q_proj.bias"])
def test_every_position_weight_of_the_encoder_matters(tmp_path: Path, name: str) -> None:
    """Guard: swapping or dropping a position projection must be visible, or the test above shows nothing."""
    tensors = load_file(ENCODER)
    metadata = {"n_layers": "2", "n_heads": "4", "d_model": "32", "positions": "DeBERTa"}
    tensors[f"weight.blocks.layer_0.attn.{name}"] = torch.zeros_like(
        tensors[f"weight.blocks.layer_0.attn.{name}"]
    )
    save_file(tensors, tmp_path / "broken.safetensors", metadata=metadata)
    with torch.no_grad():
        output = load_paper_encoder(tmp_path / "broken.safetensors").step(tensors["input"])
    assert (output - tensors["output"]).abs().max() > 1e-3


def test_encoder_errors(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no readable safetensors"):
        load_paper_encoder(tmp_path / "nothing.safetensors")
    save_file({"weight.a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="metadata lacks"):
        load_paper_encoder(tmp_path / "a.safetensors")
    metadata = {"n_layers": "2", "n_heads": "4", "d_model": "32", "positions": "spiral"}
    save_file({"weight.a": torch.zeros(1)}, tmp_path / "b.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match="'spiral' is not known"):
        load_paper_encoder(tmp_path / "b.safetensors")
    save_file(
        {"weight.a": torch.zeros(1)}, tmp_path / "c.safetensors", metadata=metadata | {"positions": "RoPE"}
    )
    with pytest.raises(CheckpointError, match="no tensor 'weight.ln_final.weight'"):
        load_paper_encoder(tmp_path / "c.safetensors")


# ---- an untied plain network -------------------------------------------------------------------------------


class PlainLayer(nn.Module):
    """One pre-norm block in nn.Linear and loops over heads, weights copied in; nothing of ours runs here."""

    def __init__(self, model: RecurrentTransformer, layer: int) -> None:
        super().__init__()
        self.cfg, block, cfg = model.cfg, model.layers[layer], model.cfg
        attn = block.attn
        self.weights = {n: p.detach().clone() for n, p in block.named_parameters()}
        self.q, self.k, self.v = (nn.Linear(cfg.d_model, cfg.n_heads * cfg.d_head) for _ in range(3))
        for linear, weight, bias in (
            (self.q, attn.W_Q, attn.b_Q),
            (self.k, attn.W_K, attn.b_K),
            (self.v, attn.W_V, attn.b_V),
        ):
            linear.weight.data = torch.cat(list(weight), dim=1).T.clone()
            linear.bias.data = bias.flatten().clone()
        self.relative = None if model.relative is None else model.relative().detach().clone()

    def pair_bias(self, q: Tensor, k: Tensor, head: int) -> Tensor:
        """Position scores of one head, pair by pair."""
        n, window = len(q), self.cfg.position_window
        out = torch.zeros(n, n)
        causal = self.cfg.attention_dir == "causal"
        for i in range(n):
            for j in range(n):
                distance = max(-(window - 1), min(j - i, 0 if causal else window - 1))
                if self.cfg.positions == "relative_bias":
                    entry = -distance if distance <= 0 else window - 1 + distance
                    out[i, j] = self.weights["attn.pos.bias"][head, entry]
                elif self.cfg.positions == "deberta":
                    embedding = self.relative[distance + window - 1]  # type: ignore[index]
                    key = (
                        embedding @ self.weights["attn.pos.W_K_pos"][head]
                        + self.weights["attn.pos.b_K_pos"][head]
                    )
                    query = (
                        embedding @ self.weights["attn.pos.W_Q_pos"][head]
                        + self.weights["attn.pos.b_Q_pos"][head]
                    )
                    out[i, j] = (q[i] @ key + k[j] @ query) / math.sqrt(3 * self.cfg.d_head)
        return out

    def rotate(self, x: Tensor) -> Tensor:
        """Rotary positions through complex numbers."""
        pairs = torch.view_as_complex(x.reshape(len(x), -1, 2).contiguous())
        rate = self.cfg.rotary_base ** (-2 * torch.arange(pairs.shape[1]) / x.shape[1])
        turn = torch.polar(torch.ones(len(x), pairs.shape[1]), torch.arange(len(x))[:, None] * rate)
        return torch.view_as_real(pairs * turn).flatten(1)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        cfg, w = self.cfg, self.weights
        normed = F.layer_norm(x, (cfg.d_model,), w["ln1.w"], w["ln1.b"], cfg.eps)
        out = w["attn.b_O"].expand_as(x).clone()
        for head in range(cfg.n_heads):
            part = slice(head * cfg.d_head, (head + 1) * cfg.d_head)
            q, k, v = (linear(normed)[:, part] for linear in (self.q, self.k, self.v))
            if cfg.positions == "rotary":
                q, k = self.rotate(q), self.rotate(k)
            scale = math.sqrt((3 if cfg.positions == "deberta" else 1) * cfg.d_head)
            scores = q @ k.T / scale + self.pair_bias(q, k, head)
            if cfg.attention_scale == "log":
                n_keys = (
                    torch.arange(1, len(x) + 1.0)
                    if cfg.attention_dir == "causal"
                    else torch.full((len(x),), float(len(x)))
                )
                scores = (
                    scores * (n_keys.log() / math.log(cfg.attention_scale_reference)).clamp_min(1)[:, None]
                )
            out = out + scores.masked_fill(~allowed, -math.inf).softmax(-1) @ v @ w["attn.W_O"][head]
        x = x + out
        normed = F.layer_norm(x, (cfg.d_model,), w["ln2.w"], w["ln2.b"], cfg.eps)
        return x + F.relu(normed @ w["mlp.W_in"] + w["mlp.b_in"]) @ w["mlp.W_out"] + w["mlp.b_out"]


class PlainUntied(nn.Module):
    """``n_steps`` copies of the block stack with weights of their own, one graph at a time."""

    def __init__(self, model: RecurrentTransformer, n_steps: int) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList(
            PlainLayer(model, l) for _ in range(n_steps) for l in range(model.cfg.n_layers)
        )
        self.n_steps = n_steps

    def forward(self, state: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        cfg, vocabulary = self.model.cfg, self.model.vocabulary
        weights = {n: p.detach() for n, p in self.model.named_parameters()}
        n = len(state)
        allowed = torch.ones(n, n, dtype=torch.bool)
        if cfg.attention_dir == "causal":
            allowed = allowed.tril()
        all_logits, all_states, hidden = [], [state], None
        for step in range(self.n_steps):
            one_hot = torch.cat(
                [F.one_hot(state[:, f], size) for f, size in enumerate(vocabulary.sizes)], -1
            ).float()
            x = one_hot @ weights["embed.W_E"] if hidden is None or cfg.bottleneck == "discrete" else hidden
            if cfg.positions == "absolute":
                x = F.layer_norm(
                    x + weights["pos_embed.W_pos"][:n],
                    (cfg.d_model,),
                    weights["pos_embed.ln.w"],
                    weights["pos_embed.ln.b"],
                    cfg.eps,
                )
            for layer in range(cfg.n_layers):
                x = self.layers[step * cfg.n_layers + layer](x, allowed)
            hidden = F.layer_norm(x, (cfg.d_model,), weights["ln_final.w"], weights["ln_final.b"], cfg.eps)
            logits = hidden @ weights["unembed.W_U"] + weights["unembed.b_U"]
            state = torch.stack(
                [
                    logits[:, vocabulary.slice(f)].argmax(-1)
                    for f in ("syntax", "variable", "operation", "value")
                ],
                -1,
            )
            all_logits.append(logits)
            all_states.append(state)
        return all_logits, all_states


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("bottleneck", ["discrete", "continuous"])
def test_run_equals_untied_plain_network(positions: str, direction: str, bottleneck: str) -> None:
    scale = "log" if direction == "causal" else "standard"
    cfg = small_config(
        positions=positions,
        attention_dir=direction,
        bottleneck=bottleneck,
        attention_scale=scale,
        attention_scale_reference=8,
    )
    model = randomise(RecurrentTransformer(cfg))
    graph = ComputationGraph.sample(7, n_leaves=3, seed=1)
    encoded = model.to_encoded(graph)
    with torch.no_grad():
        logits = model(graph, n_steps=3)
        expected_logits, expected_states = PlainUntied(model, 3)(encoded.factors[0])
    for step in range(3):
        assert torch.allclose(logits[step, 0], expected_logits[step], atol=2e-5), f"step {step}"
    run = model.run(graph, n_steps=3)
    assert torch.equal(run.states[:, 0], torch.stack(expected_states))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_fused_and_unfused_attention_agree(positions: str, direction: str) -> None:
    model = randomise(RecurrentTransformer(small_config(positions=positions, attention_dir=direction)))
    graphs = [ComputationGraph.sample(n, n_leaves=3, seed=n) for n in (4, 9)]
    with torch.no_grad():
        fused = model(graphs, n_steps=2)
        watched = []
        hooks = [
            (lambda name: name.endswith("hook_attn_scores"), lambda scores, hook: watched.append(scores))
        ]
        unfused = model.run_with_hooks(graphs, n_steps=2, fwd_hooks=hooks)
    assert len(watched) == 4
    mask = model.to_encoded(graphs).mask
    assert torch.allclose(fused[:, mask], unfused[:, mask], atol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_padding_changes_nothing(positions: str, direction: str) -> None:
    """A small graph gives the same run alone and beside a long one."""
    model = randomise(RecurrentTransformer(small_config(positions=positions, attention_dir=direction)))
    small, large = (ComputationGraph.sample(n, n_leaves=2, seed=n) for n in (3, 20))
    alone, beside = model.run(small, n_steps=4), model.run([large, small], n_steps=4)
    n = alone.states.shape[2]
    assert torch.equal(alone.states[:, 0], beside.states[:, 1, :n])
    assert torch.equal(beside.states[:, 1, n:], beside.states[:1, 1, n:].expand(5, -1, -1))
    assert torch.allclose(alone.confidence[:, 0], beside.confidence[:, 1, :n], atol=1e-5)
