"""Clips and frames, the input of a segmenter."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""HxWx3, RGB, 0 to 255."""
LumaImage = NDArray[np.uint8]
"""HxW, 0 (black) to 255 (white), for any coded range."""


Gap = tuple[Fraction, Fraction]
"""Start and end, in seconds, of a stretch without frames."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A time range of one video, `start_s` <= t < `end_s` (None: to the end), or a list of images.

    A video has a `path`. A folder has `images`, and no temporal step applies to them.

    >>> Clip("1f0c", Path("street.mp4"), start_s=Fraction(60), end_s=Fraction(120)).is_temporal
    True
    >>> Clip("9ab2", images=(ImageFile(0, Path("cat.jpg")),)).is_temporal
    False
    """

    video_id: str
    path: Path | None = None
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None
    images: tuple["ImageFile", ...] = ()
    gaps: tuple[Gap, ...] = ()
    """Stretches of the whole video without frames, in order: the camera was off."""
    levels: tuple[int, int] | None = None
    """The levels of 16-bit images that are shown as black and as white; None: each image's own."""

    @property
    def is_temporal(self) -> bool:
        return self.path is not None


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image of a folder; its `position` never changes, whatever is added to the folder later."""

    position: int
    path: Path
    original_name: str = ""
    """Name at the source; empty if it is the name of the file."""
    pts_ms: int | None = None
    """Presentation time in ms, if the images are the frames of one shot."""

    @property
    def name(self) -> str:
        return self.original_name or self.path.name


def frame_key(pts_ms: int | None, index: int | None) -> int:
    """Return the number that identifies a frame within its video or set: the index, or else the time in ms.

    >>> frame_key(2500, None), frame_key(2500, 5)
    (2500, 5)
    """
    key = pts_ms if index is None else index
    if key is None:
        raise TypeError("a frame requires pts_ms or index: set pts_ms for a video, index for an image")
    return key


@dataclass(frozen=True, slots=True, eq=False)
class LazyImage:
    """Pixels that are decoded each time they are read."""

    size_hw: tuple[int, int]
    read: Callable[[], RgbImage]

    def mirror(self) -> "LazyImage":
        return LazyImage(self.size_hw, lambda: _flip(self.read()))


def _flip(rgb: RgbImage) -> RgbImage:
    return np.ascontiguousarray(rgb[:, ::-1])


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a clip, identified by (`video_id`, `key`).

    >>> frame = Frame("1f0c", 2500, np.zeros((360, 640, 3), dtype=np.uint8))
    >>> frame.size_hw
    (360, 640)
    """

    video_id: str
    pts_ms: int | None
    """Presentation time in ms; None for an image without a time."""
    pixels: RgbImage | LazyImage
    shot: int = 0
    """Presentation time in ms of the first frame of this shot; the index of an image without a time."""
    sharpness: float = 0.0
    name: str = ""
    """File name of an image of a folder; empty for frames of a video."""
    t: Fraction = Fraction(0)
    """Exact presentation time in seconds; `pts_ms` is this, rounded. 0 for an image without a time."""
    index: int | None = None
    """Position of an image in its set; None for a frame of a video."""
    is_mirrored: bool = False
    """The image is flipped left to right."""

    @property
    def key(self) -> int:
        return frame_key(self.pts_ms, self.index)

    @property
    def rgb(self) -> RgbImage:
        """The image; of a lazy one this decodes it. Raises `SourceError` then if the video can no longer be read."""
        return self.pixels.read() if isinstance(self.pixels, LazyImage) else self.pixels

    @property
    def size_hw(self) -> tuple[int, int]:
        if isinstance(self.pixels, LazyImage):
            return self.pixels.size_hw
        height, width = self.pixels.shape[:2]
        return height, width

    def mirror(self) -> Self:
        """Return the frame flipped left to right."""
        pixels = self.pixels.mirror() if isinstance(self.pixels, LazyImage) else _flip(self.pixels)
        return replace(self, pixels=pixels, is_mirrored=not self.is_mirrored)
