"""Guard: the shapes in the signatures are really checked while the tests run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, Int, TypeCheckError
from torch import Tensor

from models.bottleneck import snap
from models.positions import rotate
from models.vocabulary import FactoredVocabulary
from tests.shapes import checked


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        rotate(torch.zeros(2, 3, 4), 10_000)
    with pytest.raises(TypeCheckError):
        snap(FactoredVocabulary(), torch.zeros(2, 162, dtype=torch.int64))
    assert rotate(torch.ones(1, 3, 2, 4), 10_000).shape == (1, 3, 2, 4)


def test_a_wrong_shape_is_refused_after_right_ones_too() -> None:
    for _ in range(2):
        assert rotate(torch.ones(1, 3, 2, 4), 10_000).shape == (1, 3, 2, 4)
        for wrong in (torch.zeros(2, 3, 4), torch.zeros(1, 3, 2, 4).long()):
            with pytest.raises(TypeCheckError):
                rotate(wrong, 10_000)


def test_arguments_of_a_kind_are_checked_once_and_every_kind_of_result() -> None:
    calls: list[int] = []
    right = torch.zeros(2, 3)
    results: list[Any] = [right]

    def typechecker(fn: Any) -> Any:
        inner = beartype(fn)

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return inner(*args, **kwargs)

        return counted

    @checked(typechecker=typechecker)
    def example(
        x: Float[Tensor, "row column"], index: Int[Tensor, "row"], *, label: str = "a"
    ) -> Float[Tensor, "row _"]:
        return results[-1]

    x, index = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    assert example(x, index) is right
    once = len(calls)
    assert once and all(example(x + k, index) is right for k in range(5)) and len(calls) == once
    results.append(torch.zeros(2, 7))
    assert example(x, index) is results[-1] and len(calls) > once
    for wrong in (torch.zeros(3, 7), torch.zeros(2, 7).long(), None):
        results.append(wrong)
        for _ in range(2):
            with pytest.raises(TypeCheckError, match="return value"):
                example(x, index)
    results.append(right)
    with pytest.raises(TypeCheckError, match="parameters"):
        example(x, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(TypeCheckError, match="parameters"):
        example(x, index, label=1)  # pyright: ignore[reportArgumentType]
    assert example(x, index, label="b") is right
