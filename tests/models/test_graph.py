"""The task: agreement with the paper's own graphs, the symbolic oracle, nodes put together by hand, JSON."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.graph import ComputationGraph, GraphError, Node
from models.graph_errors import (
    EmptyInputError,
    GraphArgumentError,
    GraphFormatError,
    GraphStructureError,
    TextTooLongError,
    TooManyOperandsError,
    UndefinedVariableError,
)
from tests.small_models import sampled_graphs

ALL_OPS = ("ADD", "SUB", "MUL")
LEAVES = (Node(3, "x_3", value=5), Node(7, "left", value=20), Node(0, "x_0", value=22))
SMALL = ComputationGraph((*LEAVES, Node(9, "x_9", (1, 0, 2), ("SUB", "MUL")), Node(1, "copy", (3,))))


@pytest.fixture(scope="module")
def reference(data: Path) -> list[dict]:
    return [json.loads(line) for line in (data / "graphs.jsonl").read_text().splitlines()]


sampled = sampled_graphs([("ADD",), ("MUL", "SUB"), ALL_OPS], nodes=40, leaves=8, operands=5, modulus=30)


def plain_evaluation(equations: list[str], modulus: int) -> tuple[dict[str, int], dict[str, int]]:
    """Values and depths from the canonical strings alone, recursively; written for the tests."""
    bodies = {line.split(" = ")[1]: line.split(" = ")[0].split() for line in equations}
    signs = {"ADD": "+", "SUB": "-", "MUL": "*"}

    def value(name: str) -> int:
        first, *rest = bodies[name]
        total = int(first) if first.isdigit() else value(first)
        for sign, operand in zip(rest[::2], rest[1::2], strict=True):
            total = eval(f"(({total}) {signs[sign]} ({value(operand)})) % {modulus}")
        return total

    def depth(name: str) -> int:
        return max((1 + depth(word) for word in bodies[name] if word in bodies), default=0)

    return {name: value(name) for name in bodies}, {name: depth(name) for name in bodies}


# ---- agreement with the paper's graphs


def test_the_reference_has_what_its_readme_says(reference: list[dict]) -> None:
    assert Counter((graph["n_nodes"], len(graph["ops"])) for graph in reference) == {
        (n_nodes, n_ops): 4 for n_nodes in (8, 32, 128) for n_ops in (1, 3)
    }


def test_reference_graphs_agree_exactly(reference: list[dict]) -> None:
    for entry in reference:
        for graph in (
            ComputationGraph.from_equations(entry["equations"]),
            ComputationGraph.parse("\n".join(entry["equations"])),
            ComputationGraph.from_json(json.dumps(entry)),
        ):
            assert graph.equations == entry["equations"]
            assert graph.evaluate() == entry["values"]
            assert graph.depths() == entry["depths"]
            assert list(graph.evaluate()) == list(entry["values"])
            assert all(node.name == f"x_{node.variable}" for node in graph.nodes)
            assert set(graph.ops) <= set(entry["ops"])


def test_reference_and_samples_have_the_same_text_order(reference: list[dict]) -> None:
    ours = [ComputationGraph.sample(n_nodes, ALL_OPS, seed=n_nodes) for n_nodes in (8, 32, 128)]
    for graph in [*ours, *(ComputationGraph.from_equations(entry["equations"]) for entry in reference)]:
        assert list(networkx.topological_sort(graph.to_networkx())) == [node.name for node in graph.nodes]
        assert list(graph.depths_by_node) == sorted(graph.depths_by_node)


# ---- the oracle


def test_small_graph_by_hand() -> None:
    assert SMALL.equations == ["5 = x_3", "20 = left", "22 = x_0", "left SUB x_3 MUL x_0 = x_9", "x_9 = copy"]
    # (20 - 5) * 22 = 330 = 14 * 23 + 8: from left to right, no precedence
    assert SMALL.evaluate() == {"x_3": 5, "left": 20, "x_0": 22, "x_9": 8, "copy": 8}
    assert SMALL.depths() == {"x_3": 0, "left": 0, "x_0": 0, "x_9": 1, "copy": 2}
    assert SMALL.values_by_node == (5, 20, 22, 8, 8)
    assert SMALL.depths_by_node == (0, 0, 0, 1, 2)
    assert len(SMALL) == 5
    assert SMALL.ops == ("SUB", "MUL")
    assert SMALL.to_text() == "5 = x_3; 20 = left; 22 = x_0; left SUB x_3 MUL x_0 = x_9; x_9 = copy"
    assert SMALL.to_text(" [sep] ").count(" [sep] ") == 4


def test_subtraction_stays_in_range() -> None:
    graph = ComputationGraph.parse("2 = a; 5 = b; a - b = c", modulus=7)
    assert graph.evaluate()["c"] == 4


@settings(deadline=None)
@given(sampled)
def test_oracle_agrees_with_a_plain_evaluation(graph: ComputationGraph) -> None:
    assert (graph.evaluate(), graph.depths()) == plain_evaluation(graph.equations, graph.modulus)


def test_a_single_leaf_is_a_graph() -> None:
    for graph in (ComputationGraph.sample(1, n_leaves=1, seed=0), ComputationGraph.parse("7 = a")):
        assert len(graph) == 1
        assert graph.depths_by_node == (0,)
        assert graph.ops == ()
        assert graph.values_by_node == (graph.nodes[0].value,)


def test_the_lists_a_graph_gives_are_not_its_own() -> None:
    SMALL.equations.append("nonsense")
    SMALL.evaluate()["x_3"] = 0
    assert len(SMALL.equations) == 5
    assert SMALL.evaluate()["x_3"] == 5


def test_graphs_are_hashable_and_equal_by_content() -> None:
    again = ComputationGraph.parse("5 = a; a = b")
    assert {again, ComputationGraph.parse("5 = a; a = b")} == {again}
    assert again != ComputationGraph.parse("5 = a; a = c")
    assert again != ComputationGraph.parse("5 = a; a = b", modulus=29)


def test_networkx_graph() -> None:
    graph = SMALL.to_networkx()
    assert list(graph.edges(data=True)) == [
        ("x_3", "x_9", {"position": 1, "operation": "SUB"}),
        ("left", "x_9", {"position": 0, "operation": None}),
        ("x_0", "x_9", {"position": 2, "operation": "MUL"}),
        ("x_9", "copy", {"position": 0, "operation": None}),
    ]
    assert graph.nodes["x_9"] == {
        "variable": 9,
        "value": 8,
        "depth": 1,
        "leaf": False,
        "equation": "left SUB x_3 MUL x_0 = x_9",
    }
    assert graph.nodes["left"]["leaf"] is True


# ---- nodes put together by hand


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Node(128, "n", value=1), "its variable is 128, allowed are 0 to 127"),
        (Node(-1, "n", value=1), "its variable is -1"),
        (Node(4, "x_5", value=1), "name x_k belongs to variable k"),
        (Node(4, "x_04", value=1), "name x_k belongs to variable k"),
        (Node(4, "two words", value=1), "allowed names"),
        (Node(4, "", value=1), "allowed names"),
        (Node(4, "n" * 101, value=1), "its name has 101 characters, allowed are at most 100"),
        (Node(4, "add", value=1), "no word of an operation"),
        (Node(4, "n"), "either operands or, for a leaf, a value"),
        (Node(4, "n", (0,), value=1), "either operands or, for a leaf, a value"),
        (Node(4, "n", value=23), "its value is 23, allowed are 0 to 22"),
        (Node(4, "n", (3,)), r"its operands are the nodes \(3,\), allowed are the 3 before it"),
        (Node(4, "n", (-1,)), "allowed are the 3 before it"),
        (Node(4, "n", (1, 1), ("ADD",)), "not all different"),
        (Node(4, "n", (0, 1)), "one of ADD, SUB, MUL, MAX between"),
        (Node(4, "n", (0, 1), ("DIV",)), "one of ADD, SUB, MUL, MAX between"),
        (Node(3, "n", value=1), "same variable"),
        (Node(4, "left", value=1), "same name"),
    ],
)
def test_nodes_that_are_no_graph(node: Node, message: str) -> None:
    with pytest.raises(GraphStructureError, match=message):
        ComputationGraph((*LEAVES, node))


def test_a_graph_has_nodes_and_possible_sizes() -> None:
    with pytest.raises(EmptyInputError):
        ComputationGraph(())
    with pytest.raises(GraphArgumentError, match=r"modulus is 1\. Allowed: a whole number of at least 2"):
        ComputationGraph(LEAVES, modulus=1)


# ---- JSON and lists


@settings(deadline=None)
@given(sampled)
def test_json_and_text_round_trip(graph: ComputationGraph) -> None:
    assert ComputationGraph.from_json(graph.to_json()) == graph
    sizes = {"modulus": graph.modulus, "max_operands": 5}
    assert ComputationGraph.parse(graph.to_text(), **sizes) == graph
    assert ComputationGraph.from_equations(graph.equations, **sizes) == graph


def test_json_keeps_own_names_and_their_variables() -> None:
    line = SMALL.to_json()
    assert "\n" not in line
    assert ComputationGraph.from_json(line) == SMALL
    assert json.loads(line)["variables"] == {"x_3": 3, "left": 7, "x_0": 0, "x_9": 9, "copy": 1}


def test_json_needs_only_equations() -> None:
    graph = ComputationGraph.from_json('{"equations": ["a = b", "3 = a"], "note": "ignored"}')
    assert graph == ComputationGraph.parse("3 = a; a = b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ('{"equations": [', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "an object with 'equations'"),
        ("{}", "There are no 'equations'"),
        ('{"equations": "3 = a"}', "'equations' is '3 = a'. Allowed: a list of strings"),
        ('{"equations": ["3 = a", 4]}', "Allowed: a list of strings"),
        ('{"equations": ["3 = a"], "modulus": "23"}', "'modulus' is '23'"),
        ('{"equations": ["3 = a"], "n_variables": true}', "'n_variables' is True"),
        ('{"equations": ["3 = a"], "n_nodes": 2}', "'n_nodes' is 2, the equations say 1"),
        ('{"equations": ["3 = a"], "values": {"a": 4}}', "'values' is .*, the equations say {'a': 3}"),
        ('{"equations": ["3 = a"], "depths": [0]}', "'depths' is"),
        ('{"equations": ["3 = a", "a = b"], "variables": {"a": 1}}', "'variables' is"),
        ('{"equations": ["3 = a"], "variables": {"a": "1"}}', "'variables' is"),
        ('{"equations": ["3 = a"], "variables": [1]}', "'variables' is"),
        (
            '{"equations": ["3 = a", "2 = b", "a * b = c"], "ops": ["ADD", []]}',
            r"the equations use \['MUL'\]",
        ),
        ('{"equations": ["3 = a", "2 = b", "a * b = c"], "ops": "MUL"}', "'ops' is"),
    ],
)
def test_bad_json(text: str, message: str) -> None:
    with pytest.raises(GraphFormatError, match=message):
        ComputationGraph.from_json(text)


def test_json_beyond_its_bound_and_numbers_beyond_printing() -> None:
    with pytest.raises(TextTooLongError, match="The JSON has 4000002 characters. Allowed: at most 4000000"):
        ComputationGraph.from_json('"' + "a" * 4_000_000 + '"')
    with pytest.raises(
        GraphArgumentError, match="modulus is an integer too long to be shown. Allowed: a whole number"
    ):
        ComputationGraph.parse("1 = a", modulus=-(10**5000))


def test_json_takes_the_sizes_of_the_caller_where_it_names_none() -> None:
    assert ComputationGraph.from_json('{"equations": ["6 = a"]}', modulus=7, n_variables=3).modulus == 7
    assert ComputationGraph.from_json('{"equations": ["6 = a"], "modulus": 11}', modulus=7).modulus == 11


def test_bad_equations_in_json_keep_their_own_errors() -> None:
    with pytest.raises(EmptyInputError):
        ComputationGraph.from_json('{"equations": []}')
    with pytest.raises(UndefinedVariableError):
        ComputationGraph.from_json('{"equations": ["a = b"]}')
    with pytest.raises(GraphArgumentError, match="modulus is 1"):
        ComputationGraph.from_json('{"equations": ["0 = a"], "modulus": 1}')
    with pytest.raises(GraphStructureError, match="belongs to variable k"):
        ComputationGraph.from_json('{"equations": ["0 = x_1"], "variables": {"x_1": 2}}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["3 = a", "a = b", "ADD", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)
json_keys = ["equations", "modulus", "n_variables", "max_operands", "variables", "values", "ops", "n_nodes"]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(json_keys), json_values) | json_values, st.booleans())
def test_any_json_is_a_graph_or_a_graph_error(data: object, good: bool) -> None:
    if good and isinstance(data, dict):
        data["equations"] = ["3 = a", "a = b"]
    try:
        graph = ComputationGraph.from_json(json.dumps(data))
    except GraphError:
        return
    assert ComputationGraph.from_json(graph.to_json()) == graph


def test_lists_of_equations() -> None:
    graph = ComputationGraph.from_equations(line for line in ("3 = a", "", "a = b; b = c"))
    assert graph.equations == ["3 = a", "a = b", "b = c"]
    with pytest.raises(GraphArgumentError, match=r"a text is for parse\(\)"):
        ComputationGraph.from_equations("3 = a")
    with pytest.raises(GraphArgumentError, match=r"Equation 1 is 7\. Allowed: strings"):
        ComputationGraph.from_equations(["3 = a", 7])  # type: ignore[list-item]
    with pytest.raises(TooManyOperandsError, match=r"3 operands\. Allowed: 1 to 2"):
        ComputationGraph.from_equations(["1 = a", "2 = b", "3 = c", "a+b+c = d"], max_operands=2)


def test_importing_the_task_needs_neither_torch_nor_networkx() -> None:
    code = "import sys, models.graph; print([m for m in ('torch', 'networkx', 'transformer_lens') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
