"""What is chosen on one page is there on the next: model, graph, step and node; and what leads to them."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from dashboards.graph_view import AnalysisView
from dashboards.links import address_of
from dashboards.patching.view import View as PatchingView
from dashboards.selection import Selection
from dashboards.trajectory.view import Edit
from dashboards.trajectory.view import View as TrajectoryView
from models import ComputationGraph
from tests.pages import address, checked

TEXT = "20 = a; 2 = b; a + b = c; c + b = d"


def draw() -> None:
    """Three pages, one after the other: of one graph with a node and a step, of several graphs, and of training."""
    import streamlit as st

    from analyses.framework.settings import Choice
    from dashboards.graph_inputs import GraphInputs
    from dashboards.training import SESSION

    numbers = {"last": "last", **{str(number): str(number) for number in range(40)}}
    of_node = (Choice("node", "Node", numbers), Choice("step", "Step", numbers))
    page = st.session_state["page"]
    if page == "training":
        SESSION.read()
        st.sidebar.selectbox("Model", ["compiled", "discrete-corrected"], key="training_model")
        SESSION.show(type(SESSION.current())(st.session_state["training_model"]))
        return
    choices, graphs = (of_node, 1) if page == "node" else ((), 32)
    inputs = GraphInputs(page, choices, graphs)
    _, problems = inputs.session.read()
    inputs.session.show(inputs.setting_row(inputs.sidebar()))
    for problem in problems:
        st.error(problem)


def opened(page: str, **params: str) -> AppTest:
    app = AppTest.from_function(draw, default_timeout=60)
    return gone(app, page, **params)


def gone(app: AppTest, page: str, **params: str) -> AppTest:
    """The app on another page, as a click in the navigation leaves the address: without parameters."""
    app.session_state["page"] = page
    app.query_params.clear()
    for name, value in params.items():
        app.query_params[name] = value
    return checked(app.run())


def test_what_is_chosen_on_a_page_is_there_on_the_next() -> None:
    app = opened("node")
    assert address(app)["n"] == "16"
    app.selectbox(key="node_model").set_value("compiled")
    app.number_input(key="node_n").set_value(9)
    checked(app.number_input(key="node_seed").set_value(4).run())
    app.selectbox(key="node_node").set_value("7")
    checked(app.selectbox(key="node_step").set_value("2").run())
    gone(app, "several")
    assert address(app) == {
        "model": "compiled", "n": "9", "seed": "4", "ops": "ADD", "graphs": "32", "node": "7", "step": "2",
    }  # fmt: skip
    assert "Kept for other pages: step 2, node 7." in [one.value for one in app.caption]
    gone(app, "training")
    assert address(app) == {"model": "compiled"}
    checked(app.selectbox(key="training_model").set_value("discrete-corrected").run())
    gone(app, "node")
    assert address(app) == {
        "model": "discrete-corrected", "n": "9", "seed": "4", "ops": "ADD", "graphs": "1", "node": "7", "step": "2",
    }  # fmt: skip


def test_a_bare_visit_chooses_nothing() -> None:
    app = gone(opened("node"), "several")
    assert address(app)["n"] == "16" and "node" not in address(app)


def test_another_graph_forgets_step_and_node_and_an_address_comes_first() -> None:
    app = opened("several", model="compiled", n="9", seed="4", node="3", step="1")
    assert (address(app)["node"], address(app)["step"]) == ("3", "1")
    checked(app.number_input(key="several_seed").set_value(5).run())
    assert "node" not in address(app) and "step" not in address(app)
    gone(app, "node", model="compiled", text=TEXT, node="2", step="last")
    assert (address(app)["text"], address(app)["node"]) == (TEXT, "2")
    assert address(gone(app, "several"))["text"] == TEXT


def test_a_typed_graph_starts_from_the_sampled_one() -> None:
    app = opened("node", model="compiled", n="7", seed="3")
    checked(app.segmented_control(key="node_source").set_value("My own").run())
    assert app.text_area(key="node_text").value == ComputationGraph.sample(7, seed=3).to_text("\n")


def test_a_page_of_one_graph_takes_the_first_of_several() -> None:
    app = gone(opened("several", model="compiled", text=f"{TEXT}\n\n1 = x"), "node")
    assert address(app)["text"] == TEXT


def test_a_model_that_a_page_does_not_have_is_told_and_kept() -> None:
    app = opened("several", model="compiled", n="9")
    app.session_state["selection"] = Selection("feedforward-of-somebody", n=9, seed=0, ops=("ADD",))
    gone(app, "node")
    assert "This page is not for feedforward" in app.warning[0].value
    assert app.session_state["selection"].model == "feedforward-of-somebody"


def test_pages_with_views_of_their_own_take_what_is_chosen() -> None:
    chosen = Selection("compiled", TEXT, step=1, node=2)
    run = TrajectoryView("discrete", n=8, edit=Edit("x_1", 1, "3"), state=5, at=9).with_selection(chosen)
    assert (run.text, run.state, run.node, run.at, run.edit) == (TEXT, 2, 2, None, None)
    assert run.selected() == chosen
    pair = PatchingView("discrete", node="x_1").with_selection(chosen)
    assert (pair.model, pair.clean, pair.node) == ("compiled", TEXT, None)
    assert pair.pair().clean == ComputationGraph.parse(TEXT)
    drawn = PatchingView().with_selection(Selection(n=6, seed=9))
    assert (drawn.n, drawn.seed, drawn.clean) == (7, 9, None)
    assert PatchingView().with_selection(Selection(text="no graph")).clean is None


def test_links_lead_to_the_node() -> None:
    graph = ComputationGraph.parse(TEXT)
    typed = AnalysisView("compiled", TEXT).selected()
    assert address_of("story", typed, graph, 3) == {"model": "compiled", "text": TEXT, "node": "3"}
    assert address_of("attention", typed, graph, 3)["step"] == "2"
    pair = address_of("patching", typed, graph, 2)
    read, _ = PatchingView.from_params(pair, PatchingView())
    assert read.settings.read == ("c",) and 2 in read.pair().differing
    sampled = ComputationGraph.sample(12, seed=1)
    node = max(range(12), key=lambda one: sampled.depths_by_node[one])
    drawn = address_of("patching", Selection("compiled", n=12, seed=1, ops=("ADD",)), sampled, node)
    read, problems = PatchingView.from_params(drawn, PatchingView())
    assert not problems and node in read.pair().differing
