"""The Trajectory page through Streamlit's own test runner: errors, sampling, slider, overwriting, the address."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboards.trajectory.view import Edit, View
from dashboards.trajectory.words import spans
from models import ComputationGraph, load
from models.operations import OPERATIONS
from tests.pages import address, checked, codes_of, figure, played, sentences, shown_values, trace, unfolded

CHAIN = "20 = x_7; 2 = x_42; x_7 + x_42 = total; total * x_42 = twice"


@pytest.fixture
def page(root: Path):
    """Opens the app at an address and runs it once."""

    def open_page(**params: str) -> AppTest:
        app = unfolded(AppTest.from_file(str(root / "dashboards" / "app.py"), default_timeout=60))
        for name, value in params.items():
            app.query_params[name] = value
        return checked(app.run())

    return open_page


def captions(app: AppTest) -> str:
    return "\n".join(one.value for one in app.caption)


def names(app: AppTest) -> list[str]:
    return [node["name"] for node in played(app)["scene"]["nodes"]]


def test_a_bare_address_shows_a_sampled_graph_that_is_solved(page):
    app = page()
    assert address(app)["n"] == "32"
    assert address(app)["seed"] == "0"
    assert "match the symbolic oracle" in sentences(app)
    assert len(played(app)["scene"]["nodes"]) == 32


def test_sampling_draws_the_graph_of_the_seed(page):
    app = page(model="compiled", n="6", seed="0")
    app.number_input(key="n").set_value(9)
    app.number_input(key="seed").set_value(4)
    checked(app.pills(key="ops").set_value(["SUB", "MUL"]).run())
    expected = ComputationGraph.sample(9, ops=("SUB", "MUL"), seed=4)
    assert names(app) == [node.name for node in expected.nodes]
    assert address(app) == {
        "model": "compiled", "n": "9", "seed": "4", "ops": "SUB,MUL",
        "step": str(max(expected.depths_by_node) + 1), "at": address(app)["at"],
    }  # fmt: skip


def test_a_mistake_shows_the_parsers_message_and_keeps_the_last_graph(page):
    app = page(model="compiled", text=CHAIN)
    checked(app.text_area(key="text").set_value("20 = a; a + b = c").run())
    assert [error.value for error in app.error] == [
        "In 'a + b = c': 'b' is not defined by any equation. Give it an equation of its own, such as '1 = b'"
    ]
    assert names(app) == ["x_7", "x_42", "total", "twice"]
    checked(app.text_area(key="text").set_value("20 = a; 3 = b; a + b = c").run())
    assert not app.error
    assert shown_values(app) == ["20", "3", "0"]


def test_an_address_with_mistakes_is_answered_by_messages(page):
    app = page(model="nobody", n="1000", seed="x", ops="DIV", step="late", at="-1", edit="?")
    assert len(app.error) == 7
    assert "match the symbolic oracle" in sentences(app)


def test_an_edit_without_a_place_is_a_message(page):
    app = page(model="compiled", text=CHAIN, edit="nobody@0=3")
    assert [error.value for error in app.error] == ["The graph has no node 'nobody' to overwrite."]
    assert "edit" not in address(app)


def test_the_player_shows_the_state_of_its_step(page):
    for step, values in (("3", ["20", "2", "22", "21"]), ("1", ["20", "2", "22", "•"]), ("start", ["•"] * 4)):
        app = page(model="compiled", text=CHAIN, step=step)
        assert shown_values(app) == values
        assert address(app)["step"] == step


def test_the_player_has_four_factors_under_own_names_and_their_probabilities(page):
    app = page(model="compiled", text=CHAIN, at="12", step="1")
    data = played(app)
    scene, run = data["scene"], load("compiled").run(CHAIN)
    assert (data["step"], data["at"], data["shown"]) == (2, 12, "original")
    assert list(data["editable"]) == scene["factors"] == ["syntax", "variable", "operation", "value"]
    assert codes_of(scene).tolist() == run.states[:, 0].tolist()
    symbols = [scene["symbols"][factor] for factor in scene["factors"]]
    shown = [[symbols[place][code] for place, code in enumerate(codes)] for codes in codes_of(scene)[:, 12]]
    assert {variable for _, variable, _, _ in shown} == {"total"}
    assert [value for *_, value in shown] == ["EMPTY", "EMPTY", "22", "22", "22"]
    sure = np.frombuffer(base64.b64decode(scene["runs"][0]["sure"]), "<u2").reshape(
        run.confidence[:, 0].shape
    )
    assert np.abs(sure / 65535 - run.confidence[:, 0].numpy()).max() < 1e-4
    total = scene["nodes"][2]
    assert (total["first"], total["rhs"], total["truth"], total["operands"]) == (7, 12, 22, [0, 1])


def test_overwriting_changes_the_rest_of_the_run(page):
    app = page(model="compiled", text=CHAIN)
    assert "edit" not in address(app)
    checked(app.toggle(key="overwriting").set_value(True).run())
    app.selectbox(key="edit_node").set_value("x_42")
    app.selectbox(key="edit_state").set_value(1)
    checked(app.selectbox(key="edit_value").set_value("5").run())
    assert address(app)["edit"] == "x_42@0=5"
    assert "is 5 instead of 2. 2 other nodes showed another value" in sentences(app)
    assert "**step 3 healed it**" in sentences(app)
    assert "Control, the same edit with the value that `x_42` shows anyway (2): no node" in captions(app)
    assert [run["label"] for run in played(app)["scene"]["runs"]] == ["original", "edited"]
    edited = figure(app, "edited heatmap")
    assert trace(edited, "values")["z"][1] == [20, 2, 2, 24]
    assert "differs from the original run" in [trace.get("name") for trace in edited["data"]]
    assert list(app.dataframe[0].value["node"]) == ["x_42", "total", "twice"]
    checked(app.toggle(key="overwriting").set_value(False).run())
    assert "edit" not in address(app)


def test_an_edit_of_a_hidden_state_says_what_was_done_and_shows_its_control(page):
    text = CHAIN.replace("*", "+")
    app = page(model="continuous", text=text)
    run = load("continuous").run(text)
    total = [node.name for node in run.encoded.graphs[0].nodes].index("total")
    shown = run.vocabulary.symbols("value")[int(run.values[2, 0, total])]
    checked(app.toggle(key="overwriting").set_value(True).run())
    app.selectbox(key="edit_node").set_value("total")
    app.selectbox(key="edit_state").set_value(2)
    said = {}
    for value in (shown, "7" if shown != "7" else "8"):
        checked(app.selectbox(key="edit_value").set_value(value).run())
        said[value] = sentences(app) + captions(app)
        assert "The hidden state was kept, and moved at `total`" in said[value]
        assert f"shows anyway ({shown}): no node shows another value" in said[value]
    assert "so nothing changes" in said.pop(shown)
    assert f"instead of {shown}." in next(iter(said.values()))


def test_a_head_is_taken_off_beside_the_original(page):
    app = page(model="compiled", text=CHAIN, edit="0.2@1=off")
    assert not app.error and app.toggle(key="head off").value and not app.toggle(key="overwriting").value
    assert "Without head 0.2 in step 1 2 nodes showed another value than in the original run" in sentences(
        app
    )
    assert "**step 3 healed it**" in sentences(app)
    assert played(app)["scene"]["edited_at"] == 1
    assert address(app)["edit"] == "0.2@1=off"
    command = app.code[-1].value
    assert command.startswith("recurlens compare ") and command.endswith(" --other-edit 0.2@1=off")
    checked(app.selectbox(key="off_step").set_value(None).run())
    assert address(app)["edit"] == "0.2@all=off" and "it never healed" in sentences(app)
    checked(app.toggle(key="overwriting").set_value(True).run())
    assert not app.toggle(key="head off").value and "=off" not in address(app)["edit"]
    wrong = page(model="compiled", text=CHAIN, edit="7.0@1=off")
    assert "layer is 7; allowed are 0 to 2" in wrong.error[0].value


def test_any_symbol_can_be_changed_not_only_values(page):
    """The second operand of `total` is made x_7: 20 + 20 instead of 20 + 2, for good, since the text keeps it."""
    app = page(model="compiled", text=CHAIN, edit="10.variable@0=x_7")
    assert not app.error
    assert address(app)["edit"] == "10.variable@0=x_7"
    assert "the variable at position 10 (in `x_7 ADD x_42 = total`) is x_7 instead of x_42" in sentences(app)
    assert "**it never healed**" in sentences(app)
    assert shown_values(app, 0) == ["20", "2", "22", "21"]
    assert shown_values(app, 1) == ["20", "2", "17", "11"]
    assert not app.selectbox(key="model").disabled
    assert "edit_node" not in app.session_state
    for edit, message in (
        ("99.variable@0=x_7", "There is no position 99 to overwrite; this graph has 0 to 18."),
        ("10.variable@0=y", "There is no variable y; allowed are"),
    ):
        wrong = page(model="compiled", text=CHAIN, edit=edit)
        assert message in wrong.error[0].value


@pytest.mark.parametrize(
    "params",
    [
        {"model": "compiled", "text": CHAIN, "step": "1", "at": "3", "edit": "total@1=EMPTY"},
        {
            "model": "compiled",
            "text": CHAIN,
            "step": "1",
            "at": "3",
            "edit": "10.variable@1=x_7",
            "shown": "original",
        },
        {"model": "compiled", "n": "8", "seed": "5", "ops": "ADD,MUL", "step": "start", "at": "0"},
    ],
)
def test_an_address_gives_the_same_view_again(page, params):
    first = page(**params)
    assert address(first) == params
    assert not first.error
    second = page(**address(first))
    assert played(first) == played(second)
    charts = ["heatmap", *(["edited heatmap"] if "edit" in params else [])]
    assert [figure(first, key) for key in charts] == [figure(second, key) for key in charts]
    assert sentences(first) == sentences(second)


def test_another_address_in_the_same_session_is_followed(page):
    app = page(model="compiled", n="8", seed="5", ops="ADD", step="0", at="0")
    app.query_params.clear()
    app.query_params.update({"model": "compiled", "text": CHAIN, "step": "0", "at": "0"})
    checked(app.run())
    assert shown_values(app) == ["20", "2", "•", "•"]


def test_another_graph_starts_at_its_last_step_without_an_edit(page):
    app = page(model="compiled", text=CHAIN, step="0", edit="x_7@0=3")
    checked(app.text_area(key="text").set_value("1 = a; a = b").run())
    assert address(app)["step"] == "2"
    assert "edit" not in address(app)


def test_the_code_that_is_shown_draws_the_page(page):
    app = page(model="compiled", text=CHAIN, step="1", edit="x_42@0=5")
    run, command, edited, comparing = (element.value for element in app.code)
    assert command == f"recurlens solve '{CHAIN}' --model compiled"
    assert comparing == f"recurlens compare '{CHAIN}' --model compiled --other-edit x_42@0=5"
    codes = [run, edited]
    for code, key in zip(codes, ["heatmap", "edited heatmap"], strict=True):
        scope: dict = {}
        exec(code.replace(".show()", "").replace("trajectory_figure(", "drawn = trajectory_figure(").replace(
            "import drawn = ", "import "), scope)  # fmt: skip
        shown = [trace for trace in figure(app, key)["data"] if trace.get("name") != "cells"]
        assert json.loads(scope["drawn"].to_json())["data"] == shown


def test_a_view_survives_its_parameters():
    view = View("compiled", None, 12, 7, ("SUB",), state=3, at=5, edit=Edit("größe", 0, "EMPTY"))
    assert View.from_params(view.to_params(), View()) == (view, [])


def test_spans_say_which_steps():
    assert spans([True, False, True, True], first_state=0) == "start, 1 to 2"
    assert spans([False, False], first_state=3) == ""


def test_a_compiled_model_is_taken_for_the_operations_of_the_graph(page):
    app = page(model="compiled", n="9", seed="4")
    assert app.pills(key="ops").options == list(OPERATIONS)
    checked(app.pills(key="ops").set_value(["ADD", "MAX"]).run())
    expected = ComputationGraph.sample(9, ops=("ADD", "MAX"), seed=4)
    assert names(app) == [node.name for node in expected.nodes]
    assert "match the symbolic oracle" in sentences(app)
    assert (address(app)["model"], address(app)["ops"]) == ("compiled-max", "ADD,MAX")
    again = page(**address(app))
    assert again.selectbox(key="model").value == "compiled-max"
    typed = page(model="compiled", text="3 = a; 4 = b; a MAX b = c")
    assert "match the symbolic oracle" in sentences(typed)
    assert not typed.error
