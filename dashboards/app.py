"""Entry point of the dashboard: `recurlens dashboard`, or `streamlit run dashboards/app.py`."""

import sys

import plotly.graph_objects as go
import streamlit as st

LOADING = "Loading PyTorch and TransformerLens ..."


def trajectory() -> None:
    """The Trajectory page; its title is on screen before PyTorch and TransformerLens are imported."""
    _title("A graph solves itself")
    if "dashboards.trajectory.page" not in sys.modules:
        with st.spinner(LOADING, show_time=True):
            _load()
    from dashboards.trajectory.page import trajectory_page

    trajectory_page()


def generalisation() -> None:
    """The Generalisation page."""
    _title("Does it generalise to larger graphs?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.generalisation import generalisation_page

    generalisation_page()


def patching() -> None:
    """The Patching page."""
    _title("Where does a patch matter?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.patching.page import patching_page

    patching_page()


def probing() -> None:
    """The Probing page."""
    _title("What can be read from the hidden state?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.probing import probing_page

    probing_page()


def codes() -> None:
    """The Codes page."""
    _title("Which codes are used, and how do they follow each other?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.codes import codes_page

    codes_page()


def lens() -> None:
    """The Lens page."""
    _title("Where inside a step does the answer appear?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.lens import lens_page

    lens_page()


def dynamics() -> None:
    """The Dynamics page."""
    _title("How does the state move?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.dynamics import dynamics_page

    dynamics_page()


def attention() -> None:
    """The Attention page."""
    _title("Where do the heads look?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.attention import attention_page

    attention_page()


def mechanism() -> None:
    """The Mechanism page."""
    _title("How is it done?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.mechanism import mechanism_page

    mechanism_page()


def story() -> None:
    """The Story page."""
    _title("What happened at one node?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.story import story_page

    story_page()


def training() -> None:
    """The Training page."""
    _title("What was learnt when?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.training import training_page

    training_page()


def _title(text: str) -> None:
    st.html("<style>.stMainBlockContainer {padding: 2.5rem 2.5rem 4rem}</style>")
    st.header(text, anchor=False)


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
        st.Page(probing, title="Probing", url_path="probing"),
        st.Page(codes, title="Codes", url_path="codes"),
        st.Page(lens, title="Lens", url_path="lens"),
        st.Page(dynamics, title="Dynamics", url_path="dynamics"),
        st.Page(attention, title="Attention", url_path="attention"),
        st.Page(mechanism, title="Mechanism", url_path="mechanism"),
        st.Page(story, title="Story", url_path="story"),
        st.Page(training, title="Training", url_path="training"),
        st.Page(generalisation, title="Generalisation", url_path="generalisation"),
    ]
).run()
