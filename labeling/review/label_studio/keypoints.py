"""Assignment of an annotation's keypoints to its people."""

from collections.abc import Mapping, Sequence

from labeling.review.label_studio.results import KeypointRegion, MaskRegion
from labeling.review.label_studio.tasks import instance_id_of, shown_keypoints
from labeling.review.records import ProposedInstance
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints

_ROUNDING_PX = 0.01
"""Pixels are converted to per cent and back: a smaller difference is not a move."""
_ABSENT = (0.0, 0.0, 0.0)


def assign_keypoints(
    points: Sequence[KeypointRegion],
    regions: Sequence[MaskRegion],
    sources: Sequence[ProposedInstance | None],
    *,
    were_shown: bool,
) -> tuple[list[Keypoints | None], list[str]]:
    """Return the keypoints of each region (None: it has none), and problems.

    A keypoint belongs to the instance that its id names, otherwise to its parent region, otherwise to the
    nearest region. Keypoints of a removed person are removed too. A shown keypoint that is missing becomes
    (0, 0, 0). One that was not moved keeps the teacher's confidence, any other has confidence 1. One that
    was not shown stays as the teacher gave it.
    """
    placed: list[dict[int, tuple[float, float]]] = [{} for _ in regions]
    problems = []
    for point in points:
        instance_id = instance_id_of(point.region_id)
        if instance_id is not None:
            owners = [i for i, source in enumerate(sources) if source and source.id == instance_id]
        elif regions:
            owners = [_nearest_region(point, regions)]
        else:
            owners = []
            problems.append(
                f"keypoint {COCO_KEYPOINTS[point.index]} ignored: there is no person in the frame"
            )
        for owner in owners:
            placed[owner][point.index] = (point.x_px, point.y_px)
    keypoints = [
        _update(source, moved, were_shown=were_shown) for source, moved in zip(sources, placed, strict=True)
    ]
    return keypoints, problems


def known_keypoints(keypoints: Keypoints | None) -> Keypoints | None:
    """Return `keypoints`, or None if none of them has a confidence."""
    return keypoints if any(confidence > 0 for _, _, confidence in keypoints or ()) else None


def _nearest_region(point: KeypointRegion, regions: Sequence[MaskRegion]) -> int:
    """Return the parent region of a keypoint, else the one with the nearest box; of equal ones the smaller."""

    def distance(position: int) -> tuple[bool, float, int]:
        region = regions[position]
        x, y, w, h = region.mask.box_xywh
        dx, dy = max(x - point.x_px, point.x_px - x - w, 0.0), max(y - point.y_px, point.y_px - y - h, 0.0)
        return region.region_id != point.parent, dx**2 + dy**2, region.mask.area_px

    return min(range(len(regions)), key=distance)


def _update(
    source: ProposedInstance | None, placed: Mapping[int, tuple[float, float]], *, were_shown: bool
) -> Keypoints | None:
    shown = set(shown_keypoints(source)) if source and were_shown else set()
    updated = list((source and source.keypoints) or (_ABSENT,) * len(COCO_KEYPOINTS))
    for index in shown | placed.keys():
        x, y, _ = updated[index]
        position = placed.get(index)
        if position is None:
            updated[index] = _ABSENT
        elif index not in shown or max(abs(position[0] - x), abs(position[1] - y)) > _ROUNDING_PX:
            updated[index] = (*position, 1.0)
    return known_keypoints(tuple(updated))
