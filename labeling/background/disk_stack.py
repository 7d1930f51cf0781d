"""Arrays of one shape in a temporary file, for more images than memory should hold."""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from configs.errors import DiskFull


class DiskStack:
    """Arrays of one shape and type, read one at a time or as the same rows of all; a context manager.

    It reads and writes, and maps nothing: mapped pages would count as memory of the process.

    >>> with DiskStack((2, 3), np.uint8) as stack:
    ...     stack.append(np.zeros((2, 3), np.uint8))
    ...     stack.append(np.ones((2, 3), np.uint8))
    ...     len(stack), stack.rows(slice(1, 2)).shape, stack[1].sum().item()
    (2, (2, 1, 3), 6)
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self._dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * self._dtype.itemsize
        self._count = 0
        self._file = tempfile.TemporaryFile(prefix="maskmill-")  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[index] for index in range(self._count))

    def append(self, array: NDArray[Any]) -> None:
        self[self._count] = array
        self._count += 1

    def __setitem__(self, index: int, array: NDArray[Any]) -> None:
        if array.shape != self.shape or array.dtype != self._dtype:
            raise ValueError(
                f"disk stack of {self._dtype} {self.shape}: got {array.dtype} {array.shape}; convert it first"
            )
        self._seek(index, 0)
        try:
            self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
        except OSError as exc:
            raise DiskFull(
                f"background: cannot write sample {index + 1} of {self._row_bytes * self.shape[0] / 1e6:.0f} MB to "
                f"{tempfile.gettempdir()}: {exc.strerror}; free some space there or set TMPDIR to another folder"
            ) from exc

    def __getitem__(self, index: int) -> NDArray[Any]:
        if not 0 <= index < self._count:
            raise IndexError(f"disk stack: there is no array {index}, only {self._count} arrays")
        return self._read(index, slice(0, self.shape[0]))

    def rows(self, rows: slice) -> NDArray[Any]:
        """Return these rows of all arrays, Nxrowsx..."""
        stack = np.empty((self._count, rows.stop - rows.start, *self.shape[1:]), dtype=self._dtype)
        for index in range(self._count):
            stack[index] = self._read(index, rows)
        return stack

    def truncate(self, count: int) -> None:
        """Drop all arrays from `count` on."""
        self._count = min(self._count, count)

    def _read(self, index: int, rows: slice) -> NDArray[Any]:
        array = np.empty((rows.stop - rows.start, *self.shape[1:]), dtype=self._dtype)
        self._seek(index, rows.start)
        self._file.readinto(array.data.cast("B"))
        return array

    def _seek(self, index: int, row: int) -> None:
        self._file.seek((index * self.shape[0] + row) * self._row_bytes)
