"""A run's frames as a dataset: the teacher's masks, or what people made of them.

Read as plain rows of the connection, a page of frames at a time: a million instances are exported at
many times the speed that objects of the ORM would allow, in memory that does not grow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session, aliased

from db.frames import keypoints_of, look_up_sources, source_of
from db.models import Decision, Frame, Instance, Model, Video
from db.paging import PAGE
from db.review_models import Annotation, ReviewedInstance, Truth
from labeling.formats.dataset import DatasetFrame, DatasetInstance
from labeling.masks import Mask
from labeling.pictures import PictureStore
from labeling.storage import Home, picture_name

REVIEWED = "reviewed"
"""Stands beside the decisions: a frame about which people have said what is true."""
BY_HAND = "manual"
"""Where a model is named that made a mask: Label Studio's word for a mask that none made."""
_People = dict[int, list[DatasetInstance]]
"""By frame."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One frame of the dataset, without its instances; the fields are those that `_wanted` asks for."""

    id: int
    t_ms: int
    width: int | None
    height: int | None
    name: str
    video_id: str
    kind: str
    path: str
    decision: str
    picture: str
    truth_id: int | None
    """The annotation that is believed; None: nobody reviewed it."""
    reviewer: str | None

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.height or 0, self.width or 0


def dataset_frames(
    session: Session, run_id: str, home: Home, *, decisions: Sequence[str]
) -> Iterator[DatasetFrame]:
    """Frames with their people, by video and time, one at a time.

    Where a person has reviewed a frame, their masks stand for the teacher's, and its decision is
    `REVIEWED`; what they called unusable is in no dataset.
    """
    pictures = home.pictures
    models = {key: f"{kind}:{name}" for key, kind, name in session.execute(_MODELS)}
    wanted = _wanted(run_id, decisions).execution_options(yield_per=PAGE)
    with session.connection().execute(wanted) as found:  # PostgreSQL holds a cursor open until then
        for page in found.partitions():
            rows = [_Row(*columns) for columns in page]
            look_up_sources(session, [row.video_id for row in rows])
            people = _teachers(session, run_id, [row for row in rows if row.truth_id is None], models)
            people |= _reviewed(session, [row for row in rows if row.truth_id is not None], models)
            for row in rows:
                yield _dataset_frame(session, row, pictures, people.get(row.id, []))


_MODELS = select(Model.id, Model.kind, Model.name)


def _wanted(run_id: str, decisions: Sequence[str]) -> Select[Any]:
    wanted = [Decision.decision.in_(decisions)]
    if REVIEWED in decisions:
        wanted.append(Truth.frame_id.is_not(None))
    return (
        select(
            *(Frame.id, Frame.t_ms, Frame.width, Frame.height, Frame.name),
            *(Video.id, Video.kind, Video.path, Decision.decision, Decision.picture),
            *(Truth.annotation_id, Annotation.annotator),
        )
        .join(Decision, Decision.frame_id == Frame.id)
        .join(Video, Video.id == Frame.video_id)
        .outerjoin(Truth, Truth.frame_id == Frame.id)
        .outerjoin(Annotation, Annotation.id == Truth.annotation_id)
        .where(Decision.run_id == run_id, Decision.picture.is_not(None), or_(*wanted))
        .where(or_(Truth.verdict.is_(None), Truth.verdict != "unusable"))
        .order_by(Frame.video_id, Frame.t_ms)
    )


def _teachers(session: Session, run_id: str, rows: Sequence[_Row], models: dict[str, str]) -> _People:
    sizes = {row.id: row.size_hw for row in rows}
    query = (
        select(
            *(Instance.frame_id, Instance.id, Instance.model_id, Instance.rle, Instance.score),
            *(Instance.x, Instance.y, Instance.w, Instance.h, Instance.keypoints),
        )
        .where(Instance.run_id == run_id, Instance.role == "teacher", Instance.frame_id.in_(sizes))
        .order_by(Instance.frame_id, Instance.rank)
    )
    found: _People = {}
    for frame_id, key, model, rle, score, x, y, w, h, keypoints in session.connection().execute(query).all():
        one = DatasetInstance(
            id=key,
            mask=Mask(sizes[frame_id], rle),
            score=score,
            box_xywh=(x, y, w, h),
            keypoints=keypoints_of(keypoints),
            model=models[model],
            reviewer=None,
        )
        found.setdefault(frame_id, []).append(one)
    return found


def _reviewed(session: Session, rows: Sequence[_Row], models: dict[str, str]) -> _People:
    """A person keeps the id of the mask that was shown, through every correction."""
    by_truth = {row.truth_id: row for row in rows}
    shown = aliased(Instance)
    query = (
        select(
            *(ReviewedInstance.annotation_id, ReviewedInstance.id, ReviewedInstance.rle),
            *(ReviewedInstance.keypoints, shown.id, shown.model_id, shown.x, shown.y, shown.w, shown.h),
        )
        .outerjoin(shown, shown.id == ReviewedInstance.source_id)
        .where(ReviewedInstance.annotation_id.in_(by_truth))
        .order_by(ReviewedInstance.annotation_id, ReviewedInstance.rank)
    )
    found: _People = {}
    for truth, key, rle, keypoints, source, model, *box in session.connection().execute(query).all():
        row = by_truth[truth]
        mask = Mask(row.size_hw, rle)
        one = DatasetInstance(
            id=key if source is None else source,
            mask=mask,
            score=1.0,
            box_xywh=mask.box_xywh if source is None else (box[0], box[1], box[2], box[3]),
            keypoints=keypoints_of(keypoints),
            model=BY_HAND if source is None else models[model],
            reviewer=row.reviewer,
        )
        found.setdefault(row.id, []).append(one)
    return found


def _dataset_frame(
    session: Session, row: _Row, pictures: PictureStore, instances: Sequence[DatasetInstance]
) -> DatasetFrame:
    source, picture = source_of(session, row.video_id), pictures.path(picture_name(row.picture))
    return DatasetFrame(
        id=row.id,
        picture=picture,
        file_name=f"{row.video_id[:12]}_{row.t_ms:09d}.{row.picture.rpartition('.')[2]}",
        size_hw=row.size_hw,
        video_id=row.video_id,
        t_ms=row.t_ms if row.kind == "video" else None,
        source_url=source.url if source else None,
        title=(source.title if source else None) or row.name or row.path.rpartition("/")[2],
        uploader=source.uploader if source else None,
        licence=source.licence if source else None,
        licence_url=None,
        upload_date=source.upload_date if source else None,
        decision=row.decision if row.truth_id is None else REVIEWED,
        instances=tuple(instances),
        store=pictures.store,
    )
