"""Reads the images between two frames of a video, small and at a steady pace, for optical flow."""

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from labeling.structures.frames import Clip, LumaImage, RgbImage
from labeling.video.decode import decode_clip, to_ms
from labeling.video.luma import shrunk_wh

WIDTH_PX = 640
"""Width of the images; narrower videos are not enlarged. 50 images of 640x360 are 35 MB."""
STEP_MS = 30
"""Shortest time between two images that are not asked for: a video of 60 frames a second is read at 30."""
MOST_IMAGES = 64
"""Images of a strip, besides those asked for; a longer time is read at longer steps. With their flow they take 160 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class StripImage:
    """One image of a strip."""

    pts_ms: int
    rgb: RgbImage
    """At most `WIDTH_PX` wide."""

    @property
    def luma(self) -> LumaImage:
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def read_strip(clip: Clip, *, keep_ms: Collection[int]) -> list[StripImage]:
    """Read a time range of a video in order: the frames at `keep_ms`, and others at least `STEP_MS` apart.

    Raises:
        SourceError: the file cannot be opened.
    """
    strip: list[StripImage] = []
    step_ms = _step_ms(keep_ms)
    for decoded in decode_clip(clip):
        pts_ms = decoded.pts_ms if decoded.pts_ms is not None else to_ms(decoded.t)
        if pts_ms in keep_ms or not strip or pts_ms - strip[-1].pts_ms >= step_ms:
            strip.append(StripImage(pts_ms, shrink(decoded.to_rgb())))
    return strip


def _step_ms(keep_ms: Collection[int]) -> float:
    """Return the time between two images, for a strip that reaches from the first to the last frame asked for."""
    span_ms = max(keep_ms, default=0) - min(keep_ms, default=0)
    return max(STEP_MS, span_ms / MOST_IMAGES)


def clip_around(clip: Clip, *, from_ms: int, to_ms: int) -> Clip:
    """Return the part of a video from one time to another, both included."""
    margin_s = Fraction(1, 2000)  # times are rounded to ms
    start_s, end_s = Fraction(from_ms, 1000) - margin_s, Fraction(to_ms, 1000) + margin_s
    return Clip(clip.video_id, clip.path, max(Fraction(0), start_s), end_s)


def shrink(rgb: RgbImage, width_px: int = WIDTH_PX) -> RgbImage:
    """Return an image scaled by area to at most `width_px`."""
    size_wh = shrunk_wh((rgb.shape[0], rgb.shape[1]), width_px)
    return np.asarray(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
