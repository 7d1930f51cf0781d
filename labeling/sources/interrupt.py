"""Ctrl-C while something must first be brought to a good end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Keeps the first Ctrl-C until whoever is busy has come to a good end.

    The exception that Python would raise on the spot is lost where it meets a callback of a C library
    or a finalizer, and may cut any write in two. A second Ctrl-C has its usual effect at once.
    """

    def __init__(self) -> None:
        self.came = False
        """Ctrl-C was pressed: come to an end, and `pass_on`."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep it during the block. Outside the main thread, or where it is ignored, nothing changes."""
        usual = signal.getsignal(signal.SIGINT)
        in_main = threading.current_thread() is threading.main_thread()
        if not in_main or usual in (signal.SIG_IGN, None):
            yield
            return

        def keep(signum: int, frame: FrameType | None) -> None:
            self.came = True
            signal.signal(signal.SIGINT, usual)

        signal.signal(signal.SIGINT, keep)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def pass_on(self) -> None:
        """Let a Ctrl-C that was kept have its usual effect now."""
        if self.came:
            self.came = False
            signal.raise_signal(signal.SIGINT)
