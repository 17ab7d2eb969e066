"""Factors, packed ids and positions: a graph encoded by hand, a plain encoder, and the way back."""

import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.graph import ComputationGraph
from models.graph_errors import UndefinedVariableError
from models.vocabulary import FACTORS, SYNTAX, EncodedGraphs, FactoredVocabulary, VocabularyError

ALL_OPS = ("ADD", "SUB", "MUL")
VOCABULARY = FactoredVocabulary(ops=ALL_OPS)
NO_VARIABLE, NO_OPERATION, NO_VALUE, EMPTY = 128, 3, 23, 24
GRAPH = ComputationGraph.parse("20 = x_7; x_7 = x_1; 2 = total; x_1 MUL total SUB x_7 = x_3")

batches = st.lists(
    st.builds(
        lambda n_nodes, ops, max_operands, seed: ComputationGraph.sample(
            n_nodes, ops, min(3, n_nodes), max_operands, seed=seed
        ),
        st.integers(1, 20),
        st.sampled_from([("ADD",), ALL_OPS]),
        st.integers(1, 4),
        st.integers(0, 10**6),
    ),
    min_size=1,
    max_size=4,
)


def plain_tokens(graph: ComputationGraph) -> list[tuple[str, str, str, str]]:
    """The four symbols of every token, read off the canonical equations; written for the tests."""
    tokens: list[tuple[str, str, str, str]] = []
    variable = {node.name: f"x_{node.variable}" for node in graph.nodes}
    for equation in graph.equations:
        if tokens:
            tokens.append(("[sep]", "N/A", "N/A", "N/A"))
        for word in equation.split():
            if word == "=":
                tokens.append(("=", "N/A", "N/A", "N/A"))
            elif word in ALL_OPS:
                tokens.append(("operation", "N/A", word, "N/A"))
            elif word in variable:
                tokens.append(("variable", variable[word], "N/A", "EMPTY"))
            else:
                tokens.append(("value", "N/A", "N/A", word))
    return tokens


def read(encoded: EncodedGraphs, row: int) -> list[tuple[str, ...]]:
    """The four symbols of every token that is not padding."""
    symbols = [VOCABULARY.symbols(factor) for factor in FACTORS]
    factors = encoded.factors[row][encoded.mask[row]].tolist()
    return [tuple(names[index] for names, index in zip(symbols, token, strict=True)) for token in factors]


# ---- symbols and sizes


def test_symbols() -> None:
    assert VOCABULARY.symbols("syntax") == SYNTAX == ("variable", "operation", "value", "=", "[sep]", "[pad]")
    variables = VOCABULARY.symbols("variable")
    assert (variables[0], variables[127], variables[128]) == ("x_0", "x_127", "N/A")
    assert VOCABULARY.symbols("operation") == ("ADD", "SUB", "MUL", "N/A")
    assert VOCABULARY.symbols("value")[:2] == ("0", "1")
    assert VOCABULARY.symbols("value")[22:] == ("22", "N/A", "EMPTY")


def test_sizes_and_slices() -> None:
    assert VOCABULARY.sizes == (6, 129, 4, 25) == tuple(len(VOCABULARY.symbols(factor)) for factor in FACTORS)
    assert VOCABULARY.offsets == (0, 6, 135, 139)
    assert VOCABULARY.d_vocab == 164
    assert VOCABULARY.n_packed == 6 * 129 * 4 * 25
    logits = torch.arange(VOCABULARY.d_vocab)
    parts = [logits[VOCABULARY.slice(factor)] for factor in FACTORS]
    assert torch.equal(torch.cat(parts), logits)
    assert tuple(map(len, parts)) == VOCABULARY.sizes


def test_special_ids() -> None:
    assert [VOCABULARY.n_a(factor) for factor in FACTORS[1:]] == [NO_VARIABLE, NO_OPERATION, NO_VALUE]
    assert VOCABULARY.empty == EMPTY
    for factor in FACTORS:
        for index, symbol in enumerate(VOCABULARY.symbols(factor)):
            assert VOCABULARY.symbol_id(factor, symbol) == index


def test_vocabularies_are_values() -> None:
    assert hash(FactoredVocabulary()) == hash(FactoredVocabulary(128, 23, ("ADD",)))
    assert FactoredVocabulary(ops=["ADD", "MUL"]) == FactoredVocabulary(ops=("ADD", "MUL"))  # type: ignore[arg-type]
    assert FactoredVocabulary(n_variables=5, modulus=7, ops=("MUL",)).sizes == (6, 6, 2, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_variables": 0}, "n_variables is 0"),
        ({"modulus": 1}, "modulus 1"),
        ({"ops": ()}, r"ops is \(\)"),
        ({"ops": ("DIV",)}, "Allowed: at least one of ADD, SUB, MUL"),
        ({"ops": ("ADD", "ADD")}, "each once"),
    ],
)
def test_impossible_vocabularies(arguments: dict, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        FactoredVocabulary(**arguments)


def test_unknown_factors_and_symbols() -> None:
    with pytest.raises(VocabularyError, match=r"no factor 'name'.*syntax, variable, operation, value"):
        VOCABULARY.slice("name")
    with pytest.raises(VocabularyError, match="syntax factor has no N/A"):
        VOCABULARY.n_a("syntax")
    with pytest.raises(VocabularyError, match=r"no variable 'x_128'.*x_0, x_1, \.\.\., x_126, x_127, N/A"):
        VOCABULARY.symbol_id("variable", "x_128")


# ---- encoding


def test_a_graph_by_hand() -> None:
    encoded = VOCABULARY.encode(GRAPH)
    gap = [NO_VARIABLE, NO_OPERATION, NO_VALUE]

    def variable(index: int) -> list[int]:
        return [0, index, NO_OPERATION, EMPTY]

    value_20, value_2 = [2, NO_VARIABLE, NO_OPERATION, 20], [2, NO_VARIABLE, NO_OPERATION, 2]
    mul, sub = [1, NO_VARIABLE, 2, NO_VALUE], [1, NO_VARIABLE, 1, NO_VALUE]
    equals, sep = [3, *gap], [4, *gap]
    assert GRAPH.nodes[2].variable == 0  # total
    assert encoded.factors.tolist() == [
        [
            *(value_20, equals, variable(7), sep),
            *(variable(7), equals, variable(1), sep),
            *(value_2, equals, variable(0), sep),
            *(variable(1), mul, variable(0), sub, variable(7), equals, variable(3)),
        ]
    ]
    assert encoded.graphs == (GRAPH,)
    assert encoded.mask.all()
    assert encoded.rhs.tolist() == [[2, 6, 10, 18]]
    assert encoded.operands.tolist() == [[[-1, -1, -1], [4, -1, -1], [-1, -1, -1], [12, 14, 16]]]
    assert encoded.operand_nodes.tolist() == [[[-1, -1, -1], [0, -1, -1], [-1, -1, -1], [1, 2, 0]]]
    assert encoded.operations.tolist() == [[[-1, -1, -1], [-1, -1, -1], [-1, -1, -1], [-1, 2, 1]]]
    assert encoded.values.tolist() == [[20, 20, 2, 20]]  # 20 * 2 - 20
    assert encoded.depths.tolist() == [[0, 1, 0, 2]]


@settings(deadline=None)
@given(batches)
def test_batches_agree_with_a_plain_encoder(graphs: list[ComputationGraph]) -> None:
    encoded = VOCABULARY.encode(graphs)
    assert len(encoded) == len(graphs)
    pad = torch.tensor([5, NO_VARIABLE, NO_OPERATION, NO_VALUE])
    for row, graph in enumerate(graphs):
        tokens = plain_tokens(graph)
        assert read(encoded, row) == tokens
        assert encoded.mask[row].tolist() == [pos < len(tokens) for pos in range(encoded.mask.shape[1])]
        assert (encoded.factors[row, len(tokens) :] == pad).all()
        n = len(graph)
        assert encoded.values[row].tolist() == [*graph.values_by_node, *[-1] * (encoded.values.shape[1] - n)]
        assert encoded.depths[row].tolist() == [*graph.depths_by_node, *[-1] * (encoded.depths.shape[1] - n)]
        assert (encoded.rhs[row, n:] == -1).all()
        assert (encoded.operands[row, n:] == -1).all()
        for index, node in enumerate(graph.nodes):
            rhs = int(encoded.rhs[row, index])
            assert tokens[rhs - 1][0] == "="
            assert tokens[rhs][1] == f"x_{node.variable}"
            blank = [-1] * (encoded.operands.shape[2] - len(node.operands))
            assert encoded.operand_nodes[row, index].tolist() == [*node.operands, *blank]
            positions = encoded.operands[row, index].tolist()
            assert positions[len(node.operands) :] == blank
            for place, operand in enumerate(node.operands):
                assert tokens[positions[place]][:2] == ("variable", f"x_{graph.nodes[operand].variable}")
                assert positions[place] == rhs - 2 * (len(node.operands) - place)
                expected = ALL_OPS.index(node.operations[place - 1]) if place else -1
                assert encoded.operations[row, index, place] == expected


def test_every_tensor_is_int64_but_the_mask() -> None:
    encoded = VOCABULARY.encode([GRAPH, "5 = a"])
    for name in ("factors", "packed", "rhs", "operands", "operand_nodes", "operations", "values", "depths"):
        assert getattr(encoded, name).dtype == torch.int64, name
    assert encoded.mask.dtype == torch.bool
    assert encoded.to("cpu").graphs == encoded.graphs


def test_smallest_graphs() -> None:
    encoded = VOCABULARY.encode(["5 = x_2", ComputationGraph.parse("1 = a; 2 = b")])
    assert encoded.factors.shape == (2, 7, 4)
    assert encoded.mask.sum(1).tolist() == [3, 7]
    assert encoded.operands.tolist() == [[[-1], [-1]]] * 2
    assert encoded.rhs.tolist() == [[2, -1], [2, 6]]
    assert encoded.values.tolist() == [[5, -1], [1, 2]]


def test_token_counts_of_the_paper() -> None:
    """Leaf 3 tokens, k operands 2k + 1, a separator between: about 180 at 32 nodes and 760 at 128."""
    vocabulary = FactoredVocabulary()
    for n_nodes, tokens in ((32, 180), (128, 760)):
        graphs = [ComputationGraph.sample(n_nodes, seed=seed) for seed in range(100)]
        mean = vocabulary.encode(graphs).mask.sum(1).double().mean()
        assert mean.item() == pytest.approx(tokens, rel=0.04)


def test_texts_are_parsed_with_the_vocabularys_sizes() -> None:
    small = FactoredVocabulary(n_variables=4, modulus=5, ops=("SUB",))
    assert small.encode("1 = a; 3 = b; a - b = c").values.tolist() == [[1, 3, 3]]
    with pytest.raises(UndefinedVariableError):
        small.encode("a = b")


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (FactoredVocabulary(modulus=29, ops=ALL_OPS), "Graph 1 has modulus 23. Allowed: 29"),
        (
            FactoredVocabulary(n_variables=64, ops=ALL_OPS),
            "Graph 1 draws on 128 variables. Allowed: up to 64",
        ),
        (FactoredVocabulary(), "Graph 1 uses SUB, MUL. Allowed: ADD,"),
    ],
)
def test_graphs_of_another_vocabulary(vocabulary: FactoredVocabulary, message: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        vocabulary.encode(["1 = a", GRAPH])
    assert message in str(caught.value)


def test_no_graphs() -> None:
    with pytest.raises(VocabularyError, match="no graph to encode"):
        VOCABULARY.encode([])


def test_a_graph_of_fewer_variables_fits() -> None:
    graph = ComputationGraph.sample(8, seed=0, n_variables=10)
    assert VOCABULARY.decode(VOCABULARY.encode(graph).factors) == [graph.to_text(" [sep] ")]


def test_encoding_is_fast() -> None:
    graphs = [ComputationGraph.sample(128, ALL_OPS, seed=seed) for seed in range(64)] * 8
    VOCABULARY.encode(graphs[:64])
    begin = time.process_time()
    VOCABULARY.encode(graphs)
    assert time.process_time() - begin < 15  # 0.1 s on an idle machine; this is against hanging


# ---- packed ids


def test_packing_is_one_to_one() -> None:
    vocabulary = FactoredVocabulary(n_variables=3, modulus=2, ops=("ADD",))
    everything = torch.cartesian_prod(*map(torch.arange, vocabulary.sizes))
    packed = vocabulary.pack(everything)
    assert torch.equal(packed, vocabulary.d_vocab + torch.arange(vocabulary.n_packed))
    assert torch.equal(vocabulary.unpack(packed), everything)


@settings(deadline=None)
@given(batches)
def test_packed_and_factors_are_the_same_state(graphs: list[ComputationGraph]) -> None:
    encoded = VOCABULARY.encode(graphs)
    assert encoded.packed.shape == encoded.factors.shape[:-1]
    assert torch.equal(encoded.packed, VOCABULARY.pack(encoded.factors))
    assert torch.equal(encoded.factors, VOCABULARY.unpack(encoded.packed))


def test_packing_takes_any_integer_dtype_and_any_lead() -> None:
    factors = VOCABULARY.encode(GRAPH).factors
    assert VOCABULARY.pack(factors.to(torch.int16)).dtype == torch.int64
    assert VOCABULARY.pack(factors[0, 0]).shape == ()
    assert VOCABULARY.pack(factors.expand(2, 3, 1, -1, -1)).shape == (2, 3, 1, factors.shape[1])
    assert VOCABULARY.unpack(torch.zeros(0, 5, dtype=torch.int64)).shape == (0, 5, 4)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (torch.tensor([0, 0, 0]), r"shape \(3,\). Allowed: \[..., 4\]"),
        (torch.tensor([6, 0, 0, 0]), "syntax id is 6. Allowed: 0 to 5"),
        (torch.tensor([0, 129, 0, 0]), "variable id is 129. Allowed: 0 to 128"),
        (torch.tensor([0, 0, 0, -1]), "value id is -1. Allowed: 0 to 24"),
    ],
)
def test_bad_factors(factors: Tensor, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        VOCABULARY.pack(factors)


def test_bad_packed_ids() -> None:
    with pytest.raises(VocabularyError, match=r"packed id is 77564\. Allowed: 164 to 77563"):
        VOCABULARY.unpack(torch.tensor([VOCABULARY.d_vocab + VOCABULARY.n_packed]))
    with pytest.raises(VocabularyError, match=r"packed id is 163\. Allowed: 164 to 77563"):
        VOCABULARY.unpack(torch.tensor([[164, 163]]))
    with pytest.raises(VocabularyError, match=r"dtype torch\.float32"):
        VOCABULARY.unpack(torch.tensor([1.0]))


# ---- text


@settings(max_examples=50, deadline=None)
@given(batches)
def test_text_comes_back(graphs: list[ComputationGraph]) -> None:
    encoded = VOCABULARY.encode(graphs)
    texts = VOCABULARY.decode(encoded.factors)
    assert texts == VOCABULARY.decode(encoded.packed) == [graph.to_text(" [sep] ") for graph in graphs]
    assert [ComputationGraph.parse(text, max_operands=4) for text in texts] == graphs


def test_token_strings() -> None:
    encoded = VOCABULARY.encode(["5 = x_2", "1 = a; a = b"])
    assert VOCABULARY.token_strings(encoded.packed) == [
        ["5", "=", "x_2", "[pad]", "[pad]", "[pad]", "[pad]"],
        ["1", "=", "x_0", "[sep]", "x_0", "=", "x_1"],
    ]


def test_own_names_are_shown() -> None:
    encoded = VOCABULARY.encode([GRAPH, "1 = a; a = b"])
    assert VOCABULARY.decode(encoded.factors, encoded.graphs) == [
        "20 = x_7 [sep] x_7 = x_1 [sep] 2 = total [sep] x_1 MUL total SUB x_7 = x_3",
        "1 = a [sep] a = b",
    ]
    second = VOCABULARY.token_strings(encoded.packed[1], encoded.graphs[1])[0]
    assert second[:8] == ["1", "=", "a", "[sep]", "a", "=", "b", "[pad]"]
    states = encoded.factors[:1].expand(3, -1, -1)
    assert VOCABULARY.decode(states, GRAPH) == [GRAPH.to_text(" [sep] ")] * 3


def test_a_single_state_is_a_batch_of_one() -> None:
    encoded = VOCABULARY.encode("5 = x_2")
    assert VOCABULARY.decode(encoded.factors[0]) == VOCABULARY.decode(encoded.packed[0]) == ["5 = x_2"]


def test_tokens_no_graph_has_are_shown_by_their_syntax() -> None:
    state = torch.tensor([[[2, 5, 0, EMPTY], [0, NO_VARIABLE, 1, 3], [1, 7, NO_OPERATION, 0], [3, 1, 1, 1]]])
    assert VOCABULARY.token_strings(state) == [["EMPTY", "N/A", "N/A", "="]]


def test_bad_states() -> None:
    with pytest.raises(VocabularyError, match=r"shape \(2, 3, 5\)\. Allowed: factors"):
        VOCABULARY.decode(torch.zeros(2, 3, 5, dtype=torch.int64))
    with pytest.raises(VocabularyError, match=r"shape \(\)"):
        VOCABULARY.decode(torch.tensor(3))
    with pytest.raises(VocabularyError, match=r"2 graphs for 1 rows\. Allowed: one, or one per row"):
        VOCABULARY.decode(VOCABULARY.encode(GRAPH).factors, [GRAPH, GRAPH])


def test_importing_the_vocabulary_does_not_import_transformer_lens() -> None:
    code = "import sys, models.vocabulary; print('torch' in sys.modules, 'transformer_lens' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "False"]
