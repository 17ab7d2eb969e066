"""One record per operation: what it says, and that a record alone takes an operation through everything."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analyses.inputs import GraphSource, parse_operations
from interp.fourier_analysis.characters import characters_of, with_characters
from interp.mechanism.onsets import WORDS, measure
from interp.oracle_step import oracle_steps
from interp.synchronous import symbolic_run
from models import ComputationGraph, RecurrentTransformer, load
from models.compiled import compile_model
from models.compiled_names import compiled_name, compiled_operations, fitting_name
from models.graph_errors import ReservedNameError
from models.operations import OPERATIONS, Operation, Operations, apply_operations
from models.parsing import is_name
from models.storage import CheckpointError
from models.training.presets import training_config
from models.training.sampling import Recipe, batch_of, sample_batch
from models.training.states import identities, random_values, skew_leaves
from models.training.trainer import Trainer
from models.training.transition import empty_values, next_values, true_values
from models.vocabulary import FactoredVocabulary

SKEWED = Operation("SKEWED", lambda left, right: left * left + 3 * right, ("TILTED",), ("~~", "~"), ("≀",))
"""A made-up operation: no side of it is like the other, it has no identity and no characters."""
MIXED = ("ADD", "SUB", "MUL", "MAX", "SKEWED")


@pytest.fixture
def skewed() -> Iterator[Operation]:
    with OPERATIONS.registered(SKEWED) as operation:
        yield operation


def by_hand(graph: ComputationGraph) -> list[int]:
    """Values by plain Python, one operation after the other."""
    rules = {
        "ADD": lambda a, b: a + b,
        "SUB": lambda a, b: a - b,
        "MUL": lambda a, b: a * b,
        "MAX": max,
        "SKEWED": lambda a, b: a * a + 3 * b,
    }
    values: list[int] = []
    for node in graph.nodes:
        if node.value is not None:
            values.append(node.value)
            continue
        total = values[node.operands[0]]
        for operation, operand in zip(node.operations, node.operands[1:], strict=True):
            total = rules[operation](total, values[operand]) % graph.modulus
        values.append(total)
    return values


def graphs_of(ops: tuple[str, ...], count: int = 6, n_nodes: int = 14) -> list[ComputationGraph]:
    return [ComputationGraph.sample(n_nodes, ops=ops, n_leaves=4, seed=seed) for seed in range(count)]


# ---- the records -------------------------------------------------------------------------------------------


def test_the_order_is_the_one_that_models_have_with_new_ones_behind() -> None:
    assert tuple(OPERATIONS) == ("ADD", "SUB", "MUL", "MAX")
    assert OPERATIONS.ordered(["MAX", "SUB", "SUB", "DIV"]) == ("SUB", "MAX")
    assert OPERATIONS.listed() == "ADD (+), SUB (-), MUL (*, ×, ·, x) and MAX"


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_a_function_says_the_same_of_ints_arrays_and_tensors(name: str) -> None:
    pairs = np.array(list(itertools.product(range(7), repeat=2)))
    ints = [OPERATIONS[name](left, right) for left, right in pairs.tolist()]
    assert OPERATIONS[name](*pairs.T).tolist() == ints
    assert OPERATIONS[name](*torch.from_numpy(pairs).T).tolist() == ints
    assert [apply_operations((name,), pair, 7) for pair in pairs.tolist()] == [value % 7 for value in ints]
    identity = OPERATIONS[name].identity
    assert identity is not None
    assert [OPERATIONS[name](value, identity) for value in range(7)] == list(range(7))


def test_max_is_the_larger_one() -> None:
    assert [OPERATIONS["MAX"](a, b) for a, b in ((3, 5), (5, 3), (4, 4), (0, 6))] == [5, 5, 4, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "ADD"}, "the spelling 'add', which ADD has"),
        ({"words": ("minus",)}, "the spelling 'minus', which SUB has"),
        ({"symbols": ("×",)}, "the spelling '×', which MUL has"),
        ({"symbols": ("X",)}, "the spelling 'x', which MUL has"),
        ({"name": "skewed"}, "allowed: an upper-case name"),
        ({"words": ("two words",)}, "words of two or more letters"),
        ({"symbols": ("=>",)}, "allowed: one letter, or signs"),
        ({"symbols": ("ab",)}, "allowed: one letter, or signs"),
    ],
)
def test_spellings_that_no_text_could_have_are_refused(changes: dict[str, object], message: str) -> None:
    before = (dict(OPERATIONS), dict(OPERATIONS.words), dict(OPERATIONS.symbols))
    with pytest.raises(ValueError, match=message):
        OPERATIONS.register(replace(SKEWED, **changes))  # pyright: ignore[reportArgumentType]
    assert (dict(OPERATIONS), dict(OPERATIONS.words), dict(OPERATIONS.symbols)) == before


def test_registered_for_a_while_leaves_nothing_behind() -> None:
    before = (tuple(OPERATIONS), dict(OPERATIONS.words), dict(OPERATIONS.symbols))

    def fail() -> None:
        with OPERATIONS.registered(SKEWED):
            assert tuple(OPERATIONS)[-1] == "SKEWED"
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert (tuple(OPERATIONS), dict(OPERATIONS.words), dict(OPERATIONS.symbols)) == before


def test_one_operation_is_listed_alone() -> None:
    assert Operations([SKEWED]).listed() == "SKEWED (~~, ~)"


# ---- MAX ---------------------------------------------------------------------------------------------------


def test_max_is_read_and_written() -> None:
    graph = ComputationGraph.parse("3 = a; 17 = b; 9 = c; a max b MAX c = d; d + c Max b = e")
    assert graph.equations[3:] == ["a MAX b MAX c = d", "d ADD c MAX b = e"]
    assert graph.evaluate() == {"a": 3, "b": 17, "c": 9, "d": 17, "e": 17}
    assert graph.ops == ("ADD", "MAX")
    assert ComputationGraph.from_json(graph.to_json()) == graph
    assert not is_name("max")
    with pytest.raises(ReservedNameError, match="TIMES, MAX"):
        ComputationGraph.parse("3 = max")


def test_max_has_no_characters() -> None:
    assert with_characters(("MAX", "MUL", "ADD")) == ("MUL", "ADD")
    for operations in (("MAX",), ("ADD", "MAX")):
        with pytest.raises(ValueError, match="allowed: MUL alone, or ADD and SUB"):
            characters_of(operations, 23)


def test_measures_of_fourier_are_left_out_where_no_operation_has_characters() -> None:
    model = compile_model(("MAX",), modulus=5, n_variables=16)
    graphs = [
        ComputationGraph.sample(9, ops=("MAX",), n_leaves=3, modulus=5, n_variables=16, seed=seed)
        for seed in range(3)
    ]
    found = measure(model, graphs)
    assert set(WORDS) - set(found) == {"fourier:single", "fourier:diagonal"}
    assert found["solved"] == found["committed"] == 1.0


def test_values_are_reduced_after_every_operation() -> None:
    """Only then is the maximum behind a sum that of two values: 20 + 20 is 17, and less than 19."""
    graph = ComputationGraph.parse("20 = a; 20 = b; 19 = c; 3 = d; 1 = e; a + b max c = f; d - a max e = g")
    vocabulary = FactoredVocabulary(ops=("ADD", "SUB", "MAX"))
    assert by_hand(graph)[5:] == [19, 6]
    assert graph.values_by_node == tuple(by_hand(graph))
    assert true_values(batch_of([graph], vocabulary), vocabulary)[0].tolist() == by_hand(graph)


def test_the_training_target_of_an_operation_is_its_own_result_and_no_product() -> None:
    graph = ComputationGraph.parse("3 = a; 4 = b; a max b = c")
    vocabulary = FactoredVocabulary(ops=("MAX",))
    batch = batch_of([graph], vocabulary)
    after = next_values(batch, np.array([[3, 4, vocabulary.empty]]), vocabulary)
    assert after.tolist() == [[3, 4, 4]]


# ---- compiled models ---------------------------------------------------------------------------------------


def test_the_default_compiled_model_is_what_it_was() -> None:
    assert load("compiled").vocabulary.ops == ("ADD", "SUB", "MUL")
    assert load("compiled-max").vocabulary.ops == ("ADD", "SUB", "MUL", "MAX")


@pytest.mark.parametrize("name", ["compiled-add", "compiled-MAX", "compiled-div", "compiled-max-max"])
def test_other_names_are_no_compiled_model(name: str) -> None:
    assert compiled_operations(name) is None
    assert fitting_name(name, ("MAX",)) == name
    with pytest.raises(CheckpointError, match="there is no model"):
        load(name)


def test_a_source_of_graphs_names_the_compiled_model_that_it_needs(tmp_path: Path) -> None:
    text = "3 = a; 4 = b; a max b = c"
    file = tmp_path / "graphs.jsonl"
    file.write_text(json.dumps({"equations": text.split("; ")}) + "\n\n")
    for source in (
        GraphSource(text=text),
        GraphSource(file=file),
        GraphSource(n_nodes=8, ops=("MAX", "ADD")),
    ):
        assert source.fitting("compiled") == source.fitting("compiled-max") == "compiled-max"
        assert source.fitting("discrete-corrected") == "discrete-corrected"
    for source in (GraphSource(text="a ? b"), GraphSource(file=tmp_path), GraphSource(n_nodes=8)):
        assert source.fitting("compiled") == "compiled"


def test_the_compiled_model_solves_max() -> None:
    graphs = graphs_of(("ADD", "SUB", "MUL", "MAX"))
    run = load("compiled-max").run(graphs)
    assert run.fully_solved.all()
    assert torch.equal(run.solved_at, run.encoded.depths)


# ---- a made-up operation: one record is enough -------------------------------------------------------------


def test_a_record_is_read_written_sampled_and_evaluated(skewed: Operation) -> None:
    graph = ComputationGraph.parse("2 = a; 5 = b; 7 = e; a ~ b ~~ e = c; c tilted b ≀ a = d; d skewed a = f")
    assert graph.equations[3:] == ["a SKEWED b SKEWED e = c", "c SKEWED b SKEWED a = d", "d SKEWED a = f"]
    assert graph.values_by_node == tuple(by_hand(graph))
    for sampled in graphs_of(MIXED):
        assert sampled.values_by_node == tuple(by_hand(sampled))
        assert ComputationGraph.parse(sampled.to_text()) == sampled
        assert ComputationGraph.from_json(sampled.to_json()) == sampled
    assert {name for sampled in graphs_of(MIXED) for name in sampled.ops} == set(MIXED)
    with pytest.raises(ReservedNameError, match="SKEWED, TILTED"):
        ComputationGraph.parse("3 = tilted")


@pytest.mark.parametrize("ops", [("SKEWED",), MIXED, ("SKEWED", "ADD")])
def test_a_record_is_trained_on_as_the_oracle_says(skewed: Operation, ops: tuple[str, ...]) -> None:
    vocabulary = FactoredVocabulary(ops=ops)
    batch = sample_batch(np.random.default_rng(1), vocabulary, 20, Recipe((8, 20), (4, 6)))
    texts = vocabulary.decode(torch.from_numpy(batch.factors))
    truth = true_values(batch, vocabulary)
    for row, text in enumerate(texts):
        graph = ComputationGraph.parse(text)
        assert truth[row, : len(graph)].tolist() == by_hand(graph)


def test_all_steps_of_the_algorithm_agree(skewed: Operation) -> None:
    """On graphs, from all EMPTY: symbolically one by one, on tensors, and in training."""
    vocabulary = FactoredVocabulary(ops=MIXED)
    graphs = graphs_of(MIXED, count=4)
    encoded, batch = vocabulary.encode(graphs), batch_of(graphs, vocabulary)
    depth = int(encoded.depths.max()) + 1
    rows = torch.arange(len(graphs))[:, None]
    state, values = encoded.factors, empty_values(batch, vocabulary)
    symbolic = [symbolic_run(graph, depth) for graph in graphs]
    for step in range(1, depth + 1):
        state = oracle_steps(torch.stack([state, state]), encoded, vocabulary)[0]
        values = next_values(batch, values, vocabulary)
        shown = [[vocabulary.empty if v is None else v for v in run[step].values] for run in symbolic]
        assert state[rows, encoded.rhs, 3].tolist() == shown
        assert values.tolist() == shown
    assert values.tolist() == [by_hand(graph) for graph in graphs]


def test_functions_are_given_values_only(skewed: Operation) -> None:
    """A function that is defined on 0..modulus-1 alone, such as a table, is enough."""
    modulus = 5
    table = np.arange(modulus * modulus).reshape(modulus, modulus) % 3

    def looked_up(left, right):
        if isinstance(left, torch.Tensor):
            return torch.from_numpy(table)[left, right]
        return table[left, right]

    sizes = {"modulus": modulus, "n_variables": 16}
    with OPERATIONS.registered(Operation("LOOKED_UP", looked_up)):
        vocabulary = FactoredVocabulary(ops=("LOOKED_UP", "ADD"), **sizes)
        graphs = [
            ComputationGraph.sample(10, ops=vocabulary.ops, n_leaves=4, seed=seed, **sizes)
            for seed in range(3)
        ]
        encoded, batch = vocabulary.encode(graphs), batch_of(graphs, vocabulary)
        written = oracle_steps(torch.stack([encoded.factors] * 2), encoded, vocabulary)[0]
        values = next_values(batch, empty_values(batch, vocabulary), vocabulary)
        assert written[torch.arange(3)[:, None], encoded.rhs, 3].tolist() == values.tolist()


def test_skew_leaves_values_alone_where_there_is_no_identity(skewed: Operation) -> None:
    rng = np.random.default_rng(0)
    for ops, neutral in ((("SKEWED",), {-1}), (("SKEWED", "MUL"), {-1, 1})):
        vocabulary = FactoredVocabulary(ops=ops)
        batch = sample_batch(rng, vocabulary, 30)
        assert set(identities(rng, batch, vocabulary).ravel().tolist()) == neutral
        values = random_values(rng, batch, vocabulary, skew=1.0, empty=0.0)[batch.exists]
        leaves = skew_leaves(rng, batch, vocabulary, 1.0).leaf_values[batch.n_operands == 0]
        for drawn in (values, leaves):
            assert drawn.min() >= 0 and len(np.unique(drawn)) > 15


def test_a_record_is_compiled(skewed: Operation) -> None:
    assert compiled_name(MIXED) == "compiled-max-skewed"
    model = load(fitting_name("compiled", ("SKEWED",)))
    assert model.vocabulary.ops == ("ADD", "SUB", "MUL", "SKEWED")
    run = model.run(graphs_of(model.vocabulary.ops))
    assert run.fully_solved.all()
    assert run.values[-1].tolist() == [by_hand(graph) for graph in graphs_of(model.vocabulary.ops)]


@pytest.mark.parametrize("method", ["discrete-corrected", "chain-of-thought"])
def test_a_record_is_trained(skewed: Operation, method: str, tmp_path: Path) -> None:
    config = training_config(method, "smoke", ops=("SKEWED", "ADD"), steps=1)
    assert config.ops == ("ADD", "SKEWED")
    trainer = Trainer(config, tmp_path, quiet=True)
    trainer.run()
    assert trainer.step == 1
    assert RecurrentTransformer.from_pretrained(tmp_path).vocabulary.ops == ("ADD", "SKEWED")


def test_a_record_is_an_option_and_a_choice(skewed: Operation) -> None:
    from dashboards.address import ParamReader
    from dashboards.cached import available, operations

    assert parse_operations("skewed, ADD") == ("ADD", "SKEWED")
    assert ParamReader({"ops": "skewed,max"}).ops(("ADD",)) == ("MAX", "SKEWED")
    assert "compiled-max-skewed" in available()
    assert operations("compiled") == MIXED
