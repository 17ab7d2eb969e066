"""Overwrite one symbol of a run's discrete state, let the run go on from there, and compare it with the original.

A discrete state holds everything that enters the next step, so resuming from an edited state is exact: nothing but
the edit differs.

A model without a bottleneck (``continuous``, ``recurrent``) is entered by its hidden state, of which symbols are only
read. There the hidden state is kept, and moved at that position by what the edit means, which is what is read: as
little as exchanges the logits of the symbol that the readout shows and of the new one, while the factor's other logits
stay (:meth:`models.embedding.FactoredUnembed.rewrite`). What the hidden state carries besides is as it was. State 0 is
the embedding of the text, so there the new symbol is embedded.

Why not the difference of the two embeddings: a hidden state is no embedding. In the bundled ``continuous`` it is 4.3
times as long as the embedding of what it shows, at a cosine of 0.16, and moved by that difference, at its own length or
at 4.3 times it, it shows the old value still, in all of 65 edits.

The control is the same edit with the value that is shown anyway, which must change nothing. Its run is what the edited
one is compared with: the original at the same steps, and its true continuation beyond the original's end.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.causal.beside_control import BesideControl
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS


@dataclass(frozen=True, init=False)
class Overwrite:
    """Put `value` at the right-hand side of `node` in the state that enters `step`; or another symbol in its equation.

    `value` is a symbol id of `factor`, the value factor unless said otherwise; `pos` is a position in the text, that of
    the node's right-hand side where it is None.

    Steps are those of :class:`interp.SetCode`: ``states[step]`` enters `step`. That is the text for step 0, else what
    ``step - 1`` wrote; the last state of a run enters the step that would come next.

    Examples:
        >>> from interp import Overwrite
        >>> Overwrite(node=0, step=1, value=5)
        Overwrite(node=0, step=1, value=5, factor='value', pos=None)
    """

    node: int
    step: int
    value: int
    factor: str = "value"
    pos: int | None = None

    def __init__(
        self,
        node: int,
        step: int | None = None,
        value: int | None = None,
        factor: str = "value",
        pos: int | None = None,
        *,
        state: int | None = None,
    ) -> None:
        if state is not None:
            warnings.warn(
                f"Overwrite(state={state}) is now Overwrite(step={state}): the state that enters that step, as in "
                "SetCode",
                DeprecationWarning,
                stacklevel=2,
            )
        if (step is None) == (state is None) or value is None:
            raise TypeError(f"Overwrite needs node, step and value; got {node=}, {step=}, {value=}, {state=}")
        object.__setattr__(self, "node", node)
        object.__setattr__(self, "step", state if step is None else step)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "factor", factor)
        object.__setattr__(self, "pos", pos)

    def position(self, run: Trajectory) -> int:
        """Where in the text of a run of one graph the symbol stands."""
        return int(run.encoded.rhs[0, self.node]) if self.pos is None else self.pos

    @property
    def state(self) -> int:
        """`step` under the name it had: the index of the edited state in ``states``."""
        return self.step


@one_line
@dataclass(frozen=True)
class OverwrittenRun(BesideControl):
    """A run resumed from an edited state, beside the original.

    Attributes:
        edit: what was overwritten.
        original: the run that was edited, of one graph.
        run: what followed; ``run.states[k]`` is that of ``original.states[edit.step + k]``.
        control: what followed, for as many steps, from the edit that writes the value which is shown anyway.
        hidden: whether a hidden state was moved, as the module says; else a discrete state was edited.
    """

    edit: Overwrite
    original: Trajectory
    run: Trajectory
    control: Trajectory
    hidden: bool

    @property
    def since(self) -> int:
        """The step that the edited state enters."""
        return self.edit.step


@torch.no_grad()
def overwrite_value(model: RecurrentTransformer, original: Trajectory, edit: Overwrite) -> OverwrittenRun:
    """Run on from the edited state until the state settles (or for the steps left, where the model fixes them), and
    from the same state without the edit. A hidden state that enters the steps is kept and moved, as the module says.

    The resumed runs last at least as long as the original from the edit on, so that every step can be compared.

    Raises:
        ValueError: a run of several graphs; a node, step, value or position that is not there.
        VocabularyError: an unknown factor.

    Examples:
        >>> from interp import Overwrite, overwrite_value
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> found = overwrite_value(model, model.run(graph), Overwrite(node=0, step=1, value=5))
        >>> found.healed_at
        2
    """
    if len(original.encoded) != 1:
        raise ValueError(f"expected a run of one graph, got {len(original.encoded)}")
    n_symbols = len(original.vocabulary.symbols(edit.factor))
    limits = {
        "node": (edit.node, 0, len(original.encoded.graphs[0]) - 1),
        "step": (edit.step, 0, len(original.states) - 1),
        "value": (edit.value, 0, n_symbols - 1),
    }
    for name, (given, low, high) in limits.items():
        if not low <= given <= high:
            raise ValueError(f"{name} is {given}; allowed are {low} to {high}")
    at = edit.position(original)
    first = int(original.encoded.rhs[0, edit.node - 1]) + 1 if edit.node else 0
    last = int(original.encoded.rhs[0, edit.node])
    if not first <= at <= last:
        raise ValueError(f"pos is {at}; the equation of node {edit.node} has positions {first} to {last}")
    shown = original.states[edit.step]
    wanted = shown.clone()
    wanted[0, at, FACTORS.index(edit.factor)] = edit.value
    hidden = None
    if model.cfg.bottleneck == "continuous" and edit.step > 0:
        _, cache = model.run_with_cache(
            original.encoded, steps=edit.step, names="hook_embed", n_steps=edit.step + 1
        )
        hidden = cache["hook_embed"][0]
    left = original.n_steps - edit.step
    run = _resumed(model, original, edit.step, wanted, hidden, model.cfg.default_steps and left)
    if run.n_steps < left:
        run = _resumed(model, original, edit.step, wanted, hidden, left)
    control = _resumed(model, original, edit.step, shown, hidden, run.n_steps)
    return OverwrittenRun(edit, original, run, control, hidden is not None)


def _resumed(
    model: RecurrentTransformer,
    original: Trajectory,
    index: int,
    state: Tensor,
    hidden: Tensor | None,
    n_steps: int | None,
) -> Trajectory:
    """The run that ``state`` enters instead of the original's state ``index``; ``hidden`` is what the original's own
    step was entered by, where that is no discrete state.
    """
    if hidden is not None:
        device = hidden.device
        hidden = model.unembed.rewrite(hidden, original.states[index].to(device), state.to(device))
    return model.run(original.encoded, n_steps, state, hidden)
