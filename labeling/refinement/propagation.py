"""Masks of a corrected frame, carried to the frames before and after it.

Each mask is carried by composed optical flow (labeling/tracking/flow_chain.py) from the corrected frame before and
from the one after; the two are blended by distance in time and consistency of the flow, and the result is refined by
the person's colors and the image's edges. The teacher's own mask of a frame is evidence of another kind: how well it
agrees is measured before the two are fused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

from configs.categories import PERSON
from labeling.comparison.iou import Labeled, iou_within, match_pairs
from labeling.refinement.carried_mask import (
    CarriedMask,
    blend_sides,
    carry_confidence,
    carry_side,
)
from labeling.refinement.mask_colors import PersonColors, SoftMask, refine_by_color
from labeling.structures.masks import INSIDE_FROM, Mask, iou_matrix
from labeling.tracking.flow_chain import ChainedFlow, FlowStep, flow_step, follow
from labeling.tracking.frame_strip import StripImage

SAME_PERSON_IOU = 0.2
"""IoU in the middle of a gap from which the masks carried from both sides are one person."""
SAME_OBJECT_IOU = 0.1
"""IoU with the teacher's mask from which it is one of the same person."""
FUSE_IOU = 0.6
"""IoU with the teacher's mask from which the two are fused: below, one of them is wrong."""
TEACHER_WEIGHT, TEACHER_WEIGHT_UNKNOWN = 0.15, 0.5
"""Weight of the teacher's mask in a fused one, and how much more it has where the flow is not consistent; both are times
1 - confidence. Without that factor, DAVIS' dance-twirl loses 0.026 in a gap with slow motion and gains 0.027 in one with
fast motion, in which the flow fails."""
LEAST_NEARNESS = 0.01
"""Where there is only one side, the last image of the gap is the farthest target."""
SMALLEST_PX = 20
"""Smallest area of a carried mask in the small image; less has left the image."""


@dataclass(frozen=True, slots=True)
class CorrectedPerson:
    """One person of a corrected frame."""

    id: int
    mask: Mask
    """In the frame's size."""
    track_id: int | None = None
    category: str = PERSON


@dataclass(frozen=True, slots=True)
class PropagatedMask:
    """One person, carried to one frame."""

    mask: Mask
    """In the frame's size; fused with the teacher's where they agree."""
    confidence: float
    """In [0, 1]; see `carry_confidence`."""
    origins: tuple[int, ...]
    """Ids of the person in the corrected frames before and after."""
    track_id: int | None
    teacher: int | None = None
    """Position of the teacher's mask of the same person; None: the teacher has none."""
    agreement: float | None = None
    """IoU with the teacher's mask before the two are fused."""
    category: str = PERSON
    """That of the corrected frame, whatever the teacher's is."""


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Images between two corrected frames of one shot; one of the two may be missing.

    The first image belongs to `before`, the last one to `after`, if they are given.
    """

    images: Sequence[StripImage]
    size_hw: tuple[int, int]
    """Of the masks."""
    before: Sequence[CorrectedPerson] | None
    after: Sequence[CorrectedPerson] | None
    targets: Mapping[int, Sequence[Mask]]
    """The teacher's masks by position of the image, for each image that masks are carried to."""
    target_categories: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Their categories; a position that is missing has people alone."""


Method = Literal["flow", "refined", "fused"]


def flow_steps(images: Sequence[StripImage]) -> list[FlowStep]:
    """Compute the flow between neighboring images, 8 bytes a pixel for each pair."""
    lumas = [image.luma for image in images]
    return [flow_step(earlier, later) for earlier, later in pairwise(lumas)]


def propagate(
    gap: Gap, *, method: Method = "fused", steps: Sequence[FlowStep] | None = None
) -> Iterator[tuple[int, list[PropagatedMask]]]:
    """Yield each target's position with the people carried to it.

    Args:
        gap: images, corrected people, and the teacher's masks.
        method: `flow` carries masks, `refined` also refines them, `fused` also fuses them with the teacher's.
        steps: `flow_steps` of the images, if it is known.
    """
    steps = flow_steps(gap.images) if steps is None else steps
    people = _join_people(gap, steps)
    forward = _chains(gap, steps, is_forward=True) if gap.before is not None else {}
    for position, after in _backward_chains(gap, steps):
        carried = _carry(gap, people, position, forward.get(position), after)
        yield position, _finish(gap, carried, position, method)


@dataclass(frozen=True, slots=True, eq=False)
class _Person:
    """One person in the small images of both corrected frames."""

    origins: tuple[int, ...]
    track_id: int | None
    category: str
    before: SoftMask | None
    after: SoftMask | None
    colors: PersonColors


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """One person at one target, before refinement."""

    person: _Person
    mask: CarriedMask


def _chains(gap: Gap, steps: Sequence[FlowStep], *, is_forward: bool) -> dict[int, ChainedFlow]:
    """Return the composed flow at the targets, by position."""
    count = len(gap.images)
    ordered = steps if is_forward else steps[::-1]
    positions = range(1, count) if is_forward else range(count - 2, -1, -1)
    chains = zip(positions, follow(ordered, _size(gap.images[0]), is_forward=is_forward), strict=True)
    return {position: chain for position, chain in chains if position in gap.targets}


def _backward_chains(gap: Gap, steps: Sequence[FlowStep]) -> Iterator[tuple[int, ChainedFlow | None]]:
    backward = _chains(gap, steps, is_forward=False) if gap.after is not None else {}
    return ((position, backward.get(position)) for position in sorted(gap.targets))


def _join_people(gap: Gap, steps: Sequence[FlowStep]) -> list[_Person]:
    """Return everyone of both corrected frames, each person once."""
    before = {person.id: person for person in gap.before or ()}
    after = {person.id: person for person in gap.after or ()}
    pairs = _match_sides(gap, steps, list(before.values()), list(after.values()))
    people = [_make_person(gap, before[first], after[second]) for first, second in pairs]
    matched = {key for pair in pairs for key in pair}
    people += [_make_person(gap, person, None) for key, person in before.items() if key not in matched]
    people += [_make_person(gap, None, person) for key, person in after.items() if key not in matched]
    return people


def _make_person(gap: Gap, before: CorrectedPerson | None, after: CorrectedPerson | None) -> _Person:
    known = [
        (person, image)
        for person, image in ((before, gap.images[0]), (after, gap.images[-1]))
        if person is not None
    ]
    soft = {person.id: _shrink_mask(person.mask, image) for person, image in known}
    tracks = [person.track_id for person, _ in known if person.track_id is not None]
    return _Person(
        origins=tuple(person.id for person, _ in known),
        track_id=tracks[0] if tracks else None,
        category=known[0][0].category,
        before=soft[before.id] if before else None,
        after=soft[after.id] if after else None,
        colors=PersonColors.learn([(image.rgb, soft[one.id] > INSIDE_FROM) for one, image in known]),
    )


def _match_sides(
    gap: Gap, steps: Sequence[FlowStep], before: list[CorrectedPerson], after: list[CorrectedPerson]
) -> list[tuple[int, int]]:
    """Return ids of the same person before and after: by track, else by the masks where they meet."""
    by_track = {_track(person): person for person in after if person.track_id is not None}
    pairs = [
        (person.id, by_track[_track(person)].id)
        for person in before
        if person.track_id is not None and _track(person) in by_track
    ]
    known = {key for pair in pairs for key in pair}
    rows = [person for person in before if person.id not in known]
    columns = [person for person in after if person.id not in known]
    if not rows or not columns:
        return pairs
    middle = len(steps) // 2
    size_hw = _size(gap.images[0])
    forward, backward = grid_at(steps[:middle], size_hw, True), grid_at(steps[middle:][::-1], size_hw, False)
    first = [_carry_hard(person, gap.images[0], forward) for person in rows]
    last = [_carry_hard(person, gap.images[-1], backward) for person in columns]
    met = match_pairs(iou_within(first, last), min_iou=SAME_PERSON_IOU)
    return pairs + [(rows[row].id, columns[column].id) for row, column, _ in met]


def grid_at(steps: Sequence[FlowStep], size_hw: tuple[int, int], is_forward: bool) -> ChainedFlow | None:
    """Return the composed flow after all of these steps; None: no step."""
    last = None
    for chain in follow(steps, size_hw, is_forward=is_forward):
        last = chain
    return last


def _track(person: CorrectedPerson) -> tuple[str, int | None]:
    """Return what is one person's alone: a reviewer may have given the mask of a track another category."""
    return person.category, person.track_id


def _carry_hard(person: CorrectedPerson, image: StripImage, chain: ChainedFlow | None) -> tuple[str, Mask]:
    soft = _shrink_mask(person.mask, image)
    return person.category, Mask.from_array((chain.carry(soft) if chain else soft) > INSIDE_FROM)


def _carry(
    gap: Gap, people: Sequence[_Person], position: int, before: ChainedFlow | None, after: ChainedFlow | None
) -> list[_Carried]:
    """Blend the masks from both sides at a target; people who have left the image are dropped."""
    times = [image.pts_ms for image in gap.images]
    share = (times[position] - times[0]) / max(1, times[-1] - times[0])
    target = gap.images[position].rgb
    carried = []
    for person in people:
        sides = [
            (carry_side(chain, mask, origin.rgb, target), nearness)
            for chain, mask, nearness, origin in (
                (before, person.before, max(LEAST_NEARNESS, 1 - share), gap.images[0]),
                (after, person.after, max(LEAST_NEARNESS, share), gap.images[-1]),
            )
            if chain is not None and mask is not None
        ]
        blended = blend_sides(*zip(*sides, strict=True))
        if np.count_nonzero(blended.soft > INSIDE_FROM) >= SMALLEST_PX:
            carried.append(_Carried(person, blended))
    return carried


def _finish(gap: Gap, carried: Sequence[_Carried], position: int, method: Method) -> list[PropagatedMask]:
    """Refine the people of a target, compare them with the teacher's masks, and fuse them."""
    rgb = gap.images[position].rgb
    refined = [
        one.mask.soft if method == "flow" else refine_by_color(rgb, one.mask.soft, one.person.colors)
        for one in carried
    ]
    own = [_enlarge(mask, gap.size_hw) for mask in _apart(refined)]
    teachers = gap.targets[position]
    categories = gap.target_categories.get(position, [PERSON] * len(teachers))
    matches = _match_teacher(
        [(one.person.category, mask) for one, mask in zip(carried, own, strict=True)],
        list(zip(categories, teachers, strict=True)),
    )
    found = []
    for index, (one, soft, mask) in enumerate(zip(carried, refined, own, strict=True)):
        teacher, iou = matches.get(index, (None, None))
        person = one.person
        confidence = carry_confidence(one.mask, soft, rgb, person.colors)
        result = PropagatedMask(
            mask, confidence, person.origins, person.track_id, teacher, iou, person.category
        )
        if method == "fused" and teacher is not None and iou is not None and iou >= FUSE_IOU:
            result = replace(result, mask=_fuse(gap, position, one, teachers[teacher], result.confidence))
        found.append(result)
    return [result for result in found if result.mask]


def _match_teacher(own: Sequence[Labeled], teachers: Sequence[Labeled]) -> dict[int, tuple[int, float]]:
    """Return the teacher's mask of each person, with the IoU.

    One of another category is the same object where the masks are nearly the same: the reviewer gave it a category
    that the teacher gets wrong here again.
    """
    pairs = match_pairs(iou_within(own, teachers), min_iou=SAME_OBJECT_IOU)
    rows, columns = {row for row, *_ in pairs}, {column for _, column, _ in pairs}
    others = iou_matrix([mask for _, mask in own], [mask for _, mask in teachers])
    others[sorted(rows), :] = 0
    others[:, sorted(columns)] = 0
    pairs += match_pairs(others, min_iou=FUSE_IOU)
    return {row: (column, iou) for row, column, iou in pairs}


def _fuse(gap: Gap, position: int, one: _Carried, teacher: Mask, confidence: float) -> Mask:
    """Average with the teacher's mask, which counts more where the flow is not consistent, and refine that."""
    image = gap.images[position]
    weight = (1 - confidence) * (TEACHER_WEIGHT + TEACHER_WEIGHT_UNKNOWN * (1 - one.mask.consistency))
    soft = (1 - weight) * one.mask.soft + weight * _shrink_mask(teacher, image)
    return _enlarge(refine_by_color(image.rgb, soft.astype(np.float32), one.person.colors), gap.size_hw)


def _apart(softs: Sequence[SoftMask]) -> list[SoftMask]:
    """Give each pixel to one person: the most probable."""
    if len(softs) < 2:  # noqa: PLR2004 - nothing to share
        return list(softs)
    best = np.argmax(softs, axis=0)
    return [np.where(best == index, soft, 0).astype(np.float32) for index, soft in enumerate(softs)]


def _size(image: StripImage) -> tuple[int, int]:
    return image.rgb.shape[0], image.rgb.shape[1]


def _shrink_mask(mask: Mask, image: StripImage) -> SoftMask:
    """Return a mask in the size of a small image: the covered share of each pixel."""
    pixels = np.ascontiguousarray(mask.to_array(), dtype=np.float32)
    return np.asarray(cv2.resize(pixels, _size(image)[::-1], interpolation=cv2.INTER_AREA), dtype=np.float32)


def _enlarge(soft: SoftMask, size_hw: tuple[int, int]) -> Mask:
    full = cv2.resize(soft, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return Mask.from_array(np.asarray(full) > INSIDE_FROM)
