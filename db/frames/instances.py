"""Reads the instances of frames."""

from collections.abc import Iterable, Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import FrameRow, InstanceRow
from db.sql.reading import select_by_ids
from labeling.datasets.mask_rows import keypoints_of
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask


def frame_instances(session: Session, run_id: str, frame: FrameRow, role: str) -> list[Instance]:
    """Return the instances of one role on one frame, in the order of the model."""
    return [to_instance(row, frame) for row, _ in role_instances(session, run_id, [frame.id], role)]


def role_instances(
    session: Session, run_id: str, frame_ids: Iterable[int], role: str
) -> Iterator[tuple[InstanceRow, FrameRow]]:
    """Read the instances of one role on frames, by frame and in the order of the model."""
    query = (
        select(InstanceRow, FrameRow)
        .join(FrameRow, FrameRow.id == InstanceRow.frame_id)
        .where(InstanceRow.run_id == run_id, InstanceRow.role == role)
        .order_by(InstanceRow.frame_id, InstanceRow.rank)
    )
    return select_by_ids(session, query, InstanceRow.frame_id, frame_ids)


def to_instance(row: InstanceRow, frame: FrameRow) -> Instance:
    box_xywh = (row.detector_box_x, row.detector_box_y, row.detector_box_w, row.detector_box_h)
    mask = Mask(frame.size_hw, row.rle)
    return Instance(
        mask,
        row.score,
        box_xywh,
        keypoints_of(row.keypoints),
        refined_by=row.refined_by,
        iou_before=row.iou_before,
        track_id=row.track_id,
        category=row.category,
    )
