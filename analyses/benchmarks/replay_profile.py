"""What a patch sweep's time goes to, beside the arithmetic that cannot be avoided.

    python -m analyses.benchmarks.replay_profile [--model discrete-corrected] [--nodes 32]

Every 4th site of `resid_pre` and every 8th of `z`. Parts are told apart by the functions that do them, in one profiled
sweep (a profile makes calls dearer, so parts made of many small calls look larger than they are). The arithmetic is
counted in another one, by torch's own counter, as multiplications and additions, and given as the time that it takes at
the rate of the largest product in the model, [4096, d_model] with W_in, which is measured beside it. "At the positions
computed" leaves out what finds out which these are, base runs, and all that is computed in vain."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Annotated, Any, cast

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from analyses.benchmarks.patching import Case
from interp.causal.patching import patch_sweep
from interp.engine.sites import Site
from interp.engine.sparse.tally import Tally
from models import RecurrentTransformer, load

EVERY = {"resid_pre": 4, "z": 8}

PARTS = {
    "edits: where, and which values": ("interventions.py", "edits_of"),
    "unchanged values found": ("unchanged.py", "unchanged"),
    "base run's attention and certificates": ("prepared.py", "step"),
    "rounding of whole steps": ("prepared.py", "through"),
    "one changed key": ("step.py", "_chunk"),
    "changed at its position alone": ("step.py", "_local"),
    "other codes, several places": ("step.py", "_others"),
    "dense steps": ("following.py", "evaluate_items"),
    "base runs and recording": ("interventions.py", "keep"),
    "metric": ("metrics.py", "measure"),
}
"""Part -> (file, function) whose time, with all it calls, is the part's. None of them calls another."""


def profiled(function: Callable[[], Any]) -> tuple[dict[str, float], float]:
    """Seconds of each of :data:`PARTS`, and of all."""
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    function()
    profile.disable()
    stats = cast(Any, pstats.Stats(profile))
    seconds = dict.fromkeys(PARTS, 0.0)
    for (path, _, name), row in stats.stats.items():
        for part, (file, wanted) in PARTS.items():
            if name == wanted and path.endswith(f"/{file}") and "/interp/" in path:
                seconds[part] += row[3]
    return seconds, stats.total_tt


def rate(model: RecurrentTransformer) -> float:
    """Multiplications and additions in a second, of the largest product."""
    weight = model.layers[0].mlp.W_in
    rows = torch.randn(4096, len(weight))
    torch.mm(rows, weight)
    start, count = time.process_time(), 20
    for _ in range(count):
        torch.mm(rows, weight)
    return 2 * rows.numel() * weight.shape[1] * count / (time.process_time() - start)


def for_a_position(model: RecurrentTransformer, n: int, whole: bool) -> float:
    """Multiplications and additions of one position: of the whole step, or of the last layer's queries, output, MLP and
    readout alone. Attention is to half of the n positions.
    """
    cfg = model.cfg
    wide, mlp = cfg.n_heads * cfg.d_head, model.layers[0].mlp.W_in.numel() * 2
    query = cfg.d_model * wide * 2 + n * wide
    readout = model.unembed.W_U.numel()
    if whole:
        return 2 * (cfg.n_layers * (2 * cfg.d_model * wide + query + mlp) + readout)
    return 2 * (query + mlp + readout)


def study(model: RecurrentTransformer, nodes: int, name: str, seed: int = 0) -> None:
    """Print one sweep's parts."""
    case = Case(model, nodes, seed, 1)
    sites: list[Site] = case.sites[name][:: EVERY[name]]

    def sweep(tally: Tally | None = None) -> None:
        patch_sweep(
            model, case.clean, case.corrupt, sites, nodes=case.nodes, n_steps=case.n_steps, tally=tally
        )

    sweep()
    start, tally = time.process_time(), Tally()
    sweep(tally)
    took = time.process_time() - start
    seconds, total = profiled(sweep)
    with FlopCounterMode(display=False) as counter:
        sweep()
    fastest, n = rate(model), int(case.base.encoded.mask.sum())
    dense = tally.dense_positions + tally.updated_positions
    least = tally.computed * for_a_position(model, n, False) + dense * for_a_position(model, n, True)
    print(
        f"{name}: {len(sites)} sites of {nodes} nodes, {took:.2f} s, {1e3 * took / len(sites):.3f} ms per site"
    )
    print(f"  {tally}")
    for part, each in seconds.items():
        print(f"  {part:<40} {each / total:6.1%}")
    print(f"  {'all else':<40} {1 - sum(seconds.values()) / total:6.1%}")
    for what, operations in (
        ("all arithmetic", counter.get_total_flops()),
        ("at the positions computed", least),
    ):
        share = f"{operations / fastest / took:6.1%} of the time"
        print(f"  {what:<40} {share} ({operations / 1e9:.1f}e9 at {fastest / 1e9:.0f}e9 a second)")


def main(
    model: Annotated[str, typer.Option(help="Name or path.")] = "discrete-corrected",
    nodes: Annotated[int, typer.Option(min=8, help="Of the graphs.")] = 32,
) -> None:
    """Measure and print; see the module's text."""
    torch.set_num_threads(1)
    loaded = load(model)
    for name in EVERY:
        study(loaded, nodes, name)


if __name__ == "__main__":
    typer.run(main)
