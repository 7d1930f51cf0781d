"""COCO annotations from rows of masks: the bytes of those from instances, in less time."""

import math
from collections.abc import Mapping

from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.coco import RECORD, counts_json, text_json, with_extras, with_keypoints
from labeling.datasets.mask_rows import FramePage, MaskRow, instance_of_row, keypoints_of
from labeling.datasets.provenance import number_texts
from labeling.datasets.records import BIGGEST_ID, DatasetFrame, ExportCheck, check_frame
from labeling.structures.instances import COCO_KEYPOINTS

Annotations = tuple[list[bytes], list[bytes]]
"""Records of a frame's instances, and those of the instances with keypoints."""


def annotate_rows(page: FramePage, numbers: CategoryNumbers, check: ExportCheck) -> dict[int, Annotations]:
    """Return the annotations by frame; the frames themselves are not counted in `check`.

    Raises:
        ExportError: a row would make the dataset wrong (`check_frame`), or its category is not the dataset's.
    """
    frames = {frame.id: frame for frame in page.frames}
    models = {key: text_json(name) for key, name in page.models.items()}
    scores = number_texts([row[8] for row in page.rows])
    found: dict[int, Annotations] = {}
    ids: list[int] = []
    for row, score_json in zip(page.rows, scores, strict=True):
        (
            frame_id, number, counts, area_px, left, top, w, h, score, x, y, width, height,
            points, model, refined_by, iou_before, track_id, category, _,
        ) = row  # fmt: skip
        if not area_px:
            check.empty_masks += 1
            continue
        size_hw = frames[frame_id].size_hw
        if not (1 <= number <= BIGGEST_ID and math.isfinite(score + x + y + width + height)):
            _check_as_instance(row, frames[frame_id], page.models)
        record = RECORD % (
            *(number, frame_id, numbers.number_of(category, number), 0, area_px, left, top, w, h),
            *(counts_json(counts, size_hw), models[model], score_json, b"null", x, y, width, height),
        )
        if refined_by is not None or track_id is not None:
            record = with_extras(record, refined_by, iou_before, track_id)
        ids.append(number)
        if frame_id not in found:
            found[frame_id] = ([], [])
        found[frame_id][0].append(record)
        if points is not None and (keypoints := keypoints_of(points)) is not None:
            if len(keypoints) != len(COCO_KEYPOINTS):
                _check_as_instance(row, frames[frame_id], page.models)
            found[frame_id][1].append(with_keypoints(record, keypoints, size_hw))
    check.admit_instances(ids)
    return found


def _check_as_instance(row: MaskRow, frame: DatasetFrame, models: Mapping[str, str]) -> None:
    check_frame(frame._replace(instances=(instance_of_row(row, frame.size_hw, models),)))
