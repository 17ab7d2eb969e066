"""The rule of the task: one synchronous step of the symbolic algorithm (Altabaa et al. 2025), for many nodes at once.

All nodes take, at the same time, what their equations make of the values that their operands show now:

    a node    its operations from left to right, each reduced modulo m (:func:`models.operations.apply_operations`)
    EMPTY     where any of its operands shows no number
    a leaf    the value that it is given

Because only operands are looked at, a wrong value is overwritten one step later. Who reads the operands, and where
they stand, is another question: :mod:`models.training.transition` reads batches of graphs,
:mod:`interp.oracle_step` any state, :mod:`interp.synchronous` one text with tokens put in by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.operations import OPERATIONS, apply_operations

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def values_after_step(
    read: Ints, used: Bools, operations: Ints, given: Ints, ops: Sequence[str], modulus: int, empty: int
) -> Ints:
    """What every node shows after the step, int64 [...].

    Args:
        read: int64 [place, ...], what the operands show: 0..modulus-1, or anything else where that is no number. It is
            overwritten.
        used: bool [place, ...], where a node has an operand; a leaf has none.
        operations: int64 [place - 1, ...], the operation between two operands as an index of ``ops``, -1 for none.
        given: int64 [...], the values of leaves.

    Examples:
        >>> import numpy as np
        >>> read, used = np.array([[20, 4], [2, 24]]), np.array([[True, True], [True, False]])
        >>> values_after_step(read, used, np.array([[0, -1]]), np.array([-1, -1]), ("ADD",), 23, empty=24).tolist()
        [22, 4]
    """
    known = read.view(np.uint64) < modulus  # read as unsigned, what is below 0 is beyond the modulus too
    read *= known  # functions are given values only; where there is none, their result is not used
    known |= ~used
    functions = [OPERATIONS[name].function for name in ops]
    total = apply_operations(
        [partial(_element_by_element, functions, codes) for codes in operations], list(read), modulus
    )
    return np.where(used[0], np.where(known.all(axis=0), total, empty), given)


def _element_by_element(
    functions: Sequence[Callable[[Any, Any], Any]], codes: Ints, left: Ints, right: Ints
) -> Ints:
    """Each element by the function of its code, written over ``left``; where the code is -1, left stays."""
    for code, function in enumerate(functions):
        np.copyto(left, function(left, right), where=codes == code)
    return left
