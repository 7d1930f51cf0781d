"""What a static camera knows: somebody who is there moves, and a coat on its hook does not.

Pixels are compared over a whole shot, on small luma pictures. Where the camera moves, everything does,
and nothing is said.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.instances import Frame
from labeling.masks import BoolArray, Mask

WIDTH_PX = 160
"""Of the pictures that are compared; a narrower one is not enlarged."""
REMEMBERED = 64
"""Pictures of a shot that are held at once; of a longer one every second, every fourth and so on."""
SHORTEST_SHOT_MS = 20_000
FEWEST_PICTURES = 10
"""A shot shorter than these says nothing: people stand still for so long."""
BRIEF = 5
"""Per cent of the darkest and of the brightest moments of a pixel that are left out: somebody passed by."""
NOISE_LEVELS = 20
"""Of 255, that a pixel of a still scene changes by: noise, coding, a lamp."""


_Key = tuple[int, tuple[int, int]]
"""When a shot began, and the width and height of its small pictures."""


@dataclass(slots=True)
class _Shot:
    """Small pictures of a shot, evenly spread over it."""

    first_ms: int
    last_ms: int = 0
    seen: int = 0
    stride: int = 1
    pictures: list[NDArray[Any]] = field(default_factory=list)

    def add(self, t_ms: int, picture: NDArray[Any]) -> None:
        self.last_ms = t_ms
        if self.seen % self.stride == 0:
            self.pictures.append(picture)
        self.seen += 1
        if len(self.pictures) > REMEMBERED:
            self.pictures, self.stride = self.pictures[::2], 2 * self.stride

    def moving(self) -> BoolArray | None:
        """Which of the small pixels change; None: too short to say."""
        if self.last_ms - self.first_ms < SHORTEST_SHOT_MS or len(self.pictures) < FEWEST_PICTURES:
            return None
        low, high = np.percentile(np.stack(self.pictures), (BRIEF, 100 - BRIEF), axis=0)
        return np.asarray(high - low > NOISE_LEVELS)


class Stillness:
    """Watches the frames of a clip, in order of time; asked at its end."""

    def __init__(self) -> None:
        self._current: tuple[_Key, _Shot] | None = None
        self._moving: dict[_Key, BoolArray | None] = {}

    def watch(self, frame: Frame) -> None:
        key = frame.shot, _small_size_wh(frame.size_hw)
        if self._current is None or self._current[0] != key:
            self._close_shot()
            self._current = key, _Shot(frame.t_ms)
        small = cv2.resize(frame.rgb, key[1], interpolation=cv2.INTER_AREA)
        self._current[1].add(frame.t_ms, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))

    def _close_shot(self) -> None:
        """Keep of a shot that is over only what moved."""
        if self._current:
            key, shot = self._current
            self._moving[key], self._current = shot.moving(), None

    def moving_share(self, mask: Mask, shot: int) -> float | None:
        """Share of a mask's pixels that move in the course of its shot, in [0, 1]; None: unknown.

        Unknown are masks of short shots, and those too small for a single one of the small pixels.
        """
        self._close_shot()
        size_wh = _small_size_wh(mask.size_hw)
        moving = self._moving.get((shot, size_wh))
        if moving is None:
            return None
        pixels = mask.to_array().astype(np.uint8)
        inside = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_NEAREST) > 0
        return float(moving[inside].mean()) if inside.any() else None


def _small_size_wh(size_hw: tuple[int, int]) -> tuple[int, int]:
    height, width = size_hw
    scale = min(1.0, WIDTH_PX / width)
    return max(1, round(width * scale)), max(1, round(height * scale))
