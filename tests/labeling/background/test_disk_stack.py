"""Arrays in a temporary file."""

import numpy as np
import pytest

from labeling.background.disk_stack import DiskStack


def test_arrays_and_rows_are_those_of_a_stack_in_memory() -> None:
    arrays = np.random.default_rng(0).integers(-9, 9, (5, 7, 4, 3), dtype=np.int32)
    with DiskStack((7, 4, 3), np.int32) as stack:
        for array in arrays:
            stack.append(array)
        assert np.array_equal(np.stack(list(stack)), arrays)
        assert np.array_equal(stack.rows(slice(2, 5)), arrays[:, 2:5])
        stack[1] = arrays[4]
        assert np.array_equal(stack[1], arrays[4])
        stack.truncate(2)
        assert np.array_equal(stack.rows(slice(0, 7)), arrays[[0, 4]])
        stack.append(arrays[3])
        assert np.array_equal(stack[2], arrays[3])


def test_transposed_arrays_are_stored_as_they_are_seen() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(3, 2).T
    with DiskStack((2, 3), np.uint8) as stack:
        stack.append(array)
        assert np.array_equal(stack[0], array)


def test_other_shapes_and_indices_are_errors() -> None:
    with DiskStack((2, 3), np.uint8) as stack:
        with pytest.raises(ValueError, match=r"uint8 \(2, 3\): got uint8 \(3, 2\)"):
            stack.append(np.zeros((3, 2), np.uint8))
        with pytest.raises(ValueError, match="got float64"):
            stack.append(np.zeros((2, 3)))
        with pytest.raises(IndexError, match="only 0 arrays"):
            stack[0]
