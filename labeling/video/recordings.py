"""Files in which several recordings were joined end to end, so that the time stamps start again."""

from __future__ import annotations  # PyAV's packets are generic only in its stubs

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from labeling.video.containers import main_stream, open_video, read_packets
from labeling.video.cursors import FileKey, file_key

RESTARTING_FORMATS = frozenset({"mpegts", "mpeg", "flv", "live_flv", "matroska", "webm", "asf", "nut", "ogg"})
"""Formats whose stamps can start again in the middle; the index of others, such as MP4, has durations instead."""
LARGEST_STEP_BACK_S = Fraction(1)
"""Damaged streams step back a little; a larger step back is the start of another recording."""


@dataclass(slots=True)
class ContinuousTime:
    """Turns stamps that start again into a time that goes on: the second recording follows the first.

    >>> time = ContinuousTime(step_s=Fraction(1, 10))
    >>> [float(time.next(Fraction(stamp, 10))) for stamp in (50, 51, 52, 7, 8)]
    [5.0, 5.1, 5.2, 5.3, 5.4]
    """

    step_s: Fraction
    """From the last frame of a recording to the first of the next one."""
    restarts: int = 0
    _shift_s: Fraction = Fraction(0)
    _latest_s: Fraction | None = None

    def next(self, stamped_s: Fraction) -> Fraction:
        """Return the continuous time of the next stamp."""
        t = stamped_s + self._shift_s
        if self._latest_s is not None and t < self._latest_s - LARGEST_STEP_BACK_S:
            self._shift_s += self._latest_s + self.step_s - t
            t = stamped_s + self._shift_s
            self.restarts += 1
        self._latest_s = t if self._latest_s is None else max(self._latest_s, t)
        return t


def can_restart(format_name: str) -> bool:
    """Return whether the stamps of an FFmpeg format can start again in the middle."""
    return not RESTARTING_FORMATS.isdisjoint(format_name.split(","))


def count_restarts(path: Path) -> int:
    """Return how often the stamps of a file start again; reads all packets where the format allows that.

    Raises:
        SourceError: the file cannot be opened.
    """
    return _cached_restarts(path, file_key(path) if path.is_file() else None)


@lru_cache(maxsize=64)
def _cached_restarts(path: Path, _key: FileKey | None) -> int:
    with open_video(path) as container:
        if not can_restart(container.format.name):
            return 0
        stream = main_stream(container, path)
        time = ContinuousTime(Fraction(0))
        for packet in read_packets(container, stream, from_key=False):
            stamp = None if packet is None else packet.dts if packet.dts is not None else packet.pts
            if packet is not None and stamp is not None and packet.time_base is not None:
                time.next(stamp * packet.time_base)
    return time.restarts
