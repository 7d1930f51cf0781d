"""Random views of a person: turned, mirrored, cut off by the border of the image, and cropped as in use."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.pose_masks.crop import PersonCrop
from labeling.pose_masks.inputs import in_prior_units
from labeling.pose_masks.prior import MIN_CONFIDENCE, FloatArray
from labeling.structures.masks import BoxXywh
from labeling.synthetic.canvas import happens

RNG = np.random.Generator
MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


@dataclass(frozen=True, slots=True)
class Turn:
    """A rotation about the middle of the person, mirrored or not."""

    matrix: FloatArray
    """2x3."""
    mirrored: bool

    def points(self, keypoints: FloatArray) -> FloatArray:
        moved = keypoints[list(MIRRORED)] if self.mirrored else keypoints.copy()
        moved[:, :2] = moved[:, :2] @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved


def random_turn(rng: RNG, keypoints: FloatArray, chance: float) -> Turn:
    angle = rng.normal(0, 0.12)
    if happens(rng, chance):
        angle = rng.normal(0, 0.7) if happens(rng, 0.6) else rng.uniform(-np.pi, np.pi)
    mirrored = happens(rng, 0.5)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    rotation = rotation @ np.diag([np.exp(rng.normal(0, 0.07)), 1.0])
    found = keypoints[:, 2] >= MIN_CONFIDENCE
    center = keypoints[found, :2].mean(axis=0) if found.any() else np.zeros(2)
    return Turn(np.column_stack([rotation, -rotation @ center]), mirrored)


@dataclass(frozen=True, slots=True)
class Window:
    """What the image shows, in the turned frame; the rest is black."""

    low: FloatArray
    high: FloatArray

    def hide(self, keypoints: FloatArray, turn: Turn, size_hw: tuple[int, int]) -> FloatArray:
        """Return keypoints with those outside of the window or the image missing."""
        hidden = keypoints.copy()
        inside = ((keypoints[:, :2] >= self.low) & (keypoints[:, :2] <= self.high)).all(axis=1)
        back = (keypoints[:, :2] - turn.matrix[:, 2]) @ np.linalg.inv(turn.matrix[:, :2]).T
        inside &= ((back >= 0) & (back < [size_hw[1], size_hw[0]])).all(axis=1)
        hidden[~inside] = 0
        return hidden

    def blacken(self, array: NDArray[np.uint8], crop: PersonCrop) -> NDArray[np.uint8]:
        """Set the pixels of a crop outside of the window to 0, in place."""
        left, top = ((self.low - [crop.x0, crop.y0]) * crop.scale).clip(0, crop.grid_px).round().astype(int)
        right, low = ((self.high - [crop.x0, crop.y0]) * crop.scale).clip(0, crop.grid_px).round().astype(int)
        kept = np.zeros_like(array)
        kept[top:low, left:right] = array[top:low, left:right]
        return kept


def random_window(rng: RNG, keypoints: FloatArray, chance: float) -> Window:
    """Return a window that cuts the body at one or two sides, most often below, or everything."""
    low, high = np.full(2, -1e6), np.full(2, 1e6)
    found = keypoints[:, 2] >= MIN_CONFIDENCE
    if happens(rng, chance) and found.any():
        first, last = keypoints[found, :2].min(axis=0), keypoints[found, :2].max(axis=0)
        extent = last - first
        for _ in range(int(rng.integers(1, 3))):
            side = rng.choice(4, p=(0.55, 0.15, 0.15, 0.15))
            share = rng.uniform(-0.1, 0.7)
            if side == 0:
                high[1] = last[1] - share * extent[1]
            elif side == 1:
                low[1] = first[1] + 0.4 * share * extent[1]
            elif side == 2:  # noqa: PLR2004
                low[0] = first[0] + share * extent[0]
            else:
                high[0] = last[0] - share * extent[0]
    return Window(low, high)


def random_box(rng: RNG, mask: NDArray[np.uint8], turn: Turn, window: Window) -> BoxXywh | None:
    """Return the box that a detector finds in the turned frame, a little wrong; None without a visible pixel."""
    rows, columns = np.nonzero(mask[::4, ::4] > 127)  # noqa: PLR2004 - half of 255
    points = 4.0 * np.stack([columns, rows], axis=1) @ turn.matrix[:, :2].T + turn.matrix[:, 2]
    points = points[((points >= window.low) & (points <= window.high)).all(axis=1)]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = (side + rng.normal(0, 0.03, 2) * (high - low) for side in (low, high))
    return (*low.tolist(), *np.maximum(high - low, 1).tolist())


def random_crop(rng: RNG, joints: FloatArray, side: int, box_xywh: BoxXywh | None = None) -> PersonCrop:
    crop = PersonCrop.around(joints, side, box_xywh=box_xywh)
    larger = crop.side * rng.uniform(0.92, 1.12)
    shift = rng.normal(0, 0.03, 2) * crop.side + (crop.side - larger) / 2
    return PersonCrop(crop.x0 + float(shift[0]), crop.y0 + float(shift[1]), larger, side)


def warp_crop(array: NDArray[np.uint8], turn: Turn, crop: PersonCrop) -> NDArray[np.uint8]:
    """Return the crop of the turned image, averaged where it is reduced."""
    matrix = crop.scale * turn.matrix
    shift = matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    matrix[:, 2] += shift - crop.scale * np.array([crop.x0, crop.y0])
    if crop.scale < 0.6:  # noqa: PLR2004 - bilinear sampling would skip pixels
        array = np.asarray(cv2.blur(array, (round(1 / crop.scale),) * 2), np.uint8)
    return np.asarray(cv2.warpAffine(array, matrix, (crop.grid_px,) * 2, flags=cv2.INTER_LINEAR), np.uint8)


def to_crop(joints: FloatArray, crop: PersonCrop) -> FloatArray:
    return in_prior_units(crop.to_grid(joints), crop.grid_px)
