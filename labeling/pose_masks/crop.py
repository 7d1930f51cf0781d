"""The square crop that the network sees: around a person's joints, black outside of the image."""

from dataclasses import dataclass

import cv2
import numpy as np

from labeling.pose_masks.prior import HIPS, SHOULDERS, FloatArray, FloatImage
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoxXywh

MIN_ENLARGEMENT = 1.3
"""Least side of the crop, in longer sides of the box around the joints."""
SHOULDERS_TO_TORSO = 1.3
"""Length of a torso in distances between the shoulders, where no hip is known."""
BOX_TO_TORSO = 0.5
"""The same in longer sides of the box, where nothing else is known."""
MIN_SIDE_PX = 8.0


@dataclass(frozen=True, slots=True)
class PersonCrop:
    """A square in pixels of the image, and the side of the grid it is mapped to."""

    x0: float
    y0: float
    side: float
    grid_px: int = 256

    @classmethod
    def around(
        cls, joints: FloatArray, grid_px: int = 256, *, box_xywh: BoxXywh | None = None
    ) -> "PersonCrop":
        """Return the crop around joints (14x3, at least one found), in pixels of the image.

        Its side is that of the box around them plus one torso length: where the legs are missing, part of
        them is inside. With a detector's box, nothing is missing, and the crop is around both.
        """
        points = joints[joints[:, 2] > 0, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        if box_xywh is not None:
            x, y, w, h = box_xywh
            low, high = np.minimum(low, [x, y]), np.maximum(high, [x + w, y + h])
        longest = float((high - low).max())
        beyond = _torso_length(joints, longest) if box_xywh is None else 0.0
        side = max(MIN_ENLARGEMENT * longest, longest + beyond, MIN_SIDE_PX)
        x, y = (low + high) / 2
        return cls(float(x) - side / 2, float(y) - side / 2, side, grid_px)

    @property
    def scale(self) -> float:
        """Pixels of the grid per pixel of the image."""
        return self.grid_px / self.side

    def to_grid(self, joints: FloatArray) -> FloatArray:
        """Return joints in pixels of the grid."""
        moved = joints.copy()
        moved[:, :2] = (joints[:, :2] - [self.x0, self.y0]) * self.scale
        moved[joints[:, 2] == 0] = 0
        return moved

    def cut(self, rgb: RgbImage) -> RgbImage:
        """Return the crop of an HxWx3 image, grid x grid x 3; reduced images are averaged."""
        shift, scale = np.array([self.x0, self.y0]), self.scale
        if scale < 0.5:  # noqa: PLR2004 - bilinear sampling would skip pixels
            reduced = cv2.resize(rgb, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
            factor = np.array([reduced.shape[1] / rgb.shape[1], reduced.shape[0] / rgb.shape[0]])
            return _warp(np.asarray(reduced, np.uint8), shift * factor, scale / factor, self.grid_px)
        return _warp(rgb, shift, np.array([scale, scale]), self.grid_px)

    def paste(self, probability: FloatImage, size_hw: tuple[int, int], *, outside: float = 0.0) -> FloatImage:
        """Return a grid's values in the image, HxW, with `outside` beyond the crop; bilinear."""
        matrix = np.array([[1 / self.scale, 0, self.x0], [0, 1 / self.scale, self.y0]])
        matrix[:, 2] += 0.5 / self.scale - 0.5
        pasted = cv2.warpAffine(
            probability,
            matrix,
            size_hw[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=outside,
        )
        return np.asarray(pasted, dtype=np.float32)


def _torso_length(joints: FloatArray, longest: float) -> float:
    is_found = joints[:, 2] > 0
    shoulders, hips = ([joints[one, :2] for one in pair if is_found[one]] for pair in (SHOULDERS, HIPS))
    if shoulders and hips:
        return float(np.hypot(*(np.mean(shoulders, axis=0) - np.mean(hips, axis=0))))
    if len(shoulders) == len(SHOULDERS):
        return SHOULDERS_TO_TORSO * float(np.hypot(*(shoulders[0] - shoulders[1])))
    return BOX_TO_TORSO * longest


def _warp(rgb: RgbImage, shift: FloatArray, scale: FloatArray, grid_px: int) -> RgbImage:
    matrix = np.array([[scale[0], 0, 0], [0, scale[1], 0]], dtype=np.float64)
    matrix[:, 2] = scale * (0.5 - shift) - 0.5
    warped = cv2.warpAffine(rgb, matrix, (grid_px, grid_px), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.uint8)
