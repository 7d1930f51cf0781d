"""Reads the masks of a dataset's frames: those of the teacher, or those of the consensus.

Rows are taken as the driver gives them (`raw_rows`): SQLAlchemy's conversion of each value would take a third of the time.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.connection.engines import read_json
from db.frames.listing import to_keypoints
from db.models.core import InstanceRow, ModelRow
from db.models.review import ReviewedInstanceRow
from db.sql.reading import raw_rows
from labeling.datasets.records import DatasetInstance
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask

DRAWN_BY_HAND = "manual"
"""Stands for the model of a mask drawn by hand, as in Label Studio."""

_DOUBTFUL = frozenset({"review", "ignored"})
"""Decisions about a person that is not certain."""

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
        self._models = {key: f"{kind}:{name}" for key, kind, name in session.execute(_MODELS)}

    def of_teacher(self, sizes: Mapping[int, SizeHw]) -> Instances:
        """Return the masks of the teacher on these frames, given with their sizes."""
        if not sizes:
            return {}
        models, found = self._models, Instances()
        parameters = {"run_id": self._run_id, "frames": list(sizes)}
        for row in raw_rows(self._session, _OF_TEACHER, parameters):
            frame_id, key, rle, area, left, top, w, h, score, *rest = row
            x, y, width, height, points, model, refined_by, iou_before, track_id, category, decision = rest
            mask, mask_box, box = Mask(sizes[frame_id], rle), (left, top, w, h), (x, y, width, height)
            keypoints, name = None if points is None else _keypoints(points), models[model]
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
            if decision in _DOUBTFUL:
                instance = instance._replace(is_doubtful=True)
            found.setdefault(frame_id, []).append(instance)
        return found

    def of_reviewers(self, frames: Mapping[int, ReviewedFrame]) -> Instances:
        """Return the masks of annotations, given by id; one that was shown keeps its id through every correction."""
        if not frames:
            return {}
        found = Instances()
        for row in raw_rows(self._session, _OF_REVIEWERS, {"annotations": list(frames)}):
            annotation, key, rle, area, left, top, width, height, keypoints, source, *of_shown = row
            model, x, y, w, h, refined_by, iou_before, track_id, origin, shown_rle, shown_px = of_shown
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
                keypoints=_keypoints(keypoints),
                model=DRAWN_BY_HAND if source is None else self._models[model],
                reviewer=frame.reviewer,
                refined_by=refined_by,
                iou_before=iou_before,
                track_id=track_id,
                origin=origin,
                is_doubtful=rle is shown_rle,
            )
            found.setdefault(frame.frame_id, []).append(instance)
        return found


def _keypoints(stored: str | list[Any] | None) -> Keypoints | None:
    return to_keypoints(read_json(stored) if isinstance(stored, str) else stored)


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
    .where(InstanceRow.frame_id.in_(bindparam("frames", expanding=True)))
    .order_by(InstanceRow.frame_id, InstanceRow.rank)
    .execution_options(binary=True)
)

_shown, _reviewed = aliased(InstanceRow), ReviewedInstanceRow
_OF_REVIEWERS = (
    select(
        *(_reviewed.annotation_id, _reviewed.id, _reviewed.rle, _reviewed.area_px),
        *(_reviewed.mask_box_x, _reviewed.mask_box_y, _reviewed.mask_box_w, _reviewed.mask_box_h),
        *(_reviewed.keypoints, _shown.id, _shown.model_id, *_detector_box(_shown)),
        *(
            _shown.refined_by,
            _shown.iou_before,
            _shown.track_id,
            _reviewed.origin,
            _shown.rle,
            _shown.area_px,
        ),
    )
    .outerjoin(_shown, _shown.id == _reviewed.source_id)
    .where(_reviewed.annotation_id.in_(bindparam("annotations", expanding=True)))
    .order_by(_reviewed.annotation_id, _reviewed.rank)
    .execution_options(binary=True)
)
