"""COCO's annotation records of many people at once, their numbers rounded by the array."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.formats.dataset import DatasetFrame, DatasetInstance
from labeling.masks import Mask

VISIBLE_FROM = 0.5
"""Confidence from which a keypoint is written as visible (v = 2); the pose rules' own default."""

LABELLED_FROM = 0.2
"""Confidence from which a keypoint is written at all (v = 1: there, but hidden or in doubt)."""

_NEAR_A_TIE = 1e-6
"""Hundredfold numbers below a billion are known to a tenth of this."""
_ROUNDED_BELOW = 1e7

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AnnotationRecords:
    """Records, and beside each the smallest of its numbers that is not 0: the score, for the others are
    rounded."""

    annotations: list[Record]
    leasts: list[float]
    people: list[Record]
    """Of those with keypoints, with COCO's fields for these."""
    people_leasts: list[float]


def annotation_records(
    people: Sequence[tuple[DatasetFrame, DatasetInstance]], *, segment: Callable[[Mask], object]
) -> AnnotationRecords:
    """Records of people in their frames, in order.

    Args:
        segment: what is written for a mask.
    """
    detected = round_to_hundredths(_boxes([one for _, one in people])).tolist()
    records = [
        {
            "id": one.id,
            "image_id": frame.id,
            "category_id": 1,
            "iscrowd": 0,
            "area": one.area_px,
            "bbox": one.tight_xywh,
            "segmentation": segment(one.mask),
            "model": one.model,
            "score": one.score,
            "reviewer": one.reviewer,
            "detector_bbox": box,
        }
        for (frame, one), box in zip(people, detected, strict=True)
    ]
    posed = [number for number, (_, one) in enumerate(people) if one.keypoints is not None]
    points = _keypoint_fields([people[number] for number in posed])
    leasts = [one.score or 1.0 for _, one in people]
    return AnnotationRecords(
        annotations=records,
        leasts=leasts,
        people=[{**records[number], **fields} for number, fields in zip(posed, points, strict=True)],
        people_leasts=[leasts[number] for number in posed],
    )


def round_to_hundredths(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """What Python's `round(number, 2)` gives of each finite number, bit for bit.

    A hundredth part of a whole number is the same double on both ways; which whole number is in doubt
    only near a tie, where the hundredfold may have been rounded across it: those are left to Python.
    """
    hundredfold = numbers * 100
    whole = np.rint(hundredfold)
    rounded: NDArray[np.float64] = whole / 100
    is_safe = np.abs(np.abs(hundredfold - whole) - 0.5) > _NEAR_A_TIE
    doubtful = ~(is_safe & (np.abs(numbers) < _ROUNDED_BELOW))
    if doubtful.any():
        rounded[doubtful] = [round(number, 2) for number in numbers[doubtful].tolist()]
    return rounded


def _boxes(instances: Sequence[DatasetInstance]) -> NDArray[np.float64]:
    return np.array([one.box_xywh for one in instances], dtype=np.float64).reshape(-1, 4)


def _keypoint_fields(people: Sequence[tuple[DatasetFrame, DatasetInstance]]) -> list[Record]:
    """COCO's 17 x (x, y, v): v is 2 from VISIBLE_FROM on, 1 from LABELLED_FROM on; below that, and
    for a point outside the picture, all three are 0."""
    if not people:
        return []
    points = np.array([one.keypoints for _, one in people], dtype=np.float64)
    x, y, confidence = np.moveaxis(points, -1, 0)
    height, width = np.array([frame.size_hw for frame, _ in people]).T[..., None]
    is_there = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (confidence >= LABELLED_FROM)
    places = round_to_hundredths(np.where(is_there[..., None], points[..., :2], 0.0))
    visibility = np.where(is_there, 1 + (confidence >= VISIBLE_FROM), 0)
    return [
        {"num_keypoints": len(levels) - levels.count(0), "keypoints": _flat(xy, levels)}
        for xy, levels in zip(places.tolist(), visibility.tolist(), strict=True)
    ]


def _flat(places: Sequence[Sequence[float]], levels: Sequence[int]) -> list[float]:
    """One list; a point that is not written is three whole zeros."""
    triples = ((x, y, v) if v else (0, 0, 0) for (x, y), v in zip(places, levels, strict=True))
    return [number for triple in triples for number in triple]
