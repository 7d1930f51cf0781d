"""A step that is repeated in a thread beside other work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

_JOIN_TIMEOUT_S = 10.0
"""Time for the last step."""


@contextmanager
def repeat(step: Callable[[], None], every_s: float, *, at_end: bool = True) -> Iterator[None]:
    """Call `step` regularly in a thread until the block ends, and once more `at_end`."""
    stop = threading.Event()

    def run() -> None:
        last = False
        while not last:
            last = stop.wait(every_s)
            if at_end or not last:
                step()

    # the context holds Prefect's settings and its connection
    thread = threading.Thread(target=copy_context().run, args=(run,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_JOIN_TIMEOUT_S)
