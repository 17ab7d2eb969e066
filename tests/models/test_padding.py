"""What is padding is said by the graph: a bidirectional model that writes [pad] inside its graph still looks there.

The model is untrained, its readout so biased that it writes [pad] at many positions, at some of them together with
N/A in all other factors, which is how padding looks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.causal.edges import Edge, edge_attribution, exact_edges
from interp.causal.paths import direct_paths
from interp.causal.within_step import StepPair, edge_hooks, step_pair
from interp.engine.interventions import SetCode, SetValue
from interp.engine.replay import run_interventions, run_plainly
from interp.engine.sites import Site
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.vocabulary import FACTORS

CLEAN = ComputationGraph.parse("3 = a; 9 = b; a + b = c; c = d")
CORRUPT = ComputationGraph.parse("3 = a; 17 = b; a + b = c; c = d")
SHORT = ComputationGraph.parse("5 = a; a = b")
N_STEPS = 4


def writes_pad(**sizes: Any) -> RecurrentTransformer:
    config: dict[str, Any] = {"n_layers": 2, "d_model": 20, "n_heads": 2, "d_head": 8, "d_mlp": 24, "seed": 4}
    model = RecurrentTransformer(RecurrentConfig(**(config | {"attention_dir": "bidirectional"} | sizes)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        for factor, symbol in zip(FACTORS, model.vocabulary.padding, strict=True):
            model.unembed.b_U[model.vocabulary.slice(factor).start + int(symbol)] += 3.0
    return model.eval()


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    return writes_pad()


def test_the_model_writes_what_looks_like_padding(model: RecurrentTransformer) -> None:
    """Guard: without that the other tests show nothing."""
    run = model.run([CLEAN, SHORT], n_steps=N_STEPS)
    says_pad = (run.states[1:, ..., 0] == int(model.vocabulary.padding[0])) & run.encoded.mask
    assert 0.2 < says_pad[:, run.encoded.mask].float().mean() < 1
    as_padding = torch.stack([model.is_padding(state) for state in run.states[1:]])
    assert (as_padding & run.encoded.mask).any(), "the end of a graph looks like padding"


@pytest.mark.parametrize("bottleneck", ["discrete", "continuous"])
@pytest.mark.parametrize("positions", ["relative_bias", "deberta"])
def test_a_step_is_the_runs_step(bottleneck: str, positions: str) -> None:
    model = writes_pad(bottleneck=bottleneck, positions=positions)
    encoded = model.to_encoded([CLEAN, SHORT])
    with torch.no_grad():
        logits, states = zip(*model.iterate(encoded.factors, N_STEPS), strict=True)
        run = model.run(encoded, n_steps=N_STEPS)
        forward = model(encoded, n_steps=N_STEPS)
        _, cache = model.run_with_cache(encoded, n_steps=N_STEPS, names=["hook_resid_post"])
        assert torch.equal(run.states[1:], torch.stack(states))
        assert torch.allclose(forward, torch.stack(logits), atol=1e-6)
        for step in range(N_STEPS):
            entering = (
                encoded.packed if bottleneck == "continuous" else model.vocabulary.pack(run.states[step])
            )
            for view in (model.at_step(step, ~encoded.mask), cache.at_step(step).model):
                assert torch.allclose(view(entering), logits[step], atol=1e-6), step
                assert torch.equal(view(entering, return_type="state"), states[step])
        unrolled = model.unrolled(N_STEPS, ~encoded.mask)
        assert torch.allclose(unrolled(encoded.packed), logits[-1], atol=1e-6)
        if bottleneck == "discrete":
            assert torch.allclose(
                model.unrolled(2, ~encoded.mask)(model.vocabulary.pack(run.states[2])), logits[3], atol=1e-6
            )


def test_without_the_mask_a_state_is_read_as_far_as_it_says(model: RecurrentTransformer) -> None:
    """[pad] before something else, or beside another symbol, is inside the graph."""
    factors = model.to_encoded([CLEAN, SHORT]).factors.clone()
    padding = model.is_padding(factors)
    assert torch.equal(padding, ~model.to_encoded([CLEAN, SHORT]).mask)
    factors[0, 3] = model.vocabulary.padding
    factors[0, -1, 0] = model.vocabulary.padding[0]
    assert torch.equal(model.is_padding(factors), padding)
    factors[0, -1] = model.vocabulary.padding
    assert model.is_padding(factors)[0].tolist() == [False] * (factors.shape[1] - 1) + [True]


def test_an_input_that_the_mask_is_not_of_is_refused(model: RecurrentTransformer) -> None:
    view = model.at_step(0, ~model.to_encoded([CLEAN, SHORT]).mask)
    with pytest.raises(ValueError, match="padding of 2 x 17 positions, the input has 1 x 17"):
        view(model.to_tokens(CLEAN))
    with pytest.raises(ValueError, match="the input has 1 x 7"):
        view(model.to_tokens(SHORT))
    assert (
        model.at_step(0, torch.zeros(17, dtype=torch.bool))(model.to_tokens([CLEAN, CORRUPT])).shape[0] == 2
    )


def test_a_resumed_run_goes_on_as_the_whole_one(model: RecurrentTransformer) -> None:
    whole = model.run([CLEAN, SHORT], n_steps=N_STEPS)
    rest = model.run([CLEAN, SHORT], n_steps=N_STEPS - 2, initial_state=whole.states[2])
    assert torch.equal(rest.states, whole.states[2:])
    with model.hooks(fwd_hooks=[(lambda name: name.endswith("hook_embed"), lambda x, hook: None)]):
        watched = model.run([CLEAN, SHORT], n_steps=N_STEPS - 2, initial_state=whole.states[2])
    assert torch.equal(watched.states, whole.states[2:])
    settled = model.run([CLEAN, SHORT], initial_state=whole.states[1])
    assert settled.bound == model.run([CLEAN, SHORT]).bound, "the graph says how many equations there are"


def test_replay_is_the_plain_way(model: RecurrentTransformer) -> None:
    n = len(model.to_tokens(CLEAN)[0])
    edits = [SetCode(0, n - 1, "syntax", "[pad]"), SetCode(1, 4, "value", "7")]
    edits += [SetValue(Site("resid_pre", step, 1, n - 2), 1.0) for step in range(N_STEPS)]
    ways = (way(model, CLEAN, edits, N_STEPS, range(n)) for way in (run_interventions, run_plainly))
    for fast, plain in zip(*ways, strict=True):
        assert torch.equal(fast.states, plain.states)
        assert torch.allclose(fast.logits, plain.logits, atol=1e-5)


@pytest.fixture(params=[1, 2, 3])
def pair(model: RecurrentTransformer, request: pytest.FixtureRequest) -> StepPair:
    """One step of the runs, and the nodes that show a number after it: what the metric can ask about."""
    after = model.run(CLEAN, n_steps=request.param + 1).values[-1, 0]
    numbers = (after < model.vocabulary.modulus).nonzero().flatten().tolist()
    return step_pair(model, CLEAN, CORRUPT, request.param, metric="prob", nodes=numbers)


def in_the_run(pair: StepPair, graph: ComputationGraph, hooks: list[tuple[str, Any]]) -> float:
    """The metric after the pair's step of the whole run, hooks acting in that step."""
    model = pair.view.original_model
    with torch.no_grad(), edge_hooks(pair.view):
        named = [(f"steps.{pair.step}.{name}", hook) for name, hook in hooks]
        with model.hooks(fwd_hooks=named):
            *_, (logits, _) = model.iterate(model.to_encoded(graph).factors, pair.step + 1)
    return float(pair.scalar(logits))


def test_pairs_edges_and_paths_are_of_the_runs_step(pair: StepPair) -> None:
    model = pair.view.original_model
    assert pair.clean_metric == pytest.approx(in_the_run(pair, CLEAN, []), abs=1e-6)
    assert pair.corrupt_metric == pytest.approx(in_the_run(pair, CORRUPT, []), abs=1e-6)
    kept: dict[str, Tensor] = {}
    for name, graph in (("clean", CLEAN), ("corrupt", CORRUPT)):
        in_the_run(pair, graph, [("blocks.0.attn.hook_z", lambda z, hook, n=name: kept.update({n: z}))])
    change = (kept["clean"] - kept["corrupt"])[0, :, 1] @ model.W_O[0, 1].detach()
    assert change.abs().max() > 1e-3
    edges = [Edge("head", 0, 1, "v", 1, head) for head in range(2)]
    expected = []
    for head in range(2):

        def add(read: Tensor, hook: Any, head: int = head) -> Tensor:
            read = read.clone()
            read[0, :, head] += change
            return read

        patched = in_the_run(pair, CORRUPT, [("blocks.1.attn.hook_v_input", add)])
        expected.append(patched - in_the_run(pair, CORRUPT, []))
    assert np.allclose(exact_edges(pair, edges), expected, atol=1e-6)
    assert np.allclose(direct_paths(pair, 0, 1, "v").effects[1], expected, atol=1e-6)
    assert np.isfinite(edge_attribution(pair).scores).all()
    assert np.isfinite(edge_attribution(pair, 2).scores).all()


@pytest.mark.parametrize("scale", ["standard", "log"])
def test_padding_changes_nothing(scale: str) -> None:
    """Of a query's keys only those that it sees are counted."""
    model = writes_pad(attention_scale=scale, attention_scale_reference=2)
    with torch.no_grad():
        alone, beside = model(SHORT, n_steps=3), model([SHORT, CLEAN], n_steps=3)
    assert torch.allclose(beside[:, 0, : alone.shape[2]], alone[:, 0], atol=1e-5)
