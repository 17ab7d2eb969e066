"""The form of a sweep: nothing is computed before it is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboards.address import not_there
from dashboards.again import note_filled
from dashboards.graph_inputs import box_width
from dashboards.patching.view import DIRECTIONS, LOOKS, POSITIONS, Settings, allowed_sites
from interp.causal.metric_records import METRICS
from interp.causal.pairs import Pair
from interp.engine.sites import rhs

HELP: Final = {
    "site": "What is carried over: the discrete state that enters a step, or an activation inside it, by its name in "
    "TransformerLens.",
    "direction": "Which run is patched with what the other one has.",
    "metric": "What is read of the patched run at its end.",
    "read": "Nodes whose values the metric reads.",
}
"""What the boxes of the form mean."""


def choose_look(settings: Settings) -> Settings:
    """The axes of the heatmap, which decide what the form asks for."""
    # While the runs were not there it was not drawn, and Streamlit has forgotten it.
    st.session_state.setdefault("patch_look", settings.look)
    note_filled(["patch_look"])
    look = st.segmented_control(
        "Heatmap",
        list(LOOKS),
        key="patch_look",
        required=True,
        format_func=LOOKS.__getitem__,
        label_visibility="collapsed",
    )
    return settings if look is None else settings.with_look(look)


def settings_form(settings: Settings, pair: Pair, n_layers: int, n_steps: int) -> Settings | None:
    """The form, filled with ``settings``; what was asked for when it is submitted, else None."""
    names = [node.name for node in pair.clean.nodes]
    _fill(settings, n_layers, n_steps)
    with st.form("patch_form"):
        boxes = st.container(horizontal=True, vertical_alignment="bottom")
        sites = allowed_sites(settings.look)
        boxes.selectbox("Site", sites, key="patch_set_site", help=HELP["site"], width=150)
        if settings.rows == "step":
            boxes.selectbox("Layer", range(n_layers), key="patch_set_layer", width=110)
        else:
            steps: list[int | None] = [None, *range(n_steps)]
            _select(boxes, "Step", "step", {step: _step_label(step) for step in steps})
        if settings.columns == "pos":
            _select(boxes, "Positions", "pos", POSITIONS)
        else:
            where = {rhs(i): f"rhs of {name}" for i, name in enumerate(names)}
            _select(boxes, "At", "pos", {"all": "all positions at once"} | where)
        directions = {name: f"{name}: {DIRECTIONS[name]}" for name in DIRECTIONS}
        _select(boxes, "Direction", "direction", directions, HELP["direction"])
        _select(boxes, "Metric", "metric", {name: _metric_label(name) for name in METRICS}, HELP["metric"])
        everything = "every node at which the runs end differently"
        boxes.multiselect(
            "Read at",
            [names[node] for node in pair.differing],
            key="patch_set_read",
            placeholder=everything,
            help=HELP["read"],
            width=box_width([everything]),
        )
        if not boxes.form_submit_button("Run the sweep", type="primary"):
            return None
    chosen = st.session_state
    changes: dict[str, Any] = {
        "site": chosen["patch_set_site"],
        "pos": chosen["patch_set_pos"],
        "direction": chosen["patch_set_direction"],
        "metric": chosen["patch_set_metric"],
        "read": tuple(chosen["patch_set_read"]),
    }
    changes["layer" if settings.rows == "step" else "step"] = chosen[
        "patch_set_layer" if settings.rows == "step" else "patch_set_step"
    ]
    return replace(settings, **changes)


def checked_settings(
    settings: Settings, pair: Pair, n_layers: int, n_steps: int
) -> tuple[Settings, list[str]]:
    """Settings that the model and the pair have, and a message for each that was not."""
    problems: list[str] = []
    names = [node.name for node in pair.clean.nodes]
    if settings.layer >= n_layers:
        problems.append(not_there("layer", settings.layer, f"the model has layers 0 to {n_layers - 1}", 0))
        settings = replace(settings, layer=0)
    if settings.rows == "layer" and settings.step is not None and settings.step >= n_steps:
        problems.append(not_there("step", settings.step, f"the run has steps 0 to {n_steps - 1}", 0))
        settings = replace(settings, step=0)
    if settings.pos.startswith("rhs:") and int(settings.pos[4:]) >= len(names):
        there = f"the graphs have nodes 0 to {len(names) - 1}"
        problems.append(not_there("node", settings.pos[4:], there, "all positions"))
        settings = replace(settings, pos="all")
    differing = [names[node] for node in pair.differing]
    if unknown := [name for name in settings.read if name not in differing]:
        problems.append(
            f"{', '.join(unknown)} cannot be read: the nodes that differ are {', '.join(differing) or 'none'}."
        )
        settings = replace(settings, read=tuple(name for name in settings.read if name in differing))
    return settings, problems


def _fill(settings: Settings, n_layers: int, n_steps: int) -> None:
    """Set the form's widgets where they are not there yet, or hold what is no longer on offer."""
    state = st.session_state
    wanted = {
        "patch_set_site": settings.site,
        "patch_set_layer": settings.layer,
        "patch_set_step": settings.step,
        "patch_set_pos": settings.pos,
        "patch_set_direction": settings.direction,
        "patch_set_metric": settings.metric,
        "patch_set_read": list(settings.read),
    }
    note_filled(wanted)
    for key, value in wanted.items():
        if key not in state:
            state[key] = value
    if state["patch_set_site"] not in allowed_sites(settings.look):
        state["patch_set_site"] = settings.site
    if state["patch_set_layer"] is None or state["patch_set_layer"] >= n_layers:
        state["patch_set_layer"] = settings.layer
    if state["patch_set_step"] is not None and state["patch_set_step"] >= n_steps:
        state["patch_set_step"] = settings.step
    if (state["patch_set_pos"] in POSITIONS) != (settings.columns == "pos") and settings.pos != "all":
        state["patch_set_pos"] = settings.pos


def _select(
    boxes: DeltaGenerator, label: str, name: str, words: Mapping[Any, str], help: str | None = None
) -> None:
    """A box of the form that offers values by their words."""
    boxes.selectbox(
        label,
        list(words),
        key=f"patch_set_{name}",
        format_func=words.__getitem__,
        help=help,
        width=box_width(words.values()),
    )


def _step_label(step: int | None) -> str:
    return "every step at once" if step is None else str(step)


def _metric_label(metric: str) -> str:
    return f"{metric}: {METRICS[metric].label}"
