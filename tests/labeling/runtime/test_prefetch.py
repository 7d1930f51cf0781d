"""Prefetching and timing."""

import threading
import time
from collections.abc import Iterator

import pytest

from labeling.runtime.prefetch import Stopwatch, prefetch


def test_all_items_come_in_order() -> None:
    assert list(prefetch(range(100), depth=3)) == list(range(100))


def test_at_most_depth_items_are_made_ahead() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    ahead = prefetch(make(), depth=4)
    assert next(ahead) == 0
    time.sleep(0.3)
    assert len(made) <= 1 + 4 + 1  # taken, queued, and one that waits for room
    ahead.close()  # type: ignore[attr-defined]  # a generator


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def break_off() -> Iterator[int]:
        yield 1
        raise LookupError("the file ended")

    ahead = prefetch(break_off(), depth=2)
    assert next(ahead) == 1
    with pytest.raises(LookupError, match="the file ended"):
        next(ahead)


def test_leaving_early_ends_the_thread_and_closes_the_iterator() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = prefetch(endless(), depth=2)
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]  # a generator
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
    assert closed.wait(2)


def test_a_stopwatch_adds_up_per_stage() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.time("teacher"):
            time.sleep(0.02)
    list(watch.time_items("decode", range(3)))
    assert 0.04 <= watch.seconds["teacher"] < 0.5
    assert set(watch.seconds) == {"teacher", "decode"}
