"""The circuits of a head between two factors: known on the compiled model, and plain products on a random one."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from transformer_lens.FactoredMatrix import FactoredMatrix

from interp import factor_circuit
from models import RecurrentConfig, RecurrentTransformer
from models.compiled import READOUT, CompiledTransformer, compile_model
from models.vocabulary import FACTORS

MODULUS, NAMES = 5, 16
LOOKUPS = {"first": ((0, 5), (1, 0)), "middle": ((0, 3), (1, 1)), "last": ((0, 1), (2, 0))}
"""Operand -> the head that copies its name, and the one that looks it up."""


@pytest.fixture(scope="module")
def compiled() -> CompiledTransformer:
    return compile_model(("ADD", "SUB"), modulus=MODULUS, n_variables=NAMES)


@pytest.mark.parametrize("operand", LOOKUPS)
def test_names_fetch_names(compiled: CompiledTransformer, operand: str) -> None:
    """The score is the same for all names on themselves, and lower by at least 2 bits on any other."""
    copies, (layer, head) = LOOKUPS[operand]
    found = factor_circuit(compiled, layer, head, "QK", "variable", "variable", source_through=[copies])
    assert isinstance(found, FactoredMatrix) and found.shape == (NAMES + 1, NAMES + 1)
    scores = found.AB[:NAMES, :NAMES]
    own = scores.diagonal()
    assert torch.equal(scores.argmax(-1), torch.arange(NAMES)) and own.unique().numel() == 1
    others = scores.masked_fill(torch.eye(NAMES).bool(), -torch.inf)
    assert (
        own - others.max(-1).values >= 2 * own / 4 - 1e-9
    ).all()  # 4 bits a name, and 2 at least differ in sign
    assert found.AB[NAMES].abs().max() == found.AB[:, NAMES].abs().max() == 0  # N/A asks for nothing
    for factor in ("syntax", "operation", "value"):
        for query, key in ((factor, "variable"), ("variable", factor)):
            other = factor_circuit(compiled, layer, head, "QK", query, key, source_through=[copies])
            assert other.AB.abs().max() == 0, (query, key)


def test_without_the_head_that_copies_the_name_nothing_is_asked(compiled: CompiledTransformer) -> None:
    for layer in range(3):
        for head in range(6):
            direct = factor_circuit(compiled, layer, head, "QK", "variable", "variable")
            assert direct.AB.abs().max() == 0
    wrong = factor_circuit(compiled, 2, 0, "QK", "variable", "variable", source_through=[(0, 3)])
    assert wrong.AB.abs().max() == 0  # the middle operand's name is no query of the last one's lookup


@pytest.mark.parametrize("operand", LOOKUPS)
def test_values_are_moved_to_their_slot_and_to_no_readout(
    compiled: CompiledTransformer, operand: str
) -> None:
    _, (layer, head) = LOOKUPS[operand]
    moved = factor_circuit(compiled, layer, head, "OV", "value", "everything")
    assert moved.shape == (MODULUS + 2, compiled.cfg.d_model)
    slot = compiled.circuit.slots[f"value:{operand}"]
    assert torch.equal(moved.AB[:, slot], torch.eye(MODULUS + 2).double())
    assert moved.AB.sum() == MODULUS + 2
    for target in FACTORS:
        assert factor_circuit(compiled, layer, head, "OV", "value", target).AB.abs().max() == 0, target
    for source in ("syntax", "variable", "operation"):
        assert factor_circuit(compiled, layer, head, "OV", source, "everything").AB.abs().max() == 0, source


def test_a_head_that_copies_values_into_their_readout_is_found() -> None:
    model = compile_model(("ADD",), modulus=MODULUS, n_variables=NAMES)
    slots = model.circuit.slots
    with torch.no_grad():
        W_O = model.layers[2].attn.W_O
        W_O[0, :, slots["value"]] = W_O[0, :, slots["value:last"]].clone()
    copied = factor_circuit(model, 2, 0, "OV", "value", "value").AB
    assert torch.equal(copied, READOUT * torch.eye(MODULUS + 2).double())
    later = factor_circuit(model, 0, 1, "OV", "value", "value").AB  # numbers of leaves, which no lookup reads
    assert later.abs().max() == 0


def untrained() -> RecurrentTransformer:
    sizes: dict[str, Any] = {"n_heads": 2, "n_layers": 3, "d_model": 24, "d_head": 6, "d_mlp": 8}
    model = RecurrentTransformer(RecurrentConfig(modulus=MODULUS, n_variables=NAMES, **sizes)).eval()
    model = model.to(torch.float64)
    with torch.no_grad():
        for block in model.layers:
            cast(Any, block.ln1).w.mul_(1.5)
    return model


def test_circuits_are_plain_products_of_the_weights() -> None:
    model = untrained()
    names, values = (model.W_E[model.vocabulary.slice(factor)] for factor in ("variable", "value"))
    readout = model.W_U[:, model.vocabulary.slice("value")]
    OV, QK = model.OV.AB, model.QK.AB
    found = factor_circuit(model, 1, 1, "OV", "variable", "value", [(0, 0)], [(2, 1)], fold_norm=False)
    assert torch.allclose(found.AB, names @ OV[0, 0] @ OV[1, 1] @ OV[2, 1] @ readout, atol=1e-8)
    found = factor_circuit(
        model, 2, 0, "QK", "variable", "value", [(0, 1), (1, 0)], [(1, 1)], fold_norm=False
    )
    query, key = names @ OV[0, 1] @ OV[1, 0], values @ OV[1, 1]
    assert torch.allclose(found.AB, query @ QK[2, 0] @ key.T, atol=1e-8)
    assert found.shape == (len(names), len(values)) and not found.A.requires_grad
    folded = factor_circuit(model, 0, 1, "QK", "variable", "everything").AB
    centred = 1.5 * (names - names.mean(-1, keepdim=True)) @ QK[0, 1]
    assert torch.allclose(folded, 1.5 * (centred - centred.mean(-1, keepdim=True)), atol=1e-8)


def test_what_is_not_there_is_said(compiled: CompiledTransformer) -> None:
    refused: dict[str, tuple[Any, ...]] = {
        "circuit is 'KQ'; allowed are OV, QK": (0, 0, "KQ", "value", "value"),
        "source is 'everything'; allowed are syntax, variable": (0, 0, "OV", "everything", "value"),
        "target is 'name'; allowed are syntax, .*everything": (0, 0, "OV", "value", "name"),
        "there is no head 6 in layer 0; layers are 0 to 2, heads 0 to 5": (0, 6, "OV", "value", "value"),
        "source_through: layers .2, 1. are passed": (1, 0, "QK", "value", "value", [(2, 0)]),
        "target_through: layers .1, 1. are passed": (1, 0, "OV", "value", "value", [], [(1, 1)]),
    }
    for message, given in refused.items():
        with pytest.raises(ValueError, match=message):
            factor_circuit(compiled, *given)
