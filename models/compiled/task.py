"""What is known of a compiled loop's inputs: which positions answer, what, and after how many steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from models.compiled.graph_loop import GraphLoop
from models.compiled.loop import CompiledLoop, integers


class CompiledTask:
    """Inputs of a compiled loop with their labels, from its symbolic step alone.

    Examples:
        >>> from models.compiled import CompiledTask, make
        >>> task = CompiledTask(make("parity"))
        >>> task.levels(["110"]).tolist()  # the step after which a parity is known, at every p
        [[-1, -1, 1, -1, 2, -1, 3]]
    """

    def __init__(self, loop: CompiledLoop | GraphLoop) -> None:
        self.loop: Any = loop

    def sample(self, n: int, seed: int = 0) -> list[Any]:
        """``n`` random inputs."""
        return self.loop.sample(n, seed)

    def parse(self, texts: Sequence[str]) -> list[Any]:
        """Inputs of their texts.

        Raises:
            LoopInputError: text that is no input of this loop.
        """
        return self.loop.parse(texts)

    def corrupt(self, inputs: Sequence[Any], seed: int = 0) -> list[Any]:
        """Every input with one thing changed: a bit, an edge, a weight, a cell, a leaf.

        Raises:
            LoopInputError: an input in which there is nothing to change.
        """
        generator = torch.Generator().manual_seed(seed)
        return [self.loop.changed(given, generator) for given in inputs]

    def tokens(self, inputs: Any) -> list[list[str]]:
        """The text at every position, a list for every row."""
        return self.loop.tokens(inputs)

    def oracle_step(self, codes: Mapping[str, Tensor], inputs: Any) -> dict[str, Tensor]:
        """What should follow: factor -> int [batch, pos]."""
        return dict(self.loop.oracle_step(codes, self.loop.begin(inputs)[1]))

    def run(self, inputs: Any) -> dict[str, Tensor]:
        """Factor -> int [state, batch, pos], until nothing changes, at most ``n_steps`` steps."""
        _, context = self.loop.begin(inputs)
        states = [self.loop.start(context)]
        for _ in range(self.loop.n_steps(inputs)):
            following = self.loop.oracle_step(states[-1], context)
            if all(torch.equal(following[factor], states[-1][factor]) for factor in following):
                break
            states.append(following)
        return {factor: torch.stack([state[factor] for state in states]) for factor in states[0]}

    def answers(self, inputs: Any) -> Tensor:
        """Bool [batch, pos]: positions whose symbols a step can write."""
        _, context = self.loop.begin(inputs)
        return self.loop.may_change(context)

    def levels(self, inputs: Any) -> Tensor:
        """Int [batch, pos]: the step from which on an answer's symbols are those that it ends with, else -1.

        0 where they are so from the beginning.
        """
        states = self.run(inputs)
        wrong = torch.stack(
            [(codes != codes[-1]).flip(0).cummax(0).values.flip(0) for codes in states.values()]
        )
        return torch.where(self.answers(inputs), wrong.any(0).sum(0), -1)

    def labels(self, inputs: Any) -> pd.DataFrame:
        """A line an answer: ``row``, ``pos``, ``token``, ``level``, and each factor's symbol in the end."""
        states, levels, tokens = self.run(inputs), self.levels(inputs), self.tokens(inputs)
        row, pos = self.answers(inputs).nonzero(as_tuple=True)
        places = list(zip(integers(row), integers(pos), strict=True))
        columns: dict[str, Any] = {"row": integers(row), "pos": integers(pos)}
        columns |= {"token": [tokens[r][p] for r, p in places], "level": integers(levels[row, pos])}
        columns |= {factor: integers(codes[-1, row, pos]) for factor, codes in states.items()}
        return pd.DataFrame(columns)
