"""The Failures page through Streamlit's own test runner: one model of every method, on few graphs."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.analysis_page import snippet
from dashboards.cached import available, every_model
from dashboards.graph_view import default_view
from dashboards.pages import analysis_pages
from dashboards.results import results
from tests.pages import address, checked, downloads, sentences, unfolded

FAILURES = analysis_pages()["failures"]
FEW = {"n": "9", "graphs": "2", "seed": "3", "ops": "ADD"}
OWN = "20 = a; 2 = b; a + b = total; total + b = twice"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path))
    results.clear()


def draw() -> None:
    from dashboards.analysis_page import analysis_page
    from dashboards.pages import analysis_pages

    analysis_page(analysis_pages()["failures"])


def opened(**params: str) -> AppTest:
    app = unfolded(AppTest.from_function(draw, default_timeout=120))
    for name, value in params.items():
        app.query_params[name] = value
    return checked(app.run())


def titles(app: AppTest) -> list[str]:
    return [json.loads(chart.proto.spec)["layout"]["title"]["text"] for chart in app.get("plotly_chart")]


@pytest.mark.parametrize(
    ("model", "said", "drawn"),
    [
        (
            "compiled",
            "all 2 graphs are solved",
            ["Where writes are wrong", "What the fetching heads looked at"],
        ),
        ("continuous", "Snapping: at 9 nodes", ["Drift from the right state", "Does snapping heal it?"]),
        ("chain-of-thought", "written without a mistake", ["Where the text loses its place"]),
        ("feedforward", "layers in 1 step", ["How deep it gets"]),
        ("recurrent", "layers in 8 steps", ["How deep it gets"]),
    ],
)
def test_every_method_has_its_part(model, said, drawn):
    app = opened(model=model, **FEW)
    assert not app.error
    assert said in sentences(app) and "Does not apply: " in sentences(app)
    assert titles(app) == drawn
    assert address(app) == {"model": model} | FEW
    assert (
        app.code[1].value == f"recurlens failures --n-nodes 9 --graphs 2 --seed 3 --ops ADD --model {model}"
    )
    assert downloads(app) == ["Table (CSV)", "Result (JSON)", "Figures (HTML)"]


def test_my_own_graph_is_asked_about():
    app = opened(model="compiled", text=OWN)
    assert not app.error and "the graph is solved" in sentences(app)
    checked(app.text_area(key="failures_text").set_value("a + b = c").run())
    assert ["'a' is not defined" in error.value for error in app.error] == [True]


def test_models_that_write_text_are_offered_here_alone():
    assert set(every_model()) - set(available()) == {"chain-of-thought", "shared-text"}
    assert opened(model="compiled", text=OWN).selectbox(key="failures_model").options == every_model()


def test_a_bare_address_is_computed_at_once():
    view = default_view(FAILURES.settings, FAILURES.graphs)
    assert view.n * view.graphs <= FAILURES.at_once and FAILURES.is_default(view)
    assert "study = study_failures(graphs, 'discrete-corrected')" in snippet(FAILURES, view, ["writes"])
    assert FAILURES.models() == every_model()
