"""The hook trees of all steps of a model: they grow as runs get longer, and hook names carry their step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self, cast

from torch import nn
from transformer_lens import HookedRootModule

from models.config import RecurrentConfig
from models.hooks import StepHooks, is_watched, split_step

Hook = tuple[str | Callable[[str], bool], Callable[..., Any]]
Pattern = tuple[int, Literal["fwd", "bwd"], Callable[[str], bool], Callable[..., Any]]
"""Context level, direction, predicate on names, hook function: what steps yet to come have to be given."""


class HookNameError(KeyError):
    """A hook name the model does not have; the message says which it has, and how to address a step."""

    def __str__(self) -> str:
        return str(self.args[0])


class StepTree(HookedRootModule):
    """A model's hook points, step by step.

    A class that extends it sets ``cfg``, ``steps`` and ``_patterns``.
    """

    cfg: RecurrentConfig
    steps: nn.ModuleList
    _patterns: list[Pattern]

    def step_hooks(self, step: int) -> StepHooks:
        """The hook tree of ``step``, which must exist already."""
        return cast(StepHooks, self.steps[step])

    def grow_steps(self, n_steps: int) -> None:
        """Make sure that the hook tree has at least ``n_steps`` steps; hooks given by predicate reach new
        steps too.
        """
        for step in range(len(self.steps), n_steps):
            tree = StepHooks(self.cfg.n_layers).train(self.training)
            self.steps.append(tree)
            modules = cast(Iterator[tuple[str, nn.Module]], tree.named_modules(prefix=f"steps.{step}"))
            for name, module in modules:
                module.name = name  # pyright: ignore[reportArgumentType]
                self.mod_dict[name] = module
                if hasattr(module, "add_hook"):
                    self.hook_dict[name] = cast(Any, module)
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
        """Whether any hook is attached at any step."""
        return any(is_watched(point) for point in self.hook_dict.values())

    def _require_hook_point(self, name: str) -> None:
        """Grow to the step ``name`` speaks of.

        Raises:
            HookNameError: a plain name (it would mean every step), or a name no step has.
        """
        plain_names = self.plain_hook_names()
        if name in plain_names:
            raise HookNameError(
                f"{name!r} exists at every step; say which: 'steps.<step>.{name}', "
                f"model.at_step(<step>) with the plain name, or a predicate such as "
                f"lambda n: n.endswith({name!r})"
            )
        try:
            step, plain = split_step(name)
        except ValueError as error:
            raise HookNameError(str(error)) from error
        if plain not in plain_names:
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
        about steps the run has yet to reach.
        """
        n_patterns = len(self._patterns)
        try:
            with super().hooks(  # pyright: ignore[reportUnknownMemberType]
                list(fwd_hooks), list(bwd_hooks), reset_hooks_end, clear_contexts
            ):
                self._remember("fwd", fwd_hooks)
                self._remember("bwd", bwd_hooks)
                yield self
        finally:
            del self._patterns[n_patterns:]

    def _remember(self, direction: Literal["fwd", "bwd"], hooks: Sequence[Hook]) -> None:
        """Keep the hooks given by predicate, for the steps yet to come."""
        for name, hook in hooks:
            if not isinstance(name, str):
                self._patterns.append((self.context_level, direction, name, hook))
