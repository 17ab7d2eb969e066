"""Putting other neuron activations into a model at one equation's right-hand side, and what it answers then.

The equation is the last of its text, so in the last layer nothing but its own residual stream reads the neurons, and
the rest of the step is recomputed from there (exactly: MLP output, final norm, readout). In an earlier layer the step
is run again with the neurons written in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp.fourier_analysis.operand_tuples import Hook, OperandGrid, collect_grid
from models.one_line import one_line
from models.recurrent import RecurrentTransformer


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy of the value factor at the right symbol, in nats; share of tuples answered right."""

    loss: float
    accuracy: float


@one_line
@dataclass(frozen=True, eq=False)
class NeuronRun:
    """A model's MLP neurons over all tuples of a grid.

    Attributes:
        neurons: float [axis 1, ..., axis n, neuron], ``mlp_post`` of ``layer`` at the right-hand side.
        resid_mid: float [axis 1, ..., axis n, d_model], the residual stream the MLP's output is added to.
        logits: float [axis 1, ..., axis n, value symbol], as the model gives them.
    """

    model: RecurrentTransformer
    grid: OperandGrid
    layer: int
    step: int
    tokens: int
    neurons: NDArray[np.float32]
    resid_mid: NDArray[np.float32]
    logits: NDArray[np.float32]

    def logits_with(self, neurons: NDArray[np.float32]) -> NDArray[np.float32]:
        """Float [axis 1, ..., axis n, value symbol]: the answer with other neurons, of the shape of ``neurons``."""
        if self.layer == self.model.cfg.n_layers - 1:
            return self._read_out(neurons)
        flat = neurons.reshape(len(self.grid), -1)

        def edits(rows: NDArray[np.int64]) -> Sequence[Hook]:
            return [(f"blocks.{self.layer}.mlp.hook_post", _writer(flat[rows], self.grid.rhs))]

        names = ["hook_logits"]
        return collect_grid(self.model, self.grid, names, self.step, self.tokens, edits)["hook_logits"]

    def score(self, logits: NDArray[np.float32]) -> Score:
        """How right logits [axis 1, ..., axis n, value symbol] are."""
        flat = torch.tensor(logits).flatten(0, -2)
        truth = torch.tensor(self.grid.truth).flatten()
        loss = torch.nn.functional.cross_entropy(flat, truth)
        return Score(float(loss), float((flat.argmax(-1) == truth).float().mean()))

    def score_with(self, neurons: NDArray[np.float32]) -> Score:
        """:meth:`score` of :meth:`logits_with`."""
        return self.score(self.logits_with(neurons))

    @torch.no_grad()
    def _read_out(self, neurons: NDArray[np.float32]) -> NDArray[np.float32]:
        model, mlp = self.model, self.model.layers[self.layer].mlp
        device = model.W_E.device
        flat = torch.tensor(neurons, device=device).reshape(len(self.grid), -1)
        resid = torch.tensor(self.resid_mid, device=device).reshape(len(self.grid), -1)
        resid = resid + torch.addmm(mlp.b_out, flat, mlp.W_out)
        logits = model.unembed(model.ln_final(resid)[:, None])[:, 0, model.vocabulary.slice("value")]
        return logits.cpu().numpy().reshape(*self.grid.shape, -1)


def neuron_run(
    model: RecurrentTransformer, grid: OperandGrid, layer: int, step: int = 0, tokens: int = 8192
) -> NeuronRun:
    """Record the neurons of a layer.

    Raises:
        ValueError: a layer the model does not have.
    """
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"layer is {layer}; the model has layers 0..{model.cfg.n_layers - 1}")
    names = [f"blocks.{layer}.mlp.hook_post", f"blocks.{layer}.hook_resid_mid", "hook_logits"]
    collected = collect_grid(model, grid, names, step, tokens)
    neurons, resid_mid, logits = (collected[name] for name in names)
    return NeuronRun(model, grid, layer, step, tokens, neurons, resid_mid, logits)


def _writer(neurons: NDArray[np.float32], position: int) -> Callable[[torch.Tensor, Any], torch.Tensor]:
    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation = activation.clone()
        activation[:, position] = torch.tensor(neurons, device=activation.device)
        return activation

    return write
