"""The first way to run a looped model: three functions and a module, and hidden states that are one tensor.

Still valid, and now a narrow door to :func:`interp.run_loop`, which new code uses: there a run has a context, several
states, calls within a step, a start in the middle and gradients.

Conventions. ``hidden[t]`` enters step t, ``hidden[n_steps]`` leaves the last. Hooks live inside ``step`` alone: what
``begin`` and ``read`` call is seen by none. A recorded or edited module must be called exactly once in every step. Of a
module that returns a tuple the first item is meant. What is recorded at a place that is edited is the edited tensor.
``"hidden"`` names the state entering a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from torch import Tensor, nn

from interp.loop.edits import StepEdit as StepEdit
from interp.loop.protocol import STATE
from interp.loop.protocol import LoopedError as LoopedError
from interp.loop.running import run_loop
from models.one_line import one_line

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer
    from models.tokens import ModelInput

HIDDEN: Final = "hidden"
"""The name under which the state entering a step is edited."""


class LoopedModel(Protocol):
    """What a looped model has to offer."""

    @property
    def module(self) -> nn.Module:
        """Whose submodules are recorded and edited, by the names of ``named_modules``."""
        ...

    def begin(self, inputs: Any) -> Tensor:
        """The hidden state entering step 0, float [batch, pos, d]."""
        ...

    def step(self, hidden: Tensor, step: int) -> Tensor:
        """One application of the loop's body, [batch, pos, d] -> [batch, pos, d]; ``step`` counts from 0."""
        ...

    def read(self, hidden: Tensor) -> Mapping[str, Tensor]:
        """Factor -> logits [batch, pos, size] of what the hidden state shows."""
        ...


@one_line
@dataclass(frozen=True, eq=False)
class LoopedRun:
    """A run of a looped model; all tensors are detached copies.

    Attributes:
        hidden: float [step + 1, batch, pos, d]; ``hidden[t]`` enters step t, as edited.
        codes: factor -> int [step + 1, batch, pos], the largest logit of ``read(hidden[t])``.
        activations: name -> [step, batch, ...], what the module gave in every step, as edited.
    """

    hidden: Tensor
    codes: Mapping[str, Tensor]
    activations: Mapping[str, Tensor]

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return len(self.hidden) - 1


def run_looped(
    model: LoopedModel,
    inputs: Any,
    n_steps: int,
    names: Sequence[str] = (),
    edits: Sequence[StepEdit] = (),
) -> LoopedRun:
    """Run ``n_steps`` steps, recording the modules ``names`` and applying ``edits``.

    Several edits of one place are applied in their order. Hooks are gone afterwards, also after an exception.

    Raises:
        LoopedError: fewer than one step; a name the module does not have; an edit of a step that is not run, or that
            gives something else than a tensor of the same shape; a module that is called not once in a step, or gives
            no tensor; a step that changes the shape of the hidden state.

    Examples:
        >>> from interp import as_looped, run_looped
        >>> from models import load
        >>> model = as_looped(load("compiled"))
        >>> run = run_looped(model, "20 = a; 2 = b; a + b = c", n_steps=2, names=["blocks.1.attn.hook_z"])
        >>> run.hidden.shape, run.activations["blocks.1.attn.hook_z"].shape  # [step, batch, pos, ...]
        (torch.Size([3, 1, 13, 194]), torch.Size([2, 1, 13, 6, 32]))
    """
    edits = [replace(edit, name=STATE) if edit.name == HIDDEN else edit for edit in edits]
    run = run_loop(_WithoutContext(model), inputs, n_steps, record=names, edits=edits)
    for name, called in run.calls.items():
        _check_once(name, called.sum(1))
    return LoopedRun(run[STATE], run.codes, {name: run.once(name) for name in names})


@dataclass(frozen=True)
class _WithoutContext:
    """A :class:`LoopedModel` as a :class:`interp.Loop`: there is no context."""

    model: LoopedModel

    @property
    def module(self) -> nn.Module:
        return self.model.module

    def begin(self, inputs: Any) -> tuple[Tensor, None]:
        return self.model.begin(inputs), None

    def step(self, state: Tensor, step: int, context: None) -> Tensor:
        return self.model.step(state, step)

    def read(self, state: Tensor, context: None) -> Mapping[str, Tensor]:
        return self.model.read(state)


def _check_once(name: str, times: Tensor) -> None:
    """Of every step how often it called a module."""
    for step, calls in enumerate(map(int, times)):
        if calls > 1:
            raise LoopedError(
                f"module {name!r} is called more than once in step {step}, so its name means no one activation; "
                "allowed are modules that every step calls once (`interp.run_loop` has a call axis)"
            )
        if calls == 0:
            raise LoopedError(
                f"module {name!r} was not called in step {step}; allowed are modules that every step calls once"
            )


@dataclass(frozen=True, eq=False)
class _LoopedTransformer:
    """A :class:`models.RecurrentTransformer` as a :class:`LoopedModel`."""

    model: RecurrentTransformer

    @property
    def module(self) -> nn.Module:
        return self.model.steps[0]

    def begin(self, inputs: ModelInput) -> Tensor:
        state = self.model.entering_state(inputs)
        if self.model.cfg.attention_dir == "bidirectional" and bool(self.model.is_padding(state).any()):
            raise LoopedError(
                "a bidirectional model needs to know where padding is, which a looped model is not told; allowed are "
                "graphs of one length"
            )
        return self.model.embed_state(state)

    def step(self, hidden: Tensor, step: int) -> Tensor:
        if step > 0 and self.model.cfg.bottleneck == "discrete":
            hidden = self.model.embed_state(self.model.discretise(self.model.unembed(hidden)))
        return self.model.step(hidden, 0)

    def read(self, hidden: Tensor) -> Mapping[str, Tensor]:
        logits = self.model.unembed(hidden)
        vocabulary = self.model.vocabulary
        factors = ("syntax", "variable", "operation", "value")
        return {factor: logits[..., vocabulary.slice(factor)] for factor in factors}


def as_looped(model: RecurrentTransformer) -> LoopedModel:
    """A :class:`models.RecurrentTransformer` as any other looped model: what the protocol is checked on.

    ``hidden[0]`` is the embedding of the graphs, ``hidden[t + 1]`` what the final LN gives in step t, before it is
    snapped: in a discrete model the bottleneck is the first thing of the next step. So ``codes[t + 1]`` and the
    activations of step t are those of ``run_with_cache`` (at padding the state is not put back), and ``codes[0]``, read
    from an embedding, means nothing. Names are hook names without step (``blocks.1.attn.hook_z``); all but
    ``hook_state`` and ``hook_logits``, which lie between steps. Hooks of one's own fire in every step if they are
    attached at step 0.

    Raises:
        LoopedError: a chain-of-thought model, whose recurrence runs over tokens.

    Examples:
        >>> from interp import as_looped, run_looped
        >>> from models import load
        >>> run = run_looped(as_looped(load("compiled")), "20 = a; 2 = b; a + b = c", n_steps=2)
        >>> run.codes["value"][2, 0, [2, 6, 12]].tolist()  # at the right-hand sides
        [20, 2, 22]
    """
    if model.cfg.writes_text:
        raise LoopedError(
            "a chain-of-thought model writes a text token by token; allowed are models that apply one block stack "
            "again and again to a state"
        )
    return _LoopedTransformer(model)
