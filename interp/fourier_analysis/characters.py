"""Which waves the arithmetic of an operation adds up: the characters of its group, sign by sign.

Modulo m the map x -> exp(2 pi i a x / m) turns a sum into a product (an additive character of frequency a), so
everything that depends on x + y + z alone has its Fourier energy on the diagonal (a, a, a); a subtracted operand takes
the opposite sign, so x - y has (a, -a). Of products the same holds for the multiplicative characters
x -> exp(2 pi i a log_g(x) / (p - 1)), where g generates the non-zero values modulo a prime p; zero has no logarithm
and is left out. Which characters an operation has, and its sign, its record says (:mod:`models.operations`); an
equation that mixes both kinds has none, nor has one with an operation such as MAX.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.one_line import one_line
from models.operations import OPERATIONS, CharacterKind, apply_operations


@one_line
@dataclass(frozen=True)
class Characters:
    """The group an equation computes in.

    Attributes:
        kind: ``additive`` (all values, modulo m) or ``multiplicative`` (non-zero values, by discrete logarithm).
        modulus: of the task.
        operations: between the operands, from left to right.
        values: value of each element, in the order in which frequency 1 turns once round the circle.
        signs: of the operands' phases, the first +1; (a s_1, ..., a s_n) is the diagonal.
    """

    kind: CharacterKind
    modulus: int
    operations: tuple[str, ...]
    values: tuple[int, ...]
    signs: tuple[int, ...]

    @property
    def order(self) -> int:
        """The number of elements: m, or p - 1."""
        return len(self.values)

    @property
    def n_operands(self) -> int:
        """How many operands have a phase."""
        return len(self.signs)

    @property
    def frequencies(self) -> tuple[int, ...]:
        """1 .. order // 2; a and -a are one frequency, real activations have equal energy at both."""
        return tuple(range(1, self.order // 2 + 1))

    def diagonal(self, frequency: int) -> tuple[NDArray[np.int64], ...]:
        """Index arrays of the cells +-(a s_1, ..., a s_n), two, or one where a = -a."""
        return tuple(
            np.array([sign * k % self.order for k in self._conjugates(frequency)]) for sign in self.signs
        )

    def _conjugates(self, frequency: int) -> list[int]:
        if frequency not in self.frequencies:
            raise ValueError(f"frequency is {frequency}; allowed are 1 to {self.order // 2}")
        return sorted({frequency, self.order - frequency})

    @cached_property
    def basis(self) -> NDArray[np.float64]:
        """Float [order, element], an orthonormal real Fourier basis: the constant, then cos and sin of frequency 1,
        of 2 and so on (for a = -a the cos alone).
        """
        angle = 2 * np.pi * np.outer(self.frequencies, np.arange(self.order)) / self.order
        waves = np.stack([np.cos(angle), np.sin(angle)], 1).reshape(-1, self.order)[: self.order - 1]
        rows = np.concatenate([np.ones((1, self.order)), waves])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def basis_rows(self, frequency: int) -> list[int]:
        """Rows of :attr:`basis` that belong to a frequency."""
        first = 2 * frequency - 1
        return list(range(first, first + len(self._conjugates(frequency))))

    def without_last(self) -> Characters:
        """The same without the last operand."""
        return replace(self, operations=self.operations[:-1], signs=self.signs[:-1])

    def results(self) -> NDArray[np.int64]:
        """Int [order, ..., order]: the equation's value at every tuple of operands, left to right, modulo m."""
        axes = np.meshgrid(*[np.array(self.values)] * self.n_operands, indexing="ij")
        return apply_operations(self.operations, axes, self.modulus)


def characters_of(operations: Sequence[str], modulus: int) -> Characters:
    """The characters of an equation with these operations between its operands.

    Raises:
        ValueError: no or unknown operations, some without characters or with others than the rest, multiplicative ones
            modulo a number that is not prime.

    Examples:
        >>> from interp import characters_of
        >>> found = characters_of(["ADD", "SUB"], 23)
        >>> found.kind, found.signs
        ('additive', (1, 1, -1))
    """
    given = tuple(operations)
    if not given or not set(given) <= set(OPERATIONS):
        raise ValueError(f"operations are {given}; allowed: at least one of {', '.join(OPERATIONS)}")
    kinds: set[CharacterKind | None] = {OPERATIONS[operation].characters for operation in given}
    kind = kinds.pop()
    if kinds or kind is None:
        groups = [f"{' and '.join(names)}{' alone' * (len(names) == 1)}" for names in _alike().values()]
        allowed = ", or ".join(sorted(groups, key=len))
        raise ValueError(
            f"operations are {given}; allowed: {allowed} (others and mixtures have no characters)"
        )
    values = powers_of(primitive_root(modulus), modulus) if kind == "multiplicative" else range(modulus)
    return Characters(
        kind=kind,
        modulus=modulus,
        operations=given,
        values=tuple(values),
        signs=(1, *(OPERATIONS[operation].sign for operation in given)),
    )


def with_characters(operations: Sequence[str]) -> tuple[str, ...]:
    """Those of these operations, by name, that have characters."""
    return tuple(name for name in operations if OPERATIONS[name].characters is not None)


def _alike() -> dict[str, list[str]]:
    """Kind of characters -> the operations that have them."""
    kinds: dict[str, list[str]] = {}
    for name in with_characters(tuple(OPERATIONS)):
        kinds.setdefault(str(OPERATIONS[name].characters), []).append(name)
    return kinds


def powers_of(root: int, modulus: int) -> list[int]:
    """root ** 0, root ** 1, ... modulo ``modulus``, up to the last before 1 comes again."""
    powers = [1]
    while (following := powers[-1] * root % modulus) != 1:
        powers.append(following)
        if len(powers) > modulus:
            raise ValueError(f"{root} has no inverse modulo {modulus}")
    return powers


def primitive_root(p: int) -> int:
    """The smallest g whose powers are all non-zero values modulo the prime p.

    Raises:
        ValueError: p is not prime.
    """
    if p < 2 or any(p % divisor == 0 for divisor in range(2, int(p**0.5) + 1)):
        raise ValueError(
            f"the modulus is {p}; allowed for {', '.join(_alike()['multiplicative'])}: a prime, "
            "so that all non-zero values are powers"
        )
    return next(root for root in range(1, p) if len(powers_of(root, p)) == p - 1)


def discrete_logarithms(p: int) -> dict[int, int]:
    """Value -> its logarithm to the base :func:`primitive_root`, 0..p-2; zero is not in it."""
    return {value: exponent for exponent, value in enumerate(powers_of(primitive_root(p), p))}
