"""The entry point of the `maskmill` command: Ctrl-C ends it at any moment, also while Python imports."""

import os
import signal
import sys
from types import FrameType

SIGNAL_BASE = 128
"""A program that a signal ended has this exit code in a shell, plus the number of the signal."""
_IMPORTS = "<frozen importlib._bootstrap>"


def main() -> None:
    """Run the command line of this process."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in a background job of a shell
        signal.signal(signal.SIGINT, _interrupt)
    from flows.cli.main import app

    try:
        app()
    finally:  # at exit, Python waits for threads, and prints a traceback where it is interrupted
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, _exit)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`, or end the process during an import: C libraries swallow the exception there."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTS:
            _exit(signum, frame)
        frame = frame.f_back
    raise KeyboardInterrupt


def _exit(signum: int, _frame: FrameType | None) -> None:
    sys.stderr.write("\nstopped\n")
    sys.stderr.flush()
    os._exit(SIGNAL_BASE + signum)


if __name__ == "__main__":
    main()
