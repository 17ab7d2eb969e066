"""One name for an analysis of graph models and of any other looped model; which is meant, what stands first says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from torch import nn

from interp.loop.protocol import Loop, LoopedError
from models import as_loop
from models.network import Network

Own = TypeVar("Own")
Means = TypeVar("Means", contravariant=True)
Graph = ParamSpec("Graph")
Of = ParamSpec("Of")
Found = TypeVar("Found", covariant=True)
OfLoop = TypeVar("OfLoop", covariant=True)


class Either(Protocol[Means, Graph, Found, Of, OfLoop]):
    """An analysis of what means graphs (a :class:`models.RecurrentTransformer`), and of a loop on its inputs."""

    __name__: str

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, model: Means, *args: Graph.args, **named: Graph.kwargs
    ) -> Found: ...

    @overload
    def __call__(self, model: Loop | nn.Module, *args: Of.args, **named: Of.kwargs) -> OfLoop: ...


def also_for_loops(
    of_loop: Callable[Concatenate[Loop, Of], OfLoop], graphs_by: type = Network
) -> Callable[[Callable[Concatenate[Own, Graph], Found]], Either[Own, Graph, Found, Of, OfLoop]]:
    """Decorate an analysis of graph models with the one of loops: what is no graph model goes there.

    A loop is a :class:`interp.Loop`, or a model that :func:`models.as_loop` knows; ``as_loop(model)`` of a graph model
    is one too. What both compute stands in functions that both call.

    Args:
        graphs_by: the class of the first argument where graphs are meant.

    Raises (when called):
        TypeError: a model that is neither. LoopedError: arguments that the analysis of loops does not have.
    """

    def joined(
        of_graphs: Callable[Concatenate[Own, Graph], Found],
    ) -> Either[Own, Graph, Found, Of, OfLoop]:
        allowed = inspect.signature(of_loop)
        first = next(iter(inspect.signature(of_graphs).parameters))

        @wraps(of_graphs)
        def either(*args: Any, **named: Any) -> Any:
            model, *others = args or (named.get(first),)
            if isinstance(model, graphs_by) or (model is None and not args):
                return cast(Any, of_graphs)(*args, **named)
            loop = as_loop(model)
            others_named = {name: value for name, value in named.items() if args or name != first}
            try:
                allowed.bind(loop, *others, **others_named)
            except TypeError as error:
                names = ", ".join(list(allowed.parameters)[1:])
                raise LoopedError(f"{of_graphs.__name__} of a loop: {error}; allowed are {names}") from None
            return cast(Any, of_loop)(loop, *others, **others_named)

        return cast(Any, either)

    return joined
