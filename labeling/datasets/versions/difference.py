"""How the labels of one frame differ between two versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from labeling.comparison.iou import match_pairs, union_iou
from labeling.datasets.records import DatasetInstance
from labeling.structures.masks import iou_matrix

Kind = Literal["added", "removed", "changed", "relabeled"]
SAME_FROM = 0.5
"""IoU from which masks without a common id are of the same person."""
_Pair = tuple[DatasetInstance, DatasetInstance]


@dataclass(frozen=True, slots=True)
class MaskChange:
    """One person whose labels differ."""

    kind: Kind
    """`relabeled`: the same mask, with another source, reviewer, score, box or keypoints."""
    iou: float | None
    """Of the two masks; None: only one version has the person."""
    before: str | None
    """Reviewer of the first version's mask, or else its model; None: it has none."""
    after: str | None
    """The same of the second version."""


def mask_changes(
    first: Sequence[DatasetInstance], second: Sequence[DatasetInstance]
) -> tuple[MaskChange, ...]:
    """Return what differs. People are paired by their id, the others by IoU from 0.5 on."""
    if first and second and first[0].mask.size_hw != second[0].mask.size_hw:
        pairs: list[_Pair] = []
    else:
        pairs = _pair(first, second)
    paired = {id(one) for pair in pairs for one in pair}
    removed = (MaskChange("removed", None, _source(one), None) for one in first if id(one) not in paired)
    added = (MaskChange("added", None, None, _source(one)) for one in second if id(one) not in paired)
    return (*_differences(pairs), *removed, *added)


def _pair(first: Sequence[DatasetInstance], second: Sequence[DatasetInstance]) -> list[_Pair]:
    by_id = {one.id: one for one in second}
    pairs = [(one, by_id[one.id]) for one in first if one.id in by_id]
    known = {one.id for one, _ in pairs}
    left = [one for one in first if one.id not in known]
    right = [one for one in second if one.id not in known]
    if left and right:
        ious = iou_matrix([one.mask for one in left], [one.mask for one in right])
        pairs += [(left[row], right[column]) for row, column, _ in match_pairs(ious, min_iou=SAME_FROM)]
    return pairs


def _differences(pairs: Sequence[_Pair]) -> Iterator[MaskChange]:
    for one, other in pairs:
        if one.mask != other.mask:
            yield MaskChange("changed", union_iou(one.mask, other.mask), _source(one), _source(other))
        elif one._replace(id=other.id) != other:
            yield MaskChange("relabeled", 1.0, _source(one), _source(other))


def _source(one: DatasetInstance) -> str:
    return one.reviewer or one.model
