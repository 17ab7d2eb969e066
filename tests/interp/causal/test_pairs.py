"""Minimal pairs: what differs between the two graphs, what follows from it, choices, and requests without an answer."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations

import networkx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import interp
from interp.causal.pairs import (
    GIVEN,
    KINDS,
    Pair,
    PairError,
    leaf_swap,
    leaf_value,
    make_pair,
    operand_identity,
    operation,
    sample_pairs,
)
from models.graph import ComputationGraph
from models.graph_errors import GraphArgumentError
from models.vocabulary import FactoredVocabulary
from tests.small_models import sampled_graphs

ALL_OPS = ("ADD", "SUB", "MUL")
# values 3 1 1 | 4 3 | 4; depths 0 0 0 | 1 1 | 2
SMALL = ComputationGraph.parse(
    "3 = a; 1 = b; 1 = c; a + b = d; a * c = e; e + b = f", modulus=7, n_variables=16
)

graphs = sampled_graphs([("ADD",), ("MUL", "SUB"), ALL_OPS], nodes=24, leaves=6, operands=4, modulus=23)
seeds = st.integers(0, 2**32)


def pair_of(graph: ComputationGraph, kind: str, seed: int) -> Pair:
    """The pair, or hypothesis looks for another graph."""
    try:
        return make_pair(graph, kind, seed, ops=ALL_OPS)
    except PairError:
        assume(False)
        raise


# ---- what every pair promises


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40)
@given(graphs, seeds)
def test_only_the_edited_equations_differ(kind: str, graph: ComputationGraph, seed: int) -> None:
    pair = pair_of(graph, kind, seed)
    assert pair.clean is graph
    assert pair.kind == kind
    lines = list(zip(graph.equations, pair.corrupt.equations, strict=True))
    assert [index for index, (one, other) in enumerate(lines) if one != other] == list(pair.changed_nodes)
    assert len(pair.changed_nodes) == (2 if kind == "leaf-swap" else 1)
    for index in pair.changed_nodes:
        one, other = (line.split() for line in lines[index])
        words = [place for place, both in enumerate(zip(one, other, strict=True)) if both[0] != both[1]]
        assert len(words) == 1
        # operands are at the even places of an equation, operations at the odd ones
        assert words[0] % 2 == (kind == "operation")
        assert (graph.nodes[index].value is not None) == kind.startswith("leaf")


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(graphs, seeds)
def test_both_texts_have_the_same_tokens_but_the_edited_ones(
    kind: str, graph: ComputationGraph, seed: int
) -> None:
    pair = pair_of(graph, kind, seed)
    encoded = FactoredVocabulary(graph.n_variables, graph.modulus, ALL_OPS).encode([pair.clean, pair.corrupt])
    assert bool(encoded.mask.all())
    assert bool((encoded.rhs[0] == encoded.rhs[1]).all())
    assert bool((encoded.operands[0] == encoded.operands[1]).all())
    differs = encoded.factors[0] != encoded.factors[1]
    factor = {"operand": 1, "operation": 2}.get(kind, 3)
    assert differs.any(0).nonzero().flatten().tolist() == [factor]
    assert int(differs.sum()) == len(pair.changed_nodes)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40)
@given(graphs, seeds)
def test_nodes_that_must_may_and_must_not_change(kind: str, graph: ComputationGraph, seed: int) -> None:
    pair = pair_of(graph, kind, seed)
    clean, corrupt = pair.clean.evaluate(), pair.corrupt.evaluate()
    names = list(clean)
    for side in (pair.clean, pair.corrupt):
        below = side.to_networkx()
        reached = {names[index] for index in pair.changed_nodes}
        reached |= {found for name in reached for found in networkx.descendants(below, name)}
        assert [names[index] for index in pair.descendants] == [name for name in names if name in reached]
    assert [names[index] for index in pair.differing] == [
        name for name in names if clean[name] != corrupt[name]
    ]
    assert set(pair.changed_nodes) <= set(pair.differing) <= set(pair.descendants)
    assert sorted((*pair.descendants, *pair.unaffected)) == list(range(len(graph)))
    assert list(pair.unaffected) == sorted(pair.unaffected)
    assert all(clean[names[index]] == corrupt[names[index]] for index in pair.unaffected)


@settings(deadline=None, max_examples=60)
@given(graphs, st.sampled_from(KINDS), seeds)
def test_a_pair_is_refused_only_where_there_is_none(graph: ComputationGraph, kind: str, seed: int) -> None:
    """Every possible edit is tried by building the graph; written for the tests."""

    def edited(index: int, **changes: object) -> ComputationGraph:
        nodes = list(graph.nodes)
        nodes[index] = replace(nodes[index], **changes)
        return replace(graph, nodes=tuple(nodes))

    possible: list[ComputationGraph] = []
    for index, node in enumerate(graph.nodes):
        if kind == "leaf-value" and node.value is not None:
            possible += [edited(index, value=value) for value in range(graph.modulus)]
        for place in range(len(node.operands)) if kind == "operand" else ():
            before, after = node.operands[:place], node.operands[place + 1 :]
            possible += [
                edited(index, operands=(*before, new, *after))
                for new in range(index)
                if new not in node.operands
            ]
        for place in range(len(node.operations)) if kind == "operation" else ():
            before, after = node.operations[:place], node.operations[place + 1 :]
            possible += [edited(index, operations=(*before, new, *after)) for new in ALL_OPS]
    leaves = [index for index, node in enumerate(graph.nodes) if node.value is not None]
    for one, two in combinations(leaves, 2) if kind == "leaf-swap" else ():
        nodes = list(graph.nodes)
        nodes[one] = replace(nodes[one], value=graph.nodes[two].value)
        nodes[two] = replace(nodes[two], value=graph.nodes[one].value)
        possible.append(replace(graph, nodes=tuple(nodes)))
    valid = [other for other in possible if other.values_by_node != graph.values_by_node]
    try:
        pair = make_pair(graph, kind, seed, ops=ALL_OPS)
    except PairError:
        assert not valid
        return
    assert pair.corrupt in valid
    if kind == "operand" and any(other.depths_by_node == graph.depths_by_node for other in valid):
        assert pair.corrupt.depths_by_node == graph.depths_by_node


# ---- choices


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_means_one_pair(kind: str) -> None:
    pairs = [make_pair(SMALL, kind, seed, ops=ALL_OPS) for seed in range(20)]
    assert pairs == [make_pair(SMALL, kind, seed, ops=ALL_OPS) for seed in range(20)]
    assert len(set(pairs)) > 1
    assert make_pair(SMALL, kind, np.random.default_rng(5), ops=ALL_OPS) == pairs[5]


def test_nodes_and_edits_are_uniform() -> None:
    """Expected counts +- 5 standard deviations, 1200 draws."""

    def check(pairs: list[Pair], n_kinds: int) -> None:
        counts = Counter(pairs)
        expected = len(pairs) / n_kinds
        assert len(counts) == n_kinds
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())

    check([leaf_value(SMALL, seed=seed) for seed in range(1200)], 3 * 6)
    # 3 MUL 1 is 3, with ADD it is 4 and with SUB 2
    check([operation(SMALL, "e", seed, ops=ALL_OPS) for seed in range(1200)], 2)
    # a with b, a with c: each drawn from either side
    check([leaf_swap(SMALL, seed=seed) for seed in range(1200)], 2)


def test_depths_stay_where_an_edit_allows_it() -> None:
    # the operand e of f has one partner of its depth, d, and b two, a (c has the same value)
    corrupt = {operand_identity(SMALL, "f", seed).corrupt.equation(5) for seed in range(50)}
    assert corrupt == {"d ADD b = f", "e ADD a = f"}
    # an only leaf has no partner: the depths of a copy and all after it change, and still the pair is made
    chain = ComputationGraph.parse("3 = a; 2 = b; a + b = c; c = d")
    pair = operand_identity(chain, "d")
    assert pair.corrupt.depths_by_node[3] == 1
    # of several nodes those are drawn that have such an edit
    assert all(operand_identity(chain, seed=seed).changed_nodes == (3,) for seed in range(9))
    # d has no operand with a partner of the same depth; a shallower one for b leaves d at depth 3, for c it would not
    graph = ComputationGraph.parse("3 = a; 1 = z; a + z = b; b + a + z = c; c + b = d")
    assert graph.depths_by_node == (0, 0, 1, 2, 3)
    corrupt = {operand_identity(graph, "d", seed).corrupt.equation(4) for seed in range(50)}
    assert corrupt == {"c ADD a = d", "c ADD z = d"}


def test_choices_can_be_given() -> None:
    assert str(leaf_value(SMALL, "a", value=5)) == "leaf-value: 3 = a -> 5 = a"
    assert str(leaf_value(SMALL, 1, value=0)) == "leaf-value: 1 = b -> 0 = b"
    pair = operand_identity(SMALL, "f", operand=1, replacement="d")
    assert str(pair) == "operand: e ADD b = f -> e ADD d = f"
    assert operand_identity(SMALL, 5, operand=1, replacement=3) == pair
    assert str(operation(SMALL, "d", ops=("ADD", "SUB"))) == "operation: a ADD b = d -> a SUB b = d"
    assert str(leaf_swap(SMALL, "b", other="a")) == "leaf-swap: 3 = a -> 1 = a; 1 = b -> 3 = b"
    assert leaf_swap(SMALL, other="c") == leaf_swap(SMALL, "c") == leaf_swap(SMALL, "a", other="c")
    assert make_pair(SMALL, "leaf-value", 4, node="2") == make_pair(SMALL, "leaf-value", 4, node="c")
    assert make_pair(SMALL, "leaf-value", 4, node="c") == leaf_value(SMALL, "c", 4)


def test_by_hand() -> None:
    pair = leaf_value(SMALL, "c", value=0)
    assert pair.changed_nodes == (2,)
    assert pair.descendants == (2, 4, 5)
    assert pair.differing == (2, 4, 5)
    assert pair.unaffected == (0, 1, 3)
    # what is multiplied by 0 may change, and does not
    hidden = leaf_value(ComputationGraph.parse("3 = a; 0 = b; a * b = c"), "a")
    assert (hidden.descendants, hidden.differing, hidden.unaffected) == ((0, 2), (0,), (1,))


def test_an_operand_with_the_same_effect() -> None:
    pair = operand_identity(SMALL, "d", keep_value=True)
    assert str(pair) == "operand: a ADD b = d -> a ADD c = d"
    assert pair.differing == ()
    assert pair.descendants == (3,)
    with pytest.raises(PairError, match="an earlier node that is none and changes the node's value"):
        operand_identity(SMALL, "d", operand=1, replacement="c")


# ---- batches


def test_batches() -> None:
    pairs = sample_pairs(5, "operation", 12, ALL_OPS, seed=3, n_leaves=3, modulus=5, n_variables=16)
    assert len(pairs) == len(set(pairs)) == 5
    assert pairs[:2] == sample_pairs(2, "operation", 12, ALL_OPS, 3, n_leaves=3, modulus=5, n_variables=16)
    assert pairs[0] != sample_pairs(1, "operation", 12, ALL_OPS, 4, n_leaves=3, modulus=5, n_variables=16)[0]
    assert all((len(pair.clean), pair.clean.modulus, pair.clean.n_variables) == (12, 5, 16) for pair in pairs)
    assert sample_pairs(0, "operand", 12) == []


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_that_admit_no_pair_are_drawn_anew(kind: str) -> None:
    pairs = sample_pairs(30, kind, 3, ("ADD", "MUL"), n_leaves=2, max_operands=2, modulus=2)
    assert len(pairs) == 30
    assert all(pair.differing for pair in pairs)


# ---- requests without an answer


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            lambda: make_pair(SMALL, "leaf"),
            "no kind of pair 'leaf'; allowed: leaf-value, operand, operation, leaf-swap",
        ),
        (lambda: sample_pairs(1, "leaf", 8), "no kind of pair 'leaf'"),
        (lambda: leaf_value(SMALL, 6), "no node 6; allowed: 0 to 5, or a name of a, b, c, d, e, f"),
        (lambda: leaf_value(SMALL, "g"), "no node 'g'"),
        (lambda: leaf_value(SMALL, -1), "no node -1"),
        (lambda: leaf_value(SMALL, "6"), "no node '6'"),
        (lambda: leaf_value(SMALL, "d"), r"node 'd' is 'a ADD b = d'; allowed: a leaf, of \[0, 1, 2\]"),
        (
            lambda: operand_identity(SMALL, 0),
            r"node 0 is '3 = a'; allowed: a node with operands, of \[3, 4, 5\]",
        ),
        (lambda: leaf_value(SMALL, "a", value=7), "node 0 '3 = a' admits no edit.*of 0 to 6"),
        (lambda: leaf_value(SMALL, "a", value=3), "another value than its own"),
        (
            lambda: operand_identity(SMALL, "d", operand=2),
            "node 3 'a ADD b = d' admits no edit of kind 'operand'",
        ),
        (lambda: operand_identity(SMALL, "d", replacement="f"), "an earlier node"),
        (lambda: operand_identity(SMALL, "d", replacement="a"), "an earlier node that is none"),
        (lambda: leaf_swap(SMALL, "b", other="c"), "two leaves of different values"),
        (lambda: leaf_swap(SMALL, "b", other="d"), "allowed: a leaf"),
        (
            lambda: operation(SMALL, ops=("ADD",)),
            r"ops is \('ADD',\); allowed: at least two of ADD, SUB, MUL",
        ),
        (lambda: operation(SMALL, ops=("ADD", "DIV")), "at least two of ADD, SUB, MUL"),
        (lambda: operation(ComputationGraph.sample(9, seed=0)), r"ops is \('ADD',\)"),
        (lambda: sample_pairs(1, "operation", 9), r"ops is \('ADD',\)"),
        (
            lambda: sample_pairs(1, "operation", 9, ALL_OPS, max_operands=1),
            "100 graphs of 9 nodes.*admits no edit",
        ),
        (
            lambda: sample_pairs(1, "operand", 6),
            "100 graphs of 6 nodes.*this graph admits no edit of kind 'operand'",
        ),
    ],
)
def test_bad_requests(request_, message: str) -> None:
    with pytest.raises(PairError, match=message):
        request_()


def test_bad_seeds_and_numbers() -> None:
    for request_ in (lambda: leaf_value(SMALL, seed=-1), lambda: sample_pairs(1, "operand", 9, seed=-1)):
        with pytest.raises(GraphArgumentError, match="seed is -1"):
            request_()
    with pytest.raises(GraphArgumentError, match="n is -1"):
        sample_pairs(-1, "operand", 9)


def test_graphs_that_are_no_pair() -> None:
    def other(text: str, modulus: int = 7) -> ComputationGraph:
        return ComputationGraph.parse(text, modulus, n_variables=16)

    text = SMALL.to_text()
    for corrupt, message in [
        (SMALL, "the two graphs are equal"),
        (other(text, 11), r"\(6, 7, 16\) and \(6, 11, 16\)"),
        (other(text + "; f = g"), r"\(6, 7, 16\) and \(7, 7, 16\)"),
        (other(text.replace("f", "g")), "node 5 is 'e ADD b = f' and 'e ADD b = g'; allowed: the same name"),
        (other(text.replace("1 = c", "b = c")), "node 2 is '1 = c' and 'b = c'.*number of operands"),
    ]:
        with pytest.raises(PairError, match=message):
            Pair(SMALL, corrupt, "operand")
    with pytest.raises(PairError, match="no kind of pair 'typed'"):
        Pair(SMALL, other(text.replace("3 = a", "4 = a")), "typed")


def test_a_given_pair_may_be_edited_in_several_places() -> None:
    text = "2 = a; 1 = b; 1 = c; a - b = d; a * c = e; e + d = f"
    pair = Pair(SMALL, ComputationGraph.parse(text, 7, 16), GIVEN)
    assert pair.changed_nodes == (0, 3, 5)
    assert pair.descendants == (0, 3, 4, 5)
    assert pair.unaffected == (1, 2)
    # f: 3 + 1 before, 2 + 1 after
    assert pair.differing == (0, 3, 4, 5)


# ---- the package


def test_exports_are_these_functions() -> None:
    assert interp.make_pair is make_pair
    assert interp.Pair is Pair


def test_pairs_need_no_torch() -> None:
    code = "import sys, interp.causal.pairs; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
