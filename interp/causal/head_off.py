"""Take one head off, at one step or at all, let the run go on, and compare it with the original.

The head's output ``z`` is replaced by zeros at every position, so that it adds nothing to the residual stream. Its
control is the run without that, for as many steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.causal.beside_control import BesideControl
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory


@dataclass(frozen=True)
class HeadOff:
    """The head of a layer writes nothing at `step`, or at any step where that is None.

    Examples:
        >>> from interp import HeadOff
        >>> HeadOff(layer=2, head=0, step=1)
        HeadOff(layer=2, head=0, step=1)
    """

    layer: int
    head: int
    step: int | None = None

    def check(self, model: RecurrentTransformer, run: Trajectory) -> None:
        """Raises ValueError for a run of several graphs, and for a layer, head or step that is not there."""
        if len(run.encoded) != 1:
            raise ValueError(f"expected a run of one graph, got {len(run.encoded)}")
        limits = {
            "layer": (self.layer, model.cfg.n_layers - 1),
            "head": (self.head, model.cfg.n_heads - 1),
            "step": (self.step or 0, run.n_steps - 1),
        }
        for name, (given, high) in limits.items():
            if not 0 <= given <= high:
                raise ValueError(f"{name} is {given}; allowed are 0 to {high}")


@one_line
@dataclass(frozen=True)
class HeadOffRun(BesideControl):
    """A run without a head, beside the original.

    Attributes:
        off: the head.
        original: the run that was edited, of one graph.
        run: what followed from the state that enters the step of the edit (step 0 where it is all of them).
        control: the run with the head, from there on and for as many steps.
    """

    off: HeadOff
    original: Trajectory
    run: Trajectory
    control: Trajectory

    @property
    def since(self) -> int:
        """The step without the head, or the first of all."""
        return self.off.step or 0


@torch.no_grad()
def head_off(model: RecurrentTransformer, original: Trajectory, off: HeadOff) -> HeadOffRun:
    """Run a graph anew without a head; the run lasts at least as long as the original, and until it has settled.

    Raises:
        ValueError: a run of several graphs; a layer, head or step that is not there.

    Examples:
        >>> from interp import HeadOff, head_off
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> found = head_off(model, model.run(graph), HeadOff(layer=2, head=0, step=1))
        >>> found.run.values[:, 0].tolist()  # [state][node]; 24 is EMPTY
        [[20, 2, 24], [20, 2, 24], [20, 2, 22], [20, 2, 22]]
        >>> found.healed_at, found.nodes
        (2, [2])
    """
    off.check(model, original)
    depth = max(original.encoded.graphs[0].depths_by_node)
    since, n_steps = off.step or 0, original.n_steps
    if model.cfg.default_steps is None:
        n_steps = max(n_steps, since + depth + 3)

    def silence(z: Tensor, hook: object) -> Tensor:
        z = z.clone()
        z[:, :, off.head] = 0
        return z

    steps = range(n_steps) if off.step is None else [off.step]
    names = [f"steps.{step}.blocks.{off.layer}.attn.hook_z" for step in steps]
    with model.hooks(fwd_hooks=[(name, silence) for name in names]):
        run = model.run(original.encoded, n_steps)
    control = model.run(original.encoded, n_steps)
    kept = max(original.n_steps, _settled(run), _settled(control))
    return HeadOffRun(off, original, _part(run, since, kept), _part(control, since, kept))


def _settled(run: Trajectory) -> int:
    """Steps of a run of one graph up to the one that changed nothing any more; all of them where there was none."""
    changes = (run.states[1:] != run.states[:-1]).flatten(1).any(1).nonzero().flatten()
    return min(run.n_steps, int(changes[-1]) + 2 if len(changes) else 1)


def _part(run: Trajectory, begin: int, end: int) -> Trajectory:
    """The run from the state that enters a step to the one that another step would be entered by."""
    settled = torch.where(run.fixed_point < 0, -1, (run.fixed_point - begin).clamp_min(0))
    states, confidence = run.states[begin : end + 1], run.confidence[begin:end]
    return replace(run, states=states, confidence=confidence, fixed_point=settled, bound=end - begin)
