"""Square crops around a person's expected box, and the way back into the image."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoxXywh

CROP_HEIGHTS = 2.5
"""Side of a crop, in heights of the expected box."""
CROP_PX = 128
"""Side of a crop in pixels of the network's input."""
GUIDE_LIMIT = 3.0
"""Positions are cut off at so many half widths or heights of the expected box."""
MAX_RATIO = 4.0
"""Differences from the background are cut off at so many thresholds."""
PERSON, OTHERS, IGNORED = 1, 2, 255
"""Labels of pixels; 0 is the background."""
FloatMap = NDArray[np.float32]
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A change of a crop: mirrored, turned, scaled, and with its expected box moved.

    >>> Augmentation() == Augmentation.draw(np.random.default_rng(0), strength=0.0)
    True
    """

    is_mirrored: bool = False
    degrees: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    """Of the expected box, in its heights."""
    box_scale: float = 1.0
    gain: float = 1.0
    """Of brightness."""

    @classmethod
    def draw(cls, rng: np.random.Generator, *, strength: float = 1.0) -> "Augmentation":
        """Draw a flip, up to 30 degrees, a scale of 0.75 to 1.25, and small errors of the expected box."""
        spread = rng.uniform(-1, 1, 6) * strength
        return cls(
            is_mirrored=bool(rng.random() < 0.5 * strength),
            degrees=30 * float(spread[0]) ** 3,
            scale=1 + 0.25 * float(spread[1]),
            shift=(0.08 * float(spread[2]), 0.08 * float(spread[3])),
            box_scale=1 + 0.1 * float(spread[4]),
            gain=1 + 0.2 * float(spread[5]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CropFrame:
    """Where a crop lies in its image: `matrix`, 2x3, maps pixels of the crop to pixels of the image."""

    matrix: NDArray[np.float64]
    box_xywh: BoxXywh
    """Expected box of the person in the image."""
    side_px: int = CROP_PX

    @classmethod
    def around(
        cls,
        box_xywh: BoxXywh,
        change: Augmentation = Augmentation(),
        *,
        side_px: int = CROP_PX,
    ) -> "CropFrame":
        """Return the crop around an expected box."""
        x, y, w, h = box_xywh
        middle_x = x + w / 2 + change.shift[0] * h
        middle_y = y + h / 2 + change.shift[1] * h
        w, h = w * change.box_scale, h * change.box_scale
        scale = CROP_HEIGHTS * h / side_px / change.scale
        turn = np.deg2rad(change.degrees)
        flip = -1.0 if change.is_mirrored else 1.0
        cos, sin = scale * np.cos(turn), scale * np.sin(turn)
        half = (side_px - 1) / 2
        linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
        offset = np.array([middle_x, middle_y]) - linear @ np.array([half, half])
        moved = (middle_x - w / 2, middle_y - h / 2, w, h)
        return cls(np.column_stack([linear, offset]), moved, side_px)

    def cut(self, image: NDArray[np.uint8], *, nearest: bool = False, border: int = 0) -> NDArray[np.uint8]:
        """Return the crop of an image or a label map; `border` is the value outside of it."""
        flags = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        size = (self.side_px, self.side_px)
        mode = cv2.BORDER_CONSTANT if nearest else cv2.BORDER_REPLICATE
        cut = cv2.warpAffine(image, self.matrix, size, flags=flags, borderMode=mode, borderValue=border)
        return np.asarray(cut, dtype=np.uint8)

    def paste(self, values: FloatMap, size_hw: tuple[int, int]) -> tuple[slice, slice, FloatMap]:
        """Return the rows and columns of the image that the crop covers, and its values there."""
        rows, columns = self.region(size_hw)
        to_image = self.matrix.copy()
        to_image[:, 2] -= (columns.start, rows.start)
        size = (max(columns.stop - columns.start, 1), max(rows.stop - rows.start, 1))
        pasted = cv2.warpAffine(values, to_image, size, flags=cv2.INTER_LINEAR, borderValue=0)
        return rows, columns, np.asarray(pasted, dtype=np.float32)

    def region(self, size_hw: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns of the image that the crop covers; empty outside of it."""
        end = self.side_px - 1
        corners = np.array([[0, 0, 1], [end, 0, 1], [0, end, 1], [end, end, 1]]) @ self.matrix.T
        low = np.floor(corners.min(axis=0)).astype(int)
        high = np.ceil(corners.max(axis=0)).astype(int) + 1
        left, right = np.clip([low[0], high[0]], 0, size_hw[1])
        top, bottom = np.clip([low[1], high[1]], 0, size_hw[0])
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def guides(self, difference: NDArray[np.uint8] | None, *, stride: int = 2) -> FloatMap:
        """Return (6, side/stride, side/stride): x and y in half boxes, their squares, a bell, the difference.

        `difference` is the crop of `difference_image`; None: zeros.
        """
        step = np.arange(0, self.side_px, stride) + (stride - 1) / 2
        u, v = np.meshgrid(step, step)
        x, y = (row[0] * u + row[1] * v + row[2] for row in self.matrix)
        left, top, w, h = self.box_xywh
        across = np.clip((x - left - w / 2) / (w / 2), -GUIDE_LIMIT, GUIDE_LIMIT)
        down = np.clip((y - top - h / 2) / (h / 2), -GUIDE_LIMIT, GUIDE_LIMIT)
        bell = np.exp(-0.5 * (across**2 + down**2))
        changed = np.zeros_like(bell)
        if difference is not None:
            small = cv2.resize(difference, bell.shape[::-1], interpolation=cv2.INTER_AREA)
            changed = small.astype(np.float32) / 255 * MAX_RATIO
        return np.stack([across, down, across**2 / 3, down**2 / 3, bell, changed]).astype(np.float32)


def difference_image(ratio: FloatMap) -> NDArray[np.uint8]:
    """Return a map of color distances over their thresholds as bytes, 255 for `MAX_RATIO`."""
    return np.asarray(np.clip(ratio, 0, MAX_RATIO) * (255 / MAX_RATIO), dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPatch:
    """The surroundings of a person in one annotated frame."""

    frame: int
    rgb: RgbImage
    labels: LabelMap
    """HxW: `PERSON`, `OTHERS`, `IGNORED` or 0."""
    difference: NDArray[np.uint8] | None
    box_xywh: BoxXywh
    """Expected box, in pixels of the patch."""

    @classmethod
    def cut(
        cls,
        frame: int,
        rgb: RgbImage,
        labels: LabelMap,
        difference: NDArray[np.uint8] | None,
        box_xywh: BoxXywh,
    ) -> "TrainingPatch":
        """Keep the part of an image that augmented crops can reach."""
        x, y, w, h = box_xywh
        reach = 1.4 * CROP_HEIGHTS * h / 2 + 0.1 * h
        height, width = labels.shape
        left, right = (int(np.clip(x + w / 2 + side * reach, 0, width)) for side in (-1, 1))
        top, bottom = (int(np.clip(y + h / 2 + side * reach, 0, height)) for side in (-1, 1))
        here = slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))
        return cls(
            frame,
            rgb[here].copy(),
            labels[here].copy(),
            None if difference is None else difference[here].copy(),
            (x - left, y - top, w, h),
        )
