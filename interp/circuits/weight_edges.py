"""Which edges can matter at all, told from the weights alone: the truth that methods are held against.

An edge can matter only where something that its writer may write is read by its reader, ``W_out(writer) W_in(reader) !=
0``, and where what its reader makes of it can reach the logits. Both are told by the support of the weights, exactly,
for models without LayerNorm (which mixes all dimensions: there every edge can matter).

    writer      the embedding: the rows of W_E; a head: the rows of W_O whose column of V is not all zero (W_V or b_V);
                an MLP: the rows of W_out whose neuron can be on (W_in, or b_in above 0)
    reader      a head's q: the columns of W_Q whose column of K is not all zero (W_K or b_K); k the same the other way;
                v: the columns of W_V that W_O reads; an MLP: the neurons that W_out reads; the logits: W_U
    alive       a head or MLP, if an edge from it can matter; q and k only of a head whose output is alive
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.circuits.step_graph import Component, Input, StepGraph
from models.recurrent import RecurrentTransformer


@torch.no_grad()
def weight_edges(model: RecurrentTransformer) -> NDArray[np.bool_]:
    """Bool [edge] of the model's :class:`StepGraph`: which can matter.

    Raises:
        ValueError: a model with LayerNorm.

    Examples:
        >>> from interp import weight_edges
        >>> from models import load
        >>> edges = weight_edges(load("compiled"))
        >>> len(edges), int(edges.sum())
        (496, 29)
    """
    if model.cfg.normalization_type is not None:
        raise ValueError(
            "LayerNorm mixes all dimensions, so that every edge can matter; allowed is a model without one "
            f"(normalization_type None), this one has {model.cfg.normalization_type!r}"
        )
    graph = StepGraph.of(model.cfg)
    written = {writer: _written(model, writer) for writer in graph.writers}
    alive: set[Component] = {("embed", None, None)}
    matters = np.zeros(len(graph.edges), dtype=bool)
    for reader in reversed(graph.readers):
        kind, layer, head = reader
        if kind != "logits" and (("mlp" if kind == "mlp" else "head"), layer, head) not in alive:
            continue
        read = _read(model, reader)
        span = graph.spans[reader]
        for place, writer in enumerate(graph.writers[: span.stop - span.start]):
            if bool(((written[writer].double() @ read.double()) != 0).any()):
                matters[span.start + place] = True
                alive.add(writer)
    return matters


def _written(model: RecurrentTransformer, writer: Component) -> Tensor:
    """What a writer may write, [row, d_model]."""
    kind, layer, head = writer
    if layer is None:
        return model.W_E
    block = model.layers[layer]
    if kind == "mlp":
        on = (block.mlp.W_in != 0).any(0) | (block.mlp.b_in > 0)
        return block.mlp.W_out[on]
    assert head is not None
    attn = block.attn
    return attn.W_O[head][(attn.W_V[head] != 0).any(0) | (attn.b_V[head] != 0)]


def _read(model: RecurrentTransformer, reader: Input) -> Tensor:
    """What a reader makes use of, [d_model, column]."""
    kind, layer, head = reader
    if layer is None:
        return model.W_U
    block = model.layers[layer]
    if kind == "mlp":
        return block.mlp.W_in[:, (block.mlp.W_out != 0).any(1)]
    assert head is not None
    attn = block.attn
    if kind == "v":
        return attn.W_V[head][:, (attn.W_O[head] != 0).any(1)]
    own, other, bias = (attn.W_Q, attn.W_K, attn.b_K) if kind == "q" else (attn.W_K, attn.W_Q, attn.b_Q)
    return own[head][:, (other[head] != 0).any(0) | (bias[head] != 0)]
