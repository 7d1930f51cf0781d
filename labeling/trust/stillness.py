"""What a static camera knows: somebody who is there moves, and a coat on its hook does not.

A pixel is still where it hardly changes in the course of a shot and looks now as it mostly does: who walks
through changes each pixel for a moment only, but in that moment he covers it. Compared are small luma
pictures of one shard's part of a shot. Where the camera moves, everything does, and nothing is said.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.instances import Frame
from labeling.luma import shrink_luma, shrunk_wh
from labeling.masks import BoolArray, Mask

WIDTH_PX = 160
"""Of the pictures that are compared; a narrower one is not enlarged."""
REMEMBERED = 64
"""Pictures of a shot that are held at once; of a longer one every second, every fourth and so on."""
SHORTEST_SHOT_MS = 15_000
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

    def close(self) -> "_Scene | None":
        """What was there all the time; None: too short to say."""
        if self.last_ms - self.first_ms < SHORTEST_SHOT_MS or len(self.pictures) < FEWEST_PICTURES:
            return None
        low, usual, high = np.percentile(np.stack(self.pictures), (BRIEF, 50, 100 - BRIEF), axis=0)
        return _Scene(usual.astype(np.float32), np.asarray(high - low > NOISE_LEVELS))


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A shot that is over."""

    usual: NDArray[np.float32]
    """Median level of each small pixel."""
    changes: BoolArray
    """Which of them vary."""

    def moving(self, picture: NDArray[Any]) -> BoolArray:
        """Which pixels of one of its pictures belong to something that moves."""
        return self.changes | (np.abs(picture - self.usual) > NOISE_LEVELS)


class Stillness:
    """Watches the frames of a clip, in order of time; asked at its end."""

    def __init__(self) -> None:
        self._current: tuple[_Key, _Shot] | None = None
        self._scenes: dict[_Key, _Scene | None] = {}
        self._kept: dict[int, tuple[_Key, NDArray[Any]]] = {}

    def watch(self, frame: Frame) -> None:
        key = frame.shot, shrunk_wh(frame.size_hw, WIDTH_PX)
        if self._current is None or self._current[0] != key:
            self._close_shot()
            self._current = key, _Shot(frame.t_ms)
        self._current[1].add(frame.t_ms, shrink_luma(frame.rgb, WIDTH_PX))

    def keep(self, frame: Frame) -> None:
        """Remember a frame whose masks will be asked about."""
        self._kept[frame.t_ms] = (
            (frame.shot, shrunk_wh(frame.size_hw, WIDTH_PX)),
            shrink_luma(frame.rgb, WIDTH_PX),
        )

    def _close_shot(self) -> None:
        """Keep of a shot that is over only what was there all the time."""
        if self._current:
            key, shot = self._current
            self._scenes[key], self._current = shot.close(), None

    def moving_share(self, mask: Mask, t_ms: int) -> float | None:
        """Share of a kept frame's mask that belongs to something that moves, in [0, 1]; None: unknown.

        Unknown are masks of short shots, and those too small for a single one of the small pixels.
        """
        self._close_shot()
        key, picture = self._kept[t_ms]
        scene = self._scenes.get(key)
        if scene is None:
            return None
        pixels = mask.to_array().astype(np.uint8)
        inside = cv2.resize(pixels, key[1], interpolation=cv2.INTER_NEAREST) > 0
        return float(scene.moving(picture)[inside].mean()) if inside.any() else None
