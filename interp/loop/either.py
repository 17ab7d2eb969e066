"""One name for an analysis of graph models and of any other looped model; which is meant, the model says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from torch import nn

from interp.loop.protocol import Loop, LoopedError
from models import as_loop
from models.network import Network

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

Graph = ParamSpec("Graph")
Of = ParamSpec("Of")
Found = TypeVar("Found", covariant=True)
OfLoop = TypeVar("OfLoop", covariant=True)


class Either(Protocol[Graph, Found, Of, OfLoop]):
    """An analysis of a :class:`models.RecurrentTransformer` on graphs, and of a loop on its inputs."""

    __name__: str

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, model: RecurrentTransformer, *args: Graph.args, **named: Graph.kwargs
    ) -> Found: ...

    @overload
    def __call__(self, model: Loop | nn.Module, *args: Of.args, **named: Of.kwargs) -> OfLoop: ...


def also_for_loops(
    of_loop: Callable[Concatenate[Loop, Of], OfLoop],
) -> Callable[[Callable[Concatenate[RecurrentTransformer, Graph], Found]], Either[Graph, Found, Of, OfLoop]]:
    """Decorate an analysis of graph models with the one of loops: what is no graph model goes there.

    A loop is a :class:`interp.Loop`, or a model that :func:`models.as_loop` knows; ``as_loop(model)`` of a graph model
    is one too. What both compute stands in functions that both call.

    Raises (when called):
        TypeError: a model that is neither. LoopedError: arguments that the analysis of loops does not have.
    """

    def joined(
        of_graphs: Callable[Concatenate[RecurrentTransformer, Graph], Found],
    ) -> Either[Graph, Found, Of, OfLoop]:
        allowed = inspect.signature(of_loop)

        @wraps(of_graphs)
        def either(model: Any, *args: Any, **named: Any) -> Any:
            if isinstance(model, Network):
                return of_graphs(cast(Any, model), *args, **named)
            loop = as_loop(model)
            try:
                allowed.bind(loop, *args, **named)
            except TypeError as error:
                names = ", ".join(list(allowed.parameters)[1:])
                raise LoopedError(f"{of_graphs.__name__} of a loop: {error}; allowed are {names}") from None
            return cast(Any, of_loop)(loop, *args, **named)

        return cast(Any, either)

    return joined
