"""A run that begins with the weights of another."""

from __future__ import annotations

import numpy as np

from models.loading import load
from models.recurrent import RecurrentTransformer
from models.storage import CheckpointError
from models.training.objectives.aligned import align_lengths
from models.training.sampling import Recipe, sample_batch

ALIGNING_GRAPHS = 64


def start_from(model: RecurrentTransformer, source: str) -> None:
    """Put the weights of a checkpoint (name or folder) into `model`.

    A model with more layers gets the checkpoint's stack repeated. A model that passes on its hidden state, from a
    checkpoint that does not, has it scaled to the length of the embeddings (`align_lengths`).

    Raises:
        CheckpointError: no such checkpoint, or weights of other shapes.
    """
    try:
        given = load(source)
    except CheckpointError as error:
        raise CheckpointError(f"cannot start from {source}: {error}") from error
    n_given, n_layers = given.cfg.n_layers, model.cfg.n_layers
    weights = {name: value for name, value in given.state_dict().items() if not name.startswith("blocks.")}
    for layer in range(n_layers):
        stem = f"blocks.{layer % n_given}."
        weights |= {
            f"blocks.{layer}.{name.removeprefix(stem)}": value
            for name, value in given.state_dict().items()
            if name.startswith(stem)
        }
    wanted = model.state_dict()
    different = sorted(
        name
        for name in wanted.keys() | weights.keys()
        if name not in wanted or name not in weights or wanted[name].shape != weights[name].shape
    )
    if different or n_layers % n_given:
        raise CheckpointError(
            f"the weights of {source} do not fit a model of {n_layers} layers and d_model {model.cfg.d_model}: "
            f"{', '.join(different) or f'it has {n_given} layers, and {n_layers} is no multiple'}"
        )
    model.load_state_dict(weights)
    if model.cfg.bottleneck == "continuous" and given.cfg.bottleneck == "discrete":
        size = min(Recipe().sizes[1], model.vocabulary.n_variables)
        graphs = sample_batch(
            np.random.default_rng(0), model.vocabulary, ALIGNING_GRAPHS, Recipe((size, size), max_depth=None)
        )
        align_lengths(model, graphs)
