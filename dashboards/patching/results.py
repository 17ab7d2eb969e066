"""A sweep in progress, and a finished one: heatmap, downloads, and the patched run of the cell clicked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from torch import Tensor

from dashboards import messages
from dashboards.again import run_again
from dashboards.analysis_page import draw_code
from dashboards.charts import chart
from dashboards.computing import reader
from dashboards.downloads import Download, download_row, figures_html
from dashboards.links import node_at, node_links
from dashboards.patching.jobs import Sweep
from dashboards.patching.session import SESSION
from dashboards.patching.snippet import cell_snippet, sweep_command, sweep_snippet
from dashboards.patching.words import cell_sentence, sweep_sentence
from dashboards.runs import with_model
from interp.causal.patched_run_figure import patched_run_figure
from interp.causal.patching import PatchSweep
from interp.causal.patching_figure import patching_figure
from interp.engine.interventions import Recording, SetFrom
from interp.engine.replay import run_interventions
from interp.engine.sites import Site, position_of
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

ENDED, CANCELLED = "patching sweep has ended", "patching sweep cancelled"
_WIDTH = 1060
_DRAWN_LIVE = 4000
"""Sites up to which the heatmap is drawn while the sweep runs."""


@st.fragment(run_every=1.0)
def progress_fragment(sweep: Sweep) -> None:
    """Bar, cancel button and the cells so far; the whole page is run again when the sweep has ended."""
    job = sweep.job
    job.watch(reader())
    if not job.running:
        st.session_state[ENDED] = True
        run_again()
    done, total = sweep.n_done, len(sweep.request.sites)
    left, right = st.columns([6, 1], vertical_alignment="center")
    told = f"{done:,} of {total:,} patched runs: {job.words(sweep.remaining)}"
    messages.progress(done / total, told, left)
    if right.button("Cancel", key="patch_cancel", on_click=_cancel, args=(sweep,), width="stretch"):
        job.wait(1.0)
        st.session_state[ENDED] = True
        st.rerun()
    found = sweep.result()
    if found is not None and total <= _DRAWN_LIVE:
        chart(patching_figure(found, width=_WIDTH), "patch so far", saved=False)


def _cancel(sweep: Sweep) -> None:
    """This reader does not want it any more, before the page asks for it again."""
    sweep.job.leave(reader())
    st.session_state[CANCELLED] = sweep


@st.fragment
def results_fragment(sweep: PatchSweep, n_done: int, clean: Trajectory, corrupt: Trajectory) -> None:
    """The heatmap; a click on a cell draws the patched run below, and reruns nothing else."""
    messages.markdown(sweep_sentence(sweep, n_done))
    figure = patching_figure(sweep, selectable=True, width=_WIDTH)
    _point_out(figure, _first_cell(sweep))
    event: Any = chart(figure, "patch heatmap", on_select="rerun", selection_mode="points")
    points = event["selection"]["points"]
    if points:
        SESSION.update(cell=int(points[0]["customdata"][2]))
    _downloads(sweep)
    view, patched = SESSION.current(), None
    if view.cell is None:
        st.caption("Click a cell to see the run it stands for, beside the clean and the corrupt one.")
    elif view.cell >= len(sweep.sites):
        messages.error(f"There is no cell {view.cell}; this sweep has 0 to {len(sweep.sites) - 1}.")
        SESSION.update(cell=None)
    else:
        patched = _patched(sweep, view.cell, clean, corrupt)
        if patched is not None:
            _show_cell(sweep, view.cell, patched, clean, corrupt)
    nodes = tuple(sweep.nodes) if view.settings.read else None
    code = [sweep_snippet(view, sweep.n_steps, nodes)]
    cell = SESSION.current().cell
    if cell is not None and patched is not None:
        apart = _apart(patched, clean, corrupt)
        code.append(cell_snippet(sweep, cell, apart, first_state(sweep.sites[cell])))
    command = sweep_command(view, sweep, clean.encoded)
    draw_code("\n\n".join(code), command, "The sweep, as a command:")


def first_state(site: Site) -> int:
    """Index of the first state that a patch at the site can change."""
    step = 0 if site.step == "all" else site.step
    return step if site.name == "state" else step + 1


def _show_cell(sweep: PatchSweep, cell: int, patched: Tensor, clean: Trajectory, corrupt: Trajectory) -> None:
    site = sweep.sites[cell]
    messages.markdown(cell_sentence(sweep, cell, patched, clean, corrupt))
    at = position_of(site.pos, clean.encoded)
    if at is not None:
        step = None if site.step == "all" else site.step
        shown = replace(SESSION.current().selected(), step=step)
        node_links("patching", shown, sweep.clean_graph, node_at(clean, at))
    every = st.toggle("Every node, also those that are the same in all three runs", key="patch_every_node")
    nodes = list(range(len(sweep.clean_graph))) if every else _apart(patched, clean, corrupt)
    figure = patched_run_figure(clean, patched, corrupt, _base(sweep), nodes, first_state(site))
    chart(
        figure, "patched run", about="What nodes show after every step of the clean, patched and corrupt run"
    )
    st.download_button(
        "Download the three runs (JSON)",
        lambda: _runs_json(sweep, cell, patched, clean, corrupt),
        file_name="recurlens-patched-run.json",
        mime="application/json",
        on_click="ignore",
    )


def _patched(sweep: PatchSweep, cell: int, clean: Trajectory, corrupt: Trajectory) -> Tensor | None:
    """Int [state, node]: value symbols of the run with the other one's activation put in; None until it is there."""
    base, source = (corrupt, clean) if _base(sweep) == "corrupt" else (clean, corrupt)
    site = sweep.sites[cell]

    def work(model: RecurrentTransformer) -> Tensor:
        into, taken = Recording(model, base), Recording(model, source)
        (replay,) = run_interventions(model, into, [SetFrom(site, taken)], sweep.n_steps, logits_at=None)
        return replay.values

    graphs = (base.encoded.graphs[0], source.encoded.graphs[0])
    about = "running the patched run"
    return with_model(
        "patching cell", SESSION.current().model, "patched", graphs, work, about, site, sweep.n_steps
    )


def _base(sweep: PatchSweep) -> str:
    return "corrupt" if sweep.direction == "denoise" else "clean"


def _apart(patched: Tensor, clean: Trajectory, corrupt: Trajectory) -> list[int]:
    """Nodes that are not the same in all three runs at every step."""
    apart = (clean.values[:, 0] != corrupt.values[:, 0]) | (patched != clean.values[:, 0])
    return [int(node) for node in apart.any(0).nonzero().flatten()]


def _first_cell(sweep: PatchSweep) -> int | None:
    """The cell that was open when this sweep was first drawn, so that a click does not draw the heatmap anew."""
    now = (sweep.clean_graph, sweep.corrupt_graph, sweep.metric, sweep.direction, sweep.nodes, sweep.sites)
    drawn: tuple[object, int | None] | None = st.session_state.get("patching drawn")
    if drawn is None or drawn[0] != now:
        st.session_state["patching drawn"] = drawn = (now, SESSION.current().cell)
    return drawn[1]


def _point_out(figure: go.Figure, cell: int | None) -> None:
    """Show a cell as selected, as a click would, or the block that it is part of."""
    traces: Any = figure.select_traces(selector={"name": "cells"})
    for trace in traces:
        held = trace.meta or [[point[2]] for point in trace.customdata]
        found = [place for place, sites in enumerate(held) if cell in sites]
        if found:
            trace.selectedpoints = found


def _downloads(sweep: PatchSweep) -> None:
    model = SESSION.current().model
    download_row(
        [
            Download("Table (CSV)", "recurlens-patching.csv", lambda: sweep.to_frame().to_csv(index=False)),
            Download("Sweep (JSON)", "recurlens-patching.json", lambda: sweep_json(model, sweep)),
            Download(
                "Figure (HTML)",
                "recurlens-patching.html",
                lambda: figures_html("Patching", [patching_figure(sweep)]),
            ),
        ]
    )


def sweep_json(model: str, sweep: PatchSweep) -> str:
    """The sweep as JSON text: the pair, what was measured, and one record a site."""
    records = json.loads(str(sweep.to_frame().to_json(orient="records", double_precision=15)))
    data = {
        "format": "recurlens.patching.1",
        "model": model,
        "clean_graph": sweep.clean_graph.equations,
        "corrupt_graph": sweep.corrupt_graph.equations,
        "metric": sweep.metric,
        "direction": sweep.direction,
        "nodes": [sweep.clean_graph.nodes[node].name for node in sweep.nodes],
        "n_steps": sweep.n_steps,
        "clean": sweep.clean,
        "corrupt": sweep.corrupt,
        "sites": records,
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _runs_json(sweep: PatchSweep, cell: int, patched: Tensor, clean: Trajectory, corrupt: Trajectory) -> str:
    symbols = clean.vocabulary.symbols("value")
    values = {"clean": clean.values[:, 0], "patched": patched, "corrupt": corrupt.values[:, 0]}
    nodes = []
    for index, node in enumerate(sweep.clean_graph.nodes):
        own = {name: [symbols[int(code)] for code in run[:, index]] for name, run in values.items()}
        nodes.append({"name": node.name} | own)
    site = sweep.sites[cell].to_dict()
    data = {"format": "recurlens.patched-run.1", "site": site, "direction": sweep.direction, "nodes": nodes}
    return json.dumps(data, indent=1) + "\n"
