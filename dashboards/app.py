"""Entry point of the dashboard: `recurlens dashboard`, or `streamlit run dashboards/app.py`."""

import sys

import plotly.graph_objects as go
import streamlit as st


def trajectory() -> None:
    """The Trajectory page; its title is on screen before PyTorch and TransformerLens are imported."""
    st.html("<style>.stMainBlockContainer {padding: 2.5rem 2.5rem 4rem}</style>")
    st.header("A graph solves itself", anchor=False)
    if "dashboards.trajectory.page" not in sys.modules:
        with st.spinner("Loading PyTorch and TransformerLens ...", show_time=True):
            _load()
    from dashboards.trajectory.page import trajectory_page

    trajectory_page()


def generalisation() -> None:
    """The Generalisation page."""
    st.html("<style>.stMainBlockContainer {padding: 2.5rem 2.5rem 4rem}</style>")
    st.header("Does it generalise to larger graphs?", anchor=False)
    with st.spinner("Loading PyTorch and TransformerLens ...", show_time=True):
        from dashboards.generalisation import generalisation_page

    generalisation_page()


def patching() -> None:
    """The Patching page."""
    st.html("<style>.stMainBlockContainer {padding: 2.5rem 2.5rem 4rem}</style>")
    st.header("Where does a patch matter?", anchor=False)
    with st.spinner("Loading PyTorch and TransformerLens ...", show_time=True):
        from dashboards.patching.page import patching_page

    patching_page()


def _load() -> None:
    """The heavy imports, while an empty chart makes the browser fetch the drawing library."""
    empty = go.Figure(layout={"height": 40, "xaxis": {"visible": False}, "yaxis": {"visible": False}})
    place = st.empty()
    place.plotly_chart(empty, theme=None, config={"displayModeBar": False}, key="empty")
    import dashboards.trajectory.page  # noqa: F401

    place.empty()


st.set_page_config(page_title="recurlens", page_icon="🔁", layout="wide")
st.navigation(
    [
        st.Page(trajectory, title="Trajectory", url_path="trajectory", default=True),
        st.Page(patching, title="Patching", url_path="patching"),
        st.Page(generalisation, title="Generalisation", url_path="generalisation"),
    ]
).run()
