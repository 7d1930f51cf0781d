"""Detection metrics: which labeled people a model found, and how many of its instances are people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MATCH_IOU = 0.5
"""Smallest IoU of an instance and a labeled person that match, as in COCO's AP50."""
MISSED_BELOW = 0.1
"""A person with whom no instance has this IoU is missed."""


@dataclass(frozen=True, slots=True)
class ImageMatches:
    """One image's instances matched with its labeled people, by masks or by boxes."""

    best_ious: tuple[float, ...]
    """Best IoU of any instance with each labeled person, in [0, 1]; 0 without instances."""
    matched: int
    """One-to-one pairs of a person and an instance with an IoU of at least `MATCH_IOU`."""
    seen: int | None
    """Matched instances, and all others that are not mostly in ignored regions. None if only some people are
    labeled: whether the others are people is not known."""


@dataclass(frozen=True, slots=True)
class ImageMatch:
    """The matches of one image, by masks and by boxes."""

    masks: ImageMatches | None
    """Outside ignored regions; None: the ground truth has only boxes."""
    boxes: ImageMatches
    """The instances' boxes with those of the ground truth, which are tight around its masks if it has masks."""


@dataclass(frozen=True, slots=True)
class DetectionMetrics:
    """How many of the labeled people a model found, by masks or by boxes."""

    people: int
    """Labeled people who are not mostly in ignored regions."""
    iou: float | None
    """Mean over them of the best IoU of any instance, 0 where there is none."""
    missed: int
    """Those with whom no instance has an IoU of `MISSED_BELOW`."""
    recall: float | None
    """Share of the people that match an instance."""
    precision: float | None
    """Share of the instances that match a person. None if only some people are labeled."""


@dataclass(frozen=True, slots=True)
class PersonMetrics:
    """Detection metrics of one model."""

    masks: DetectionMetrics | None
    """None: no image has masks as ground truth."""
    boxes: DetectionMetrics


def summarize_people(images: Sequence[ImageMatch]) -> PersonMetrics | None:
    """Return the metrics of several images together; None without images."""
    if not images:
        return None
    masks = [image.masks for image in images if image.masks]
    return PersonMetrics(_count(masks) if masks else None, _count([image.boxes for image in images]))


def _count(images: Sequence[ImageMatches]) -> DetectionMetrics:
    best = np.array([iou for image in images for iou in image.best_ious])
    judged = [(image.matched, image.seen) for image in images if image.seen is not None]
    right, seen = (sum(numbers) for numbers in zip(*judged, strict=True)) if judged else (0, 0)
    return DetectionMetrics(
        people=len(best),
        iou=float(best.mean()) if len(best) else None,
        missed=int((best < MISSED_BELOW).sum()),
        recall=sum(image.matched for image in images) / len(best) if len(best) else None,
        precision=right / seen if seen else None,
    )
