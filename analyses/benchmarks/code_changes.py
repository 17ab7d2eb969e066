"""How loose bounds become when a code has changed, and what following such steps from the base run saves.

    python -m analyses.benchmarks.code_changes [--model discrete-corrected] [--nodes 32] [--step 3]

One value is changed at each right-hand side in turn. Every position whose ``resid_mid`` in the first layer is bounded
by ``--threshold`` is left to bounds, the others are taken as known, and the bounds go through the step as those of
:mod:`interp.engine.sparse` do, with what attention adds in later layers: with ``r`` a bound on how far a normalised
stream moves, a score moves by at most ``a = |q| |K| r_key + |Q| r_query |k - k_mean|`` (matrices by their spectral
norms, k_mean the mean of the keys under the pattern), z by ``sum_j p_j a_j |v_j - z|`` to first order, and by
``sum_j p_j |V| r_j`` through the values. Second-order terms are left out, so that what is printed flatters the bounds.
Printed is the median bound, the median movement and their ratio, by layer, part and head.

The last lines are processor time of one thread: the same steps computed densely, and from the base run's up to the last
MLP (:mod:`interp.engine.sparse.updates`), an item each; how many positions are left before that MLP; and what has to be
made once of a step for that."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, cast

import torch
import typer
from torch import Tensor

from interp import record
from interp.engine.following import BaseRun, Item, evaluate_items
from interp.engine.sparse.attention import BaseAttention
from interp.engine.sparse.step import SparseSteps
from interp.engine.sparse.tally import Tally
from models import ComputationGraph, RecurrentTransformer, load
from models.norm import LayerNorm, NoNorm, folded

PARTS = ("attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_z", "hook_resid_pre", "hook_resid_mid")
AFTER = ("mlp.hook_pre", "hook_mlp_out", "hook_resid_post")


def length(vectors: Tensor) -> Tensor:
    """Norms over the last axis."""
    return torch.linalg.vector_norm(vectors, dim=-1)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def largest(matrices: Tensor) -> Tensor:
    """Spectral norms [head] of [head, row, column]."""
    return cast(Tensor, cast(Any, torch.linalg).matrix_norm(matrices, 2))


def through(norm: LayerNorm | NoNorm, x: Tensor, r: Tensor) -> Tensor:
    """As in :mod:`interp.engine.sparse.certificate`."""
    if isinstance(norm, NoNorm):
        return r
    centred = length(x - x.mean(-1, keepdim=True))
    return r / ((centred - r).clamp_min(0).square() / x.shape[-1] + norm.eps).sqrt()


def activations(model: RecurrentTransformer, states: Tensor) -> dict[str, Tensor]:
    """What the hook points of a step saw, by name, for states [run, pos, factor]."""
    seen: dict[str, Tensor] = {}

    def keep(activation: Tensor, hook: Any) -> None:
        seen[hook.plain_name] = activation

    names = [f"steps.0.blocks.{i}.{name}" for i in range(model.cfg.n_layers) for name in (*PARTS, *AFTER)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model.transition(states, 0)
    return seen


@torch.no_grad()
def study(model: RecurrentTransformer, nodes: int, step: int, threshold: float) -> None:
    """Print the table of one graph."""
    run = model.run(ComputationGraph.sample(nodes, ops=model.vocabulary.ops, seed=3))
    state, rhs = run.states[min(step, run.n_steps - 1), 0], run.encoded.rhs[0]
    changed = state.repeat(len(rhs), 1, 1)
    rows = torch.arange(len(rhs))
    changed[rows, rhs, 3] = (changed[rows, rhs, 3] + 3) % model.vocabulary.modulus
    seen = activations(model, torch.cat([state[None], changed]))
    n = state.shape[0]
    later = torch.arange(n) > rhs[:, None]
    known = torch.arange(n) == rhs[:, None]
    r_stream = torch.zeros(len(rhs), n)

    def line(what: str, bound: Tensor, moved: Tensor) -> None:
        left = later & ~known
        if left.any():
            pair = float(bound[left].median()), float(moved[left].median())
            print(f"  {what:<34} {pair[0]:10.3g} {pair[1]:10.3g} {pair[0] / max(pair[1], 1e-12):10.3g}")

    print("                                          bound   movement      ratio")
    for layer, block in enumerate(model.layers):
        attn = block.attn

        def of(name: str, layer: int = layer) -> Tensor:
            return seen[f"blocks.{layer}.{name}"]

        base = BaseAttention.of(attn, *(of(f"attn.hook_{part}")[0] for part in "qkv"))
        r = through(block.ln1, of("hook_resid_pre")[0], r_stream) * ~known
        W_Q, W_K = (largest(folded(block.ln1, weight).float()) for weight in (attn.W_Q, attn.W_K))
        W_O, OV = largest(attn.W_O), largest(folded(block.ln1, attn.W_V).float() @ attn.W_O)
        pattern = base.pattern
        spread = pattern * base.spread
        keys = torch.cdist(base.k, pattern.transpose(-1, -2) @ base.k)
        by_key = length(base.q)[:, None] * W_K[:, None, None] * torch.einsum("hkq,ik->hiq", spread, r)
        by_query = (spread * keys).sum(1)[:, None] * base.scale * W_Q[:, None, None] * r
        by_value = OV[:, None, None] * torch.einsum("hkq,ik->hiq", pattern, r)
        exact = torch.zeros_like(by_key)
        for row in rows:
            at = known[row].nonzero().flatten()
            k, v = (of(f"attn.hook_{part}")[row + 1, at] for part in "kv")
            exact[:, row] = base.moves(at, v, base.weights(at, k, 0), 0, 0.0).sum(1)
        heads = W_O[:, None, None] * (exact + by_key + by_query) + by_value
        moves = (of("attn.hook_z")[1:] - of("attn.hook_z")[:1]).transpose(1, 2)
        moved = length(torch.einsum("ihqd,hdm->ihqm", moves, attn.W_O))
        for head in range(len(heads)):
            line(f"layer {layer}, head {head}", heads[head], moved[:, head])
        middle = r_stream + heads.sum(0)
        line(f"layer {layer}, resid_mid", middle, length(of("hook_resid_mid")[1:] - of("hook_resid_mid")[:1]))
        if layer < model.cfg.n_layers - 1:
            known = known | (middle > threshold) & later
        pre, mlp = of("mlp.hook_pre")[0], block.mlp
        read, write = folded(block.ln2, mlp.W_in).float(), mlp.W_out
        on = (pre > 0).float()
        linear = ((on @ ((read.T @ read) * (write @ write.T))) * on).sum(-1).clamp_min(0).sqrt()
        t = through(block.ln2, of("hook_resid_mid")[0], middle)
        beyond = (t[..., None] * length(read.T) - pre.abs()).clamp_min(0) @ length(write)
        out = linear * t + beyond
        line(f"layer {layer}, MLP", out, length(of("hook_mlp_out")[1:] - of("hook_mlp_out")[:1]))
        r_stream = torch.where(known, 0.0, middle + out)
        print(f"  layer {layer}: taken as known {float(known[later].float().mean()):.1%}")


@torch.no_grad()
def gained(model: RecurrentTransformer, nodes: int, step: int) -> None:
    """Print what it takes to follow one changed value at each right-hand side."""
    run = record(model, ComputationGraph.sample(nodes, ops=model.vocabulary.ops, seed=3))
    step, tally = min(step, run.n_steps - 1), Tally()
    base = BaseRun.of(model, run, run.n_steps)
    items: list[Item] = []
    for pos in run.encoded.rhs[0].tolist():
        state = base.states[step].clone()
        state[pos, 3] = (state[pos, 3] + 3) % model.vocabulary.modulus
        items.append(Item(model.vocabulary.pack(state), ()))

    def least(function: Callable[[], Any], turns: int = 3) -> float:
        taken: list[float] = []
        for _ in range(turns):
            start = time.process_time()
            function()
            taken.append(1e3 * (time.process_time() - start))
        return min(taken)

    steps = SparseSteps(base, "states", tally)
    made = least(lambda: (steps.prepared.step(step), steps.prepared.through(step)), turns=1)
    made += sum(
        least(partial(steps.prepared.attention, step, layer), 1) for layer in range(model.cfg.n_layers)
    )
    updated = least(lambda: steps.evaluate(step, items, 4096, None)) / len(items)
    dense = least(lambda: evaluate_items(base, step, items, 4096)) / len(items)
    left = 1 - tally.updated_computed / max(1, tally.updated_positions)
    print(
        f"{dense:.2f} ms an item densely, {updated:.2f} from the base run, which leaves {left:.0%} before the last MLP"
    )
    print(f"{made:.0f} ms to prepare the step")


def main(
    model: Annotated[str, typer.Option(help="Name or path.")] = "discrete-corrected",
    nodes: Annotated[int, typer.Option(min=8, help="Of the graph.")] = 32,
    step: Annotated[int, typer.Option(min=0, help="Which step's entering state is changed.")] = 3,
    threshold: Annotated[float, typer.Option(min=0, help="Bound on resid_mid of the first layer.")] = 0.1,
) -> None:
    """Measure and print; see the module's text."""
    torch.set_num_threads(1)
    loaded = load(model)
    study(loaded, nodes, step, threshold)
    gained(loaded, nodes, step)


if __name__ == "__main__":
    typer.run(main)
