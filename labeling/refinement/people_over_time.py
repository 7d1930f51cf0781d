"""The people of neighboring frames, moved into a frame: their mean masks, and people whom the frame lacks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.refinement.temporal_average import FloatMap, Link, average_maps, contour_ramp
from labeling.structures.instances import Instance
from labeling.structures.masks import INSIDE_FROM, Mask, iou_matrix, union_masks
from labeling.video.optical_flow import bilinear_sample

SAME_PERSON_IOU = 0.3
"""Least IoU of a mask and a neighbor's moved mask of the same person, without tracks."""
LEAST_SHARE = 0.5
"""Least size of a missed person's mask, as a share of its mean size in the neighbors; a smaller one is a remainder at
pixels that have no consistent flow to the other neighbors."""
Links = Sequence[tuple[Sequence[Instance], Link]]
"""Each neighbor's people, and the optical flow between the frame and it."""


@dataclass(frozen=True, slots=True, eq=False)
class MovedFrame:
    """A neighbor's people, moved into the frame."""

    people: tuple[Instance, ...]
    maps: tuple[FloatMap, ...]
    """Of each person, HxW in [0, 1]."""
    masks: tuple[Mask, ...]
    weights: FloatMap
    """HxW."""
    softness: float
    """Distance up to which contours are averaged, as a share of the longer side of a mask's box."""


def move_people(links: Links, *, softness: float = 0.0) -> list[MovedFrame]:
    """Move the people of each neighbor along optical flow.

    With `softness`, masks are moved as ramps across their contours (`contour_ramp`) of this share of the longer side of
    the mask's box, on each side.
    """
    frames = []
    for people, link in links:
        seen = tuple(one for one in people if one.mask)
        maps = tuple(bilinear_sample(_to_map(one.mask, softness), link.positions) for one in seen)
        masks = tuple(Mask.from_array(values > INSIDE_FROM) for values in maps)
        frames.append(MovedFrame(seen, maps, masks, link.weights, softness))
    return frames


def average_people(people: Sequence[Instance], neighbors: Sequence[MovedFrame]) -> list[FloatMap]:
    """Return the weighted mean map of each person, HxW in [0, 1]; it is inside above `INSIDE_FROM`.

    A neighbor counts for a person if it shows the person: the same `track_id`, or, without tracks, the mask with the
    largest IoU, of at least `SAME_PERSON_IOU`.
    """
    softness = neighbors[0].softness if neighbors else 0.0
    averages = []
    for person in people:
        matches = [(one, _find_same(person, one)) for one in neighbors]
        others = [(one.maps[match], one.weights) for one, match in matches if match is not None]
        averages.append(average_maps(_to_map(person.mask, softness), others))
    return averages


def find_missed(
    people: Sequence[Instance], neighbors: Sequence[MovedFrame], *, taken: Sequence[Mask]
) -> list[Instance]:
    """Return people whom a frame lacks, but the majority of its neighbors show, by weight and pixel.

    The frame itself counts against them. They have the mean score and the lowest stability of their neighbors, and none of
    the pixels `taken` by the masks of the frame.
    """
    shown: list[list[tuple[MovedFrame, int]]] = []
    for frame in neighbors:
        for number in _strangers(people, frame):
            _add_to_group(shown, frame, number)
    weight = np.ones_like(neighbors[0].weights) + sum(frame.weights for frame in neighbors)
    size_hw = (weight.shape[0], weight.shape[1])
    found: list[Instance] = []
    for group in shown:
        inside = sum(frame.weights * frame.maps[number] for frame, number in group) / weight > INSIDE_FROM
        if inside.any():
            inside &= ~union_masks([*taken, *(one.mask for one in found)], size_hw).to_array()
        usual_px = float(np.mean([frame.masks[number].area_px for frame, number in group]))
        if inside.sum() >= LEAST_SHARE * max(usual_px, 1.0):
            found.append(_as_person(Mask.from_array(inside), [frame.people[i] for frame, i in group]))
    return found


def _strangers(people: Sequence[Instance], frame: MovedFrame) -> list[int]:
    """Return the positions of a neighbor's people who are none of the frame's."""
    known = {_find_same(person, frame) for person in people}
    tracks = {person.track_id for person in people if person.track_id is not None}
    here = [person.mask for person in people if person.mask]
    overlaps = iou_matrix(frame.masks, here).max(axis=1, initial=0.0)
    return [
        number
        for number, one in enumerate(frame.people)
        if number not in known and one.track_id not in tracks and overlaps[number] < SAME_PERSON_IOU
    ]


def _add_to_group(groups: list[list[tuple[MovedFrame, int]]], frame: MovedFrame, number: int) -> None:
    """Add a neighbor's person to the first group that shows the same person, or begin one."""
    for group in groups:
        first, position = group[0]
        if (
            group[-1][0] is not frame
            and _find_same(first.people[position], frame, first.masks[position]) == number
        ):
            group.append((frame, number))
            return
    groups.append([(frame, number)])


def _as_person(mask: Mask, seen: Sequence[Instance]) -> Instance:
    stabilities = [one.stability for one in seen if one.stability is not None]
    return Instance(
        mask,
        score=float(np.mean([one.score for one in seen])),
        box_xywh=mask.box_xywh,
        stability=min(stabilities, default=None),
        track_id=seen[0].track_id,
    )


def _find_same(person: Instance, frame: MovedFrame, mask: Mask | None = None) -> int | None:
    """Return the position of a person's mask, or of `mask` in its place, in a neighbor."""
    mask = mask or person.mask
    if not mask or not frame.people:
        return None
    if person.track_id is not None and all(one.track_id is not None for one in frame.people):
        return next((i for i, one in enumerate(frame.people) if one.track_id == person.track_id), None)
    ious = iou_matrix([mask], frame.masks)[0]
    best = int(ious.argmax())
    return best if ious[best] >= SAME_PERSON_IOU else None


def _to_map(mask: Mask, softness: float) -> FloatMap:
    pixels = mask.to_array()
    if not softness or not mask:
        return np.ascontiguousarray(pixels, dtype=np.float32)
    return contour_ramp(pixels, half_px=softness * max(mask.box_xywh[2:]))
