"""What becomes of wrong labels that a model was trained with as its neurons are pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp.fourier_analysis.operand_tuples import OperandGrid
from models.one_line import one_line
from models.training.label_noise import wrong_by
from models.vocabulary import FactoredVocabulary

Floats = NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class WrongLabels:
    """Answers to tuples whose label is wrong, and to all others.

    Attributes:
        share: of all tuples. tuples: how many they are.
        memorised, restored: order -> float [draw, point], share of these tuples that is answered as labelled, and as is
            right. others: the same, share of all other tuples that is answered right.
    """

    share: float
    tuples: int
    memorised: Mapping[str, Floats]
    restored: Mapping[str, Floats]
    others: Mapping[str, Floats]

    def sentence(self, at: int) -> str:
        """What is answered with all neurons, and at a pruned share (its number among the points)."""
        whole, pruned = (
            f"{self.memorised['lowest'][0, point]:.1%} as labelled and {self.restored['lowest'][0, point]:.1%} right"
            for point in (0, at)
        )
        equal, highest = (
            f"{self.memorised[order][:, at].mean():.1%} and {self.restored[order][:, at].mean():.1%}"
            for order in ("equal energy", "highest")
        )
        return (
            f"Of {self.tuples} tuples whose label is wrong {whole}; with half pruned from the lowest IPR {pruned} "
            f"(equal energy {equal}, from the highest {highest}); of all others {self.others['lowest'][0, 0]:.1%} and "
            f"{self.others['lowest'][0, at]:.1%} are right."
        )


def wrong_labels(grid: OperandGrid, vocabulary: FactoredVocabulary, share: float) -> NDArray[np.int64]:
    """Int [axis 1, ..., axis n], what is added to the right value of each tuple in training with this label noise."""
    operations, values = grid.characters.operations, grid.characters.values
    n_ops, n_operands = len(vocabulary.ops), len(operations) + 1
    codes = [vocabulary.ops.index(operation) for operation in operations]
    kind = int(np.ravel_multi_index(codes, [n_ops] * len(codes)))
    wrong = wrong_by(share, vocabulary.modulus, n_operands, n_ops ** len(codes))[..., kind]
    return wrong[np.ix_(*[values] * n_operands)]


def followed(
    answers: Mapping[str, NDArray[np.int64]], grid: OperandGrid, wrong: NDArray[np.int64], modulus: int
) -> WrongLabels:
    """What is answered, int [draw, point, axis 1, ..., axis n] by order, beside labels, of which `wrong` are."""
    at = wrong != 0
    label = (grid.truth + wrong) % modulus
    return WrongLabels(
        float(at.mean()),
        int(at.sum()),
        {order: (given[..., at] == label[at]).mean(-1) for order, given in answers.items()},
        {order: (given[..., at] == grid.truth[at]).mean(-1) for order, given in answers.items()},
        {order: (given[..., ~at] == grid.truth[~at]).mean(-1) for order, given in answers.items()},
    )
