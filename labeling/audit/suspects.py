"""Labels of one image that a teacher contradicts.

Every suspect has a disagreement in [0, 1], which says how surely label and teacher cannot both be right, and the trust in
the teacher's mask. `labeling.audit.ranking` orders the suspects of all images by them and by other evidence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labeling.comparison.iou import match_pairs
from labeling.comparison.mismatches import find_mismatches
from labeling.structures.agreement import Match
from labeling.structures.masks import (
    BoxXywh,
    Mask,
    box_iou_matrix,
    intersect_masks,
    intersection_areas,
    iou_matrix,
    mask_areas,
    union_masks,
)

SuspectKind = Literal["missing", "shifted", "merged", "split", "leaking", "incomplete", "outline", "unseen"]

MATCH_IOU = 0.5
"""IoU from which a label and a mask of the teacher show the same person."""
SURELY_RIGHT_IOU, SURELY_WRONG_IOU = 0.9, 0.5
"""IoU of label and teacher from which there is no disagreement, and below which it is complete."""
SHIFTED_IOU, SHIFT_GAIN = 0.7, 0.2
"""A label is shifted if, moved onto the teacher's mask, it reaches this IoU, and gains this much."""
ONE_SIDED = 2.0
"""An outline leaks, or is incomplete, if one side has this many times as many pixels of its own as the other."""


@dataclass(frozen=True, slots=True)
class TrustedMask:
    """A person whom the teacher found."""

    mask: Mask
    trust: float
    """Probability that the mask is right, or the teacher's score without a calibration."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Labels that are probably wrong; the numbers are positions in the image's lists."""

    kind: SuspectKind
    labels: tuple[int, ...]
    """Empty for a missing label."""
    people: tuple[int, ...]
    """The teacher's; empty where it found no person."""
    disagreement: float
    trust: float | None
    """In the teacher's masks; None where it found no person."""
    iou: float
    """Of the label with the teacher's mask; 0 without one."""
    shift_xy: tuple[float, float] | None = None
    """How far a shifted label must be moved, in pixels."""
    edge_fit: float | None = None
    """Of the label's outline (`labeling.audit.edges`), the worst of several; None: not known, or there is no label."""
    beside_missing: float = 0.0
    """For a label without a person: the surest person without a label in the image, disagreement times trust."""


@dataclass(frozen=True, slots=True)
class _Image:
    """Labels and people of one image, compared."""

    labels: Sequence[Mask]
    people: Sequence[TrustedMask]
    size_hw: tuple[int, int]
    ious: NDArray[np.float64]
    """(labels, people)"""
    person_areas: NDArray[np.int64]


def disagreement_of(iou: float) -> float:
    """Return how surely two masks of an IoU cannot both be right.

    >>> [disagreement_of(iou) for iou in (0.95, 0.7, 0.3)]
    [0.0, 0.5, 1.0]
    """
    share = (SURELY_RIGHT_IOU - iou) / (SURELY_RIGHT_IOU - SURELY_WRONG_IOU)
    return round(min(max(share, 0.0), 1.0), 6)


def find_suspects(
    labels: Sequence[Mask], people: Sequence[TrustedMask], ignored: Mask
) -> tuple[list[Suspect], list[bool]]:
    """Return the suspects of an image, and for each label whether the teacher found its person.

    A person of the teacher who lies at least half in `ignored` (crowds) is not missing.
    """
    masks = [person.mask for person in people]
    image = _Image(
        labels,
        people,
        ignored.size_hw,
        iou_matrix(labels, masks),
        mask_areas(masks),
    )
    pairs = match_pairs(image.ious, min_iou=MATCH_IOU)
    matches = [Match(person, label, iou) for label, person, iou in pairs]
    groups = list(_find_groups(image, matches))
    used_labels = {label for one in groups for label in one.labels}
    used_people = {person for one in groups for person in one.people}
    matched = [(label, person) for label, person, _ in pairs if label not in used_labels]
    shifted = list(_find_shifted(image, matched, used_labels, used_people))
    used_labels |= {label for one in shifted for label in one.labels}
    used_people |= {person for one in shifted for person in one.people}
    outlines = [_judge_outline(image, *pair) for pair in matched if pair[0] not in used_labels]
    used_labels |= {label for label, _ in matched}
    used_people |= {person for _, person in matched}
    unseen = [_judge_unseen(image, label) for label in range(len(labels)) if label not in used_labels]
    missing = _find_missing(image, used_people, ignored)
    is_found = [bool(row.max(initial=0.0) >= MATCH_IOU) for row in image.ious]
    return [*groups, *shifted, *(one for one in outlines if one.disagreement), *unseen, *missing], is_found


def _find_groups(image: _Image, matches: Sequence[Match]) -> Iterator[Suspect]:
    """Yield labels that show several people, and people with several labels."""
    masks = [person.mask for person in image.people]
    for found in find_mismatches(masks, image.labels, matches, image.size_hw, boundary_below=0.0):
        if found.cause not in ("merge", "split"):
            continue
        trusts = sorted((image.people[person].trust for person in found.teacher), reverse=True)
        best = max(image.ious[label, person] for label in found.student for person in found.teacher)
        kind: SuspectKind = "merged" if found.cause == "merge" else "split"
        # that there are two people is as sure as the second of them
        trust = trusts[1] if kind == "merged" else trusts[0]
        yield Suspect(kind, found.student, found.teacher, disagreement_of(float(best)), trust, float(best))


def _find_shifted(
    image: _Image, matched: Sequence[tuple[int, int]], used_labels: set[int], used_people: set[int]
) -> Iterator[Suspect]:
    """Yield labels that fit a person much better when they are moved, best fit first, each person once."""
    partner = dict(matched)
    taken = set(used_people)
    free = set(range(len(image.people))) - taken - set(partner.values())
    candidates = []
    for label in sorted(set(range(len(image.labels))) - used_labels):
        for person in {partner[label]} if label in partner else free:
            before, (after, shift_xy) = image.ious[label, person], _fit_moved(image, label, person)
            if after >= SHIFTED_IOU and after - before >= SHIFT_GAIN:
                candidates.append((after, label, person, shift_xy))
    done: set[int] = set()
    for after, label, person, shift_xy in sorted(candidates, reverse=True):
        if label not in done and person not in taken:
            done.add(label)
            taken.add(person)
            before = float(image.ious[label, person])
            surely = min(1.0, after / SURELY_RIGHT_IOU) * disagreement_of(before)
            trust = image.people[person].trust
            yield Suspect("shifted", (label,), (person,), surely, trust, before, shift_xy)


def _fit_moved(image: _Image, label: int, person: int) -> tuple[float, tuple[float, float]]:
    """Return the IoU after the label's box is moved onto the person's, and the move in pixels."""
    own, other = image.labels[label].box_xywh, image.people[person].mask.box_xywh
    if not _are_alike(own, other):
        return 0.0, (0.0, 0.0)
    dx, dy = (round(other[axis] + other[axis + 2] / 2 - own[axis] - own[axis + 2] / 2) for axis in (0, 1))
    x, y, w, h = (int(side) for side in own)
    moved = _crop(image.labels[label], (x, y, w, h))
    there = _crop(image.people[person].mask, (x + dx, y + dy, w, h))
    outside_px = int(image.person_areas[person]) - np.count_nonzero(there)
    joint_px = np.count_nonzero(moved | there) + outside_px
    return float(np.count_nonzero(moved & there) / max(joint_px, 1)), (float(dx), float(dy))


def _are_alike(own: BoxXywh, other: BoxXywh) -> bool:
    """Return whether boxes have nearly the same size."""
    sizes = [(0.0, 0.0, box[2], box[3]) for box in (own, other)]
    return bool(box_iou_matrix(sizes[:1], sizes[1:])[0, 0] >= SHIFTED_IOU)


def _crop(mask: Mask, box_xywh: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a mask in a box, hxw; outside of the image there are none."""
    (height, width), (x, y, w, h) = mask.size_hw, box_xywh
    left, top, right, bottom = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
    crop = np.zeros((h, w), dtype=np.bool_)
    if right > left and bottom > top:
        inside = mask.to_crop((left, top, right - left, bottom - top))
        crop[top - y : bottom - y, left - x : right - x] = inside
    return crop


def _judge_outline(image: _Image, label: int, person: int) -> Suspect:
    """Compare a label with the mask of the same person."""
    iou = float(image.ious[label, person])
    mask, found = image.labels[label], image.people[person]
    common = intersect_masks(mask, found.mask).area_px
    only_label, only_teacher = mask.area_px - common, found.mask.area_px - common
    kind: SuspectKind = "outline"
    if only_label > ONE_SIDED * only_teacher:
        kind = "leaking"
    elif only_teacher > ONE_SIDED * only_label:
        kind = "incomplete"
    return Suspect(kind, (label,), (person,), disagreement_of(iou), found.trust, iou)


def _judge_unseen(image: _Image, label: int) -> Suspect:
    """Return a label without a person of the teacher's."""
    best = float(image.ious[label].max(initial=0.0))
    return Suspect("unseen", (label,), (), disagreement_of(best), None, best)


def _find_missing(image: _Image, used: set[int], ignored: Mask) -> Iterator[Suspect]:
    """Yield people of the teacher who have no label."""
    labeled = union_masks([*image.labels], image.size_hw)
    for person, found in enumerate(image.people):
        if person in used:
            continue
        in_labels, in_ignored = intersection_areas([found.mask], [labeled, ignored])[0] / max(
            1, image.person_areas[person]
        )
        if in_ignored >= MATCH_IOU or in_labels >= MATCH_IOU:
            continue
        iou = float(image.ious[:, person].max(initial=0.0))
        yield Suspect("missing", (), (person,), disagreement_of(float(in_labels)), found.trust, iou)
