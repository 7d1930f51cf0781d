"""Prefetching of items in a thread, and a stopwatch for stages."""

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, get_args

T = TypeVar("T")

_END: Any = object()
Stage = Literal[
    "prepare",
    "decode",
    "pose",
    "teacher",
    "track",
    "student",
    "agreement",
    "flip",
    "verifier",
    "evidence",
    "store",
]
"""Stages of labeling whose time is measured."""
STAGES: tuple[Stage, ...] = get_args(Stage)
PARALLEL_STAGES: tuple[Stage, ...] = ("decode", "store")
"""Stages that run in threads beside the models."""


class Stopwatch:
    """Wall seconds per stage. Stages in other threads overlap, so the sum may exceed the run's time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin

    def time_items(self, stage: Stage, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and count the time that making each one takes."""
        iterator = iter(items)
        while True:
            with self.time(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


@contextmanager
def prefetch(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Make items in a separate thread, at most `depth` ahead of the consumer.

    An error in the thread is raised in the consumer, after the items before it. The end of the block ends the thread
    and closes the items. This is a block and not a generator, because the garbage collector may close a generator in
    any thread at any moment, also in one that holds a lock that the ending thread needs.

    Example:
        >>> with prefetch(range(3), depth=2) as ahead:
        ...     list(ahead)
        [0, 1, 2]
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        try:
            yield _take(pool, iterator, depth)
        finally:
            pool.shutdown(cancel_futures=True)
            if isinstance(iterator, Generator):
                iterator.close()


def _take(pool: ThreadPoolExecutor, iterator: Iterator[T], depth: int) -> Iterator[T]:
    pending = deque(pool.submit(next, iterator, _END) for _ in range(depth))
    while (item := pending.popleft().result()) is not _END:
        pending.append(pool.submit(next, iterator, _END))
        yield item
