"""The compiled loops equal their symbolic steps exactly, and their circuit data says what their weights do."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import models.compiled
from models import GraphError
from models.compiled import CompiledTask, Digraph, LoopInputError, Program, loops, make
from models.compiled.circuit import Circuit, PlantedHead
from models.compiled.loop import READOUT, CompiledLoop

CODED = ["parity", "reachability", "shortest-paths", "machine"]
"""Those whose state is the embedding of its symbols."""
INPUTS = {"graphs": 20, "parity": 400, "reachability": 200, "shortest-paths": 200, "machine": 60}
BATCH = 20
STATES = 5
"""Random states for every input."""

Sym = dict[str, Tensor]


@pytest.fixture(scope="module")
def made() -> Callable[[str], Any]:
    built: dict[str, Any] = {}
    return lambda name: built.setdefault(name, make(name))


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def batches(loop: Any, n: int, seed: int) -> Iterator[list[Any]]:
    """Random inputs, those of similar length together."""
    inputs = sorted(loop.sample(n, seed), key=lambda given: len(loop.tokens([given])[0]))
    for start in range(0, n, BATCH):
        yield inputs[start : start + BATCH]


def assert_shows(loop: Any, state: Tensor, symbols: Any, context: Any, lead: float = READOUT / 2) -> None:
    """Every factor shows its symbol at every position, and leads by so much."""
    for factor, logits in loop.read(state, context).items():
        best = logits[context.real].topk(2).values
        assert torch.equal(logits.argmax(-1)[context.real], symbols[factor][context.real]), factor
        assert float((best[:, 0] - best[:, 1]).min()) >= 0.999 * lead, factor
    if loop.name in CODED:
        assert torch.equal(state[context.real], loop.embed(symbols, context)[context.real])


def scrambled(loop: Any, inputs: Any, n: int = 1) -> Iterator[tuple[Any, Any]]:
    """Random symbols for these inputs, with the context."""
    _, context = loop.begin(inputs)
    generator = torch.Generator().manual_seed(len(inputs))
    for _ in range(n):
        yield loop.scramble(context, generator), context


@contextmanager
def off(loop: Any, heads: Collection[PlantedHead]) -> Iterator[None]:
    """Without these heads: their z is 0."""

    def zero(index: int) -> Callable[..., Tensor]:
        def hook(module: Any, given: Any, z: Tensor) -> Tensor:
            z = z.clone()
            z[:, :, index] = 0
            return z

        return hook

    with ExitStack() as stack:
        for head in heads:
            z = loop.module.get_submodule(loop.sites[f"{head.layer}.z"])
            stack.callback(z.register_forward_hook(zero(head.head)).remove)
        yield


def patterns(loop: Any, state: Tensor, context: Any, head: PlantedHead) -> Tensor:
    """Where a head looks in one step from ``state``, [batch, query, key]."""
    kept: list[Tensor] = []
    module = loop.module.get_submodule(loop.sites[f"{head.layer}.pattern"])
    handle = module.register_forward_hook(lambda module, given, pattern: kept.append(pattern))
    loop.step(state, 0, context)
    handle.remove()
    return kept[0][:, head.head]


def decoy_of(circuit: Circuit) -> PlantedHead:
    (decoy,) = (head for head in circuit.heads if head.necessity == "decoy")
    return decoy


# ---- the loops solve their tasks ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", loops())
def test_every_step_of_random_inputs_is_the_symbolic_one(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    n_settled = 0
    for inputs in batches(loop, INPUTS[name], seed=1):
        state, context = loop.begin(inputs)
        symbols = loop.start(context)
        assert torch.equal(state, loop.embed(symbols, context))
        for step in range(loop.n_steps(inputs) + 1):
            state, before = loop.step(state, step, context), symbols
            symbols = loop.oracle_step(before, context)
            assert_shows(loop, state, symbols, context)
            if all(torch.equal(symbols[factor], before[factor]) for factor in loop.factors):
                n_settled += 1
                break
    assert name == "machine" or n_settled == INPUTS[name] // BATCH, "all come to rest within the bound"


@pytest.mark.parametrize("name", loops())
def test_every_step_from_random_states_is_the_symbolic_one(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    for inputs in batches(loop, INPUTS[name], seed=2):
        for symbols, context in scrambled(loop, inputs, STATES):
            state = loop.step(loop.embed(symbols, context), 3, context)
            assert_shows(loop, state, loop.oracle_step(symbols, context), context)


def final(loop: Any, inputs: Any, n_steps: int | None = None) -> Sym:
    state, context = loop.begin(inputs)
    for step in range(loop.n_steps(inputs) if n_steps is None else n_steps):
        state = loop.step(state, step, context)
    return loop.codes(state, context)


def test_graphs_come_to_their_values(made: Callable[[str], Any]) -> None:
    loop = made("graphs")
    (inputs,) = batches(loop, BATCH, seed=3)
    encoded = loop.begin(inputs)[1].encoded
    there = encoded.rhs >= 0
    shown = final(loop, inputs)["value"].gather(1, encoded.rhs.clamp_min(0))
    assert torch.equal(shown[there], encoded.values[there])


def test_parities_are_those_of_the_bits_one_position_more_each_step(made: Callable[[str], Any]) -> None:
    loop = made("parity")
    text = "1011001110001111"
    expected = [text[: place + 1].count("1") % 2 for place in range(len(text))]
    for n_steps in (0, 1, 7, 16):
        assert final(loop, text, n_steps)["parity"][0, 2::2].tolist() == [
            *expected[:n_steps],
            *[2] * (16 - n_steps),
        ]
    long = "10" * 45  # longer than the decoy ranks positions
    assert final(loop, long)["parity"][0, -1] == 1


def test_reached_are_the_nodes_that_a_way_leads_to_and_parents_are_one_edge_nearer(
    made: Callable[[str], Any],
) -> None:
    loop = made("reachability")
    for inputs in batches(loop, 100, seed=3):
        codes = final(loop, inputs)
        for row, graph in enumerate(inputs):
            hops = graph.distances()
            reached = codes["reached"][row, 1 : 1 + graph.n_nodes].tolist()
            parents = codes["parent"][row, 1 : 1 + graph.n_nodes].tolist()
            assert reached == [int(far is not None) for far in hops]
            for node, parent in enumerate(parents):
                nearer = [tail for tail, head, _ in graph.edges if head == node and hops[tail] is not None]
                if node == graph.source or hops[node] is None:
                    assert parent == (32 if node == graph.source else 33)
                else:
                    assert parent == min(tail for tail in nearer if hops[tail] == hops[node] - 1)


def test_distances_are_dijkstras_and_lead_over_the_neighbour(made: Callable[[str], Any]) -> None:
    loop = made("shortest-paths")
    for inputs in batches(loop, 100, seed=3):
        codes = final(loop, inputs)
        for row, graph in enumerate(inputs):
            expected = graph.distances()
            shown = codes["distance"][row, 1 : 1 + graph.n_nodes].tolist()
            assert shown == [255 if far is None else far for far in expected]
            for node, over in enumerate(codes["over"][row, 1 : 1 + graph.n_nodes].tolist()):
                if over < 32:
                    weights = [weight for tail, head, weight in graph.edges if (tail, head) == (over, node)]
                    assert shown[over] + min(weights) == shown[node]
                else:
                    assert node == graph.source or expected[node] is None


def test_the_longest_way_there_is(made: Callable[[str], Any]) -> None:
    path = Digraph(32, tuple((node, node + 1, 7) for node in range(31)))
    assert final(made("shortest-paths"), path)["distance"][0, 32] == 217
    assert final(made("reachability"), path, 30)["reached"][0, 32] == 0
    assert final(made("reachability"), path, 31)["reached"][0, 32] == 1


MULTIPLY = Program(
    # cells: 0 zero, 1 one, 2 x, 3 y, 4 minus x, 5 product
    lines=((2, 4, 1), (4, 5, 2), (1, 3, 4), (0, 0, 1), (0, 0, 32)),
    memory=(0, 1, 7, 6, 0, 0),
)
"""product -= minus x, y times."""


def test_a_machine_multiplies_and_halts(made: Callable[[str], Any]) -> None:
    loop = made("machine")
    state, context = loop.begin(MULTIPLY)
    steps = 0
    while not loop.halted(state, context).all():
        state = loop.step(state, steps, context)
        steps += 1
        assert steps < 60
    assert int(loop.codes(state, context)["value"][0, 7]) - 99 == 42
    for inputs in batches(loop, 40, seed=3):
        codes = final(loop, inputs, 40)
        for row, program in enumerate(inputs):
            counter, memory = program.run(40)
            shown = (codes["value"][row, 2 : 2 + len(memory)] - 99).tolist()
            assert (int(codes["counter"][row, 1]), tuple(shown)) == (counter, memory)


# ---- the circuit data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", loops())
def test_a_step_without_a_head_is_wrong_as_the_circuit_says(made: Callable[[str], Any], name: str) -> None:
    """What needed heads, and twins together, break; each twin alone and the decoy break nothing."""
    loop = made(name)
    *_, inputs = batches(loop, INPUTS[name], seed=4)
    kinds = {head.necessity for head in loop.circuit.heads}
    assert {"needed", "redundant", "decoy"} <= kinds
    for symbols, context in scrambled(loop, inputs, 2):
        state, intact = loop.embed(symbols, context), loop.oracle_step(symbols, context)
        for head in loop.circuit.heads:
            with off(loop, [head]):
                alone = loop.step(state, 0, context)
            if head.necessity != "needed":
                assert_shows(loop, alone, intact, context)
        for role in {head.role for head in loop.circuit.heads if head.breaks}:
            heads = loop.circuit.all_with_role(role)
            assert len(heads) == (2 if heads[0].necessity == "redundant" else 1)
            with off(loop, heads):
                codes = loop.codes(loop.step(state, 0, context), context)
            real = context.real
            broken = {
                factor for factor in codes if not torch.equal(codes[factor][real], intact[factor][real])
            }
            assert broken == set(heads[0].breaks), role
            if name in CODED:
                predicted = loop.oracle_step(symbols, context, without={role})
                for factor in codes:
                    assert torch.equal(codes[factor][real], predicted[factor][real]), (role, factor)


def in_slots(weight: Tensor, slots: dict[str, slice]) -> set[str]:
    """Slots with an entry, along the first axis."""
    return {name for name, slot in slots.items() if bool(weight[slot].any())}


@pytest.mark.parametrize("name", CODED)
def test_weights_are_where_the_circuit_says_and_nowhere_else(made: Callable[[str], Any], name: str) -> None:
    loop: CompiledLoop = made(name)
    slots = loop.slots
    for head in loop.circuit.heads:
        attn = loop.layers[head.layer].attn
        assert in_slots(attn.W_Q[head.head], slots) == set(head.queries), head
        assert in_slots(attn.W_K[head.head], slots) == set(head.keys), head
        assert in_slots(attn.W_V[head.head], slots) == set(head.reads), head
        assert in_slots(attn.W_O[head.head].T, slots) == set(head.writes), head
        assert (head.kind == "idle") == (not attn.W_O[head.head].any())
    for layer, block in enumerate(loop.layers):
        known = torch.zeros(len(block.mlp.b_in), dtype=torch.bool)
        for part in (part for part in loop.circuit.mlps if part.layer == layer):
            span = slice(*(part.neurons or (0, 0)))
            known[span] = True
            assert in_slots(block.mlp.W_in[:, span], slots) == set(part.reads)
            assert in_slots(block.mlp.W_out[span].T, slots) == set(part.writes)
        assert not block.mlp.W_out[~known].any()
        assert not block.mlp.b_out.any() and not block.attn.b_O.any() and not block.attn.b_V.any()


@pytest.mark.parametrize("name", loops())
def test_nothing_reads_what_a_decoy_writes(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    (slot,) = (loop.circuit.slots[name] for name in decoy_of(loop.circuit).writes)
    for block in loop.layers:
        attn = block.attn
        assert not any(bool(weight[:, slot].any()) for weight in (attn.W_Q, attn.W_K, attn.W_V))
        assert not block.mlp.W_in[slot].any()
    if name == "graphs":
        assert not loop.model.W_U[slot].any()
    else:
        assert not any(bool(readout.weight[:, slot].any()) for readout in loop.unembed.values())
        assert not loop.carry.mask[slot].any()


def test_decoys_look_at_something_meaningful(made: Callable[[str], Any]) -> None:
    loop = made("parity")
    state, context = loop.begin("0100110")
    pattern = patterns(loop, state, context, decoy_of(loop.circuit))[0]
    assert pattern[14, 11] == 1 and pattern[8, 3] == 1, "the latest 1"

    loop = made("reachability")
    state, context = loop.begin(Digraph(4, ((0, 2, 1), (2, 1, 1), (1, 3, 1))))
    for step in range(3):
        state = loop.step(state, step, context)
    pattern = patterns(loop, state, context, decoy_of(loop.circuit))[0]
    assert [pattern[1 + node].argmax().item() - 1 for node in (2, 1, 3)] == [0, 2, 1], "the parent"

    loop = made("shortest-paths")
    state, context = loop.begin(Digraph(2, ((0, 1, 5), (0, 1, 2), (0, 1, 6))))
    state = loop.step(state, 0, context)
    assert patterns(loop, state, context, decoy_of(loop.circuit))[0, 2, 5] == 1, "the worst offer"

    loop = made("machine")
    state, context = loop.begin(MULTIPLY)
    state = loop.step(loop.step(state, 0, context), 1, context)  # now at line 2, which may go on at line 4
    assert patterns(loop, state, context, decoy_of(loop.circuit))[0, 1, 8 + 4] == 1, "where it may jump"

    loop = made("graphs")
    state, context = loop.begin("20 = a; 2 = b; a + b = c")
    assert patterns(loop, state, context, decoy_of(loop.circuit))[0, 12, 6] > 0.999, "the last operand"


def test_needed_heads_put_all_weight_on_the_best_key(made: Callable[[str], Any]) -> None:
    for name in CODED[1:]:
        loop = made(name)
        *_, inputs = batches(loop, BATCH, seed=5)
        for symbols, context in scrambled(loop, inputs):
            for head in (head for head in loop.circuit.heads if head.necessity == "needed"):
                pattern = patterns(loop, loop.embed(symbols, context), context, head)
                asked = loop.begin(inputs)[1].given[..., loop.slots[head.queries[0]]].any(-1)
                best = pattern[asked].max(-1).values
                n_best = (pattern[asked] > 0).sum(-1)
                torch.testing.assert_close(best, 1 / n_best)  # shared by parallel edges alone
                assert len(best) == 0 or float((n_best == 1).float().mean()) > 0.9


# ---- the form of a loop ------------------------------------------------------------------------------------


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
