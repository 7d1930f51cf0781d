"""Bounded thread pool for calls that wait for a network, beside other work."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

AT_ONCE = 16
"""A new image costs two round trips of 50 ms, so 16 uploads in flight reach about 160 images/s."""


class BoundedThreadPool:
    """Runs calls in threads. The block ends when all are done, or raises the error of the first that failed."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="bounded-pool")
        self._max_pending = 2 * at_once
        self._pending: deque[Future[None]] = deque()
        self.abandoned = threading.Event()
        """Set when no result is needed any more: a call that retries should stop."""

    def send(self, call: Callable[[], None]) -> None:
        """Submit a call; blocks while twice as many as run at once are pending, and raises an earlier call's error."""
        while self._pending and (self._pending[0].done() or len(self._pending) >= self._max_pending):
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(call))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while error is None and self._pending:
                self._pending.popleft().result()
        finally:
            self.abandoned.set()
            self._pool.shutdown(cancel_futures=True)
