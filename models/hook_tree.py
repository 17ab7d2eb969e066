"""The hook points of one recurrence step as a tree of modules, apart from the weights.

The weight modules carry no points; a block is called with the tree of its step. So the same weights have different
hook names at every step (``steps.3.blocks.1.attn.hook_z``), forward and backward hooks know their step, and
``state_dict`` does not change with the number of steps. Which points there are says :mod:`models.hook_points`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from models.hook_points import HOOK_POINTS


class HookTree(nn.Module):
    """Points made by ``point``, under the parts of their names: ``tree.attn.hook_z``."""

    def __init__(self, names: Iterable[str], point: Callable[[], nn.Module]) -> None:
        super().__init__()
        inside: dict[str, list[str]] = {}
        for name in names:
            first, _, rest = name.partition(".")
            inside.setdefault(first, []).append(rest)
        for first, rest in inside.items():
            self.add_module(first, point() if rest == [""] else HookTree(rest, point))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class StepHooks(HookTree):
    """All points of one step, those of block l in ``blocks[l]``.

    ``point`` makes one: something that is called with an activation and returns it. Default: one that does nothing
    else, for a model that nobody watches.
    """

    blocks: nn.ModuleList

    def __init__(self, n_layers: int, point: Callable[[], nn.Module] = nn.Identity) -> None:
        super().__init__([one.name for one in HOOK_POINTS if one.where == "before"], point)
        names = [one.name for one in HOOK_POINTS if one.where == "block"]
        self.blocks = nn.ModuleList(HookTree(names, point) for _ in range(n_layers))
        after = HookTree([one.name for one in HOOK_POINTS if one.where == "after"], point)
        for name, module in after.named_children():
            self.add_module(name, module)


def is_watched(point: nn.Module) -> bool:
    """Whether ``point`` has a forward or backward hook, TransformerLens's or PyTorch's own."""
    module = cast(Any, point)
    return bool(module._forward_hooks or module._backward_hooks)
