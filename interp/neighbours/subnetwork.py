"""The smallest set of heads and neurons that makes one step right, and others of its size.

Masks are found (:mod:`interp.neighbours.masks`) at several pressures, on some steps of the algorithm, and judged on
others: the share of due values that is written when all other units give zeros. The smallest is that of the highest
pressure that leaves at least 99 % on the steps it was found on, or, where none does, the one that leaves most.

Controls: random units, as many of each kind in every layer (whole MLPs in any layer); and the same heads with random
neurons, as many of each eighth of the neurons' energy (mean square) in every layer. How far the set is *the* set: a
second search from other scores, and the overlap of both (shared over all), beside that of random sets of these sizes.
And beside it the heads without which alone something is lost, which is what an ablation names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.neighbours.masks import HEADS, MLPS, NEURONS, Units, all_units, only, sparsify
from interp.neighbours.neurons import of_equal_energy
from interp.neighbours.step_set import StepSet, step_sets
from interp.progress import followed
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
PRESSURES: Final = (0.3, 0.1, 0.03, 0.01)
"""From the highest down."""
SUFFICES: Final = 0.99
"""Of due values, what the smallest set has to write on the steps it was found on."""
LOST: Final = 0.01
"""Of due values, what a head that is named by ablation costs."""


@dataclass(frozen=True, eq=False)
class Found:
    """A mask: its pressure, units, and the share of due values written on its own and on other steps."""

    pressure: float
    units: Units
    own: float
    written: float

    def count(self, heads: bool) -> int:
        """Heads, or neurons (MLPs), that are on."""
        return int(sum(on.sum() for name, on in self.units.items() if name.endswith(HEADS) == heads))

    def heads(self) -> set[str]:
        """``layer.head`` of those that are on."""
        return {
            f"{_layer(name)}.{head}"
            for name, on in self.units.items()
            if name.endswith(HEADS)
            for head in np.flatnonzero(on).tolist()
        }


@one_line
@dataclass(frozen=True, eq=False)
class Subnetwork:
    """The smallest set of units that was found for one step.

    Attributes:
        curve: by pressure, the highest first. best: which of them is the smallest that suffices.
        again: of another search at its pressure.
        steps: how many it was found on. full: share of due values written with all units.
        random: float [draw], written by others of equal number. other_neurons: float [draw], by the same heads and
            neurons of equal energy; empty where MLPs are whole.
        alone: float [layer, head], written without one head.
        whole_mlps: whether MLPs were whole units.
    """

    curve: tuple[Found, ...]
    best: int
    again: Found
    steps: int
    full: float
    random: Floats
    other_neurons: Floats
    alone: Floats
    whole_mlps: bool

    @property
    def found(self) -> Found:
        """The smallest."""
        return self.curve[self.best]

    @property
    def named(self) -> set[str]:
        """``layer.head`` of heads without which alone at least 1 % of due values is lost."""
        return {f"{layer}.{head}" for layer, head in np.argwhere(self.full - self.alone >= LOST).tolist()}

    def overlap(self, heads: bool) -> tuple[float, float]:
        """Of both searches, units on in both over units on in either; and the same of random sets of these sizes (by
        their expected numbers, layer by layer; of whole MLPs over all layers). nan where none is on.
        """
        both = either = shared = total = 0.0
        pairs = [
            (one, self.again.units[name])
            for name, one in self.found.units.items()
            if name.endswith(HEADS) == heads
        ]
        if self.whole_mlps and not heads:  # one per layer: they are exchanged between layers
            pairs = [
                (np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs]))
            ]
        for one, other in pairs:
            both += float((one & other).sum())
            either += float((one | other).sum())
            chance = float(one.sum()) * float(other.sum()) / len(one)
            shared += chance
            total += float(one.sum() + other.sum()) - chance
        return (both / either, shared / total) if either else (float("nan"), float("nan"))

    def sentence(self) -> str:
        """What was found, with the controls."""
        found = self.found
        kind = "MLPs" if self.whole_mlps else "neurons"
        every, neurons = (
            sum(len(on) for name, on in found.units.items() if name.endswith(HEADS) == heads)
            for heads in (True, False)
        )
        enough = (
            "" if found.own >= SUFFICES else f", and no set writes {SUFFICES:.0%} of what it was found on"
        )
        energetic = (
            f", the same heads with neurons of equal energy at most {self.other_neurons.max():.1%}"
            if len(self.other_neurons)
            else ""
        )
        heads = found.heads()
        alone = ", ".join(sorted(self.named)) or "none"
        again = " and ".join(
            f"{name} {overlap[0]:.0%} (chance {overlap[1]:.0%})"
            for name, overlap in (("heads", self.overlap(True)), (kind, self.overlap(False)))
        )
        return (
            f"{len(heads)} of {every} heads ({', '.join(sorted(heads)) or 'none'}) and {found.count(False)} of "
            f"{neurons} {kind} write {found.written:.1%} of what is due in one step (all units {self.full:.1%}; random "
            f"units of equal number at most {self.random.max():.1%}{energetic}){enough}. Of the heads that cost "
            f"something alone ({alone}) {len(self.named & heads)} are among them. Another search shares {again}."
        )

    def to_frame(self) -> pd.DataFrame:
        """A row for each pressure: ``pressure, heads, neurons, own, written, smallest``."""
        rows = [
            {
                "pressure": one.pressure,
                "heads": one.count(True),
                "mlps" if self.whole_mlps else "neurons": one.count(False),
                "own": one.own,
                "written": one.written,
                "smallest": number == self.best,
            }
            for number, one in enumerate(self.curve)
        ]
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """The same."""
        return self.to_frame()

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """`units`: ``layer, kind, unit, on, again`` of all; `heads`: ``layer, head, on, without``."""
        rows: list[dict[str, Any]] = []
        for name, on in self.found.units.items():
            kind = "head" if name.endswith(HEADS) else "mlp" if self.whole_mlps else "neuron"
            for unit, one in enumerate(on.tolist()):
                other = bool(self.again.units[name][unit])
                rows.append({"layer": _layer(name), "kind": kind, "unit": unit, "on": one, "again": other})
        heads = [
            {
                "layer": layer,
                "head": head,
                "on": f"{layer}.{head}" in self.found.heads(),
                "without": float(written),
            }
            for (layer, head), written in np.ndenumerate(self.alone)
        ]
        return {"units": pd.DataFrame(rows), "heads": pd.DataFrame(heads)}

    def figures(self) -> dict[str, go.Figure]:
        """`subnetwork`."""
        from interp.neighbours.subnetwork_figure import subnetwork_figure

        return {"subnetwork": subnetwork_figure(self)}


def minimal_subnetwork(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    pressures: Sequence[float] = PRESSURES,
    rounds: int = 250,
    whole_mlps: bool = False,
    n_steps: int = 96,
    draws: int = 8,
    seed: int = 0,
) -> Subnetwork:
    """Search for the smallest set of heads and neurons (or whole MLPs) that writes what is due in one step.

    pressures: nats that all heads cost, and all neurons. rounds: updates of a search. n_steps: steps that it is found
    on, at most, and as many others that it is judged on. draws: of controls.

    Raises:
        ValueError: no graphs, pressures, rounds or draws, or graphs of fewer steps than are needed.
    """
    if not pressures or draws < 1:
        raise ValueError(f"{len(pressures)} pressures, draws={draws}; allowed: 1 or more of each")
    own, other = step_sets(model, graphs, n_steps, 2, seed)
    rng = np.random.default_rng(seed)

    def found(pressure: float, start: int) -> Found:
        units = sparsify(model, own, pressure, rounds, whole_mlps, start)
        return Found(pressure, units, _written(model, own, units), _written(model, other, units))

    curve = tuple(found(pressure, seed) for pressure in followed(sorted(pressures, reverse=True)))
    enough = [number for number, one in enumerate(curve) if one.own >= SUFFICES]
    best = enough[0] if enough else int(np.argmax([one.own for one in curve]))
    units = curve[best].units
    energy = {} if whole_mlps else _energy(model, own)
    every = all_units(model, whole_mlps)
    without = np.array([[_without(model, other, every, layer, head) for head in range(model.cfg.n_heads)]
                        for layer in range(model.cfg.n_layers)])  # fmt: skip
    return Subnetwork(
        curve=curve,
        best=best,
        again=found(curve[best].pressure, seed + 1),
        steps=len(own),
        full=other.written(model),
        random=np.array([_written(model, other, _shuffled(units, rng)) for _ in range(draws)]),
        other_neurons=np.array(
            [_written(model, other, _exchanged(units, energy, rng)) for _ in range(draws) if energy]
        ),
        alone=without,
        whole_mlps=whole_mlps,
    )


def _layer(name: str) -> int:
    return int(name.split(".")[1])


def _written(model: RecurrentTransformer, steps: StepSet, units: Units) -> float:
    with only(model, units):
        return steps.written(model)


def _without(model: RecurrentTransformer, steps: StepSet, every: Units, layer: int, head: int) -> float:
    name = f"blocks.{layer}.{HEADS}"
    on = every[name].copy()
    on[head] = False
    return _written(model, steps, {name: on})


def _shuffled(units: Units, rng: np.random.Generator) -> Units:
    mlps = [name for name in units if name.endswith(MLPS)]
    drawn = rng.permutation([bool(units[name][0]) for name in mlps])
    exchanged = {name: drawn[[at]] for at, name in enumerate(mlps)}
    return {name: rng.permutation(on) for name, on in units.items()} | exchanged


def _exchanged(units: Units, energy: Mapping[str, Floats], rng: np.random.Generator) -> Units:
    changed = dict(units)
    for name, one in energy.items():
        changed[name] = np.zeros_like(units[name])
        changed[name][of_equal_energy(np.flatnonzero(units[name]), one, rng)] = True
    return changed


@torch.no_grad()
def _energy(model: RecurrentTransformer, steps: StepSet) -> dict[str, Floats]:
    """Mean square of every neuron over the tokens of the steps: hook -> float [neuron]."""
    sums = {f"blocks.{layer}.{NEURONS}": 0.0 for layer in range(model.cfg.n_layers)}
    found: dict[str, Any] = dict(sums)
    for state, _, mask in steps.batches:

        def add(activation: Tensor, hook: Any, mask: Tensor = mask) -> None:
            kept = activation[mask.to(activation.device)].double()
            found[hook.name.split(".", 2)[2]] += kept.square().sum(0).cpu().numpy()

        with model.hooks(fwd_hooks=[(f"steps.0.{name}", add) for name in sums]):
            model.transition(state.to(model.device))
    return found
