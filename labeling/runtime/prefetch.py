"""Moving items through stages: a thread that reads ahead, batches, and a watch on each stage."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.2
"""How soon a reader notices that nobody wants more."""


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
        """Pass items on, and count the time that making each one took."""
        iterator = iter(items)
        while True:
            with self.time(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


def prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    """Make items in a thread of their own, at most `depth` before they are asked for.

    An error in the thread is raised here, at its place in the order. Leaving early ends the thread.
    """
    queue: Queue[tuple[bool, T | BaseException | None]] = Queue(depth)
    abandoned = threading.Event()

    def put(entry: tuple[bool, T | BaseException | None]) -> None:
        while not abandoned.is_set():
            with suppress(Full):
                queue.put(entry, timeout=POLL_S)
                break

    def read() -> None:
        try:
            for item in items:
                put((True, item))
                if abandoned.is_set():
                    return
            put((False, None))
        except BaseException as exc:  # noqa: BLE001  # handed over whole to the thread that waits
            put((False, exc))

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            is_item, entry = queue.get()
            if is_item:
                yield entry  # type: ignore[misc]  # an item, by the flag beside it
            elif isinstance(entry, BaseException):
                raise entry
            else:
                return
    finally:
        abandoned.set()
        _drain(queue)
        thread.join()


def _drain(queue: "Queue[T]") -> None:
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last may be shorter."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
