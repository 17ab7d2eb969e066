"""Small models and graphs that datasets are collected from, and when two datasets are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interp import ActivationDataset
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
SHAPE: dict[str, Any] = {
    "d_model": 16,
    "d_head": 4,
    "n_heads": 4,
    "n_layers": 2,
    "ops": ("ADD", "SUB"),
    **SIZES,
}
RESID = ("blocks.0.hook_resid_pre", "blocks.1.hook_resid_post")


def graph(n_nodes: int, seed: int) -> ComputationGraph:
    return ComputationGraph.sample(n_nodes, ops=("ADD", "SUB"), n_leaves=3, seed=seed, **SIZES)


GRAPHS = [graph(n_nodes, seed) for seed, n_nodes in enumerate((4, 9, 5, 9, 7, 3))]


def untrained(**changes: Any) -> RecurrentTransformer:
    return RecurrentTransformer(RecurrentConfig(**(SHAPE | changes))).eval()


MODELS = {
    "discrete": {},
    "continuous": {"bottleneck": "continuous"},
    "bidirectional": {"attention_dir": "bidirectional", "positions": "deberta"},
    "recurrent": {"bottleneck": "continuous", "default_steps": 3, "method": "recurrent"},
    "feedforward": {"default_steps": 1, "method": "feedforward"},
}


def same(one: ActivationDataset, other: ActivationDataset) -> bool:
    pd.testing.assert_frame_equal(one.labels, other.labels)
    pairs = [(one.activations, other.activations), (one.step_labels, other.step_labels)]
    return all(
        list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a) for a, b in pairs
    ) and (one.model, one.n_steps, one.modulus) == (other.model, other.n_steps, other.modulus)
