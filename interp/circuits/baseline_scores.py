"""Scores that no intervention stands behind: what methods have to beat."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from interp.circuits.pair_runs import PairRuns


def random_scores(runs: PairRuns, tied: bool, seed: int) -> NDArray[np.float64]:
    """Float [step, edge], uniform in 0..1; with ``tied`` the same in every step."""
    n_steps, n_edges = runs.shape
    rng = np.random.default_rng(seed)
    return np.tile(rng.random(n_edges), (n_steps, 1)) if tied else rng.random((n_steps, n_edges))


def attention_scores(runs: PairRuns, tied: bool) -> NDArray[np.float64]:
    """How sharply heads attend in the clean runs, as if that said what they are for.

    A head's sharpness is its largest attention weight, mean over positions; an embedding, an MLP and the logits have 1.
    An edge has the product of its two ends', float [step, edge]; with ``tied`` the mean over steps, in every step.
    """
    graph, layers = runs.graph, range(runs.graph.n_layers)
    total = np.zeros(runs.shape)
    for pair in runs.pairs:
        names = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]
        with torch.no_grad():
            _, cache = runs.model.run_with_cache(pair.clean.encoded, names=names, n_steps=runs.n_steps)
        sharp = [cache[name][:, 0, :, 1:].amax(-1).mean(-1).numpy(force=True) for name in names]
        for index, edge in enumerate(graph.edges):
            ends = ((edge.writer_layer, edge.writer_head), (edge.reader_layer, edge.reader_head))
            score = np.ones(runs.n_steps)
            for layer, head in ends:
                if layer is not None and head is not None:
                    score = score * sharp[layer][:, head]
            total[:, index] += score / len(runs.pairs)
    return np.tile(total.mean(0), (runs.n_steps, 1)) if tied else total
