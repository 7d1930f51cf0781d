"""IoU of two masks, and one-to-one matching by IoU; `iou_matrix` of many pairs is in structures/masks.py."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import Mask, intersect_masks, iou_matrix

EPSILON_PX = 1e-7
"""Added to both areas of an IoU, so that two empty masks agree (1) and nothing divides by zero. It is too
small to lift an IoU above a threshold: areas are whole pixels."""


Labeled = tuple[str, Mask]
"""Category and mask."""


def union_iou(first: Mask, second: Mask) -> float:
    """Return (|I| + eps) / (|U| + eps) in pixels: 1 for two empty masks, about 0 for one."""
    common = intersect_masks(first, second).area_px
    joint = first.area_px + second.area_px - common
    return (common + EPSILON_PX) / (joint + EPSILON_PX)


def iou_within(rows: Sequence[Labeled], columns: Sequence[Labeled]) -> NDArray[np.float64]:
    """Return the IoU matrix of masks with categories; 0 for two of different categories.

    >>> whole = Mask.from_coco({"size": [2, 2], "counts": [0, 4]})
    >>> iou_within([("person", whole)], [("person", whole), ("bicycle", whole)])
    array([[1., 0.]])
    """
    ious = iou_matrix([mask for _, mask in rows], [mask for _, mask in columns])
    is_same = [[row == column for column, _ in columns] for row, _ in rows]
    return np.where(np.array(is_same, dtype=np.bool_).reshape(ious.shape), ious, 0.0)


def match_pairs(ious: NDArray[np.float64], *, min_iou: float) -> list[tuple[int, int, float]]:
    """Match rows with columns of an IoU matrix one to one: (row, column, IoU), in order of rows.

    Maximizes the sum of IoU (Hungarian method). Pairs below `min_iou`, or of IoU 0, count as 0:
    otherwise two of them could outweigh one valid pair.

    >>> match_pairs(np.array([[0.9, 0.2], [0.6, 0.0]]), min_iou=0.5)
    [(0, 0, 0.9)]
    """
    eligible = np.where((ious >= min_iou) & (ious > 0), ious, 0.0)
    rows, columns = np.nonzero(eligible)  # in order of rows
    if len(set(rows.tolist())) < len(rows) or len(set(columns.tolist())) < len(columns):
        from scipy.optimize import linear_sum_assignment  # imported only if required: it takes half a second

        rows, columns = linear_sum_assignment(eligible, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column, float(ious[row, column])) for row, column in pairs if eligible[row, column] > 0]
