"""Whose the joints of an annotation are, and what was done to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labeling.review.label_studio.regions import KeypointRegion, MaskRegion
from labeling.review.label_studio.tasks import named_instance, shown_keypoints
from labeling.review.records import ProposedInstance
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints

_SAME_PLACE_PX = 0.01
"""Pixels become per cent and pixels again: nobody moves a joint by so little."""

_NOWHERE = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class KeypointAssignment:
    """The joints of an annotation, by whose they are."""

    keypoints: tuple[Keypoints | None, ...]
    """Of each region; None: not one joint."""
    is_changed: bool
    """A joint of somebody who is still there was moved, added or removed."""
    problems: tuple[str, ...]
    """Joints that nobody is there for."""


def assign_keypoints(
    joints: Sequence[KeypointRegion],
    regions: Sequence[MaskRegion],
    sources: Sequence[ProposedInstance | None],
    *,
    were_shown: bool,
) -> KeypointAssignment:
    """Give every region its joints.

    A joint belongs to the person it is named after, or hangs below, or is nearest to. The joints of
    somebody who was removed go too. One that was shown and is gone is (0, 0, 0); one left where it was
    keeps the teacher's confidence, any other has 1; one that was not shown stays as the teacher has it.
    """
    placed: list[dict[int, tuple[float, float]]] = [{} for _ in regions]
    problems = []
    for joint in joints:
        if named_instance(joint.name) is None and not regions:
            problems.append(
                f"joint {COCO_KEYPOINTS[joint.joint]} left out: there is nobody whose it could be"
            )
        for owner in _find_owners(joint, regions, sources):
            placed[owner][joint.joint] = (joint.x_px, joint.y_px)
    before = [_teachers(source) for source in sources]
    after = [
        _update(source, where, were_shown=were_shown) for source, where in zip(sources, placed, strict=True)
    ]
    found = tuple(one if any(confidence > 0 for _, _, confidence in one) else None for one in after)
    return KeypointAssignment(found, before != after, tuple(problems))


def _find_owners(
    joint: KeypointRegion, regions: Sequence[MaskRegion], sources: Sequence[ProposedInstance | None]
) -> list[int]:
    """Positions of the regions whose joint it is: one, or none."""
    number = named_instance(joint.name)
    if number is None:
        return [_find_nearest(joint, regions)] if regions else []
    return [position for position, source in enumerate(sources) if source and source.id == number]


def _find_nearest(joint: KeypointRegion, regions: Sequence[MaskRegion]) -> int:
    """The region below which a joint hangs, else whose box is nearest; the smaller of two."""

    def distance(position: int) -> tuple[bool, float, int]:
        region = regions[position]
        x, y, w, h = region.mask.box_xywh
        aside = max(x - joint.x_px, joint.x_px - x - w, 0.0), max(y - joint.y_px, joint.y_px - y - h, 0.0)
        return region.name != joint.parent, aside[0] ** 2 + aside[1] ** 2, region.mask.area_px

    return min(range(len(regions)), key=distance)


def _teachers(source: ProposedInstance | None) -> Keypoints:
    known = source.keypoints if source else None
    return known or (_NOWHERE,) * len(COCO_KEYPOINTS)


def _update(
    source: ProposedInstance | None, placed: Mapping[int, tuple[float, float]], *, were_shown: bool
) -> Keypoints:
    shown = set(shown_keypoints(source)) if source and were_shown else set()
    updated = list(_teachers(source))
    for joint in shown | placed.keys():
        x, y, _ = updated[joint]
        there = placed.get(joint)
        if there is None:
            updated[joint] = _NOWHERE
        elif joint not in shown or max(abs(there[0] - x), abs(there[1] - y)) > _SAME_PLACE_PX:
            updated[joint] = (*there, 1.0)
    return tuple(updated)
