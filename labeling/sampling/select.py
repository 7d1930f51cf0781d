"""Sampling of decoded frames, and cheap rules that reject some of them."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol, Self

import imagehash

from configs.errors import NotAVideo, UnsupportedVideo
from configs.models import Sampling
from labeling.structures.frames import Clip, Frame, LumaImage, frame_key
from labeling.video.decode import Decoded, DecodeStats, decode_clip, to_ms
from labeling.video.luma import hash_luma, measure_sharpness
from labeling.video.shots import begins_a_shot

THUMBNAIL_WIDTH_PX = 64
"""Size at which every decoded frame is checked for a cut."""

SHARPNESS_WIDTH_PX = 640
"""Size at which sharpness and hash are computed; a narrower image is not enlarged."""

REMEMBERED_CANDIDATES = 8
"""Number of kept frames of a shot that a new frame is compared with."""


SkipRule = Literal["blurred", "near_duplicate", "unreadable"]


@dataclass(frozen=True, slots=True)
class SkippedFrame:
    """A sampled frame that a cheap rule rejected, before its colors were converted."""

    pts_ms: int | None
    """Presentation time in ms; None for an image without a time."""
    shot: int
    """As in `Frame`."""
    sharpness: float
    rule: SkipRule
    name: str = ""
    index: int | None = None
    """Position of an image in its set; None for a frame of a video."""


class Timed(Protocol):
    """Anything with an exact time in seconds: a `Frame`, a `Decoded`."""

    @property
    def t(self) -> Fraction: ...


@dataclass(slots=True)
class ShotBounds:
    """Where the shots of a clip begin and end, beside the sampled frames."""

    starts_with_cut: bool = False
    """The first frame does not continue the shot of the frame before it; True for the beginning of a video."""
    last_shot: int | None = None
    """The shot of the last frame, sampled or not."""


class MinGap:
    """The shortest time from one kept frame to the next, in exact arithmetic."""

    def __init__(self, min_gap_s: float) -> None:
        self.min_gap_s = _exact(min_gap_s)
        self._next_t: Fraction | None = None

    @classmethod
    def of(cls, sampling: Sampling) -> Self:
        """Return the gap of these settings; 0 if the sampling grid keeps it already.

        The grid keeps a gap up to `every_s` to within the duration of a frame. Enforced exactly, such a
        gap would lose every second frame where the frame rate does not divide the grid: at 25 fps and
        0.5 s, the frame at 1.00 s is only 0.48 s after the one at 0.52 s.
        """
        return cls(sampling.min_gap_s if sampling.min_gap_s > sampling.every_s else 0.0)

    def allows(self, frame: Timed) -> bool:
        return self._next_t is None or frame.t >= self._next_t

    def keep(self, frame: Timed) -> None:
        self._next_t = frame.t + self.min_gap_s


def select_frames(
    clip: Clip,
    sampling: Sampling,
    *,
    gap_here: bool,
    stats: DecodeStats | None = None,
    bounds: ShotBounds | None = None,
) -> Iterator[Frame | SkippedFrame]:
    """Yield the sampled frames of a clip, accepted or rejected.

    A frame is sampled if it is the first at or after k * `every_s` for some k, counted from the
    beginning of the video, so that shards do not matter; of frames in the same millisecond only one is
    sampled. With `gap_here`, frames within `min_gap_s` of a kept one are not sampled; without, the
    caller applies a `MinGap` after its own filters. The gap and the memory of duplicates begin anew
    with each clip. `Frame.shot` is the time of the last cut, or of the clip's first frame; `bounds` are complete
    after the last frame.

    All images of a folder are sampled. Each is a shot of its own; images with times are one shot together.

    Raises:
        SourceError: the video cannot be opened.
    """
    if clip.is_temporal:
        bounds = bounds or ShotBounds()
        return _select_from_video(clip, sampling, gap_here=gap_here, stats=stats, bounds=bounds)
    return _select_images(clip, sampling)


def _select_from_video(
    clip: Clip, sampling: Sampling, *, gap_here: bool, stats: DecodeStats | None, bounds: ShotBounds
) -> Iterator[Frame | SkippedFrame]:
    grid, shots = _Grid(_exact(sampling.every_s)), _ShotTracker(sampling.shot_threshold, bounds)
    gap = MinGap.of(sampling) if gap_here else MinGap(0.0)
    frame_filter = _FrameFilter(clip.video_id, sampling)
    for decoded in decode_clip(clip, with_lead_in=True, stats=stats):
        is_due = grid.reaches(decoded)
        shot = shots.follow(decoded, is_lead_in=decoded.t < clip.start_s)
        if is_due and decoded.t >= clip.start_s and gap.allows(decoded):
            result = frame_filter.apply(decoded, shot)
            if isinstance(result, Frame):
                gap.keep(result)
            yield result


def _select_images(clip: Clip, sampling: Sampling) -> Iterator[Frame | SkippedFrame]:
    frame_filter = _FrameFilter(clip.video_id, sampling.model_copy(update={"max_hash_distance": None}))
    first_ms = next((image.pts_ms for image in clip.images if image.pts_ms is not None), 0)
    for decoded in decode_clip(clip):
        shot = frame_key(decoded.pts_ms, decoded.index) if decoded.pts_ms is None else first_ms
        try:
            yield frame_filter.apply(decoded, shot)
        except (NotAVideo, UnsupportedVideo):
            yield _skipped(decoded, shot, 0.0, "unreadable")


class _Grid:
    """The instants k * `every_s` of a video, and which frame is the first to reach each."""

    def __init__(self, every_s: Fraction) -> None:
        self._every_s = every_s
        self._step = -1
        self._last_ms = -1

    def reaches(self, decoded: Decoded) -> bool:
        """Return whether this frame is the first to reach an instant; requires every frame, in order."""
        step = math.floor(decoded.t / self._every_s) if self._every_s else self._step + 1
        now_ms = to_ms(decoded.t)
        is_first = step > self._step and now_ms > self._last_ms
        if now_ms > self._last_ms:
            self._step, self._last_ms = step, now_ms
        return is_first


class _ShotTracker:
    """The start of the current shot, updated frame by frame."""

    def __init__(self, shot_threshold: float, bounds: ShotBounds) -> None:
        self._shot_threshold = shot_threshold
        self._bounds = bounds
        self._thumbnail: LumaImage | None = None
        self._start_ms: int | None = None
        self._is_lead_in = False

    def follow(self, decoded: Decoded, *, is_lead_in: bool) -> int:
        """Take the next decoded frame and return the start of its shot in ms."""
        before, self._thumbnail = self._thumbnail, decoded.scaled_luma(THUMBNAIL_WIDTH_PX)
        is_cut = before is not None and begins_a_shot(
            before, self._thumbnail, shot_threshold=self._shot_threshold
        )
        is_first = not is_lead_in and (self._is_lead_in or self._start_ms is None)
        if is_first:
            self._bounds.starts_with_cut = is_cut or before is None
        if is_first or is_cut or self._start_ms is None:
            self._start_ms = to_ms(decoded.t)
        self._is_lead_in = is_lead_in
        self._bounds.last_shot = self._start_ms
        return self._start_ms


class _FrameFilter:
    """The cheap rules, with a memory of the frames that passed."""

    def __init__(self, video_id: str, sampling: Sampling) -> None:
        self._video_id = video_id
        self._sampling = sampling
        self._shot: int | None = None
        self._kept_hashes: deque[imagehash.ImageHash] = deque(maxlen=REMEMBERED_CANDIDATES)

    def apply(self, decoded: Decoded, shot: int) -> Frame | SkippedFrame:
        """Apply the rules; the colors are converted only for a frame that passes."""
        luma = decoded.scaled_luma(SHARPNESS_WIDTH_PX)
        sharpness = measure_sharpness(luma)
        rule = self._find_rule(luma, sharpness, shot)
        if rule is not None:
            return _skipped(decoded, shot, sharpness, rule)
        return Frame(
            video_id=self._video_id,
            pts_ms=decoded.pts_ms,
            pixels=decoded.to_rgb(),
            shot=shot,
            sharpness=sharpness,
            name=decoded.name,
            t=decoded.t,
            index=decoded.index,
        )

    def _find_rule(
        self, luma: LumaImage, sharpness: float, shot: int
    ) -> Literal["blurred", "near_duplicate"] | None:
        if sharpness < self._sampling.min_sharpness:
            return "blurred"
        if self._sampling.max_hash_distance is None:
            return None
        if shot != self._shot:
            self._kept_hashes.clear()
            self._shot = shot
        hashed = hash_luma(luma)
        if any(hashed - kept <= self._sampling.max_hash_distance for kept in self._kept_hashes):
            return "near_duplicate"
        self._kept_hashes.append(hashed)
        return None


def _skipped(decoded: Decoded, shot: int, sharpness: float, rule: SkipRule) -> SkippedFrame:
    return SkippedFrame(decoded.pts_ms, shot, sharpness, rule, decoded.name, decoded.index)


def _exact(seconds: float) -> Fraction:
    """Convert exactly: 0.1 is a tenth, not the nearest binary fraction."""
    return Fraction(str(seconds))
