"""MediaPipe's pose landmark network on square crops: presence, mask and keypoints of one person each."""

from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from labeling.instances import RgbPicture
from labeling.masks import BoxXywh

INPUT_PX = 256
"""Side of the network's input, and the unit of its landmarks."""
MASK_PX = 128
"""Side of its mask."""
OUTSIDE_LOGIT = -8.0
"""What a mask says of pixels outside its crop: nobody."""
BLAZEPOSE_OF_COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Number of BlazePose's landmark for each of COCO's 17 keypoints."""
_X, _Y, _VISIBILITY, _IN_FRAME = 0, 1, 3, 4

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of a picture, in pixels; it may reach outside, where it is black."""

    x0: float
    y0: float
    side: float

    @classmethod
    def around(cls, box_xywh: BoxXywh, scale: float) -> "Crop":
        """`scale` times the box's longer side, about its centre."""
        x, y, w, h = box_xywh
        side = scale * max(w, h)
        return cls(x + (w - side) / 2, y + (h - side) / 2, side)

    def clip_to(self, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the whole pixels that it touches."""
        height, width = size_hw
        left, top = max(0, int(np.floor(self.x0))), max(0, int(np.floor(self.y0)))
        right = min(width, int(np.ceil(self.x0 + self.side)))
        bottom = min(height, int(np.ceil(self.y0 + self.side)))
        return left, top, right, bottom

    def to_grid(self, grid_px: int, origin_xy: tuple[int, int] = (0, 0)) -> NDArray[np.float64]:
        """2x3 affine map from pixel numbers, counted from `origin_xy`, to the crop's in `grid_px` pixels.

        Pixel n covers n to n + 1, so its centre is at n + 0.5 on both sides.
        """
        scale = grid_px / self.side
        shift_x = (origin_xy[0] + 0.5 - self.x0) * scale - 0.5
        shift_y = (origin_xy[1] + 0.5 - self.y0) * scale - 0.5
        return np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """What the network said of one crop."""

    crop: Crop
    presence: float
    """Probability that there is a person."""
    mask_logits: FloatArray
    """128x128."""
    keypoints: FloatArray
    """COCO's 17x3: x and y in pixels of the picture; probability of being seen and within the crop."""

    def logits_in(self, region: tuple[int, int, int, int]) -> FloatArray:
        """The mask's logits for the pixels of left, top, right, bottom; bilinear."""
        left, top, right, bottom = region
        pasted = cv2.warpAffine(
            self.mask_logits,
            self.crop.to_grid(MASK_PX, (left, top)),
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=OUTSIDE_LOGIT,
        )
        return np.asarray(pasted, dtype=np.float32)


class LandmarkNetwork:
    """pose_landmark_lite.tflite, for as many threads as it has interpreters, each of which serves one."""

    def __init__(self, weights: Path, *, interpreters: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._idle: SimpleQueue[Interpreter] = SimpleQueue()
        for _ in range(interpreters):
            net = Interpreter(str(weights), num_threads=1)
            net.allocate_tensors()
            self._idle.put(net)
        self._input = net.get_input_details()[0]["index"]
        self._outputs = {output["name"]: output["index"] for output in net.get_output_details()}

    def look(self, rgb: RgbPicture, crop: Crop) -> Landmarks:
        """Run the network on one crop of an HxWx3 picture."""
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
                np.asarray(net.get_tensor(self._outputs[name]), dtype=np.float32)
                for name in ("ld_3d", "output_poseflag", "output_segmentation")
            )
        finally:
            self._idle.put(net)
        return Landmarks(
            crop=crop,
            presence=float(presence.item()),
            mask_logits=logits[0, :, :, 0],
            keypoints=_place_keypoints(points.reshape(-1, 5)[list(BLAZEPOSE_OF_COCO)], crop),
        )


def _place_keypoints(points: FloatArray, crop: Crop) -> FloatArray:
    """17x5 (x, y, z, visibility logit, in-frame logit) in crop pixels to 17x3 in the picture's."""
    xy = points[:, [_X, _Y]] * (crop.side / INPUT_PX) + np.array([crop.x0, crop.y0], dtype=np.float32)
    confidence = expit(points[:, _VISIBILITY]) * expit(points[:, _IN_FRAME])
    return np.column_stack([xy, confidence]).astype(np.float32)
