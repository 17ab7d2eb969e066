"""What a visitor looks at, whatever the page: a model, a graph, a step and a node, kept from page to page.

A page takes it over when it is entered without an address, and tells what was changed there. What nobody has chosen is
None, and every page then shows what its bare address does. A page of graphs that has no step or no node keeps them for
the next, in its address too: `step` and `node`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import streamlit as st

GRAPH: Final = ("text", "n", "seed", "ops")
"""Parameters of a graph."""
_KEPT: Final = "selection"


@dataclass(frozen=True)
class Selection:
    """What is looked at; None for what nobody has chosen.

    text: typed equations; else n, seed and ops of a sampled graph. step: -1 for the text before step 0. node: index in
    text order. inputs: those of a looped model, one per line.
    """

    model: str | None = None
    text: str | None = None
    n: int | None = None
    seed: int | None = None
    ops: tuple[str, ...] | None = None
    step: int | None = None
    node: int | None = None
    inputs: str | None = None

    @property
    def graph(self) -> tuple[object, ...] | None:
        """All that says which graph it is; None where none was chosen."""
        return None if self.text is None and self.n is None else (self.text, self.n, self.seed, self.ops)

    def numbers(self) -> list[tuple[str, int]]:
        """The step and the node, by name, where they were chosen."""
        given = (("step", self.step), ("node", self.node))
        return [(name, value) for name, value in given if value is not None]

    def with_graph(self, other: Selection) -> Selection:
        """The same with another's graph."""
        return replace(self, text=other.text, n=other.n, seed=other.seed, ops=other.ops)

    def to_params(self, names: Iterable[str]) -> dict[str, str]:
        """Some of its parts as query parameters; those that are None, and the text before step 0, are left out."""
        found: dict[str, str] = {}
        for name in names:
            value = getattr(self, name)
            if value is not None and value != -1:
                found[name] = ",".join(value) if isinstance(value, tuple) else str(value)
        return found


def selection() -> Selection:
    """That of this visitor."""
    return st.session_state.get(_KEPT, Selection())


def select(**parts: object) -> None:
    """Choose some parts anew."""
    st.session_state[_KEPT] = replace(selection(), **parts)


def follow(before: Selection, now: Selection) -> None:
    """A page that showed one selection shows another: what was changed is chosen, and with it the graph and the model.

    A step and a node are of a graph, and inputs of a model: with another they are forgotten.
    """
    if now == before:
        return
    kept = selection()
    if kept.graph is None or now.graph != before.graph:
        other = now.graph is not None and kept.graph not in (None, now.graph)
        kept = replace(kept, step=None, node=None) if other else kept
        kept = kept if now.graph is None else kept.with_graph(now)
    if kept.model is None or now.model != before.model:
        kept = replace(kept, model=now.model or kept.model, inputs=None)
    for part in ("step", "node", "inputs"):
        if getattr(now, part) != getattr(before, part):
            kept = replace(kept, **{part: getattr(now, part)})
    st.session_state[_KEPT] = kept


def take(view: Selection, given: Mapping[str, str], carried: Iterable[str]) -> None:
    """An address was opened: what it says is chosen.

    view: what its page shows. carried: parameters that mean nothing to that page, and are kept for others.
    """
    kept = selection()
    if view.graph is not None and any(name in given for name in (*GRAPH, "clean")):
        kept = kept if kept.graph in (None, view.graph) else replace(kept, step=None, node=None)
        kept = kept.with_graph(view)
    if "model" in given:
        kept = replace(kept, model=view.model, inputs=view.inputs)
    for name in carried:
        if re.fullmatch(r"\d{1,6}", given.get(name, "")):
            view = replace(view, **{name: int(given[name])})
    kept = replace(kept, **dict(view.numbers()))
    st.session_state[_KEPT] = kept
