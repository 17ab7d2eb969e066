"""The pages Attention, Mechanism, Story and Training through Streamlit's own test runner."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analyses.catalogue.mechanism import FIGURES, LABELS
from analyses.inputs import InputError
from analyses.mechanism import PARTS, WITH_GRAPHS, study_mechanism
from analyses.training_dynamics import DATA, TrainingStudy
from dashboards.analysis_page import snippet
from dashboards.graph_view import default_view
from dashboards.mechanism import MECHANISM
from dashboards.results import results
from dashboards.story import STORY
from interp.mechanism.onsets import TrainingDynamics
from models.graph import ComputationGraph
from models.snapshots import snapshot_files
from tests.pages import address, checked, sentences, unfolded

OWN = "20 = a; 2 = b; a + b = total"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path))
    results.clear()


def draw(page: str) -> None:
    import importlib

    from dashboards.analysis_page import analysis_page
    from dashboards.pages import analysis_pages

    if page in analysis_pages():
        analysis_page(analysis_pages()[page])
    else:
        getattr(importlib.import_module(f"dashboards.{page}"), f"{page}_page")()


def opened(page: str, **params: str) -> AppTest:
    app = unfolded(AppTest.from_function(draw, default_timeout=120, args=(page,)))
    for name, value in params.items():
        app.query_params[name] = value
    return checked(app.run())


def specs(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def titles(app: AppTest) -> list[str]:
    return [spec["layout"]["title"]["text"] for spec in specs(app)]


def drawn_by(code: str) -> list[dict]:
    """The data of the figures that a snippet shows."""
    scope: dict = {"drawn": []}
    lines = [
        f"drawn.append({line.removesuffix('.show()')})" if line.endswith(".show()") else line
        for line in code.splitlines()
    ]
    exec("\n".join(lines), scope)
    return [json.loads(figure.to_json())["data"] for figure in scope["drawn"]]


def test_attention_of_my_own_graph_and_the_code_that_draws_it():
    app = opened("attention", model="compiled", text=OWN, step="1", layer="1", head="2")
    assert not app.error
    assert titles(app) == [
        "Attention on the graph at step 1, head 1.2",
        "Head 1.2 at step 1: where right-hand sides look",
        "What stands where heads look, at step 1",
    ]
    chosen = {"model": "compiled", "text": OWN, "step": "1", "layer": "1", "head": "2"}
    assert address(app) == chosen | {"nodes": "computing"}
    assert drawn_by(app.code[0].value) == [spec["data"] for spec in specs(app)]


def test_attention_is_followed_from_step_to_step_and_head_to_head():
    app = opened("attention", model="compiled", text=OWN, step="0", layer="9", head="all")
    assert address(app)["layer"] == "2", "the last there is"
    assert "of 2 operands get at least half of the attention of some head of layer 2" in sentences(app)
    checked(app.select_slider(key="attention_step").set_value("1").run())
    checked(app.segmented_control(key="attention_head").set_value("0").run())
    assert titles(app)[1] == "Head 2.0 at step 1: where right-hand sides look"
    assert (address(app)["step"], address(app)["head"]) == ("1", "0")
    checked(app.text_area(key="attention_text").set_value("20 = a\n\n2 = b").run())
    assert [error.value for error in app.error] == ["This page is about one graph, and 2 were given."]
    assert not specs(app)


@pytest.mark.parametrize("name", ["continuous", "recurrent"])
def test_attention_needs_no_discrete_states(name):
    app = opened("attention", model=name, text=OWN)
    assert not app.error
    assert len(specs(app)) == 3


def test_a_story_is_told_and_tested():
    app = opened("story", model="compiled", text=OWN)
    assert not app.error
    assert "claims that can be tested are backed" in sentences(app)
    assert titles(app) == [
        "a ADD b = total, true value 22 (solved)",
        "The circuit of step 1 for a ADD b = total",
    ]
    assert list(app.dataframe[0].value.columns)[:3] == ["node", "step", "component patched"]
    assert app.code[1].value == f"recurlens story '{OWN}' --model compiled"
    assert drawn_by(app.code[0].value) == [spec["data"] for spec in specs(app)]
    checked(app.selectbox(key="story_step").set_value("0").run())
    assert address(app) == {"model": "compiled", "text": OWN, "node": "last", "step": "0"}
    checked(app.selectbox(key="story_node").set_value("0").run())
    assert titles(app)[0].startswith("20 = a, true value 20")
    assert app.code[1].value.endswith("--node 0")


def test_the_edges_of_a_step_are_measured_when_asked_for():
    app = opened("story", model="compiled", text=OWN)
    (measure,) = [button for button in app.button if button.label == "Measure the edges of this step"]
    checked(measure.click().run())
    assert titles(app)[-1] == "Measured edges of step 1 for a ADD b = total"
    (code,) = [one.value for one in app.code if "step_edges" in one.value]
    assert drawn_by(code) == [specs(app)[-1]["data"]]
    checked(app.selectbox(key="story_step").set_value("0").run())
    assert len(titles(app)) == 2, "of another step nothing was asked"


@pytest.mark.parametrize("part", ["changes", "composition"])
def test_a_part_of_the_mechanism_has_its_control_beside_it(part):
    app = opened("mechanism", model="compiled", text=OWN, part=part, operation="ADD")
    assert not app.error
    assert "untrained" in sentences(app).lower()
    assert titles(app)[1] == f"Control, untrained weights. {titles(app)[0]}"
    assert app.segmented_control(key="mechanism_part").options == list(LABELS)
    if part == "changes":
        assert drawn_by(app.code[0].value) == [spec["data"] for spec in specs(app)]


@pytest.mark.parametrize(
    ("page", "name", "said"),
    [
        ("mechanism", "recurrent", "supervised at the end of its 8 steps alone"),
        ("story", "recurrent", "discrete states"),
        ("story", "continuous", "discrete states"),
    ],
)
def test_what_a_model_lacks_is_a_sentence(page, said, name):
    app = opened(page, model=name, text=OWN)
    assert [said in error.value for error in app.error] == [True]
    assert not specs(app)


def test_every_part_has_figures_and_refuses_what_there_is_not():
    assert set(FIGURES) == set(PARTS)
    graphs = [ComputationGraph.parse(OWN)]
    with pytest.raises(InputError, match="There is no part 'tails': use one of heads, "):
        study_mechanism(graphs, "compiled", "tails")
    with pytest.raises(InputError, match="MUL"):
        study_mechanism(graphs, "discrete-corrected", "fourier", "MUL")
    for part in PARTS:
        view = default_view(MECHANISM.settings, 2).with_settings(part=part)
        assert f"part={part!r}" in snippet(MECHANISM, view, [])
        line = MECHANISM.line(view)
        assert line.startswith("recurlens mechanism ") and f"--model discrete-corrected --part {part}" in line
        assert ("--n-nodes" in line) == (part in WITH_GRAPHS)


def test_bare_addresses_are_computed_at_once():
    for page in (MECHANISM, STORY):
        view = default_view(page.settings, page.graphs)
        assert page.is_default(view) and view.n * view.graphs <= page.at_once
    assert [dict(variant)["part"] for variant in MECHANISM.page.variants] == list(PARTS)


def test_training_of_the_bundled_model_is_that_of_its_snapshots():
    study = TrainingStudy.bundled("discrete-corrected")
    assert study is not None
    assert study.dynamics.steps.tolist() == [step for step, _ in snapshot_files("discrete-corrected")]
    assert study.to_dict() == json.loads((DATA / "training_discrete-corrected.json").read_text())
    app = opened("training")
    assert study.verdict() in sentences(app)
    assert titles(app) == [
        "What is learnt when",
        "Which comes first",
        "Distances that heads are born with",
    ]
    assert drawn_by(app.code[0].value) == [spec["data"] for spec in specs(app)]


def test_a_model_without_snapshots_says_how_to_get_them():
    app = opened("training", model="compiled")
    assert ["'recurlens train --snapshots N' keeps them" in info.value for info in app.info] == [True]
    assert not specs(app)
    app = opened("training", model="nobody")
    assert "There is no model 'nobody'" in app.error[0].value


def test_a_file_that_holds_no_training_study_is_refused(tmp_path):
    path = tmp_path / "training.json"
    for text in ("no JSON", "[]", '{"model": "m", "steps": [1]}'):
        path.write_text(text)
        with pytest.raises(InputError, match="is not the result of a training study"):
            TrainingStudy.load(path)
    plain = {"steps": [1, 2], "measures": {"solved": [0.0, 1.0]}, "graphs": 3}
    dynamics = TrainingDynamics.from_dict(plain)
    assert dynamics.graphs == 3 and np.array_equal(dynamics.measures["solved"], [0, 1])
    with pytest.raises(ValueError, match="measures solved; allowed"):
        TrainingDynamics.from_dict(plain | {"steps": [1]})
