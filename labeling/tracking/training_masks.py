"""Masks to learn a person from: a teacher's instances in the annotated frames, matched to the trajectories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray
from labeling.tracking.anchors import Projection, assign_boxes, nearest_box
from labeling.tracking.body_size import BodySize, fit_body_size
from labeling.tracking.osvos_crops import IGNORED, OTHERS, PERSON, LabelMap
from labeling.tracking.trajectories import FloatArray, Trajectory

MIN_BOX_SCORE = 0.6
"""Instances below this are not learned from, but they are other people."""
FILL_RANGE = (0.15, 0.95)
"""A mask must fill this share of its box."""
SIZE_RANGE = (0.65, 1.5)
"""Height of a box over that of a person at its place; others are parts of people, or two of them."""
MaskSource = Literal["teacher", "background"]


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """One annotated frame and its people."""

    frame: int
    """Of the video."""
    instances: tuple[Instance, ...]
    points: Mapping[int, tuple[float, float]]
    """Annotated pixel of each person in it, requested or not."""
    matched: Mapping[int, int]
    """Instance of each person, each once."""


@dataclass(frozen=True, slots=True)
class PersonMatches:
    """How the annotated frames of a person were matched."""

    person: int
    frames: tuple[int, ...]
    """With an instance to learn from."""
    annotated: int
    skipped: int
    """Without any box under the largest distance."""
    distances_px: tuple[float, ...]
    """From the annotated point to the nearest box, in each annotated frame."""

    def describe(self) -> str:
        shown = ", ".join(f"{one:.0f}" for one in self.distances_px[:12])
        return f"{self.annotated} annotated frames, distances to the nearest box {shown or 'none'} px"


def match_frame(
    frame: int,
    instances: Sequence[Instance],
    trajectories: Mapping[int, Trajectory],
    projection: Projection,
    *,
    max_distance_px: float,
) -> AnnotatedFrame:
    """Match all people of a frame with its instances, each instance once."""
    located = {person: projection.locate(one, frame) for person, one in trajectories.items()}
    points = {person: point for person, point in located.items() if point is not None}
    chosen = assign_boxes(
        np.array(list(points.values())).reshape(-1, 2),
        [one.box_xywh for one in instances],
        anchor=projection.anchor,
        max_distance_px=max_distance_px,
    )
    matched = {person: index for person, index in zip(points, chosen, strict=True) if index is not None}
    at = {person: (float(point[0]), float(point[1])) for person, point in points.items()}
    return AnnotatedFrame(frame, tuple(instances), at, matched)


def measure_bodies(
    frames: Sequence[AnnotatedFrame], projection: Projection, *, size_hw: tuple[int, int]
) -> BodySize:
    """Fit the size of people to all matches that are closer than a quarter of the box's height."""
    points: list[FloatArray] = []
    boxes = []
    for one in frames:
        for person, index in one.matched.items():
            box = one.instances[index].box_xywh
            found = nearest_box(
                np.array(one.points[person]), [box], anchor=projection.anchor, max_distance_px=box[3] / 4
            )
            if found.index is not None:
                points.append(np.array(one.points[person]))
                boxes.append(box)
    return fit_body_size(points, boxes, anchor=projection.anchor, size_hw=size_hw)


def match_person(
    person: int,
    annotated: Sequence[AnnotatedFrame],
    bodies: BodySize,
    projection: Projection,
    *,
    max_distance_px: float,
) -> PersonMatches:
    """Choose the frames whose instance is this person with a whole body, and count the others."""
    frames: list[int] = []
    distances: list[float] = []
    skipped = 0
    for one in annotated:
        if person not in one.points:
            continue
        boxes = [instance.box_xywh for instance in one.instances]
        point = np.array(one.points[person])
        found = nearest_box(point, boxes, anchor=projection.anchor, max_distance_px=max_distance_px)
        distances.append(round(found.distance_px, 1))
        skipped += found.index is None
        if person in one.matched and is_whole(one.instances[one.matched[person]], bodies.height(point[1])):
            frames.append(one.frame)
    return PersonMatches(person, tuple(frames), len(distances), skipped, tuple(distances))


def is_whole(instance: Instance, height_px: float) -> bool:
    """Return whether an instance can be learned from: sure, of a body's size, and neither a line nor a box."""
    _, _, w, h = instance.box_xywh
    filled = instance.mask.area_px / max(w * h, 1)
    return (
        instance.score >= MIN_BOX_SCORE
        and SIZE_RANGE[0] <= h / height_px <= SIZE_RANGE[1]
        and FILL_RANGE[0] <= filled <= FILL_RANGE[1]
    )


def label_pixels(
    annotated: AnnotatedFrame, person: int, size_hw: tuple[int, int], foreground: BoolArray | None = None
) -> LabelMap:
    """Return the pixels of a person, of other people, and those that may be either.

    Without `foreground` the masks are the teacher's. With it, they are what differs from the background inside the
    teacher's boxes.
    """
    labels = np.zeros(size_hw, dtype=np.uint8)
    own = annotated.matched[person]
    for index, instance in enumerate(annotated.instances):
        if index != own:
            labels[_pixels(instance, foreground)] = OTHERS
    mine = _pixels(annotated.instances[own], foreground)
    shared = mine & (labels == OTHERS)
    labels[mine] = PERSON
    labels[shared] = IGNORED
    return labels


def _pixels(instance: Instance, foreground: BoolArray | None) -> BoolArray:
    pixels = instance.mask.to_array()
    if foreground is None:
        return pixels
    x, y, w, h = (round(side) for side in instance.box_xywh)
    inside = np.zeros_like(pixels)
    inside[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    return np.asarray(foreground & inside)


def is_filled(labels: LabelMap, instance: Instance) -> bool:
    """Return whether the person's pixels fill a plausible share of the box."""
    filled = float((labels == PERSON).sum()) / max(instance.box_xywh[2] * instance.box_xywh[3], 1)
    return FILL_RANGE[0] <= filled <= FILL_RANGE[1]


def spread(frames: Sequence[int], count: int) -> list[int]:
    """Return at most `count` frames, evenly spread.

    >>> spread([0, 10, 20, 30, 40], 3)
    [0, 20, 40]
    """
    if len(frames) <= count:
        return list(frames)
    return [frames[round(index * (len(frames) - 1) / (count - 1))] for index in range(count)]
