"""Moving backgrounds: videos, and still images over which the camera pans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import EmptyVideo
from labeling.structures.frames import Clip, RgbImage
from labeling.synthetic.room import draw_room
from labeling.video.decode import decode_clip
from labeling.video.images import read_image

RNG = np.random.Generator
ROOM_HW = (360, 640)
MAX_ZOOM = 1.4
"""Largest enlargement of a background beyond what covers the image and the pan."""


class Background(Protocol):
    """Images behind the people of a clip."""

    @property
    def name(self) -> str: ...

    def fingerprint(self) -> str:
        """Return what identifies the content."""
        ...

    def images(self, rng: RNG, times_s: Sequence[Fraction]) -> Iterator[RgbImage]:
        """Yield an image for each time of the clip, whose first is 0."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DrawnBackground:
    """An image in memory."""

    name: str
    rgb: RgbImage

    def fingerprint(self) -> str:
        return f"{self.name} {sha256(np.ascontiguousarray(self.rgb).tobytes()).hexdigest()}"

    def images(self, rng: RNG, times_s: Sequence[Fraction]) -> Iterator[RgbImage]:
        yield from (self.rgb for _ in times_s)


@dataclass(frozen=True, slots=True)
class RoomBackground:
    """A rendered room, drawn when it is shown."""

    seed: int

    @property
    def name(self) -> str:
        return f"room {self.seed}"

    def fingerprint(self) -> str:
        return self.name

    def images(self, rng: RNG, times_s: Sequence[Fraction]) -> Iterator[RgbImage]:
        backdrop = draw_room(ROOM_HW, self.seed).backdrop
        rgb = np.clip(backdrop, 0, 255).astype(np.uint8)
        yield from (rgb for _ in times_s)


@dataclass(frozen=True, slots=True)
class StillBackground:
    """An image file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def fingerprint(self) -> str:
        return _name_and_size(self.path)

    def images(self, rng: RNG, times_s: Sequence[Fraction]) -> Iterator[RgbImage]:
        rgb = read_image(self.path)
        yield from (rgb for _ in times_s)


@dataclass(frozen=True, slots=True)
class VideoBackground:
    """A video; a random part of it is played. If it is too short, its last frame stays."""

    path: Path
    duration_s: Fraction

    @property
    def name(self) -> str:
        return self.path.name

    def fingerprint(self) -> str:
        return _name_and_size(self.path)

    def images(self, rng: RNG, times_s: Sequence[Fraction]) -> Iterator[RgbImage]:
        room_s = max(Fraction(0), self.duration_s - times_s[-1])
        start_s = room_s * Fraction(int(rng.integers(0, 1000)), 1000)
        decoded = decode_clip(Clip(self.path.stem, self.path, start_s=start_s))
        shown = next(decoded, None)
        if shown is None:
            raise EmptyVideo(
                f"background {self.path}: no frame from {float(start_s):.2f} s on; remove the file"
            )
        following, rgb = next(decoded, None), shown.to_rgb()
        for time_s in times_s:
            latest = shown
            while following is not None and following.t <= start_s + time_s:
                latest, following = following, next(decoded, None)
            if latest is not shown:
                shown, rgb = latest, latest.to_rgb()
            yield rgb


def _name_and_size(path: Path) -> str:
    return f"{path.name} {path.stat().st_size}"


@dataclass(frozen=True, slots=True)
class Pan:
    """The window of a background that a clip shows; it moves from one place to another."""

    zoom: float
    """Enlargement beyond what covers the window and its way."""
    start: tuple[float, float]
    end: tuple[float, float]
    """Positions of the window (x, y), as shares of the free way, 0 to 1."""
    way: tuple[float, float]
    """Way of the window (x, y), as a share of its sides."""
    is_mirrored: bool

    @classmethod
    def random(cls, rng: RNG, largest: float) -> "Pan":
        start, end = rng.uniform(0, 1, (2, 2))
        way = rng.uniform(0.3, 1.0, 2) * largest
        return cls(
            float(rng.uniform(1.0, MAX_ZOOM)),
            (float(start[0]), float(start[1])),
            (float(end[0]), float(end[1])),
            (float(way[0]), float(way[1])),
            bool(rng.random() < 0.5),  # noqa: PLR2004
        )

    def show(self, rgb: RgbImage, size_hw: tuple[int, int], progress: float) -> NDArray[np.float32]:
        """Return the window at `progress` (0 to 1) of its way, HxWx3 from 0 to 255."""
        height, width = size_hw
        needed = (width * (1 + self.way[0]), height * (1 + self.way[1]))
        scale = self.zoom * max(needed[0] / rgb.shape[1], needed[1] / rgb.shape[0])
        size_wh = (int(np.ceil(scale * rgb.shape[1])), int(np.ceil(scale * rgb.shape[0])))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(rgb, size_wh, interpolation=interpolation)
        if self.is_mirrored:
            scaled = scaled[:, ::-1]
        eased = (1 - np.cos(np.pi * progress)) / 2
        place = (1 - eased) * np.array(self.start) + eased * np.array(self.end)
        free = np.array([size_wh[0] - width, size_wh[1] - height])
        margin = (free - np.array(self.way) * (width, height)) / 2
        left, top = margin + place * np.array(self.way) * (width, height)
        move = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
        window = cv2.warpAffine(
            np.ascontiguousarray(scaled),
            move,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(window, dtype=np.float32)
