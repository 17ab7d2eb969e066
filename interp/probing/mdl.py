"""How many bits a probe needs to transmit the labels: minimum description length by the online code.

The labels of a first block of graphs are sent with the uniform code; every further block with a probe that is fitted to
all blocks before it (Voita & Titov 2020, "Information-Theoretic Probing with Minimum Description Length", section 2.2):

    bits = n_1 log2 K - sum over i of log2 p(labels of block i+1 | activations, probe fitted to blocks 1..i)

A class that has not been seen yet has probability 0, and would cost infinitely many bits; so the probe's probability is
mixed with the uniform one as in Laplace's rule, p = (n q + 1) / (n + K), with q the probe's and n rows seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.probing.fits import fit_probe
from interp.probing.rows import ProbeError
from models.one_line import one_line

FRACTIONS: Final = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""Where blocks end, as shares of the graphs; as in the paper, section 4.1. Shares below one graph fall together."""


@one_line
@dataclass(frozen=True)
class OnlineCode:
    """The length of the code.

    rows: int per block, labels in it. block_bits: float per block, what it cost. n_classes: K.
    """

    rows: tuple[int, ...]
    block_bits: tuple[float, ...]
    n_classes: int

    @property
    def bits(self) -> float:
        """Length of the whole code."""
        return sum(self.block_bits)

    @property
    def uniform_bits(self) -> float:
        """Length of the uniform code, n log2 K."""
        return float(sum(self.rows) * np.log2(self.n_classes))

    @property
    def compression(self) -> float:
        """Uniform bits / bits: 1 means that the activations say nothing about the labels."""
        return self.uniform_bits / self.bits

    def to_frame(self) -> pd.DataFrame:
        """One row a block: ``rows``, ``bits``, and ``uniform_bits``."""
        rows = np.array(self.rows)
        uniform = rows * np.log2(self.n_classes)
        return pd.DataFrame({"rows": rows, "bits": self.block_bits, "uniform_bits": uniform})


def online_code(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    graphs: NDArray[np.int64],
    n_classes: int,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> OnlineCode:
    """The online code of ``labels`` int [row] (0..K-1) given ``features`` float [row, d], with the logistic probe.

    graphs: int [row]; a block has all rows of its graphs, which come in random order. fractions: ascending up to 1.

    Raises:
        ProbeError: less than two classes or graphs, labels outside 0..K-1, other fractions.
    """
    which = np.unique(graphs)
    if n_classes < 2 or len(which) < 2 or labels.min() < 0 or labels.max() >= n_classes:
        raise ProbeError(
            f"{len(which)} graphs, labels {labels.min()} to {labels.max()}, {n_classes} classes; "
            "allowed are at least two graphs, and labels of 0 to K - 1 for K of 2 or more classes"
        )
    if sorted({*fractions}) != [*fractions] or not fractions or fractions[0] <= 0 or fractions[-1] != 1:
        raise ProbeError(f"fractions are {list(fractions)}; allowed are ascending shares that end in 1")
    order = np.random.default_rng([seed, 3]).permutation(which)
    ends = sorted({max(1, round(fraction * len(which))) for fraction in fractions})
    blocks = [np.isin(graphs, order[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    bits = [float(blocks[0].sum() * np.log2(n_classes))]
    seen = blocks[0]
    for block in blocks[1:]:
        probability = _probability(features, labels, seen, block, n_classes)
        bits.append(float(-np.log2(probability).sum()))
        seen = seen | block
    return OnlineCode(tuple(int(block.sum()) for block in blocks), tuple(bits), n_classes)


def _probability(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    seen: NDArray[np.bool_],
    block: NDArray[np.bool_],
    n_classes: int,
) -> NDArray[np.float64]:
    """Float [row of the block]: probability of its label."""
    probe, _ = fit_probe("logistic", features[seen], labels[seen])
    given = np.zeros((int(block.sum()), n_classes))
    given[:, probe.classes_] = probe.predict_proba(features[block])
    n = int(seen.sum())
    right = given[np.arange(len(given)), labels[block]]
    return (n * right + 1) / (n + n_classes)
