"""Reads the masks of a dataset's frames: those of the teacher, or those of the consensus.

Rows are taken as the driver gives them (`raw_rows`): SQLAlchemy's conversion of each value would take a third of the time.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.models.core import InstanceRow, ModelRow
from db.models.review import ReviewedInstanceRow
from db.review.categories import run_categories
from db.sql.reading import is_one_of, raw_rows
from labeling.datasets.mask_rows import MaskRow, instance_of_row, keypoints_of
from labeling.datasets.records import DatasetInstance
from labeling.structures.masks import Mask

DRAWN_BY_HAND = "manual"
"""Stands for the model of a mask drawn by hand, as in Label Studio."""

Instances = dict[int, list[DatasetInstance]]
"""By frame id, each frame's in the order of the model or of the annotation."""
SizeHw = tuple[int, int]


class ReviewedFrame(NamedTuple):
    """The frame of an annotation that counts."""

    frame_id: int
    size_hw: SizeHw
    reviewer: str | None


class MaskReader:
    """Reads the masks of one run, a page of frames at a time."""

    def __init__(self, session: Session, run_id: str) -> None:
        self._session = session
        self._run_id = run_id
        self._categories = run_categories(session, run_id)
        dialect = session.get_bind().dialect.name
        self._of_teacher = _OF_TEACHER.where(is_one_of(InstanceRow.frame_id, dialect))
        self._of_reviewers = _OF_REVIEWERS.where(is_one_of(_reviewed.annotation_id, dialect))
        self.models = {key: f"{kind}:{name}" for key, kind, name in session.execute(_MODELS)}

    def rows_of_teacher(self, frame_ids: Collection[int]) -> list[MaskRow]:
        """Return the masks of the teacher on these frames as rows."""
        if not frame_ids:
            return []
        parameters = {"run_id": self._run_id, "ids": list(frame_ids)}
        return raw_rows(self._session, self._of_teacher, parameters)

    def of_teacher(self, sizes: Mapping[int, SizeHw]) -> Instances:
        """Return the masks of the teacher on these frames, given with their sizes."""
        return self.to_instances(self.rows_of_teacher(sizes), sizes)

    def to_instances(self, rows: Iterable[MaskRow], sizes: Mapping[int, SizeHw]) -> Instances:
        """Return masks as objects, by frame."""
        found = Instances()
        for row in rows:
            found.setdefault(row[0], []).append(instance_of_row(row, sizes[row[0]], self.models))
        return found

    def of_reviewers(self, frames: Mapping[int, ReviewedFrame]) -> Instances:
        """Return the masks of annotations, given by id; one that was shown keeps its id through every correction."""
        if not frames:
            return {}
        found = Instances()
        for row in raw_rows(self._session, self._of_reviewers, {"ids": list(frames)}):
            annotation, key, rle, area, left, top, width, height, keypoints, category, source, *of_shown = row
            model, x, y, w, h, refined_by, iou_before, track_id, before, origin, shown_rle, shown_px = (
                of_shown
            )
            if category not in self._categories:  # it was reviewed for another run
                continue
            frame, tight_xywh = frames[annotation], (left, top, width, height)
            if not area:  # no mask of the person is right: the shown one says where
                if source is None:
                    continue
                rle, area, tight_xywh = shown_rle, shown_px, (x, y, w, h)
            instance = DatasetInstance(
                id=key if source is None else source,
                mask=Mask(frame.size_hw, rle),
                area_px=area,
                tight_xywh=tight_xywh,
                score=1.0,
                box_xywh=tight_xywh if source is None else (x, y, w, h),
                keypoints=keypoints_of(keypoints),
                model=DRAWN_BY_HAND if source is None else self.models[model],
                reviewer=frame.reviewer,
                refined_by=refined_by,
                iou_before=iou_before,
                track_id=track_id if category == before else None,
                category=category,
                origin=origin,
                is_doubtful=rle is shown_rle,
            )
            found.setdefault(frame.frame_id, []).append(instance)
        return found


_MODELS = select(ModelRow.id, ModelRow.kind, ModelRow.name)


def _detector_box(table: type[InstanceRow]) -> tuple[InstrumentedAttribute[float], ...]:
    return table.detector_box_x, table.detector_box_y, table.detector_box_w, table.detector_box_h


_MASK_BOX = (InstanceRow.mask_box_x, InstanceRow.mask_box_y, InstanceRow.mask_box_w, InstanceRow.mask_box_h)
_OF_TEACHER = (
    select(
        *(InstanceRow.frame_id, InstanceRow.id, InstanceRow.rle, InstanceRow.area_px, *_MASK_BOX),
        *(InstanceRow.score, *_detector_box(InstanceRow), InstanceRow.keypoints, InstanceRow.model_id),
        *(InstanceRow.refined_by, InstanceRow.iou_before, InstanceRow.track_id, InstanceRow.category),
        InstanceRow.decision,
    )
    .where(InstanceRow.run_id == bindparam("run_id"), InstanceRow.role == "teacher")
    .order_by(InstanceRow.frame_id, InstanceRow.rank)
    .execution_options(binary=True)
)

_shown, _reviewed = aliased(InstanceRow), ReviewedInstanceRow
_OF_REVIEWERS = (
    select(
        *(_reviewed.annotation_id, _reviewed.id, _reviewed.rle, _reviewed.area_px),
        *(_reviewed.mask_box_x, _reviewed.mask_box_y, _reviewed.mask_box_w, _reviewed.mask_box_h),
        *(_reviewed.keypoints, _reviewed.category, _shown.id, _shown.model_id, *_detector_box(_shown)),
        *(
            _shown.refined_by,
            _shown.iou_before,
            _shown.track_id,
            _shown.category,
            _reviewed.origin,
            _shown.rle,
            _shown.area_px,
        ),
    )
    .outerjoin(_shown, _shown.id == _reviewed.source_id)
    .order_by(_reviewed.annotation_id, _reviewed.rank)
    .execution_options(binary=True)
)
