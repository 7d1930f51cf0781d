"""Garbage collection: rare within the block, as usual after it."""

import gc

import pytest

from labeling.runtime.memory import LEAKED_OBJECTS, collecting_rarely


class Circle:
    """An object that refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.self = self


def test_the_collector_runs_for_leaks_and_not_for_pages_of_rows() -> None:
    with collecting_rarely():
        gc.collect()
        before = [generation["collections"] for generation in gc.get_stats()]
        page = [[number] for number in range(LEAKED_OBJECTS // 2)]
        del page
        assert [generation["collections"] for generation in gc.get_stats()] == before
        for _ in range(LEAKED_OBJECTS):
            Circle()
        assert [generation["collections"] for generation in gc.get_stats()] > before


def test_an_error_leaves_the_collector_as_it_was() -> None:
    usual = gc.get_threshold()
    with pytest.raises(KeyError), collecting_rarely():
        raise KeyError
    assert gc.get_threshold() == usual
