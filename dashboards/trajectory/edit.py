"""The part that overwrites one symbol and follows what it changes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analyses.run_file import run_json
from dashboards import messages
from dashboards.charts import chart
from dashboards.player.component import Change
from dashboards.runs import with_model
from dashboards.trajectory.session import EDIT_KEYS, SESSION
from dashboards.trajectory.snippet import edit_snippet
from dashboards.trajectory.view import EDITED, Edit
from dashboards.trajectory.words import control_sentence, overwrite_sentence, spans
from interp.causal.overwrite import Overwrite, OverwrittenRun, overwrite_value
from interp.figures.template import state_label
from interp.figures.trajectory import trajectory_figure
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory


def chosen_edit(run: Trajectory, graph: ComputationGraph) -> OverwrittenRun | None:
    """Boxes to overwrite the value of a node after a step, and the run that follows; None until it is there.

    A symbol that was changed in the player is kept as it is.
    """
    st.toggle("Overwrite a value and let the run go on", key="overwriting")
    if not st.session_state["overwriting"]:
        SESSION.update(edit=None, shown=EDITED)
        return None
    given = SESSION.current().edit
    edit = _choose_edit(run) if given is None or given.node_of(run) is not None else given
    SESSION.update(edit=edit)
    return _follow(run, graph, edit.resolved(run))


def take_edit(run: Trajectory, change: Change) -> None:
    """Make a change that was asked for in the player the edit of the view."""
    state = min(change.step, len(run.states) - 1)
    edit = Edit.of(run, change.at, state, change.factor, change.symbol)
    _fill(edit, state=state, at=change.at)


def forget_edit() -> None:
    """The view without its edit."""
    _fill(None)


def _fill(edit: Edit | None, **changes: int) -> None:
    SESSION.update(edit=edit, shown=EDITED, **changes)
    st.session_state["overwriting"] = edit is not None
    for key in EDIT_KEYS:
        st.session_state.pop(key, None)


def shown_frame(run: Trajectory, edited: OverwrittenRun | None) -> pd.DataFrame:
    """The run by position and step (`Trajectory.to_frame`), and an edited one below it."""
    frames = [run.to_frame(per="position").assign(run="original")]
    if edited is not None:
        after = edited.run.to_frame(per="position").assign(run="edited")
        frames.append(after.assign(step=after["step"] + edited.edit.step))
    return pd.concat(frames, ignore_index=True)


def show_edit(result: OverwrittenRun) -> None:
    """What an edit did: in words, step by step, and node by node."""
    messages.markdown(overwrite_sentence(result))
    messages.markdown(control_sentence(result), box="caption")
    figure = trajectory_figure(result.run, first_state=result.edit.step, changed=result.changed)
    chart(figure, "edited heatmap", about="What every node of the edited run shows after every step")
    if result.nodes:
        st.dataframe(_differences(result), hide_index=True, height="content")
    view = SESSION.current()
    st.download_button(
        "Download the edited run (JSON)",
        lambda: run_json(result.run, view.model, view.to_params()),
        file_name="recurlens-edited-run.json",
        mime="application/json",
        on_click="ignore",
    )
    with st.expander("View the code that draws the edited run"):
        st.code(edit_snippet(view, result.edit), language="python")


def _follow(run: Trajectory, graph: ComputationGraph, edit: Overwrite) -> OverwrittenRun | None:
    """What an edit changes in the run; None until it is there."""

    def work(model: RecurrentTransformer) -> OverwrittenRun:
        return overwrite_value(model, run, edit)

    about = "running the model from the new value on"
    return with_model("trajectory edit", SESSION.current().model, "overwrite", (graph,), work, about, edit)


def _choose_edit(run: Trajectory) -> Edit:
    graph = run.encoded.graphs[0]
    names = [node.name for node in graph.nodes]
    symbols = run.vocabulary.symbols("value")
    values = [*symbols[: run.vocabulary.modulus], symbols[run.vocabulary.empty]]
    last = len(run.states) - 1
    wanted = SESSION.current().edit or _suggestion(run)
    known = dict(zip(EDIT_KEYS, (names, range(last + 1), values), strict=True))
    for key, value in zip(known, (wanted.where, wanted.state, wanted.symbol), strict=True):
        if st.session_state.get(key) not in known[key]:
            st.session_state[key] = value
    node, step, value = st.columns(3)
    node.selectbox("Node", names, key="edit_node")
    step.selectbox("After step", range(last + 1), key="edit_state", format_func=state_label)
    value.selectbox("New value", values, key="edit_value")
    return Edit(st.session_state["edit_node"], st.session_state["edit_state"], st.session_state["edit_value"])


def _suggestion(run: Trajectory) -> Edit:
    """An edit that spreads: the node used by most others, one more than its true value, as soon as it is solved."""
    graph = run.encoded.graphs[0]
    uses = [sum(index in node.operands for node in graph.nodes) for index in range(len(graph))]
    index = uses.index(max(uses))
    state = min(max(int(run.solved_at[0, index]), 0) + 1, len(run.states) - 1)
    value = (graph.values_by_node[index] + 1) % graph.modulus
    return Edit(graph.nodes[index].name, state, str(value))


def _differences(result: OverwrittenRun) -> pd.DataFrame:
    """One row per node that differs: when, and how it ends in both runs."""
    graph = result.original.encoded.graphs[0]
    symbols = result.original.vocabulary.symbols("value")
    ends = result.control.values[-1, 0], result.run.values[-1, 0]
    rows = [
        {
            "node": graph.nodes[index].name,
            "equation": graph.equation(index),
            "differs after steps": spans(result.changed[:, index].tolist(), result.edit.step),
            "original end": symbols[int(ends[0][index])],
            "edited end": symbols[int(ends[1][index])],
        }
        for index in result.nodes
    ]
    return pd.DataFrame(rows)
