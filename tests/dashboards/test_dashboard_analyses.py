"""The pages Probing, Codes, Lens and Dynamics through Streamlit's own test runner, on few graphs."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from dashboards import precomputed
from dashboards.analysis_page import AnalysisPage, snippet
from dashboards.cached import available, every_model
from dashboards.computing import ASK, computations
from dashboards.graph_view import default_view
from dashboards.pages import analysis_pages
from dashboards.precomputed import Result
from dashboards.results import results
from tests.cli.commands import recurlens
from tests.pages import address, checked, downloads, sentences, unfolded

OWN = "20 = a; 2 = b; a + b = total; total + b = twice"
FEW = {"model": "compiled", "n": "7", "graphs": "5", "seed": "3", "ops": "ADD"}
QUICK = {"kind": "ridge", "across": "no"}
CODES = analysis_pages()["codes"]
PAGES = {name: analysis_pages()[name] for name in ("probing", "codes", "lens", "dynamics")}
COMMANDS = dict(zip(PAGES, ("probe", "codes", "lens", "dynamics"), strict=True))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path))
    results.clear()


def draw(page: str) -> None:
    from dashboards.analysis_page import analysis_page
    from dashboards.pages import analysis_pages

    analysis_page(analysis_pages()[page])


def opened(page: str, **params: str) -> AppTest:
    app = unfolded(AppTest.from_function(draw, default_timeout=120, args=(page,)))
    for name, value in params.items():
        app.query_params[name] = value
    return checked(app.run())


def figures(app: AppTest) -> dict[str, dict]:
    """By name: the part of the chart's key after the page's name."""
    charts = app.get("plotly_chart")
    return {
        chart.proto.id.rsplit("-", 1)[-1].split(" ", 1)[1]: json.loads(chart.proto.spec) for chart in charts
    }


def titles(app: AppTest) -> list[str]:
    return [spec["layout"]["title"]["text"] for spec in figures(app).values()]


@pytest.mark.parametrize(
    ("page", "settings", "said", "drawn"),
    [
        ("probing", {"target": "value", "status": "computing", "kind": "logistic", "sites": "post", "across": "yes"},
         "the target value of computing nodes", ["probes", "transfer"]),
        ("codes", {"show": "transitions", "factor": "value"}, "0 of ", ["transitions", "commits"]),
        ("lens", {"factor": "value", "kind": "plain", "show": "graph"}, "computing node", ["graph"]),
        ("dynamics", {"against": "none", "show": "frontier"}, "solves 1.000 levels", ["frontier"]),
    ],
)  # fmt: skip
def test_a_link_shows_its_view_and_code_that_draws_it(page, settings, said, drawn):
    app = opened(page, **FEW, **settings)
    assert not app.error
    assert address(app) == FEW | settings
    assert said in sentences(app)
    shown = figures(app)
    assert list(shown) == drawn
    scope: dict = {"drawn": []}
    code = "\n".join(
        f"drawn.append({line.removesuffix('.show()')})" if line.endswith(".show()") else line
        for line in app.code[0].value.splitlines()
    )
    exec(code, scope)
    made = [json.loads(figure.to_json())["data"] for figure in scope["drawn"]]
    assert made == [spec["data"] for spec in shown.values()]
    assert app.code[1].value.startswith(
        f"recurlens {COMMANDS[page]} --n-nodes 7 --graphs 5 --seed 3 --ops ADD "
    )
    assert downloads(app) == ["Table (CSV)", "Result (JSON)", "Figures (HTML)"]


@pytest.mark.parametrize(
    ("page", "settings", "drawn"),
    [
        ("probing", QUICK | {"status": "all", "target": "depth"}, ["reading"]),
        ("codes", {"show": "edits"}, ["interventions"]),
        (
            "lens",
            {"show": "attribution"},
            ["attribution_computing", "attribution_done", "attribution_waiting"],
        ),
        ("dynamics", {"against": "none", "show": "trajectories"}, ["trajectories"]),
    ],
)
def test_my_own_graph_is_run_live(page, settings, drawn, tmp_path):
    app = opened(page, model="compiled", text=OWN, **settings)
    assert not app.error
    assert list(figures(app)) == drawn
    assert address(app)["text"] == OWN
    assert not list(tmp_path.iterdir())
    checked(app.text_area(key=f"{page}_text").set_value("a + b = c").run())
    assert ["'a' is not defined" in error.value for error in app.error] == [True]
    assert not figures(app)


def test_other_figures_need_no_second_computation(monkeypatch):
    app = opened("codes", **FEW, show="usage")
    assert list(figures(app)) == ["usage", "information"]
    monkeypatch.setattr(AnalysisPage, "fresh", None)
    checked(app.segmented_control(key="codes_show").set_value("margins").run())
    assert list(figures(app)) == ["margins"]
    checked(app.segmented_control(key="codes_factor").set_value("syntax").run())
    assert list(figures(app)) == ["margins syntax"]
    assert "syntax" in titles(app)[0]
    assert (address(app)["show"], address(app)["factor"]) == ("margins", "syntax")


@pytest.mark.parametrize("factor", ["syntax", "variable", "operation"])
@pytest.mark.parametrize("show", ["usage", "transitions", "margins"])
def test_the_code_of_other_factors_draws_their_figures(factor, show):
    from analyses.codes import study_codes
    from models import ComputationGraph

    view = default_view(CODES.settings).with_settings(show=show, factor=factor)
    study = study_codes([ComputationGraph.parse(OWN)], edits=0)
    made = CODES.figures(study)
    for name, code in CODES.shown(view).items():
        *first, last = code.splitlines()
        scope: dict = {"study": study}
        exec("\n".join(first), scope)
        assert json.loads(eval(last, scope).to_json()) == json.loads(made[name].to_json())


def test_what_a_continuous_model_lacks_is_said():
    app = opened("codes", model="continuous", text=OWN, show="edits")
    assert not app.error
    assert ["passes on a hidden state" in info.value for info in app.info] == [True]
    checked(app.segmented_control(key="codes_show").set_value("usage").run())
    assert list(figures(app)) == ["usage", "information"]


def test_one_model_beside_another():
    app = opened("dynamics", model="compiled", text=OWN, against="continuous", show="drift")
    assert not app.error
    assert "Model compiled: the run solves 1.000 levels" in sentences(app)
    assert "Model continuous: the run solves" in sentences(app)
    names = {trace.get("name") for trace in figures(app)["drift"]["data"]}
    assert {"compiled", "continuous"} <= names
    alone = opened("dynamics", model="continuous", text=OWN, against="continuous")
    assert "--against" not in alone.code[1].value


def test_a_tuned_lens_has_to_be_asked_for():
    app = opened("lens", **FEW, show="tuned")
    assert ["plain and tuned" in info.value for info in app.info] == [True]
    checked(app.selectbox(key="lens_kind").set_value("tuned").run())
    assert list(figures(app)) == ["tuned"]
    assert "--tuned" in app.code[1].value


def test_the_command_of_my_own_graph_reads_it_as_the_page_does():
    app = opened("probing", model="compiled", text=OWN, **QUICK)
    command = app.code[1].value
    assert command.startswith("recurlens probe-reading ")
    done = recurlens(*shlex.split(command)[1:], "--quiet")
    assert done.out.strip() in sentences(app)


def test_what_cannot_be_probed_is_a_message():
    app = opened("probing", **(FEW | {"graphs": "3"}), **QUICK)
    assert ["5 folds need 5 graphs" in error.value for error in app.error] == [True]
    assert not figures(app)


def test_many_graphs_are_probed_when_asked_for():
    app = opened("probing", **(FEW | {"graphs": "200"}), **QUICK)
    assert ["200 graphs with 1,400 nodes in all take a while" in info.value for info in app.info] == [True]
    assert app.button(key="probing_compute").label == "Compute"


def test_what_took_long_before_is_asked_for_and_its_time_is_told(monkeypatch):
    page = analysis_pages()["lens"]
    view = replace(default_view(page.settings), model="compiled")
    monkeypatch.setitem(computations().pace, page.kind(view), 12.34 / 6)
    monkeypatch.setattr("dashboards.analysis_page.ASK", ASK)
    app = opened("lens", model="compiled", n="6", graphs="1", seed="987")
    (info,) = app.info
    assert "A graph with 6 nodes takes a while, about 12 s by the last of this kind" in info.value
    assert app.button(key="lens_compute").label == "Compute" and not figures(app)


def test_the_first_graphs_are_shown_before_all_of_them_and_stay_where_those_are_cancelled(monkeypatch):
    page, computed = analysis_pages()["lens"], AnalysisPage.fresh
    view = replace(default_view(page.settings), model="compiled")

    def slow(page, view, graphs, progress):
        while len(graphs) == 8:
            progress(1, 8)
            time.sleep(0.01)
        return computed(page, view, graphs, progress)

    monkeypatch.setattr(AnalysisPage, "fresh", slow)
    monkeypatch.setattr("dashboards.analysis_page.ASK", ASK)
    monkeypatch.setattr("dashboards.computing.PATIENCE", 0.1)
    monkeypatch.setitem(computations().pace, page.kind(view), ASK)
    app = opened("lens", model="compiled", n="6", graphs="8", seed="986")
    assert not figures(app)
    app.button(key="lens_compute").click()
    end = time.monotonic() + 60
    while not figures(checked(app.run())) and time.monotonic() < end:
        time.sleep(0.1)
    assert [info.value for info in app.info] == ["So far: the first 2 of 8 graphs."]
    (bar,) = app.get("progress")
    assert "analysing 8 graphs" in bar.proto.text.lower()
    app.button(key="lens_cancel").click().run()
    assert figures(app) and "--graphs 2" in app.code[1].value
    assert app.info[-1].value == "So far: the first 2 of 8 graphs." and not app.get("progress")


@pytest.mark.parametrize("page", PAGES)
def test_chain_of_thought_is_not_offered(page):
    app = AppTest.from_function(draw, default_timeout=120, args=(page,))
    app.query_params.update({"model": "chain-of-thought", "text": "a"})
    checked(app.run())
    assert "There is no model 'chain-of-thought'" in app.error[0].value
    assert "chain-of-thought" not in app.selectbox(key=f"{page}_model").options


@pytest.mark.parametrize("name", PAGES)
def test_a_bare_address_of_every_page_is_computed_at_once(name):
    page = PAGES[name]
    view = default_view(page.settings)
    assert view.n * view.graphs <= page.at_once
    assert page.is_default(view)
    assert f"study = {page.study_of(view).__name__}(graphs, 'discrete-corrected'" in snippet(page, view, [])
    assert page.line(view).startswith(
        f"recurlens {COMMANDS[name]} --n-nodes 16 --graphs 32 --seed 0 --ops ADD"
    )


def test_precomputing_goes_through_all_pages_and_models(monkeypatch, capsys):
    done: list[tuple[str, str]] = []

    def result(page: AnalysisPage, model: str, **_: str) -> Result:
        done.append((page.name, model))
        if model == "feedforward":
            raise ValueError("it has one step")
        return Result("All right.", None, None, {}, {}, 1.25)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(AnalysisPage, "default_result", result)
    precomputed.main()
    said = capsys.readouterr().out.splitlines()
    of_compiled = [name for name, model in done if model == "compiled"]
    assert [name for name in of_compiled if name in PAGES] == list(PAGES)
    assert {model for name, model in done if name not in ("failures", "benchmark-circuits")} == set(
        available()
    )
    assert [model for name, model in done if name == "benchmark-circuits"] == [""]  # it is about no model
    assert {model for name, model in done if name == "failures"} == set(every_model())
    assert "compiled lens: 1.2 s  All right." in said
    assert "feedforward codes: it has one step" in said
