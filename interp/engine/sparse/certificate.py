"""How far the residual stream of the last layer may move before a code can change: a bound, position by position.

Let x be what enters the last MLP of a position (``resid_mid``), and x + e with ``|e| <= r`` what enters it in a
changed run; norms are Euclidean. In turn:

LayerNorm   Centred, ``c / s(c)`` with ``s(c) = sqrt(|c|^2 / d + eps)`` has a Jacobian of norm at most 1 / s. On the
            ball s is at least ``s_low = sqrt(max(|c| - r, 0)^2 / d + eps)``, so what follows moves by at most
            ``r / s_low``. Its learned scale and its centring are part of the matrix that reads it
            (:func:`models.norm.folded`).
MLP         ``relu(y A + b) W`` with y moved by at most t. Neuron j moves by at most ``|A_j| t``, so it leaves its
            linear piece by at most ``max(0, |A_j| t - |pre_j|)``. With D the neurons that are on at x,
            ``|A D W|_F t + sum_j |W_j| max(0, |A_j| t - |pre_j|)`` bounds how far the output moves.
Readout     the final LayerNorm once more; of two symbols of a factor the logits' difference moves by at most
            ``|U_a - U_b| t``. The code stays where this is less than its margin over every other symbol.

All these grow with r, so each position has a largest r for which its code stays. It is found once in a step of the
base run, by bisection, and serves every intervention: to certify a position is one comparison.

Rounding. All this holds for exact arithmetic, and two runs are compared as they are computed. So the step is computed
in double precision as well, from the same ``resid_pre``; :data:`ROUNDING` times the largest difference that this makes
in a score, in ``resid_mid`` and in a logit is granted to every rounding there is, in both runs. Where a change goes
through all layers (:class:`Through`), so is the difference from a whole step in double precision. This allowance is
measured, not proven. The proven one, of the worst case over all orders of summation, is 10 to 50 times as large already
for the last layer alone (``python -m analyses.benchmarks.rounding``): it takes all of what a position may move by at
most positions of two of three trained models, so that nothing would be skipped there. Through two layers it would be
multiplied by how loose bounds are there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.engine.sparse.attention import BY_DIFFERENCE, BaseAttention, length
from interp.engine.sparse.positions import (
    behind_attention,
    behind_mlp,
    projected,
    read_out,
    with_attention,
)
from interp.engine.sparse.writes import Writes
from models.components import Block
from models.embedding import FactoredEmbed, FactoredUnembed
from models.norm import LayerNorm, NoNorm, folded
from models.recurrent import RecurrentTransformer

Part = TypeVar("Part", bound=nn.Module)

BISECTIONS = 12
SAMPLE = 64
ROUNDING = 32.0
"""What the rounding error that a base run's step shows is multiplied by, to stand for that of any run near it."""


@dataclass(frozen=True, eq=False)
class Constants:
    """What a certificate needs of a model's weights, in double precision."""

    embed: FactoredEmbed
    layers: tuple[Block, ...]
    ln_final: LayerNorm | NoNorm
    unembed: FactoredUnembed
    heads: Float[Tensor, " head"]
    reads: Float[Tensor, " d_mlp"]
    writes: Float[Tensor, " d_mlp"]
    overlap: Float[Tensor, "d_mlp d_mlp"]
    apart: tuple[Float[Tensor, "symbol symbol"], ...]

    @property
    def block(self) -> Block:
        """The last layer."""
        return self.layers[-1]

    @classmethod
    def of(cls, model: RecurrentTransformer) -> Constants:
        """The weights, and norms of the last layer's and the readout's."""
        layers = tuple(_in_double(layer) for layer in model.layers)
        block, unembed, ln_final = layers[-1], _in_double(model.unembed), _in_double(model.ln_final)
        readout = folded(ln_final, unembed.W_U)
        read, write = folded(block.ln2, block.mlp.W_in), block.mlp.W_out
        return cls(
            embed=_in_double(model.embed),
            layers=layers,
            ln_final=ln_final,
            unembed=unembed,
            heads=cast(Tensor, cast(Any, torch.linalg).matrix_norm(block.attn.W_O, 2)),
            reads=length(read.T),
            writes=length(write),
            overlap=(read.T @ read) * (write @ write.T),
            apart=tuple(
                torch.cdist(part.T, part.T, compute_mode=BY_DIFFERENCE) for part in _by_factor(model, readout)
            ),
        )


@dataclass(frozen=True, eq=False)
class Certificate:
    """What the last layer of one step of the base run allows.

    reach: float [pos], how far ``resid_mid`` may move, rounding taken off; negative where nothing may.
    streams: what was taken off.
    close: a lead of logits below which rounding may decide.
    slack: relative rounding error of an attention weight.
    """

    reach: Tensor
    streams: float
    close: float
    slack: float

    @classmethod
    def of(
        cls,
        model: RecurrentTransformer,
        constants: Constants,
        attention: BaseAttention,
        resid_pre: Float[Tensor, "pos d_model"],
        resid_mid: Float[Tensor, "pos d_model"],
        logits: Float[Tensor, "pos d_vocab"],
    ) -> Certificate:
        """The certificate of a step, from what the base run had at it."""
        block, unembed = constants.block, constants.unembed
        slack, streams = _attention_rounding(block, attention, resid_pre, resid_mid)
        x = _double(resid_mid)
        pre = torch.addmm(block.mlp.b_in, block.ln2(x), block.mlp.W_in)
        on = (pre > 0).double()
        final = x + torch.addmm(block.mlp.b_out, on * pre, block.mlp.W_out)
        exact = torch.addmm(unembed.b_U, constants.ln_final(final), unembed.W_U)
        linear = ((on @ constants.overlap) * on).sum(-1).clamp_min(0).sqrt()

        def moved(r: Tensor) -> Tensor:
            t = _through_norm(block.ln2, x, r)
            beyond = (t[:, None] * constants.reads - pre.abs()).clamp_min(0)
            return _through_norm(constants.ln_final, final, r + linear * t + beyond @ constants.writes)

        close = _granted(exact, logits)
        reach = _largest(moved, _allowed(model, constants, exact, close), x) - streams
        return cls(reach.to(resid_mid), streams, 2 * close, slack)


@dataclass(frozen=True)
class Through:
    """What rounding in a whole step may do, where a change goes through all layers.

    streams: how far it may move ``resid_mid`` of the last layer. close: a lead of logits below which it may decide.
    """

    streams: float
    close: float

    @classmethod
    def of(
        cls,
        constants: Constants,
        attention: BaseAttention,
        entering: Int[Tensor, "pos factor"],
        resid_mid: Float[Tensor, "pos d_model"],
        logits: Float[Tensor, "pos d_vocab"],
    ) -> Through:
        """From what the base run had, and the whole step in double precision; seen at :data:`SAMPLE` queries."""
        sample, resid = _sample(len(resid_mid)), constants.embed(entering[None])[0]
        for block in constants.layers[:-1]:
            q, k, v = (projected(block.attn, block.ln1(resid), which) for which in "QKV")
            z = BaseAttention.of(block.attn, q, k, v).z.transpose(0, 1)
            resid = behind_attention(block, resid, z, Writes([]))
        mid = _attended(constants.block, attention, resid, sample)[1]
        exact = read_out(constants, behind_mlp(constants.block, mid, Writes([])))
        streams = _granted(mid, resid_mid[sample]) * mid.shape[-1] ** 0.5
        return cls(streams, 2 * _granted(exact, logits[sample]))


def _attention_rounding(
    block: Block, attention: BaseAttention, resid_pre: Tensor, resid_mid: Tensor
) -> tuple[float, float]:
    """What is granted to the logarithm of an attention weight, and to ``resid_mid``; seen at :data:`SAMPLE` queries."""
    sample = _sample(len(resid_pre))
    scores, mid = _attended(block, attention, _double(resid_pre), sample)
    computed = attention.k @ attention.q[:, sample].transpose(-1, -2)
    # A weight is off by what its score and the log-sum-exp of its query are off, which is no more.
    return 2 * _granted(scores, computed), _granted(mid, resid_mid[sample]) * mid.shape[-1] ** 0.5


def _sample(n: int) -> Tensor:
    return torch.arange(0, n, -(-n // SAMPLE))


def _attended(
    block: Block, attention: BaseAttention, stream: Tensor, sample: Tensor
) -> tuple[Tensor, Tensor]:
    """In double precision, scores [head, key, query] without what is added to them, and ``resid_mid`` [query, d_model],
    of the queries in the sample.
    """
    normalised = block.ln1(stream)
    k, v = (projected(block.attn, normalised, which).transpose(0, 1) for which in "KV")
    q = projected(block.attn, normalised[sample], "Q").transpose(0, 1)
    scores = k @ (q * _double(attention.scale[sample])[:, None]).transpose(-1, -2)
    pattern = (scores + _double(attention.offset[:, :, sample])).softmax(1)
    z = (pattern.transpose(-1, -2) @ v).transpose(0, 1)
    return scores, with_attention(block, stream[sample], z, Writes([]))


def _granted(exact: Tensor, computed: Tensor) -> float:
    """What rounding may do to one number in two runs: a multiple of what it did, and of the unit it is counted in."""
    unit = torch.finfo(computed.dtype).eps * float(exact.abs().max())
    return 2 * ROUNDING * max(float((exact - _double(computed)).abs().max()), unit)


def _in_double(part: Part) -> Part:
    return copy.deepcopy(part).double().cpu().requires_grad_(False)


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().double().cpu()


def _by_factor(model: RecurrentTransformer, tensor: Tensor) -> tuple[Tensor, ...]:
    return torch.split(tensor, list(model.vocabulary.sizes), dim=-1)


def _through_norm(norm: LayerNorm | NoNorm, x: Tensor, r: Tensor) -> Tensor:
    """How far the normalised vector moves, before scale and bias, when x moves by at most r."""
    if isinstance(norm, NoNorm):
        return r
    centred = length(x - x.mean(-1, keepdim=True))
    return r / ((centred - r).clamp_min(0).square() / x.shape[-1] + norm.eps).sqrt()


def _largest(moved: Callable[[Tensor], Tensor], allowed: Tensor, x: Tensor) -> Tensor:
    """The largest r with ``moved(r) < allowed``, from below; -1 where there is none."""
    low, high = torch.full_like(allowed, 1e-6), length(x)
    possible = moved(low) < allowed
    for _ in range(BISECTIONS):
        middle = (low * high).sqrt()
        inside = moved(middle) < allowed
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return torch.where(possible, low, -1.0)


def _allowed(model: RecurrentTransformer, constants: Constants, logits: Tensor, rounding: float) -> Tensor:
    """How far the normalised final stream may move at each position."""
    allowed = torch.full((len(logits),), torch.inf, dtype=logits.dtype)
    for part, apart in zip(_by_factor(model, logits), constants.apart, strict=True):
        best = part.argmax(-1, keepdim=True)
        # Both of two logits may be off.
        left = part.gather(-1, best) - part - 2 * rounding
        left = (left / apart[best[:, 0]].clamp_min(1e-12)).scatter(1, best, torch.inf)
        allowed = torch.minimum(allowed, left.amin(-1))
    return allowed
