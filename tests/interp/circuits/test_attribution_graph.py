"""Attribution graphs: influence by hand, edges where the graph has operands, and a top path that is needed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from interp.circuits.attribution_graph import AttributionGraph, attribution_graph
from interp.circuits.influence import influences, prune
from interp.circuits.path_deletion import computed_from, delete_top_path
from interp.circuits.state_links import state_links
from models import ComputationGraph
from models.compiled import compile_model
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS
from tests.small_models import untrained

GRAPH = ComputationGraph.parse("3 = a; 1 = b; 2 = c; a + b = d; c = e; d = f", modulus=5, n_variables=16)
VALUE = FACTORS.index("value")


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def found(model: RecurrentTransformer) -> AttributionGraph:
    return attribution_graph(model, GRAPH)


def test_influence_is_the_sum_over_paths() -> None:
    links = {("a", "b"): 3.0, ("c", "b"): -1.0, ("b", "end"): 1.0, ("a", "end"): 1.0, ("end", "away"): 5.0}
    influence = influences(links, "end")
    assert influence == {"end": 1.0, "b": 0.5, "a": 0.5 + 0.5 * 0.75, "c": 0.125}
    assert set(prune(links, "end", 0.9, 1.0)) == {("a", "b"), ("b", "end"), ("a", "end")}
    with pytest.raises(ValueError, match="node_share is 0; allowed"):
        prune(links, "end", 0, 1)


def test_values_depend_on_the_operands_values_and_on_no_other(model: RecurrentTransformer) -> None:
    links = state_links(model, GRAPH)
    for node, operands in ((3, {0, 1}), (4, {2}), (5, {3})):
        before = np.flatnonzero(links.weights[-1, 4 * node + VALUE])
        assert {int(one) // 4 for one in before if one % 4 == VALUE} == operands
    every = [(state, node) for state in (1, 2) for node in range(4 * len(GRAPH))]
    assert links.complete(every) > 0.95 and links.additive(every) > 0.9
    value = 2, 4 * 3 + VALUE
    assert links.complete([value]) == links.additive([value], FACTORS[1:]) == 1
    links.weights[:, 4 * 3 + VALUE] = 0
    assert links.complete([value]) == links.additive([value], FACTORS[1:]) == 0


def test_the_graph_leads_from_the_text_over_planted_heads(found: AttributionGraph) -> None:
    assert (found.target.equation, found.target.step) == (5, 3)
    assert found.top_path[0].step == 0 and found.top_path[-1] == found.target
    assert found.between == 1.0 and 0.5 < found.inside <= 1.0
    heads = {(node.layer, node.head) for node in found.nodes if node.kind == "head"}
    assert heads <= {(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (2, 0)}
    assert {node.equation for node in found.nodes if node.factor == "value"} <= {0, 1, 3, 5}


def test_the_top_path_is_needed_and_none_apart_from_what_the_target_is_computed_from(
    found: AttributionGraph,
) -> None:
    assert computed_from(GRAPH, 5, 3) == [{0, 1}, {0, 1, 3}, {3, 5}]
    deleted = delete_top_path(found, draws=40)
    assert deleted.changed and deleted.changed_apart == 0 < deleted.changed_at_random < 0.5


def test_where_the_target_is_computed_from_all_equations_there_is_no_control(
    model: RecurrentTransformer,
) -> None:
    graph = ComputationGraph.parse("3 = a; a = b", modulus=5, n_variables=16)
    deleted = delete_top_path(attribution_graph(model, graph, draws=1), draws=2)
    assert deleted.changed and math.isnan(deleted.changed_apart)


def test_the_schema_of_viewers(found: AttributionGraph) -> None:
    written = json.loads(json.dumps(found.to_json()))
    assert set(written) == {"metadata", "qParams", "nodes", "links"}
    names = {node["node_id"] for node in written["nodes"]}
    assert len(names) == len(written["nodes"]) == len(found.nodes)
    assert all({link["source"], link["target"]} <= names for link in written["links"])
    assert sum(node["is_target_logit"] for node in written["nodes"]) == 1
    assert len(written["metadata"]["prompt_tokens"]) == found.run.encoded.factors.shape[1]


def test_bad_input(model: RecurrentTransformer) -> None:
    with pytest.raises(ValueError, match="there is no node 'z'; allowed: 0 to 5, or one of a, b"):
        attribution_graph(model, GRAPH, "z")
    with pytest.raises(ValueError, match="draws is 0"):
        attribution_graph(model, GRAPH, draws=0)
    with pytest.raises(ValueError, match="bottleneck 'discrete'"):
        attribution_graph(untrained(bottleneck="continuous", modulus=5, n_variables=16), GRAPH)
