"""The rule of the task on arrays, against the same rule node by node."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.operations import OPERATIONS, Operation, apply_operations
from models.symbolic import values_after_step

MODULUS, EMPTY = 7, 8
OPS = ("ADD", "SUB", "MUL", "MAX")


def by_hand(read: list[int], codes: list[int], leaf: int, ops: tuple[str, ...]) -> int:
    if not read:
        return leaf
    if not all(0 <= value < MODULUS for value in read):
        return EMPTY
    return apply_operations([ops[code] for code in codes], read, MODULUS)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n_places=st.integers(1, 4))
def test_it_is_the_rule_of_every_node_by_itself(seed: int, n_places: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, 5)
    read = rng.integers(-1, EMPTY + 1, (n_places, *shape))
    used = np.arange(n_places)[:, None, None] < rng.integers(0, n_places + 1, shape)
    operations = np.where(used[1:], rng.integers(0, len(OPS), (n_places - 1, *shape)), -1)
    leaves = rng.integers(0, MODULUS, shape)
    expected = [
        by_hand(
            read[used[:, row, node], row, node].tolist(),
            [code for code in operations[:, row, node].tolist() if code >= 0],
            int(leaves[row, node]),
            OPS,
        )
        for row in range(shape[0])
        for node in range(shape[1])
    ]
    found = values_after_step(read, used, operations, leaves, OPS, MODULUS, EMPTY)
    assert found.ravel().tolist() == expected


def test_an_operation_of_ones_own_is_given_numbers_alone() -> None:
    """What is no number is not shown to it, not even where the result is not used."""
    met: list[np.ndarray] = []

    def power(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        met.append(right.copy())
        return left**right

    with OPERATIONS.registered(Operation("POW", power)):
        found = values_after_step(
            np.array([[2, 2, 3], [5, EMPTY, -1]]),
            np.array([[True, True, True], [True, True, False]]),
            np.array([[0, 0, -1]]),
            np.full(3, -1),
            ("POW",),
            MODULUS,
            EMPTY,
        )
    assert found.tolist() == [4, EMPTY, 3]
    assert met[0].tolist() == [5, 0, 0]


@pytest.mark.parametrize("n_places", [1, 3])
def test_a_leaf_shows_what_it_is_given(n_places: int) -> None:
    none = np.full((n_places, 2), -1)
    found = values_after_step(none.copy(), none >= 0, none[1:], np.array([3, EMPTY]), OPS, MODULUS, EMPTY)
    assert found.tolist() == [3, EMPTY]
