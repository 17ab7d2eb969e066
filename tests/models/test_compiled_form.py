"""The form that the compiled loops share: sites, rows, gradients, tokens, names, messages and tasks."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import models.compiled
from models import GraphError
from models.compiled import CompiledTask, Digraph, LoopInputError, Program, loops, make
from models.compiled.loop import CompiledLoop
from tests.compiled_inputs import BATCH, CODED, MULTIPLY, batches


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", loops())
def test_sites_are_modules_and_rows_can_be_taken(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    assert loop.name == name and loop.about
    kept: dict[str, Tensor] = {}
    (inputs,) = batches(loop, BATCH, seed=6)
    state, context = loop.begin(inputs)
    n, length = state.shape[:2]
    handles = [
        loop.module.get_submodule(address).register_forward_hook(
            lambda module, given, output, site=site: kept.update({site: output})
        )
        for site, address in loop.sites.items()
    ]
    after = loop.step(state, 0, context)
    for handle in handles:
        handle.remove()
    assert set(kept) == set(loop.sites)
    for layer in range(loop.cfg.n_layers):
        assert kept[f"{layer}.pattern"].shape == (n, loop.n_heads, length, length)
        assert kept[f"{layer}.z"].shape == (n, length, loop.n_heads, loop.cfg.d_head)
        mid = kept[f"{layer}.resid_pre"] + kept[f"{layer}.attn_out"]
        assert torch.equal(kept[f"{layer}.resid_mid"], mid)
        assert torch.equal(kept[f"{layer}.resid_post"], mid + kept[f"{layer}.mlp_out"])
    taken = loop.take(context, [3, 1])
    torch.testing.assert_close(loop.step(state[[3, 1]], 0, taken), after[[3, 1]])
    lens = loop.lens(kept[f"{loop.cfg.n_layers - 1}.resid_post"], context)
    for factor, logits in loop.read(after, context).items():
        torch.testing.assert_close(lens[factor], logits)
    tokens = loop.tokens(inputs)
    assert [len(row) for row in tokens] == context.real.sum(1).tolist()
    key = loop.key(after, context)
    assert not key.is_floating_point() and key.shape[:2] == state.shape[:2]
    assert torch.equal(key, loop.key(after + 0.0, context))
    assert not torch.equal(key, loop.key(state, context))


@pytest.mark.parametrize("name", CODED)
def test_gradients_reach_earlier_steps(made: Callable[[str], Any], name: str) -> None:
    loop: CompiledLoop = made(name)
    given = {
        "parity": "111",
        "machine": MULTIPLY,
        "reachability": Digraph(3, ((0, 1, 1), (1, 2, 1))),
        "shortest-paths": Digraph(3, ((0, 1, 2), (1, 2, 1))),
    }[name]
    with torch.enable_grad():
        first, context = loop.begin(given)
        first.requires_grad_()
        state = first
        for step in range(2):
            state = loop.step(state, step, context)
        factor = loop.factors[0]
        loop.read(state, context)[factor].max(-1).values.sum().backward()
    assert first.grad is not None and bool(first.grad.any())


def test_tokens_are_the_text(made: Callable[[str], Any]) -> None:
    assert made("parity").tokens("10") == [["^", "1", "p", "0", "p"]]
    graph = Digraph(2, ((0, 1, 3),))
    assert made("reachability").tokens(graph) == [["@", "0", "1", "0>1"]]
    assert made("shortest-paths").tokens(graph) == [["@", "0", "1", "0>1:3"]]
    assert made("machine").tokens(Program(((0, 0, 32),), (5,))) == [["@", "cpu", "[0]", "0: 0 0 32"]]
    assert made("graphs").tokens("2 = a")[0] == ["2", "=", "a"]
    assert made("graphs").tokens(["2 = a", "2 = a ; a = b"])[1][-4:] == [";", "a", "=", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: make("parity").begin(["012"]), "got '012'; allowed are texts of"),
        (lambda: make("parity").begin([]), "got an empty list; allowed are texts of"),
        (lambda: make("reachability").begin(["0>1"]), "got str; allowed are Digraphs"),
        (lambda: make("machine").begin([]), "got an empty list; allowed are Programs"),
        (lambda: Digraph(33, ()), "n_nodes is 33; allowed are 1..32"),
        (lambda: Digraph(3, (), 3), "source is 3; allowed are 0..2"),
        (lambda: Digraph(3, ((0, 3, 1),)), r"an edge is \(0, 3, 1\); allowed are \(tail, head, weight\)"),
        (lambda: Digraph(3, ((0, 1, 8),)), "weights 1..7"),
        (lambda: Program((), (1,)), "got 0 lines; allowed are 1..32"),
        (lambda: Program(((0, 0, 1),), (1,) * 17), "got 17 cells of memory; allowed are 1..16"),
        (lambda: Program(((0, 1, 1),), (1,)), r"a line is \(0, 1, 1\); allowed are \(a, b, c\)"),
        (lambda: Program(((0, 0, 1),), (100,)), "a cell has 100; allowed are -99..99"),
    ],
)
def test_what_is_no_input_is_said(given: Callable[[], object], message: str) -> None:
    with pytest.raises(LoopInputError, match=message):
        given()


def test_names_and_errors_of_the_family(made: Callable[[str], Any]) -> None:
    assert loops() == ["graphs", *CODED]
    with pytest.raises(KeyError, match="no compiled loop 'sorting'; there are graphs, parity"):
        make("sorting")
    with pytest.raises(GraphError):
        made("graphs").begin("2 +")
    _, context = made("graphs").begin("2 = a")
    with pytest.raises(LoopInputError, match="allowed is none for the graph solver"):
        made("graphs").oracle_step(made("graphs").start(context), context, without={"value:last"})


def test_the_examples_of_the_family_are_true() -> None:
    shown = [
        example
        for name in ("Digraph", "Program", "CompiledTask", "GraphLoop", "loops", "make")
        for example in examples(getattr(models.compiled, name), name)
    ]
    shown += [example for name in CODED for example in examples(type(make(name)), name)]
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    with torch.enable_grad():
        for example in shown:
            runner.run(example, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)
    assert len(shown) >= 10


def examples(thing: object, name: str) -> list[doctest.DocTest]:
    """Those in the docstrings of a thing."""
    found = doctest.DocTestFinder(exclude_empty=True).find(thing, name)
    return [test for test in found if test.examples]


def test_loops_of_one_name_are_alike() -> None:
    for name in CODED:
        one, other = make(name), make(name)
        assert one.circuit == other.circuit
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_run_of_a_program_saturates() -> None:
    program = Program(((0, 1, 1), (0, 1, 0)), (-60, 50))
    assert [program.run(steps)[1][1] for steps in range(3)] == [50, 99, 99]
    assert all(a <= b for a, b in pairwise(program.run(steps)[1][1] for steps in range(3)))


@pytest.mark.parametrize("name", loops())
def test_a_task_knows_answers_levels_and_what_follows(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    task = CompiledTask(loop)
    inputs = task.sample(6, seed=7)
    states, levels, frame = task.run(inputs), task.levels(inputs), task.labels(inputs)
    first = {factor: codes[0] for factor, codes in states.items()}
    following = task.oracle_step(first, inputs)
    assert all(torch.equal(codes, states[factor][1]) for factor, codes in following.items())
    last = len(next(iter(states.values()))) - 1
    assert int(levels.max()) <= last and torch.equal(levels >= 0, task.answers(inputs))
    assert len(frame) == int(task.answers(inputs).sum()) and set(states) < set(frame.columns)
    assert task.tokens(inputs)[0][frame.pos[0]] == frame.token[0]
    for line in frame.itertuples():
        for codes in states.values():
            shown = codes[:, line.row, line.pos]  # type: ignore[index]
            assert bool((shown[line.level :] == shown[-1]).all())  # type: ignore[misc]
    if name == "parity":
        assert task.levels(["110"]).tolist() == [[-1, -1, 1, -1, 2, -1, 3]]
