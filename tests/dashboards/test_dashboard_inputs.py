"""What the analysis pages share: the view and its address, results kept by content, and how mistakes are answered."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from analyses.framework.settings import Choice
from analyses.inputs import InputError
from dashboards import precomputed
from dashboards.downloads import figures_html
from dashboards.graph_view import AnalysisView, default_view, split_texts
from dashboards.precomputed import Result, cache_folder, content_key, model_digest, store, stored
from models import ComputationGraph, load
from models.compiled import compile_model
from tests.pages import address, checked, sentences, unfolded

FACTOR = Choice("factor", "Factor", {"value": "value", "syntax": "syntax"})
SIZE = Choice("size", "Size", {"small": "few", "large": "many"})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture(scope="module")
def small():
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.fixture
def result() -> Result:
    figure = go.Figure(go.Heatmap(z=np.array([[0.5, np.nan], [1.0, 2.0]])), {"title": {"text": "größe"}})
    frame = pd.DataFrame({"step": [0, 1], "share": [0.25, np.nan], "kind": pd.Categorical(["a", "b"])})
    return Result("All right.", pd.DataFrame({"n": ["1"]}), frame, {"n": [1, 2]}, {"first": figure}, 1.5)


@pytest.mark.parametrize(
    "view",
    [
        AnalysisView("compiled", None, 12, 3, ("SUB", "MUL"), 7, (("factor", "syntax"), ("size", "large"))),
        AnalysisView(
            "continuous", "1 = a; a = b\n\n2 = größe", settings=(("factor", "value"), ("size", "small"))
        ),
    ],
)
def test_a_view_survives_its_parameters(view):
    assert AnalysisView.from_params(view.to_params(), [FACTOR, SIZE]) == (view, [])


def test_what_an_address_gets_wrong_is_said_and_left_out():
    given = {"n": "5", "graphs": "9999", "seed": "-1", "ops": "DIV", "factor": "colour"}
    view, problems = AnalysisView.from_params(given, [FACTOR])
    assert view == default_view([FACTOR])
    assert [problem.split(" in the address")[0] for problem in problems] == [
        "n=5", "graphs=9999", "seed=-1", "DIV", "factor=colour",
    ]  # fmt: skip


def test_sampled_graphs_are_those_of_consecutive_seeds(small):
    view = AnalysisView("small", n=7, graphs=3, seed=4)
    expected = [ComputationGraph.sample(7, modulus=5, n_variables=16, seed=seed) for seed in (4, 5, 6)]
    assert view.drawn_graphs(small) == expected
    assert "--n-nodes 7 --graphs 3 --seed 4 --ops ADD" in view.graph_options()


def test_a_blank_line_begins_another_graph(small):
    text = "1 = x_0\nx_0 = x_1\n  \n2 = x_2;\n\n\n\n3 = x_3; x_3 = x_4"
    assert split_texts(text) == ["1 = x_0\nx_0 = x_1", "2 = x_2;", "3 = x_3; x_3 = x_4"]
    assert [len(graph) for graph in AnalysisView("small", text=text).drawn_graphs(small)] == [2, 1, 2]
    with pytest.raises(InputError, match="^Graph 2 of 2: .*'x_9' is not defined"):
        AnalysisView("small", text="1 = x_0\n\nx_9 = x_1").drawn_graphs(small)
    with pytest.raises(InputError, match="No equations were typed"):
        AnalysisView("small", text=" \n").drawn_graphs(small)


@pytest.mark.parametrize(
    "view", [AnalysisView("m", text="1 = a\n\n2 = b; b = c"), AnalysisView("m", n=8, graphs=2)]
)
def test_the_code_of_the_graphs_makes_them(view, small):
    from analyses.inputs import GraphSource

    model = load("compiled")
    scope = {"model": model, "GraphSource": GraphSource}
    exec("\n".join(view.graph_code()), scope)
    assert scope["graphs"] == view.drawn_graphs(model)


def test_a_result_comes_back_from_disk_as_it_was(folder, result):
    assert stored("a" * 64) is None
    assert store("a" * 64, result)
    again = stored("a" * 64)
    assert again is not None
    pd.testing.assert_frame_equal(again.frame, result.frame)
    pd.testing.assert_frame_equal(again.summary, result.summary)
    assert (again.verdict, again.data, again.seconds) == (result.verdict, result.data, result.seconds)
    assert json.loads(again.figures["first"].to_json()) == json.loads(result.figures["first"].to_json())
    assert [path.name for path in folder.iterdir()] == ["a" * 64 + ".zip"]


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "text"])
def test_a_damaged_result_is_none(folder, result, damage):
    store("key", result)
    path = folder / "key.zip"
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[60] ^= 255
    path.write_bytes({"cut": content[:200], "empty": b"", "changed": content, "text": b"hello"}[damage])
    assert stored("key") is None
    assert store("key", result)
    assert stored("key") is not None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, result):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path / "file" / "folder"))
    assert not store("key", result)
    assert stored("key") is None


def test_the_oldest_results_go(folder, result, monkeypatch):
    import os

    monkeypatch.setattr(precomputed, "_KEPT", 2)
    for age, key in enumerate(["first", "second", "third"]):
        store(key, result)
        os.utime(folder / f"{key}.zip", (age, age))
    store("fourth", result)
    assert sorted(path.stem for path in folder.iterdir()) == ["fourth", "third"]


def test_the_folder_is_the_users_unless_said_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("RECURLENS_CACHE", "/given")
    assert str(cache_folder()) == "/given"
    monkeypatch.delenv("RECURLENS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/users")
    assert str(cache_folder()) == "/users/recurlens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "recurlens"


def test_the_key_changes_with_all_that_matters(small, monkeypatch):
    graphs = AnalysisView("small", n=7, graphs=2).drawn_graphs(small)
    digest = model_digest(small)
    other = compile_model(("ADD",), modulus=5, n_variables=16)
    assert model_digest(other) == digest
    other.blocks[0].mlp.W_in.data[0, 0] += 1
    keys = [
        content_key("lens", [digest], graphs, {"factor": "value"}),
        content_key("codes", [digest], graphs, {"factor": "value"}),
        content_key("lens", [model_digest(other)], graphs, {"factor": "value"}),
        content_key("lens", [digest, model_digest(other)], graphs, {"factor": "value"}),
        content_key("lens", [digest], graphs[:1], {"factor": "value"}),
        content_key("lens", [digest], graphs, {"factor": "syntax"}),
    ]
    monkeypatch.setattr(precomputed, "_code_digest", lambda: "other code")
    keys.append(content_key("lens", [digest], graphs, {"factor": "value"}))
    assert len(set(keys)) == len(keys)


def test_the_figures_are_one_page(result):
    page = figures_html("lens", [*result.figures.values()] * 2)
    assert page.count("<body>") == 1
    assert page.count("plotly-graph-div") == 2
    assert len(page) < 1.2 * len(figures_html("lens", result.figures.values()))


def draw_stub() -> None:
    from tests_stub_analysis import PAGE  # pyright: ignore[reportMissingImports]

    from dashboards.analysis_page import analysis_page

    analysis_page(PAGE)


class StubStudy:
    def __init__(self, graphs, factor):
        self.graphs, self.factor = graphs, factor

    def verdict(self) -> str:
        return f"{len(self.graphs)} graphs, {self.factor}."

    def table(self):
        from rich.table import Table

        table = Table("graph", "nodes")
        for index, graph in enumerate(self.graphs):
            table.add_row(str(index), str(len(graph)))
        return table

    def to_frame(self):
        return pd.DataFrame({"nodes": [len(graph) for graph in self.graphs]})

    def to_dict(self):
        return {"nodes": [len(graph) for graph in self.graphs]}

    def figures(self):
        return {"sizes": go.Figure(go.Bar(y=[len(graph) for graph in self.graphs]))}


@pytest.fixture
def stub(request, monkeypatch, folder):
    """A page of a study that only counts, with what it was called with; `stub.fail` is raised instead, if set.

    A parameter: what the record says of the page.
    """
    import sys
    import types

    from analyses.framework.record import Analysis, Page
    from analyses.framework.settings import Setting
    from dashboards.analysis_page import page_of
    from dashboards.computing import computations
    from dashboards.results import results

    said = getattr(request, "param", {"at_once": 1000})
    module = types.ModuleType("tests_stub_analysis")
    calls: list[tuple] = []

    def study_stub(graphs, model, factor):
        calls.append((len(graphs), model, factor))
        if module.fail is not None:
            raise module.fail
        return StubStudy(graphs, factor)

    results.clear()
    computations.clear()
    module.calls, module.fail = calls, None
    module.study_stub = study_stub
    module.PAGE = page_of(
        Analysis(
            name="stub",
            about="Count.",
            study="tests_stub_analysis:study_stub",
            settings=(Setting("factor", "Which.", "value"),),
            page=Page("Stub", "What?", "What it is.", choices=(FACTOR,), **said),
        )
    )
    monkeypatch.setitem(sys.modules, "tests_stub_analysis", module)
    return module


def opened(**params: str) -> AppTest:
    app = unfolded(AppTest.from_function(draw_stub, default_timeout=60))
    for name, value in params.items():
        app.query_params[name] = value
    return checked(app.run())


def test_a_bare_address_is_computed_once_and_kept(stub, folder):
    from dashboards.results import results

    app = opened(model="compiled")
    assert "32 graphs, value." in sentences(app)
    assert address(app) == {
        "model": "compiled", "n": "16", "graphs": "32", "seed": "0", "ops": "ADD", "factor": "value",
    }  # fmt: skip
    assert list(app.dataframe[0].value["nodes"]) == ["16"] * 32
    checked(app.run())
    results.clear()
    assert "32 graphs, value." in sentences(opened(**address(app)))
    assert stub.calls == [(32, "compiled", "value")]
    assert len(list(folder.iterdir())) == 1


def test_other_settings_and_graphs_are_followed(stub, folder):
    app = opened(model="compiled", n="6", graphs="2")
    app.selectbox(key="stub_factor").set_value("syntax")
    app.number_input(key="stub_graphs").set_value(3)
    checked(app.run())
    assert "3 graphs, syntax." in sentences(app)
    assert (address(app)["graphs"], address(app)["factor"]) == ("3", "syntax")
    app.segmented_control(key="stub_source").set_value("My own")
    checked(app.run())
    assert "1 graphs, syntax." in sentences(app)
    assert address(app)["text"] == ComputationGraph.sample(6, seed=0).to_text("\n")
    assert not folder.exists()


def test_large_views_are_computed_when_asked_for(stub):
    app = opened(model="compiled", n="40", graphs="40")
    assert ["40 graphs with 1,600 nodes in all take a while" in info.value for info in app.info] == [True]
    assert stub.calls == []
    checked(app.button(key="stub_compute").click().run())
    assert "40 graphs, value." in sentences(app)
    checked(app.run())
    assert not app.info
    assert [graphs for graphs, *_ in stub.calls] == [10, 40]  # a quarter of them first, once each


def test_mistakes_are_messages_not_tracebacks(stub):
    app = opened(model="nobody", n="x", factor="colour", text="a + b = c")
    assert len(app.error) == 4
    assert stub.calls == []
    checked(app.text_area(key="stub_text").set_value("2 = a; a = c").run())
    assert not app.error
    assert "1 graphs, value." in sentences(app)
    stub.fail = ValueError("too few graphs")
    checked(app.text_area(key="stub_text").set_value("2 = a; a = b").run())
    assert [error.value for error in app.error] == ["too few graphs"]
    stub.fail = ZeroDivisionError("by zero")
    checked(app.run())
    assert [error.value for error in app.error] == ["ZeroDivisionError: by zero"]


def test_operations_the_model_does_not_know_are_a_warning(stub):
    app = opened(model="discrete-corrected", ops="ADD,MUL", n="6", graphs="2")
    assert ["discrete-corrected does not know MUL" in warning.value for warning in app.warning] == [True]
    assert address(app)["ops"] == "ADD"


def test_a_view_is_default_by_its_graphs_alone(stub):
    view = default_view((FACTOR,))
    assert stub.PAGE.is_default(replace(view, model="compiled", settings=(("factor", "syntax"),)))
    assert not stub.PAGE.is_default(replace(view, seed=1))
    assert not stub.PAGE.is_default(replace(view, text="1 = a"))


@pytest.mark.parametrize("stub", [{"graphs": 0, "at_once": 0}], indirect=True)
def test_a_page_of_a_study_that_draws_its_own_graphs_offers_none(stub):
    from dashboards.analysis_page import snippet

    app = opened(model="compiled", n="9", graphs="3", text="1 = a")
    assert not app.error and stub.calls == []
    assert [info.value for info in app.info] == ["This takes a while."]
    assert not app.number_input and not app.text_area
    assert address(app) == {"model": "compiled", "factor": "value"}
    checked(app.button(key="stub_compute").click().run())
    assert "0 graphs, value." in sentences(app)
    checked(app.selectbox(key="stub_model").set_value("discrete").run())
    assert address(app)["model"] == "discrete"
    checked(app.button(key="stub_compute").click().run())
    assert stub.calls == [(0, "compiled", "value"), (0, "discrete", "value")]
    view = stub.PAGE.inputs.default
    assert stub.PAGE.line(view) == f"recurlens stub --model {view.model} --factor value"
    assert f"study = study_stub([], {view.model!r}, factor='value')" in snippet(stub.PAGE, view, [])
    assert "graphs = " not in snippet(stub.PAGE, view, [])


@pytest.mark.parametrize("stub", [{"graphs": 0, "model": False}], indirect=True)
def test_a_page_that_is_about_no_model_offers_none(stub):
    app = opened(model="discrete", factor="syntax")
    assert not app.error and not app.warning
    assert "0 graphs, syntax." in sentences(app)
    assert address(app) == {"factor": "syntax"}
    assert [box.key for box in app.selectbox] == ["stub_factor"]
    checked(app.selectbox(key="stub_factor").set_value("value").run())
    assert stub.calls == [(0, "", "syntax"), (0, "", "value")]
    assert stub.PAGE.line(stub.PAGE.inputs.default) == "recurlens stub --factor value"
    assert stub.PAGE.default_result("").verdict == "0 graphs, value."


def test_the_result_as_json_is_its_data(result):
    assert json.loads(result.to_json()) == result.data
