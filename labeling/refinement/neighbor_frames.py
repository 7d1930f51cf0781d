"""The frames just before and after a frame of a clip, whichever frames are sampled."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from configs.errors import NotAVideo, UnsupportedVideo
from labeling.structures.frames import Clip, Frame
from labeling.video.decode import Decoded, decode_clip

SEEK_FROM_S = Fraction(5)
"""A frame further ahead than this is found by seeking; for nearer ones decoding through is cheaper."""


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """Which frames count as neighbors."""

    count: int
    """Most frames on each side."""
    window_s: Fraction
    """Longest time from a neighbor, in seconds."""
    is_causal: bool
    """Only frames before."""


class NeighborReader:
    """Finds neighbors in the whole video of a clip: those of its first and last frame lie outside of the clip.

    Frames that are asked for in order of time are decoded once. It keeps few decoded frames.
    """

    def __init__(self, clip: Clip, wanted: Neighborhood) -> None:
        self._clip, self._wanted = replace(clip, start_s=Fraction(0), end_s=None), wanted
        self._frames: Iterator[Decoded] = iter(())
        self._kept: deque[Decoded] = deque()
        self._last_s: Fraction | None = None
        """Time that was asked for last; None: nothing is decoded yet."""

    def around(self, time_s: Fraction) -> tuple[list[Frame], list[Frame]]:
        """Return the frames before and after the frame of this time, each nearest first.

        Raises:
            SourceError: the clip can no longer be read.
        """
        is_near = self._last_s is not None and 0 <= time_s - self._last_s < SEEK_FROM_S
        if not is_near:
            start_s = max(Fraction(0), time_s - self._wanted.window_s)
            self._frames, self._last_s = decode_clip(replace(self._clip, start_s=start_s)), None
            self._kept.clear()
        self._last_s = time_s
        self._advance(time_s)
        before = [one for one in self._kept if one.t < time_s][-self._wanted.count :][::-1]
        after = [one for one in self._kept if one.t > time_s][: self._wanted.count]
        return self._to_frames(before, time_s), self._to_frames(after, time_s)

    def _advance(self, time_s: Fraction) -> None:
        """Decode until enough frames follow `time_s`, and drop those that no later call can need."""
        while sum(one.t > time_s for one in self._kept) < max(1, self._wanted.count):
            decoded = next(self._frames, None)
            if decoded is None:
                return
            self._kept.append(decoded)
            while sum(one.t < time_s for one in self._kept) > self._wanted.count:
                self._kept.popleft()

    def _to_frames(self, decoded: list[Decoded], time_s: Fraction) -> list[Frame]:
        frames = []
        for one in decoded:
            if abs(one.t - time_s) > self._wanted.window_s:
                continue
            with suppress(NotAVideo, UnsupportedVideo):  # images of a folder, which sampling reports
                frames.append(
                    Frame(
                        self._clip.video_id, one.pts_ms, one.to_rgb(), name=one.name, t=one.t, index=one.index
                    )
                )
        return frames
