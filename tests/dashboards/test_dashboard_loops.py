"""Pages of looped models: what the server offers, what a page shows of it or says that it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analyses.catalogue import every_record
from analyses.framework.record import OnLoops
from analyses.loops.offered import offer
from dashboards.loop_page import LoopView
from tests.foreign import FILE, IDS
from tests.pages import address, checked, figure, sentences, unfolded


@pytest.fixture(autouse=True)
def offers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyses.loops.offered._OFFERED", {})
    offer("parity")
    offer(f"{FILE}:Mixer")


def draw(name: str, model: str) -> None:
    from analyses.catalogue import every_record
    from dashboards.loop_page import loop_page

    loop_page(next(record for record in every_record() if record.name == name), name, model)


def opened(name: str, model: str, **params: str) -> AppTest:
    app = unfolded(AppTest.from_function(draw, default_timeout=120, args=(name, model)))
    for key, value in {"model": model, **params}.items():
        app.query_params[key] = value
    return checked(app.run())


def test_a_trajectory_shows_symbols_by_position_and_step() -> None:
    app = opened("solve", "parity", inputs="110100")
    assert "Every step writes what the task's own step does." in sentences(app)
    codes = figure(app, "solve parity")["data"][0]
    assert [len(line) for line in codes["z"]] == [13] * 7
    assert codes["z"][-1][2::2] == [1, 0, 0, 1, 1, 1]
    assert address(app) == {"model": "parity", "inputs": "110100"}


@pytest.mark.parametrize("record", every_record(), ids=lambda record: record.name)
def test_every_page_works_or_says_what_is_missing(record) -> None:
    app = opened(record.name, "foreign.py:Mixer", inputs=IDS)
    assert not app.error
    drawn, said = app.get("plotly_chart"), [box.value for box in (*app.info, *app.warning)]
    assert bool(drawn) != bool(said)
    if not isinstance(record.loop, OnLoops):
        assert "This page needs" in said[0]
    if record.name == "attention":
        assert "pattern" in said[0]


def test_settings_of_the_sidebar_are_in_the_address() -> None:
    app = opened("patch", "foreign.py:Mixer", inputs="3 1 4 1 5\n3 1 4 1 6", sites="mix", steps="3")
    assert "patches" in sentences(app)
    assert address(app)["sites"] == "mix" and address(app)["steps"] == "3"
    code = app.code[-1].value
    assert (
        code.startswith("recurlens patch --model")
        and "--clean '3 1 4 1 5' --corrupt '3 1 4 1 6' --steps 3 --sites mix" in code
    )


def test_a_view_is_its_address() -> None:
    view = LoopView("parity", None, 3, 7, 5, 1, "parity", "mlp_out")
    assert LoopView.from_params(view.to_params(), 1) == (view, [])
    assert LoopView.from_params({"model": "parity", "steps": "x"}, 1)[1]


def test_an_address_names_no_file(tmp_path: Path) -> None:
    """What the server was not started with is not there; nothing of it is run."""
    file = tmp_path / "loop.py"
    file.write_text("open(__file__ + '.ran', 'w')\ndef make():\n    return None\n")

    def choose() -> None:
        import streamlit as st

        from dashboards.model_choice import chosen_loop

        st.write(repr(chosen_loop()))

    app = AppTest.from_function(choose, default_timeout=120)
    app.query_params["model"] = f"{file}:make"
    assert sentences(checked(app.run())) == "None"
    app.query_params["model"] = "parity"
    assert "parity" in sentences(checked(app.run()))
    del app.query_params["model"]
    assert "parity" in sentences(checked(app.run()))
    assert list(tmp_path.iterdir()) == [file]


def test_a_chosen_model_is_kept_on_a_page_that_has_shown_none_or_another() -> None:
    """The address of a page that is come to from the navigation is bare; the first that is offered is parity."""
    app = checked(
        AppTest.from_function(draw, default_timeout=120, args=("attention", "foreign.py:Mixer")).run()
    )
    assert address(app)["model"] == "foreign.py:Mixer"
    assert "Mixer needs --inputs" in app.warning[0].value


def test_the_choice_of_models_has_what_is_offered() -> None:
    def page() -> None:
        from dashboards.model_choice import choose_model, chosen_loop

        if chosen_loop() is None:
            choose_model(["compiled", "discrete"], "model", "")

    app = checked(AppTest.from_function(page, default_timeout=120).run())
    looped = ["parity  ·  looped", "foreign.py:Mixer  ·  looped"]
    assert app.selectbox[0].options == ["compiled", "discrete", *looped]
    checked(app.selectbox[0].select_index(2).run())
    assert address(app) == {"model": "parity"}
