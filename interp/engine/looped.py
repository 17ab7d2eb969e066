"""Any looped torch model, run step by step: three functions and a module are all that is asked of it.

The loop is ours (:func:`models.stepper.run_steps`), so every forward hook knows in which step it fires: an activation
gets a step axis, an edit a step. Nothing is asked of the model's modules but that they are named; TransformerLens's
HookPoints are modules too.

Conventions. ``hidden[t]`` enters step t, ``hidden[n_steps]`` leaves the last. Hooks live inside ``step`` alone: what
``begin`` and ``read`` call is seen by none. A recorded or edited module must be called exactly once in every step (one
that is shared within a step has no single activation there: an error). Of a module that returns a tuple the first item
is meant. What is recorded at a place that is edited is the edited tensor. ``"hidden"`` names the state entering a step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import torch
from torch import Tensor, nn

from models.one_line import one_line
from models.stepper import run_steps

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer
    from models.tokens import ModelInput

HIDDEN: Final = "hidden"
"""The name under which the state entering a step is edited."""


class LoopedError(ValueError):
    """A looped model, name, step or edit that cannot be used; the message says what is allowed."""


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


@dataclass(frozen=True)
class StepEdit:
    """Replace what module ``name`` gives in ``step`` by ``edit(what it gives)``; also ``name="hidden"``.

    ``edit`` is given a copy, and must return a tensor of the same shape.

    Examples:
        >>> import torch
        >>> from interp import StepEdit
        >>> off = StepEdit("mlp", step=2, edit=torch.zeros_like)
        >>> off.edit(torch.ones(1, 2)).tolist()
        [[0.0, 0.0]]
    """

    name: str
    step: int
    edit: Callable[[Tensor], Tensor]


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


@torch.no_grad()
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
    if n_steps < 1:
        raise LoopedError(f"n_steps is {n_steps}; allowed is 1 or more")
    watchers = _watchers(model.module, n_steps, names, edits)
    entering = watchers.pop(HIDDEN, None)
    hidden = model.begin(inputs)
    states: list[Tensor] = []
    codes: dict[str, list[Tensor]] = {}

    def kept(hidden: Tensor) -> Tensor:
        states.append(hidden.detach().clone())
        _read_into(codes, model.read(hidden))
        return hidden

    def enter(hidden: Tensor, step: int) -> Tensor:
        return kept(hidden if entering is None else entering.edited(hidden, step))

    with ExitStack() as stack:
        for watcher in watchers.values():
            stack.enter_context(watcher.hook(model.module.get_submodule(watcher.name)))
        for step in run_steps(_Watched(model, watchers.values()), hidden, None, n_steps, enter=enter):
            hidden = step.state
        kept(hidden)
    return LoopedRun(
        hidden=torch.stack(states),
        codes={factor: torch.stack(read) for factor, read in codes.items()},
        activations={name: torch.stack(watchers[name].kept) for name in names},
    )


@dataclass(frozen=True, eq=False)
class _Watched:
    """A looped model whose steps are watched: what :func:`models.stepper.run_steps` runs."""

    model: LoopedModel
    watchers: Collection[_Watcher]

    def step(self, state: Tensor, step: int, context: None) -> Tensor:
        for watcher in self.watchers:
            watcher.begin(step)
        following = self.model.step(state, step)
        for watcher in self.watchers:
            watcher.end()
        if following.shape != state.shape:
            raise LoopedError(
                f"step {step} made {tuple(following.shape)} of a hidden state {tuple(state.shape)}; allowed is a step "
                "that keeps the shape"
            )
        return following


def _read_into(codes: dict[str, list[Tensor]], logits: Mapping[str, Tensor]) -> None:
    for factor, scores in logits.items():
        codes.setdefault(factor, []).append(scores.argmax(-1))


class _Watcher:
    """Records and edits what one module gives, in the step that was begun last; outside of steps it does nothing."""

    def __init__(self, name: str, records: bool) -> None:
        self.name = name
        self.records = records
        self.edits: dict[int, list[Callable[[Tensor], Tensor]]] = {}
        self.kept: list[Tensor] = []
        self._step: int | None = None
        self._calls = 0

    def hook(self, module: nn.Module) -> Any:
        """The handle of the module's forward hook, a context manager that removes it."""
        return module.register_forward_hook(self._called)

    def begin(self, step: int) -> None:
        self._step, self._calls = step, 0

    def end(self) -> None:
        if self._calls == 0:
            raise LoopedError(
                f"module {self.name!r} was not called in step {self._step}; allowed are modules that "
                "every step calls once"
            )
        self._step = None

    def edited(self, tensor: Tensor, step: int) -> Tensor:
        for edit in self.edits.get(step, ()):
            given = cast(Any, edit(tensor.detach().clone()))
            if not isinstance(given, Tensor) or given.shape != tensor.shape:
                what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise LoopedError(
                    f"the edit of {self.name!r} at step {step} gave {what}; allowed is a tensor of the "
                    f"shape it was given, {tuple(tensor.shape)}"
                )
            tensor = given
        return tensor

    def _called(self, module: nn.Module, arguments: Any, output: Any) -> Any:
        if self._step is None:
            return None
        self._calls += 1
        if self._calls > 1:
            raise LoopedError(
                f"module {self.name!r} is called more than once in step {self._step}, so its name means no one "
                "activation; allowed are modules that every step calls once (give every use a module of its own, "
                "such as an nn.Identity around it)"
            )
        several = isinstance(output, tuple)
        parts: tuple[Any, ...] = cast("tuple[Any, ...]", output) if several else (output,)
        first = parts[0] if parts else None
        if not isinstance(first, Tensor):
            raise LoopedError(
                f"module {self.name!r} gives {type(first).__name__}; allowed are modules that give a tensor, or a "
                "tuple that begins with one"
            )
        edited = self.edited(first, self._step)
        if self.records:
            self.kept.append(edited.detach().clone())
        if edited is first:
            return None
        return (edited, *parts[1:]) if several else edited


def _watchers(
    module: nn.Module, n_steps: int, names: Sequence[str], edits: Sequence[StepEdit]
) -> dict[str, _Watcher]:
    """One for every name that is recorded or edited; a module that has several names may be watched under each."""
    if isinstance(names, str):
        raise LoopedError(f"names is the text {names!r}; allowed is a list of names, such as [{names!r}]")
    named = cast("Iterator[tuple[str, nn.Module]]", module.named_modules(remove_duplicate=False))
    modules = [name for name, _ in named if name]
    for name in [*names, *(edit.name for edit in edits if edit.name != HIDDEN)]:
        if name not in modules:
            raise LoopedError(
                f"there is no module {name!r}; there are {', '.join(modules)} (and {HIDDEN!r} for edits)"
            )
    for edit in edits:
        if not 0 <= edit.step < n_steps:
            raise LoopedError(
                f"an edit of {edit.name!r} is at step {edit.step}; allowed are 0..{n_steps - 1}"
            )
    watchers = {name: _Watcher(name, records=True) for name in names}
    for edit in edits:
        watcher = watchers.setdefault(edit.name, _Watcher(edit.name, records=False))
        watcher.edits.setdefault(edit.step, []).append(edit.edit)
    return watchers


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
