"""A run that takes long has progress and Cancel on every page and is shared; nothing of an address is lost by it."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from streamlit.testing.v1 import AppTest

from dashboards import computing
from dashboards.computing import Computation
from models.recurrent import RecurrentTransformer
from tests.pages import address, checked, sentences, unfolded

TEXT = "20 = a; 2 = b; a + b = c; c - a = d"
PAIR = {"model": "compiled", "clean": TEXT, "corrupt": TEXT.replace("2 = b", "5 = b")}
ONE = {"model": "compiled", "text": TEXT}
SLOW = {
    "trajectory, run": ("trajectory", ONE, "models.recurrent.RecurrentTransformer.run"),
    "trajectory, edit": ("trajectory", ONE | {"edit": "a@0=3"}, "interp.causal.overwrite.overwrite_value"),
    "attention, run": ("attention", ONE, "models.recurrent.RecurrentTransformer.run"),
    "attention, pattern": ("attention", ONE | {"step": "0"}, "dashboards.attention.rhs_pattern"),
    "attention, roles": ("attention", ONE, "dashboards.attention.attention_targets"),
    "patching, runs": ("patching", PAIR, "models.recurrent.RecurrentTransformer.run"),
    "patching, cell": ("patching", PAIR | {"cell": "1"}, "dashboards.patching.results.run_interventions"),
}


def opened(name: str, **query: str) -> AppTest:
    def app(name: str) -> None:
        import importlib

        module = "dashboards.attention" if name == "attention" else f"dashboards.{name}.page"
        getattr(importlib.import_module(module), f"{name}_page")()

    page = unfolded(AppTest.from_function(app, default_timeout=120, args=(name,)))
    page.query_params.update(query)
    return checked(page.run())


def until(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.02)
    return condition()


def buttons(page: AppTest, label: str) -> list:
    return [button for button in page.button if button.label == label]


@pytest.fixture(autouse=True)
def nothing_known():
    computing.computations.clear()
    yield
    computing.computations.clear()


@pytest.fixture
def slowed(monkeypatch: pytest.MonkeyPatch):
    """Makes a function go on until it is told to end; the pages wait for everything but that."""
    go_on, entered = threading.Event(), threading.Event()

    def wait(job: Computation, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while job.running and time.monotonic() < end and (go_on.is_set() or not entered.is_set()):
            time.sleep(0.01)
        return not job.running

    def slow(path: str) -> threading.Event:
        owner, _, name = path.rpartition(".")
        target = RecurrentTransformer if owner.endswith("RecurrentTransformer") else _module(owner)
        original = getattr(target, name)

        def waiting(*given, **options):
            while not go_on.is_set():
                entered.set()
                torch.ones(4).sum()
                go_on.wait(0.02)
            return original(*given, **options)

        monkeypatch.setattr(target, name, waiting)
        entered.clear()
        monkeypatch.setattr(Computation, "wait", wait)
        monkeypatch.setattr("dashboards.patching.page._PATIENCE", 60.0)  # of the sweep, which is not slowed
        return go_on

    yield slow
    go_on.set()


def _module(name: str):
    import importlib

    return importlib.import_module(name)


@pytest.mark.parametrize("case", SLOW)
def test_what_takes_long_can_be_cancelled_and_asked_for_again(case, slowed):
    name, query, function = SLOW[case]
    go_on = slowed(function)
    page = opened(name, **query)
    assert len(buttons(page, "Cancel")) == 1
    (bar,) = page.get("progress")
    assert bar.proto.text.endswith(" s so far; nothing to tell the rest by yet")
    checked(buttons(page, "Cancel")[0].click().run())
    assert ["Cancelled: " in info.value for info in page.info] == [True]
    assert not page.get("progress") and not buttons(page, "Cancel")
    running = [job for job in computing.computations()._known.values() if job.running]
    assert until(lambda: not any(job.running for job in running)), "nobody waits for it any more, so it ends"
    go_on.set()
    checked(buttons(page, "Compute")[0].click().run())
    checked(page.run())
    assert not page.info and not page.get("progress")
    assert address(page).items() >= query.items()
    players = [one for one in page.get("bidi_component") if "scene" in (one.proto.json or "")]
    figures = page.get("plotly_chart") + players
    assert len(figures) == {"trajectory": 2, "attention": 3, "patching": 3}[name] + (
        "edit" in query or "cell" in query
    )


def test_what_an_address_got_wrong_is_still_told_when_the_run_is_there(slowed):
    for name, query, number in (
        ("trajectory", ONE | {"step": "50", "n": "1"}, 1),
        ("attention", ONE | {"step": "50", "n": "1"}, 1),
        ("patching", PAIR | {"layer": "9", "n": "1"}, 2),
    ):
        go_on = slowed("models.recurrent.RecurrentTransformer.run")
        go_on.clear()
        page = opened(name, **query)
        assert ["n=1 in the address was ignored" in error.value for error in page.error] == [True]
        assert len(buttons(page, "Cancel")) == 1
        go_on.set()
        checked(page.run())
        assert not buttons(page, "Cancel")
        assert len(page.error) == number and "n=1 in the address" in page.error[0].value
        said = " ".join(warning.value for warning in page.warning) + " ".join(e.value for e in page.error)
        assert ("step 50 was asked for" in said) == (name != "patching")
        assert ("layer 9 was asked for" in said) == (name == "patching")
        checked(page.run())
        assert not any("was asked for" in warning.value for warning in page.warning)
        computing.computations.clear()


def test_two_pages_share_a_run_and_the_next_one_knows_how_long_it_takes(slowed):
    page = opened("trajectory", **ONE)
    assert "Matches" in sentences(page) or "4" in sentences(page)
    kinds = {key[0] for key in computing.computations()._known}
    assert kinds == {"run"}
    opened("attention", **ONE)
    assert len([key for key in computing.computations()._known if key[0] == "run"]) == 1
    slowed("models.recurrent.RecurrentTransformer.run")
    other = opened("trajectory", model="compiled", text=f"{TEXT}; d + b = e")
    assert (
        "more" in other.get("progress")[0].proto.text or "longer than" in other.get("progress")[0].proto.text
    )
