"""A computer with one instruction, subleq, that executes one instruction per step.

``a b c`` means: subtract cell a from cell b; if the result is not positive go on at line c, else at the next line. That
a looped Transformer can be such a computer, one pass per instruction, is the idea of Giannou et al. (2023, "Looped
Transformers as Programmable Computers"). The text is ``@ cpu``, the memory's cells, the lines of the program.

    layer 0   head fetch       the cpu looks at the line that its counter names and copies a, b and c; it has a twin
    layer 1   head minuend     the cpu looks at cell b and copies its value
              head subtrahend  the cpu looks at cell a and copies its value
              head prefetch    a decoy: the cpu looks at line c, where it might go on, and copies its a where nothing
                               reads it
              MLP              the difference, within +-99; by how much b changes; whether the program jumps
    layer 2   head store       a cell looks at the cpu, if the cpu names it, and adds the change to its value
              MLP              the counter becomes c or the next line

Who finds nothing rests at ``@``, which has nothing to copy. A counter that names no line fetches nothing, and then
names none: the machine has halted. ``c = 32`` halts, and so does running over the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Any, Final, cast

import torch
from torch import Tensor

from models.compiled.form import LoopInputError, Symbols, drawn, listed
from models.compiled.loop import CompiledLoop, LoopContext, nearest_integer, padded
from models.compiled.wiring import SHARPNESS, Wiring

N_LINES: Final = 32
"""Lines of a program, at most."""
HALT: Final = N_LINES
"""The line to jump to in order to halt, and the counter of a machine that has halted."""
N_CELLS: Final = 16
"""Cells of memory, at most."""
LARGEST: Final = 99
"""Values lie within +-99; a difference beyond is 99 or -99."""

_REST, _CPU, _CELL, _LINE = range(4)
_GATE: Final = 1024.0
"""Switches neurons off wherever the cpu is not; differences are far below."""


@dataclass(frozen=True)
class Program:
    """A program and the memory that it starts with.

    Attributes:
        lines: (a, b, c), at least 1, at most 32: cells, and a line or 32 to halt.
        memory: values of the cells, at least 1, at most 16, within +-99.

    Raises:
        LoopInputError: sizes, cells, lines or values that are not allowed.

    Examples:
        >>> from models.compiled import Program
        >>> Program(((0, 1, 1), (2, 1, 32)), (3, 5, 9)).run(n_steps=2)  # 5 - 3, then 2 - 9 is negative: halts
        (32, (3, -7, 9))
    """

    lines: tuple[tuple[int, int, int], ...]
    memory: tuple[int, ...]

    def __post_init__(self) -> None:
        for what, parts, most in (("lines", self.lines, N_LINES), ("cells of memory", self.memory, N_CELLS)):
            if not 1 <= len(parts) <= most:
                raise LoopInputError(f"got {len(parts)} {what}; allowed are 1..{most}")
        for value in self.memory:
            if not -LARGEST <= value <= LARGEST:
                raise LoopInputError(f"a cell has {value}; allowed are {-LARGEST}..{LARGEST}")
        n = len(self.memory)
        for line in self.lines:
            if len(line) != 3 or not (0 <= line[0] < n and 0 <= line[1] < n and 0 <= line[2] <= HALT):
                raise LoopInputError(
                    f"a line is {line}; allowed are (a, b, c) with cells 0..{n - 1} and a line 0..{HALT - 1}, or "
                    f"{HALT} to halt"
                )

    @classmethod
    def parse(cls, text: str) -> Program:
        """The program of ``"0 1 1; 2 1 32 | 3 5 9"``: lines, and behind the bar the memory.

        Raises:
            LoopInputError: text of another form; sizes, cells, lines or values that are not allowed.

        Examples:
            >>> from models.compiled import Program
            >>> Program.parse("0 1 1; 2 1 32 | 3 5 9").memory
            (3, 5, 9)
        """
        lines, bar, memory = text.partition("|")
        try:
            rows = [tuple(map(int, line.split())) for line in lines.split(";") if line.strip()]
            cells = tuple(map(int, memory.split()))
        except ValueError:
            rows, cells, bar = [], (), ""
        if not bar or any(len(row) != 3 for row in rows):
            raise LoopInputError(
                f"got {text[:60]!r}; allowed are lines of three numbers and the memory, such as '0 1 1; 2 1 32 | 3 5 9'"
            )
        return cls(cast("tuple[tuple[int, int, int], ...]", tuple(rows)), cells)

    def run(self, n_steps: int) -> tuple[int, tuple[int, ...]]:
        """Counter and memory after so many instructions, fewer if it halts."""
        counter, memory = 0, list(self.memory)
        for _ in range(n_steps):
            if counter >= len(self.lines):
                return HALT, tuple(memory)
            a, b, c = self.lines[counter]
            memory[b] = max(-LARGEST, min(LARGEST, memory[b] - memory[a]))
            counter = c if memory[b] <= 0 else counter + 1
        return counter, tuple(memory)


class MachineLoop(CompiledLoop):
    """Inputs are :class:`Program`; ``counter`` is a line or 32 (halted), at the cpu; ``value + 99`` is that of a cell.

    Examples:
        >>> from models.compiled import Program, make
        >>> loop = make("machine")
        >>> state, context = loop.begin(Program(((0, 1, 1), (2, 1, 32)), (3, 5, 9)))
        >>> for step in range(2):
        ...     state = loop.step(state, step, context)
        >>> codes = loop.codes(state, context)
        >>> int(codes["counter"][0, 1]), (codes["value"][0, 2:5] - 99).tolist()
        (32, [3, -7, 9])
    """

    name = "machine"
    about = "one instruction is executed"
    carried = ("counter", "value")
    factors = ("counter", "value")

    def wire(self) -> Wiring:
        """Three blocks of three heads."""
        widths = {
            "rest": 1,
            "cpu": 1,
            "cell": N_CELLS,
            "line": N_LINES,
            "a": N_CELLS,
            "b": N_CELLS,
            "c": N_LINES,
        }
        widths |= {"counter": N_LINES, "value": 1}
        widths |= {"now:a": N_CELLS, "now:b": N_CELLS, "now:c": N_LINES}
        widths |= {"minuend": 1, "subtrahend": 1, "change": 1, "jumps": 1, "next:a": N_CELLS}
        wiring = Wiring(3, widths)
        fits, rest, both = 2 * SHARPNESS, {"rest": SHARPNESS}, ("counter", "value")
        fetched = {"a": "now:a", "b": "now:b", "c": "now:c"}
        wiring.head(0, "fetch", fetched, {("counter", "line"): fits}, rest, breaks=both)
        wiring.twin(0, "fetch")
        wiring.head(1, "minuend", {"value": "minuend"}, {("now:b", "cell"): fits}, rest, breaks=("counter",))
        wiring.head(1, "subtrahend", {"value": "subtrahend"}, {("now:a", "cell"): fits}, rest, breaks=both)
        wiring.head(1, "prefetch", {"a": "next:a"}, {("now:c", "line"): fits}, rest, necessity="decoy")
        self._wire_difference(wiring)
        wiring.head(2, "store", {"change": "value"}, {("cell", "now:b"): fits}, rest, breaks=("value",))
        self._wire_counter(wiring)
        return wiring

    def _wire_difference(self, wiring: Wiring) -> None:
        limit = float(LARGEST)
        difference = {"minuend": 1.0, "subtrahend": -1.0, "cpu": _GATE}
        change = "change: the difference within +-99, less what b holds"
        wiring.neurons(1, change, 1, difference, {"change": 1.0}, bias=limit - _GATE)
        wiring.neurons(1, change, 1, difference, {"change": -1.0}, bias=-limit - _GATE)
        wiring.neurons(1, change, 1, {"cpu": 1.0}, {"change": -limit})
        for sign in (1.0, -1.0):
            wiring.neurons(1, change, 1, {"minuend": sign}, {"change": -sign})
        negative = {"minuend": -1.0, "subtrahend": 1.0, "cpu": _GATE}
        jumps = "jumps: the difference is not positive"
        for sign, bias in ((1.0, 1.0), (-1.0, 0.0)):
            wiring.neurons(1, jumps, 1, negative, {"jumps": sign}, bias=bias - _GATE)

    def _wire_counter(self, wiring: Wiring) -> None:
        # Without the second group, a line that both twins have fetched would count twice.
        for sign, bias in ((1.0, -2.0), (-1.0, -3.0)):
            reads = {"jumps": 2.0, "now:c": 1.0}
            wiring.neurons(2, "where it jumps, c", N_LINES, reads, {"counter": sign}, bias)
        following = torch.eye(N_LINES).roll(1, dims=1)
        following[-1] = 0.0
        reads = {"counter": 1.0, "jumps": -1.0}
        wiring.neurons(2, "where it does not, the next line", N_LINES, reads, {"counter": following})
        wiring.neurons(2, "erases the counter", N_LINES, {"counter": 1.0}, {"counter": -1.0})

    def readouts(self) -> dict[str, tuple[dict[str, Tensor], Tensor]]:
        """A line or none, and the nearest integer."""
        counter = torch.cat([torch.eye(N_LINES), torch.zeros(1, N_LINES)])
        halted = torch.zeros(N_LINES + 1)
        halted[HALT] = 0.5
        weights, bias = nearest_integer(torch.arange(-float(LARGEST), LARGEST + 1.0))
        return {"counter": ({"counter": counter}, halted), "value": ({"value": weights}, bias)}

    def facts_of(self, inputs: Any) -> dict[str, Tensor]:
        """``kind``, ``cell``, ``line``, ``a``, ``b``, ``c``, and ``memory`` (value + 99)."""
        programs = listed(inputs, Program)

        def at_cells(of_cells: Callable[[Program], Sequence[int]]) -> Tensor:
            return padded(
                [[-1, -1, *of_cells(program), *([-1] * len(program.lines))] for program in programs]
            )

        def at_lines(of_line: Callable[[int, tuple[int, int, int]], int]) -> Tensor:
            return padded(
                [
                    [-1, -1, *([-1] * len(program.memory)), *starmap(of_line, enumerate(program.lines))]
                    for program in programs
                ]
            )

        return {
            "kind": padded(
                [[_REST, _CPU, *([_CELL] * len(p.memory)), *([_LINE] * len(p.lines))] for p in programs]
            ),
            "cell": at_cells(lambda program: range(len(program.memory))),
            "memory": at_cells(lambda program: [value + LARGEST for value in program.memory]),
            "line": at_lines(lambda number, line: number),
            "a": at_lines(lambda number, line: line[0]),
            "b": at_lines(lambda number, line: line[1]),
            "c": at_lines(lambda number, line: line[2]),
        }

    def given(self, facts: Mapping[str, Tensor]) -> Tensor:
        """Addresses and operands."""
        stream = self.blank(facts)
        for slot, kind in (("rest", _REST), ("cpu", _CPU)):
            self.put_one_hot(stream, slot, torch.where(facts["kind"] == kind, 0, -1))
        for slot in ("cell", "line", "a", "b", "c"):
            self.put_one_hot(stream, slot, facts[slot])
        return stream

    def start(self, context: LoopContext) -> Symbols:
        """Line 0, and the memory as it was given."""
        kind, memory = context.facts["kind"], context.facts["memory"]
        return {
            "counter": torch.where(kind == _CPU, 0, HALT),
            "value": torch.where(kind == _CELL, memory, LARGEST),
        }

    def embed(self, symbols: Symbols, context: LoopContext) -> Tensor:
        """One dimension for every line, and one scalar."""
        stream = self.blank(context.facts)
        self.put_one_hot(stream, "counter", symbols["counter"])
        stream[..., self.slots["value"]] = (symbols["value"] - LARGEST)[..., None].to(stream)
        return stream

    def halted(self, state: Tensor, context: LoopContext) -> Tensor:
        """Bool [batch]: whether the counter names no line."""
        return (self.codes(state, context)["counter"] == HALT).all(-1)

    def oracle_step(self, symbols: Symbols, context: LoopContext, without: Collection[str] = ()) -> Symbols:
        """One instruction in every row."""
        facts, values = context.facts, symbols["value"] - LARGEST
        counter = symbols["counter"][:, 1]
        this_line = facts["line"] == counter[:, None]
        if "fetch" in without:
            this_line = torch.zeros_like(this_line)
        fetched = this_line.any(1)
        a, b, c = (torch.where(this_line, facts[name], 0).sum(1) for name in "abc")
        at_b = (facts["cell"] == b[:, None]) & fetched[:, None]
        minuend = torch.where(at_b, values, 0).sum(1)
        subtrahend = torch.where((facts["cell"] == a[:, None]) & fetched[:, None], values, 0).sum(1)
        minuend = torch.zeros_like(minuend) if "minuend" in without else minuend
        subtrahend = torch.zeros_like(subtrahend) if "subtrahend" in without else subtrahend
        difference = (minuend - subtrahend).clamp(-LARGEST, LARGEST)
        change = torch.zeros_like(difference) if "store" in without else difference - minuend
        after = torch.where(at_b, values + change[:, None], values)
        following = torch.where(difference <= 0, c, (counter + 1).clamp_max(HALT))
        following = torch.where(fetched, following, HALT)
        counters = torch.full_like(symbols["counter"], HALT)
        counters[:, 1] = following
        return {"counter": counters, "value": after.clamp(-LARGEST, LARGEST) + LARGEST}

    def scramble(self, context: LoopContext, generator: torch.Generator) -> Symbols:
        """Any line, and any value in every cell."""
        kind = context.facts["kind"]
        counter = torch.randint(0, HALT + 1, kind.shape, generator=generator)
        value = torch.randint(0, 2 * LARGEST + 1, kind.shape, generator=generator)
        return {
            "counter": torch.where(kind == _CPU, counter, HALT),
            "value": torch.where(kind == _CELL, value, LARGEST),
        }

    def may_change(self, context: LoopContext) -> Tensor:
        """The cpu and the cells."""
        return (context.facts["kind"] == _CPU) | (context.facts["kind"] == _CELL)

    def tokens(self, inputs: Any) -> list[list[str]]:
        """``@``, ``cpu``, cells such as ``[0]``, lines such as ``0: 1 2 32``."""
        return [
            [
                "@",
                "cpu",
                *(f"[{cell}]" for cell in range(len(program.memory))),
                *(f"{line}: {a} {b} {c}" for line, (a, b, c) in enumerate(program.lines)),
            ]
            for program in listed(inputs, Program)
        ]

    def sample(self, n: int, seed: int = 0) -> list[Program]:
        """Programs of 1 to 32 lines on 1 to 16 cells; jumps are forward half the time, so that some run on."""
        generator = torch.Generator().manual_seed(seed)

        def below(bound: int) -> int:
            return int(torch.randint(0, bound, (), generator=generator))

        programs: list[Program] = []
        for _ in range(n):
            n_lines, n_cells = 1 + below(N_LINES), 1 + below(N_CELLS)
            lines = tuple(
                (
                    below(n_cells),
                    below(n_cells),
                    below(HALT + 1) if below(2) else min(line + 1 + below(3), HALT),
                )
                for line in range(n_lines)
            )
            programs.append(Program(lines, tuple(below(41) - 20 for _ in range(n_cells))))
        return programs

    def parse(self, texts: Sequence[str]) -> list[Program]:
        """As :meth:`Program.parse`."""
        return [Program.parse(text) for text in texts]

    def changed(self, given: Program, generator: torch.Generator) -> Program:
        """One cell with another value."""
        at, other = drawn(len(given.memory), generator), drawn(2 * LARGEST, generator) - LARGEST
        value = other + (other >= given.memory[at])
        return replace(given, memory=(*given.memory[:at], value, *given.memory[at + 1 :]))

    def n_steps(self, inputs: Any) -> int:
        """64: a program need not halt."""
        listed(inputs, Program)
        return 64
