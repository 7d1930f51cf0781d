"""Reads a run's frames as a dataset: the masks of the teacher, or the reviewed ones.

Rows are read from the connection, a page of frames at a time: this is many times faster than ORM objects,
and memory does not grow with the dataset.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from more_itertools import batched
from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.frames.listing import load_sources, source_of, to_keypoints
from db.models.core import DecisionRow, FrameRow, InstanceRow, ModelRow, ShardRow, SourceRow, VideoRow
from db.models.review import (
    AnnotationRow,
    ConsensusRow,
    PropagationRow,
    ReviewedInstanceRow,
    ReviewRow,
)
from db.sql.reading import PAGE, select_by_ids
from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.storage.encode import image_key
from labeling.storage.home import Home
from labeling.storage.image_store import ImageStore
from labeling.structures.frames import frame_key
from labeling.structures.masks import Mask

REVIEWED = "reviewed"
"""Stands beside the decisions: a frame with a consensus of its annotators."""
CONFIRMED = "confirmed"
"""Stands beside the decisions: no person has seen the frame, but masks carried from reviewed frames agree with it."""
PARTIAL = "partial"
"""Stands beside the decisions: a frame for review in which every person is found and some are accepted already."""
DRAWN_BY_HAND = "manual"
"""Stands for the model of a mask drawn by hand, as in Label Studio."""
_DOUBTFUL = frozenset({"review", "ignored"})
_Instances = dict[int, list[DatasetInstance]]
"""By frame id."""


class SelectedFrame(NamedTuple):
    """One frame of the dataset without its instances, as `_frames_query` selects it."""

    id: int
    pts_ms: int | None
    image_index: int | None
    width: int | None
    height: int | None
    name: str
    video_id: str
    kind: str
    path: str
    decision: str
    image: str
    consensus_id: int | None
    """The annotation that counts; None: not reviewed."""
    reviewer: str | None
    before_id: int | None
    """What its masks were confirmed by: the annotation of the reviewed frame before; None: none, or not confirmed."""
    after_id: int | None
    is_confirmed: bool

    @property
    def key(self) -> int:
        return frame_key(self.pts_ms, self.image_index)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.height or 0, self.width or 0


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Which frames of a run are chosen."""

    decisions: Sequence[str]
    conditions: tuple[ColumnElement[bool], ...] = ()
    """On columns of frame, video and decision; all must hold."""
    videos: Collection[str] | None = None
    """Only frames of these videos; None: of all."""
    only_complete: bool = False
    """Only frames in which each person is accepted or reviewed."""


def dataset_frames(
    session: Session,
    run_id: str,
    home: Home,
    *,
    decisions: Sequence[str],
    only_complete: bool = False,
) -> Iterator[DatasetFrame]:
    """Yield frames with their instances, by video and time; see `frames_with_masks`."""
    rows = selected_frames(session, run_id, FrameChoice(decisions, only_complete=only_complete))
    return frames_with_masks(session, run_id, home, rows)


def frames_with_masks(
    session: Session, run_id: str, home: Home, selected: Iterable[SelectedFrame]
) -> Iterator[DatasetFrame]:
    """Yield these frames with their instances, in the same order.

    A reviewed frame has the masks of its consensus instead of the teacher's, and the decision `REVIEWED`;
    one that was found unusable is in no dataset. A confirmed frame has the masks of the teacher, the decision
    `CONFIRMED`, and the ids of the reviewed frames whose carried masks agree.
    """
    images = home.images
    models = {key: f"{kind}:{name}" for key, kind, name in session.execute(_MODELS)}
    for rows in batched(selected, PAGE):
        credits = _credits(session, {row.video_id for row in rows})
        instances = _teacher_instances(session, run_id, rows, models)
        instances |= _reviewed_instances(session, rows, models)
        origins = _frames_of_annotations(session, rows)
        for row in rows:
            confirmed_by = tuple(origins[key] for key in (row.before_id, row.after_id) if key is not None)
            people = instances.get(row.id, ())
            if row.is_confirmed:
                people = [one._replace(is_doubtful=False) for one in people]
            yield _dataset_frame(row, credits[row.video_id], images, people, confirmed_by)


def videos_of_run(session: Session, run_id: str) -> list[str]:
    """Return the videos and sets of images of a run, in order."""
    return sorted(session.scalars(select(ShardRow.video_id).where(ShardRow.run_id == run_id).distinct()))


def selected_frames(session: Session, run_id: str, choice: FrameChoice) -> Iterator[SelectedFrame]:
    """Read one video after another, each in the order of an index: nothing is sorted."""
    conditions = (*choice.conditions, *((_IS_COMPLETE,) if choice.only_complete else ()))
    query = _frames_query(choice.decisions).where(*conditions).execution_options(yield_per=PAGE)
    for video_id in videos_of_run(session, run_id):
        if choice.videos is not None and video_id not in choice.videos:
            continue
        parameters = {"run_id": run_id, "video_id": video_id}
        with session.connection().execute(query, parameters) as rows:  # closes PostgreSQL's cursor
            yield from map(SelectedFrame._make, rows)


_IS_CONFIRMED = and_(ReviewRow.state == CONFIRMED, ReviewRow.run_id == DecisionRow.run_id)
_IS_COMPLETE = or_(
    func.coalesce(DecisionRow.doubtful_people, 0) == 0, ConsensusRow.frame_id.is_not(None), _IS_CONFIRMED
)
_MODELS = select(ModelRow.id, ModelRow.kind, ModelRow.name)


def _frames_query(decisions: Sequence[str]) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = [DecisionRow.decision.in_(decisions)]
    if REVIEWED in decisions:
        conditions.append(ConsensusRow.frame_id.is_not(None))
    if CONFIRMED in decisions:
        conditions.append(_IS_CONFIRMED)
    if PARTIAL in decisions:
        conditions.append(and_(DecisionRow.decision == "review", DecisionRow.accepted_people > 0))
    return (
        select(
            *(FrameRow.id, FrameRow.pts_ms, FrameRow.image_index),
            *(FrameRow.width, FrameRow.height, FrameRow.name),
            *(VideoRow.id, VideoRow.kind, VideoRow.path, DecisionRow.decision, DecisionRow.image),
            *(ConsensusRow.annotation_id, AnnotationRow.annotator),
            *(PropagationRow.before_id, PropagationRow.after_id, PropagationRow.id.is_not(None)),
        )
        .join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
        .join(VideoRow, VideoRow.id == FrameRow.video_id)
        .outerjoin(ConsensusRow, ConsensusRow.frame_id == FrameRow.id)
        .outerjoin(AnnotationRow, AnnotationRow.id == ConsensusRow.annotation_id)
        .outerjoin(ReviewRow, ReviewRow.frame_id == FrameRow.id)
        .outerjoin(PropagationRow, and_(_IS_CONFIRMED, _is_current()))
        .where(FrameRow.video_id == bindparam("video_id"), DecisionRow.run_id == bindparam("run_id"))
        .where(DecisionRow.image.is_not(None), or_(*conditions))
        .where(or_(ConsensusRow.verdict.is_(None), ConsensusRow.verdict != "unusable"))
        .order_by(FrameRow.image_index, FrameRow.pts_ms)
    )


def _is_current() -> ColumnElement[bool]:
    return and_(
        PropagationRow.frame_id == FrameRow.id,
        PropagationRow.run_id == DecisionRow.run_id,
        PropagationRow.state == "current",
    )


def _detector_box(table: type[InstanceRow]) -> tuple[InstrumentedAttribute[float], ...]:
    return table.detector_box_x, table.detector_box_y, table.detector_box_w, table.detector_box_h


_MASK_BOX = (InstanceRow.mask_box_x, InstanceRow.mask_box_y, InstanceRow.mask_box_w, InstanceRow.mask_box_h)
_TEACHER_INSTANCES = (
    select(
        *(InstanceRow.frame_id, InstanceRow.id, InstanceRow.model_id, InstanceRow.rle, InstanceRow.area_px),
        *(*_MASK_BOX, InstanceRow.score, *_detector_box(InstanceRow), InstanceRow.keypoints),
        *(InstanceRow.refined_by, InstanceRow.iou_before, InstanceRow.track_id, InstanceRow.category),
        InstanceRow.decision,
    )
    .where(InstanceRow.run_id == bindparam("run_id"), InstanceRow.role == "teacher")
    .where(InstanceRow.frame_id.in_(bindparam("frames", expanding=True)))
    .order_by(InstanceRow.frame_id, InstanceRow.rank)
    .execution_options(binary=True)
)


def _teacher_instances(
    session: Session, run_id: str, rows: Sequence[SelectedFrame], models: dict[str, str]
) -> _Instances:
    """Read the masks of the teacher on frames without a consensus."""
    sizes = {row.id: row.size_hw for row in rows if row.consensus_id is None}
    parameters = {"run_id": run_id, "frames": list(sizes)}
    found: _Instances = {}
    for row in session.connection().execute(_TEACHER_INSTANCES, parameters).all():
        frame_id, key, model, rle, area, left, top, width, height, score, x, y, w, h, points, *rest = row
        *about, decision = rest
        mask, mask_box, box = Mask(sizes[frame_id], rle), (left, top, width, height), (x, y, w, h)
        keypoints, name = to_keypoints(points), models[model]
        instance = DatasetInstance(key, mask, area, mask_box, score, box, keypoints, name, None, *about)
        if decision in _DOUBTFUL:
            instance = instance._replace(is_doubtful=True)
        found.setdefault(frame_id, []).append(instance)
    return found


def _reviewed_instances(
    session: Session, rows: Sequence[SelectedFrame], models: dict[str, str]
) -> _Instances:
    """Read the masks of the consensus; one that was shown keeps its id through every correction."""
    by_annotation = {row.consensus_id: row for row in rows if row.consensus_id is not None}
    shown, reviewed = aliased(InstanceRow), ReviewedInstanceRow
    query = (
        select(
            *(reviewed.annotation_id, reviewed.id, reviewed.rle, reviewed.area_px),
            *(reviewed.mask_box_x, reviewed.mask_box_y, reviewed.mask_box_w, reviewed.mask_box_h),
            *(reviewed.keypoints, shown.id, shown.model_id, *_detector_box(shown)),
            *(shown.refined_by, shown.iou_before, shown.track_id, reviewed.origin),
        )
        .outerjoin(shown, shown.id == reviewed.source_id)
        .where(reviewed.annotation_id.in_(by_annotation))
        .order_by(reviewed.annotation_id, reviewed.rank)
    )
    found: _Instances = {}
    for columns in session.connection().execute(query).all():
        annotation, key, rle, area, left, top, width, height, keypoints, *of_shown = columns
        source, model, x, y, w, h, refined_by, iou_before, track_id, origin = of_shown
        row, mask_box = by_annotation[annotation], (left, top, width, height)
        instance = DatasetInstance(
            id=key if source is None else source,
            mask=Mask(row.size_hw, rle),
            area_px=area,
            tight_xywh=mask_box,
            score=1.0,
            box_xywh=mask_box if source is None else (x, y, w, h),
            keypoints=to_keypoints(keypoints),
            model=DRAWN_BY_HAND if source is None else models[model],
            reviewer=row.reviewer,
            refined_by=refined_by,
            iou_before=iou_before,
            track_id=track_id,
            origin=origin,
        )
        found.setdefault(row.id, []).append(instance)
    return found


def _frames_of_annotations(session: Session, rows: Sequence[SelectedFrame]) -> dict[int, int]:
    """Return the frames of the annotations that confirmed any of these rows."""
    ids = {key for row in rows for key in (row.before_id, row.after_id) if key is not None}
    query = select(AnnotationRow.id, AnnotationRow.frame_id)
    return dict(select_by_ids(session, query, AnnotationRow.id, sorted(ids)))


def _credits(session: Session, video_ids: Collection[str]) -> dict[str, SourceRow]:
    """Return the source that each video is credited to; an empty one where there is none."""
    load_sources(session, sorted(video_ids))
    return {video_id: source_of(session, video_id) or SourceRow() for video_id in video_ids}


def _dataset_frame(
    row: SelectedFrame,
    credit: SourceRow,
    images: ImageStore,
    instances: Sequence[DatasetInstance],
    origins: tuple[int, ...],
) -> DatasetFrame:
    return DatasetFrame(
        id=row.id,
        image=images.path(image_key(row.image)),
        file_name=f"{row.video_id[:12]}_{row.key:09d}.{row.image.rpartition('.')[2]}",
        size_hw=row.size_hw,
        video_id=row.video_id,
        pts_ms=row.pts_ms,
        source_url=credit.url,
        title=credit.title or row.name or row.path.rpartition("/")[2],
        uploader=credit.uploader,
        license=credit.license,
        license_url=None,
        upload_date=credit.upload_date,
        decision=_decision(row),
        instances=tuple(instances),
        store=images.store,
        propagated_from=origins,
    )


def _decision(row: SelectedFrame) -> str:
    if row.consensus_id is not None:
        return REVIEWED
    return CONFIRMED if row.is_confirmed else row.decision
