"""The Compare page's own: where nothing differs, what may be compared."""

from __future__ import annotations

import streamlit as st

from analyses.catalogue.compare import COMPARE as RECORD
from dashboards import messages
from dashboards.analysis_page import page_of
from dashboards.graph_view import AnalysisView
from dashboards.precomputed import Result
from dashboards.runs import readable

OTHERS = ("discrete-corrected", "discrete")
"""Models of which the second run is offered: the first that is not that of the first run."""


def more(view: AnalysisView, result: Result) -> None:
    """Buttons that compare the run with another, where it is compared with itself."""
    data = result.data
    if not data["same_nodes"] or data["first_step"] is not None or data["first"] != data["second"]:
        return
    graph = readable(view.model, data["first"]["graph"])
    other = next(one for one in OTHERS if one != view.model)
    name, value = next((node.name, node.value) for node in graph.nodes if node.value is not None)
    shown = {
        f"with {other}": {"other": other},
        f"with another value of {name} after step 1": {
            "other_edit": f"{name}@1={(value + 1) % graph.modulus}"
        },
        "with head 0.0 off": {"other_edit": "0.0@all=off"},
    }
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="compare it"):
        messages.markdown("Compare it", st.container(width="content"))
        for label, chosen in shown.items():
            # As if its address were opened: a link to the page that is open leaves the browser's address as it was.
            params = view.with_settings(**chosen).to_params()
            st.button(messages.escape_markdown(label), on_click=st.query_params.from_dict, args=(params,))


COMPARE = page_of(RECORD, more=more)
