"""Masks as COCO run-length encodings, and what can be computed on them without decoding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

BoolArray = NDArray[np.bool_]
BoxXywh = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Mask:
    """A binary picture of `size_hw` pixels in COCO's compressed RLE (column-major runs)."""

    size_hw: tuple[int, int]
    counts: bytes

    @classmethod
    def from_array(cls, pixels: NDArray[Any]) -> Self:
        """Encode an HxW array; every pixel that is not zero belongs to the mask."""
        return cls.from_coco(coco_mask.encode(np.asfortranarray(pixels != 0, dtype=np.uint8)))

    @classmethod
    def from_coco(cls, rle: dict[str, Any]) -> Self:
        """Take pycocotools' `{"size": [h, w], "counts": bytes or str}`."""
        height, width = rle["size"]
        counts = rle["counts"]
        return cls((int(height), int(width)), counts.encode() if isinstance(counts, str) else counts)

    @classmethod
    def empty(cls, size_hw: tuple[int, int]) -> Self:
        return cls.from_array(np.zeros(size_hw, dtype=np.uint8))

    def to_coco(self) -> dict[str, Any]:
        """Give pycocotools' dictionary, counts as bytes."""
        return {"size": list(self.size_hw), "counts": self.counts}

    def to_array(self) -> BoolArray:
        """Decode to an HxW boolean array."""
        pixels: BoolArray = coco_mask.decode(self.to_coco()).astype(bool)
        return pixels

    @property
    def area_px(self) -> int:
        return int(coco_mask.area(self.to_coco()))

    @property
    def box_xywh(self) -> BoxXywh:
        """Tight box in pixels; (0, 0, 0, 0) for an empty mask."""
        x, y, w, h = (float(side) for side in coco_mask.toBbox(self.to_coco()))
        return (x, y, w, h) if w and h else (0.0, 0.0, 0.0, 0.0)

    def __bool__(self) -> bool:
        return self.area_px > 0


def union_masks(masks: Sequence[Mask], size_hw: tuple[int, int]) -> Mask:
    """Union of any number of masks, on their runs; empty for none."""
    if not masks:
        return Mask.empty(size_hw)
    return Mask.from_coco(coco_mask.merge([mask.to_coco() for mask in masks], intersect=False))


def intersect_masks(first: Mask, second: Mask) -> Mask:
    return Mask.from_coco(coco_mask.merge([first.to_coco(), second.to_coco()], intersect=True))


def intersection_areas(rows: Sequence[Mask], columns: Sequence[Mask]) -> NDArray[np.float64]:
    """Pairwise intersections in pixels, (len(rows), len(columns)), from IoU and areas on the runs."""
    iou = iou_matrix(rows, columns)
    sums = np.add.outer([m.area_px for m in rows], [m.area_px for m in columns])
    return np.round(iou * sums / (1.0 + iou)) if iou.size else iou


def iou_matrix(rows: Sequence[Mask], columns: Sequence[Mask]) -> NDArray[np.float64]:
    """Pairwise IoU on the runs, (len(rows), len(columns)); two empty masks give 0."""
    if not rows or not columns:
        return np.zeros((len(rows), len(columns)))
    pairs = coco_mask.iou(
        [mask.to_coco() for mask in columns], [mask.to_coco() for mask in rows], [0] * len(rows)
    )
    return np.nan_to_num(np.asarray(pairs, dtype=np.float64).T)


def flip_mask(mask: Mask) -> Mask:
    """Mirror left-right. Columns are runs' outer order, so this decodes once."""
    return Mask.from_array(mask.to_array()[:, ::-1])
