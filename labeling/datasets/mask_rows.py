"""Masks of a model as rows of a table: what is written of a million masks is made from them without an object for each."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask
from labeling.text.json_text import read_json

MaskRow = tuple[
    int, int, bytes, int,
    float, float, float, float, float,
    float, float, float, float,
    str | list[Any] | None, str, str | None, float | None, int | None, str, str | None,
]  # fmt: skip
"""Frame, id, counts of the RLE, area in pixels; tight box as x, y, w, h; score; the detector's box; keypoints (JSON,
as text or read), key of the model, refiners, IoU before them, track, category, decision about the person."""

_DOUBTFUL = frozenset({"review", "ignored"})
"""Decisions about a person that is not certain."""


class FramePage(NamedTuple):
    """Some frames of a dataset, in order; masks that need no more than to be written are rows."""

    frames: Sequence[DatasetFrame]
    """A frame that has rows has no instances."""
    rows: Sequence[MaskRow]
    """By frame, each frame's in the order of the model; of certain persons only."""
    models: Mapping[str, str]
    """Name of each model by its key."""


def is_doubtful(row: MaskRow) -> bool:
    return row[-1] in _DOUBTFUL


def instance_of_row(row: MaskRow, size_hw: tuple[int, int], models: Mapping[str, str]) -> DatasetInstance:
    """Return the mask of a frame of `size_hw` as an object."""
    (
        _, key, rle, area, left, top, w, h, score, x, y, width, height,
        points, model, refined_by, iou_before, track_id, category, decision,
    ) = row  # fmt: skip
    mask, mask_box, box = Mask(size_hw, rle), (left, top, w, h), (x, y, width, height)
    keypoints, name = None if points is None else keypoints_of(points), models[model]
    instance = DatasetInstance(
        key,
        mask,
        area,
        mask_box,
        score,
        box,
        keypoints,
        name,
        None,
        refined_by,
        iou_before,
        track_id,
        category,
    )
    return instance._replace(is_doubtful=True) if decision in _DOUBTFUL else instance


def keypoints_of(stored: str | list[Any] | None) -> Keypoints | None:
    """Return keypoints from their JSON; None: there are none."""
    points = read_json(stored) if isinstance(stored, str) else stored
    return tuple(map(tuple, points)) if points else None
