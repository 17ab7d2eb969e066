"""Guard: the shapes in the signatures are really checked while the tests run."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from models.bottleneck import snap
from models.positions import rotate
from models.vocabulary import FactoredVocabulary


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        rotate(torch.zeros(2, 3, 4), 10_000)
    with pytest.raises(TypeCheckError):
        snap(FactoredVocabulary(), torch.zeros(2, 162, dtype=torch.int64))
    assert rotate(torch.ones(1, 3, 2, 4), 10_000).shape == (1, 3, 2, 4)
