"""Entry point of the dashboard: `recurlens dashboard`, or `streamlit run dashboards/app.py`."""

import sys

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analyses.catalogue import every_record
from analyses.catalogue.attention import ATTENTION
from analyses.catalogue.patching import PATCHING
from analyses.catalogue.solve import SOLVE
from analyses.framework.record import Analysis, Page
from dashboards import messages
from dashboards.chart_to_come import chart_to_come
from dashboards.links import remember
from dashboards.model_choice import chosen_loop
from dashboards.paths import with_spellings
from dashboards.saving.share import reopen, share_buttons
from dashboards.start import start_page, words
from dashboards.theme import page_style
from dashboards.warm_up import warm_up

# The path of the page at `/`, in files and links. (A text below it would be drawn on every page.)
DEFAULT = "trajectory"
LOADING = "Loading PyTorch and TransformerLens ..."


def start() -> None:
    """The Start page."""
    _title("Watch a model think in steps")
    start_page({page.url_path or "home": page for page in PAGES})


def trajectory() -> None:
    """The Trajectory page; its title is on screen before PyTorch and TransformerLens are imported."""
    if _of_a_loop(SOLVE, "trajectory", "What does every step write?"):
        return
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
    if _of_a_loop(PATCHING, "patching", "Where does a patch matter?"):
        return
    _title("Where does a patch matter?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.patching.page import patching_page

    patching_page()


def attention() -> None:
    """The Attention page."""
    if _of_a_loop(ATTENTION, "attention", "Where do the heads look?"):
        return
    _title("Where do the heads look?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.attention import attention_page

    attention_page()


def analysis(record: Analysis, page: Page) -> StreamlitPage:
    """The page of a record, to be drawn when it is opened."""
    name = page.name or record.name

    def draw() -> None:
        if page.model and _of_a_loop(record, name, page.question):
            return
        _title(page.question)
        with st.spinner(LOADING, show_time=True):
            from dashboards.analysis_page import analysis_page
            from dashboards.pages import analysis_pages
        analysis_page(analysis_pages()[name])

    return st.Page(draw, title=page.title, url_path=name)


def training() -> None:
    """The Training page."""
    _title("What was learnt when?")
    with st.spinner(LOADING, show_time=True):
        from dashboards.training import training_page

    training_page()


def opening() -> None:
    """The page that opens files."""
    _title("Open what was saved")
    with st.spinner(LOADING, show_time=True):
        from dashboards.opening.page import open_page

    open_page({page.url_path or DEFAULT: page for page in PAGES if page.url_path != "open"})


def _of_a_loop(record: Analysis, page: str, question: str) -> bool:
    """Draw a page for a looped model that was chosen, if one was; whether it was."""
    model = chosen_loop()
    if model is None:
        return False
    _title(question)
    with st.spinner(LOADING, show_time=True):
        from dashboards.loop_page import loop_page
    loop_page(record, page, model)
    return True


def _title(text: str) -> None:
    st.html(f"<style>{page_style()}</style>")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header(messages.escape_markdown(text), anchor=False)
        share_buttons(PATH)


def _load() -> None:
    """The heavy imports, while the browser fetches the drawing library."""
    with chart_to_come():
        import dashboards.trajectory.page  # noqa: F401


st.set_page_config(page_title="recurlens", page_icon="🔁", layout="wide")
PAGES = [
    st.Page(start, title="Start", url_path="start"),
    st.Page(trajectory, title="Trajectory", url_path="home", default=True),
    st.Page(patching, title="Patching", url_path="patching"),
    *(analysis(record, record.page) for record in every_record() if record.page is not None),
    st.Page(attention, title="Attention", url_path="attention"),
    st.Page(training, title="Training", url_path="training"),
    st.Page(generalisation, title="Generalisation", url_path="generalisation"),
    st.Page(opening, title="Open", url_path="open"),
]
remember({page.url_path or "home": page for page in PAGES})
GROUPS = {record.page.name or record.name: record.page.group for record in every_record() if record.page}
in_groups: dict[str, list[StreamlitPage]] = {"": []}
for page in with_spellings(PAGES, default=DEFAULT):
    in_groups.setdefault(GROUPS.get(page.url_path, ""), []).append(page)
PAGE = st.navigation(in_groups, expanded=True)
PATH = PAGE.url_path or DEFAULT
reopen(PATH)
words()
PAGE.run()
warm_up()
