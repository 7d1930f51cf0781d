"""Calls that wait for a network rather than for this machine: several at a time, beside other work."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

AT_ONCE = 16
"""Of 50 ms each way, an image that is new costs two: 16 at a time are 160 images a second."""


class BoundedThreadPool:
    """Runs calls in threads; the block ends when all have, or raises what the first failed one raised."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="errand")
        self._most = 2 * at_once
        self._out: deque[Future[None]] = deque()
        self.abandoned = threading.Event()
        """Set when nobody waits any more: a call that tries again should stop."""

    def send(self, call: Callable[[], None]) -> None:
        """Have it run; waits where twice as many as run at once are on their way.

        Raises:
            Exception: what an earlier call raised.
        """
        while self._out and (self._out[0].done() or len(self._out) >= self._most):
            self._out.popleft().result()
        self._out.append(self._pool.submit(call))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while error is None and self._out:
                self._out.popleft().result()
        finally:
            self.abandoned.set()
            self._pool.shutdown(cancel_futures=True)
