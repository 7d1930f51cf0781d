"""What a static camera knows: somebody who is there moves, a coat on its hook does not, and nobody moves unseen.

A pixel is still where it hardly changes in the course of a shot and looks now as it mostly does: who walks
through changes each pixel for a moment only, but in that moment he covers it. Compared are small luma
images of one shard's part of a shot. Where the camera moves, everything does, and nothing is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import Frame
from labeling.structures.masks import BoolArray, BoxXywh, Mask
from labeling.trust.missed_people import find_missed, is_steady
from labeling.video.color import LumaImage
from labeling.video.luma import shrink_luma, shrunk_wh

WIDTH_PX = 160
"""Of the images that are compared; a narrower one is not enlarged."""
REMEMBERED = 64
"""Images of a shot that are held at once; of a longer one every second, every fourth and so on."""
SHORTEST_SHOT_MS = 15_000
FEWEST_IMAGES = 10
"""A shot shorter than these says nothing: people stand still for so long."""
BRIEF = 5
"""Per cent of the darkest and of the brightest moments of a pixel that are left out: somebody passed by."""
NOISE_LEVELS = 20
"""Of 255, that a pixel of a still scene changes by: noise, coding, a lamp."""


_Key = tuple[int, tuple[int, int]]
"""When a shot began, and the width and height of its small images."""


@dataclass(slots=True)
class _ShotRecorder:
    """Small images of a shot, evenly spread over it."""

    first_ms: int
    last_ms: int = 0
    seen: int = 0
    stride: int = 1
    times: list[int] = field(default_factory=list)
    """In ms, of the images."""
    images: list[LumaImage] = field(default_factory=list)

    def add(self, t_ms: int, image: LumaImage) -> None:
        self.last_ms = t_ms
        if self.seen % self.stride == 0:
            self.times.append(t_ms)
            self.images.append(image)
        self.seen += 1
        if len(self.images) > REMEMBERED:
            self.times, self.images = self.times[::2], self.images[::2]
            self.stride *= 2

    def close(self) -> "_ShotStatistics | None":
        """What was there all the time; None: too short to say."""
        if self.last_ms - self.first_ms < SHORTEST_SHOT_MS or len(self.images) < FEWEST_IMAGES:
            return None
        images = np.stack(self.images)
        shares = (BRIEF, 25, 50, 75, 100 - BRIEF)
        low, below, usual, above, high = np.percentile(images, shares, axis=0).astype(np.float32)
        return _ShotStatistics(
            usual=usual,
            changes=np.asarray(high - low > NOISE_LEVELS),
            stands=is_steady(usual, np.asarray(above - below <= NOISE_LEVELS)),
            times=np.array(self.times),
            images=images,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _ShotStatistics:
    """A shot that is over."""

    usual: NDArray[np.float32]
    """Median level of each small pixel."""
    changes: BoolArray
    """Which of them vary."""
    stands: bool
    """Whether the camera does."""
    times: NDArray[np.int64]
    """In ms, of the images that were held."""
    images: NDArray[np.uint8]
    """NxHxW."""

    def moving(self, image: LumaImage) -> BoolArray:
        """Which pixels of one of its images belong to something that moves."""
        differs: BoolArray = np.abs(image - self.usual) > NOISE_LEVELS
        return self.changes | differs

    def alike(self, image: LumaImage) -> BoolArray:
        """Where each of the held images looks like this one, NxHxW."""
        return np.array([cv2.absdiff(one, image) <= NOISE_LEVELS for one in self.images])

    def beside(self, t_ms: int) -> list[int]:
        """Positions of the held images before and after this time, as far as there are any."""
        before = int(np.searchsorted(self.times, t_ms)) - 1
        after = int(np.searchsorted(self.times, t_ms, side="right"))
        return [place for place in (before, after) if 0 <= place < len(self.times)]


class StaticRegionDetector:
    """Watches the frames of a clip, in order of time; asked at its end."""

    def __init__(self) -> None:
        self._current: tuple[_Key, _ShotRecorder] | None = None
        self._scenes: dict[_Key, _ShotStatistics | None] = {}
        self._kept: dict[int, tuple[_Key, LumaImage]] = {}

    def watch(self, frame: Frame) -> None:
        key = frame.shot, shrunk_wh(frame.size_hw, WIDTH_PX)
        if self._current is None or self._current[0] != key:
            self._close_shot()
            self._current = key, _ShotRecorder(frame.t_ms)
        self._current[1].add(frame.t_ms, shrink_luma(frame.rgb, WIDTH_PX))

    def keep(self, frame: Frame) -> None:
        """Remember a frame whose masks will be asked about."""
        self._kept[frame.t_ms] = (
            (frame.shot, shrunk_wh(frame.size_hw, WIDTH_PX)),
            shrink_luma(frame.rgb, WIDTH_PX),
        )

    def moving_fraction(self, mask: Mask, t_ms: int) -> float | None:
        """Share of a kept frame's mask that belongs to something that moves, in [0, 1]; None: unknown.

        Unknown are masks of short shots, and those too small for a single one of the small pixels.
        """
        scene, image = self._recall(t_ms)
        if scene is None:
            return None
        inside = _shrink(mask, image)
        return float(scene.moving(image)[inside].mean()) if inside.any() else None

    def find_missed(self, masks: Sequence[Mask], t_ms: int, *, min_share: float) -> BoxXywh | None:
        """Where in a kept frame, in its pixels, somebody moves outside all masks; None: nowhere, or unknown.

        Unknown are frames of short shots, of a camera that moves, and without masks (see `missed.find_missed`).
        """
        scene, image = self._recall(t_ms)
        if scene is None or not scene.stands:
            return None
        people = [small for mask in masks if (small := _shrink(mask, image)).any()]
        box = find_missed(scene.alike(image), scene.beside(t_ms), people, min_share=min_share)
        return box and _enlarge(box, image, masks[0].size_hw)

    def _recall(self, t_ms: int) -> tuple[_ShotStatistics | None, LumaImage]:
        """A kept frame's shot, None where it is too short, and its small image."""
        self._close_shot()
        key, image = self._kept[t_ms]
        return self._scenes.get(key), image

    def _close_shot(self) -> None:
        """Keep of a shot that is over what it says, and nothing of a short one."""
        if self._current:
            key, shot = self._current
            self._scenes[key], self._current = shot.close(), None


def _shrink(mask: Mask, image: LumaImage) -> BoolArray:
    """A mask as small as the image."""
    pixels = mask.to_array().astype(np.uint8)
    return cv2.resize(pixels, image.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _enlarge(box_xywh: BoxXywh, image: LumaImage, size_hw: tuple[int, int]) -> BoxXywh:
    """A box of the small image in the frame's pixels."""
    across, down = size_hw[1] / image.shape[1], size_hw[0] / image.shape[0]
    x, y, w, h = box_xywh
    return x * across, y * down, w * across, h * down
