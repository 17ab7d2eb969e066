"""One step of our model against a minimal plain-PyTorch block stack with the same weights.

    python -m analyses.benchmarks.forward [--json FILE] [--repeats 25] [--threads 1]

The plain stack has no hooks, no step tree, no factors: a sum of four embeddings,
`scaled_dot_product_attention` with a ready-made mask, LayerNorm, ReLU MLP, one readout. Bars: without hooks
at most 1.05 of its time, with every activation of the step cached at most 1.4 (the plain way then keeps
nothing)."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from analyses.benchmarks.harness import JsonOption, RepeatsOption, ThreadsOption, compare, report
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.norm import LayerNorm, NoNorm
from models.positions import RelativeBias


class PlainStep:
    """The same step written down plainly; weights are laid out for it beforehand."""

    def __init__(self, model: RecurrentTransformer, n_pos: int) -> None:
        self.cfg = model.cfg
        self.W_E, self.W_U, self.b_U = model.W_E.detach(), model.W_U.detach(), model.b_U.detach()
        self.offsets = torch.tensor(model.vocabulary.offsets)
        self.ln_final = _affine(model.ln_final)
        causal = torch.full((n_pos, n_pos), -torch.inf).triu(1)
        self.layers: list[dict[str, Any]] = []
        for block in model.layers:
            attn, mlp = block.attn, block.mlp
            qkv = torch.cat(
                [w.detach().transpose(0, 1).flatten(1) for w in (attn.W_Q, attn.W_K, attn.W_V)], dim=1
            )
            qkv_bias = torch.cat([b.detach().flatten() for b in (attn.b_Q, attn.b_K, attn.b_V)])
            self.layers.append(
                {
                    "ln1": _affine(block.ln1),
                    "ln2": _affine(block.ln2),
                    "qkv": qkv.T.contiguous(),
                    "qkv_bias": qkv_bias,
                    "out": attn.W_O.detach().flatten(0, 1).T.contiguous(),
                    "out_bias": attn.b_O.detach(),
                    "mask": cast(RelativeBias, attn.pos).scores(n_pos).detach() + causal,
                    "in": mlp.W_in.detach().T.contiguous(),
                    "in_bias": mlp.b_in.detach(),
                    "mlp_out": mlp.W_out.detach().T.contiguous(),
                    "mlp_out_bias": mlp.b_out.detach(),
                }
            )

    def __call__(self, state: Tensor) -> Tensor:
        """Logits [batch, pos, d_vocab] of a state [batch, pos, factor]."""
        cfg = self.cfg
        x = F.embedding(state + self.offsets, self.W_E).sum(-2)
        for layer in self.layers:
            normed = self._norm(x, layer["ln1"])
            qkv = F.linear(normed, layer["qkv"], layer["qkv_bias"]).unflatten(
                -1, (3, cfg.n_heads, cfg.d_head)
            )
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            z = F.scaled_dot_product_attention(q, k, v, attn_mask=layer["mask"])
            x = x + F.linear(z.transpose(1, 2).flatten(2), layer["out"], layer["out_bias"])
            normed = self._norm(x, layer["ln2"])
            hidden = F.relu(F.linear(normed, layer["in"], layer["in_bias"]))
            x = x + F.linear(hidden, layer["mlp_out"], layer["mlp_out_bias"])
        return F.linear(self._norm(x, self.ln_final), self.W_U.T, self.b_U)

    def _norm(self, x: Tensor, affine: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(x, (self.cfg.d_model,), affine[0], affine[1], self.cfg.eps)


def _affine(norm: LayerNorm | NoNorm) -> tuple[Tensor, Tensor]:
    norm = cast(LayerNorm, norm)
    return norm.w.detach(), norm.b.detach()


@torch.no_grad()
def main(
    json: JsonOption = None,
    repeats: RepeatsOption = 25,
    threads: ThreadsOption = 1,
) -> None:
    """Measure and print; see the module's text."""
    cfg = RecurrentConfig(n_layers=2, d_model=128, n_heads=8, d_head=16, d_mlp=512, positions="relative_bias")
    model = RecurrentTransformer(cfg).eval()
    state = model.to_encoded([ComputationGraph.sample(32, seed=seed) for seed in range(16)]).factors
    tokens = model.vocabulary.pack(state)
    plain = PlainStep(model, state.shape[1])
    view = model.at_step(0)
    difference = max(
        float((model.transition(state) - plain(state)).abs().max()),
        float((view.run_with_cache(tokens)[0] - plain(state)).abs().max()),
    )
    ratios = {
        "step, no hooks": compare(lambda: model.transition(state), lambda: plain(state), repeats),
        "step, everything cached": compare(
            lambda: view.run_with_cache(tokens), lambda: plain(state), repeats
        ),
    }
    report(
        f"One step, 16 graphs of 32 nodes, {state.shape[1]} positions, {threads} thread(s)",
        ratios,
        difference,
        json,
    )


if __name__ == "__main__":
    typer.run(main)
