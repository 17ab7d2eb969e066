"""The Patching page through Streamlit's own test runner: pair, form, sweep, cell, the address, cancelling."""

from __future__ import annotations

import json
import shlex
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dashboards import computing
from dashboards.cached import SharedModel
from dashboards.patching import jobs
from dashboards.patching.jobs import Sweep, SweepRequest
from dashboards.patching.results import sweep_json
from dashboards.patching.view import SITES, Settings, View, typed_pair
from interp.causal.patched_run_figure import patched_run_figure
from interp.causal.patching import patch_sweep
from interp.engine.sites import Site
from models import ComputationGraph
from models.compiled import compile_model
from tests.cli.commands import recurlens
from tests.pages import address, checked, figure, sentences, trace, unfolded

CLEAN = "20 = a; 2 = b; a + b = total; total + b = twice"
CORRUPT = "20 = a; 9 = b; a + b = total; total + b = twice"
TYPED = {"model": "compiled", "clean": CLEAN, "corrupt": CORRUPT}
DEFAULTS = {
    "look": "step-pos", "site": "resid_pre", "layer": "0", "pos": "all", "metric": "logit_diff",
    "direction": "denoise",
}  # fmt: skip
LEAF = 4
"""The token `2` of `2 = b`, the first thing that differs."""


def draw_page() -> None:
    from dashboards.patching.page import patching_page

    patching_page()


@pytest.fixture
def page(monkeypatch):
    """Opens the page at an address and runs it once; the page waits for sweeps as long as they take."""
    monkeypatch.setattr("dashboards.patching.page._PATIENCE", 30)

    def open_page(**params: str) -> AppTest:
        app = unfolded(AppTest.from_function(draw_page, default_timeout=60))
        for name, value in params.items():
            app.query_params[name] = value
        return checked(app.run())

    return open_page


def test_a_typed_pair_is_swept_and_shown(page):
    app = page(**TYPED)
    assert address(app) == TYPED | DEFAULTS
    assert (
        "`2 = b` becomes `9 = b`. **3 true values** of 4 differ. The model solves both graphs"
        in sentences(app)
    )
    cells = trace(figure(app, "patch heatmap"), "cells")
    n_steps = 1 + max(row for row, _, _ in cells["customdata"])
    n_pos = 1 + max(column for _, column, _ in cells["customdata"])
    assert len(cells["customdata"]) == n_steps * n_pos
    heatmap = figure(app, "patch heatmap")["data"][0]
    assert heatmap["z"][0][LEAF] == pytest.approx(1)
    assert heatmap["z"][0][0] == pytest.approx(0)
    assert (
        trace(figure(app, "graph clean"), "differs")["x"]
        == trace(figure(app, "graph corrupt"), "differs")["x"]
    )
    assert list(app.dataframe[0].value["node"]) == ["b", "total", "twice"]


def test_a_cell_shows_its_run_between_clean_and_corrupt(page):
    app = page(**TYPED, cell=str(LEAF))
    spec = figure(app, "patched run")
    patched = trace(spec, "corrupt, patched from clean")["z"]
    assert patched == trace(spec, "clean")["z"] != trace(spec, "corrupt")["z"]
    assert "now as in the clean run" in [entry.get("name") for entry in spec["data"]]
    assert "neither run's value" not in [entry.get("name") for entry in spec["data"]]
    assert (
        "Of the 3 nodes at which the two runs end differently, **3** end as in the clean run."
        in sentences(app)
    )
    cells = trace(figure(app, "patch heatmap"), "cells")
    assert [cells["customdata"][place][2] for place in cells["selectedpoints"]] == [LEAF]
    checked(app.toggle(key="patch_every_node").set_value(True).run())
    assert len(trace(figure(app, "patched run"), "clean")["z"][0]) == 4
    assert address(app)["cell"] == str(LEAF)


def test_a_sampled_pair_is_that_of_the_seed(page):
    app = page(model="compiled", n="8", seed="3", ops="ADD,SUB", kind="operation")
    pair = View("compiled", n=8, seed=3, ops=("ADD", "SUB"), kind="operation").pair()
    assert f"`{pair.clean.equation(pair.changed_nodes[0])}` becomes" in sentences(app)
    app.selectbox(key="patch_kind").set_value("leaf-value")
    checked(app.run())
    leaf = app.selectbox(key="patch_node").options[2]
    name = leaf.split(" = ")[1]
    checked(app.selectbox(key="patch_node").set_value(name).run())
    assert address(app)["node"] == name
    assert f"`{leaf}` becomes" in sentences(app)


@pytest.mark.parametrize(
    ("look", "sizes"), [("step-head", (4, 6)), ("layer-pos", (3, 19)), ("layer-head", (3, 6))]
)
def test_other_looks_have_other_axes(page, look, sizes):
    app = page(**TYPED)
    checked(app.segmented_control(key="patch_look").set_value(look).run())
    assert not app.error
    z = figure(app, "patch heatmap")["data"][0]["z"]
    assert (len(z), len(z[0])) == sizes
    assert address(app)["look"] == look
    assert address(app)["site"] == ("resid_pre" if look == "layer-pos" else "z")


def test_the_form_changes_nothing_before_it_is_submitted(page):
    app = page(**TYPED)
    before = figure(app, "patch heatmap")
    app.selectbox(key="patch_set_direction").set_value("noise")
    app.selectbox(key="patch_set_metric").set_value("accuracy")
    app.multiselect(key="patch_set_read").set_value(["twice"])
    (submit,) = [button for button in app.button if button.label == "Run the sweep"]
    checked(submit.click().run())
    assert figure(app, "patch heatmap") != before
    assert figure(app, "patch heatmap")["data"][0]["z"][0][LEAF] == pytest.approx(-1)
    assert "accuracy is 1 in the clean run and 0 in the corrupt one, read at `twice`" in sentences(app)
    given = address(app)
    assert given == TYPED | DEFAULTS | {"metric": "accuracy", "direction": "noise", "read": "twice"}
    assert figure(page(**given), "patch heatmap") == figure(app, "patch heatmap")


def test_mistakes_are_messages_and_keep_the_last_pair(page):
    app = page(**TYPED)
    checked(app.text_area(key="patch_corrupt").set_value("20 = a; a + b = total").run())
    assert ["'b' is not defined" in error.value for error in app.error] == [True]
    checked(app.text_area(key="patch_corrupt").set_value("20 = a; 9 = b").run())
    assert ["4" in error.value and "2" in error.value for error in app.error] == [True]
    assert "**3 true values** of 4 differ" in sentences(app)
    checked(app.text_area(key="patch_corrupt").set_value(CORRUPT).run())
    assert not app.error


def test_an_address_with_mistakes_is_answered_by_messages(page):
    wrong = {
        "model": "nobody",
        "n": "1000",
        "kind": "?",
        "look": "x",
        "site": "nowhere",
        "layer": "a",
        "cell": "-1",
    }
    app = page(**wrong, clean=CLEAN, direction="up", pos="far", read="?", metric="m")
    assert len(app.error) == 12
    app = page(**TYPED, look="layer-head", site="z", layer="9", step="99", pos="rhs:77", cell="5000")
    assert len(app.error) == 4


@pytest.mark.parametrize(
    ("address", "ignored", "why"),
    [
        ({"look": "step-pos", "step": "2"}, "step=2", "the rows of the heatmap are all steps"),
        ({"step": "all"}, "step=all", "the rows of the heatmap are all steps"),
        ({"look": "layer-pos", "layer": "1"}, "layer=1", "the rows of the heatmap are all layers"),
        ({"site": "state", "layer": "1"}, "layer=1", "state is of no layer"),
    ],
)
def test_a_step_or_layer_that_the_heatmap_does_not_ask_for_is_said(address, ignored, why):
    view, problems = View.from_params(address, View())
    assert problems == [f"{ignored} in the address was ignored: {why}."]
    assert (view.settings.step, view.settings.layer) == (0, 0)


def test_a_pair_without_an_effect_is_a_message(page):
    app = page(model="compiled", clean="3 = a; 3 = b; a = c", corrupt="3 = a; 3 = b; b = c")
    assert ["No true value differs" in error.value for error in app.error] == [True]


def test_a_large_sweep_waits_for_the_form(page):
    app = page(model="compiled", n="40", site="z")
    assert ["Press **Run the sweep**" in info.value for info in app.info] == [True]
    assert not app.get("progress")


def test_the_code_that_is_shown_draws_the_page(page):
    app = page(**TYPED, cell=str(LEAF), read="twice,total", layer="1", site="attn_out", direction="noise")
    code, _ = [element.value for element in app.code]
    scope: dict = {}
    code = code.replace("patching_figure(sweep).show()", "").replace(
        "patched_run_figure(\n", "drawn = patched_run_figure(\n"
    )
    exec(code.replace(").show()", ")"), scope)
    assert json.loads(scope["drawn"].to_json())["data"] == figure(app, "patched run")["data"]
    shown = figure(app, "patch heatmap")["data"][0]["z"]
    effects = [(value - scope["sweep"].clean) for value in scope["sweep"].raw]
    unit = scope["sweep"].clean - scope["sweep"].corrupt
    assert torch.tensor(shown).flatten().tolist() == pytest.approx(
        [effect / unit for effect in effects], abs=1e-6
    )


@pytest.mark.parametrize(
    "asked",
    [
        TYPED | {"read": "twice,total", "layer": "1", "site": "z", "direction": "noise", "metric": "prob"},
        TYPED | {"look": "layer-head", "site": "z", "step": "all", "pos": "rhs:2"},
        {
            "model": "compiled",
            "n": "7",
            "seed": "3",
            "ops": "ADD,SUB",
            "kind": "operation",
            "look": "step-head",
        },
    ],
)
def test_the_command_that_is_shown_sweeps_the_same(page, asked, tmp_path):
    app = page(**asked)
    assert not app.error
    program, *arguments = shlex.split([element.value for element in app.code][-1])
    assert program == "recurlens"
    recurlens(*arguments, "--out", tmp_path, "--quiet")
    frame = pd.read_parquet(tmp_path / "patching.parquet")
    shown = np.array(figure(app, "patch heatmap")["data"][0]["z"], float).flatten()
    assert frame["effect"].to_numpy() == pytest.approx(shown, abs=1e-6, nan_ok=True)


def test_a_running_sweep_shows_its_progress_and_can_be_cancelled(page, monkeypatch):
    go_on = threading.Event()

    def slow(*arguments, progress, **options):
        assert go_on.wait(20)
        progress(5, 50)
        return patch_sweep(*arguments, progress=progress, **options)

    monkeypatch.setattr(jobs, "patch_sweep", slow)
    monkeypatch.setattr("dashboards.patching.page._PATIENCE", 0)
    app = page(**TYPED, metric="prob", n="1")
    assert ["n=1 in the address" in error.value for error in app.error] == [True]
    (bar,) = app.get("progress")
    assert bar.proto.text == "0 of 76 patched runs: 0 s so far; nothing to tell the rest by yet"
    job = app.session_state["patching sweep"].job
    assert job.running
    (cancel,) = [button for button in app.button if button.label == "Cancel"]
    checked(cancel.click().run())
    go_on.set()
    assert job.wait(20)
    checked(app.run())
    assert ["Press **Run the sweep**" in info.value for info in app.info] == [True]
    assert not app.get("progress") and not job.running
    (submit,) = [button for button in app.button if button.label == "Run the sweep"]
    monkeypatch.setattr("dashboards.patching.page._PATIENCE", 30)
    checked(submit.click().run())
    assert "76 patched runs in" in sentences(app)


@pytest.mark.parametrize(
    "view",
    [
        View(
            "compiled", CLEAN, CORRUPT, settings=Settings("layer-head", "z", step=None, pos="rhs:2"), cell=4
        ),
        View(
            "compiled",
            None,
            None,
            12,
            7,
            ("SUB",),
            "operand",
            "x_3",
            Settings(read=("x_1", "größe"), layer=2),
        ),
        View(settings=Settings("step-pos", "state", metric="prob", direction="noise", pos="operands")),
    ],
)
def test_a_view_survives_its_parameters(view):
    assert View.from_params(view.to_params(), View()) == (view, [])


@pytest.fixture(scope="module")
def request_and_model() -> tuple[SweepRequest, SharedModel]:
    model = compile_model(("ADD",), modulus=5, n_variables=16)
    clean, corrupt = (
        ComputationGraph.parse(text, 5, 16) for text in ("1 = x_0; x_0 = x_1", "3 = x_0; x_0 = x_1")
    )
    sites = tuple(Site.grid(model, clean, "resid_post", layer=[0], n_steps=3))
    request = SweepRequest("small", clean, corrupt, 3, sites, "accuracy", "denoise", None)
    return request, SharedModel(model)


def test_a_cancelled_sweep_keeps_its_parts_and_goes_on(request_and_model, monkeypatch):
    request, shared = request_and_model
    monkeypatch.setattr(jobs, "_FIRST_PART", 4)
    monkeypatch.setattr(jobs, "_LARGEST_PART", 4)
    monkeypatch.setattr(jobs, "_PART_SECONDS", 600.0)  # on a busy machine, too, parts stay as large
    monkeypatch.setattr(computing, "_EVERY", 0.0)
    reached, go_on = threading.Event(), threading.Event()
    begun: list[int] = []

    def slow(model, clean, corrupt, sites, progress, **options):
        begun.append(len(sites))
        if len(begun) == 3:
            reached.set()
            assert go_on.wait(20)
            progress(1, len(sites))
        return patch_sweep(model, clean, corrupt, sites, progress=progress, **options)

    monkeypatch.setattr(jobs, "patch_sweep", slow)
    sweep = Sweep(request, shared)
    sweep.job.start("one")
    assert reached.wait(20) and sweep.job.running
    sweep.job.leave("one")
    go_on.set()
    assert sweep.job.wait(20)
    partial = sweep.result()
    assert (sweep.n_kept, sweep.n_done, sweep.job.problem, begun) == (8, 8, None, [4, 4, 4])
    assert not shared.lock.locked()
    assert partial is not None and partial.sites == request.sites
    assert torch.tensor(partial.raw).isnan().tolist() == [False] * 8 + [True] * (len(request.sites) - 8)

    sweep.job.start("one")
    assert sweep.job.wait(20) and sweep.finished
    whole = sweep.result()
    options = {"metric": "accuracy", "direction": "denoise", "n_steps": 3}
    expected = patch_sweep(shared.model, request.clean, request.corrupt, request.sites, **options)
    assert whole is not None and whole.raw.tolist() == expected.raw.tolist()


def test_every_site_that_is_offered_can_be_swept(request_and_model):
    request, shared = request_and_model
    run = shared.model.run(request.clean, 3)
    for name in SITES:
        sites = Settings(site=name, layer=1).sites(shared.model, run, 3)
        assert {site.name for site in sites} == {name}
        swept = patch_sweep(shared.model, request.clean, request.corrupt, sites[:2], "accuracy", n_steps=3)
        assert swept.raw.shape == (2,)


def test_the_downloads_hold_the_whole_sweep(request_and_model):
    request, shared = request_and_model
    sweep = patch_sweep(shared.model, request.clean, request.corrupt, request.sites[:5], n_steps=3)
    data = json.loads(sweep_json("small", replace(sweep, raw=np.array([0.25, 1, 0, np.nan, 2]))))
    assert [record["raw"] for record in data["sites"]] == [0.25, 1, 0, None, 2]
    assert [record["position"] for record in data["sites"]] == [0, 1, 2, 3, 4]
    assert data["clean_graph"] == ["1 = x_0", "x_0 = x_1"]
    assert (data["model"], data["nodes"], data["metric"]) == ("small", ["x_0", "x_1"], "logit_diff")


def test_an_error_in_the_thread_is_a_message(request_and_model, monkeypatch):
    request, shared = request_and_model

    def failing(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr(jobs, "patch_sweep", failing)
    sweep = Sweep(request, shared)
    sweep.job.start("one")
    assert sweep.job.wait(20)
    assert (sweep.job.problem, sweep.result()) == ("RuntimeError: no memory", None)


def test_the_figure_frames_what_the_patch_changed():
    model = compile_model(("ADD",), modulus=23, n_variables=128)
    pair = typed_pair(CLEAN, CORRUPT)
    clean, corrupt = model.run(pair.clean, 4), model.run(pair.corrupt, 4)
    values = corrupt.values[:, 0].clone()
    values[2:, 2], values[3, 3] = clean.values[2:, 0, 2], 0
    spec = json.loads(patched_run_figure(clean, values, corrupt, nodes=[1, 2, 3]).to_json())
    assert trace(spec, "now as in the clean run")["x"].count(None) == 3
    assert trace(spec, "neither run's value")["x"].count(None) == 1
    assert [axis for axis in spec["layout"] if axis.startswith("xaxis")] == ["xaxis", "xaxis2", "xaxis3"]
    with pytest.raises(ValueError, match="equally long"):
        patched_run_figure(clean, values[1:], corrupt)
    with pytest.raises(ValueError, match="base must be"):
        patched_run_figure(clean, values, corrupt, base="other")
    with pytest.raises(ValueError, match="allowed are 0 to 3"):
        patched_run_figure(clean, values, corrupt, nodes=[4])


def test_a_sweep_goes_on_while_another_reader_wants_it(request_and_model, monkeypatch):
    request, shared = request_and_model
    go_on = threading.Event()

    def slow(*arguments, **options):
        assert go_on.wait(20)
        return patch_sweep(*arguments, **options)

    monkeypatch.setattr(jobs, "patch_sweep", slow)
    sweep = Sweep(request, shared)
    sweep.job.start("one")
    sweep.job.start("two")
    sweep.job.leave("one")
    assert sweep.job.running
    go_on.set()
    assert sweep.job.wait(20)
    assert sweep.finished
