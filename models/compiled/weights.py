"""The ground truth: weights written down, not trained, for a model of which everything is known.

It solves every graph of the operations that it is built for, with up to three operands, of any size, exactly; every
value commits at the step equal to its depth. All activations that matter are 0 or 1 (names: +-1), and attention is
hard.

    layer 0   head j attends to offset j + 1 and copies one thing into a slot of the residual stream:
              the '=' (so this is a right-hand side), the names of the operands, the operations, a leaf's
              number
    layer 1   two heads look up the names of the first and the middle operand at the right-hand sides and copy
              their values; the MLP applies the first operation (a table: one neuron per pair of values and
              operation)
    layer 2   one head looks up the last operand; the MLP applies the second operation, erases the old value
              at the right-hand side and writes the new one, or EMPTY where an operand is missing

Conventions: the equation is ``first OP middle OP last = rhs``, seen from the rhs at offsets 6 5 4 3 2 1; with
two operands there are only ``middle OP last``, with one only ``last``. Names are +-1 codes of
``ceil(log2 n_variables)`` bits. There is no LayerNorm. ``CompiledTransformer.circuit`` states all this as
data.

With ``spare_heads`` it has two heads more that no graph needs: in layer 0 a twin of the head that copies the name of
the first operand (either suffices: a name that is written twice is looked up all the same), and in layer 1 a decoy,
which looks up the last operand and writes its value where nothing reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from models.compiled.circuit import Circuit, PlantedHead, PlantedMLP, idle_heads, slots_of
from models.compiled_names import COMPILED, COMPILED_OPERATIONS
from models.config import RecurrentConfig
from models.network import Network
from models.operations import OPERATIONS
from models.positions import RelativeBias

SHARPNESS = 60.0
"""Gap between the score of the key that is meant and of the next best; softmax of it is 1.0 in float32."""

N_HEADS = 6
"""Heads of a layer, without spare ones."""

READOUT = 30.0
"""Scale of the readouts' logits: the smallest margin, 0.5, becomes 15."""


@dataclass(frozen=True)
class _Sizes:
    """Which dimensions of the residual stream hold what."""

    n_bits: int
    n_ops: int
    n_values: int
    spare: bool

    @cached_property
    def slots(self) -> dict[str, slice]:
        widths = {
            "syntax": 6,
            "name": self.n_bits,
            "operation": self.n_ops,
            "value": self.n_values,
            "is_rhs": 1,
            "given": self.n_values,
            "name:last": self.n_bits,
            "name:middle": self.n_bits,
            "name:first": self.n_bits,
            "operation:late": self.n_ops,
            "operation:early": self.n_ops,
            "value:first": self.n_values,
            "value:middle": self.n_values,
            "value:last": self.n_values,
            "partial": self.n_values,
        }
        if self.spare:
            widths["decoy"] = self.n_values
        return slots_of(widths)

    @property
    def d_model(self) -> int:
        return max(slot.stop for slot in self.slots.values())


def compiled_config(
    ops: tuple[str, ...] = COMPILED_OPERATIONS,
    modulus: int = 23,
    n_variables: int = 128,
    spare_heads: bool = False,
) -> RecurrentConfig:
    """The configuration of the ground-truth model for a task; with room for a twin and a decoy, if ``spare_heads``.

    Raises:
        ConfigError, VocabularyError: sizes or operations that make no task.
    """
    sizes = _Sizes((n_variables - 1).bit_length() or 1, len(ops), modulus + 2, spare_heads)
    pairs = modulus * modulus * len(ops)
    return RecurrentConfig(
        n_layers=3,
        d_model=sizes.d_model,
        n_heads=N_HEADS + 2 * spare_heads,
        d_head=max(sizes.n_bits + 1, sizes.n_bits + sizes.n_values, 6),
        d_mlp=pairs + 2 * modulus + sizes.n_values + 1,
        normalization_type=None,
        positions="relative_bias",
        position_window=8,
        ops=ops,
        modulus=modulus,
        n_variables=n_variables,
        method=COMPILED,
    )


def write_weights(model: Network) -> Circuit:
    """Write the mechanism into a model of :func:`compiled_config`, and say what was written."""
    cfg = model.cfg
    sizes = _Sizes(
        (cfg.n_variables - 1).bit_length() or 1, len(cfg.ops), cfg.modulus + 2, cfg.n_heads > N_HEADS
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        _write_embedding(model, sizes)
        heads = [*_write_offsets(model, sizes), *_write_lookups(model, sizes)]
        if sizes.spare:
            heads = _write_spares(model, sizes, heads)
        _write_first_operation(model, sizes)
        _write_second_operation(model, sizes)
    return Circuit(
        heads=idle_heads(tuple(heads), cfg.n_layers, cfg.n_heads),
        mlps=(
            PlantedMLP(0, "idle", "idle"),
            PlantedMLP(
                1,
                "table",
                "first operation",
                ("value:first", "operation:early", "value:middle"),
                ("partial",),
            ),
            PlantedMLP(
                2,
                "table",
                "second operation",
                ("partial", "operation:late", "value:last", "given", "is_rhs"),
                ("value",),
            ),
        ),
        slots=dict(sizes.slots),
    )


def _write_embedding(model: Network, sizes: _Sizes) -> None:
    """One-hot syntax, operation and value, +-1 names; N/A is the zero vector except among values. Readouts
    are transposes.
    """
    vocabulary, slots = model.vocabulary, sizes.slots
    names = _name_codes(vocabulary.n_variables, sizes.n_bits)
    blocks = {
        "syntax": torch.eye(6),
        "variable": torch.cat([names, torch.zeros(1, sizes.n_bits)]),
        "operation": torch.cat([torch.eye(sizes.n_ops), torch.zeros(1, sizes.n_ops)]),
        "value": torch.eye(sizes.n_values),
    }
    W_E, W_U, b_U = model.W_E, model.W_U, model.b_U
    for factor, rows in blocks.items():
        slot = slots["name" if factor == "variable" else factor]
        W_E[vocabulary.slice(factor), slot] = rows
        W_U[slot, vocabulary.slice(factor)] = READOUT * rows.T
    # N/A has no vector to be read out by; its bias lies between the best and the second-best symbol of a
    # factor.
    b_U[vocabulary.slice("variable").start + vocabulary.n_a("variable")] = READOUT * (sizes.n_bits - 1)
    b_U[vocabulary.slice("operation").start + vocabulary.n_a("operation")] = READOUT * 0.5


def _name_codes(n: int, n_bits: int) -> Float[Tensor, "n n_bits"]:
    bits = torch.arange(n)[:, None] >> torch.arange(n_bits) & 1
    return 2.0 * bits - 1.0


def _write_offsets(model: Network, sizes: _Sizes) -> list[PlantedHead]:
    """Layer 0: head j looks j + 1 positions back, whatever stands there, and copies into its slot."""
    slots, attn = sizes.slots, model.layers[0].attn
    jobs: dict[int, tuple[str, dict[str, str], tuple[int, ...]]] = {
        1: ("is_rhs", {"syntax": "is_rhs"}, (0, 1, 2)),
        2: ("name:last", {"name": "name:last", "value": "given"}, (0,)),
        3: ("operation:late", {"operation": "operation:late"}, (0, 1)),
        4: ("name:middle", {"name": "name:middle"}, (1,)),
        5: ("operation:early", {"operation": "operation:early"}, (1, 2)),
        6: ("name:first", {"name": "name:first"}, (2,)),
    }
    equals = model.vocabulary.symbol_id("syntax", "=")
    planted: list[PlantedHead] = []
    for offset, (role, moves, operands) in jobs.items():
        head = offset - 1
        cast(RelativeBias, attn.pos).bias[head, offset] = SHARPNESS
        column = 0
        for source, target in moves.items():
            rows = (
                [slots[source].start + equals]
                if target == "is_rhs"
                else list(range(*slots[source].indices(sizes.d_model)))
            )
            for row, out in zip(rows, range(*slots[target].indices(sizes.d_model)), strict=True):
                attn.W_V[head, row, column] = 1.0
                attn.W_O[head, column, out] = 1.0
                column += 1
        planted.append(
            PlantedHead(
                0,
                head,
                "offset",
                role,
                offset,
                tuple(moves),
                tuple(moves.values()),
                operands,
                breaks=("value",),
            )
        )
    return planted


def _write_lookups(model: Network, sizes: _Sizes) -> list[PlantedHead]:
    """Layers 1 and 2: the query is an operand's name, the key a name at a right-hand side, the value its
    value.
    """
    slots = sizes.slots
    planted: list[PlantedHead] = []
    for layer, head, which, operand in ((1, 0, "first", 2), (1, 1, "middle", 1), (2, 0, "last", 0)):
        target = f"value:{which}"
        _write_lookup(model, sizes, layer, head, slots[f"name:{which}"], slots[target])
        planted.append(
            PlantedHead(
                layer,
                head,
                "lookup",
                target,
                None,
                ("value",),
                (target,),
                (operand,),
                (f"name:{which}",),
                ("name", "is_rhs"),
                breaks=("value",),
            )
        )
    return planted


def _write_lookup(model: Network, sizes: _Sizes, layer: int, head: int, query: slice, target: slice) -> None:
    attn, flag = model.layers[layer].attn, sizes.n_bits
    # Codes of two names agree in at most n_bits - 1 bits, so the best score leads the next by 2 units or more.
    unit = attn.attn_scale * SHARPNESS / 2
    attn.W_Q[head, query, : sizes.n_bits] = unit * torch.eye(sizes.n_bits)
    attn.W_K[head, sizes.slots["name"], : sizes.n_bits] = torch.eye(sizes.n_bits)
    attn.b_Q[head, flag] = attn.attn_scale * SHARPNESS
    attn.W_K[head, sizes.slots["is_rhs"], flag] = 1.0
    attn.W_V[head, sizes.slots["value"], : sizes.n_values] = torch.eye(sizes.n_values)
    attn.W_O[head, : sizes.n_values, target] = torch.eye(sizes.n_values)


def _write_spares(model: Network, sizes: _Sizes, heads: list[PlantedHead]) -> list[PlantedHead]:
    """A twin of the head that copies the first operand's name, and a decoy; all heads with them."""
    attn = model.layers[0].attn
    (twinned,) = (planted for planted in heads if planted.role == "name:first")
    first = twinned.head
    for weight in (attn.W_V, attn.W_O, cast(RelativeBias, attn.pos).bias):
        weight[N_HEADS] = weight[first]
    _write_lookup(model, sizes, 1, 2, sizes.slots["name:last"], sizes.slots["decoy"])
    decoy = PlantedHead(
        1,
        2,
        "lookup",
        "decoy",
        None,
        ("value",),
        ("decoy",),
        (0,),
        ("name:last",),
        ("name", "is_rhs"),
        "decoy",
    )
    twins = [replace(twinned, head=head, necessity="redundant") for head in (first, N_HEADS)]
    return [*(planted for planted in heads if planted is not twinned), *twins, decoy]


def _write_table(
    model: Network,
    sizes: _Sizes,
    layer: int,
    operands: tuple[str, str, str],
    target: str,
    gate: str | None,
) -> int:
    """Neurons ``relu(left_a + operation_o + right_b [+ gate] - rest)``, one per (a, o, b), each writing
    ``a o b``; how many.
    """
    slots, mlp, p = sizes.slots, model.layers[layer].mlp, model.cfg.modulus
    left, operation, right = (slots[name].start for name in operands)
    neuron = 0
    for o, name in enumerate(model.cfg.ops):
        a = torch.arange(p).repeat_interleave(p)
        b = torch.arange(p).repeat(p)
        neurons = torch.arange(neuron, neuron + p * p)
        mlp.W_in[left + a, neurons] = 1.0
        mlp.W_in[right + b, neurons] = 1.0
        mlp.W_in[operation + o, neurons] = 1.0
        if gate is not None:
            mlp.W_in[slots[gate].start, neurons] = 1.0
        mlp.b_in[neurons] = -2.0 if gate is None else -3.0
        mlp.W_out[neurons, slots[target].start + OPERATIONS[name](a, b) % p] = 1.0
        neuron += p * p
    return neuron


def _write_first_operation(model: Network, sizes: _Sizes) -> None:
    """Layer 1: partial = first OP middle where there is an early operation, else the middle operand."""
    slots, mlp, p = sizes.slots, model.layers[1].mlp, model.cfg.modulus
    neuron = _write_table(
        model, sizes, 1, ("value:first", "operation:early", "value:middle"), "partial", gate=None
    )
    for value in range(p):
        mlp.W_in[slots["value:middle"].start + value, neuron] = 1.0
        mlp.W_in[slots["operation:early"], neuron] = -1.0
        mlp.W_out[neuron, slots["partial"].start + value] = 1.0
        neuron += 1


def _write_second_operation(model: Network, sizes: _Sizes) -> None:
    """Layer 2, at right-hand sides only: erase the old value, write partial OP last, or last alone, or the
    leaf's number.
    """
    slots, mlp, p = sizes.slots, model.layers[2].mlp, model.cfg.modulus
    rhs, target = slots["is_rhs"].start, slots["value"].start
    neuron = _write_table(
        model, sizes, 2, ("partial", "operation:late", "value:last"), "value", gate="is_rhs"
    )
    for value in range(p):
        mlp.W_in[slots["value:last"].start + value, neuron] = 1.0
        mlp.W_in[slots["operation:late"], neuron] = -1.0
        mlp.W_in[slots["given"].start : slots["given"].start + p, neuron] = -1.0
        mlp.W_in[rhs, neuron] = 1.0
        mlp.b_in[neuron] = -1.0
        mlp.W_out[neuron, target + value] = 1.0
        neuron += 1
        mlp.W_in[slots["given"].start + value, neuron] = 1.0
        mlp.W_in[rhs, neuron] = 1.0
        mlp.b_in[neuron] = -1.0
        mlp.W_out[neuron, target + value] = 1.0
        neuron += 1
    for value in range(sizes.n_values):
        mlp.W_in[target + value, neuron] = 1.0
        mlp.W_in[rhs, neuron] = 1.0
        mlp.b_in[neuron] = -1.0
        mlp.W_out[neuron, target + value] = -1.0
        neuron += 1
    # A right-hand side no neuron above wrote to becomes EMPTY: one operand at least is not known yet.
    mlp.W_in[rhs, neuron] = 1.0
    mlp.W_out[neuron, target + model.vocabulary.empty] = 0.5
