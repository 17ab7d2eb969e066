"""Sparse steps against dense ones: how often states differ, what is skipped, and how tight the bound is.

    python -m analyses.benchmarks.certificates [--comparisons 1000000] [--nodes 16] [--json FILE] [--figure FILE]

Interventions of all kinds (patches, zero, mean and resample ablations, codes) on pairs of graphs of 16 and 32 nodes,
each replayed with ``exact="states"`` and with ``exact="dense"``. A comparison is one position of one state after the
intervention. `skipped` is the share of the positions behind a change that were not computed, by steps since the change:
0 is the step that is written in. `bound / move` is how far the bound on the movement of ``resid_mid`` in the last layer
is above the movement itself, at the later positions of patches of that layer's ``resid_pre``."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

import plotly.graph_objects as go
import torch
import typer
from torch import Tensor

from analyses.export import write_html, write_png
from analyses.options import writable
from interp import make_pair
from interp.causal.metrics import Answer, answered, measure
from interp.causal.patching import record_pair
from interp.engine.following import BaseRun
from interp.engine.interventions import (
    Intervention,
    MeanAblate,
    Recording,
    ResampleAblate,
    SetCode,
    SetFrom,
    ZeroAblate,
)
from interp.engine.replay import run_interventions
from interp.engine.sites import Site
from interp.engine.sparse.step import LEAST, SparseSteps
from interp.engine.sparse.tally import Tally
from interp.figures.template import make_figure
from models import ComputationGraph, RecurrentTransformer, load
from models.files import write_text
from models.loading import config
from models.snapshots import snapshots

SIZES = (16, 32)
SITES = ("resid_pre", "q", "k", "v", "z", "attn_out", "resid_mid", "mlp_post", "mlp_out", "resid_post")
SINCE = 6
COLOURS = ("#222222", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#999999")
"""One for each model (Okabe and Ito 2008)."""


def untrained() -> RecurrentTransformer:
    """What `discrete-corrected` was before training, with another seed."""
    return RecurrentTransformer(replace(config("discrete-corrected"), seed=1)).eval()


MODELS: dict[str, Callable[[], RecurrentTransformer]] = {
    "compiled": lambda: load("compiled"),
    "discrete-corrected": lambda: load("discrete-corrected"),
    "discrete-corrected-mixed": lambda: load("discrete-corrected-mixed"),
    "discrete": lambda: load("discrete"),
    "snapshot of update 188": lambda: next(
        model for update, model in snapshots("discrete-corrected") if update == 188
    ),
    "untrained": untrained,
}


@dataclass
class Row:
    """One model and size. ``skipped``: by steps since the change. ``tightness``: bound over movement, median and
    largest. ``fell_back``: share of the steps a certificate was tried on and that were computed densely. ``shortened``:
    share of the positions behind changed codes, in the steps that were computed from the base run's, that were left
    before the last MLP. ``updated``: how many such steps.
    """

    model: str
    nodes: int
    comparisons: int
    differing: int
    effect: float
    skipped: list[float]
    tightness: tuple[float, float]
    fell_back: float
    shortened: float = float("nan")
    updated: int = 0


def drawn(
    model: RecurrentTransformer, base: Recording, source: Recording, step: int, count: int, seed: int
) -> list[Intervention]:
    """Interventions at one step, of all kinds, at places drawn at random."""
    generator = torch.Generator().manual_seed(seed)

    def one_of(n: int) -> int:
        return int(torch.randint(n, (1,), generator=generator))

    n, cfg, given = int(base.encoded.mask.sum()), model.cfg, list[Intervention]()
    for number in range(count):
        name = SITES[one_of(len(SITES))]
        head = one_of(cfg.n_heads) if name in ("q", "k", "v", "z") else None
        site = Site(name, step, one_of(cfg.n_layers), one_of(n), head)
        kinds: list[Intervention] = [
            SetFrom(site, source),
            SetFrom(site, source),
            ZeroAblate(site),
            MeanAblate(site, base),
            ResampleAblate(site, base, number),
            SetCode(step, f"rhs:{one_of(len(base.graph))}", "value", one_of(cfg.modulus)),
        ]
        given.append(kinds[number % len(kinds)])
    return given


def compared(model: RecurrentTransformer, name: str, nodes: int, comparisons: int, seed: int) -> Row:
    """Sparse and dense replays of one pair of graphs."""
    pair = make_pair(ComputationGraph.sample(nodes, ops=model.vocabulary.ops, seed=seed), "leaf-value", seed)
    source, base = record_pair(model, pair.clean, pair.corrupt, max(4, min(10, nodes)))
    n_steps, n = base.n_steps, int(base.encoded.mask.sum())
    starts = [*range(0, n_steps - 1, 2), n_steps - 1]
    # Fewer in one step would not be worth a certificate, and be replayed densely.
    count = max(4 * LEAST, -(-comparisons // (n * sum(n_steps - start for start in starts))))
    runs = source.trajectory, base.trajectory
    answer = Answer.of(*runs, answered(*runs, n_steps), n_steps)
    gap = _gap(model, (source, base), answer, n_steps) if len(answer.nodes) else 0.0
    row, of_all = Row(name, nodes, 0, 0, 0.0, [], (0.0, 0.0), 0.0), Tally()
    behind, computed = torch.zeros(SINCE), torch.zeros(SINCE)
    for start in starts:
        given = drawn(model, base, source, start, count, seed + start)
        tally = Tally()
        sparse = run_interventions(model, base, given, n_steps, tally=tally)
        dense = run_interventions(model, base, given, n_steps, exact="dense")
        for ours, reference in zip(sparse, dense, strict=True):
            apart = (ours.states[start + 1 :] != reference.states[start + 1 :]).any(-1)
            row.comparisons += apart.numel()
            row.differing += int(apart.sum())
            if gap:
                effects = [measure("logit_diff", run, answer) for run in (ours, reference)]
                row.effect = max(row.effect, abs(effects[0] - effects[1]) / gap)
        row_positions = sum(n - _position(one, base) for one in given)
        for since in range(min(SINCE, n_steps - start)):
            behind[since] += row_positions
            computed[since] += tally.by_step.get(start + since, 0)
        of_all += tally
    row.skipped = cast(Any, 1 - computed / behind).tolist()
    row.tightness = tightness(model, base, source)
    tried = of_all.certified + of_all.updated + of_all.fell_back
    row.fell_back = of_all.fell_back / tried if tried else float("nan")
    row.updated = of_all.updated
    if of_all.updated:
        row.shortened = 1 - of_all.updated_computed / of_all.updated_positions
    return row


def _gap(
    model: RecurrentTransformer, runs: tuple[Recording, Recording], answer: Answer, n_steps: int
) -> float:
    ends = [measure("logit_diff", next(run_interventions(model, run, [()], n_steps)), answer) for run in runs]
    return abs(ends[0] - ends[1])


def _position(given: Intervention, base: Recording) -> int:
    pos = given.site.pos
    return pos if isinstance(pos, int) else int(base.encoded.rhs[0, int(pos.split(":")[1])])


@torch.no_grad()
def tightness(model: RecurrentTransformer, base: Recording, source: Recording) -> tuple[float, float]:
    """Bound over movement of ``resid_mid``, median and largest, at positions that move by more than rounding."""
    layer, step = model.cfg.n_layers - 1, min(2, base.n_steps - 1)
    prepared = SparseSteps(BaseRun.of(model, base, base.n_steps), "states", Tally()).prepared.step(step)
    attention, attn = prepared.attention, model.layers[layer].attn
    n, ratios = len(prepared.resid), list[Tensor]()
    k, v = (source.activation(f"blocks.{layer}.attn.hook_{name}", step) for name in "kv")
    for key in range(0, n - 1, 4):
        at, later = torch.tensor([key]), torch.arange(key + 1, n)
        weights = attention.weights(at, k[at], key + 1)
        moves = attention.moves(at, v[at], weights, key + 1, prepared.certificate.slack)[:, 0]
        bound = prepared.heads @ moves
        many = later * 0 + key
        z = attention.attend_scaled(
            attention.q[:, later].transpose(0, 1),
            later,
            *(part[many, None] for part in (torch.arange(n), k, v)),
        )
        moved = (z.transpose(0, 1) - attention.z[:, later]).transpose(0, 1).flatten(1)
        moved = torch.linalg.vector_norm(moved @ attn.W_O.flatten(0, 1), dim=-1)
        ratios.append((bound / moved)[moved > 1e-4])
    found = torch.cat(ratios)
    return (float(found.median()), float(found.max())) if len(found) else (float("nan"), float("nan"))


def figure(rows: Sequence[Row], nodes: int) -> go.Figure:
    """Share of positions that are not computed, by steps since the change, a line per model."""
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": row.model,
            "x": list(range(len(row.skipped))),
            "y": row.skipped,
        }
        for row in rows
        if row.nodes == nodes
    ]
    layout = {
        "colorway": list(COLOURS),
        "margin": {"t": 90},
        "title": {
            "text": "Positions that need not be computed",
            "subtitle": {"text": f"{nodes} nodes, interventions of all kinds, exact='states'"},
        },
        "xaxis": {"title": {"text": "steps since the change"}, "dtick": 1},
        "yaxis": {
            "title": {"text": "share of the positions behind it"},
            "tickformat": ".0%",
            "range": [0, 1.02],
        },
    }
    return make_figure(lines, layout)


def main(
    comparisons: Annotated[int, typer.Option(min=1000, help="Of all models and sizes together.")] = 1_000_000,
    json: Annotated[Path | None, typer.Option(help="Where to write the table.", callback=writable)] = None,
    drawing: Annotated[
        Path | None, typer.Option("--figure", help="Where to draw it (HTML or PNG).", callback=writable)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of graphs and places.")] = 0,
    sizes: Annotated[list[int] | None, typer.Option("--nodes", min=8, help="Of the graphs.")] = None,
) -> None:
    """Compare and print; see the module's text."""
    rows: list[Row] = []
    print(
        "model                      nodes  compared  differ  effects   fell back  bound/move  largest  shortened  "
        "skipped by step"
    )
    for name, make in MODELS.items():
        model = make()
        for nodes in sizes or SIZES:
            row = compared(model, name, nodes, -(-comparisons // (len(MODELS) * len(sizes or SIZES))), seed)
            rows.append(row)
            shares = " ".join(f"{share:5.1%}" for share in row.skipped)
            print(
                f"{name:<26} {nodes:5} {row.comparisons:9} {row.differing:7} {row.effect:8.1e} {row.fell_back:10.1%} "
                f"{row.tightness[0]:11.2f} {row.tightness[1]:8.1f} {row.shortened:10.1%}  {shares}",
                flush=True,
            )
    print(f"{sum(row.comparisons for row in rows)} comparisons, {sum(row.differing for row in rows)} differ")
    if json is not None:
        write_text(json, json_text.dumps([asdict(row) for row in rows], indent=2) + "\n")
    if drawing is not None:
        picture = figure(rows, max(sizes or SIZES))
        if drawing.suffix == ".html":
            write_html(picture, drawing)
        elif problem := write_png(picture, drawing):
            print(problem)


if __name__ == "__main__":
    typer.run(main)
