"""Neurons over all operand tuples, set to their means; and random ones of equal energy."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from interp.fourier_analysis.neuron_rerun import NeuronRun, neuron_run
from interp.fourier_analysis.operand_tuples import OperandGrid
from models.recurrent import RecurrentTransformer

_EIGHTHS: Final = 8
_VARIES: Final = 1e-6
"""Neurons whose variance is below this share of the strongest one's count as constant."""


def decisive(model: RecurrentTransformer, grid: OperandGrid) -> NeuronRun:
    """The layer whose neurons, all set to their means, leave fewest answers right; of equals the last."""
    runs = [neuron_run(model, grid, layer) for layer in range(model.cfg.n_layers)]
    every: NDArray[np.int64] = np.arange(model.layers[0].mlp.b_in.numel())
    return min(reversed(runs), key=lambda run: pruned(run, every))


def pruned(run: NeuronRun, neurons: NDArray[np.int64]) -> float:
    """Share of tuples answered right with these neurons at their means over all tuples."""
    return float((answered(run, neurons) == run.grid.truth).mean())


def answered(run: NeuronRun, neurons: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int [axis 1, ..., axis n], the value that is answered with these neurons at their means over all tuples."""
    changed = run.neurons.copy()
    changed[..., neurons] = run.neurons[..., neurons].mean(tuple(range(changed.ndim - 1)), dtype=np.float64)
    return run.logits_with(changed).argmax(-1)


def variance(run: NeuronRun) -> NDArray[np.float64]:
    """Float [neuron], over all tuples."""
    return run.neurons.reshape(len(run.grid), -1).var(0, dtype=np.float64)


def that_vary(energy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Neurons whose variance is more than rounding."""
    return np.flatnonzero(energy > _VARIES * energy.max(initial=0))


def eighths(energy: NDArray[np.float64], varying: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int [neuron], which eighth of the varying neurons each is in, from the weakest; -1 for those that do not vary."""
    found = np.full(energy.shape, -1)
    for number, part in enumerate(
        np.array_split(varying[np.argsort(energy[varying], kind="stable")], _EIGHTHS)
    ):
        found[part] = number
    return found


def of_equal_energy(
    neurons: NDArray[np.int64], energy: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """As many neurons of each eighth of the energy (float [neuron]) as there are among these, at random."""
    groups = eighths(energy, that_vary(energy))
    parts = [
        rng.choice(np.flatnonzero(groups == group), int((groups[neurons] == group).sum()), replace=False)
        for group in np.unique(groups[neurons]).tolist()
    ]
    return np.concatenate(parts) if parts else neurons


def exchanged(
    order: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """The order with the members of each group (int [place]) in another, random order among their places."""
    changed = order.copy()
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        changed[places] = order[rng.permutation(places)]
    return changed
