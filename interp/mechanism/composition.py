"""How much the heads of one layer feed the queries, keys and values of a later one, from the weights alone.

    score(A, B) = ||W_A W_B||_F / (||W_A||_F ||W_B||_F)

with W_A = W_V W_O of the earlier head and W_B = W_Q W_K^T (Q-composition), its transpose (K) or W_V W_O (V) of the
later head, row vectors (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; computed by
TransformerLens's ``composition_scores``). Chance: a random rotation between the two, W_A R W_B, which keeps the
singular values of both; its root mean square is 1 / sqrt(d_model) for any two matrices, and its spread shows how few
directions they use.

Biases are not in it: a key that is asked for by a query's bias alone has no score. Within one step: in a discrete model
what one step hands to the next is symbols, not a residual stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from transformer_lens.FactoredMatrix import FactoredMatrix
from transformer_lens.utilities.matrix import composition_scores

from interp.mechanism.head_circuits import head_circuits
from interp.statistics.chance import AgainstChance, Floats, check_draws, random_basis
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

MODES: Final = ("Q", "K", "V")


@one_line
@dataclass(frozen=True, eq=False)
class Composition:
    """Attributes:
    scores: [mode, earlier layer, earlier head, later layer, later head], modes as :data:`MODES`; nan where the later
        layer is not later, or where a head's weights are zero.
    fold_norm: as given.
    """

    scores: AgainstChance
    fold_norm: bool

    def between(self, earlier: int, later: int, mode: str) -> AgainstChance:
        """[earlier head, later head] of two layers; raises ValueError for a mode or layers there are not."""
        n_layers = self.scores.value.shape[1]
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; allowed are {', '.join(MODES)}")
        if not 0 <= earlier < later < n_layers:
            raise ValueError(
                f"layers {earlier} and {later}; allowed: an earlier and a later one of {n_layers}"
            )
        return self.scores.at(MODES.index(mode), earlier, slice(None), later)

    def to_frame(self) -> pd.DataFrame:
        """Columns ``mode, earlier_layer, earlier_head, layer, head, score, chance, sd, z``; a line for every score."""
        found = ~np.isnan(self.scores.value)
        index = np.nonzero(found)
        columns: dict[str, Any] = {"mode": np.array(MODES)[index[0]]}
        names = ("earlier_layer", "earlier_head", "layer", "head")
        columns |= dict(zip(names, index[1:], strict=True))
        for name, values in (
            ("score", self.scores.value),
            ("chance", self.scores.mean),
            ("sd", self.scores.sd),
            ("z", self.scores.z),
        ):
            columns[name] = values[found]
        return pd.DataFrame(columns)

    def figure(self) -> go.Figure:
        """Earlier head x later head for Q, K and V: score over chance."""
        from interp.mechanism.subspaces_figure import composition_figure

        return composition_figure(self)


@torch.no_grad()
def head_composition(
    model: RecurrentTransformer, seed: int = 0, draws: int = 50, fold_norm: bool = True
) -> Composition:
    """Composition scores of all heads of earlier layers with all heads of later ones.

    fold_norm: see :mod:`interp.mechanism.head_circuits`; TransformerLens's own scores are without.

    Raises:
        ValueError: fewer than 2 draws.
    """
    check_draws(draws)
    circuits = head_circuits(model, fold_norm)
    writing = FactoredMatrix(circuits.W_V, circuits.W_O)
    attending = FactoredMatrix(circuits.W_Q, circuits.W_K.mT)
    reading = dict(zip(MODES, (attending, attending.T, writing), strict=True))
    rng, d_model = np.random.default_rng(seed), model.cfg.d_model
    rotations = [random_basis(d_model, d_model, rng) for _ in range(draws)]
    value = np.stack([composition_scores(writing, reading[mode]).numpy() for mode in MODES])
    drawn = np.stack([_rotated(writing, reading[mode], rotations) for mode in MODES], axis=1)
    layers = np.arange(model.cfg.n_layers)
    unordered = (layers[:, None] >= layers)[:, None, :, None]
    for scores in (value, drawn):
        scores[np.broadcast_to(unordered, scores.shape)] = np.nan
    return Composition(AgainstChance(value, drawn), fold_norm)


def _rotated(left: FactoredMatrix, right: FactoredMatrix, rotations: list[Floats]) -> Floats:
    """[draw, earlier layer, earlier head, later layer, later head] with a rotation between the two."""
    # S V^T and U S of the singular value decompositions: the other factor does not change the norm of a product.
    before = left.collapse_l().numpy()  # [layer, head, d_head, d_model]
    after = right.collapse_r().numpy()  # [layer, head, d_model, d_head]
    n_layers, n_heads, d_head, d_model = before.shape
    with np.errstate(invalid="ignore"):
        before = before / np.linalg.norm(before, axis=(-2, -1), keepdims=True)
        after = after / np.linalg.norm(after, axis=(-2, -1), keepdims=True)
    rows = before.reshape(-1, d_model)
    columns = after.transpose(2, 0, 1, 3).reshape(d_model, -1)
    pairs = (n_layers, n_heads, d_head) * 2
    products = ((rows @ rotation @ columns).reshape(pairs) for rotation in rotations)
    return np.stack([np.sqrt((product**2).sum((2, 5))) for product in products])
