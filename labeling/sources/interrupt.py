"""Postponed Ctrl-C, for work that must first finish properly."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Holds back the first Ctrl-C until `pass_on`. A second one has its usual effect at once.

    The exception that Python would raise immediately is lost in a callback of a C library or in a finalizer, and
    may interrupt any write halfway.
    """

    def __init__(self) -> None:
        self.came = False
        """Ctrl-C was pressed: finish, then call `pass_on`."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold back Ctrl-C during the block. No effect outside the main thread, or where SIGINT is ignored."""
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
        """Give a held Ctrl-C its usual effect now."""
        if self.came:
            self.came = False
            signal.raise_signal(signal.SIGINT)
