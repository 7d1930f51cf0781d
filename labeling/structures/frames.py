"""Clips and frames, the input of a segmenter."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""HxWx3, RGB, 0 to 255."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A time range of one video, `start_s` <= t < `end_s` (None: to the end), or a list of images.

    A video has `path`; a folder of images has `images`, whose position in that list stands
    where a video has milliseconds, and no temporal step applies to it.
    """

    video_id: str
    path: Path | None = None
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None
    images: tuple["ImageFile", ...] = ()

    @property
    def is_temporal(self) -> bool:
        return self.path is not None


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image of a folder: `position` is its frame number for good, whatever is added later."""

    position: int
    path: Path
    original_name: str = ""
    """What it is called where it came from; empty: as the file."""
    t_ms: int | None = None
    """When it was taken, where the images are the frames of one shot."""

    @property
    def name(self) -> str:
        return self.original_name or self.path.name


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One candidate image, known by (video, `t_ms`)."""

    video_id: str
    t_ms: int
    rgb: RgbImage
    shot: int = 0
    """Presentation time in ms of the cut that began this shot."""
    sharpness: float = 0.0
    name: str = ""
    """File name, for images of a folder; empty for frames of a video."""
    t: Fraction = Fraction(0)
    """Exact presentation time in seconds, which `t_ms` rounds."""

    @property
    def size_hw(self) -> tuple[int, int]:
        height, width = self.rgb.shape[:2]
        return height, width

    def mirror(self) -> Self:
        """The image as a mirror shows it, left and right changed."""
        return replace(self, rgb=np.ascontiguousarray(self.rgb[:, ::-1]))
