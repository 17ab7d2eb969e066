"""The compiled loops equal their symbolic steps exactly, and their circuit data says what their weights do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from models.compiled import Digraph, loops
from models.compiled.circuit import Circuit, PlantedHead
from models.compiled.loop import READOUT, CompiledLoop
from tests.compiled_inputs import BATCH, CODED, MULTIPLY, batches

INPUTS = {"graphs": 20, "parity": 400, "reachability": 200, "shortest-paths": 200, "machine": 60}
STATES = 5
"""Random states for every input."""
MOST_WITHOUT_HEADS = {"graphs": 5}
"""Inputs, of all lengths, for one step a head; a graph has hundreds of positions, of which each is one more case."""

Sym = dict[str, Tensor]


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


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
    inputs = inputs[:: -(-len(inputs) // MOST_WITHOUT_HEADS[name])] if name in MOST_WITHOUT_HEADS else inputs
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
