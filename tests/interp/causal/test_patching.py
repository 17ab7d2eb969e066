"""Patch sweeps: the planted circuit is found exactly, numbers are those of full runs, results round-trip."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.causal.metrics import Answer, MetricError, measure
from interp.causal.patching import PatchingError, PatchSweep, patch_sweep, record_pair
from interp.engine.interventions import SetFrom
from interp.engine.replay import run_plainly
from interp.engine.sites import Site, rhs
from models import ComputationGraph
from models.compiled import PlantedHead, compile_model

TASK = {"modulus": 5, "n_variables": 16}
# The corrupted leaf reaches the answer, e, by one path of each position an operand can have: first of three (c),
# the only one (d), last of two (e).
CLEAN = "2 = a; 3 = b; 1 = k; a + b + k = c; c = d; b + d = e"
CORRUPT = CLEAN.replace("2 = a", "4 = a")
MODEL = compile_model(("ADD",), **TASK)


def graphs(*texts: str) -> tuple[ComputationGraph, ...]:
    return tuple(ComputationGraph.parse(text, **TASK) for text in texts)


def planted() -> dict[str, PlantedHead]:
    """Node on the path -> the head that fetches what differs."""
    given = next(head for head in MODEL.circuit.heads if "given" in head.writes)
    role = MODEL.circuit.with_role
    return {"a": given, "c": role("value:first"), "d": role("value:last"), "e": role("value:last")}


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_sweep_finds_exactly_the_planted_circuit(direction: str) -> None:
    clean, corrupt = graphs(CLEAN, CORRUPT)
    n_steps = 6
    sites = Site.grid(MODEL, clean, "z", n_steps=n_steps)
    sweep = patch_sweep(MODEL, clean, corrupt, sites, direction=direction, nodes=["e"], n_steps=n_steps)  # type: ignore[arg-type]
    encoded = MODEL.to_encoded(clean)
    names = [node.name for node in clean.nodes]
    # What is restored at a node k levels before the answer arrives k steps later.
    expected = {
        (n_steps - 1 - levels, head.layer, int(encoded.rhs[0, names.index(node)]), head.head)
        for levels, (node, head) in enumerate(reversed(planted().items()))
    }
    whole = 1.0 if direction == "denoise" else 0.0
    for site, effect in zip(sweep.sites, sweep.normalised, strict=True):
        inside = (site.step, site.layer, site.pos, site.head) in expected
        moved = abs(effect - (0.0 if direction == "denoise" else 1.0))
        if inside:
            assert effect == pytest.approx(whole, abs=1e-4), site
        else:
            assert moved < 1e-4, site


def test_numbers_are_those_of_full_runs() -> None:
    clean, corrupt = graphs(CLEAN, CORRUPT)
    sites = Site.grid(MODEL, clean, "resid_post", n_steps=5, pos="rhs")
    source, base = record_pair(MODEL, clean, corrupt, 5)
    nodes = [3, 4, 5]
    answer = Answer.of(source.trajectory, base.trajectory, nodes, 5)
    for metric in ("logit_diff", "prob", "accuracy", "states_changed"):
        sweep = patch_sweep(MODEL, clean, corrupt, sites, metric=metric, nodes=nodes, n_steps=5)
        plain = run_plainly(MODEL, base, [SetFrom(site, source) for site in sites], 5)
        np.testing.assert_allclose(
            sweep.raw, [measure(metric, replay, answer) for replay in plain], atol=1e-5
        )
        assert sweep.nodes == (3, 4, 5)


def test_metrics_by_hand() -> None:
    clean, corrupt = graphs(CLEAN, CORRUPT)
    none = patch_sweep(MODEL, clean, corrupt, [], metric="accuracy")
    assert (none.clean, none.corrupt, none.nodes) == (1.0, 0.0, (0, 3, 4, 5))
    moved = patch_sweep(MODEL, clean, corrupt, [], metric="states_changed")
    encoded = MODEL.to_encoded(clean)
    # Four right-hand sides and the leaf's own number.
    assert moved.corrupt == pytest.approx(5 / (4 * int(encoded.mask.sum())))
    assert moved.clean == 0.0
    own = patch_sweep(MODEL, clean, corrupt, [], metric=lambda replay: float(replay.values[-1, 5]))
    truth = [graph.evaluate()["e"] for graph in (clean, corrupt)]
    assert [own.clean, own.corrupt] == truth


def test_nodes_that_do_not_differ_have_no_normalised_effect() -> None:
    clean, corrupt = graphs(CLEAN, CORRUPT)
    site = Site("z", step=0, layer=0, pos=rhs("b"), head=0)
    sweep = patch_sweep(MODEL, clean, corrupt, [site], nodes=["b"], metric="accuracy")
    assert np.isnan(sweep.normalised).all()


def test_grid_frame_and_storage(tmp_path: Path) -> None:
    clean, corrupt = graphs(CLEAN, CORRUPT)
    sites = Site.grid(MODEL, clean, "z", step=[3, 4], layer=[0, 2], pos="rhs", head=[0, 1])
    sweep = patch_sweep(MODEL, clean, corrupt, sites)
    cells, rows, columns = sweep.grid("step", "pos")
    assert cells.shape == (2, 6)
    assert (rows, columns[:2]) == ([3, 4], ["rhs:0", "rhs:1"])
    assert cells[1, 5] == max(sweep.normalised[-4:], key=abs)
    frame = sweep.to_frame()
    assert list(frame.columns)[:4] == ["site", "step", "name", "layer"]
    assert frame["position"].tolist()[:4] == [2, 2, 6, 6]
    again = PatchSweep.load(sweep.save(tmp_path / "sweep.npz"))
    assert again.sites == sweep.sites
    assert np.array_equal(again.raw, sweep.raw)
    assert (again.clean_graph.to_text(), again.nodes) == (clean.to_text(), sweep.nodes)
    with pytest.raises(PatchingError, match="no axis 'depth'; there are step, layer, pos, head"):
        sweep.grid("depth")


def test_what_the_clean_run_has_not_computed_is_never_right() -> None:
    """After 1 step d is EMPTY in both runs, a differs: EMPTY = EMPTY adds nothing to any metric."""
    clean, corrupt = graphs(CLEAN, CORRUPT)
    nodes = ["a", "d"]
    for metric, ends in (("accuracy", (0.5, 0.0)), ("prob", (0.5, 0.0))):
        sweep = patch_sweep(MODEL, clean, corrupt, [], metric=metric, nodes=nodes, n_steps=1)
        assert (sweep.clean, sweep.corrupt) == pytest.approx(ends, abs=1e-3), metric
    alone, both = (
        patch_sweep(MODEL, clean, corrupt, [], nodes=read, n_steps=1).clean for read in (["a"], nodes)
    )
    assert both == pytest.approx(alone / 2)


def test_bad_input_says_what_is_allowed() -> None:
    clean, corrupt = graphs(CLEAN, CORRUPT)
    more, longer = graphs(f"{CLEAN}; e + d = f", CLEAN.replace("c = d", "c + a = d"))
    with pytest.raises(PatchingError, match=r"the clean text has \d+ tokens and the corrupt one \d+"):
        patch_sweep(MODEL, clean, longer, [])
    with pytest.raises(PatchingError, match="the clean graph has 6 nodes and the corrupt one 7"):
        patch_sweep(MODEL, clean, more, [])
    with pytest.raises(PatchingError, match="the same value at every node"):
        patch_sweep(MODEL, clean, clean, [])
    with pytest.raises(
        PatchingError, match="after 1 steps both runs show the same value at every node of those"
    ):
        patch_sweep(MODEL, clean, corrupt, [], metric="accuracy", nodes=["d"], n_steps=1)
    with pytest.raises(PatchingError, match="allowed are denoise, noise"):
        patch_sweep(MODEL, clean, corrupt, [], direction="both")  # type: ignore[arg-type]
    with pytest.raises(PatchingError, match="no node 'z'"):
        patch_sweep(MODEL, clean, corrupt, [], nodes=["z"])
    with pytest.raises(MetricError, match="there are logit_diff, prob, accuracy, states_changed"):
        patch_sweep(MODEL, clean, corrupt, [], metric="loss")
    with pytest.raises(MetricError, match=r"one number, got a tensor of shape \(3,\)"):
        patch_sweep(MODEL, clean, corrupt, [], metric=lambda replay: torch.zeros(3))  # type: ignore[arg-type,return-value]
    with pytest.raises(MetricError, match="one number, got 'high'"):
        patch_sweep(MODEL, clean, corrupt, [], metric=lambda replay: "high")  # type: ignore[arg-type,return-value]
