"""Prefetching of items in a thread, and a stopwatch for stages."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()
_THREAD_NAME = "prefetch"


class Stopwatch:
    """Wall seconds per stage. Stages in other threads overlap, so the sum may exceed the run's time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin

    def time_items(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and count the time that making each one takes."""
        iterator = iter(items)
        while True:
            with self.time(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


def prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    """Make items in a separate thread, at most `depth` ahead of the consumer.

    An error in the thread is raised here, after the items before it. Leaving early ends the thread.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix=_THREAD_NAME)
    try:
        pending = deque(pool.submit(next, iterator, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(next, iterator, _END))
            yield item
    finally:
        # the garbage collector may close this generator in the pool's own thread, which cannot wait for itself
        is_own_thread = threading.current_thread().name.startswith(_THREAD_NAME)
        pool.shutdown(wait=not is_own_thread, cancel_futures=True)
