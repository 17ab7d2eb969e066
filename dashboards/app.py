"""Entry point of the dashboard: `recurlens dashboard`, or `streamlit run dashboards/app.py`."""

import streamlit as st


def trajectory() -> None:
    """The Trajectory page; its title is on screen before PyTorch and TransformerLens are imported."""
    st.html("<style>.stMainBlockContainer {padding: 2.5rem 2.5rem 4rem}</style>")
    st.header("A graph solves itself", anchor=False)
    with st.spinner("Loading PyTorch and TransformerLens ...", show_time=True):
        from dashboards.trajectory.page import trajectory_page
    trajectory_page()


st.set_page_config(page_title="recurlens", page_icon="🔁", layout="wide")
st.navigation([st.Page(trajectory, title="Trajectory", url_path="trajectory", default=True)]).run()
