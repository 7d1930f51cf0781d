"""COCO annotations from rows of masks: the bytes of those from instances, in less time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.coco import rle_head, text_json, with_extras, with_keypoints
from labeling.datasets.mask_rows import FramePage, MaskRow, instance_of_row, keypoints_of
from labeling.datasets.provenance import number_texts
from labeling.datasets.records import BIGGEST_ID, DatasetFrame, ExportCheck, check_frame
from labeling.structures.instances import COCO_KEYPOINTS

_ROW_RECORD = (
    b'{"id":%d,"image_id":%d,"category_id":%d,"iscrowd":0,"area":%d,"bbox":[%d,%d,%d,%d],"segmentation":%b%b"},'
    b'"model":%b,"score":%b,"reviewer":null,"detector_bbox":[%.2f,%.2f,%.2f,%.2f]}'
)
"""Of a model's mask: `RECORD` with fewer places."""
Annotations = tuple[list[bytes], list[bytes]]
"""Records of a frame's instances, and those of the instances with keypoints."""


def annotate_rows(page: FramePage, numbers: CategoryNumbers, check: ExportCheck) -> dict[int, Annotations]:
    """Return the annotations by frame; the frames themselves are not counted in `check`.

    Raises:
        ExportError: a row would make the dataset wrong (`check_frame`), or its category is not the dataset's.
    """
    rows = [row for row in page.rows if row[3]]
    check.empty_masks += len(page.rows) - len(rows)
    if not rows:
        return {}
    frames = {frame.id: frame for frame in page.frames}
    columns = tuple(zip(*rows, strict=True))
    if not _are_sound(columns):
        for row in rows:
            _check_as_instance(row, frames[row[0]], page.models)
    check.admit_instances(columns[1])
    first_of_category = dict(zip(reversed(columns[18]), reversed(columns[1]), strict=True))
    category_ids = {name: numbers.number_of(name, first) for name, first in first_of_category.items()}
    heads = {number: rle_head(frame.size_hw) for number, frame in frames.items()}
    models = {key: text_json(name) for key, name in page.models.items()}
    found: dict[int, Annotations] = {frame_id: ([], []) for frame_id in columns[0]}
    for row, score_json in zip(rows, number_texts(columns[8]), strict=True):
        (
            frame_id, number, counts, area_px, left, top, w, h, _, x, y, width, height,
            points, model, refined_by, iou_before, track_id, category, _,
        ) = row  # fmt: skip
        record = _ROW_RECORD % (
            number, frame_id, category_ids[category], area_px, left, top, w, h,
            heads[frame_id], counts.replace(b"\\", b"\\\\"), models[model], score_json, x, y, width, height,
        )  # fmt: skip
        if refined_by is not None or track_id is not None:
            record = with_extras(record, refined_by, iou_before, track_id)
        found[frame_id][0].append(record)
        if points is not None and (keypoints := keypoints_of(points)) is not None:
            if len(keypoints) != len(COCO_KEYPOINTS):
                _check_as_instance(row, frames[frame_id], page.models)
            found[frame_id][1].append(with_keypoints(record, keypoints, frames[frame_id].size_hw))
    return found


def _are_sound(columns: Sequence[Sequence[Any]]) -> bool:
    """Return whether all ids are in range, and scores and boxes finite; a sum may also overflow."""
    ids, floats = columns[1], columns[8:13]
    return min(ids) >= 1 and max(ids) <= BIGGEST_ID and math.isfinite(sum(map(sum, floats)))


def _check_as_instance(row: MaskRow, frame: DatasetFrame, models: Mapping[str, str]) -> None:
    check_frame(frame._replace(instances=(instance_of_row(row, frame.size_hw, models),)))
