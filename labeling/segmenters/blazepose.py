"""MediaPipe's pose landmark network (BlazePose) on square crops: presence, mask and keypoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from labeling.runtime.native_output import without_lines
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoxXywh

INPUT_PX = 256
"""Side of the network's input, and the unit of its landmarks."""
OUTSIDE_LOGIT = -8.0
"""Mask logit of pixels outside the crop: no person."""
BLAZEPOSE_OF_COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""BlazePose landmark of each of COCO's 17 keypoints."""
MIRRORED_COCO = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""COCO keypoint that each becomes in a mirrored image."""
BODY_MARGIN = 1.25
"""Side of the crop around a body, relative to the diameter of the network's circle around it."""
_X, _Y, _VISIBILITY, _IN_FRAME = 0, 1, 3, 4
_LANDMARKS, _PER_LANDMARK = 39, 5
_IMAGE_AXES = 4
"""Batch, height, width and channels."""
_HIPS, _REACH = 33, 34
"""Auxiliary landmarks: the middle of the hips, and a point on the circle around the body, above the head."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of an image, in pixels, turned around its center; outside of the image it is black."""

    x0: float
    y0: float
    side: float
    angle: float = 0.0
    """Radians, clockwise; 0 is upright."""
    mirrored: bool = False
    """Left and right are swapped."""

    @classmethod
    def around(cls, box_xywh: BoxXywh, scale: float) -> "Crop":
        """Return a crop of `scale` times the box's longer side, around its center."""
        x, y, w, h = box_xywh
        side = scale * max(w, h)
        return cls(x + (w - side) / 2, y + (h - side) / 2, side)

    @classmethod
    def of_body(cls, hips_xy: FloatArray, reach_xy: FloatArray) -> "Crop":
        """Return a crop around the hips, upright in the direction of the circle's point above the head.

        Side and angle follow MediaPipe's `pose_landmarks_to_roi.pbtxt`.
        """
        right, down = (float(offset) for offset in reach_xy - hips_xy)
        side = max(2 * BODY_MARGIN * float(np.hypot(right, down)), 1.0)
        x0, y0 = (float(middle) - side / 2 for middle in hips_xy)
        return cls(x0, y0, side, angle=float(np.arctan2(right, -down)))

    def mirror(self) -> "Crop":
        return replace(self, mirrored=not self.mirrored)

    def clip_to(self, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the image's pixels that the crop touches."""
        height, width = size_hw
        middle = np.array([self.x0, self.y0]) + self.side / 2
        reach = self.side / 2 * (abs(np.cos(self.angle)) + abs(np.sin(self.angle)))
        left, top = np.maximum(np.floor(middle - reach), 0).astype(int).tolist()
        right, bottom = np.minimum(np.ceil(middle + reach), [width, height]).astype(int).tolist()
        return left, top, right, bottom

    def to_grid(self, grid_px: int, origin_xy: tuple[int, int] = (0, 0)) -> NDArray[np.float64]:
        """Return the 2x3 affine map from pixel indices, relative to `origin_xy`, to the crop's grid.

        The grid has `grid_px` pixels a side. Pixel n covers n to n + 1: its center is n + 0.5.
        """
        turn = self._axes() * (grid_px / self.side)
        middle = np.array([self.x0, self.y0]) + self.side / 2
        shift = turn @ (np.array(origin_xy) + 0.5 - middle) + grid_px / 2 - 0.5
        return np.column_stack([turn, shift])

    def to_image(self, xy: FloatArray, grid_px: int) -> FloatArray:
        """Map Nx2 points of the crop's grid to pixels of the image."""
        middle = np.array([self.x0, self.y0]) + self.side / 2
        turned = (xy - grid_px / 2) * (self.side / grid_px) @ self._axes()
        return np.asarray(turned + middle, dtype=np.float32)

    def _axes(self) -> NDArray[np.float64]:
        """Return the crop's right and down directions as rows, in the image."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        right = np.array([cos, sin])
        return np.array([-right if self.mirrored else right, [-sin, cos]])


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Output of the network for one crop."""

    size_hw: tuple[int, int]
    """Size of the image."""
    crop: Crop
    presence: float
    """Probability that the crop shows a person."""
    mask_logits: FloatArray
    """SxS: 128 a side from the lite file, 256 from the heavy one."""
    keypoints: FloatArray
    """COCO's 17x3: x and y in pixels of the image; probability of being visible and in the crop."""
    body: Crop
    """The crop that the landmarks suggest: around the person, upright, not mirrored."""

    def logits_in(self, region: tuple[int, int, int, int]) -> FloatArray:
        """Return the mask's logits in the region left, top, right, bottom of the image; bilinear."""
        left, top, right, bottom = region
        pasted = cv2.warpAffine(
            self.mask_logits,
            self.crop.to_grid(len(self.mask_logits), (left, top)),
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=OUTSIDE_LOGIT,
        )
        return np.asarray(pasted, dtype=np.float32)


class LandmarkNetwork:
    """pose_landmark_lite.tflite or pose_landmark_heavy.tflite, with one interpreter per thread."""

    def __init__(self, weights: Path, *, interpreters: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._idle: SimpleQueue[Interpreter] = SimpleQueue()
        for _ in range(interpreters):
            with without_lines(b"XNNPACK delegate"):
                net = Interpreter(str(weights), num_threads=1)
                net.allocate_tensors()
            self._idle.put(net)
        self._input = net.get_input_details()[0]["index"]
        self._outputs = _find_outputs(net.get_output_details())

    def run(self, rgb: RgbImage, crop: Crop) -> Landmarks:
        """Run the network on one crop of an HxWx3 image."""
        pixels = cv2.warpAffine(
            rgb,
            crop.to_grid(INPUT_PX),
            (INPUT_PX, INPUT_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )
        net = self._idle.get()
        try:
            net.set_tensor(self._input, np.divide(pixels[None], 255, dtype=np.float32))
            net.invoke()
            points, presence, logits = (
                np.asarray(net.get_tensor(index), dtype=np.float32) for index in self._outputs
            )
        finally:
            self._idle.put(net)
        points = points.reshape(-1, _PER_LANDMARK)
        hips, reach = crop.to_image(points[[_HIPS, _REACH]][:, [_X, _Y]], INPUT_PX)
        return Landmarks(
            size_hw=(rgb.shape[0], rgb.shape[1]),
            crop=crop,
            presence=float(presence.item()),
            mask_logits=logits[0, :, :, 0],
            keypoints=_to_coco_keypoints(points, crop),
            body=Crop.of_body(hips, reach),
        )


def _find_outputs(details: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Return the tensors of landmarks, presence and mask by their shapes: the files give them different names."""
    by_shape = {tuple(map(int, output["shape"])): int(output["index"]) for output in details}
    (mask,) = (index for shape, index in by_shape.items() if len(shape) == _IMAGE_AXES and shape[-1] == 1)
    return by_shape[1, _LANDMARKS * _PER_LANDMARK], by_shape[1, 1], mask


def _to_coco_keypoints(points: FloatArray, crop: Crop) -> FloatArray:
    """Convert 39x5 (x, y, z, visibility logit, in-frame logit) of the crop to COCO's 17x3 in the image."""
    order = MIRRORED_COCO if crop.mirrored else range(len(BLAZEPOSE_OF_COCO))
    chosen = points[[BLAZEPOSE_OF_COCO[number] for number in order]]
    confidence = expit(chosen[:, _VISIBILITY]) * expit(chosen[:, _IN_FRAME])
    return np.column_stack([crop.to_image(chosen[:, [_X, _Y]], INPUT_PX), confidence]).astype(np.float32)
