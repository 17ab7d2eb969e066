"""What float32 rounding may do to a step at worst, beside what it does and what a certificate allows.

    python -m analyses.benchmarks.rounding [--model discrete-corrected] [--nodes 32] [--step 3]

Worst case over all orders of summation, with or without fused multiply-add (Higham, Accuracy and Stability of Numerical
Algorithms, 2002, section 3): a sum of n products is off by at most ``gamma(n) sum |x_i y_i|``, ``gamma(n) = n u / (1 -
n u)``, u = 2^-24. In turn, through the last layer, from a ``resid_pre`` that both runs share bit for bit:

LayerNorm   entries off by ``gamma(d + 3) |x|_1 / (d s) + gamma(d + 6) |y_i|``: the mean, the variance, the root.
q, k, v     ``gamma(d + 2) (|y| |W| + |b|)``, and ``|dy| |W|``.
scores      ``|q| |dk| + |dq| |k| + gamma(d_head + 3) |q| |k|``; an attention weight is off by that relatively, twice,
            since the sum of weights is too, and by ``gamma(n + 4)`` for exponentials, sum and quotient.
z           ``sum_j p_j (error of p_j) |v_j - z|``, the values' own, and ``gamma(n + 2) sum_j p_j |v_j|``.
resid_mid   ``|dz| |W_O| + gamma(H d_head + 2) |z| |W_O|``: how far it may be off, as a vector's length.
MLP         ``|dpre| |W_out|`` over neurons that can be on, and ``gamma(d_mlp + 2) |post| |W_out|``.
Readout     the final LayerNorm once more, times the largest difference of two symbols' directions, and the
            product's own.

Second-order terms are left out. All that is of one run; a comparison of two is granted twice that."""

from __future__ import annotations

from typing import Annotated

import torch
import typer
from torch import Tensor

from interp import record
from interp.engine.following import BaseRun
from interp.engine.sparse.attention import length
from interp.engine.sparse.step import SparseSteps
from interp.engine.sparse.tally import Tally
from models import ComputationGraph, RecurrentTransformer, load
from models.norm import LayerNorm, NoNorm

UNIT = 2.0**-24


def gamma(n: int) -> float:
    """Higham's."""
    return n * UNIT / (1 - n * UNIT)


def normalised(norm: LayerNorm | NoNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """A norm's output in double precision, and what float32 may add to each entry."""
    if isinstance(norm, NoNorm):
        return x, torch.zeros_like(x)
    y, d = norm(x), x.shape[-1]
    scale = ((x - x.mean(-1, keepdim=True)).square().mean(-1, keepdim=True) + norm.eps).sqrt()
    plain = (x - x.mean(-1, keepdim=True)) / scale
    off = gamma(d + 3) * x.abs().mean(-1, keepdim=True) / scale + gamma(d + 6) * plain.abs()
    return y, off * norm.w.abs() + UNIT * (y.abs() + norm.b.abs()) if norm.affine else off


def product(x: Tensor, off: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """``x W + b``, and what float32 may add to it; ``off`` is what it has added to x."""
    sizes = x.abs() @ weight.abs() + bias.abs()
    return x @ weight + bias, gamma(len(weight) + 2) * sizes + off @ weight.abs()


@torch.no_grad()
def study(model: RecurrentTransformer, nodes: int, step: int) -> None:
    """Print the worst case, what is granted, and what is allowed."""
    run = record(model, ComputationGraph.sample(nodes, ops=model.vocabulary.ops, seed=3))
    base = BaseRun.of(model, run, run.n_steps)
    prepared = SparseSteps(base, "states", Tally()).prepared
    now, constants = prepared.step(min(step, run.n_steps - 1)), prepared.constants
    block, attention, certificate = constants.block, now.attention, now.certificate
    attn, mlp, n = block.attn, block.mlp, len(now.resid)
    x = now.resid.double()
    y, off = normalised(block.ln1, x)
    q, k, v = (
        tuple(part.view(n, *attn.b_Q.shape).transpose(0, 1) for part in product(y, off, weight, bias))
        for weight, bias in (
            (getattr(attn, f"W_{which}").transpose(0, 1).flatten(1), getattr(attn, f"b_{which}").flatten())
            for which in "QKV"
        )
    )
    scale = attention.scale.double()[:, None]
    score = (
        q[0].abs() @ k[1].mT
        + q[1] @ k[0].abs().mT
        + gamma(attn.W_Q.shape[-1] + 3) * (q[0].abs() @ k[0].abs().mT)
    )
    pattern = attention.pattern.double().mT
    score = (score * scale + UNIT * (attention.offset.double().mT.nan_to_num(0, 0, 0)).abs()) * (pattern > 0)
    weight = score + (pattern * score).sum(-1, keepdim=True) + gamma(n + 4)
    z = pattern @ v[0]
    apart = torch.stack(
        [(v[0] - z[:, i : i + 1]).abs().mul((pattern * weight)[:, i, :, None]).sum(1) for i in range(n)], 1
    )
    z_off = apart + pattern @ v[1] + gamma(n + 2) * (pattern @ v[0].abs())
    flat = [part.transpose(0, 1).flatten(1) for part in (z, z_off)]
    out, mid_off = product(flat[0], flat[1], attn.W_O.flatten(0, 1), attn.b_O)
    mid = x + out
    mid_off = mid_off + UNIT * mid.abs()
    streams = length(mid_off)
    y, off = normalised(block.ln2, mid)
    pre, pre_off = product(y, off, mlp.W_in, mlp.b_in)
    post = pre.clamp_min(0)
    final, final_off = product(post, pre_off * (pre > -pre_off), mlp.W_out, mlp.b_out)
    left = mid + final
    y, off = normalised(constants.ln_final, left)
    spread = 1.0
    if isinstance(constants.ln_final, LayerNorm):
        spread = ((left - left.mean(-1, keepdim=True)).square().mean(-1) + constants.ln_final.eps).sqrt()
    widest = max(float(part.max()) for part in constants.apart)
    logit = (length(final_off) / spread + length(off)) * widest
    logit = logit + 2 * product(y, torch.zeros_like(y), constants.unembed.W_U, constants.unembed.b_U)[1].amax(
        -1
    )
    allowed = certificate.reach.double() + certificate.streams
    print(f"{n} positions                                   median    largest")
    for what, found in (
        ("resid_mid may be off by, at worst", streams),
        ("the same of two runs", 2 * streams),
        ("a lead of logits behind it, at worst", logit),
    ):
        print(f"  {what:<42} {float(found.median()):9.3g} {float(found.max()):9.3g}")
    print(f"  granted now to resid_mid, measured         {certificate.streams:9.3g}")
    print(
        f"  resid_mid may move by, median and smallest {float(allowed.median()):9.3g} {float(allowed.min()):9.3g}"
    )
    anything = (allowed > 2 * streams).double().mean()
    print(f"  positions at which the worst case leaves anything: {float(anything):.1%}")


def main(
    model: Annotated[str, typer.Option(help="Name or path.")] = "discrete-corrected",
    nodes: Annotated[int, typer.Option(min=8, help="Of the graph.")] = 32,
    step: Annotated[int, typer.Option(min=0, help="Which step.")] = 3,
) -> None:
    """Measure and print; see the module's text."""
    study(load(model), nodes, step)


if __name__ == "__main__":
    typer.run(main)
