"""Lines that libraries write to the process's stderr themselves, past Python."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_lock = threading.Lock()


@contextmanager
def without_lines(*unwanted: bytes) -> Iterator[None]:
    """Remove lines with one of these texts from file descriptor 2 in the block; the others follow at its end.

    The block must be short: what other threads write meanwhile is delayed too.
    """
    with _lock, tempfile.TemporaryFile() as held:
        _flush()
        try:
            original = os.dup(_STDERR)
        except OSError:  # the process has no stderr
            yield
            return
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            _flush()
            os.dup2(original, _STDERR)
            held.seek(0)
            kept = [line for line in held if not any(text in line for text in unwanted)]
            if kept:
                os.write(original, b"".join(kept))
            os.close(original)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
