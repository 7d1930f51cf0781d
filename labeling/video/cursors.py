"""Decoders that stand where the last clip of a file ended, so that the next clip goes on there.

Where seeking is impossible, or key frames are far apart, each clip would decode the file from far before its start: the
time for all clips of a video would grow with the square of its length.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

MOST_CURSORS = 4
"""Held by a process; each has an open file and a decoder."""
FAR_S = Fraction(120)
"""Where seeking is possible, a cursor does not go further than this to the start of a clip."""


class _Timed(Protocol):
    @property
    def t(self) -> Fraction: ...


T = TypeVar("T", bound=_Timed)


T_co = TypeVar("T_co", covariant=True)


class _Frames(Protocol[T_co]):
    def __next__(self) -> T_co: ...

    def __iter__(self) -> Iterator[T_co]: ...

    def close(self) -> None: ...


Reader = TypeVar("Reader", bound="_Frames[Any]")

FileKey = tuple[str, int, int]
"""Path, time of the last change in ns, and bytes."""


def file_key(path: Path) -> FileKey:
    """Identify the content of a file without reading it."""
    status = path.stat()
    return str(path.absolute()), status.st_mtime_ns, status.st_size


@dataclass(slots=True)
class Cursor(Generic[T, Reader]):
    """A position in the frames of a file."""

    frames: Reader
    is_seekable: bool
    before: T | None = None
    """The frame before the position."""
    after: T | None = None
    """The frame after it, which is decoded; None: it is not, or the file ends."""

    def advance_to(self, start_s: Fraction) -> None:
        """Go on to the first frame with `start_s` <= t."""
        while (frame := self.peek()) is not None and frame.t < start_s:
            self.step()

    def peek(self) -> T | None:
        """Return the next frame without passing it; None at the end."""
        if self.after is None:
            self.after = next(self.frames, None)
        return self.after

    def step(self) -> None:
        """Pass the next frame."""
        self.before, self.after = self.peek(), None

    def can_reach(self, start_s: Fraction) -> bool:
        """Return whether the position is before `start_s`, and not too far before."""
        if self.before is None or self.before.t >= start_s:
            return False
        return not self.is_seekable or start_s - self.before.t <= FAR_S


@dataclass(slots=True)
class CursorCache(Generic[T, Reader]):
    """The cursors of a process that no clip uses now."""

    _held: list[tuple[FileKey, Cursor[T, Reader]]] = field(default_factory=list)
    """Those kept last are at the end."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: int = field(default_factory=os.getpid)

    def take(self, key: FileKey, start_s: Fraction) -> Cursor[T, Reader] | None:
        """Remove and return the cursor of a file that is nearest before `start_s`, if there is one."""
        with self._lock:
            if self._process != os.getpid():  # decoders do not survive a fork
                self._held, self._process = [], os.getpid()
            known = [one for one in self._held if one[0] == key and one[1].can_reach(start_s)]
            if not known:
                return None
            chosen = max(known, key=lambda one: one[1].before.t if one[1].before else Fraction(0))
            self._held = [one for one in self._held if one is not chosen]
            return chosen[1]

    def keep(self, key: FileKey, cursor: Cursor[T, Reader]) -> None:
        """Hold a cursor for the next clip; the oldest one is closed if there are too many."""
        with self._lock:
            self._held.append((key, cursor))
            dropped = self._held[:-MOST_CURSORS]
            self._held = self._held[-MOST_CURSORS:]
        for _, old in dropped:
            old.frames.close()

    def close(self) -> None:
        """Close all of them; else decoders end after the modules that they use, with messages on the terminal."""
        with self._lock:
            held, self._held = self._held, []
            is_own = self._process == os.getpid()
        for _, cursor in held if is_own else []:
            cursor.frames.close()
