"""One name for graph models and for any other looped model: what is meant, and what is said where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import interp
from interp import LoopedError, LoopRun, Site, StepEdit, logit_difference
from models import ComputationGraph, RecurrentTransformer, as_loop, load
from tests.parity import ParityLoop, ParityTask

BITS = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 1]])
OTHER = 1 - BITS
METRIC = logit_difference("parity", 5, 1, 0)
LABELS = ParityTask().labels(BITS)

BOTH: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "patch_sweep": ("loop_patch_sweep", (BITS, OTHER, ["z"], METRIC), {"pos": "each"}),
    "cross_step_matrix": ("loop_cross_step", (BITS, OTHER, "state", METRIC), {"n_steps": 3}),
    "ablate": ("loop_ablate", (BITS, ["z"], METRIC), {"value": "zero"}),
    "attribution_sweep": ("loop_attribution", (BITS, OTHER, ["z"], METRIC), {}),
    "dynamics": ("loop_dynamics", (BITS,), {"n_steps": 4}),
    "step_lens": ("loop_lens", (BITS,), {}),
    "code_usage": ("loop_code_usage", (BITS,), {"task": ParityTask()}),
    "step_attention": ("loop_attention", (BITS,), {}),
    "damage_cones": ("loop_cone", (BITS, 1, 2), {"n_steps": 3}),
    "edge_attribution": ("loop_edge_attribution", (BITS, OTHER, ["z", "resid_post"], METRIC), {"n_steps": 2}),
    "exact_edges": ("exact_loop_edges", (BITS, OTHER, ["z", "resid_post"], METRIC), {"n_steps": 2}),
    "fit_tuned_lens": ("fit_loop_tuned_lens", (BITS, 2), {"held_out": 0.5}),
    "fit_probes": ("fit_loop_probes", (BITS, LABELS, "parity"), {"n_steps": 2, "folds": 2, "steps": [1]}),
    "ablate_heads": ("loop_ablate_heads", (BITS, METRIC), {"n_steps": 2}),
    "head_statistics": ("loop_head_statistics", (BITS,), {"n_steps": 2}),
    "fixed_points": ("loop_fixed_points", (BITS, 8), {"window": 4}),
}


@pytest.mark.parametrize("name", BOTH)
def test_a_loop_goes_where_loops_go(name: str) -> None:
    of_loop, given, named = BOTH[name]
    found, expected = (getattr(interp, each)(ParityLoop(), *given, **named) for each in (name, of_loop))
    assert type(found) is type(expected)
    tables: Any = [
        each.summary() if name == "fixed_points" else each.to_frame() for each in (found, expected)
    ]
    pd.testing.assert_frame_equal(*tables)


def test_runs_and_datasets_of_a_loop() -> None:
    run = interp.record(ParityLoop(), BITS, sites=["z"])
    assert isinstance(run, LoopRun) and run.n_steps == 6 and run.logits["parity"].shape == (7, 2, 6, 3)
    off = StepEdit("z", 5, torch.zeros_like)
    (edited,) = interp.run_interventions(ParityLoop(), run, [off])
    assert not bool(edited.as_base.any())
    for given in ({"labels": LABELS}, {"task": ParityTask()}):
        data = interp.collect(ParityLoop(), BITS, **given)
        assert data.activations["resid_post"].shape == (6, 12, 3)
        assert data.labels["parity"].tolist() == LABELS["parity"].tolist()
    with pytest.raises(LoopedError, match="collecting needs labels= or task="):
        interp.collect(ParityLoop(), BITS)


def test_a_graph_model_stays_what_it_was_and_is_a_loop_if_asked() -> None:
    model: RecurrentTransformer = load("compiled")
    clean, corrupt = "20 = a; 2 = b; a + b = c", "20 = a; 5 = b; a + b = c"
    own = interp.dynamics(model, clean, n_steps=4)
    assert isinstance(own, interp.Dynamics)
    assert isinstance(interp.dynamics(as_loop(model), clean, n_steps=4), interp.LoopDynamics)
    graphs = [interp.record(model, text, 2).graph for text in (clean, corrupt)]
    sites = [Site("z", step, 2, pos="rhs:c", head=head) for step in range(2) for head in range(6)]
    engine = interp.patch_sweep(model, *graphs, sites, nodes=["c"], n_steps=2)
    right, wrong = (int(interp.record(model, text).trajectory.values[-1, 0, 2]) for text in (clean, corrupt))
    metric = logit_difference("value", 12, right, wrong)
    loop = interp.patch_sweep(as_loop(model), clean, corrupt, ["2.z"], metric, n_steps=2, pos="each")
    ends = float(loop.clean), float(loop.corrupt)
    assert ends == pytest.approx((engine.clean, engine.corrupt), abs=1e-3)
    noise = interp.patch_sweep(as_loop(model), clean, corrupt, ["2.z"], metric, n_steps=2, direction="noise")
    assert (float(noise.clean), float(noise.corrupt)) == pytest.approx(ends)
    assert noise.effect[:, 0].tolist() == pytest.approx(
        [1, 0], abs=1e-3
    )  # the corrupt head's output at the last step


def test_a_foreign_model_goes_through_its_adapter() -> None:
    from tests.models.adapters.test_adapters import IDS, albert

    model = albert()
    assert len(interp.step_attention(model, IDS).to_frame()) == 6 * 4
    assert interp.dynamics(model, IDS).states == ("state",)
    assert len(interp.head_statistics(model, IDS, 2).to_frame()) == 2 * 4
    with pytest.raises(LoopedError, match=r"ablation of heads needs `sites\['z'\]`, which AlbertLoop"):
        interp.ablate_heads(model, IDS, lambda read: read["token"].mean((1, 2)))


def test_what_was_made_of_a_graph_model_goes_where_graphs_go() -> None:
    """By its position or by its own name; edges of a graph model are asked for by a pair of runs at one step."""
    model = load("compiled")
    clean, corrupt = map(ComputationGraph.parse, ("20 = a; 2 = b; a + b = c", "7 = a; 2 = b; a + b = c"))
    pair = interp.step_pair(model, clean, corrupt, step=1)
    found = interp.edge_attribution(pair)
    assert isinstance(found, interp.EdgeScores) and isinstance(
        interp.edge_attribution(pair=pair), interp.EdgeScores
    )
    assert len(interp.exact_edges(pair, found.edges[:2])) == 2
    edit = interp.SetCode(1, "rhs:a", "value", 5)
    (cone,) = interp.damage_cones(model=model, base=clean, interventions=[edit])
    assert isinstance(cone, interp.DamageCone)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (
            lambda: interp.dynamics(nn.Linear(1, 1), BITS),
            TypeError,
            "Linear is no loop: it has no module, begin",
        ),
        (
            lambda: interp.patch_sweep(ParityLoop(), BITS, OTHER, ["z"]),
            LoopedError,
            "patch_sweep of a loop: missing a required argument: 'metric'; allowed are clean, corrupt, sites, metric",
        ),
        (
            lambda: interp.dynamics(ParityLoop(), BITS, graphs=3),
            LoopedError,
            "dynamics of a loop: got an unexpected keyword argument 'graphs'; allowed are inputs, n_steps, kind",
        ),
        (
            lambda: interp.patch_sweep(ParityLoop(), BITS, OTHER, ["z"], METRIC, direction="both"),
            ValueError,
            "direction is 'both'; allowed are denoise, noise",
        ),
    ],
)
def test_what_cannot_be_meant_is_said(ask: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ask()


def test_a_metric_is_what_the_task_says_else_what_changes() -> None:
    """The head that looks one position back, off in step 2: what is due then comes out wrong, and all behind it."""
    off = [StepEdit("z", 2, torch.zeros_like)]
    codes = interp.run_loop(ParityLoop(), BITS, 6, edits=off).codes["parity"][-1]
    truth = torch.tensor(LABELS["parity"].to_numpy()).reshape(2, 6)
    for task in (ParityTask(), None):
        found = interp.ablate(ParityLoop(), BITS, ["z"], value="zero", task=task)
        assert found.plain.tolist() == [1, 1] and found.cells[2] == ("z", 2)
        assert torch.equal(found.ablated[2], (codes == truth).float().mean(1))
    with pytest.raises(
        LoopedError, match=r"factor is 'value'; allowed is a name that the loop reads \(parity\)"
    ):
        interp.task_accuracy(ParityTask(), BITS, "value")({"parity": torch.zeros(2, 6, 3)})


def test_resampled_is_what_the_next_row_has_at_positions_that_are_drawn() -> None:
    loop = ParityLoop()
    found = interp.ablate(loop, BITS, ["z"], METRIC, n_steps=3, value="resample", seed=1)
    drawn = torch.randint(6, (6,), generator=torch.Generator().manual_seed(1))
    taken = interp.run_loop(loop, BITS, 3, record=["z"]).once("z").flip(1)[:, :, drawn]
    for cell, steps in enumerate(([0], [1], [2], [0, 1, 2])):
        edits = [StepEdit("z", step, lambda _, step=step: taken[step]) for step in steps]
        run = interp.run_loop(loop, BITS, 3, edits=edits, keep_logits=True)
        assert torch.equal(found.ablated[cell], METRIC(run.last_read))
    with pytest.raises(ValueError, match="value is 'noise'; allowed are mean, zero, resample"):
        interp.ablate(loop, BITS, ["z"], METRIC, value="noise")


def test_a_scrambled_graph_model_is_another_one() -> None:
    loop = as_loop(load("compiled"))
    text = "20 = a; 2 = b; a + b = c"
    codes = [
        interp.run_loop(each, text, 2).codes["value"] for each in (loop, interp.scrambled_twin(loop), loop)
    ]
    assert not torch.equal(codes[0], codes[1]) and torch.equal(codes[0], codes[2])


def test_equal_ends_have_no_effect() -> None:
    sweep = interp.patch_sweep(ParityLoop(), BITS, BITS, ["z"], METRIC)
    assert np.isnan(sweep.effect.numpy()).all()
