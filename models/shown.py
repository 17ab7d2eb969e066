"""A model's own modules with hook points among their submodules, as one view shows them.

Weights are shared by all steps and hook points belong to one, so a weight module cannot have hook points as children.
What a view shows is the module itself (same class, same state: weights, hooks, mode) under another tree, with the
points among its children. Tools that walk a module tree (PyTorch's ``named_modules``, nnsight, pyvene) find them there,
and what they do to a shown module, they do to the module.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from torch import nn
from transformer_lens.hook_points import HookPoint

Tree = dict[str, "HookPoint | Tree"]
"""Hook points by the parts of their names: ``{"blocks": {"0": {"hook_resid_pre": point}}}``."""


def tree_of(points: Mapping[str, HookPoint]) -> Tree:
    """Hook points by name as a tree by the parts of their names."""
    root: Tree = {}
    for name, point in points.items():
        *path, last = name.split(".")
        branch = root
        for part in path:
            branch = cast(Tree, branch.setdefault(part, {}))
        branch[last] = point
    return root


def shown(module: nn.Module | None, tree: Tree) -> nn.Module:
    """``module`` (None: one that only holds others) with the hook points of ``tree`` as further submodules.

    A copy of what is returned, by ``copy.deepcopy`` or ``pickle``, is a copy of ``module``, without the points.
    """
    module = nn.Module() if module is None else module
    children: dict[str, nn.Module | None] = dict(module.__dict__["_modules"])
    for name, branch in tree.items():
        is_point = isinstance(branch, HookPoint)
        children[name] = branch if is_point else shown(children.get(name), branch)
    kind = _shown_class(type(module))
    twin = kind.__new__(kind)
    for name, value in (("__dict__", module.__dict__), ("_shown", children), ("_itself", module)):
        object.__setattr__(twin, name, value)
    return twin


@cache
def _shown_class(kind: type[nn.Module]) -> type[nn.Module]:
    """A subclass of ``kind`` whose children are kept beside its state."""

    def children_of(self: Any) -> dict[str, nn.Module | None]:
        return self._shown

    def child(self: Any, name: str) -> Any:
        children = children_of(self)
        return children[name] if name in children else cast(Any, super(subclass, self)).__getattr__(name)

    def reduce(self: Any, protocol: Any) -> tuple[Any, ...]:
        return _copied, (self._itself,)

    members: dict[str, Any] = {
        "__slots__": ("_itself", "_shown"),
        "_modules": property(children_of),
        "__getattr__": child,
        "__reduce_ex__": reduce,
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
    }
    subclass: type[nn.Module] = type(kind.__name__, (kind,), members)
    return subclass


def _copied(module: nn.Module) -> nn.Module:
    return module
