"""People one by one: whom of the labeled a model found, and how often it saw somebody where nobody is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeling.comparison.agreement import match_pairs
from labeling.datasets.readers.boxes import fill_box
from labeling.evaluation.ground_truth import LabeledImage
from labeling.evaluation.ignore_regions import cut_ignored, lie_outside
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, box_iou_matrix, iou_matrix

MATCH_IOU = 0.5
"""An instance with at least this IoU with a labeled person may be that person, as in COCO's AP50."""
MISSED_BELOW = 0.1
"""A person with whom no instance has this IoU was not seen at all."""


@dataclass(frozen=True, slots=True)
class ImageMatches:
    """One image's instances beside its labeled people, by their masks or by their boxes."""

    best_ious: tuple[float, ...]
    """The best IoU of any instance with each labeled person, in [0, 1]; 0 where there is none."""
    matched: int
    """Pairs of a person and an instance, one to one, with an IoU of at least `MATCH_IOU`."""
    seen: int | None
    """Instances that count: the matched ones, and all others but those of which most lies where nothing is
    known. None where only some people are labeled: nobody knows about the others."""


@dataclass(frozen=True, slots=True)
class ImageMatch:
    """One image's instances beside its labeled people."""

    masks: ImageMatches | None
    """Outside what is ignored; None: the truth has only boxes."""
    boxes: ImageMatches
    """The instances' boxes beside the truth's, which are tight round its masks where it has such."""


def match_people(instances: Sequence[Instance], truth: LabeledImage) -> ImageMatch | None:
    """Find the labeled people among the instances; None where the truth does not tell people apart.

    A person of whom most lies where nothing is known need not be found; what a model sees there
    counts neither for nor against it, unless it is one of the others.
    """
    if truth.is_joined:
        return None
    seen = [one for one in instances if one.mask]
    is_known = lie_outside([one.mask for one in seen], truth.ignored)
    wanted = _can_be_seen(truth)
    by_boxes = box_iou_matrix(truth.person_boxes, [one.box_xywh for one in seen])
    boxes = _match(by_boxes[wanted], is_known, truth)
    if truth.boxes is not None:
        return ImageMatch(None, boxes)
    sides = (truth.people, [one.mask for one in seen])
    by_masks = iou_matrix(*(cut_ignored(side, truth.ignored) for side in sides))
    return ImageMatch(_match(by_masks[wanted], is_known, truth), boxes)


def visible_tracks(truth: LabeledImage) -> tuple[str, ...]:
    """Which people the truth follows here, in order, but those of whom most lies where nothing is known."""
    if not truth.tracks:
        return ()
    shown = zip(truth.tracks, _can_be_seen(truth), strict=True)
    return tuple(sorted({track for track, is_seen in shown if is_seen and track is not None}))


def _can_be_seen(truth: LabeledImage) -> NDArray[np.bool_]:
    """Of each labeled person, whether enough lies where something is known, (people,)."""
    return lie_outside(_regions(truth), truth.ignored)


def _regions(truth: LabeledImage) -> Sequence[Mask]:
    """Where each labeled person is."""
    if truth.boxes is None:
        return truth.people
    return [fill_box(box, truth.size_hw) for box in truth.boxes]


def _match(ious: NDArray[np.float64], is_known: NDArray[np.bool_], truth: LabeledImage) -> ImageMatches:
    """`ious`: labeled people x instances."""
    pairs = match_pairs(ious, min_iou=MATCH_IOU)
    counts = is_known.copy()
    counts[[column for _, column, _ in pairs]] = True
    return ImageMatches(
        best_ious=tuple(ious.max(axis=1, initial=0.0).tolist()),
        matched=len(pairs),
        seen=None if truth.is_partial else int(counts.sum()),
    )


@dataclass(frozen=True, slots=True)
class DetectionMetrics:
    """How many of the labeled people a model found, by their masks or by their boxes."""

    people: int
    """Labeled people, but those of whom most lies where nothing is known."""
    iou: float | None
    """Mean over them of the best IoU of any instance, 0 for whom nobody saw."""
    missed: int
    """Of them, those with whom no instance has an IoU of `MISSED_BELOW`."""
    recall: float | None
    """Share of them that an instance of its own has an IoU of at least `MATCH_IOU` with."""
    precision: float | None
    """Of the instances, how many are such. None where only some people are labeled: nobody knows about
    the others."""


@dataclass(frozen=True, slots=True)
class PersonMetrics:
    """How well a model finds people, each for himself."""

    masks: DetectionMetrics | None
    """None: no image's truth has masks."""
    boxes: DetectionMetrics


def summarize_people(images: Sequence[ImageMatch]) -> PersonMetrics | None:
    """Of several images together; None for none."""
    if not images:
        return None
    masks = [one.masks for one in images if one.masks]
    return PersonMetrics(_count(masks) if masks else None, _count([one.boxes for one in images]))


def _count(images: Sequence[ImageMatches]) -> DetectionMetrics:
    best = np.array([iou for one in images for iou in one.best_ious])
    judged = [(one.matched, one.seen) for one in images if one.seen is not None]
    right, seen = (sum(numbers) for numbers in zip(*judged, strict=True)) if judged else (0, 0)
    return DetectionMetrics(
        people=len(best),
        iou=float(best.mean()) if len(best) else None,
        missed=int((best < MISSED_BELOW).sum()),
        recall=sum(one.matched for one in images) / len(best) if len(best) else None,
        precision=right / seen if seen else None,
    )
