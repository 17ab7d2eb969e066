"""Text as the task of a language model: its tokenizer says what inputs and positions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.loop.protocol import LoopedError
from models.one_line import one_line


@one_line
@dataclass(frozen=True)
class TextTask:
    """Texts through a tokenizer, and symbols that are its tokens.

    Attributes:
        tokenizer: of `transformers`: called with texts it gives ``input_ids`` and ``attention_mask``, [batch, pos].
        texts: what :meth:`sample` draws from.

    Examples:
        >>> from interp import TextTask
        >>> class Letters:
        ...     def __call__(self, texts, **options):
        ...         return {"input_ids": torch.tensor([[ord(letter) - 97 for letter in text] for text in texts])}
        ...     def convert_ids_to_tokens(self, ids):
        ...         return [chr(97 + index) for index in ids]
        >>> task = TextTask(Letters())
        >>> task.tokens(task.parse(["loop", "read"]))[1]
        ['r', 'e', 'a', 'd']
    """

    tokenizer: Any
    texts: tuple[str, ...] = ()

    def parse(self, texts: Sequence[str]) -> Any:
        """What the tokenizer gives, padded to the longest text."""
        return self.tokenizer(list(texts), return_tensors="pt", padding=len(texts) > 1)

    def sample(self, n: int, seed: int = 0) -> Any:
        """``n`` of the texts, drawn without repeats.

        Raises:
            LoopedError: fewer texts than that.
        """
        if not 1 <= n <= len(self.texts):
            raise LoopedError(f"n is {n}; this task has {len(self.texts)} texts (TextTask(tokenizer, texts))")
        order = torch.randperm(len(self.texts), generator=torch.Generator().manual_seed(seed))
        return self.parse([self.texts[int(place)] for place in order[:n]])

    def tokens(self, inputs: Any) -> list[list[str]]:
        """Tokens at every position, a list for every row."""
        return [self.tokenizer.convert_ids_to_tokens([*map(int, row)]) for row in self._ids(inputs)]

    def labels(self, inputs: Any) -> pd.DataFrame:
        """A line per position, no padding: ``row``, ``pos``, ``token`` (its id), ``next`` (of the next one, or -1)."""
        ids = self._ids(inputs)
        mask = (
            torch.ones_like(ids)
            if isinstance(inputs, Tensor)
            else inputs.get("attention_mask", torch.ones_like(ids))
        )
        row, pos = mask.nonzero(as_tuple=True)
        following = torch.nn.functional.pad(ids * mask + mask - 1, (0, 1), value=-1)[:, 1:]
        columns = {"row": row, "pos": pos, "token": ids[row, pos], "next": following[row, pos]}
        return pd.DataFrame({name: column.numpy() for name, column in columns.items()})

    def symbols(self, factor: str) -> list[str]:
        """Tokens in the order of their ids, whichever the factor."""
        return self.tokenizer.convert_ids_to_tokens([*range(len(self.tokenizer))])

    def _ids(self, inputs: Any) -> Tensor:
        return inputs if isinstance(inputs, Tensor) else inputs["input_ids"]
