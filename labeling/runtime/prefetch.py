"""Prefetching of items in a thread, and a stopwatch for stages."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.2
"""Longest time until the thread notices that its consumer has stopped."""


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
    queue: Queue[tuple[bool, T | BaseException | None]] = Queue(depth)
    stopped = threading.Event()

    def put(entry: tuple[bool, T | BaseException | None]) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put(entry, timeout=POLL_S)
                break

    def read() -> None:
        try:
            for item in items:
                put((True, item))
                if stopped.is_set():
                    return
            put((False, None))
        except BaseException as exc:  # noqa: BLE001  # raised in the consumer's thread
            put((False, exc))

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            is_item, entry = queue.get()
            if is_item:
                yield entry  # type: ignore[misc]  # the flag says that it is an item
            elif isinstance(entry, BaseException):
                raise entry
            else:
                return
    finally:
        stopped.set()
        with suppress(Empty):  # makes room, so that the thread can end
            while True:
                queue.get_nowait()
        thread.join()
