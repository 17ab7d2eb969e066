"""The operations of the task, one record each; everything that an operation means or is called derives from it.

To add an operation, add its record to :data:`OPERATIONS`, at the end: the order is that of every vocabulary, and of
everything that is listed. Parser, formatter, oracles, sampling, training targets, compiled weights, Fourier analyses,
commands and pages know it from there. Nothing here needs numpy or torch.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

Value = TypeVar("Value")
"""An int, a numpy array or a torch tensor of whole numbers."""
CharacterKind = Literal["additive", "multiplicative"]


@dataclass(frozen=True)
class Operation:
    """One operation between two values modulo m; an equation applies its operations from left to right.

    Attributes:
        name: upper case, a word of the grammar; the symbol in vocabularies, the name in texts, commands and pages.
        function: of a left and a right value in 0..m-1, element by element: ints, numpy arrays or torch tensors, of
            one and the same kind. Its result is reduced modulo m by who calls it.
        words: other words for it. Words, the name among them, are read in any case, and no node can have one as name.
        symbols: signs for it, as messages show them. A letter among them is the operation only where one is due, and
            a name elsewhere.
        lookalikes: more signs for it, that messages leave out.
        identity: the right value that leaves every left one as it is; None where there is none.
        characters: the waves that turn it into a product: ``additive`` (of the values), ``multiplicative`` (of their
            discrete logarithms), or None where no waves do; see :mod:`interp.fourier_analysis.characters`.
        sign: with which it adds the phase of its right value, where it has characters.
    """

    name: str
    function: Callable[[Any, Any], Any]
    words: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    lookalikes: tuple[str, ...] = ()
    identity: int | None = None
    characters: CharacterKind | None = None
    sign: Literal[1, -1] = 1

    def __call__(self, left: Value, right: Value) -> Value:
        """The result, not yet reduced modulo m; arguments as for ``function``."""
        return self.function(left, right)

    @property
    def spelling(self) -> str:
        """For messages: the name, and its symbols in brackets."""
        return f"{self.name} ({', '.join(self.symbols)})" if self.symbols else self.name


def _maximum(left: Any, right: Any) -> Any:
    return left + (right > left) * (right - left)


class Operations(Mapping[str, Operation]):
    """Operations by name, in their canonical order, and by everything else that stands for one in a text.

    Attributes:
        words: word in lower case -> name of the operation.
        symbols: sign, in lower case where it is a letter -> name of the operation.
    """

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._records: dict[str, Operation] = {}
        self.words: dict[str, str] = {}
        self.symbols: dict[str, str] = {}
        for operation in operations:
            self.register(operation)

    def __getitem__(self, name: str) -> Operation:
        return self._records[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def register(self, operation: Operation) -> None:
        """Add an operation behind those that are there, in this process.

        Raises:
            ValueError: a name, word or symbol that a text cannot have or that another operation has.
        """
        words = [word.lower() for word in (operation.name, *operation.words)]
        symbols = [symbol.lower() for symbol in (*operation.symbols, *operation.lookalikes)]
        for word in words:
            if not re.fullmatch(r"[^\W\d_]\w+", word) or operation.name != operation.name.upper():
                raise ValueError(
                    f"the operation {operation.name!r} has the word {word!r}; allowed: an upper-case name, and words "
                    "of two or more letters, digits and '_' that begin with a letter"
                )
        for symbol in symbols:
            if not re.fullmatch(r"[^\W\d_]|[^\w\s=<>→⇒⟶;,()\[\]{}]+", symbol):
                raise ValueError(
                    f"the operation {operation.name} has the symbol {symbol!r}; allowed: one letter, or signs that "
                    "are no arrow, separator or bracket"
                )
        taken = {**self.words, **self.symbols}
        for spelling in (*words, *symbols):
            if owner := taken.get(spelling):
                raise ValueError(
                    f"the operation {operation.name} has the spelling {spelling!r}, which {owner} has; "
                    "allowed: spellings of its own"
                )
        self._records[operation.name] = operation
        self.words |= dict.fromkeys(words, operation.name)
        self.symbols |= dict.fromkeys(symbols, operation.name)

    @contextmanager
    def registered(self, operation: Operation) -> Generator[Operation]:
        """As `register`, for the time of a ``with`` block."""
        self.register(operation)
        try:
            yield operation
        finally:
            del self._records[operation.name]
            for spellings in (self.words, self.symbols):
                for spelling in [key for key, owner in spellings.items() if owner == operation.name]:
                    del spellings[spelling]

    def listed(self) -> str:
        """Names and symbols in one sentence: ``ADD (+), SUB (-) and ...``."""
        spellings = [operation.spelling for operation in self.values()]
        return " and ".join([*([", ".join(spellings[:-1])] if spellings[1:] else []), spellings[-1]])

    def ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of these names that are operations, each once, in the canonical order."""
        given = set(names)
        return tuple(name for name in self if name in given)


OPERATIONS: Final = Operations(
    (
        Operation("ADD", operator.add, ("PLUS",), ("+",), identity=0, characters="additive"),
        Operation(
            "SUB", operator.sub, ("MINUS",), ("-",), ("−", "–"), identity=0, characters="additive", sign=-1
        ),
        Operation(
            "MUL",
            operator.mul,
            ("TIMES",),
            ("*", "×", "·", "x"),
            ("⋅", "∗", "✕"),
            identity=1,
            characters="multiplicative",
        ),
        Operation("MAX", _maximum, identity=0),
    )
)
"""The operations of the task, in their canonical order; each is followed by a reduction modulo m."""


def apply_operations(
    operations: Sequence[str | Callable[[Any, Any], Any]], values: Sequence[Value], modulus: int
) -> Value:
    """``values`` joined by ``operations`` from left to right, reduced modulo ``modulus`` after each.

    operations: names, or functions as :attr:`Operation.function` is one. values: one more than operations; each in
    0..modulus-1: ints, or arrays or tensors of equal shapes.

    Examples:
        >>> from models.operations import apply_operations
        >>> apply_operations(("ADD", "SUB"), (20, 5, 4), 23)
        21
    """
    total: Any = values[0]
    for operation, value in zip(operations, values[1:], strict=True):
        function = OPERATIONS[operation] if isinstance(operation, str) else operation
        total = function(total, value) % modulus
    return total
