"""The run as it is played, an edit of it, and what every node shows after every step; rerun alone."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from analyses.run_file import run_json
from dashboards import messages
from dashboards.analysis_page import draw_code
from dashboards.charts import chart
from dashboards.links import node_at, node_links
from dashboards.player.component import Change, Place, player
from dashboards.player.standalone import standalone_page
from dashboards.saving.menu import save_menu
from dashboards.trajectory.edit import chosen_edit, forget_edit, show_edit, shown_frame, take_edit
from dashboards.trajectory.session import SESSION
from dashboards.trajectory.snippet import run_command, run_snippet
from dashboards.trajectory.view import ORIGINAL, View
from interp.causal.beside_control import BesideControl
from interp.figures.cells import with_cells
from interp.figures.scene import scene_of
from interp.figures.trajectory import trajectory_figure
from models.graph import ComputationGraph
from models.trajectory import Trajectory
from models.vocabulary import FACTORS

VALUES = "What every node shows after every step"


@st.fragment
def run_fragment(run: Trajectory, graph: ComputationGraph) -> None:
    """Player, heatmap and edit of a run; a move in the player reruns nothing else."""
    top, below = st.container(), st.container()
    with below:
        edited = chosen_edit(run, graph)
    view = SESSION.settle(**_place(SESSION.current(), run))
    with top:
        _play(run, view, edited)
        node_links("home", view.selected(), graph, view.node or 0)
        messages.markdown("**{what}**", what=VALUES)
        figure = with_cells(trajectory_figure(run))
        chart(figure, "heatmap", about=VALUES, on_select=lambda: _go_to_cell(run), selection_mode="points")
        st.caption("Click a cell to go to its step and node.")
        st.download_button(
            "Download the run (JSON)",
            lambda: run_json(run, view.model, replace(view, edit=None).to_params()),
            file_name="recurlens-run.json",
            mime="application/json",
            on_click="ignore",
        )
        draw_code(run_snippet(view, view.state or 0), run_command(view), "The run, as a command:")
    if edited is not None:
        with below:
            show_edit(edited)


def _place(view: View, run: Trajectory) -> dict[str, int]:
    """State and position of a view; the last ones where it has none."""
    last, last_at = len(run.states) - 1, int(run.encoded.rhs[0, -1])
    at = last_at if view.at is None or view.at >= run.states.shape[2] else view.at
    return {"state": last if view.state is None else view.state, "at": at, "node": node_at(run, at)}


def _go_to_cell(run: Trajectory) -> None:
    """Go to the step and the node of the cell of the heatmap that was clicked."""
    points = st.session_state["heatmap"]["selection"]["points"]
    if points:
        node, state = int(points[0]["x"]), int(points[0]["y"])
        SESSION.update(state=state, node=node, at=int(run.encoded.rhs[0, node]))


def _play(run: Trajectory, view: View, edited: BesideControl | None) -> None:
    def moved(place: Place) -> None:
        shown = place.shown if edited is not None else view.shown
        SESSION.update(state=place.step, at=place.at, node=node_at(run, place.at), shown=shown)

    def changed(change: Change | None) -> None:
        if change is None:
            forget_edit()
        else:
            take_edit(run, change)

    shown = ORIGINAL if edited is None else view.shown
    place = Place(view.state or 0, view.at or 0, shown)
    scene = (
        scene_of(run)
        if edited is None
        else scene_of(run, edited_at=edited.since, control=edited.control, edited=edited.run)
    )
    player(scene, place, "player", FACTORS, moved, changed)
    save_menu(
        "player",
        html=lambda: standalone_page("A run of the graph", scene, place),
        csv=lambda: shown_frame(run, edited).to_csv(index=False),
        json=(run if edited is None else edited.run).to_json,
    )
