"""The hook trees of all steps of a model: they grow as runs get longer, and hook names carry their step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self, cast

from torch import nn
from transformer_lens import HookedRootModule

from models.config import RecurrentConfig
from models.hook_names import aliases_of, own_name, split_step
from models.hook_tree import StepHooks, is_watched
from models.hooks import StepHookPoint

Hook = tuple[str | Callable[[str], bool], Callable[..., Any]]
Pattern = tuple[int, Literal["fwd", "bwd"], Callable[[str], bool], Callable[..., Any]]
"""Context level, direction, predicate on names, hook function: what steps yet to come have to be given."""


class HookNameError(KeyError):
    """A hook name the model does not have; the message says which it has, and how to address a step."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnreachedHookWarning(UserWarning):
    """A hook names a step that was not run while it was attached, so it did nothing."""


class StepTree(HookedRootModule):
    """A model's hook points, step by step.

    A class that extends it sets ``cfg`` and ``steps``, calls :meth:`step_hooks` for every step that it computes, and
    :meth:`warn_of_unreached` at the end of a run.
    """

    cfg: RecurrentConfig
    steps: nn.ModuleList

    def __init__(self) -> None:
        super().__init__()
        self._patterns: list[Pattern] = []
        self._added: set[str] = set()
        """Names that hooks were added at for good, with their step."""
        self._reached: set[int] = set()
        """Steps that were computed in the innermost context of hooks."""

    def warn_of_unreached(self, n_steps: int) -> None:
        """Say which of the hooks that were added by name a run of ``n_steps`` steps has not come to."""
        self._added = {name for name in self._added if is_watched(cast(Any, self.mod_dict[name]))}
        _warn_of_unreached(self._added, range(n_steps), stacklevel=5)

    def step_hooks(self, step: int) -> StepHooks:
        """The hook tree of ``step``, which must exist already, for a forward pass through it."""
        self._reached.add(step)
        return cast(StepHooks, self.steps[step])

    def grow_steps(self, n_steps: int) -> None:
        """Make sure that the hook tree has at least ``n_steps`` steps; hooks given by predicate reach new
        steps too.
        """
        for step in range(len(self.steps), n_steps):
            tree = StepHooks(self.cfg.n_layers, StepHookPoint).train(self.training)
            self.steps.append(tree)
            modules = dict(cast(Iterator[tuple[str, nn.Module]], tree.named_modules(prefix=f"steps.{step}")))
            for name, module in modules.items():
                module.name = name  # pyright: ignore[reportArgumentType]
                self.mod_dict[name] = module
                if hasattr(module, "add_hook"):
                    self.hook_dict[name] = cast(Any, module)
            self.mod_dict |= {alias: modules[name] for alias, name in aliases_of(modules).items()}
            for level, direction, matches, hook in self._patterns:
                points = {
                    n: p for n, p in self.hook_dict.items() if n.startswith(f"steps.{step}.") and matches(n)
                }
                for point in points.values():
                    point.add_hook(cast(Any, hook), dir=direction, level=level)

    def plain_hook_names(self) -> list[str]:
        """The hook names that every step has, without their step."""
        return [split_step(name)[1] for name in self.hook_dict if name.startswith("steps.0.")]

    def is_watched(self) -> bool:
        """Whether any hook is attached at any step, or may be at a step yet to come."""
        return bool(self._patterns) or any(is_watched(point) for point in self.hook_dict.values())

    def awaits_gradients(self) -> bool:
        """Whether any hook of the backward pass is attached, or will be at a step yet to come."""
        coming = any(direction == "bwd" for _, direction, _, _ in self._patterns)
        return coming or any(point.bwd_hooks for point in self.hook_dict.values())

    def _require_hook_point(self, name: str) -> None:
        """Grow to the step ``name`` speaks of.

        Raises:
            HookNameError: a plain name (it would mean every step), or a name no step has.
        """
        plain_names = self.plain_hook_names()
        if own_name(name) in plain_names:
            raise HookNameError(
                f"{name!r} exists at every step; say which: 'steps.<step>.{name}', "
                f"model.at_step(<step>) with the plain name, or a predicate such as "
                f"lambda n: n.endswith({name!r})"
            )
        try:
            step, plain = split_step(name)
        except ValueError as error:
            raise HookNameError(str(error)) from error
        if own_name(plain) not in plain_names:
            raise HookNameError(
                f"no step has a hook point {plain!r}; there are {', '.join(sorted(plain_names))}"
            )
        self.grow_steps(step + 1)

    def _enable_hook_with_name(self, name: str, hook: Callable[..., Any], dir: Literal["fwd", "bwd"]) -> None:
        self._require_hook_point(name)
        super()._enable_hook_with_name(name, hook, dir)  # pyright: ignore[reportUnknownMemberType]

    def add_hook(self, name: str | Callable[[str], bool], hook: Any, *args: Any, **kwargs: Any) -> None:
        """TransformerLens's ``add_hook``; a name has to carry its step."""
        if isinstance(name, str):
            self._require_hook_point(name)
            self._added.add(name)
        super().add_hook(name, hook, *args, **kwargs)

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[Hook] = (),
        bwd_hooks: Sequence[Hook] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Generator[Self]:
        """TransformerLens's ``hooks``: attached inside the context, gone after it, also after an exception.

        Names carry their step (``steps.2.blocks.0.attn.hook_z``); a predicate is asked about every step, also
        about steps the run has yet to reach. Where something was run, but not the step that a name says, an
        :class:`UnreachedHookWarning` tells so.
        """
        n_patterns = len(self._patterns)
        outside, self._reached = self._reached, set()
        try:
            with super().hooks(  # pyright: ignore[reportUnknownMemberType]
                list(fwd_hooks), list(bwd_hooks), reset_hooks_end, clear_contexts
            ):
                self._remember("fwd", fwd_hooks)
                self._remember("bwd", bwd_hooks)
                yield self
            _warn_of_unreached([name for name, _ in (*fwd_hooks, *bwd_hooks)], self._reached, stacklevel=4)
        finally:
            del self._patterns[n_patterns:]
            self._reached |= outside

    def _remember(self, direction: Literal["fwd", "bwd"], hooks: Sequence[Hook]) -> None:
        """Keep the hooks given by predicate, for the steps yet to come."""
        for name, hook in hooks:
            if not isinstance(name, str):
                self._patterns.append((self.context_level, direction, name, hook))


def _warn_of_unreached(
    names: Iterable[str | Callable[[str], bool]], reached: Iterable[int], stacklevel: int
) -> None:
    """Warn of the names whose step is none of those that were run, if any were."""
    ran = sorted(reached)
    missed = sorted({name for name in names if isinstance(name, str) and split_step(name)[0] not in ran})
    if not ran or not missed:
        return
    others = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
    steps = f"steps {ran[0]} to {ran[-1]}" if len(ran) > 1 else f"step {ran[0]}"
    warnings.warn(
        f"the hook at {missed[0]}{others} did nothing: only {steps} ran while it was attached. A run ends where the "
        "state stops changing, unless n_steps says how long it is",
        UnreachedHookWarning,
        stacklevel=stacklevel,
    )
