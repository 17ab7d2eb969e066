"""The shapes in signatures, checked once for each kind of arguments.

Whether jaxtyping and beartype accept a call depends on types, dtypes and shapes alone. A call of a kind that was
accepted before is let through, unless what it returns is of a kind that has not been: then that is checked. Small
models spend more time in checks than in computing, and a run calls the same functions with the same shapes at every
step.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

import jaxtyping
import torch

_jaxtyped: Any = jaxtyping.jaxtyped


def check_once() -> None:
    """Let jaxtyping's import hook decorate with :func:`checked`; called before what it decorates is imported."""
    jaxtyping.jaxtyped = checked


def checked(fn: Any = None, *, typechecker: Any = None) -> Any:
    """`jaxtyping.jaxtyped`, as often as there are kinds of arguments."""
    if fn is None:
        return functools.partial(checked, typechecker=typechecker)
    every_time = _jaxtyped(fn, typechecker=typechecker)
    if not isinstance(fn, FunctionType) or any("{" in str(part) for part in fn.__annotations__.values()):
        return every_time  # classes and properties; sizes that are computed from values
    returned = threading.local()
    result_check = _jaxtyped(_giving(fn, returned), typechecker=typechecker)
    accepted: dict[Any, set[Any]] = {}

    @functools.wraps(fn)
    def once(*args: Any, **kwargs: Any) -> Any:
        given = _kind((args, kwargs))
        outcomes = accepted.get(given)
        if outcomes is None:
            out = every_time(*args, **kwargs)
            accepted[given] = {_kind(out)}
            return out
        out = fn(*args, **kwargs)
        if (kind := _kind(out)) not in outcomes:
            returned.value = out
            result_check(*args, **kwargs)
            outcomes.add(kind)
        return out

    return once


def _giving(fn: FunctionType, returned: threading.local) -> Callable[..., Any]:
    """A function with the signature of another that returns what was put there."""

    def give(*_: Any, **__: Any) -> Any:
        return returned.value

    return functools.wraps(fn)(
        FunctionType(give.__code__, fn.__globals__, fn.__name__, None, give.__closure__)
    )


def _kind(value: Any) -> Any:
    """What a check of a value can depend on."""
    if isinstance(value, torch.Tensor):
        return type(value), value.dtype, value.shape
    if isinstance(value, tuple | list):
        return type(value), *(_kind(item) for item in value)
    if isinstance(value, dict):
        return dict, *((name, _kind(item)) for name, item in value.items())
    return (type(value), value) if isinstance(value, str | bool) else type(value)
