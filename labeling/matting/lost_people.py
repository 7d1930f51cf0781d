"""People whom the teacher loses for some frames, looked for again where they must be.

A person found in one frame is followed to the next: their mask moves along optical flow. If nobody is found there, the teacher
looks into the box of the moved mask. What it draws counts if it is sure of it and it agrees with the moved mask. A person may
be missing in as many frames as they were found in before, so that what is taken for a person once in a while is not
followed. This is done in both directions of time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from labeling.matting.motion_average import FloatImage, Step, Way
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, iou_matrix
from labeling.video.optical_flow import bilinear_sample

LookIntoBoxes = Callable[[Frame, Sequence[BoxXywh]], list[Instance | None] | None]
"""Returns the person in each box, None where there is none; None alone: boxes cannot be looked into."""
SAME_PLACE_IOU = 0.3
"""A person whose mask overlaps by at least this IoU with one of the frame before, moved, is that person."""
FOUND_AGAIN_IOU = 0.5
"""What is drawn in a box is the lost person if it overlaps by at least this IoU with the moved mask."""
SAME_PERSON_IOU = 0.55
"""Two masks of a frame with a larger IoU show one person."""
MIN_SCORE = 0.85
"""Score from which a person drawn in a box counts. In a box that is taken for certain, furniture gets up to 0.8."""
MIN_NETWORKS_IOU = 0.6
"""IoU of two networks' masks from which it counts, where a teacher has two."""
MIN_SHARE = 0.001
"""People who cover less of the image are not followed."""
HALF = 0.5
"""A pixel of a moved or reduced mask belongs to it from this share on."""

SizeHw = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Followed:
    person: Instance
    small: Mask
    """In the size of the flow."""
    credit: int = 1
    """Frames in which the person may be missing."""


def find_lost(
    frames: Sequence[Frame],
    people: Sequence[Sequence[Instance]],
    steps: Sequence[Step | None],
    look: LookIntoBoxes,
) -> list[list[Instance]]:
    """Return the people of each frame whom only a second look finds.

    `people` are those found in each frame, `steps` the motion from each frame to the next one.
    """
    weights = next((step.ahead.weights for step in steps if step), None)
    if weights is None or not any(people):
        return [[] for _ in frames]
    size_hw = (weights.shape[0], weights.shape[1])
    found = [[_Followed(person, _reduce(person.mask, size_hw)) for person in group] for group in people]
    later = _follow(frames, found, [step.back if step else None for step in steps], look)
    ways = [step.ahead if step else None for step in reversed(steps)]
    earlier = _follow(frames[::-1], found[::-1], ways, look)
    return [
        _distinct(group, [*after, *before])
        for group, after, before in zip(people, later, earlier[::-1], strict=True)
    ]


def _follow(
    frames: Sequence[Frame],
    found: Sequence[Sequence[_Followed]],
    ways: Sequence[Way | None],
    look: LookIntoBoxes,
) -> list[list[Instance]]:
    """Return the people of each frame found by looking where those of the frame before it have gone."""
    again: list[list[Instance]] = [[]]
    before = list(found[0])
    for frame, group, way in zip(frames[1:], found[1:], ways, strict=True):
        now, lost = _match(_move(before, way), group) if way else (list(group), [])
        seen = _look_again(frame, lost, now, look) if lost else []
        again.append([one.person for one in seen])
        before = [*now, *seen]
    return again


def _move(people: Iterable[_Followed], way: Way) -> list[_Followed]:
    """Return people with their masks where they are in the next frame; without those who are too small or gone."""
    moved = [
        replace(one, small=Mask.from_array(bilinear_sample(_to_floats(one.small), way.positions) >= HALF))
        for one in people
    ]
    return [
        one for one in moved if one.small.area_px >= MIN_SHARE * one.small.size_hw[0] * one.small.size_hw[1]
    ]


def _match(moved: list[_Followed], group: Sequence[_Followed]) -> tuple[list[_Followed], list[_Followed]]:
    """Return the people of a frame with their credit, and those who are missing in it and have some left."""
    ious = iou_matrix([one.small for one in moved], [one.small for one in group])
    now, lost = list(group), list[_Followed]()
    for number, one in enumerate(moved):
        place = int(ious[number].argmax()) if group else 0
        if group and ious[number, place] >= SAME_PLACE_IOU:
            now[place] = replace(now[place], credit=max(now[place].credit, one.credit + 1))
        elif one.credit:
            lost.append(one)
    return now, lost


def _look_again(
    frame: Frame, lost: Sequence[_Followed], now: Sequence[_Followed], look: LookIntoBoxes
) -> list[_Followed]:
    drawn = look(frame, [_to_frame(one.small, frame) for one in lost])
    if drawn is None:
        return []
    seen: list[_Followed] = []
    for one, person in zip(lost, drawn, strict=True):
        if person is None or not _is_sure(person):
            continue
        small = _reduce(person.mask, one.small.size_hw)
        others = [other.small for other in (*now, *seen)]
        if iou_matrix([small], [one.small])[0, 0] >= FOUND_AGAIN_IOU and not _shows_one_of(small, others):
            seen.append(_Followed(person, small, one.credit - 1))
    return seen


def _is_sure(person: Instance) -> bool:
    agrees = person.networks_iou is None or person.networks_iou >= MIN_NETWORKS_IOU
    return agrees and person.score >= MIN_SCORE


def _distinct(found: Sequence[Instance], again: Sequence[Instance]) -> list[Instance]:
    """Return the people of a second look who are not there yet, best score first."""
    kept: list[Instance] = []
    for person in sorted(again, key=lambda one: -one.score):
        if not _shows_one_of(person.mask, [other.mask for other in (*found, *kept)]):
            kept.append(person)
    return kept


def _shows_one_of(mask: Mask, others: Sequence[Mask]) -> bool:
    return bool((iou_matrix([mask], others) > SAME_PERSON_IOU).any())


def _reduce(mask: Mask, size_hw: SizeHw) -> Mask:
    shares = cv2.resize(_to_floats(mask), size_hw[::-1], interpolation=cv2.INTER_AREA)
    return Mask.from_array(shares >= HALF)


def _to_floats(mask: Mask) -> FloatImage:
    return mask.to_array().astype(np.float32)


def _to_frame(small: Mask, frame: Frame) -> BoxXywh:
    """Return the box of a mask of the flow's size in pixels of the frame."""
    x, y, width, height = small.box_xywh
    down, right = (full / reduced for full, reduced in zip(frame.size_hw, small.size_hw, strict=True))
    return (x * right, y * down, width * right, height * down)
