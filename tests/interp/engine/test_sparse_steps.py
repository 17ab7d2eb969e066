"""Sparse steps: bounds hold, states are those of dense steps, and what is skipped is skipped."""

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from interp import make_pair, patch_sweep
from interp.engine.following import BaseRun, Item
from interp.engine.interventions import (
    Intervention,
    MeanAblate,
    ResampleAblate,
    SetCode,
    SetFrom,
    SetValue,
    ZeroAblate,
    record,
)
from interp.engine.replay import Given, Replay, run_interventions
from interp.engine.sites import Site
from interp.engine.sparse.attention import BaseAttention
from interp.engine.sparse.certificate import Certificate
from interp.engine.sparse.positions import projected, read_out
from interp.engine.sparse.step import SparseSteps
from interp.engine.sparse.tally import Tally
from interp.engine.sparse.updates import moved_streams
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, load

WRITTEN = (
    "resid_pre",
    "q",
    "k",
    "v",
    "z",
    "attn_out",
    "resid_mid",
    "mlp_pre",
    "mlp_post",
    "mlp_out",
    "resid_post",
)

TASK: dict[str, Any] = {"modulus": 5, "n_variables": 16}


def drawn(seed: int, scale: float = 3.0, **changes: Any) -> RecurrentTransformer:
    """A model of random weights, larger than those that training begins with: attention is sharp, margins are wide."""
    settings: dict[str, Any] = {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32}
    settings |= {"position_window": 8, "seed": seed, **TASK, **changes}
    model = RecurrentTransformer(RecurrentConfig(**settings)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if name.endswith((".w", ".b")) or "b_" in name or "bias" in name:
            weight += torch.randn(weight.shape, generator=generator) * 0.3
        else:
            weight *= scale
    return model


MODELS: dict[str, Callable[[], RecurrentTransformer]] = {
    "LN": lambda: drawn(0),
    "log scale": lambda: drawn(1, attention_scale="log", attention_scale_reference=4),
    "no positions": lambda: drawn(2, positions="none"),
    "norm folded": lambda: drawn(3, normalization_type="LNPre"),
    "no norm": lambda: drawn(4, 1.0, normalization_type=None),
    "three layers": lambda: drawn(5, n_layers=3),
    "one layer": lambda: drawn(6, n_layers=1),
}


def prepared(model: RecurrentTransformer) -> tuple[BaseRun, BaseAttention, Certificate, Tensor]:
    """The last layer in step 1 of a run of 9 nodes, and what enters its MLP."""
    base = BaseRun.of(model, record(model, ComputationGraph.sample(9, n_leaves=3, seed=0, **TASK), 3), 3)
    with torch.no_grad():
        step = SparseSteps(base, "states", Tally()).prepared.step(1)
    attn = model.layers[-1].attn
    z = step.attention.z.transpose(0, 1).flatten(1)
    return base, step.attention, step.certificate, step.resid + z @ attn.W_O.flatten(0, 1) + attn.b_O


@pytest.mark.parametrize("name", MODELS)
def test_no_query_moves_further_than_its_bound(name: str) -> None:
    model = MODELS[name]().double()
    base, attention, certificate, _ = prepared(model)
    block, n = model.layers[-1], base.packed.shape[1]
    stream = base.resid_pre(1, len(model.layers) - 1)
    generator = torch.Generator().manual_seed(0)
    tightest = 0.0
    for size in (1e-3, 0.1, 1.0, 10.0):
        for key in range(0, n, 3):
            changed = stream.clone()
            changed[key] += size * torch.randn(len(changed[key]), generator=generator)
            q, k, v = (projected(block.attn, block.ln1(changed), which) for which in "QKV")
            after = BaseAttention.of(block.attn, q, k, v)
            at, where = torch.tensor([key]), slice(key + 1, n)
            weights = attention.weights(at, k[at], 0)
            bound = attention.moves(at, v[at], weights, 0, certificate.slack)[:, 0, where]
            moved = (after.z - attention.z).norm(dim=-1)[:, where]
            certain = (1 + weights[1] - weights[0])[:, 0, where] >= 0.1
            assert bool((moved <= bound * (1 + 1e-6) + 1e-9)[certain].all())
            tightest = (
                max(tightest, float((moved / bound)[certain].max())) if bool(certain.any()) else tightest
            )
    assert tightest > 0.5  # a bound that holds because it is huge would certify nothing


@pytest.mark.parametrize("name", MODELS)
def test_within_its_reach_a_position_keeps_its_codes(name: str) -> None:
    """Moves of that length in random directions, and in the direction in which the runner-up gains most."""
    model = MODELS[name]()
    _, _, certificate, mid = prepared(model)
    block = model.layers[-1]
    mid = mid.double().requires_grad_(True)
    double = model.double()

    def codes(stream: Tensor) -> tuple[Tensor, Tensor]:
        pre = block.ln2(stream) @ block.mlp.W_in + block.mlp.b_in
        logits = read_out(double, stream + pre.relu() @ block.mlp.W_out + block.mlp.b_out)
        return model.discretise(logits[None])[0], logits

    before, logits = codes(mid)
    reach = certificate.reach.double().clamp_min(0)[:, None]
    directions = [torch.randn_like(mid) for _ in range(20)]
    for part in torch.split(logits, list(model.vocabulary.sizes), dim=-1):
        top = part.topk(2, -1).values
        directions.append(-torch.autograd.grad((top[:, 0] - top[:, 1]).sum(), mid, retain_graph=True)[0])
    directions += [-direction for direction in directions]
    for direction in directions:
        moved = mid.detach() + reach * torch.nn.functional.normalize(direction, dim=-1)
        assert torch.equal(codes(moved)[0], before)
    assert bool((reach > 0).any())


def every_kind(model: RecurrentTransformer, n_steps: int) -> tuple[ComputationGraph, list[Intervention]]:
    """Interventions at every site that has a position, of every kind."""
    size, vocabulary = 10, model.vocabulary
    task = {"modulus": vocabulary.modulus, "n_variables": vocabulary.n_variables, "ops": vocabulary.ops}
    pair = make_pair(ComputationGraph.sample(size, seed=1, **task), "leaf-value", seed=0)
    source = record(model, pair.corrupt, n_steps)
    given: list[Intervention] = []
    for name in ("resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "mlp_pre", "mlp_post"):
        sites = Site.grid(model, pair.clean, name, n_steps=n_steps)
        given += [SetFrom(site, source) for site in sites[:: max(1, len(sites) // 40)]]
        given += [ZeroAblate(site) for site in sites[1 :: max(1, len(sites) // 8)]]
        given += [MeanAblate(site, source) for site in sites[2 :: max(1, len(sites) // 8)]]
        given += [ResampleAblate(site, source) for site in sites[3 :: max(1, len(sites) // 8)]]
    for name in ("mlp_out", "resid_post", "logits", "embed", "state"):
        sites = Site.grid(model, pair.clean, name, n_steps=n_steps)
        given += [SetFrom(site, source) for site in sites[:: max(1, len(sites) // 20)]]
    given += [SetCode(step, f"rhs:{node}", "value", 1) for step in range(n_steps) for node in range(size)]
    given += [SetValue(Site("z", step=1, layer=0, pos=4), 0.5), ZeroAblate(Site("mlp_out", layer=0))]
    return pair.clean, given


def both(model: RecurrentTransformer, exact: str, tally: Tally) -> list[tuple[Replay, Replay]]:
    """Each intervention, in the mode and densely."""
    graph, given = every_kind(model, 3)
    found = run_interventions(model, graph, given, 3, exact=exact, tally=tally)  # type: ignore[arg-type]
    return list(zip(found, run_interventions(model, graph, given, 3, exact="dense"), strict=True))


@pytest.mark.parametrize("name", [*MODELS, "compiled", "discrete-corrected"])
def test_states_and_kept_logits_are_those_of_dense_steps(name: str) -> None:
    tally = Tally()
    model = MODELS[name]() if name in MODELS else load(name)
    pairs = both(model, "states", tally)
    assert len(pairs) > 300
    for sparse, dense in pairs:
        assert torch.equal(sparse.states, dense.states)
        assert sparse.logits is not None
        assert dense.logits is not None
        torch.testing.assert_close(sparse.logits, dense.logits, rtol=1e-4, atol=1e-3)
    assert tally.certified > 100
    assert tally.unchanged > 0
    assert tally.computed < tally.positions


def test_several_edits_in_one_place_act_together() -> None:
    model = drawn(0)
    graph, _ = every_kind(model, 3)
    heads = [ZeroAblate(Site("z", step=1, layer=0, pos=6, head=head)) for head in range(2)]
    twice = [
        SetValue(Site("resid_post", step=1, layer=0, pos=6), 1.0),
        ZeroAblate(Site("resid_post", 1, 0, 6)),
    ]
    for given in (heads, twice):
        (sparse,) = run_interventions(model, graph, [given], 3)
        (dense,) = run_interventions(model, graph, [given], 3, exact="dense")
        assert torch.equal(sparse.states, dense.states)


def test_checked_steps_are_audited_and_skip_more() -> None:
    model = load("discrete-corrected")
    checked, states = Tally(), Tally()
    both(model, "checked", checked)
    both(model, "states", states)
    assert checked.audited > 0
    assert checked.disagreements == 0
    assert checked.skipped >= states.skipped > 0.5
    assert "audited" in str(checked)


@pytest.mark.parametrize("changes", [{"attention_dir": "bidirectional"}, {"act_fn": "gelu"}])
def test_a_model_without_certificates_is_replayed_densely(changes: dict[str, Any]) -> None:
    tally = Tally()
    graph, given = every_kind(drawn(0), 3)
    model = drawn(0, **changes)
    list(
        run_interventions(
            model, graph, [one for one in given if not isinstance(one, SetFrom)], 3, tally=tally
        )
    )
    assert tally.certified == 0
    assert tally.dense > 0


def test_a_model_whose_margins_are_rounding_falls_back() -> None:
    model, tally = drawn(0), Tally()
    model.unembed.W_U.copy_(model.unembed.W_U.mean(1, keepdim=True) + 1e-6 * model.unembed.W_U)
    model.unembed.b_U.zero_()
    graph = ComputationGraph.sample(10, seed=1, **TASK)
    zeros = [ZeroAblate(Site("resid_pre", step=1, layer=1, pos=pos)) for pos in range(30)]
    list(run_interventions(model, graph, zeros, 3, tally=tally))
    assert tally.fell_back == len(zeros)
    assert tally.certified == 0


def test_a_step_with_few_changes_is_not_worth_a_certificate() -> None:
    tally = Tally()
    graph = ComputationGraph.sample(10, seed=1, **TASK)
    zero = ZeroAblate(Site("resid_pre", step=1, layer=1, pos=20))
    list(run_interventions(drawn(0), graph, [zero], 2, tally=tally))
    assert (tally.dense, tally.fell_back, tally.certified) == (1, 0, 0)


def test_effects_of_a_sweep_do_not_depend_on_the_mode() -> None:
    model = load("discrete-corrected")
    pair = make_pair(ComputationGraph.sample(8, seed=0), "leaf-value", 0)
    sites = Site.grid(model, pair.clean, "z", n_steps=4, pos="rhs")
    tally = Tally()
    sparse = patch_sweep(model, pair.clean, pair.corrupt, sites, n_steps=4, tally=tally)
    dense = patch_sweep(model, pair.clean, pair.corrupt, sites, n_steps=4, exact="dense")
    assert abs(sparse.normalised - dense.normalised).max() < 1e-6
    assert tally.certified > len(sites) / 2


def test_an_unknown_mode_says_which_there_are() -> None:
    graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
    with pytest.raises(ValueError, match=r"exact='fast'; allowed are states, dense, checked"):
        run_interventions(load("compiled"), graph, [], exact="fast")  # type: ignore[arg-type]


def test_the_benchmark_counts_no_difference() -> None:
    from analyses.benchmarks.certificates import compared, figure

    row = compared(load("compiled"), "compiled", 8, 1000, 0)
    assert row.comparisons >= 1000
    assert row.differing == 0
    assert row.skipped[0] > 0.5
    assert [trace.name for trace in cast(Any, figure([row], 8)).data] == ["compiled"]


def at_several_places(model: RecurrentTransformer, n_steps: int) -> tuple[ComputationGraph, list[Given]]:
    """Codes changed, sites of every layer written at several positions, and both at once."""
    vocabulary = model.vocabulary
    task = {"modulus": vocabulary.modulus, "n_variables": vocabulary.n_variables, "ops": vocabulary.ops}
    graph = ComputationGraph.sample(12, n_leaves=4, seed=2, **task)
    other = record(model, ComputationGraph.sample(12, n_leaves=4, seed=2, **task), n_steps)
    given: list[Given] = []
    for step in range(n_steps):
        values = [SetCode(step, f"rhs:{node}", "value", value) for node in range(12) for value in (0, 3)]
        given += values
        given += [[one, two] for one, two in zip(values, values[7:], strict=False)]
        given.append([SetCode(step, pos, "value", 2) for pos in range(1, 30)])
        given.append(SetFrom(Site("state", step), other, (step + 1) % n_steps))
        for layer, name in itertools.product(range(model.cfg.n_layers), WRITTEN if step else ()):
            head = 1 if name in ("q", "k", "v", "z") else None
            whole, places = Site(name, step, layer, head=head), range(step, 30, 7)
            spread: list[Intervention] = [SetFrom(replace(whole, pos=pos), other, 0) for pos in places]
            given += [ZeroAblate(whole), spread]
            given.append([values[4], *spread, SetFrom(Site("z", step, 0, 20, 0), other, 1)])
    return graph, given


@pytest.mark.parametrize("name", [*MODELS, "compiled", "discrete-corrected"])
def test_other_codes_and_several_places_are_followed_as_dense_steps_follow_them(name: str) -> None:
    model = MODELS[name]() if name in MODELS else load(name)
    graph, given = at_several_places(model, 2)
    tally = Tally()
    sparse = run_interventions(model, graph, given, 2, tally=tally)
    for ours, dense in zip(sparse, run_interventions(model, graph, given, 2, exact="dense"), strict=True):
        assert torch.equal(ours.states, dense.states)
        torch.testing.assert_close(ours.logits, dense.logits, rtol=1e-4, atol=1e-3)
    assert tally.updated > 50
    assert tally.updated_computed < tally.updated_positions


@pytest.mark.parametrize("name", MODELS)
def test_what_enters_the_last_mlp_is_that_of_a_whole_step(name: str) -> None:
    """Few and many changed codes, so that queries are updated in some and attend anew in others."""
    model = MODELS[name]().double()
    base, _, _, _ = prepared(model)
    steps, n, last = SparseSteps(base, "states", Tally()), base.packed.shape[1], len(model.layers) - 1
    entering = base.packed[1].repeat(3, 1)
    for row, count in enumerate((1, 3, n - 4)):
        entering[row, 4 : 4 + count] = base.packed[1, :count]
    with torch.no_grad():
        moved = moved_streams(
            base, 1, lambda layer: steps.prepared.attention(1, layer), [Item(row, ()) for row in entering], 4
        )
        _, cache = model.at_step(0).run_with_cache(entering)
    whole = cache[f"blocks.{last}.hook_resid_mid"]
    torch.testing.assert_close(moved.stream, whole[moved.row, moved.query + 4])
    unmoved = torch.ones(3, n, dtype=torch.bool)
    unmoved[moved.row, moved.query + 4] = False
    torch.testing.assert_close(whole[unmoved], steps.prepared.step(1).mid.expand(3, -1, -1)[unmoved])


def test_tallies_add_up_and_read_as_a_sentence() -> None:
    one = Tally("states", unchanged=1, certified=2, positions=10, computed=2, by_step={0: 2})
    other = Tally("states", dense=1, dense_positions=6, fell_back=1, by_step={0: 4, 1: 2})
    both = one + other
    assert (both.steps, both.by_step) == (4, {0: 6, 1: 2})
    assert "50.0% were skipped" in str(both)
    assert "25.0% of the steps were dense, 25.0% because a certificate failed" in str(both)
    assert Tally.of(json.loads(json.dumps(asdict(both)))) == both
    assert str(Tally()) == "exact=states: 0 steps were followed"
