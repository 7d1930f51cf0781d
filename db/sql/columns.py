"""Columns made from values; what is computed from masks is stored, so that readers need not decode them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labeling.review.occupancy import STUDENT_WEIGHT, occupancy_grids, pack_grid
from labeling.structures.agreement import FrameAgreement
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask, mask_areas, mask_boxes

_WEIGHTS = {"teacher": 1.0, "student": STUDENT_WEIGHT}


def mask_columns(masks: Sequence[Mask]) -> list[dict[str, object]]:
    """Return the mask columns of `instance` and `reviewed_instance`, measured in one call."""
    areas, boxes = mask_areas(masks).tolist(), mask_boxes(masks).tolist()
    return [
        {"rle": mask.counts, "area_px": area} | box_columns("mask_box", box)
        for mask, area, box in zip(masks, areas, boxes, strict=True)
    ]


def box_columns(name: str, box_xywh: Sequence[float]) -> dict[str, object]:
    """Return the four columns of a box.

    >>> box_columns("mask_box", (1, 2, 3, 4))
    {'mask_box_x': 1, 'mask_box_y': 2, 'mask_box_w': 3, 'mask_box_h': 4}
    """
    return {f"{name}_{side}": value for side, value in zip("xywh", box_xywh, strict=True)}


def mismatches_column(agreement: FrameAgreement) -> list[list[object]]:
    """Return the column `mismatches` of `agreement` and `model_score`."""
    return [[m.cause, list(m.teacher), list(m.student), m.iou] for m in agreement.mismatches]


def keypoints_column(keypoints: Keypoints | None) -> list[list[float]] | None:
    """Return the column `keypoints` of `instance` and `reviewed_instance`."""
    return [list(point) for point in keypoints] if keypoints else None


def occupancy_column(
    sizes_wh: Mapping[int, tuple[int, int]], instances: Iterable[Mapping[str, Any]]
) -> dict[int, bytes]:
    """Return the column `occupancy` by frame id, from rows of `instance`; rows of other frames are ignored."""
    position = {frame_id: i for i, frame_id in enumerate(sizes_wh)}
    people = [row for row in instances if row["frame_id"] in position]
    grids = occupancy_grids(
        [[row[f"detector_box_{side}"] for side in "xywh"] for row in people],
        [row["area_px"] * _WEIGHTS[row["role"]] for row in people],
        [sizes_wh[row["frame_id"]] for row in people],
        [position[row["frame_id"]] for row in people],
        frames=len(position),
    )
    return {frame_id: pack_grid(grids[i]) for frame_id, i in position.items()}
