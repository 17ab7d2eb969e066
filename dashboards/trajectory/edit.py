"""The part that overwrites one symbol and follows what it changes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analyses.run_file import run_json
from dashboards import messages
from dashboards.analysis_page import draw_code
from dashboards.cached import shared
from dashboards.charts import chart
from dashboards.player.component import Change
from dashboards.runs import with_model
from dashboards.trajectory.session import EDIT_KEYS, SESSION, fill_edit, renew_toggles, toggle_key
from dashboards.trajectory.snippet import edit_command, edit_snippet
from dashboards.trajectory.view import EDITED, AnyEdit, Edit, HeadEdit
from dashboards.trajectory.words import edit_sentences, spans
from interp.causal.beside_control import BesideControl
from interp.figures.template import state_label
from interp.figures.trajectory import trajectory_figure
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory


def chosen_edit(run: Trajectory, graph: ComputationGraph) -> BesideControl | None:
    """Boxes to overwrite the value of a node after a step, or to take a head off, and the run that follows; None until
    it is there.

    A symbol that was changed in the player is kept as it is.
    """
    overwriting, head_off = toggle_key("overwriting"), toggle_key("head off")
    with st.container(horizontal=True):
        st.toggle(
            "Overwrite a value and let the run go on",
            key=overwriting,
            on_change=_other_off,
            args=(head_off,),
        )
        st.toggle("Take a head off", key=head_off, on_change=_other_off, args=(overwriting,))
    given = SESSION.current().edit
    if st.session_state[head_off]:
        edit: AnyEdit = _choose_head(run)
    elif not st.session_state[overwriting]:
        SESSION.update(edit=None, shown=EDITED)
        return None
    elif isinstance(given, Edit) and given.node_of(run) is None:
        edit = given
    else:
        edit = _choose_edit(run)
    SESSION.update(edit=edit)
    return _follow(run, graph, edit)


def _other_off(other: str) -> None:
    """There is one edit at a time."""
    st.session_state[other] = False


def take_edit(run: Trajectory, change: Change) -> None:
    """Make a change that was asked for in the player the edit of the view."""
    state = min(change.step, len(run.states) - 1)
    edit = Edit.of(run, change.at, state, change.factor, change.symbol)
    _fill(edit, state=state, at=change.at)


def forget_edit() -> None:
    """The view without its edit."""
    _fill(None)


def _fill(edit: Edit | None, **changes: int) -> None:
    renew_toggles()
    fill_edit(SESSION.update(edit=edit, shown=EDITED, **changes))


def shown_frame(run: Trajectory, edited: BesideControl | None) -> pd.DataFrame:
    """The run by position and step (`Trajectory.to_frame`), and an edited one below it."""
    frames = [run.to_frame(per="position").assign(run="original")]
    if edited is not None:
        after = edited.run.to_frame(per="position").assign(run="edited")
        frames.append(after.assign(step=after["step"] + edited.since))
    return pd.concat(frames, ignore_index=True)


def show_edit(result: BesideControl) -> None:
    """What an edit did: in words, step by step, and node by node."""
    for box, sentence in zip(("markdown", "caption"), edit_sentences(result), strict=True):
        messages.markdown(sentence, box=box)
    figure = trajectory_figure(result.run, first_state=result.since, changed=result.changed)
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
    about = "The edited run beside the original, as a command:"
    draw_code(
        edit_snippet(view, result), edit_command(view), about, "View the code that draws the edited run"
    )


def _follow(run: Trajectory, graph: ComputationGraph, edit: AnyEdit) -> BesideControl | None:
    """What an edit changes in the run; None until it is there."""

    def work(model: RecurrentTransformer) -> BesideControl:
        return edit.applied(model, run)

    about = "running the model with the edit"
    return with_model("trajectory edit", SESSION.current().model, "edit", (graph,), work, about, edit)


def _choose_head(run: Trajectory) -> HeadEdit:
    """Boxes of a layer, a head, and a step or all of them; at first the step whose result is shown."""
    cfg = shared(SESSION.current().model).model.cfg
    steps: list[int | None] = [None, *range(run.n_steps)]
    view = SESSION.current()
    now = min(max(0, (view.state or 0) - 1), run.n_steps - 1)
    wanted = view.edit if isinstance(view.edit, HeadEdit) else HeadEdit(0, 0, now)
    boxes = (
        ("Layer", "off_layer", list(range(cfg.n_layers)), wanted.layer),
        ("Head", "off_head", list(range(cfg.n_heads)), wanted.head),
        ("Off in", "off_step", steps, wanted.step),
    )
    for place, (label, key, offered, value) in zip(st.columns(3), boxes, strict=True):
        if key not in st.session_state or st.session_state[key] not in offered:
            st.session_state[key] = value
        words = _step_words if key == "off_step" else str
        place.selectbox(label, offered, key=key, format_func=words)
    return HeadEdit(*(st.session_state[key] for _, key, *_ in boxes))


def _step_words(step: int | None) -> str:
    return "every step" if step is None else f"step {step}"


def _choose_edit(run: Trajectory) -> Edit:
    graph = run.encoded.graphs[0]
    names = [node.name for node in graph.nodes]
    symbols = run.vocabulary.symbols("value")
    values = [*symbols[: run.vocabulary.modulus], symbols[run.vocabulary.empty]]
    last = len(run.states) - 1
    given = SESSION.current().edit
    wanted = given if isinstance(given, Edit) else _suggestion(run)
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


def _differences(result: BesideControl) -> pd.DataFrame:
    """One row per node that differs: when, and how it ends in both runs."""
    graph = result.original.encoded.graphs[0]
    symbols = result.original.vocabulary.symbols("value")
    ends = result.control.values[-1, 0], result.run.values[-1, 0]
    rows = [
        {
            "node": graph.nodes[index].name,
            "equation": graph.equation(index),
            "differs after steps": spans(result.changed[:, index].tolist(), result.since),
            "original end": symbols[int(ends[0][index])],
            "edited end": symbols[int(ends[1][index])],
        }
        for index in result.nodes
    ]
    return pd.DataFrame(rows)
