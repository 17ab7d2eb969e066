"""Running parity: one position more is right after every step.

The text is ``^ b p b p ...``: a start, and for every bit ``b`` a place ``p`` for the parity of all bits so far.

    head bit        looks 1 back and copies the bit
    head previous   looks 2 back and copies the parity before it; it has a twin
    head latest     a decoy: looks at the latest 1 and copies it where nothing reads it
    MLP             erases the parity and writes ``previous xor bit``, a table of 4; 0 at the start

A parity whose predecessor is not known becomes unknown, so what is wrong is put right from the start on, position by
position.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from models.compiled.form import LoopInputError, Symbols, drawn
from models.compiled.loop import CompiledLoop, LoopContext, integers, padded
from models.compiled.wiring import SHARPNESS, Wiring

UNKNOWN: Final = 2
"""The symbol of a parity that is not known."""

_START, _BIT, _ANSWER = range(3)
_REACH = 128
"""Positions within which the decoy ranks what it looks at."""


class ParityLoop(CompiledLoop):
    """Inputs are texts of 0 and 1; ``parity`` is 0, 1 or 2 (unknown), and counts where a ``p`` stands.

    Examples:
        >>> from models.compiled import make
        >>> loop = make("parity")
        >>> state, context = loop.begin(["110"])
        >>> for step in range(3):
        ...     state = loop.step(state, step, context)
        >>> loop.codes(state, context)["parity"][0, 2::2].tolist()
        [1, 0, 0]
    """

    name = "parity"
    about = "one position more gets the parity of all bits so far"
    carried = ("parity",)
    factors = ("parity",)

    def wire(self) -> Wiring:
        """One block of four heads."""
        widths = {"start": 1, "bit": 2, "parity": 2, "this": 2, "previous": 2, "latest": 2}
        wiring = Wiring(1, widths, "causal", position_window=_REACH)
        wiring.head(0, "bit", {"bit": "this"}, offset=1, breaks=("parity",))
        wiring.head(0, "previous", {"parity": "previous"}, offset=2, breaks=("parity",))
        wiring.twin(0, "previous")
        wiring.head(
            0,
            "latest",
            {"bit": "latest"},
            prefers={"bit": torch.tensor([0.0, SHARPNESS * _REACH])},
            distances={distance: -SHARPNESS * distance for distance in range(_REACH)},
            necessity="decoy",
        )
        bit, previous = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
        reads = {"this": 2.0 * _one_hot(bit).T, "previous": _one_hot(previous).T}
        # Without the second group, a parity that both twins have written would count twice.
        for sign, bias in ((1.0, -2.0), (-1.0, -3.0)):
            writes = {"parity": sign * _one_hot(bit ^ previous)}
            wiring.neurons(0, "previous xor bit", 4, reads, writes, bias, kind="table")
        wiring.neurons(0, "erases the parity", 2, {"parity": 1.0}, {"parity": -1.0})
        wiring.neurons(0, "parity 0 at the start", 1, {"start": 1.0}, {"parity": torch.tensor([[1.0, 0.0]])})
        return wiring

    def readouts(self) -> dict[str, tuple[dict[str, Tensor], Tensor]]:
        """Three symbols."""
        known = torch.cat([torch.eye(2), torch.zeros(1, 2)])
        return {"parity": ({"parity": known}, torch.tensor([0.0, 0.0, 0.5]))}

    def facts_of(self, inputs: Any) -> dict[str, Tensor]:
        """``kind``: 0 start, 1 bit, 2 answer; ``bit``."""
        texts = _checked(inputs)
        return {
            "kind": padded([[_START, *[_BIT, _ANSWER] * len(text)] for text in texts]),
            "bit": padded([[-1, *(value for bit in text for value in (int(bit), -1))] for text in texts]),
        }

    def given(self, facts: Mapping[str, Tensor]) -> Tensor:
        """The start and the bits."""
        stream = self.blank(facts)
        self.put_one_hot(stream, "start", torch.where(facts["kind"] == _START, 0, -1))
        self.put_one_hot(stream, "bit", facts["bit"])
        return stream

    def start(self, context: LoopContext) -> Symbols:
        """Nothing is known but that the start is even."""
        return {"parity": torch.where(context.facts["kind"] == _START, 0, UNKNOWN)}

    def embed(self, symbols: Symbols, context: LoopContext) -> Tensor:
        """One dimension for each parity."""
        stream = self.blank(context.facts)
        self.put_one_hot(stream, "parity", symbols["parity"])
        return stream

    def oracle_step(self, symbols: Symbols, context: LoopContext, without: Collection[str] = ()) -> Symbols:
        """``previous xor bit`` at every answer."""
        kind, parity = context.facts["kind"], symbols["parity"]
        bit = context.facts["bit"].roll(1, dims=1)
        previous = parity.roll(2, dims=1)
        known = (kind == _ANSWER) & (previous != UNKNOWN)
        if {"bit", "previous"} & set(without):
            known = torch.zeros_like(known)
        return {"parity": torch.where(known, previous ^ bit, self.start(context)["parity"])}

    def scramble(self, context: LoopContext, generator: torch.Generator) -> Symbols:
        """Any symbol at every answer."""
        kind = context.facts["kind"]
        anything = torch.randint(0, 3, kind.shape, generator=generator)
        return {"parity": torch.where(kind == _ANSWER, anything, self.start(context)["parity"])}

    def may_change(self, context: LoopContext) -> Tensor:
        """The answers."""
        return context.facts["kind"] == _ANSWER

    def tokens(self, inputs: Any) -> list[list[str]]:
        """``^``, then every bit and a ``p``."""
        return [["^", *(token for bit in text for token in (bit, "p"))] for text in _checked(inputs)]

    def sample(self, n: int, seed: int = 0) -> list[str]:
        """Texts of 1 to 64 bits."""
        generator = torch.Generator().manual_seed(seed)
        lengths = integers(torch.randint(1, 65, (n,), generator=generator))
        return [
            "".join(map(str, integers(torch.randint(0, 2, (length,), generator=generator))))
            for length in lengths
        ]

    def changed(self, given: str, generator: torch.Generator) -> str:
        """One bit flipped."""
        at = drawn(len(given), generator)
        return f"{given[:at]}{1 - int(given[at])}{given[at + 1 :]}"

    def n_steps(self, inputs: Any) -> int:
        """As many as the longest text has bits."""
        return max(map(len, _checked(inputs)))


def _one_hot(symbols: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(symbols, 2).float()


def _checked(inputs: Any) -> list[str]:
    texts: Sequence[Any] = [inputs] if isinstance(inputs, str) else list(inputs)
    wrong = [text for text in texts if not isinstance(text, str) or not text or set(text) - set("01")]
    if wrong or not texts:
        given = repr(wrong[0])[:60] if wrong else "an empty list"
        raise LoopInputError(
            f"got {given}; allowed are texts of one or more of the characters 0 and 1, such as ['0110']"
        )
    return list(texts)
