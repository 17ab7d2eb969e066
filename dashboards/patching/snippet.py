"""The lines of Python that draw what the page shows, ready to be pasted into a notebook, and the command that measures
it.
"""

from __future__ import annotations

from analyses.catalogue.patching import PATCHING
from analyses.patching import TOGETHER
from dashboards.analysis_page import command_line
from dashboards.own_models import written
from dashboards.patching.view import View
from interp.causal.metric_records import METRICS
from interp.causal.patching import PatchSweep
from interp.engine.sites import PER_HEAD, position_of
from models.vocabulary import EncodedGraphs


def sweep_snippet(view: View, n_steps: int, nodes: tuple[int, ...] | None) -> str:
    """Code of the pair, the sweep and the heatmap."""
    settings = view.settings
    by_head = settings.columns == "head"
    steps = (
        "range(n_steps)"
        if settings.rows == "step"
        else repr(["all" if settings.step is None else settings.step])
    )
    layers = repr("all") if settings.rows == "layer" else repr([settings.layer])
    grid = (
        f"Site.grid(model, pair.clean, {settings.site!r}, step={steps}, layer={layers}, pos={settings.pos!r}, "
        f"head={'all' if by_head else None!r}, n_steps=n_steps)"
    )
    options = f"metric={settings.metric!r}, direction={settings.direction!r}, nodes={nodes}, n_steps=n_steps"
    return "\n".join(
        [
            "from interp.causal.patching_figure import patching_figure",
            "from interp.causal.pairs import Pair, make_pair",
            "from interp.causal.patching import patch_sweep",
            "from interp.engine.sites import Site",
            "from models import ComputationGraph, load",
            "",
            f"model = load({written(view.model)!r})",
            *_own_metric(settings.metric),
            *_pair(view),
            f"n_steps = {n_steps}",
            f"sites = {grid}",
            f"sweep = patch_sweep(model, pair.clean, pair.corrupt, sites, {options})",
            "patching_figure(sweep).show()",
        ]
    )


def sweep_command(view: View, sweep: PatchSweep, encoded: EncodedGraphs) -> str:
    """The command whose table has the same patches with the same effects; encoded: of the clean graph."""
    settings = view.settings
    by_head = settings.columns == "head"
    if view.clean is None or view.corrupt is None:
        graphs = f"--n-nodes {view.n} --seed {view.seed} --ops {','.join(view.ops)}"
        pair = {"pair_kind": view.kind, "node": view.node}
    else:
        graphs = ""
        pair = {"clean": sweep.clean_graph.to_text(), "corrupt": sweep.corrupt_graph.to_text()}
    pos = settings.pos
    if by_head:
        pos = TOGETHER if pos == "all" else str(position_of(pos, encoded))
    options = {
        "sites": [settings.site],
        "step": "all" if settings.rows == "step" else TOGETHER if settings.step is None else settings.step,
        "layer": "all" if settings.rows == "layer" else settings.layer,
        "head": "all" if by_head or settings.site not in PER_HEAD else TOGETHER,
        "pos": pos,
        "metric": METRICS[settings.metric].source or settings.metric,
        "nodes": settings.read,
        "direction": settings.direction,
        "n_steps": sweep.n_steps,
    }
    return command_line(PATCHING, view.model, pair | options, graphs)


def cell_snippet(sweep: PatchSweep, index: int, nodes: list[int], state: int) -> str:
    """Code of the patched run, to follow that of the sweep."""
    base, source = ("corrupt", "clean") if sweep.direction == "denoise" else ("clean", "corrupt")
    return "\n".join(
        [
            "from interp.causal.patched_run_figure import patched_run_figure",
            "from interp.engine.interventions import SetFrom, record",
            "from interp.engine.replay import run_interventions",
            "",
            "clean, corrupt = (record(model, graph, n_steps) for graph in (pair.clean, pair.corrupt))",
            f"patch = SetFrom(sites[{index}], {source})  # {sweep.sites[index]}",
            f"(patched,) = run_interventions(model, {base}, [patch], n_steps)",
            "patched_run_figure(",
            f"    clean.trajectory, patched.values, corrupt.trajectory, base={base!r}, nodes={nodes}, state={state}",
            ").show()",
        ]
    )


def _own_metric(name: str) -> list[str]:
    """What makes a reader's own metric known."""
    source = METRICS[name].source
    return ["from analyses.own_metric import metric_name", f"metric_name({source!r})"] if source else []


def _pair(view: View) -> list[str]:
    if view.clean is None or view.corrupt is None:
        sample = f"ComputationGraph.sample(n_nodes={view.n}, seed={view.seed}, ops={view.ops})"
        arguments = f"{view.kind!r}, seed={view.seed}, node={view.node!r}, ops={view.ops}"
        return [f"pair = make_pair({sample}, {arguments})"]
    return [
        f"clean = ComputationGraph.parse({view.clean!r})",
        f"corrupt = ComputationGraph.parse({view.corrupt!r})",
        f"pair = Pair(clean, corrupt, {view.pair().kind!r})",
    ]
