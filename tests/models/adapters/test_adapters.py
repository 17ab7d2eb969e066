"""Foreign looped models: own forward and ours are the same, runs resume, and an edit is a hook written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from analyses.benchmarks import foreign
from analyses.benchmarks.foreign import albert, hrm_text
from interp import Loop, StepEdit, run_loop, watch
from models.adapters.albert import AlbertLoop
from models.adapters.hrm_text import HrmTextLoop
from models.adapters.huginn import HuginnLoop
from models.adapters.open_mythos import OpenMythosLoop
from models.adapters.ouro import OuroLoop
from tests import stand_ins

IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def x_transformer(**options: Any) -> Any:
    pytest.importorskip("x_transformers")
    return foreign.x_transformer(**options)


def looped_decoder() -> tuple[Any, Any]:
    from models.adapters.x_transformers_looped import LoopedDecoderLoop

    model = x_transformer(depth=2, looped=True, pre_and_post_norm=True)
    return model, LoopedDecoderLoop(model)


def tied_layers() -> tuple[Any, Any]:
    from models.adapters.x_transformers_tied import TiedLayersLoop

    model = x_transformer(depth=5, weight_tie_layers=True)
    return model, TiedLayersLoop(model)


def huginn() -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = stand_ins.RavenForCausalLM()
    return model, HuginnLoop(model)


def ouro() -> tuple[Any, Any]:
    from transformers import LlamaConfig

    torch.manual_seed(0)
    model = stand_ins.OuroForCausalLM()
    model.config = LlamaConfig(num_hidden_layers=2, num_attention_heads=1, hidden_size=stand_ins.D)
    model.config._attn_implementation = "eager"
    return model, OuroLoop(model)


def open_mythos() -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = stand_ins.OpenMythos()
    return model, OpenMythosLoop(model)


def huginn_output(model: Any) -> Tensor:
    torch.manual_seed(1)
    return model(IDS, model.initialize_state(model.embed_inputs(IDS)[0]), 4)


Made = tuple[Any, Any]
MODELS: dict[str, tuple[Callable[[], Made], Callable[[Any], Tensor], str, int]] = {
    "albert": (lambda: (m := albert(), AlbertLoop(m)), lambda m: m(IDS).logits, "0.mlp_out", 1),
    "albert, two groups of two": (
        lambda: (m := albert(2, 2), AlbertLoop(m)),
        lambda m: m(IDS).logits,
        "1.mlp_out",
        1,
    ),
    "hrm-text": (lambda: (m := hrm_text(), HrmTextLoop(m)), lambda m: m(IDS).logits, "L.1.mlp_out", 3),
    "x-transformers, looped": (looped_decoder, lambda m: m(IDS), "1.mlp_out", 1),
    "x-transformers, tied": (tied_layers, lambda m: m(IDS), "0.attn_out", 1),
    "huginn": (huginn, huginn_output, "1.attn_out", 1),
    "ouro": (ouro, lambda m: m(IDS)[0], "0.attn_out", 1),
    "open-mythos": (open_mythos, lambda m: m(IDS)[0], "mlp_out", 1),
}
"""How a model and its loop are made, its own output, a site that every early step calls, and how often."""


def begin(loop: Loop) -> tuple[int, Any, Any]:
    """Where all runs of a test begin: Huginn's state is drawn."""
    torch.manual_seed(1)
    with torch.no_grad():
        return 0, *loop.begin(IDS)


@pytest.fixture(params=MODELS)
def made(request: pytest.FixtureRequest) -> tuple[Any, Any, Callable[[Any], Tensor], str, int]:
    make, own, site, calls = MODELS[request.param]
    model, loop = make()
    return model, loop, own, site, calls


@torch.no_grad()
def test_own_forward_and_ours_are_the_same(made: Any) -> None:
    model, loop, own, site, calls = made
    run = run_loop(loop, None, loop.n_steps, record=[site], start=begin(loop), keep_logits=True)
    error = float((run.logits["token"][-1] - own(model)).abs().max())
    print(f"{type(loop).__name__}: largest difference of logits {error}")
    assert error == 0
    assert run[site].shape[1] == calls
    assert not torch.equal(run.logits["token"][1], run.logits["token"][-1])  # one step is not enough


@torch.no_grad()
def test_a_run_from_the_middle_is_the_tail(made: Any) -> None:
    _, loop, _, site, _ = made
    whole = run_loop(loop, None, loop.n_steps, record=[site], start=begin(loop))
    tail = run_loop(loop, None, loop.n_steps, start=whole.at(1))
    for name, states in tail.states.items():
        assert torch.equal(states, whole[name][1:]), name


@torch.no_grad()
def test_an_edit_is_a_hook_by_hand(made: Any) -> None:
    model, loop, own, site, calls = made
    plain = own(model)
    seen = 0

    def off(_: nn.Module, given: Any, output: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen != calls + calls:  # the last call of step 1
            return None
        return (output[0] * 0, *output[1:]) if isinstance(output, tuple) else output * 0

    with model.get_submodule(loop.sites[site]).register_forward_hook(off):
        by_hand = own(model)
    edit = StepEdit(site, 1, torch.zeros_like, call=calls - 1)
    run = run_loop(loop, None, loop.n_steps, edits=[edit], start=begin(loop), keep_logits=True)
    assert torch.equal(run.logits["token"][-1], by_hand)
    assert not torch.equal(by_hand, plain)


def test_gradients_reach_the_first_step(made: Any) -> None:
    _, loop, _, site, _ = made
    run = run_loop(loop, None, loop.n_steps, record=[site], start=begin(loop), keep_logits=True, grad=True)
    (slope,) = torch.autograd.grad(run.logits["token"][-1].square().sum(), run[site], allow_unused=True)
    assert slope is None  # what is stacked is a copy: ask for the gradient of a leaf
    leaf = torch.zeros_like(run[site][0, 0]).requires_grad_()
    edit = StepEdit(site, 0, lambda x: x + leaf, call=0)
    again = run_loop(loop, None, loop.n_steps, edits=[edit], start=begin(loop), keep_logits=True, grad=True)
    again.logits["token"][-1].square().sum().backward()
    assert leaf.grad is not None and float(leaf.grad.abs().max()) > 0


# What each has besides -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_albert_shows_attention_by_step_and_minds_padding() -> None:
    model = albert()
    inputs = {"input_ids": IDS, "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])}
    run = run_loop(AlbertLoop(model), inputs, 6, record=["0.pattern"], keep_logits=True)
    own = model(**inputs, output_attentions=True)
    assert torch.equal(run.once("0.pattern"), torch.stack(own.attentions))
    assert torch.equal(run.logits["token"][-1], own.logits)
    assert float(run["0.pattern"][..., 0, :, :, 3:].max()) == 0
    assert (
        AlbertLoop(model.albert).sites["0.pattern"]
        == "encoder.albert_layer_groups.0.albert_layers.0.attention:1"
    )
    assert run_loop(AlbertLoop(model.albert), IDS, 2).codes == {}


@torch.no_grad()
def test_albert_driven_by_its_own_forward_is_the_same_run() -> None:
    model = albert()
    watched = watch(model, marker="albert.encoder.albert_layer_groups.0", sites=AlbertLoop(model).sites)
    edit = StepEdit("0.mlp_out", 2, torch.zeros_like)
    theirs = watched.run(IDS, record=["0.mlp_out"], edits=[edit])
    ours = run_loop(AlbertLoop(model), IDS, 6, record=["0.mlp_out"], edits=[edit], keep_logits=True)
    assert torch.equal(theirs["state"], ours["state"]) and torch.equal(theirs["0.mlp_out"], ours["0.mlp_out"])
    assert torch.equal(theirs.output.logits, ours.logits["token"][-1])


@torch.no_grad()
def test_hrm_text_shows_all_six_calls_of_its_fast_level() -> None:
    model = hrm_text()
    loop = HrmTextLoop(model)
    run = run_loop(loop, IDS, 2, record=["L.0.pattern", "H.0.pattern", "L.1.resid_post"], keep_logits=True)
    assert run["L.0.pattern"].shape == (2, 3, 2, 2, 5, 5) and run["H.0.pattern"].shape[1] == 1
    seen: list[Tensor] = []
    with model.model.L_module.layers[1].register_forward_hook(lambda m, a, out: seen.append(out)):
        model(IDS)
    assert torch.equal(run["L.1.resid_post"].flatten(0, 1), torch.stack(seen))
    prefix = {"input_ids": IDS, "token_type_ids": torch.tensor([[1, 1, 0, 0, 0]] * 2)}
    both_ways = run_loop(loop, prefix, 2, keep_logits=True).logits["token"][-1]
    assert torch.equal(both_ways, model(**prefix).logits)
    assert not torch.equal(both_ways, run.logits["token"][-1])


@torch.no_grad()
def test_the_looped_decoder_leaves_where_its_own_inference_does() -> None:
    model, loop = looped_decoder()
    nn.init.constant_(model.exit_gate.weight, 0.02)
    for token in range(11):
        ids = torch.tensor([[token]])
        loop.threshold = 0.8
        _, own = model(
            ids,
            looped_inference=True,
            looped_exit_prob_threshold=0.8,
            max_looped_steps=5,
            return_intermediates=True,
        )
        run = run_loop(loop, ids, "halted", most=5)
        assert run.n_steps == int(own.exit_indices) + 1


@torch.no_grad()
def test_ouro_has_the_exit_distribution_of_its_gate() -> None:
    model, loop = ouro()
    run = run_loop(loop, IDS, 4)
    torch.testing.assert_close(
        run["state.exit"][1:].diff(dim=0, prepend=torch.zeros(1, 2, 5)), model(IDS)[1].permute(2, 0, 1)
    )
    assert loop.threshold == 0.9 and OuroLoop(model, 0.5).threshold == 0.5


@torch.no_grad()
def test_open_mythos_halts_when_its_own_loop_does() -> None:
    model, loop = open_mythos()
    nn.init.constant_(model.recurrent.act.halt.bias, 1.0)
    logits, steps = model(IDS)
    run = run_loop(loop, IDS, "halted", keep_logits=True)
    assert run.n_steps == steps < 6
    assert torch.equal(run.logits["token"][-1], logits)
    assert run.halted_at is not None and int(run.halted_at.max()) == steps


def test_tied_layers_that_share_more_are_refused() -> None:
    from models.adapters.x_transformers_tied import TiedLayersLoop

    model = x_transformer(depth=2, weight_tie_layers=True, add_value_residual=True)
    with pytest.raises(ValueError, match="the layers have add_value_residual; allowed are plain layers"):
        TiedLayersLoop(model)


def test_an_adapter_is_at_most_sixty_lines(root: Path) -> None:
    for path in (root / "models" / "adapters").glob("*.py"):
        assert sum(bool(line.strip()) for line in path.read_text().splitlines()) <= 60, path.name
