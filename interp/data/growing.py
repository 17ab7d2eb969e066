"""Arrays [step, row, ...] that are filled in any order of rows and grow by steps: in memory, or in a ``.npy`` file.

Files are written and read, not mapped, so that what lies in them takes no memory and a full disk is an error that can
be caught (a mapped page that cannot be written ends the process).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray


class Growing(Protocol):
    """An array whose number of steps is known at the end."""

    def write(self, step: int, first: int, values: NDArray[Any]) -> None:
        """Put ``values`` [n, ...] into the rows from ``first`` on."""
        ...

    def read(self, step: int, first: int, n: int) -> NDArray[Any]:
        """A copy of ``n`` rows that were written before."""
        ...

    def finish(self, n_steps: int) -> NDArray[Any]:
        """The whole array, cut to ``n_steps``; nothing can be written after it."""
        ...

    def close(self) -> None:
        """Let go of a file that may be open."""
        ...


class InMemory:
    """One array, enlarged in place."""

    def __init__(self, row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._array = np.empty((0, *row_shape), dtype)

    def write(self, step: int, first: int, values: NDArray[Any]) -> None:
        if step >= len(self._array):
            self._array.resize((step + 1, *self._array.shape[1:]), refcheck=False)
        self._array[step, first : first + len(values)] = values

    def read(self, step: int, first: int, n: int) -> NDArray[Any]:
        return self._array[step, first : first + n].copy()

    def finish(self, n_steps: int) -> NDArray[Any]:
        self._array.resize((n_steps, *self._array.shape[1:]), refcheck=False)
        return self._array

    def close(self) -> None:
        pass


class InFile:
    """A ``.npy`` file; its header, which says how many steps there are, is written last, into space left for it."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._shape, self._dtype = path, row_shape, dtype
        self._begin = len(self._header(0))
        self._row_bytes = int(np.prod(row_shape[1:])) * dtype.itemsize
        self._file = path.open("w+b", buffering=0)

    def write(self, step: int, first: int, values: NDArray[Any]) -> None:
        self._seek(step, first)
        rest = memoryview(cast(Any, np.ascontiguousarray(values, self._dtype))).cast("B")
        while rest:
            rest = rest[self._file.write(rest) :]

    def read(self, step: int, first: int, n: int) -> NDArray[Any]:
        self._seek(step, first)
        data = self._file.read(n * self._row_bytes)
        return np.frombuffer(data, self._dtype).reshape(n, *self._shape[1:])

    def finish(self, n_steps: int) -> NDArray[Any]:
        header = self._header(n_steps)
        assert len(header) == self._begin, "numpy leaves room for the first axis to grow"
        with self._file:
            self._file.truncate(self._begin + n_steps * self._shape[0] * self._row_bytes)
            self._file.seek(0)
            self._file.write(header)
        return np.load(self._path, mmap_mode="r")

    def close(self) -> None:
        self._file.close()

    def _seek(self, step: int, row: int) -> None:
        self._file.seek(self._begin + (step * self._shape[0] + row) * self._row_bytes)

    def _header(self, n_steps: int) -> bytes:
        """Of format 1.0, which leaves room for any length of the first axis."""
        buffer = io.BytesIO()
        described = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (n_steps, *self._shape),
        }
        np.lib.format.write_array_header_1_0(buffer, described)
        return buffer.getvalue()
