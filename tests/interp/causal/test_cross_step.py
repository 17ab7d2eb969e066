"""Cross-step patching: on the compiled model the matrix is what the synchronous algorithm says, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from analyses import export
from analyses.catalogue.cross_step import CROSS_STEP
from analyses.framework.command import command
from interp.causal.cross_step import cross_step_matrix
from interp.causal.cross_step_figure import cross_step_figure
from interp.causal.pairs import leaf_swap, leaf_value, make_pair
from interp.engine.sites import SiteError
from interp.synchronous import symbolic_run, token_places
from models import CompiledTransformer, ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
CHAIN = ComputationGraph.parse("1 = x_1; x_1 = x_2; x_2 = x_3; x_3 = x_4", **SIZES)
LAST = 2


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD", "SUB"), **SIZES)


def graph(seed: int) -> ComputationGraph:
    return ComputationGraph.sample(10, ops=("ADD", "SUB"), n_leaves=3, seed=seed, **SIZES)


@pytest.mark.parametrize("kind", ["leaf-value", "operand", "operation", "leaf-swap"])
@pytest.mark.parametrize(
    "site",
    [
        {"name": "state"},
        {"name": "embed", "pos": "rhs"},
        {"name": "resid_pre", "layer": 0, "pos": "rhs:4"},
        {"name": "resid_post", "layer": LAST},
        {"name": "resid_post", "layer": LAST, "pos": "rhs:5"},
        {"name": "logits", "pos": "rhs"},
        {"name": "z", "layer": 2, "head": 0, "pos": "rhs", "carries": "operand:-1"},
        {"name": "z", "layer": 1, "head": 1, "pos": "rhs", "carries": "operand:-2"},
        {"name": "z", "layer": 1, "head": 0, "pos": "rhs", "carries": "operand:-3"},
    ],
    ids=lambda site: "-".join(map(str, site.values())),
)
def test_compiled_is_as_predicted(model: CompiledTransformer, kind: str, site: dict[str, Any]) -> None:
    pair = make_pair(graph(2), kind, 1)
    for lag, metric in ((None, "accuracy"), (1, "logit_diff")):
        result = cross_step_matrix(model, pair.clean, pair.corrupt, lag=lag, metric=metric, n_steps=5, **site)
        assert result.predicted is not None
        assert np.allclose(result.normalised, result.predicted, atol=1e-4), (lag, metric)
        assert result.whole == ("pos" not in site)
        assert result.matched() == 1 if result.evidence.any() else np.isnan(result.matched())


@pytest.mark.parametrize(
    ("text", "kind", "lag", "metric"),
    [
        ("1 = a; a = b; b = c; c = d", "leaf-value", None, "accuracy"),
        ("1 = a; a = b; b = c; c = d", "leaf-value", 1, "accuracy"),
        ("1 = a; 2 = b; a + b = c; c - a = d; d + c = e", "operation", None, "logit_diff"),
        ("1 = a; 2 = b; a + b = c; c - a = d; d + c = e", "operation", 2, "accuracy"),
        ("1 = a; 2 = b; a + b = c; c - a = d; d + c = e", "leaf-swap", None, "prob"),
        ("1 = a; 2 = b; a + b = c; c = d; d - a = e; e = f", "operand", None, "accuracy"),
    ],
)
def test_a_run_of_any_length_is_as_predicted(
    model: CompiledTransformer, text: str, kind: str, lag: int | None, metric: str
) -> None:
    """Also one that ends before the deepest nodes are solved: what is EMPTY there is right in neither run."""
    pair = make_pair(ComputationGraph.parse(text, **SIZES), kind, 1)
    depths = pair.clean.depths_by_node
    for n_steps in range(1, max(depths) + 3):
        result = cross_step_matrix(model, *texts(pair), "state", n_steps=n_steps, lag=lag, metric=metric)
        assert result.predicted is not None
        seen = n_steps > min(depths[node] for node in result.nodes)
        assert np.isfinite(result.predicted).all() == seen
        if seen:
            assert np.allclose(result.normalised, result.predicted, atol=1e-3), n_steps
            assert result.consistent
        else:
            assert np.isnan(result.predicted).all() and np.isnan(result.matched())
            assert "show the same" in str(result)


def test_a_value_that_is_not_computed_yet_is_not_right(model: CompiledTransformer) -> None:
    """After 2 steps x_3 and x_4 are EMPTY in both runs of the chain."""
    pair = leaf_value(CHAIN, "x_1", value=2)
    result = cross_step_matrix(model, *texts(pair), "state", n_steps=2)
    assert (result.clean, result.corrupt) == (0.5, 0)
    assert result.raw.tolist() == [[0.5, 0.25], [0.75, 0.5]]


def test_a_whole_state_is_no_evidence(model: CompiledTransformer) -> None:
    """It says nothing of a model that knows nothing, and of one that knows all: the same holds for both."""
    pair, args = leaf_value(CHAIN, "x_1", value=2), {"n_steps": 5}
    cfg = RecurrentConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=16, seed=1, **SIZES)
    for one in (model, RecurrentTransformer(cfg).eval()):
        for lag in (None, 1):
            whole = cross_step_matrix(one, *texts(pair), "state", lag=lag, **args)
            assert whole.whole and whole.consistent and not whole.evidence.any()
            assert np.isnan(whole.matched()) and np.isnan(whole.silent_matched())
    part = cross_step_matrix(model, *texts(pair), "state", pos="rhs", lag=0, **args)
    assert not part.whole and part.evidence.any() and part.matched() == part.silent_matched() == 1
    assert not replace(part, sites=whole.sites).evidence.any()
    broken = whole.raw.copy()
    broken[1, 1] += 0.5
    assert not replace(whole, raw=broken).consistent


def test_cells_without_a_predicted_effect_are_counted_apart(model: CompiledTransformer) -> None:
    """A right-hand side acts only where the steps left are as many as the way to the node that is read."""
    pair = leaf_value(CHAIN, "x_1", value=2)
    result = cross_step_matrix(model, *texts(pair), "resid_post", LAST, pos="rhs:x_3", nodes=[3], n_steps=6)
    source, target = np.indices((6, 6))
    assert np.array_equal(result.evidence, (source >= 2) & (target == 4))
    assert (result.matched(), result.matched_by_nothing(), result.silent_matched()) == (1, 0, 1)
    nothing = replace(result, raw=np.full_like(result.raw, result.corrupt))
    assert (nothing.matched(), nothing.silent_matched()) == (0, 1)
    everything = replace(result, raw=np.full_like(result.raw, result.clean))
    assert (everything.matched(), everything.silent_matched()) == (1, 0)


def test_every_text_token_is_as_predicted(model: CompiledTransformer) -> None:
    text = "1 = x_1; 2 = x_2; x_1 + x_2 = x_3; x_3 - x_1 + x_2 = x_4"
    pair = make_pair(ComputationGraph.parse(text, **SIZES), "operation", 1)
    for pos in range(len(token_places(pair.clean))):
        result = cross_step_matrix(model, pair.clean, pair.corrupt, "state", pos=pos, n_steps=3)
        assert np.allclose(result.normalised, result.predicted, atol=1e-6), pos


def test_the_rule_in_words(model: CompiledTransformer) -> None:
    """x_3 has depth 2: its output carries the value from step 2 on, and step j shows it, whatever j."""
    pair = leaf_value(CHAIN, "x_1", value=2)
    n = 6
    source, target = np.indices((n, n))
    args: dict[str, Any] = {"pos": "rhs:x_3", "n_steps": n}
    here = cross_step_matrix(model, *texts(pair), "resid_post", LAST, nodes=[2], lag=0, **args)
    assert np.array_equal(here.normalised == 1, source >= 2)
    entering = cross_step_matrix(model, *texts(pair), "state", nodes=[3], lag=0, **args)
    assert np.array_equal(entering.normalised == 1, source > 2)
    following = cross_step_matrix(model, *texts(pair), "resid_post", LAST, nodes=[3], lag=1, **args)
    assert np.array_equal(following.normalised == 1, source >= 2)
    end = cross_step_matrix(model, *texts(pair), "resid_post", LAST, nodes=[3], **args)
    assert np.array_equal(end.normalised == 1, (source >= 2) & (target == n - 2))


def test_all_positions_continue_the_clean_run(model: CompiledTransformer) -> None:
    """With k steps left after j, the node of depth 3 is right iff i + k >= 3."""
    pair, n = leaf_value(CHAIN, "x_1", value=2), 6
    source, target = np.indices((n, n))
    result = cross_step_matrix(model, *texts(pair), "resid_post", LAST, nodes=[3], n_steps=n)
    assert np.array_equal(result.normalised == 1, source + (n - 1 - target) >= 3)
    for i, j in np.ndindex(n - 1, n - 1):
        assert result.normalised[i, j] == result.normalised[i + 1, j + 1]


def test_a_wrong_hypothesis_is_not_matched(model: CompiledTransformer) -> None:
    """The head that carries the last operand does not carry the one before it."""
    pair = leaf_swap(graph(2), seed=1)
    args: dict[str, Any] = {"name": "z", "layer": 2, "head": 0, "pos": "rhs", "lag": 0}
    right = cross_step_matrix(model, *texts(pair), carries="operand:-1", **args)
    wrong = cross_step_matrix(model, *texts(pair), carries="operand:-2", **args)
    assert right.matched() == 1 and right.correlation > 0.999
    assert right.matched_by_nothing() < 0.6
    assert wrong.matched() < 0.7
    assert np.array_equal(right.raw, wrong.raw)


def test_an_untrained_model_is_not_as_predicted() -> None:
    cfg = RecurrentConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=16, seed=1, **SIZES)
    untrained = RecurrentTransformer(cfg).eval()
    pair = leaf_value(CHAIN, "x_1", value=2)
    result = cross_step_matrix(untrained, *texts(pair), "state", pos="rhs", lag=0, n_steps=4)
    assert result.predicted is not None and not result.matched() > 0.5


def test_symbolic_states_follow_the_depths() -> None:
    one = graph(5)
    for t, state in enumerate(symbolic_run(one, 6)):
        for value, true, depth in zip(state.values, one.values_by_node, one.depths_by_node, strict=True):
            assert value == (true if depth < t else None)


def test_token_places_are_the_texts(model: CompiledTransformer) -> None:
    one = graph(3)
    encoded = model.to_encoded(one)
    places = token_places(one)
    assert len(places) == encoded.factors.shape[1]
    for index, node in enumerate(one.nodes):
        assert places[int(encoded.rhs[0, index])] == (index, 2 * max(len(node.operands), 1))
        for j in range(len(node.operands)):
            assert places[int(encoded.operands[0, index, j])] == (index, 2 * j)


def test_frame_and_figure(model: CompiledTransformer) -> None:
    pair = leaf_value(CHAIN, "x_1", value=2)
    result = cross_step_matrix(model, *texts(pair), "state", lag=0, n_steps=3)
    frame = result.to_frame()
    assert len(frame) == 9 and list(frame["read_after"]) == list(frame["to_step"])
    cell = frame[(frame.from_step == 2) & (frame.to_step == 1)].iloc[0]
    assert cell.normalised == pytest.approx(result.normalised[2, 1])
    heatmaps = [trace for trace in result.figure().data if trace.type == "heatmap"]
    assert [trace.name for trace in heatmaps] == ["measured", "predicted by the graph's depths"]
    assert heatmaps[0].z[2][1] == pytest.approx(result.normalised[2, 1])
    other = replace(result, raw=np.full_like(result.raw, result.clean))
    mean = (result.normalised[2, 1] + 1) / 2
    assert cross_step_figure([result, other]).data[0].z[2][1] == pytest.approx(mean)
    with pytest.raises(ValueError, match="at least one, all of one size"):
        cross_step_figure([])
    axis = result.figure().layout.coloraxis
    assert axis.cmid == 0 and axis.cmin == -axis.cmax
    plain = cross_step_matrix(model, *texts(pair), "resid_mid", 1, n_steps=2)
    assert plain.predicted is None and "predicted" not in plain.to_frame() and "no prediction" in str(plain)
    assert len([trace for trace in plain.figure().data if trace.type == "heatmap"]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "loss"}, "allowed are logit_diff, prob, accuracy"),
        ({"lag": -1}, "lag is -1"),
        ({"nodes": [9]}, "allowed is at least one of 0 to 3"),
        ({"carries": "operand:x"}, "allowed are entering, output, operand:<k>"),
        ({"pos": "rhs:x_9"}, "no node"),
        ({"name": "resid_post", "layer": 7}, "no layer 7"),
    ],
)
def test_bad_input(model: CompiledTransformer, changes: dict[str, Any], message: str) -> None:
    pair = leaf_value(CHAIN, "x_1", value=2)
    with pytest.raises((ValueError, SiteError), match=message):
        cross_step_matrix(model, *texts(pair), **({"name": "state", "n_steps": 2} | changes))


def test_graphs_of_different_size_are_refused(model: CompiledTransformer) -> None:
    shorter = ComputationGraph.parse("1 = x_1; x_1 = x_2", **SIZES)
    with pytest.raises(ValueError, match="4 and 2 nodes"):
        cross_step_matrix(model, CHAIN, shorter, "state")


def texts(pair: Any) -> tuple[ComputationGraph, ComputationGraph]:
    return pair.clean, pair.corrupt


def test_the_script_writes_its_study_and_repeats_it(
    model: CompiledTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "write_png", lambda figure, path: "there is no browser")
    model.save_pretrained(tmp_path / "small")
    first, again = tmp_path / "first", tmp_path / "again"
    arguments = ["--n-nodes", "8", "--n-pairs", "2", "--model", str(tmp_path / "small"), "--pos", "rhs"]
    done = run(*arguments, "--lag", "0", "--out", str(first))
    assert done.exit_code == 0 and "in which the graph predicts an effect" in done.output
    whole = run(*arguments[:6], "--steps", "4")
    assert whole.exit_code == 0 and "none of the 32 cells is evidence" in " ".join(whole.output.split())
    assert {path.suffix for path in first.iterdir()} == {".csv", ".json", ".parquet", ".html", ".yaml"}
    assert run("--config", str(first / "config.yaml"), "--out", str(again)).exit_code == 0
    table = (first / "cross_step.csv").read_text()
    assert table == (again / "cross_step.csv").read_text()
    frame = pd.read_parquet(first / "cross_step.parquet")
    assert set(frame["pair"]) == {0, 1} and (frame["normalised"] - frame["predicted"]).abs().max() < 1e-6
    text = [
        "1 = a; 2 = b; a + b = c; c - a = d",
        "--pair-kind",
        "operation",
        "--model",
        str(tmp_path / "small"),
    ]
    early = run(*text, "--ops", "ADD,SUB", "--steps", "1", "--pos", "rhs")
    assert early.exit_code == 0 and "nothing to restore (give more --steps)" in " ".join(early.output.split())
    refused = run(*arguments, "--metric", "loss")
    assert refused.exit_code == 2 and "allowed are logit_diff, prob, accuracy" in refused.output


def run(*arguments: str) -> Any:
    application = typer.Typer()
    application.command()(command(CROSS_STEP))
    return CliRunner().invoke(application, list(arguments))
