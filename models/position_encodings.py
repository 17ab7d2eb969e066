"""How a model may know where a token stands, one record each; weights, scores, what may be resumed and memory derive
from it.

To add one, add its record to :data:`POSITIONS`, and its module, if it has any, to :mod:`models.positions`. Nothing here
needs torch before a model is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from models.config import RecurrentConfig

Part = Literal["scores", "shared", "added"]


@dataclass(frozen=True)
class PositionEncoding:
    """One way (Altabaa et al. 2025). Modules are names in :mod:`models.positions`; "": it has none.

    Attributes:
        name: the value of ``cfg.positions``.
        about: what it is, in a few words.
        scores: of every layer: what is added to the scaled scores, a :class:`models.positions.Scores`.
        shared: what the layers share to make scores of.
        added: what is added to what enters a step.
        rotates: whether queries and keys turn with their position, pair by pair of their dimensions.
        by_distance: whether positions are told by distance or not at all, so that the end of a step can be computed
            from the keys and values of its beginning, and a causal model resumed within a step.
        limited: whether it is learned for ``cfg.n_ctx`` positions.
        terms: how many products the scores are sums of; they are scaled by ``1 / sqrt(terms * d_head)``.
        pair_floats: numbers that a head holds in memory for each pair of positions, besides its scores.
        transformer_lens: what TransformerLens calls it, ``cfg.positional_embedding_type``.
    """

    name: str
    about: str
    scores: str = ""
    shared: str = ""
    added: str = ""
    rotates: bool = False
    by_distance: bool = False
    limited: bool = False
    terms: int = 1
    pair_floats: int = 0
    transformer_lens: str = "none"

    def module(self, part: Part, cfg: RecurrentConfig) -> Any:
        """Its module of a part for a configuration; None where it has none."""
        name: str = getattr(self, part)
        return getattr(import_module("models.positions"), name)(cfg) if name else None


POSITIONS: Final = {
    record.name: record
    for record in (
        PositionEncoding(
            "deberta",
            "disentangled relative attention",
            scores="Disentangled",
            shared="RelativeEmbedding",
            terms=3,
            pair_floats=8,
        ),
        PositionEncoding(
            "relative_bias", "one learned number per head and distance", "RelativeBias", by_distance=True
        ),
        PositionEncoding("rotary", "queries and keys that turn", rotates=True, transformer_lens="rotary"),
        PositionEncoding(
            "absolute",
            "a learned vector per position",
            added="AbsoluteEmbedding",
            limited=True,
            transformer_lens="standard",
        ),
        PositionEncoding("none", "positions are not told", by_distance=True),
    )
}
"""By name, in the order in which they are listed."""


def resumable_positions() -> list[str]:
    """Names of those with which a causal model can be resumed within a step."""
    return [name for name, record in POSITIONS.items() if record.by_distance]
