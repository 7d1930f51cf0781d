"""Matching of a model's instances with the labeled people of one image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeling.comparison.iou import match_pairs
from labeling.evaluation.detection_metrics import MATCH_IOU, ImageMatch, ImageMatches
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ignore_regions import cut_ignored, lie_outside
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, box_iou_matrix, fill_box, iou_matrix


def match_people(instances: Sequence[Instance], labeled: LabeledImage) -> ImageMatch | None:
    """Match instances with the labeled people; None if one mask of the ground truth may show several people.

    People and instances mostly in ignored regions do not count, except instances that match a person.
    """
    if labeled.is_joined:
        return None
    seen = [instance for instance in instances if instance.mask]
    is_known = lie_outside([instance.mask for instance in seen], labeled.ignored)
    is_visible = _are_visible(labeled)
    by_boxes = box_iou_matrix(labeled.person_boxes, [instance.box_xywh for instance in seen])
    boxes = _match(by_boxes[is_visible], is_known, labeled)
    if labeled.boxes is not None:
        return ImageMatch(None, boxes)
    sides = (labeled.people, [instance.mask for instance in seen])
    by_masks = iou_matrix(*(cut_ignored(side, labeled.ignored) for side in sides))
    return ImageMatch(_match(by_masks[is_visible], is_known, labeled), boxes)


def visible_tracks(labeled: LabeledImage) -> tuple[str, ...]:
    """Return the sorted tracks of the people who are not mostly in ignored regions."""
    if not labeled.tracks:
        return ()
    tracks = zip(labeled.tracks, _are_visible(labeled), strict=True)
    return tuple(sorted({track for track, is_visible in tracks if is_visible and track is not None}))


def _are_visible(labeled: LabeledImage) -> NDArray[np.bool_]:
    """Return for each labeled person whether they are not mostly in ignored regions, (people,)."""
    masks: Sequence[Mask] = labeled.people
    if labeled.boxes is not None:
        masks = [fill_box(box, labeled.size_hw) for box in labeled.boxes]
    return lie_outside(masks, labeled.ignored)


def _match(ious: NDArray[np.float64], is_known: NDArray[np.bool_], labeled: LabeledImage) -> ImageMatches:
    """Match by IoU, (labeled people, instances)."""
    pairs = match_pairs(ious, min_iou=MATCH_IOU)
    counts = is_known.copy()
    counts[[column for _, column, _ in pairs]] = True
    return ImageMatches(
        best_ious=tuple(ious.max(axis=1, initial=0.0).tolist()),
        matched=len(pairs),
        seen=None if labeled.is_partial else int(counts.sum()),
    )
