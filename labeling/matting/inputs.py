"""The inputs of the matting network for one square crop of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.matting.keypoint_maps import draw_keypoint_maps
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Keypoints
from labeling.structures.masks import BoxXywh

FloatImage = NDArray[np.float32]
GrayImage = NDArray[np.uint8]
KEYPOINT_STRIDE = 4
"""Keypoint maps have a quarter of the input's side."""
MOTION_STEPS = (-2, -1, 1, 2)
"""Neighboring frames, in steps of `MOTION_STEP_S`."""
MOTION_STEP_S = 2 / 3
"""Seconds between them: 20 frames at 30 frames/s, as in Background Matting."""
CROP_MARGIN = 0.15
"""Added to each side of a person's box, as a share of its longer side."""

PRIOR_OPEN = 4 / 512
"""Radius by which the segmentation is eroded and dilated again, as a share of the input's side. Background
Matting takes 10 of 512 pixels, which removes the arms of a person in the small size."""
PRIOR_SIGMA = 5 / 512
"""Blur of the segmentation; OpenCV's sigma of a Gaussian of 31 pixels, as a share of the input's side."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of the frame, in pixels; it may extend beyond the frame."""

    left: int
    top: int
    side: int

    @classmethod
    def around(cls, boxes: Sequence[BoxXywh], *, margin: float = CROP_MARGIN) -> "Crop":
        """Return the square around boxes, enlarged by a share of the longer side.

        >>> Crop.around([(10.0, 20.0, 30.0, 100.0)])
        Crop(left=-40, top=5, side=130)
        """
        edges = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], dtype=np.float64)
        (x0, y0), (x1, y1) = edges[:, :2].min(axis=0), edges[:, 2:].max(axis=0)
        side = max(2, round(float(max(x1 - x0, y1 - y0)) * (1 + 2 * margin)))
        return cls(round(float(x0 + x1 - side) / 2), round(float(y0 + y1 - side) / 2), side)

    def scaled(self, scale: float) -> "Crop":
        """Return the same part of an image that is `scale` times as large."""
        if scale == 1:
            return self
        return Crop(round(self.left * scale), round(self.top * scale), max(1, round(self.side * scale)))

    def cut(self, image: NDArray[Any], side_px: int) -> NDArray[Any]:
        """Scale this part of an HxW or HxWxC image to `side_px`; the border repeats outside the image."""
        scale = side_px / self.side
        shrinks = scale < 1
        height, width = image.shape[:2]
        x0, y0 = min(max(0, self.left), width - 1), min(max(0, self.top), height - 1)
        x1, y1 = (
            max(x0 + 1, min(width, self.left + self.side)),
            max(y0 + 1, min(height, self.top + self.side)),
        )
        inside = image[y0:y1, x0:x1]
        pads = (y0 - self.top, self.top + self.side - y1, x0 - self.left, self.left + self.side - x1)
        if any(pads):
            inside = cv2.copyMakeBorder(inside, *pads, cv2.BORDER_REPLICATE)
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(inside, (side_px, side_px), interpolation=interpolation)

    def paste(self, values: NDArray[Any], size_hw: tuple[int, int], fill: float = 0.0) -> NDArray[Any]:
        """Return an image of `size_hw` with values, a square of any size, scaled to this crop."""
        interpolation = cv2.INTER_AREA if values.shape[0] > self.side else cv2.INTER_LINEAR
        scaled = cv2.resize(values, (self.side, self.side), interpolation=interpolation)
        out = np.full((*size_hw, *values.shape[2:]), fill, dtype=values.dtype)
        x0, y0 = max(0, self.left), max(0, self.top)
        x1, y1 = min(size_hw[1], self.left + self.side), min(size_hw[0], self.top + self.side)
        if x0 < x1 and y0 < y1:
            out[y0:y1, x0:x1] = scaled[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left]
        return out

    def to_crop(self, keypoints: Keypoints, side_px: float) -> Keypoints:
        """Move keypoints from pixels of the frame to pixels of the crop at `side_px`."""
        scale = side_px / self.side
        return tuple(((x - self.left) * scale, (y - self.top) * scale, score) for x, y, score in keypoints)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInput:
    """One sample, in the network's channel order and range; see `background_matting`."""

    image: FloatImage
    plate: FloatImage
    coverage: FloatImage
    prior: FloatImage
    motion: FloatImage
    keypoints: FloatImage


NAMES = ("image", "plate", "coverage", "prior", "motion", "keypoints")
"""The network's inputs, in order."""


def make_input(  # noqa: PLR0913 - the network's inputs
    image: RgbImage,
    plate: RgbImage,
    coverage: NDArray[np.bool_],
    mask: NDArray[Any],
    *,
    motion: Sequence[GrayImage] | None,
    people: Sequence[Keypoints],
) -> NetworkInput:
    """Assemble one sample from crops of one size S.

    Args:
        image, plate: SxSx3.
        coverage: SxS, True where the plate was seen.
        mask: SxS segmentation, nonzero is person.
        motion: four SxS gray images at `MOTION_STEPS`; None without neighbors in time: the gray of the
            image is used, which shows no motion.
        people: keypoints in pixels of the crop.
    """
    side = image.shape[0]
    if motion is None:
        motion = [to_gray(image)] * len(MOTION_STEPS)
    small = side // KEYPOINT_STRIDE
    scaled = [tuple((x / KEYPOINT_STRIDE, y / KEYPOINT_STRIDE, s) for x, y, s in person) for person in people]
    return NetworkInput(
        image=channels_first(image),
        plate=channels_first(plate),
        coverage=coverage[None].astype(np.float32),
        prior=soft_prior(mask)[None] * 2 - 1,
        motion=np.stack(motion).astype(np.float32) / np.float32(127.5) - 1,
        keypoints=draw_keypoint_maps(scaled, small),
    )


def soft_prior(mask: NDArray[Any]) -> FloatImage:
    """Return a segmentation, SxS, without specks and with a soft contour, in [0, 1]."""
    side = mask.shape[0]
    steps = max(1, round(PRIOR_OPEN * side))
    kernel = np.ones((2 * steps + 1, 2 * steps + 1), dtype=np.uint8)
    opened = cv2.morphologyEx((mask > 0).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return cv2.GaussianBlur(opened.astype(np.float32), (0, 0), PRIOR_SIGMA * side).astype(np.float32)


def to_gray(rgb: RgbImage) -> GrayImage:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def channels_first(rgb: RgbImage) -> FloatImage:
    """Return an image, HxWx3 of bytes, as 3xHxW in [-1, 1]."""
    return np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32) / np.float32(127.5) - 1
