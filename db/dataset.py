"""A run's frames as a dataset: the teacher's masks, or what people made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session, aliased

from db.frames import keypoints_of, seen_instance, source_of
from db.models import Decision, Frame, Instance, Model, Source, Video
from db.review_models import Annotation, ReviewedInstance, Truth
from labeling.formats.dataset import DatasetFrame, DatasetInstance
from labeling.masks import Mask
from labeling.pictures import PictureStore
from labeling.storage import Home, picture_name

REVIEWED = "reviewed"
"""Stands beside the decisions: a frame about which people have said what is true."""
BY_HAND = "manual"
"""Where a model is named that made a mask: Label Studio's word for a mask that none made."""
_PAGE = 200


@dataclass(frozen=True, slots=True)
class _Row:
    """One frame of the dataset, without its instances."""

    frame: Frame
    video: Video
    decision: str
    picture: str
    truth_id: int | None
    """The annotation that is believed; None: nobody reviewed it."""
    reviewer: str | None


def dataset_frames(
    session: Session, run_id: str, home: Home, *, decisions: Sequence[str]
) -> Iterator[DatasetFrame]:
    """Frames with their people, by video and time, one at a time.

    Where a person has reviewed a frame, their masks stand for the teacher's, and its decision is
    `REVIEWED`; what they called unusable is in no dataset.
    """
    pictures = home.pictures
    wanted = _wanted(run_id, decisions).execution_options(yield_per=_PAGE)
    with session.execute(wanted) as found:  # PostgreSQL holds a cursor open until then
        for page in found.partitions():
            rows = [_Row(*columns) for columns in page]
            people = _teachers(session, run_id, [row.frame for row in rows if row.truth_id is None])
            people |= _reviewed(session, [row for row in rows if row.truth_id is not None])
            for row in rows:
                yield _dataset_frame(
                    row, source_of(session, row.video.id), pictures, people.get(row.frame.id, [])
                )


def _wanted(run_id: str, decisions: Sequence[str]) -> Select[tuple[Frame, Video, str, str | None, int, str]]:
    wanted = [Decision.decision.in_(decisions)]
    if REVIEWED in decisions:
        wanted.append(Truth.frame_id.is_not(None))
    return (
        select(Frame, Video, Decision.decision, Decision.picture, Truth.annotation_id, Annotation.annotator)
        .join(Decision, Decision.frame_id == Frame.id)
        .join(Video, Video.id == Frame.video_id)
        .outerjoin(Truth, Truth.frame_id == Frame.id)
        .outerjoin(Annotation, Annotation.id == Truth.annotation_id)
        .where(Decision.run_id == run_id, Decision.picture.is_not(None), or_(*wanted))
        .where(or_(Truth.verdict.is_(None), Truth.verdict != "unusable"))
        .order_by(Frame.video_id, Frame.t_ms)
    )


def _teachers(session: Session, run_id: str, frames: Sequence[Frame]) -> dict[int, list[DatasetInstance]]:
    by_id = {frame.id: frame for frame in frames}
    query = (
        select(Instance, Model)
        .join(Model, Model.id == Instance.model_id)
        .where(Instance.run_id == run_id, Instance.role == "teacher", Instance.frame_id.in_(by_id))
        .order_by(Instance.frame_id, Instance.rank)
    )
    found: dict[int, list[DatasetInstance]] = {}
    for row, model in session.execute(query).tuples():
        one = _teacher_instance(row, model, by_id[row.frame_id])
        found.setdefault(row.frame_id, []).append(one)
    return found


def _teacher_instance(row: Instance, model: Model, frame: Frame) -> DatasetInstance:
    whole = seen_instance(row, frame)
    return DatasetInstance(
        id=row.id,
        mask=whole.mask,
        score=whole.score,
        box_xywh=whole.box_xywh,
        keypoints=whole.keypoints,
        model=f"{model.kind}:{model.name}",
        reviewer=None,
    )


def _reviewed(session: Session, rows: Sequence[_Row]) -> dict[int, list[DatasetInstance]]:
    by_truth = {row.truth_id: row for row in rows}
    shown = aliased(Instance)
    query = (
        select(ReviewedInstance, shown, Model)
        .outerjoin(shown, shown.id == ReviewedInstance.source_id)
        .outerjoin(Model, Model.id == shown.model_id)
        .where(ReviewedInstance.annotation_id.in_(by_truth))
        .order_by(ReviewedInstance.annotation_id, ReviewedInstance.rank)
    )
    found: dict[int, list[DatasetInstance]] = {}
    for one, source, model in session.execute(query).tuples():
        row = by_truth[one.annotation_id]
        found.setdefault(row.frame.id, []).append(_reviewed_instance(one, source, model, row))
    return found


def _reviewed_instance(
    one: ReviewedInstance, source: Instance | None, model: Model | None, row: _Row
) -> DatasetInstance:
    """A person keeps the id of the mask that was shown, through every correction."""
    mask = Mask((row.frame.height or 0, row.frame.width or 0), one.rle)
    return DatasetInstance(
        id=source.id if source else one.id,
        mask=mask,
        score=1.0,
        box_xywh=(source.x, source.y, source.w, source.h) if source else mask.box_xywh,
        keypoints=keypoints_of(one.keypoints),
        model=f"{model.kind}:{model.name}" if model else BY_HAND,
        reviewer=row.reviewer,
    )


def _dataset_frame(
    row: _Row, source: Source | None, pictures: PictureStore, instances: Sequence[DatasetInstance]
) -> DatasetFrame:
    frame, video = row.frame, row.video
    picture = pictures.path(picture_name(row.picture))
    return DatasetFrame(
        id=frame.id,
        picture=picture,
        file_name=f"{video.id[:12]}_{frame.t_ms:09d}{picture.suffix}",
        size_hw=(frame.height or 0, frame.width or 0),
        video_id=video.id,
        t_ms=frame.t_ms if video.kind == "video" else None,
        source_url=source.url if source else None,
        title=(source.title if source else None) or frame.name or Path(video.path).name,
        uploader=source.uploader if source else None,
        licence=source.licence if source else None,
        licence_url=None,
        upload_date=source.upload_date if source else None,
        decision=row.decision if row.truth_id is None else REVIEWED,
        instances=tuple(instances),
        store=pictures.store,
    )
