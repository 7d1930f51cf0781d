"""The entry point of the `maskmill` command: Ctrl-C ends it at any moment, also while Python imports."""

import os
import signal
import sys
from pkgutil import resolve_name
from types import FrameType
from typing import NoReturn

SIGNAL_BASE = 128
"""A program that a signal ended has this exit code in a shell, plus the number of the signal."""
_APP = "flows.cli.main:app"
"""Loaded by its name, like the entry point of any program: this module must be ready before."""
_IMPORTS = "<frozen importlib._bootstrap>"


def main() -> None:
    """Run the command line of this process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a shell
        resolve_name(_APP)()
        return
    signal.signal(signal.SIGINT, _exit)
    app = resolve_name(_APP)
    try:
        signal.signal(signal.SIGINT, _interrupt)
        app()
    except KeyboardInterrupt:
        _exit(signal.SIGINT)
    finally:  # Python waits for its threads now, and would print a traceback of where it is interrupted
        signal.signal(signal.SIGINT, _exit)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`; during an import, where libraries swallow it, end the process."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTS:
            _exit(signum)
        frame = frame.f_back
    raise KeyboardInterrupt


def _exit(signum: int, _frame: FrameType | None = None) -> NoReturn:
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstopped\n")
    os._exit(SIGNAL_BASE + signum)


if __name__ == "__main__":
    main()
