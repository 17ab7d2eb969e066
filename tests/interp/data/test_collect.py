"""What is collected: equal to plain runs, labelled as the oracle says, independent of batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from interp import Site, SiteError, collect
from interp.data.labels import STATUSES
from interp.engine.walk import batches
from models import ComputationGraph, RecurrentTransformer, load
from models.compiled import compile_model
from tests.collecting import GRAPHS, MODELS, RESID, SIZES, graph, same, untrained


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return compile_model(("ADD", "SUB"), **SIZES)


@pytest.mark.parametrize("name", ["compiled", *MODELS])
def test_equal_to_plain_runs_of_one_graph(name: str, compiled: RecurrentTransformer) -> None:
    model = compiled if name == "compiled" else untrained(**MODELS[name])
    data = collect(model, GRAPHS, RESID, positions="all", batch_tokens=100)
    assert data.n_steps == model.run(GRAPHS).n_steps
    for number, one in enumerate(GRAPHS):
        with torch.no_grad():
            _, cache = model.run_with_cache(one, names=list(RESID), n_steps=data.n_steps)
        mine = data.select(graph=number)
        assert list(mine.labels["pos"]) == list(range(cache[RESID[0]].shape[2]))
        for site in RESID:
            assert np.allclose(mine.activations[site], cache[site][:, 0].numpy(), atol=1e-4)
        run = model.run(one, n_steps=data.n_steps)
        values = run.values[:, 0].numpy()
        node = mine.labels["node"].to_numpy()
        assert (mine.step_labels["shown"] == values[:-1, node]).all()
        assert (mine.step_labels["written"] == values[1:, node]).all()


def test_labels_of_one_graph(compiled: RecurrentTransformer) -> None:
    text = "3 = x_7; x_7 = x_2; x_7 + x_2 - x_7 = x_9".replace("- x_7", "- x_4").replace(
        "3 = x_7;", "3 = x_7; 1 = x_4;"
    )
    one = ComputationGraph.parse(text, **SIZES)  # 3 = x_7; 1 = x_4; x_7 = x_2; x_7 + x_2 - x_4 = x_9
    other = ComputationGraph.parse("2 = x_5; x_5 - x_5x = x_6".replace(" - x_5x", ""), **SIZES)
    data = collect(compiled, [other, one], "embed", positions="all", n_steps=3)
    found = data.select(graph=1).labels.drop(columns=["graph", "pos"])
    leaf = (0, 0, "leaf", -1, -1, -1, -1, -1, -1)
    copied = (1, 1, "copy", 7, -1, -1, 3, -1, -1)
    mixed = (2, 3, "mixed", 7, 2, 4, 3, 3, 1)
    expected = [
        (0, "leaf value", -1, -1, 3, *leaf),
        (0, "equals", -1, -1, -1, *leaf),
        (0, "rhs", -1, 7, 3, *leaf),
        (0, "separator", -1, -1, -1, *leaf),
        (1, "leaf value", -1, -1, 1, *leaf),
        (1, "equals", -1, -1, -1, *leaf),
        (1, "rhs", -1, 4, 1, *leaf),
        (1, "separator", -1, -1, -1, *leaf),
        (2, "operand", 0, 7, 3, *copied),
        (2, "equals", -1, -1, -1, *copied),
        (2, "rhs", -1, 2, 3, *copied),
        (2, "separator", -1, -1, -1, *copied),
        (3, "operand", 0, 7, 3, *mixed),
        (3, "operation", -1, -1, -1, *mixed),
        (3, "operand", 1, 2, 3, *mixed),
        (3, "operation", -1, -1, -1, *mixed),
        (3, "operand", 2, 4, 1, *mixed),
        (3, "equals", -1, -1, -1, *mixed),
        (3, "rhs", -1, 9, 0, *mixed),
    ]
    assert [tuple(row) for row in found.itertuples(index=False)] == expected
    assert list(found.columns) == [
        *("node", "role", "operand", "name", "value", "depth", "n_operands", "operation"),
        *(f"operand_{k}" for k in (1, 2, 3)),
        *(f"operand_value_{k}" for k in (1, 2, 3)),
    ]
    last = data.select(graph=1, node=3, role="rhs")
    assert [STATUSES[s] for s in last.step_labels["status"][:, 0]] == ["waiting", "waiting", "computing"]
    empty = 6
    assert last.step_labels["operand_shown_2"][:, 0].tolist() == [empty, empty, 3]  # x_2, of depth 1
    assert last.step_labels["operand_shown_3"][:, 0].tolist() == [empty, 1, 1]  # x_4, a leaf
    assert last.step_labels["written"][:, 0].tolist() == [empty, empty, 0]
    single = data.select(graph=0, role="rhs", depth=1)
    assert (single.step_labels["operand_shown_2"] == -1).all()
    same_operation = collect(
        compiled, ComputationGraph.parse("2 = x_1; 1 = x_2; x_1 - x_2 = x_3", **SIZES), "embed"
    )
    assert list(same_operation.labels["operation"]) == ["leaf", "leaf", "SUB"]


def test_schedule_is_what_the_compiled_model_does(compiled: RecurrentTransformer) -> None:
    data = collect(compiled, GRAPHS, "embed")
    status, shown, written = (data.step_labels[name] for name in ("status", "shown", "written"))
    value = data.labels["value"].to_numpy()
    done, computing = status == STATUSES.index("done"), status == STATUSES.index("computing")
    assert ((shown == value) == done).all() and (shown[~done] == data.modulus + 1).all()
    assert ((written == value) == (done | computing)).all()
    assert (computing.sum(0) == 1).all()
    assert (computing.argmax(0) == data.labels["depth"]).all()


def test_positions_and_heads(compiled: RecurrentTransformer) -> None:
    whole = collect(compiled, GRAPHS, ["z", "logits", "hook_logits.value"], positions="all")
    parts = {kind: collect(compiled, GRAPHS, "z", positions=kind) for kind in ("rhs", "operands")}
    for kind, role in (("rhs", "rhs"), ("operands", "operand")):
        chosen = whole.select(role=role)
        pd.testing.assert_frame_equal(chosen.labels, parts[kind].labels)
        for site, values in parts[kind].activations.items():
            assert np.array_equal(chosen.activations[site], values)
    n_heads, layers = compiled.cfg.n_heads, range(compiled.cfg.n_layers)
    assert [s for s in whole.sites if "hook_z" in s] == [
        f"blocks.{layer}.attn.hook_z.{head}" for layer in layers for head in range(n_heads)
    ]
    with torch.no_grad():
        _, cache = compiled.run_with_cache(GRAPHS[1], names="hook_z", n_steps=whole.n_steps)
    z = cache["blocks.1.attn.hook_z"][:, 0, :, 2].numpy()
    assert np.allclose(whole.select(graph=1).activations["blocks.1.attn.hook_z.2"], z, atol=1e-4)
    values = compiled.vocabulary.slice("value")
    assert np.array_equal(
        whole.activations["hook_logits"][..., values], whole.activations["hook_logits.value"]
    )
    for given in ("blocks.1.attn.hook_z.2", Site("z", layer=1, head=2)):
        assert collect(compiled, GRAPHS[:1], given, n_steps=1).sites == ("blocks.1.attn.hook_z.2",)


def test_batches_do_not_matter(compiled: RecurrentTransformer) -> None:
    for model in (compiled, untrained(bottleneck="continuous"), untrained()):
        one, again = (collect(model, GRAPHS, RESID, n_steps=6) for _ in range(2))
        assert same(one, again)
        for tokens in (1, 60):
            other = collect(model, GRAPHS, RESID, n_steps=6, batch_tokens=tokens)
            pd.testing.assert_frame_equal(one.labels, other.labels)
            for site in RESID:
                assert np.allclose(one.activations[site], other.activations[site], atol=1e-4)


def test_batches_are_of_similar_length() -> None:
    lengths = [10, 40, 11, 39, 12, 500]
    found = list(batches(lengths, 100))
    assert sorted(index for batch in found for index in batch) == list(range(6))
    assert [sorted(lengths[i] for i in batch) for batch in found] == [[10, 11, 12], [39, 40], [500]]
    assert [len(batch) for batch in batches([25] * 10, 100)] == [4, 4, 2]


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_steps_that_repeat_are_as_if_computed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that hardly see their state, in cycles of 4, in fixed points and cycles of 2, in cycles of 2; a hook that
    does nothing makes all steps be computed.
    """
    model = untrained(seed=seed, embed_std=0.05)
    run = model.run(GRAPHS)
    computed, transition = 0, model.transition

    def counted(state: torch.Tensor, *args: Any) -> torch.Tensor:
        nonlocal computed
        computed += len(state)
        return transition(state, *args)

    monkeypatch.setattr(model, "transition", counted)
    settled = collect(model, GRAPHS, RESID)
    needed, computed = computed, 0
    longer = collect(model, GRAPHS, RESID, n_steps=settled.n_steps + 9)
    assert computed <= needed + 9 * int(run.hit_bound.sum()), "only what has not settled is computed further"
    computed = 0
    with model.hooks(fwd_hooks=[("steps.0.hook_embed", lambda tensor, hook: None)]):
        plain = collect(model, GRAPHS, RESID, n_steps=longer.n_steps)
    assert computed == longer.n_steps * len(GRAPHS)
    for site in RESID:
        assert np.allclose(longer.activations[site], plain.activations[site], atol=1e-5)
    assert np.array_equal(longer.activations[site][: settled.n_steps], settled.activations[site])
    for name, label in longer.step_labels.items():
        assert np.array_equal(label, plain.step_labels[name])
    for number in range(len(GRAPHS)):
        period = int(run.cycle[number])
        mine = longer.select(graph=number).activations[RESID[1]]
        if period:
            assert np.array_equal(mine[-1], mine[-1 - period])


def test_hooks_of_others_act_and_n_steps_is_that_of_the_hooked_run(compiled: RecurrentTransformer) -> None:
    def blank(z: torch.Tensor, hook: Any) -> torch.Tensor:
        return torch.zeros_like(z)

    with compiled.hooks(fwd_hooks=[(lambda name: name.endswith("hook_z"), blank)]):
        data = collect(compiled, GRAPHS, ["blocks.1.attn.hook_z.0", "resid_post"])
        assert data.n_steps == compiled.run(GRAPHS).n_steps
    assert not data.activations["blocks.1.attn.hook_z.0"].any()
    assert not same(data, collect(compiled, GRAPHS, ["blocks.1.attn.hook_z.0", "resid_post"]))


def test_nothing_is_shared_with_the_model() -> None:
    model = untrained()
    data, kept = (collect(model, GRAPHS, ["embed", *RESID]) for _ in range(2))
    for arrays in (data.activations, data.step_labels):
        for array in arrays.values():
            array[:] = 7
    frame = data.frame(1)
    frame.loc[:, "value"] = -7
    assert (data.labels["value"] != -7).all()
    assert same(collect(model, GRAPHS, ["embed", *RESID]), kept)
    before = {name: array.copy() for name, array in kept.activations.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    assert all(np.array_equal(kept.activations[name], array) for name, array in before.items())


def test_states_of_another_model(compiled: RecurrentTransformer) -> None:
    own = collect(compiled, GRAPHS, "resid_post")
    states = compiled.run(GRAPHS).states[:-1]
    assert same(collect(compiled, GRAPHS, "resid_post", states=states), own)
    control = untrained()
    data = collect(control, GRAPHS, RESID, states=states)
    assert np.array_equal(data.step_labels["shown"], own.step_labels["shown"])
    assert not np.array_equal(data.step_labels["written"], own.step_labels["written"])
    for step in (0, 2):
        with torch.no_grad():
            tokens = control.vocabulary.pack(states[step])
            _, cache = control.run_with_cache(tokens, steps=0, names=[RESID[1]], n_steps=1)
        encoded = control.to_encoded(GRAPHS)
        expected = torch.cat([cache[RESID[1]][0, row, pos[pos >= 0]] for row, pos in enumerate(encoded.rhs)])
        assert np.allclose(data.activations[RESID[1]][step], expected.numpy(), atol=1e-5)
    assert collect(control, GRAPHS, RESID, states=states, n_steps=2).n_steps == 2
    with pytest.raises(ValueError, match=r"allowed are integers \[4 steps or more, 6 graphs"):
        collect(control, GRAPHS, RESID, states=states[:3], n_steps=4)
    for wrong in (states[:, :2], states[:0], states.float(), states[0]):
        with pytest.raises(ValueError, match="shape"):
            collect(control, GRAPHS, RESID, states=wrong)
    with pytest.raises(ValueError, match="hidden state enters"):
        collect(untrained(bottleneck="continuous"), GRAPHS, RESID, states=states)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sites": "resid"}, SiteError, "there is no site 'resid'; there are"),
        ({"sites": []}, SiteError, "at least one"),
        ({"sites": "pattern"}, SiteError, "no vector at a token"),
        ({"sites": "state"}, SiteError, "no vector at a token"),
        ({"sites": "blocks.9.hook_resid_pre"}, SiteError, "layers 0..2"),
        ({"sites": "blocks.0.attn.hook_z.9"}, SiteError, "no head 9"),
        ({"sites": "result"}, SiteError, "set_use_attn_result"),
        ({"sites": [Site("embed", step=2)]}, SiteError, "all steps are collected"),
        ({"sites": [Site("embed", pos="rhs:1")]}, SiteError, "positions= says"),
        ({"positions": "lhs"}, ValueError, "allowed are 'rhs', 'operands', 'all'"),
        ({"n_steps": 0}, ValueError, "n_steps is 0; allowed are 1 or more"),
        ({"batch_tokens": 0}, ValueError, "batch_tokens is 0"),
        ({"graphs": []}, ValueError, "no graphs"),
        ({"graphs": [graph(4, 0), ComputationGraph.sample(8)]}, ValueError, "Graph 1 has modulus 23"),
        (
            {"graphs": ComputationGraph.parse("1 = x_1", **SIZES), "positions": "operands"},
            ValueError,
            "no graph has",
        ),
    ],
)
def test_bad_input(
    changes: dict[str, Any], error: type[Exception], message: str, compiled: RecurrentTransformer
) -> None:
    with pytest.raises(error, match=message):
        collect(compiled, **({"graphs": GRAPHS, "sites": "embed"} | changes))
    assert not compiled.is_watched()


def test_models_that_cannot_be_collected() -> None:
    with pytest.raises(ValueError, match="no states or steps to collect"):
        collect(load("chain-of-thought"), [ComputationGraph.sample(8, seed=0)])
    model = untrained(dropout=0.1).train()
    with pytest.raises(ValueError, match="call model.eval()"):
        collect(model, GRAPHS)
    assert collect(model.eval(), GRAPHS, n_steps=1).n_steps == 1


# On disk -------------------------------------------------------------------------------------------------------
