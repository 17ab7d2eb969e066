"""Small models and graphs that several tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model

RANDOM: dict[str, Any] = {
    "d_model": 32,
    "n_heads": 4,
    "d_head": 8,
    "d_mlp": 64,
    "n_layers": 2,
    "n_variables": 16,
    "modulus": 5,
}
"""Sizes of a random model that runs at once."""

TINY: dict[str, Any] = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 16}
"""Sizes of a smaller one."""


def save_compiled(folder: Path) -> Path:
    """A folder with the known model of ADD modulo 5."""
    compile_model(("ADD",), modulus=5, n_variables=16).save_pretrained(folder)
    return folder


def untrained(**sizes: Any) -> RecurrentTransformer:
    """Weights with some spread, so that activations matter."""
    config: dict[str, Any] = {"n_layers": 2, "d_model": 20, "n_heads": 2, "d_head": 8, "d_mlp": 24, "seed": 4}
    model = RecurrentTransformer(RecurrentConfig(**(config | sizes)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def numbers(**sizes: Any) -> RecurrentTransformer:
    """An untrained model that writes numbers, whatever it reads."""
    model = untrained(modulus=5, n_variables=16, **({"ops": ("ADD", "SUB")} | sizes))
    with torch.no_grad():
        model.b_U[model.vocabulary.slice("value")][5:] -= 100.0
    return model


def sampled_graphs(
    ops: list[tuple[str, ...]], nodes: int, leaves: int, operands: int, modulus: int
) -> st.SearchStrategy[ComputationGraph]:
    """Sampled graphs of some of the sets of operations; the numbers are the largest."""
    return st.builds(
        lambda n_nodes, n_leaves, ops, max_operands, modulus, seed: ComputationGraph.sample(
            n_nodes, ops, min(n_leaves, n_nodes), max_operands, modulus, seed
        ),
        st.integers(1, nodes),
        st.integers(1, leaves),
        st.sampled_from(ops),
        st.integers(1, operands),
        st.integers(2, modulus),
        st.integers(0, 2**32),
    )
