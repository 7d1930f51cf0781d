"""People whom the teacher does not find in a frame, but shortly before or after it.

Detectors lose a person for a frame or two, and find one who walks into the image only when half of them is
visible. Their mask comes from the frames around, moved to what differs from the plate now.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np

from labeling.background.plate import FloatImage, color_distance, disc_kernel, open_mask
from labeling.background.subtraction import find_shadow
from labeling.matting.plate_difference import MIN_CHANGED_LEVELS
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask, iou_matrix, union_masks

SAME_PERSON_IOU = 0.2
"""A person found now is the one found in another frame if their masks overlap by more than this IoU."""
MAX_SPEED_PER_S = 2.5
"""People move by at most so many of their heights in a second: a tall person runs 4.5 m/s."""
SEARCH_ROWS = 96
"""Rows of a person's mask while its place is searched; larger masks are reduced."""
MIN_MATCH = 0.5
"""Dice coefficient of the moved mask and the changed pixels; below it the mask stays where it was."""
MAX_SIGHTINGS = 4
"""Masks of a person that are compared with the changed pixels, spread over the time."""
APART_PX = 8
"""Change this near to other people is theirs; pixels of the reduced image."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A person found in another frame."""

    person: Instance
    dt_s: Fraction
    """Time between the two frames, positive."""


@dataclass(frozen=True, slots=True)
class MissingPerson:
    """A person found in other frames, and not in this one."""

    sightings: tuple[Sighting, ...]
    """The nearest first; more than one only if no one else is missing."""

    @property
    def person(self) -> Instance:
        return self.sightings[0].person


def find_missing(
    now: Sequence[Instance], others: Sequence[tuple[Fraction, Sequence[Instance]]]
) -> list[MissingPerson]:
    """Return the people of other frames who are missing in this one.

    `others` has the distance in time and the people of the other frames, nearest first. A frame with no more
    people adds none: its people have moved, and none is missing.
    """
    people, missing = list(now), []
    for dt_s, found in others:
        for person in _unmatched(people, found):
            people.append(person)
            missing.append(MissingPerson((Sighting(person, dt_s),)))
    if len(missing) != 1:
        return missing
    again = ((dt_s, _unmatched(now, found)) for dt_s, found in others)
    sightings = [Sighting(people[0], dt_s) for dt_s, people in again if len(people) == 1]
    return [MissingPerson(tuple(sightings[:: -(-len(sightings) // MAX_SIGHTINGS)]))]


def _unmatched(now: Sequence[Instance], found: Sequence[Instance]) -> list[Instance]:
    """Return as many people of another frame as it has more than this one, of those at other places."""
    count = len(found) - len(now)
    if count <= 0:
        return []
    if not now:
        return list(found)
    ious = iou_matrix([other.mask for other in found], [person.mask for person in now])
    return [other for i, other in enumerate(found) if ious[i].max() <= SAME_PERSON_IOU][:count]


def locate_missing(
    missing: Sequence[MissingPerson],
    rgb: RgbImage,
    plate: RgbImage,
    is_seen: BoolArray,
    others: Sequence[Instance],
) -> list[Instance]:
    """Return missing people with their masks moved to what differs from the plate, HxWx3.

    Of several masks of a person the one that agrees best is taken: where people walk in, the first ones often
    lack a part. Without such a place within reach, the nearest mask stays where it was.
    """
    if not missing:
        return []
    changed = find_change(rgb, plate, is_seen)
    return [_locate(one, changed, others) for one in missing]


def find_change(rgb: RgbImage, plate: RgbImage, is_seen: BoolArray) -> BoolArray:
    """Return where an image differs from the plate, and not by a shadow, HxW."""
    image, empty = (cv2.GaussianBlur(one, (3, 3), 0).astype(np.float32) for one in (rgb, plate))
    differs = color_distance(image, empty) > MIN_CHANGED_LEVELS
    return open_mask(differs & is_seen & ~find_shadow(image, empty)) > 0


def _locate(missing: MissingPerson, changed: BoolArray, others: Sequence[Instance]) -> Instance:
    """Return the moved mask that agrees best with the changed pixels."""
    places = [_find_place(sighting, changed, others) for sighting in missing.sightings]
    best = max(range(len(places)), key=lambda number: places[number][0])  # of equal ones the nearest
    match, dx, dy = places[best]
    return _move(missing.sightings[best].person, dx, dy) if match >= MIN_MATCH else missing.person


def _find_place(sighting: Sighting, changed: BoolArray, others: Sequence[Instance]) -> tuple[float, int, int]:
    """Return how well a moved mask agrees with the changed pixels at best, and its move to the right and down.

    A part of the mask may be outside the image then.
    """
    left, top, width, height = (int(side) for side in sighting.person.mask.box_xywh)
    long = max(width, height)
    scale = min(1.0, SEARCH_ROWS / long)
    reach = max(2, round(MAX_SPEED_PER_S * long * float(sighting.dt_s)))
    around = (left - reach, top - reach, width + 2 * reach, height + 2 * reach)
    field = _cut(changed, around, scale)
    if others:
        field[_near(others, around, scale) > 0] = 0
    inside = _cut(np.ones_like(changed), around, scale)
    shape = _reduced(sighting.person.mask.to_crop((left, top, width, height)), scale)
    common, shown = (cv2.matchTemplate(part, shape, cv2.TM_CCORR) for part in (field, inside))
    match = 2 * common / np.maximum(field.sum() + shown, 1e-6)
    row, column = divmod(int(match.argmax()), match.shape[1])
    return float(match[row, column]), round(column / scale) - reach, round(row / scale) - reach


def _near(others: Sequence[Instance], around: tuple[int, int, int, int], scale: float) -> FloatImage:
    """Return where other people are, and a rim around them, in a part of the image that is reduced."""
    pixels = union_masks([other.mask for other in others], others[0].mask.size_hw).to_array()
    return np.asarray(cv2.dilate(_cut(pixels, around, scale), disc_kernel(2 * APART_PX + 1)), np.float32)


def _cut(pixels: BoolArray, box_xywh: tuple[int, int, int, int], scale: float) -> FloatImage:
    """Return a part of an image, reduced; zero outside the image."""
    x, y, w, h = box_xywh
    out = np.zeros((max(1, round(h * scale)), max(1, round(w * scale))), dtype=np.float32)
    x0, y0 = max(0, x), max(0, y)
    inside = _reduced(pixels[y0 : y + h, x0 : x + w], scale)
    top, left = min(round((y0 - y) * scale), out.shape[0] - 1), min(round((x0 - x) * scale), out.shape[1] - 1)
    part = inside[: out.shape[0] - top, : out.shape[1] - left]
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def _reduced(pixels: BoolArray, scale: float) -> FloatImage:
    size_wh = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    image = np.ascontiguousarray(pixels, dtype=np.float32)
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.float32)


def _move(person: Instance, dx: int, dy: int) -> Instance:
    """Return a person moved by whole pixels, without what is then outside the image."""
    pixels = person.mask.to_array().astype(np.uint8, order="C")
    moved = cv2.warpAffine(pixels, np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]]), pixels.shape[::-1])
    mask = Mask.from_array(moved > 0)
    keypoints = person.keypoints and tuple((x + dx, y + dy, score) for x, y, score in person.keypoints)
    return replace(person, mask=mask, box_xywh=mask.box_xywh, keypoints=keypoints)
