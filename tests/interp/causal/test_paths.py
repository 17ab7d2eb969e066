"""Direct paths inside a step, and mediation by a node's code between steps, against what the graph says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.causal.edges import Edge, exact_edges
from interp.causal.paths import Mediator, direct_paths, mediate, reached_past
from interp.causal.within_step import step_pair
from interp.engine.interventions import SetCode, record
from interp.engine.sites import SiteError, rhs
from models import CompiledTransformer, ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model

SIZES = {"modulus": 5, "n_variables": 16}


@pytest.fixture(scope="module")
def compiled() -> CompiledTransformer:
    return compile_model(("ADD",), **SIZES)


def parse(text: str) -> ComputationGraph:
    return ComputationGraph.parse(text, **SIZES)


def test_direct_paths_are_edges() -> None:
    model = RecurrentTransformer(
        RecurrentConfig(n_layers=3, d_model=20, n_heads=2, d_head=8, d_mlp=24, seed=4)
    ).eval()
    graphs = [ComputationGraph.parse(f"3 = a; {value} = b; a + b = c") for value in (9, 17)]
    pair = step_pair(model, *graphs, step=0, metric="prob", nodes=[2])
    paths = direct_paths(pair, 0, 1, "v")
    assert np.isnan(paths.effects[0]).all()
    later = [(layer, head) for layer in (1, 2) for head in (0, 1)]
    edges = exact_edges(pair, [Edge("head", 0, 1, "v", layer, head) for layer, head in later])
    assert np.allclose([paths.effects[where] for where in later], edges, atol=1e-7)
    assert np.abs(edges).max() > 1e-5
    frame = paths.to_frame()
    assert list(zip(frame["to_layer"], frame["to_head"], strict=True)) == later
    gap = pair.clean_metric - pair.corrupt_metric
    assert np.allclose(frame["normalised"] * gap, frame["effect"])


def test_the_planted_path_carries_the_operands_name(compiled: CompiledTransformer) -> None:
    graphs = [parse(f"1 = x_0; 3 = x_1; {name} = x_2") for name in ("x_0", "x_1")]
    pair = step_pair(compiled, *graphs, step=1, nodes=[2])
    name, lookup = compiled.circuit.with_role("name:last"), compiled.circuit.with_role("value:last")
    effects = direct_paths(pair, name.layer, name.head, "q").normalised
    assert effects[lookup.layer, lookup.head] == pytest.approx(1.0, abs=1e-4)
    effects[lookup.layer, lookup.head] = 0.0
    assert np.nanmax(np.abs(effects)) < 1e-4
    assert np.nanmax(np.abs(direct_paths(pair, name.layer, name.head, "v").effects)) < 1e-4


def test_direct_paths_need_a_later_head(compiled: CompiledTransformer) -> None:
    pair = step_pair(compiled, parse("1 = x_0; x_0 = x_1"), parse("2 = x_0; x_0 = x_1"), step=1)
    with pytest.raises(SiteError, match="layers 0..1, heads 0..5"):
        direct_paths(pair, 2, 0)
    with pytest.raises(ValueError, match="allowed are q, k, v"):
        direct_paths(pair, 0, 0, "z")  # type: ignore[arg-type]


# a leads to e by c and by d, to b only by c
FORK = "1 = x_0; 4 = x_1; x_0 + x_1 = x_2; x_0 = x_3; x_2 = x_4; x_3 + x_4 = x_5; x_1 = x_6"


def leaf_token(model: RecurrentTransformer, graph: ComputationGraph, node: int, value: int) -> SetCode:
    """Another value in a leaf's equation, which stays there: a lasting intervention."""
    return SetCode(0, int(model.to_encoded(graph).rhs[0, node]) - 2, "value", value)


def test_holding_the_only_way_stops_everything(compiled: CompiledTransformer) -> None:
    graph = parse(FORK)
    mediators = [Mediator(node) for node in range(1, 7)]
    found = mediate(compiled, graph, leaf_token(compiled, graph, 0, 3), mediators, sources=[0])
    by_node = {result.mediator.node: result for result in found}
    total = by_node[6].to_frame().set_index("node")["total"]
    assert set(total[total > 0].index) == {0, 2, 3, 4, 5}
    through_sum = by_node[2].to_frame().set_index("node")
    assert through_sum.loc[4, "unavoidable"] and through_sum.loc[4, "held"] == 0
    assert through_sum.loc[4, "alone"] == through_sum.loc[4, "total"] > 0
    assert (
        not through_sum.loc[5, "unavoidable"] and through_sum.loc[5, "held"] > 0 < through_sum.loc[5, "alone"]
    )
    assert through_sum.loc[3, "alone"] == 0 < through_sum.loc[3, "held"] == through_sum.loc[3, "total"]
    assert by_node[1].share_through == by_node[6].share_through == 0.0
    only = mediate(compiled, graph, leaf_token(compiled, graph, 0, 3), [Mediator(2)], targets=[4])
    assert only[0].share_through == 1.0 and only[0].unavoidable is None


@pytest.mark.parametrize("seed", range(4))
def test_the_graph_says_what_can_pass(compiled: CompiledTransformer, seed: int) -> None:
    graph = ComputationGraph.sample(12, n_leaves=3, seed=seed, **SIZES)
    source = next(i for i, node in enumerate(graph.nodes) if node.operands) - 1
    value = (graph.values_by_node[source] + 1) % 5
    mediators = [Mediator(node) for node in range(len(graph)) if node != source]
    for result in mediate(
        compiled, graph, leaf_token(compiled, graph, source, value), mediators, sources=[source]
    ):
        assert result.unavoidable is not None
        assert not result.held[:, result.unavoidable].any(), "all ways lead through it"
        assert np.array_equal(result.alone[:, result.unavoidable], result.total[:, result.unavoidable])
        assert np.array_equal(
            result.unavoidable,
            [node not in reached_past(graph, [source], result.mediator.node) for node in result.targets],
        )


def test_a_pulse_passes_a_state_at_a_time(compiled: CompiledTransformer) -> None:
    """A code that is set once, in a run that has settled, is seen in one later state at every level."""
    graph = parse("1 = x_0; x_0 = x_1; x_1 = x_2; x_2 = x_3")
    base = record(compiled, graph, 10)
    pulse = SetCode(5, rhs(0), "value", 4)
    early, right, late = mediate(
        compiled, base, pulse, [Mediator(1, step) for step in (6, 7, 8)], targets=[3]
    )
    assert torch.from_numpy(right.total).nonzero().tolist() == [[8, 0]]
    assert not early.held.any(), "the pulse is at node 1 in state 6"
    assert np.array_equal(early.alone, early.total)
    assert early.share_through == 1.0
    for result in (right, late):
        assert np.array_equal(result.held, result.total) and not result.alone.any()
        assert result.share_through == 0.0
    nothing = mediate(compiled, base, SetCode(5, rhs(0), "value", 1), [Mediator(1)])[0]
    assert np.isnan(nothing.share_through)


@pytest.mark.parametrize(
    ("mediator", "message"),
    [
        (Mediator(9), "no node 9; allowed are 0..1"),
        (Mediator(1, 2), "3..4, and 'all'"),
        (Mediator(1, 7), "3..4, and 'all'"),
        (Mediator(1, factor="colour"), "syntax, variable, operation, value"),
    ],
)
def test_mediators_that_cannot_be(compiled: CompiledTransformer, mediator: Mediator, message: str) -> None:
    with pytest.raises(SiteError, match=message):
        mediate(compiled, parse("1 = x_0; x_0 = x_1"), SetCode(2, 2, "value", 3), [mediator], n_steps=5)


def test_hidden_states_are_no_codes() -> None:
    model = RecurrentTransformer(
        RecurrentConfig(n_layers=1, d_model=8, n_heads=1, d_head=8, bottleneck="continuous")
    ).eval()
    with pytest.raises(ValueError, match="'continuous'"):
        mediate(model, ComputationGraph.parse("1 = a; a = b"), SetCode(0, 0, "value", 3), [Mediator(1)])
