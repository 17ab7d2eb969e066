"""Factor subspaces: which factor every head reads and writes, from the weights alone.

P_f projects on the span of factor f's embeddings. For a head's OV circuit, row vectors (see
:mod:`interp.mechanism.head_circuits`),

    norm   largest singular value of P_f W_V W_O P_g: what a unit vector of f becomes, in g, at most
    gain   ||P_f W_V W_O P_g||_F / sqrt(rank f): the same, root mean square over unit vectors of f

f = g is the paper's "norm amplification" (Altabaa et al. 2025, mechanism study). Here also f read and anything written
(``everything``, the identity), f read and g written, and g the readout of a factor: the span of its columns of W_U. For
a QK circuit f is the query's and g the key's factor, norm the largest score of two unit vectors and gain
``||.||_F / sqrt(rank f rank g)``.

The span. As in the paper it goes through the origin (``centred`` takes the mean embedding away: then only what tells
symbols apart is left, and not what they share). Where a factor has as many symbols as the model has dimensions, its
span is the whole space and says nothing, so P_f has the smallest number of principal directions that hold ``share`` of
the embeddings' squared length; with ``share=1`` it is the span.

Chance: random subspaces of the same ranks, the same one on both sides where f = g. A large subspace holds more of any
direction than a small one, so the ratio to chance, and not the norm, can be compared between factors; of
the gain to everything it is at most sqrt(d_model / rank). Of heads that read nothing of a factor the ratio is 0.
Weights are not data: how often and how strongly a head attends is not in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from scipy.linalg import subspace_angles  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from interp.mechanism.head_circuits import head_circuits
from interp.statistics.chance import AgainstChance, Floats, check_draws, random_basis
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Circuit = Literal["OV", "QK"]
EVERYTHING: Final = "everything"
READOUTS: Final = tuple(f"readout:{factor}" for factor in FACTORS)
SPANS: Final = (*FACTORS, *READOUTS)
SOURCES: Final = (*FACTORS, EVERYTHING)
TARGETS: Final = (*SPANS, EVERYTHING)
_TIED: Final = 1e-5
"""Singular values that differ by less than this share are equal: of equal directions all are taken, or none."""
_Bases = Mapping[str, Floats]


@one_line
@dataclass(frozen=True, eq=False)
class Amplification:
    """Of one circuit, [layer, head, source, target], by :attr:`sources` (query) and :attr:`targets` (key)."""

    circuit: Circuit
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    norm: AgainstChance
    gain: AgainstChance

    def cell(self, source: str, target: str, kind: str = "norm") -> AgainstChance:
        """[layer, head] of one pair; ``kind`` is "norm" or "gain". Raises ValueError for a name there is not."""
        for what, given, allowed in (
            ("source", source, self.sources),
            ("target", target, self.targets),
            ("kind", kind, ("norm", "gain")),
        ):
            if given not in allowed:
                raise ValueError(f"{what} is {given!r}; allowed are {', '.join(allowed)}")
        measured = self.norm if kind == "norm" else self.gain
        return measured.at(..., self.sources.index(source), self.targets.index(target))

    def to_frame(self) -> pd.DataFrame:
        """Columns ``circuit, layer, head, source, target``; of ``norm`` and ``gain`` also ``_chance``, ``_sd``,
        ``_z`` and ``_ratio``.
        """
        index = np.indices(self.norm.value.shape).reshape(4, -1)
        columns: dict[str, Any] = {
            "circuit": self.circuit,
            "layer": index[0],
            "head": index[1],
            "source": np.array(self.sources)[index[2]],
            "target": np.array(self.targets)[index[3]],
        }
        for name, measured in (("norm", self.norm), ("gain", self.gain)):
            columns[name] = measured.value.ravel()
            columns[f"{name}_chance"] = measured.mean.ravel()
            columns[f"{name}_sd"] = measured.sd.ravel()
            columns[f"{name}_z"] = measured.z.ravel()
            columns[f"{name}_ratio"] = measured.ratio.ravel()
        return pd.DataFrame(columns)


@one_line
@dataclass(frozen=True, eq=False)
class Subspaces:
    """Factor subspaces of a model and what its heads do to them.

    Attributes:
        bases: name in :data:`SPANS` -> orthonormal columns, float [d_model, rank].
        ov, qk: amplification.
        overlap: [span, span]; mean squared cosine of the principal angles of two subspaces (1: the smaller lies in
            the larger, 0: orthogonal); chance: random ones of the same ranks.
        share, centred, fold_norm: as given.
    """

    bases: Mapping[str, Floats]
    ov: Amplification
    qk: Amplification
    overlap: AgainstChance
    share: float
    centred: bool
    fold_norm: bool

    @property
    def ranks(self) -> dict[str, int]:
        """Dimensions of every subspace."""
        return {name: basis.shape[1] for name, basis in self.bases.items()}

    @property
    def d_model(self) -> int:
        """Dimensions of the whole space."""
        return next(iter(self.bases.values())).shape[0]

    def angles(self, one: str, other: str) -> Floats:
        """Principal angles of two subspaces in radians, the smallest first (``scipy.linalg.subspace_angles``).

        Raises:
            ValueError: a name that is not in :data:`SPANS`.
        """
        for name in (one, other):
            if name not in self.bases:
                raise ValueError(f"there is no subspace {name!r}; there are {', '.join(self.bases)}")
        return np.asarray(subspace_angles(self.bases[one], self.bases[other]), np.float64)[::-1]

    def to_frame(self) -> pd.DataFrame:
        """Both circuits' lines (:meth:`Amplification.to_frame`)."""
        return pd.concat([self.ov.to_frame(), self.qk.to_frame()], ignore_index=True)

    def overlap_frame(self) -> pd.DataFrame:
        """Columns ``one, other, rank_one, rank_other, overlap, chance, z, smallest_angle`` (radians)."""
        ranks, overlap = self.ranks, self.overlap
        rows: list[dict[str, Any]] = []
        for i, one in enumerate(SPANS):
            for j, other in list(enumerate(SPANS))[i + 1 :]:
                rows.append(
                    {
                        "one": one,
                        "other": other,
                        "rank_one": ranks[one],
                        "rank_other": ranks[other],
                        "overlap": overlap.value[i, j],
                        "chance": overlap.mean[i, j],
                        "z": overlap.z[i, j],
                        "smallest_angle": float(self.angles(one, other)[0]),
                    }
                )
        return pd.DataFrame(rows)

    def figure(self, circuit: Circuit = "OV") -> go.Figure:
        """Factor x head: amplification over chance."""
        from interp.mechanism.subspaces_figure import amplification_figure

        return amplification_figure(self, circuit)

    def overlap_figure(self) -> go.Figure:
        """Subspace x subspace: overlap over chance."""
        from interp.mechanism.subspaces_figure import overlap_figure

        return overlap_figure(self)


def factor_subspaces(
    model: RecurrentTransformer,
    seed: int = 0,
    draws: int = 50,
    share: float = 0.9,
    centred: bool = False,
    fold_norm: bool = True,
) -> Subspaces:
    """Amplification and overlap of all factors, heads and circuits, beside ``draws`` random subspaces.

    Args:
        share: of the embeddings' squared length that a subspace holds, above 0 and at most 1 (the span). Of equal
            singular values all are taken.
        centred: without the mean embedding of every factor (and the mean readout).
        fold_norm: see :mod:`interp.mechanism.head_circuits`; the paper's formula is without.

    Raises:
        ValueError: fewer than 2 draws, a share out of range, a factor whose embeddings are all zero.
    """
    check_draws(draws)
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; allowed: above 0 and at most 1")
    circuits = head_circuits(model, fold_norm)
    W_E, vocabulary = model.W_E.detach().double().cpu().numpy(), model.vocabulary
    bases = {
        name: _basis(vectors[vocabulary.slice(factor)], share, centred, name)
        for names, vectors in ((FACTORS, W_E), (READOUTS, circuits.W_U.T.numpy()))
        for name, factor in zip(names, FACTORS, strict=True)
    }
    rng = np.random.default_rng(seed)
    random = [_random_bases(bases, rng) for _ in range(draws)]
    W_Q, W_K, W_V, W_O = (w.numpy() for w in (circuits.W_Q, circuits.W_K, circuits.W_V, circuits.W_O))
    overlaps = [_overlaps(spans, _random_bases(bases, rng)) for spans in random]
    return Subspaces(
        bases=bases,
        ov=_amplification("OV", W_V, W_O.swapaxes(-2, -1), bases, random, TARGETS),
        qk=_amplification("QK", W_Q, W_K, bases, random, SOURCES),
        overlap=AgainstChance(_overlaps(bases, bases), np.stack(overlaps)),
        share=share,
        centred=centred,
        fold_norm=fold_norm,
    )


def _basis(vectors: Floats, share: float, centred: bool, name: str) -> Floats:
    """[d_model, rank] of vectors [symbol, d_model]."""
    if centred:
        vectors = vectors - vectors.mean(0)
    _, sizes, directions = np.linalg.svd(vectors, full_matrices=False)
    if sizes[0] <= _TIED:
        raise ValueError(f"all vectors of {name!r} are zero; a subspace needs one that is not")
    held = (sizes**2).cumsum() / (sizes**2).sum()
    last = int((held < share - _TIED).sum()) if share < 1 else len(sizes) - 1
    wanted = (sizes >= sizes[last] * (1 - _TIED)) & (sizes > _TIED * sizes[0])
    return directions[wanted].T


def _random_bases(bases: _Bases, rng: np.random.Generator) -> dict[str, Floats]:
    """Subspaces of the same ranks."""
    return {name: random_basis(len(basis), basis.shape[1], rng) for name, basis in bases.items()}


def _amplification(
    circuit: Circuit,
    left: Floats,
    right: Floats,
    bases: _Bases,
    random: Sequence[_Bases],
    targets: tuple[str, ...],
) -> Amplification:
    """Of ``left @ right^T``, [layer, head, d_model, d_head] both."""
    norm, gain = _sizes(circuit, left, right, bases, targets)
    drawn = [_sizes(circuit, left, right, spans, targets) for spans in random]
    norms, gains = (np.stack(part) for part in zip(*drawn, strict=True))
    return Amplification(circuit, SOURCES, targets, AgainstChance(norm, norms), AgainstChance(gain, gains))


def _sizes(
    circuit: Circuit, left: Floats, right: Floats, bases: _Bases, targets: tuple[str, ...]
) -> tuple[Floats, Floats]:
    """Norm and gain [layer, head, source, target]."""
    sources = [_seen(left, bases.get(name)) for name in SOURCES]
    others = [_seen(right, bases.get(name)) for name in targets]
    norm, gain = (np.empty((*left.shape[:2], len(sources), len(others))) for _ in range(2))
    for s, (triangle, rank) in enumerate(sources):
        for t, (other, other_rank) in enumerate(others):
            singular = np.linalg.svd(triangle @ other.swapaxes(-2, -1), compute_uv=False)
            dimensions = rank * other_rank if circuit == "QK" else rank
            norm[..., s, t] = singular[..., 0]
            gain[..., s, t] = np.sqrt((singular**2).sum(-1) / dimensions)
    return norm, gain


def _seen(weights: Floats, basis: Floats | None) -> tuple[Floats, int]:
    """Weights [..., d_model, d_head] projected on a subspace (None: all of it), and its rank.

    Only the triangle [..., <= d_head, d_head] of a QR decomposition: rotations do not change singular values.
    """
    projected = weights if basis is None else basis.T @ weights
    triangle = cast(Floats, np.linalg.qr(projected, mode="r"))
    return triangle, projected.shape[-2]


def _overlaps(one: _Bases, other: _Bases) -> Floats:
    """[span, span]; mean squared cosine."""
    cosines = [[((one[f].T @ other[g]) ** 2).sum() for g in SPANS] for f in SPANS]
    ranks = np.array([one[name].shape[1] for name in SPANS])
    return np.array(cosines) / np.minimum(ranks[:, None], ranks)
