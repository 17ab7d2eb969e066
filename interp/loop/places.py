"""Where an activation is found: what a module gives, an item of it, or what it is given.

An address is the name of a module, as ``named_modules`` has it, with an optional ending:

    blocks.0.mlp        what the module gives; of a tuple, its first item
    blocks.0.attn:1     item 1 of the tuple that it gives
    blocks.0.mlp.in     what it is given: its first argument
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from torch import nn

from interp.loop.protocol import LoopedError

ENTERS: Final = ".in"
SHOWN: Final = 60
"""Modules that an error message lists."""


def position_axis(site: str) -> int:
    """Which axis of an activation is its position: of attention [batch, head, destination, source] the destination."""
    return 2 if site.rsplit(".", 1)[-1].rsplit("_", 1)[-1] == "pattern" else 1


@dataclass(frozen=True)
class Place:
    """A module, and what of it.

    Attributes:
        name: what it was asked for by: a site, or the address itself.
        module: the module's name.
        item: of the tuple that it gives; None where the tensor itself, or a tuple's first, is meant.
        enters: whether its argument is meant.
    """

    name: str
    module: str
    item: int | None = None
    enters: bool = False


def find_places(
    module: nn.Module, sites: Mapping[str, str], names: Collection[str], also: Collection[str] = ()
) -> dict[str, Place]:
    """Every name with its place; a name is a site, or an address.

    Args:
        also: names that are allowed for edits besides; for the message alone.

    Raises:
        LoopedError: a name that is neither; a text in place of a list of names.
    """
    if isinstance(names, str):
        raise LoopedError(f"names is the text {names!r}; allowed is a list of names, such as [{names!r}]")
    named = cast("Iterator[tuple[str, nn.Module]]", module.named_modules(remove_duplicate=False))
    modules = dict.fromkeys(name for name, _ in named if name)
    places: dict[str, Place] = {}
    for name in names:
        place = _parsed(name, sites.get(name, name), modules)
        if place is None:
            known = ", ".join([*list(modules)[:SHOWN], *["..."] * (len(modules) > SHOWN)])
            at = f"its sites are {', '.join(sites)}; " if sites else ""
            more = f" (and {', '.join(map(repr, also))} for edits)" if also else ""
            address = f", the address of site {name!r}" if name in sites else ""
            raise LoopedError(
                f"there is no module {sites.get(name, name)!r}{address}; {at}there are {known}{more}"
            )
        places[name] = place
    return places


def _parsed(name: str, address: str, modules: Collection[str]) -> Place | None:
    if address in modules:
        return Place(name, address)
    path, _, item = address.partition(":")
    if item and not item.isdecimal():
        return None
    number = int(item) if item else None
    if path in modules:
        return Place(name, path, number)
    inner = path.removesuffix(ENTERS)
    return Place(name, inner, number, enters=True) if inner != path and inner in modules else None


def is_among(value: Any, place: Place) -> tuple[list[Any], int] | None:
    """A tuple's items and the index that is meant; None where the value itself is meant."""
    if not isinstance(value, tuple | list):
        return None
    return list(cast("tuple[Any, ...]", value)), place.item or 0
