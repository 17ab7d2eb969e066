"""Text and token ids for TransformerLens's utilities.

Two kinds of id share one number line: ids below ``d_vocab`` are single symbols (rows of ``W_E``, columns of
``W_U``), ids from ``d_vocab`` on are whole positions, the four factors packed into one number. So ``tokens``
is [batch, pos] everywhere, and an id never has two meanings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.graph import ComputationGraph
from models.vocabulary import FACTORS, EncodedGraphs, FactoredVocabulary

ModelInput = ComputationGraph | Sequence[ComputationGraph] | EncodedGraphs | str | Tensor
"""What a model accepts: graphs, encoded graphs, the text of one graph, or packed ids int [batch, pos] of a
state.
"""


class TokenAccess:
    """``to_tokens``, ``to_string``, ``to_str_tokens``, ``to_single_token``,
    ``tokens_to_residual_directions``.
    """

    if TYPE_CHECKING:

        @property
        def vocabulary(self) -> FactoredVocabulary: ...

        @property
        def W_U(self) -> Tensor: ...

    def to_encoded(
        self, graphs: ComputationGraph | Sequence[ComputationGraph] | EncodedGraphs | str
    ) -> EncodedGraphs:
        """Graphs, or the text of one graph, with the positions of their nodes.

        Raises:
            GraphError: text that is no graph, or a graph outside the vocabulary.
            TypeError: anything else.
        """
        if isinstance(graphs, EncodedGraphs):
            return graphs
        if isinstance(graphs, str):
            graphs = ComputationGraph.parse(
                graphs, modulus=self.vocabulary.modulus, n_variables=self.vocabulary.n_variables
            )
        if isinstance(graphs, ComputationGraph):
            return self.vocabulary.encode([graphs])
        if isinstance(graphs, Tensor):
            raise TypeError(
                "expected graphs, got a tensor of packed ids, which does not say where the nodes are"
            )
        return self.vocabulary.encode(list(graphs))

    def to_tokens(self, input: ModelInput, prepend_bos: bool = False) -> Int[Tensor, "batch pos"]:
        """Packed ids of the state that enters step 0; packed ids are returned as they are.

        Raises:
            ValueError: a tensor of another shape or with ids outside the vocabulary; ``prepend_bos`` (there
                is no BOS).
        """
        if prepend_bos:
            raise ValueError("this vocabulary has no BOS token; leave prepend_bos=False")
        if not isinstance(input, Tensor):
            return self.to_encoded(input).packed
        if input.ndim != 2 or input.is_floating_point():
            raise ValueError(
                f"expected packed ids, int [batch, pos], got {input.dtype} of shape {tuple(input.shape)}; "
                "pack a state [batch, pos, factor] with vocabulary.pack"
            )
        return input

    def to_str_tokens(self, input: ModelInput, prepend_bos: bool = False) -> list[str] | list[list[str]]:
        """The text of every position: a list for one graph, a list of lists for several; 1-D ids are
        allowed.
        """
        if isinstance(input, Tensor) and input.ndim < 2:
            return [self._id_string(int(token)) for token in input.flatten()]
        ids = self.to_tokens(input, prepend_bos)
        if bool((ids >= self.vocabulary.d_vocab).all()):
            rows = self.vocabulary.token_strings(self.vocabulary.unpack(ids))
        else:
            rows = [[self._id_string(int(t)) for t in row] for row in ids]
        return rows[0] if len(rows) == 1 else rows

    def to_string(self, tokens: Tensor | Sequence[int] | int) -> str | list[str]:
        """Text of ids: one string, or one per row of [batch, pos]."""
        ids = torch.as_tensor(tokens)
        if ids.ndim == 2:
            return [" ".join(self._id_string(int(t)) for t in row) for row in ids]
        return " ".join(self._id_string(int(t)) for t in ids.flatten())

    def to_single_token(self, symbol: str) -> int:
        """Index of one symbol in ``W_U``: ``"x_7"``, ``"ADD"``, ``"13"``, ``"EMPTY"``, or ``"factor:symbol"``
        (``"value:N/A"``).

        Raises:
            ValueError: no such symbol, or one that several factors have.
        """
        factor, colon, name = symbol.partition(":")
        candidates = [factor] if colon and factor in FACTORS else list(FACTORS)
        wanted = name if colon and factor in FACTORS else symbol
        found = [f for f in candidates if wanted in self.vocabulary.symbols(f)]
        if len(found) == 1:
            return self.vocabulary.slice(found[0]).start + self.vocabulary.symbols(found[0]).index(wanted)
        if found:
            raise ValueError(
                f"{symbol!r} is a symbol of {found}; say which, as in {found[0] + ':' + wanted!r}"
            )
        raise ValueError(
            f"{symbol!r} is no symbol of {candidates}; examples are 'x_7', 'ADD', '13', 'EMPTY', 'value:N/A'"
        )

    def tokens_to_residual_directions(self, tokens: str | int | Tensor) -> Float[Tensor, "*shape d_model"]:
        """The readout direction (column of ``W_U``) of single symbols, given by name or by index."""
        if isinstance(tokens, str):
            tokens = self.to_single_token(tokens)
        ids = torch.as_tensor(tokens)
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary.d_vocab:
            raise ValueError(
                f"residual directions exist for the {self.vocabulary.d_vocab} single symbols "
                f"(columns of W_U), got ids {int(ids.min())}..{int(ids.max())}; "
                "packed ids of whole positions have no direction of their own"
            )
        return self.W_U.T[ids]

    @property
    def tokenizer(self) -> Decoder:
        """An object with ``decode(ids)``, which TransformerLens's result tables ask for."""
        return Decoder(self)

    def _id_string(self, token: int) -> str:
        if token < self.vocabulary.d_vocab:
            for factor in FACTORS:
                part = self.vocabulary.slice(factor)
                if part.start <= token < part.stop:
                    return self.vocabulary.symbols(factor)[token - part.start]
        return self.vocabulary.token_strings(self.vocabulary.unpack(torch.tensor([[token]])))[0][0]


class Decoder:
    """``decode(ids) -> text`` over a model's symbols and packed ids."""

    def __init__(self, model: TokenAccess) -> None:
        self._model = model

    def decode(self, ids: Sequence[int]) -> str:
        """The ids' texts, joined by blanks."""
        return str(self._model.to_string(list(ids)))
