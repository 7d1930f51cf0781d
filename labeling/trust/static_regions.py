"""Detection of masks on objects that never move in a static shot (a coat, a poster), and of missed people.

A pixel is still where it hardly changes during a shot and looks now as it does in the median. A person who walks
through changes each pixel only for a moment, but covers it in that moment. Small luma images of one shard's part of
a shot are compared. Where the camera moves, every pixel changes, so no mask is called still.

Each look of a shot (day, infrared) has its own statistics. Clocks and other overlays change all the time and are no people:
they neither move nor are missed.
"""

from collections import ChainMap, Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.background.looks import LookFinder, LookThumbnail
from labeling.background.overlays import find_overlays
from labeling.storage.observations import Observation
from labeling.structures.frames import Frame, LumaImage, RgbImage
from labeling.structures.masks import BoolArray, BoxXywh, Mask
from labeling.trust.missed_people import find_missed, is_steady
from labeling.video.luma import shrink_luma, shrunk_wh

WIDTH_PX = 160
"""Width of the compared images; narrower images are not enlarged."""
REMEMBERED = 64
"""Most images held of one shot; of a longer shot every second, every fourth and so on."""
SHORTEST_SHOT_MS = 15_000
FEWEST_IMAGES = 10
"""In shorter shots people may stand still. Where the camera does too, their masks are doubted all the same: whether a
recorder cuts its files after ten seconds or after a minute must not decide what is accepted."""
BRIEF = 5
"""Percentage of the darkest and of the brightest moments of a pixel that are ignored: a person passed by."""
NOISE_LEVELS = 20
"""Levels, of 255, by which a pixel of a still scene changes: noise, coding, a lamp."""


OVERLAY_WIDTH_PX = 480
"""Width of the images in which clocks and other overlays are found: digits must be legible."""

_Key = tuple[int, tuple[int, int], int]
"""Start of the shot in ms, the width and height of its small images, and the number of the look."""


@dataclass(slots=True)
class _ShotRecorder:
    """Small images of a shot, evenly spread over it."""

    first_ms: int
    last_ms: int = 0
    seen: int = 0
    stride: int = 1
    times: list[int] = field(default_factory=list)
    """Of the images, in ms."""
    images: list[LumaImage] = field(default_factory=list)
    scale: float = 1.0
    """Of the frames to the sharp images."""
    sharp: list[LumaImage] = field(default_factory=list)
    """The same images, large enough to find overlays."""

    def add(self, pts_ms: int, rgb: RgbImage, luma: LumaImage) -> None:
        self.last_ms = pts_ms
        if self.seen % self.stride == 0:
            self.times.append(pts_ms)
            self.images.append(luma)
            self.sharp.append(shrink_luma(rgb, OVERLAY_WIDTH_PX))
            self.scale = rgb.shape[1] / self.sharp[-1].shape[1]
        self.seen += 1
        if len(self.images) > REMEMBERED:
            self.times, self.images, self.sharp = self.times[::2], self.images[::2], self.sharp[::2]
            self.stride *= 2

    def statistics(self) -> "_ShotStatistics | None":
        """Return the statistics of the shot; None: it has too few images."""
        if len(self.images) < FEWEST_IMAGES:
            return None
        images = np.stack(self.images)
        overlays = find_overlays(np.stack(self.sharp))
        percentiles = (BRIEF, 25, 50, 75, 100 - BRIEF)
        low, lower, median, upper, high = np.percentile(images, percentiles, axis=0).astype(np.float32)
        return _ShotStatistics(
            median=median,
            changes=np.asarray(high - low > NOISE_LEVELS),
            is_static=is_steady(median, np.asarray(upper - lower <= NOISE_LEVELS)),
            is_long=self.last_ms - self.first_ms >= SHORTEST_SHOT_MS,
            times=np.array(self.times),
            images=images,
            overlay_boxes=tuple(
                (self.scale * x, self.scale * y, self.scale * w, self.scale * h)
                for x, y, w, h in overlays.boxes
            ),
            overlay=cv2.resize(
                overlays.mask.astype(np.uint8), images.shape[:0:-1], interpolation=cv2.INTER_AREA
            )
            > 0
            if overlays
            else np.zeros(images.shape[1:], dtype=bool),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _ShotStatistics:
    """Statistics of a finished shot."""

    median: NDArray[np.float32]
    """Level of each small pixel."""
    changes: BoolArray
    """Which of them vary."""
    is_static: bool
    """The camera does not move."""
    is_long: bool
    """People do not stand still for so long."""
    times: NDArray[np.int64]
    """Of the held images, in ms."""
    images: NDArray[np.uint8]
    """NxHxW."""
    overlay_boxes: tuple[BoxXywh, ...]
    """In the frames' pixels."""
    overlay: BoolArray
    """Which small pixels belong to overlays."""

    def to_values(self) -> list[Any]:
        return [self.is_static, self.is_long, self.times.tolist(), self.overlay_boxes]

    def to_arrays(self, number: int) -> dict[str, NDArray[Any]]:
        """Return the arrays, apart from the images, by names that begin with the number of the shot."""
        return {f"{number}-{name}": getattr(self, name) for name in ("median", "changes", "overlay")}

    @classmethod
    def restore(
        cls,
        number: int,
        values: Sequence[Any],
        arrays: Mapping[str, NDArray[Any]],
        lumas: Mapping[int, LumaImage],
    ) -> Self:
        """Return what `to_values` and `to_arrays` gave."""
        is_static, is_long, times, boxes = values
        return cls(
            median=arrays[f"{number}-median"],
            changes=arrays[f"{number}-changes"],
            is_static=is_static,
            is_long=is_long,
            times=np.array(times),
            images=np.stack([lumas[pts_ms] for pts_ms in times]),
            overlay_boxes=tuple((x, y, w, h) for x, y, w, h in boxes),
            overlay=arrays[f"{number}-overlay"],
        )

    def moving(self, image: LumaImage) -> BoolArray:
        """Return which pixels of one of its images belong to something that moves."""
        differs: BoolArray = np.abs(image - self.median) > NOISE_LEVELS
        return (self.changes | differs) & ~self.overlay

    def alike(self, image: LumaImage) -> BoolArray:
        """Return where each of the held images looks like this one, NxHxW; overlays always do."""
        return np.array([(cv2.absdiff(held, image) <= NOISE_LEVELS) | self.overlay for held in self.images])

    def beside(self, pts_ms: int) -> list[int]:
        """Return the positions of the held images before and after this time, as far as they exist."""
        before = int(np.searchsorted(self.times, pts_ms)) - 1
        after = int(np.searchsorted(self.times, pts_ms, side="right"))
        return [position for position in (before, after) if 0 <= position < len(self.times)]


class StaticRegionDetector:
    """Observes the frames of a clip, in order of time, and judges masks at the clip's end."""

    def __init__(self) -> None:
        self._shot: int | None = None
        self._finder = LookFinder()
        self._current: dict[_Key, _ShotRecorder] = {}
        """Of the looks of the current shot."""
        self._keys: dict[int, _Key] = {}
        """Of the observed frames, by time in ms."""
        self._finished: dict[_Key, _ShotStatistics | None] = {}
        self._lumas: dict[int, LumaImage] = {}
        """Small images of the observed frames, by time in ms."""
        self._is_complete = False

    def observe(self, frame: Frame) -> None:
        """Add a frame to its look and shot; a frame without a time is ignored, as are all if the clip was observed before."""
        if frame.pts_ms is None or self._is_complete:
            return
        if frame.shot != self._shot:
            self._finish_shot()
            self._shot, self._finder = frame.shot, LookFinder()
        look = self._finder.find(LookThumbnail.of(frame.rgb))
        key = frame.shot, shrunk_wh(frame.size_hw, WIDTH_PX), look
        self._keys[frame.pts_ms] = key
        self._lumas[frame.pts_ms] = shrink_luma(frame.rgb, WIDTH_PX)
        recorder = self._current.setdefault(key, _ShotRecorder(frame.pts_ms))
        recorder.add(frame.pts_ms, frame.rgb, self._lumas[frame.pts_ms])

    def to_observation(self) -> Observation:
        """Return all that was observed; call it at the end."""
        self._finish_shot()
        lumas = {f"luma{pts_ms}": luma for pts_ms, luma in self._lumas.items()}
        keys = [[pts_ms, *_key_to_values(key)] for pts_ms, key in self._keys.items()]
        shots = [[*_key_to_values(key), shot and shot.to_values()] for key, shot in self._finished.items()]
        arrays = [
            shot.to_arrays(number) for number, shot in enumerate(self._finished.values()) if shot is not None
        ]
        return Observation({"frames": keys, "shots": shots}, ChainMap(lumas, *arrays))

    @classmethod
    def from_observation(cls, seen: Observation) -> Self:
        """Return a detector that has observed its clip."""
        detector = cls()
        detector._is_complete = True
        for pts_ms, *key in seen.values["frames"]:
            detector._keys[pts_ms] = _key_from_values(key)
            detector._lumas[pts_ms] = seen.arrays[f"luma{pts_ms}"]
        for number, (*key, values) in enumerate(seen.values["shots"]):
            shot = (
                None
                if values is None
                else _ShotStatistics.restore(number, values, seen.arrays, detector._lumas)
            )
            detector._finished[_key_from_values(key)] = shot
        return detector

    def most_overlays(self) -> tuple[str, ...]:
        """Return size and place of the overlays, in the part of the clip that has most of them; call it at the end."""
        self._finish_shot()
        boxes = max((shot.overlay_boxes for shot in self._finished.values() if shot), key=len, default=())
        return tuple(f"{w:.0f}x{h:.0f} px at ({x:.0f}, {y:.0f})" for x, y, w, h in boxes)

    def most_looks(self) -> int:
        """Return how many looks the shot with most of them has; call it at the end."""
        self._finish_shot()
        by_shot = Counter(key[0] for key, shot in self._finished.items() if shot)
        return max(by_shot.values(), default=0)

    def moving_fraction(self, mask: Mask, pts_ms: int) -> float | None:
        """Return the share of an observed frame's mask that moves, in [0, 1].

        None: the shot has too few images, or is short and the camera moves, or the mask is smaller than one small pixel.
        """
        shot, image = self._recall(pts_ms)
        if shot is None or not (shot.is_long or shot.is_static):
            return None
        inside = _shrink(mask, image)
        return float(shot.moving(image)[inside].mean()) if inside.any() else None

    def find_missed(self, masks: Sequence[Mask], pts_ms: int, *, min_share: float) -> BoxXywh | None:
        """Return the box, in an observed frame's pixels, of what moves outside all masks.

        None: nothing does, the shot is too short, the camera moves, or there is no mask (see
        `labeling.trust.missed_people.find_missed`).
        """
        shot, image = self._recall(pts_ms)
        if shot is None or not (shot.is_long and shot.is_static):
            return None
        people = [small for mask in masks if (small := _shrink(mask, image)).any()]
        box = find_missed(shot.alike(image), shot.beside(pts_ms), people, min_share=min_share)
        return box and _enlarge(box, image, masks[0].size_hw)

    def _recall(self, pts_ms: int) -> tuple[_ShotStatistics | None, LumaImage]:
        """Return the statistics of an observed frame's shot, None if it has too few images, and its small image."""
        self._finish_shot()
        return self._finished.get(self._keys[pts_ms]), self._lumas[pts_ms]

    def _finish_shot(self) -> None:
        self._finished |= {key: recorder.statistics() for key, recorder in self._current.items()}
        self._current = {}


def _key_to_values(key: _Key) -> list[int]:
    shot, (width, height), look = key
    return [shot, width, height, look]


def _key_from_values(values: Sequence[int]) -> _Key:
    shot, width, height, look = values
    return shot, (width, height), look


def _shrink(mask: Mask, image: LumaImage) -> BoolArray:
    """Return the mask in the size of the small image."""
    pixels = mask.to_array().astype(np.uint8)
    return cv2.resize(pixels, image.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _enlarge(box_xywh: BoxXywh, image: LumaImage, size_hw: tuple[int, int]) -> BoxXywh:
    """Return a box of the small image in the frame's pixels."""
    across, down = size_hw[1] / image.shape[1], size_hw[0] / image.shape[0]
    x, y, w, h = box_xywh
    return x * across, y * down, w * across, h * down
