"""What a compiled model is made of, as data: heads, parts of MLPs, and the slots of the residual stream they use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.one_line import one_line

Necessity = Literal["needed", "redundant", "decoy", "idle"]
"""What is lost without a head alone: its ``breaks``; nothing, as a twin does the same; nothing, as nothing reads what
it writes; nothing, as it writes nothing."""


@dataclass(frozen=True)
class PlantedHead:
    """One attention head and what it is for.

    Attributes:
        layer: block index.
        head: head index.
        kind: ``offset`` attends to a fixed offset before the query; ``lookup`` to where a key fits the query;
            ``idle`` has zero output weights.
        role: what it fetches, in a word; twins share it. The graph solver has ``is_rhs``, ``name:last``,
            ``operation:late``, ``name:middle``, ``operation:early``, ``name:first``, ``value:first``,
            ``value:middle``, ``value:last`` and ``idle``.
        offset: query position minus key position, for ``offset`` heads; None otherwise.
        reads: slots of the residual stream whose content is moved.
        writes: slots it is moved to.
        operands: which operands the head serves, counted from the end of the left-hand side (0 = last); for the
            graph solver.
        queries: slots that its queries are made of.
        keys: slots that its keys are made of.
        necessity: see :data:`Necessity`.
        breaks: factors that are wrong after a step without it (without it and its twin, where it has one).
    """

    layer: int
    head: int
    kind: Literal["offset", "lookup", "idle"]
    role: str
    offset: int | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    operands: tuple[int, ...] = ()
    queries: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    necessity: Necessity = "needed"
    breaks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlantedMLP:
    """What neurons of one layer's MLP do.

    Attributes:
        layer: block index.
        kind: ``table`` looks combinations of symbols up; ``gate`` lets through, adds or erases; ``idle`` does nothing.
        role: what they compute, in words.
        reads: slots that they read.
        writes: slots that they write.
        neurons: first neuron and the one behind the last; None where the whole MLP is meant.
    """

    layer: int
    kind: Literal["table", "gate", "idle"]
    role: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    neurons: tuple[int, int] | None = None


@one_line
@dataclass(frozen=True)
class Circuit:
    """The mechanism of a compiled model, as data for scoring analyses.

    Attributes:
        heads: every head of every layer, idle ones too.
        mlps: every layer's MLP, idle ones too.
        slots: name -> dimensions of the residual stream.
        arithmetic: ``"lookup"``: no Fourier structure is to be found.
    """

    heads: tuple[PlantedHead, ...]
    mlps: tuple[PlantedMLP, ...]
    slots: dict[str, slice]
    arithmetic: Literal["lookup"] = "lookup"

    def head(self, layer: int, head: int) -> PlantedHead:
        """The entry of one head; raises KeyError where there is no such head."""
        for planted in self.heads:
            if (planted.layer, planted.head) == (layer, head):
                return planted
        raise KeyError(f"there is no head {head} in layer {layer}")

    def with_role(self, role: str) -> PlantedHead:
        """The (first) head with a role; raises KeyError for a role no head has."""
        return self.all_with_role(role)[0]

    def all_with_role(self, role: str) -> tuple[PlantedHead, ...]:
        """The head with a role, and its twin where it has one; raises KeyError for a role no head has."""
        found = tuple(planted for planted in self.heads if planted.role == role)
        if not found:
            raise KeyError(
                f"no head has the role {role!r}; there are {sorted({head.role for head in self.heads})}"
            )
        return found


def slots_of(widths: Mapping[str, int]) -> dict[str, slice]:
    """Slots of these widths, one behind the other."""
    slots: dict[str, slice] = {}
    start = 0
    for name, width in widths.items():
        slots[name] = slice(start, start + width)
        start += width
    return slots


def idle_heads(busy: tuple[PlantedHead, ...], n_layers: int, n_heads: int) -> tuple[PlantedHead, ...]:
    """All heads in order: those given, and an idle entry for each of the others."""
    known = {(planted.layer, planted.head): planted for planted in busy}
    places = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    return tuple(
        known.get(place) or PlantedHead(*place, "idle", "idle", necessity="idle") for place in places
    )
