"""A run's frames as a dataset: the teacher's masks, or what people made of them.

Read as plain rows of the connection, a page of frames at a time: a million instances are exported at
many times the speed that objects of the ORM would allow, in memory that does not grow.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from more_itertools import batched
from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.orm import Session, aliased

from db.frames.listing import keypoints_of, look_up_sources, source_of
from db.models.core import DecisionRow, FrameRow, InstanceRow, ModelRow, ShardRow, SourceRow, VideoRow
from db.models.review import AnnotationRow, ConsensusRow, ReviewedInstanceRow
from db.sql.paging import PAGE
from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.storage.encode import image_key
from labeling.storage.home import Home
from labeling.storage.image_store import ImageStore
from labeling.structures.masks import Mask

REVIEWED = "reviewed"
"""Stands beside the decisions: a frame about which people have said what is true."""
BY_HAND = "manual"
"""Where a model is named that made a mask: Label Studio's word for a mask that none made."""
_People = dict[int, list[DatasetInstance]]
"""By frame."""


class _Row(NamedTuple):
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
    image: str
    consensus_id: int | None
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
    images = home.images
    models = {key: f"{kind}:{name}" for key, kind, name in session.execute(_MODELS)}
    for rows in batched(_rows(session, run_id, decisions), PAGE):
        credits = _credits(session, {row.video_id for row in rows})
        people = _teachers(session, run_id, [row for row in rows if row.consensus_id is None], models)
        people |= _reviewed(session, [row for row in rows if row.consensus_id is not None], models)
        for row in rows:
            yield _dataset_frame(row, credits[row.video_id], images, people.get(row.id, ()))


def _rows(session: Session, run_id: str, decisions: Sequence[str]) -> Iterator[_Row]:
    """One video after another, each in the order of an index: nothing has to be sorted."""
    query = _wanted(decisions).execution_options(yield_per=PAGE)
    videos = session.scalars(select(ShardRow.video_id).where(ShardRow.run_id == run_id).distinct()).all()
    for video_id in sorted(videos):
        asked = {"run_id": run_id, "video_id": video_id}
        with session.connection().execute(query, asked) as found:  # PostgreSQL holds a cursor open until then
            yield from map(_Row._make, found)


_MODELS = select(ModelRow.id, ModelRow.kind, ModelRow.name)


def _wanted(decisions: Sequence[str]) -> Select[Any]:
    wanted = [DecisionRow.decision.in_(decisions)]
    if REVIEWED in decisions:
        wanted.append(ConsensusRow.frame_id.is_not(None))
    return (
        select(
            *(FrameRow.id, FrameRow.t_ms, FrameRow.width, FrameRow.height, FrameRow.name),
            *(VideoRow.id, VideoRow.kind, VideoRow.path, DecisionRow.decision, DecisionRow.image),
            *(ConsensusRow.annotation_id, AnnotationRow.annotator),
        )
        .join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
        .join(VideoRow, VideoRow.id == FrameRow.video_id)
        .outerjoin(ConsensusRow, ConsensusRow.frame_id == FrameRow.id)
        .outerjoin(AnnotationRow, AnnotationRow.id == ConsensusRow.annotation_id)
        .where(FrameRow.video_id == bindparam("video_id"), DecisionRow.run_id == bindparam("run_id"))
        .where(DecisionRow.image.is_not(None), or_(*wanted))
        .where(or_(ConsensusRow.verdict.is_(None), ConsensusRow.verdict != "unusable"))
        .order_by(FrameRow.t_ms)
    )


_SEEN = (
    select(
        *(InstanceRow.frame_id, InstanceRow.id, InstanceRow.model_id, InstanceRow.rle, InstanceRow.area_px),
        *(
            InstanceRow.mask_box_x,
            InstanceRow.mask_box_y,
            InstanceRow.mask_box_w,
            InstanceRow.mask_box_h,
            InstanceRow.score,
        ),
        *(InstanceRow.x, InstanceRow.y, InstanceRow.w, InstanceRow.h, InstanceRow.keypoints),
    )
    .where(InstanceRow.run_id == bindparam("run_id"), InstanceRow.role == "teacher")
    .where(InstanceRow.frame_id.in_(bindparam("frames", expanding=True)))
    .order_by(InstanceRow.frame_id, InstanceRow.rank)
    .execution_options(binary=True)
)


def _teachers(session: Session, run_id: str, rows: Sequence[_Row], models: dict[str, str]) -> _People:
    sizes = {row.id: row.size_hw for row in rows}
    seen = session.connection().execute(_SEEN, {"run_id": run_id, "frames": list(sizes)}).all()
    found: _People = {}
    for frame_id, key, model, rle, area, left, top, width, height, score, x, y, w, h, keypoints in seen:
        mask, tight, box = Mask(sizes[frame_id], rle), (left, top, width, height), (x, y, w, h)
        points = keypoints_of(keypoints)
        one = DatasetInstance(key, mask, area, tight, score, box, points, models[model], None)
        found.setdefault(frame_id, []).append(one)
    return found


def _reviewed(session: Session, rows: Sequence[_Row], models: dict[str, str]) -> _People:
    """A person keeps the id of the mask that was shown, through every correction."""
    by_consensus = {row.consensus_id: row for row in rows}
    shown, corrected = aliased(InstanceRow), ReviewedInstanceRow
    query = (
        select(
            *(corrected.annotation_id, corrected.id, corrected.rle, corrected.area_px),
            *(corrected.mask_box_x, corrected.mask_box_y, corrected.mask_box_w, corrected.mask_box_h),
            *(corrected.keypoints, shown.id, shown.model_id, shown.x, shown.y, shown.w, shown.h),
        )
        .outerjoin(shown, shown.id == corrected.source_id)
        .where(corrected.annotation_id.in_(by_consensus))
        .order_by(corrected.annotation_id, corrected.rank)
    )
    found: _People = {}
    said = session.connection().execute(query).all()
    for truth, key, rle, area, left, top, width, height, keypoints, source, model, x, y, w, h in said:
        row, tight = by_consensus[truth], (left, top, width, height)
        one = DatasetInstance(
            id=key if source is None else source,
            mask=Mask(row.size_hw, rle),
            area_px=area,
            tight_xywh=tight,
            score=1.0,
            box_xywh=tight if source is None else (x, y, w, h),
            keypoints=keypoints_of(keypoints),
            model=BY_HAND if source is None else models[model],
            reviewer=row.reviewer,
        )
        found.setdefault(row.id, []).append(one)
    return found


def _credits(session: Session, video_ids: Collection[str]) -> dict[str, SourceRow]:
    """The source that each video is credited to; one that says nothing where there is none."""
    look_up_sources(session, sorted(video_ids))
    return {video_id: source_of(session, video_id) or SourceRow() for video_id in video_ids}


def _dataset_frame(
    row: _Row, credit: SourceRow, images: ImageStore, instances: Sequence[DatasetInstance]
) -> DatasetFrame:
    return DatasetFrame(
        id=row.id,
        image=images.path(image_key(row.image)),
        file_name=f"{row.video_id[:12]}_{row.t_ms:09d}.{row.image.rpartition('.')[2]}",
        size_hw=row.size_hw,
        video_id=row.video_id,
        t_ms=row.t_ms if row.kind == "video" else None,
        source_url=credit.url,
        title=credit.title or row.name or row.path.rpartition("/")[2],
        uploader=credit.uploader,
        license=credit.license,
        license_url=None,
        upload_date=credit.upload_date,
        decision=row.decision if row.consensus_id is None else REVIEWED,
        instances=tuple(instances),
        store=images.store,
    )
