"""An edit of a run as one text, as commands and addresses have it.

``x_7@3=12``: after step 3 the value of x_7 is 12. ``17.variable@3=x_9``: after step 3 the variable at position 17 is
x_9 (``start`` for the text before step 0). ``2.0@3=off``: in step 3 head 0 of layer 2 is off; ``2.0@all=off``: in all
steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from analyses.inputs import InputError
from models.factors import FACTORS

if TYPE_CHECKING:
    from interp.causal.beside_control import BesideControl
    from interp.causal.head_off import HeadOff
    from interp.causal.overwrite import Overwrite
    from models.recurrent import RecurrentTransformer
    from models.trajectory import Trajectory

ALLOWED: Final = "x_7@3=12, 17.variable@3=x_9, 2.0@3=off or 2.0@all=off"
START, EVERY, OFF = "start", "all", "off"
_EDIT: Final = re.compile(r"(?P<where>[^@=]+)@(?P<step>start|\d{1,6})=(?P<symbol>[^@]+)")
_HEAD: Final = re.compile(r"(?P<layer>\d{1,4})\.(?P<head>\d{1,4})@(?P<step>all|\d{1,6})=off")
_PLACE: Final = re.compile(rf"(?P<at>\d{{1,6}})\.(?P<factor>{'|'.join(FACTORS)})")


@dataclass(frozen=True)
class Edit:
    """A symbol to be overwritten in the state of an index: the value at a node's right-hand side, or a factor's symbol
    at a position.

    where: the node's own name, or position and factor: `17.variable`. symbol: a variable by the name that the graph
    gives it.
    """

    where: str
    state: int
    symbol: str

    def __str__(self) -> str:
        return f"{self.where}@{_label(self.state)}={self.symbol}"

    @property
    def since(self) -> int:
        """Index of the state from which on the edited run is one of its own."""
        return self.state

    @classmethod
    def of(cls, run: Trajectory, at: int, state: int, factor: str, symbol: int) -> Edit:
        """The edit that puts a symbol id of a factor at a position; values at right-hand sides by the node's name."""
        from interp.figures.scene import symbols_of

        graph = run.encoded.graphs[0]
        rhs = run.encoded.rhs[0].tolist()
        is_value = factor == "value" and at in rhs
        where = graph.nodes[rhs.index(at)].name if is_value else f"{at}.{factor}"
        return cls(where, state, symbols_of(run, factor)[symbol])

    def node_of(self, run: Trajectory) -> str | None:
        """The node whose value it is about, by name; None of another symbol."""
        return self.where if self.where in [node.name for node in run.encoded.graphs[0].nodes] else None

    def resolved(self, run: Trajectory) -> Overwrite:
        """The same by ids. Raises `ValueError` for a node, position, step or symbol the run does not have."""
        from interp.causal.overwrite import Overwrite
        from interp.figures.scene import symbols_of

        names = [node.name for node in run.encoded.graphs[0].nodes]
        place = _PLACE.fullmatch(self.where)
        if self.where not in names and place is None:
            raise ValueError(f"The graph has no node {self.where!r} to overwrite.")
        if self.state >= len(run.states):
            last = _label(len(run.states) - 1)
            raise ValueError(
                f"There is no step {_label(self.state)} to overwrite a value at; the last is {last}."
            )
        if self.where in names or place is None:
            node, at, factor = names.index(self.where), None, "value"
        else:
            at, factor = int(place["at"]), place["factor"]
            rhs = run.encoded.rhs[0].tolist()
            if at > rhs[-1]:
                raise ValueError(f"There is no position {at} to overwrite; this graph has 0 to {rhs[-1]}.")
            node = next(index for index, last in enumerate(rhs) if at <= last)
        symbols = symbols_of(run, factor)
        if self.symbol not in symbols:
            allowed = f"0 to {run.vocabulary.modulus - 1}" if factor == "value" else ", ".join(symbols[:12])
            raise ValueError(f"There is no {factor} {self.symbol}; allowed are {allowed}.")
        return Overwrite(node, self.state, symbols.index(self.symbol), factor, at)

    def check(self, model: RecurrentTransformer, run: Trajectory) -> None:
        """Raises `ValueError` as :meth:`resolved`."""
        self.resolved(run)

    def applied(self, model: RecurrentTransformer, run: Trajectory) -> BesideControl:
        """What follows from it. Raises `ValueError` as :meth:`resolved`."""
        from interp.causal.overwrite import overwrite_value

        return overwrite_value(model, run, self.resolved(run))


@dataclass(frozen=True)
class HeadEdit:
    """A head that is off: at a step, or at all of them where that is None."""

    layer: int
    head: int
    step: int | None = None

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}@{EVERY if self.step is None else self.step}={OFF}"

    @property
    def since(self) -> int:
        """Index of the state from which on the edited run is one of its own."""
        return self.step or 0

    @property
    def off(self) -> HeadOff:
        """As `interp` has it."""
        from interp.causal.head_off import HeadOff

        return HeadOff(self.layer, self.head, self.step)

    def check(self, model: RecurrentTransformer, run: Trajectory) -> None:
        """Raises `ValueError` for a layer, head or step that is not there."""
        self.off.check(model, run)

    def applied(self, model: RecurrentTransformer, run: Trajectory) -> BesideControl:
        """What follows from it. Raises `ValueError` for a layer, head or step that is not there."""
        from interp.causal.head_off import head_off

        return head_off(model, run, self.off)


AnyEdit: TypeAlias = Edit | HeadEdit


def parse_edit(text: str) -> AnyEdit:
    """The edit of a text. Raises `InputError` for one that is none."""
    if (head := _HEAD.fullmatch(text)) is not None:
        step = None if head["step"] == EVERY else int(head["step"])
        return HeadEdit(int(head["layer"]), int(head["head"]), step)
    match = _EDIT.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is no edit; allowed are for example {ALLOWED}.")
    state = 0 if match["step"] == START else int(match["step"]) + 1
    return Edit(match["where"], state, match["symbol"])


def _label(state: int) -> str:
    """`start` for the text before step 0, else the step that wrote a state."""
    return START if state == 0 else str(state - 1)
