"""A run's frames as a dataset: the teacher's masks, or what people made of them.

Read as plain rows of the connection, a page of frames at a time: a million instances are exported at
many times the speed that objects of the ORM would allow, in memory that does not grow.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.orm import Session, aliased

from db.frames.listing import keypoints_of, look_up_sources, source_of
from db.models.core import Decision, Frame, Instance, Model, Shard, Source, Video
from db.models.review import Annotation, ReviewedInstance, Truth
from db.sql.paging import PAGE
from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.runtime.prefetch import in_batches
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
    images = home.images
    models = {key: f"{kind}:{name}" for key, kind, name in session.execute(_MODELS)}
    for rows in in_batches(_rows(session, run_id, decisions), PAGE):
        credits = _credits(session, {row.video_id for row in rows})
        people = _teachers(session, run_id, [row for row in rows if row.truth_id is None], models)
        people |= _reviewed(session, [row for row in rows if row.truth_id is not None], models)
        for row in rows:
            yield _dataset_frame(row, credits[row.video_id], images, people.get(row.id, ()))


def _rows(session: Session, run_id: str, decisions: Sequence[str]) -> Iterator[_Row]:
    """One video after another, each in the order of an index: nothing has to be sorted."""
    query = _wanted(decisions).execution_options(yield_per=PAGE)
    videos = session.scalars(select(Shard.video_id).where(Shard.run_id == run_id).distinct()).all()
    for video_id in sorted(videos):
        asked = {"run_id": run_id, "video_id": video_id}
        with session.connection().execute(query, asked) as found:  # PostgreSQL holds a cursor open until then
            yield from map(_Row._make, found)


_MODELS = select(Model.id, Model.kind, Model.name)


def _wanted(decisions: Sequence[str]) -> Select[Any]:
    wanted = [Decision.decision.in_(decisions)]
    if REVIEWED in decisions:
        wanted.append(Truth.frame_id.is_not(None))
    return (
        select(
            *(Frame.id, Frame.t_ms, Frame.width, Frame.height, Frame.name),
            *(Video.id, Video.kind, Video.path, Decision.decision, Decision.image),
            *(Truth.annotation_id, Annotation.annotator),
        )
        .join(Decision, Decision.frame_id == Frame.id)
        .join(Video, Video.id == Frame.video_id)
        .outerjoin(Truth, Truth.frame_id == Frame.id)
        .outerjoin(Annotation, Annotation.id == Truth.annotation_id)
        .where(Frame.video_id == bindparam("video_id"), Decision.run_id == bindparam("run_id"))
        .where(Decision.image.is_not(None), or_(*wanted))
        .where(or_(Truth.verdict.is_(None), Truth.verdict != "unusable"))
        .order_by(Frame.t_ms)
    )


_SEEN = (
    select(
        *(Instance.frame_id, Instance.id, Instance.model_id, Instance.rle, Instance.area_px),
        *(Instance.tight_x, Instance.tight_y, Instance.tight_w, Instance.tight_h, Instance.score),
        *(Instance.x, Instance.y, Instance.w, Instance.h, Instance.keypoints),
    )
    .where(Instance.run_id == bindparam("run_id"), Instance.role == "teacher")
    .where(Instance.frame_id.in_(bindparam("frames", expanding=True)))
    .order_by(Instance.frame_id, Instance.rank)
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
    by_truth = {row.truth_id: row for row in rows}
    shown, corrected = aliased(Instance), ReviewedInstance
    query = (
        select(
            *(corrected.annotation_id, corrected.id, corrected.rle, corrected.area_px),
            *(corrected.tight_x, corrected.tight_y, corrected.tight_w, corrected.tight_h),
            *(corrected.keypoints, shown.id, shown.model_id, shown.x, shown.y, shown.w, shown.h),
        )
        .outerjoin(shown, shown.id == corrected.source_id)
        .where(corrected.annotation_id.in_(by_truth))
        .order_by(corrected.annotation_id, corrected.rank)
    )
    found: _People = {}
    said = session.connection().execute(query).all()
    for truth, key, rle, area, left, top, width, height, keypoints, source, model, x, y, w, h in said:
        row, tight = by_truth[truth], (left, top, width, height)
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


def _credits(session: Session, video_ids: Collection[str]) -> dict[str, Source]:
    """The source that each video is credited to; one that says nothing where there is none."""
    look_up_sources(session, sorted(video_ids))
    return {video_id: source_of(session, video_id) or Source() for video_id in video_ids}


def _dataset_frame(
    row: _Row, credit: Source, images: ImageStore, instances: Sequence[DatasetInstance]
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
        decision=row.decision if row.truth_id is None else REVIEWED,
        instances=tuple(instances),
        store=images.store,
    )
