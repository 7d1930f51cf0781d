"""Choosing which decoded frames are looked at, and leaving out those that a cheap rule rejects."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol, Self

import imagehash

from configs.models import Sampling
from labeling.errors import NotAVideo, UnsupportedVideo
from labeling.sampling.shots import begins_a_shot
from labeling.structures.frames import Clip, Frame
from labeling.video.color import LumaImage
from labeling.video.decode import Decoded, DecodeStats, decode_clip
from labeling.video.luma import hash_luma, measure_sharpness

THUMBNAIL_WIDTH_PX = 64
"""On which cuts are found, on every decoded frame."""

SHARPNESS_WIDTH_PX = 640
"""On which sharpness and hash are computed; a narrower image is not enlarged."""

REMEMBERED_CANDIDATES = 8
"""A frame is compared with so many kept ones before it in its shot."""


@dataclass(frozen=True, slots=True)
class SkippedFrame:
    """A frame that was looked at and rejected by a cheap rule; its colors were never converted."""

    t_ms: int
    shot: int
    sharpness: float
    rule: Literal["blurred", "near_duplicate", "unreadable"]
    name: str = ""


class Timed(Protocol):
    """Anything with an exact time in seconds: a `Frame`, a `Decoded`."""

    @property
    def t(self) -> Fraction: ...


class MinGap:
    """After a kept frame at t, the next is at t + `min_gap_s` or later, in exact arithmetic."""

    def __init__(self, min_gap_s: float) -> None:
        self._min_gap_s = _exact(min_gap_s)
        self._next_t: Fraction | None = None

    @classmethod
    def of(cls, sampling: Sampling) -> Self:
        """The gap of these settings. One no longer than `every_s` is kept by the grid already, up to a
        frame's duration; held exactly it would lose every second frame where the rate does not divide
        the grid (at 25 fps and 0.5 s, the frame at 1.00 s is only 0.48 s after the one at 0.52 s)."""
        return cls(sampling.min_gap_s if sampling.min_gap_s > sampling.every_s else 0.0)

    def allows(self, frame: Timed) -> bool:
        return self._next_t is None or frame.t >= self._next_t

    def keep(self, frame: Timed) -> None:
        self._next_t = frame.t + self._min_gap_s


def select_frames(
    clip: Clip, sampling: Sampling, *, gap_here: bool, stats: DecodeStats | None = None
) -> Iterator[Frame | SkippedFrame]:
    """Give the frames of a clip that are worth a model's time, and those that were looked at in vain.

    A frame is looked at when it is the first at or after k * `every_s` for some k, counted from the
    video's beginning, so that shards do not matter; frames in the same millisecond count once. With
    `gap_here`, `min_gap_s` is applied here, and frames too soon after a kept one are not looked at;
    without, whoever filters further applies a `Gap`. Gap and memory of duplicates begin anew with
    each clip. `Frame.shot` is the time of the cut before the frame, or of the clip's first frame.

    Images of a folder are all looked at, each a shot of its own.

    Raises:
        SourceError: the video cannot be opened.
    """
    if clip.is_temporal:
        return _select_from_video(clip, sampling, gap_here=gap_here, stats=stats)
    return _select_images(clip, sampling)


def _select_from_video(
    clip: Clip, sampling: Sampling, *, gap_here: bool, stats: DecodeStats | None
) -> Iterator[Frame | SkippedFrame]:
    grid, shots = _Grid(_exact(sampling.every_s)), _Shots(sampling.shot_threshold)
    gap = MinGap.of(sampling) if gap_here else MinGap(0.0)
    judge = _Judge(clip.video_id, sampling)
    for decoded in decode_clip(clip, with_lead_in=True, stats=stats):
        is_due = grid.reaches(decoded)
        shot = shots.follow(decoded, is_lead_in=decoded.t < clip.start_s)
        if is_due and decoded.t >= clip.start_s and gap.allows(decoded):
            verdict = judge.judge(decoded, shot)
            if isinstance(verdict, Frame):
                gap.keep(verdict)
            yield verdict


def _select_images(clip: Clip, sampling: Sampling) -> Iterator[Frame | SkippedFrame]:
    judge = _Judge(clip.video_id, sampling.model_copy(update={"max_hash_distance": None}))
    for decoded in decode_clip(clip):
        try:
            yield judge.judge(decoded, shot=decoded.t_ms)
        except (NotAVideo, UnsupportedVideo):
            yield SkippedFrame(decoded.t_ms, decoded.t_ms, 0.0, "unreadable", decoded.name)


class _Grid:
    """The instants k * `every_s` of a video, and which frame is the first to reach each."""

    def __init__(self, every_s: Fraction) -> None:
        self._every_s = every_s
        self._step = -1
        self._t_ms = -1

    def reaches(self, decoded: Decoded) -> bool:
        """Whether this frame reaches an instant that the one before had not; told of every frame."""
        step = math.floor(decoded.t / self._every_s) if self._every_s else self._step + 1
        is_first = step > self._step and decoded.t_ms > self._t_ms
        if decoded.t_ms > self._t_ms:
            self._step, self._t_ms = step, decoded.t_ms
        return is_first


class _Shots:
    """Where the shot of the latest frame began."""

    def __init__(self, shot_threshold: float) -> None:
        self._cut_difference = shot_threshold
        self._thumbnail: LumaImage | None = None
        self._began_ms: int | None = None
        self._is_lead_in = False

    def follow(self, decoded: Decoded, *, is_lead_in: bool) -> int:
        """Take the next frame, whatever is done with it; gives the time in ms of its shot's first."""
        before, self._thumbnail = self._thumbnail, decoded.scaled_luma(THUMBNAIL_WIDTH_PX)
        is_cut = before is not None and begins_a_shot(
            before, self._thumbnail, shot_threshold=self._cut_difference
        )
        if self._is_lead_in or self._began_ms is None or is_cut:
            self._began_ms = decoded.t_ms
        self._is_lead_in = is_lead_in
        return self._began_ms


class _Judge:
    """The cheap rules, with a memory of the candidates that passed."""

    def __init__(self, video_id: str, sampling: Sampling) -> None:
        self._video_id = video_id
        self._sampling = sampling
        self._shot: int | None = None
        self._remembered: deque[imagehash.ImageHash] = deque(maxlen=REMEMBERED_CANDIDATES)

    def judge(self, decoded: Decoded, shot: int) -> Frame | SkippedFrame:
        """Convert the colors only of a frame that passes. Raises `SourceError` for a broken image."""
        luma = decoded.scaled_luma(SHARPNESS_WIDTH_PX)
        sharpness = measure_sharpness(luma)
        rule = self._find_fault(luma, sharpness, shot)
        if rule is not None:
            return SkippedFrame(decoded.t_ms, shot, sharpness, rule, decoded.name)
        return Frame(
            video_id=self._video_id,
            t_ms=decoded.t_ms,
            rgb=decoded.to_rgb(),
            shot=shot,
            sharpness=sharpness,
            name=decoded.name,
            t=decoded.t,
        )

    def _find_fault(
        self, luma: LumaImage, sharpness: float, shot: int
    ) -> Literal["blurred", "near_duplicate"] | None:
        if sharpness < self._sampling.min_sharpness:
            return "blurred"
        if self._sampling.max_hash_distance is None:
            return None
        if shot != self._shot:
            self._remembered.clear()
            self._shot = shot
        hashed = hash_luma(luma)
        if any(hashed - other <= self._sampling.max_hash_distance for other in self._remembered):
            return "near_duplicate"
        self._remembered.append(hashed)
        return None


def _exact(seconds: float) -> Fraction:
    """0.1 is a tenth, not the nearest binary fraction."""
    return Fraction(str(seconds))
