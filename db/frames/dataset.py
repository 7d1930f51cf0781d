"""Reads a run's frames as a dataset: the masks of the teacher, or the reviewed ones.

Rows are read from the connection, a page of frames at a time: this is many times faster than ORM objects,
and memory does not grow with the dataset.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from more_itertools import batched
from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session

from db.frames.dataset_masks import Instances, MaskReader, ReviewedFrame
from db.frames.listing import load_sources, source_of
from db.models.core import DecisionRow, FrameRow, ShardRow, SourceRow, VideoRow
from db.models.review import AnnotationRow, ConsensusRow, PropagationRow, ReviewedInstanceRow, ReviewRow
from db.review.categories import runs_lacking
from db.sql.reading import PAGE, select_by_ids
from labeling.datasets.mask_rows import FramePage, is_doubtful
from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.storage.encode import image_key
from labeling.storage.home import Home
from labeling.storage.image_store import ImageStore
from labeling.structures.frames import frame_key

REVIEWED = "reviewed"
"""Stands beside the decisions: a frame with a consensus of its annotators."""
CONFIRMED = "confirmed"
"""Stands beside the decisions: no person has seen the frame, but masks carried from reviewed frames agree with it."""
PARTIAL = "partial"
"""Stands beside the decisions: a frame for review in which every person is found and some are accepted already."""


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
class Stretch:
    """A part of one video or set of images. All stretches of a run, in order, have all of its frames, each once."""

    video_id: str
    is_video: bool
    start: int | None
    """First time in ms, or first index in a set of images; None: from the beginning."""
    end: int | None
    """First time or index after it; None: to the end."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what holds for its frames, in the form that an index answers."""
        column = FrameRow.pts_ms if self.is_video else FrameRow.image_index
        is_right_kind = FrameRow.image_index.is_(None) if self.is_video else FrameRow.image_index.is_not(None)
        conditions: list[ColumnElement[bool]] = [is_right_kind]
        if self.start is not None:
            conditions.append(column >= self.start)
        if self.end is not None:
            conditions.append(column < self.end)
        return conditions


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Which frames of a run are chosen."""

    decisions: Sequence[str]
    conditions: tuple[ColumnElement[bool], ...] = ()
    """On columns of frame, video and decision; all must hold."""
    videos: Collection[str] | None = None
    """Only frames of these videos; None: of all."""
    stretch: Stretch | None = None
    """Only frames of this stretch of one video; None: whole videos."""
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
    masks = MaskReader(session, run_id)
    for rows in batched(selected, PAGE):
        instances = masks.of_teacher({row.id: row.size_hw for row in rows if row.consensus_id is None})
        yield from _to_frames(session, home.images, rows, instances | _reviewed(masks, rows))


def pages_with_masks(
    session: Session, run_id: str, home: Home, selected: Iterable[SelectedFrame]
) -> Iterator[FramePage]:
    """Yield the same as `frames_with_masks`, a page at a time, the teacher's masks of certain persons as rows."""
    masks = MaskReader(session, run_id)
    for rows in batched(selected, PAGE):
        sizes = {row.id: row.size_hw for row in rows if row.consensus_id is None}
        found = masks.rows_of_teacher(sizes)
        with_objects = {row[0] for row in found if is_doubtful(row)}
        instances = masks.to_instances((row for row in found if row[0] in with_objects), sizes)
        frames = _to_frames(session, home.images, rows, instances | _reviewed(masks, rows))
        remaining = [row for row in found if row[0] not in with_objects] if with_objects else found
        yield FramePage(list(frames), remaining, masks.models)


def _reviewed(masks: MaskReader, rows: Sequence[SelectedFrame]) -> Instances:
    return masks.of_reviewers(
        {
            row.consensus_id: ReviewedFrame(row.id, row.size_hw, row.reviewer)
            for row in rows
            if row.consensus_id is not None
        }
    )


def _to_frames(
    session: Session, images: ImageStore, rows: Sequence[SelectedFrame], instances: Instances
) -> Iterator[DatasetFrame]:
    credits = _credits(session, {row.video_id for row in rows})
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


def stretches_of_run(session: Session, run_id: str, *, shards: int) -> list[Stretch]:
    """Divide the videos of a run, in the order of `videos_of_run`, into stretches of so many shards."""
    starts: dict[str, list[int]] = {}
    query = select(ShardRow.video_id, ShardRow.start_ms).where(ShardRow.run_id == run_id)
    for video_id, start in session.execute(query.order_by(ShardRow.start_ms)):
        starts.setdefault(video_id, []).append(start)
    videos = set(session.scalars(select(VideoRow.id).where(VideoRow.kind == "video")))
    found: list[Stretch] = []
    for video_id in sorted(starts):
        cuts = [None, *starts[video_id][shards::shards], None]
        found += [Stretch(video_id, video_id in videos, start, end) for start, end in pairwise(cuts)]
    return found


def selected_frames(session: Session, run_id: str, choice: FrameChoice) -> Iterator[SelectedFrame]:
    """Read one video after another, each in the order of an index: nothing is sorted."""
    conditions = (*choice.conditions, *((_IS_COMPLETE,) if choice.only_complete else ()))
    query = _frames_query(choice.decisions, runs_lacking(session, run_id)).where(*conditions)
    query = query.execution_options(yield_per=PAGE)
    stretch = choice.stretch
    if stretch is not None:
        query = query.where(*stretch.conditions())
    for video_id in [stretch.video_id] if stretch is not None else videos_of_run(session, run_id):
        if choice.videos is not None and video_id not in choice.videos:
            continue
        parameters = {"run_id": run_id, "video_id": video_id}
        with session.connection().execute(query, parameters) as rows:  # closes PostgreSQL's cursor
            yield from map(SelectedFrame._make, rows)


_IS_CONFIRMED = and_(ReviewRow.state == CONFIRMED, ReviewRow.run_id == DecisionRow.run_id)
_HAS_LEFT_OUT = exists().where(
    ReviewedInstanceRow.annotation_id == ConsensusRow.annotation_id, ReviewedInstanceRow.area_px == 0
)
"""The annotator answered that no mask of a person is right."""
_IS_COMPLETE = or_(
    and_(ConsensusRow.frame_id.is_(None), func.coalesce(DecisionRow.doubtful_people, 0) == 0),
    and_(ConsensusRow.frame_id.is_not(None), ~_HAS_LEFT_OUT),
    _IS_CONFIRMED,
)


def count_unreviewed(session: Session, run_id: str) -> int:
    """Return the number of a run's frames for review that no annotator has seen, and none of whose people is accepted."""
    waiting = (DecisionRow.decision == "review", func.coalesce(DecisionRow.accepted_people, 0) == 0)
    query = select(func.count()).select_from(DecisionRow).where(DecisionRow.run_id == run_id, *waiting)
    reviewed = exists().where(ConsensusRow.frame_id == DecisionRow.frame_id)
    return session.scalar(query.where(~reviewed)) or 0


def _frames_query(decisions: Sequence[str], lacking: Sequence[str]) -> Select[Any]:
    """Return the query of frames; what was reviewed for runs in `lacking` counts as not reviewed."""
    counts = ConsensusRow.frame_id == FrameRow.id
    if lacking:
        annotations = select(AnnotationRow.id).where(AnnotationRow.run_id.in_(lacking))
        counts &= ConsensusRow.annotation_id.not_in(annotations)
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
        .outerjoin(ConsensusRow, counts)
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


def _frames_of_annotations(session: Session, rows: Sequence[SelectedFrame]) -> dict[int, int]:
    """Return the frames of the annotations that confirmed any of these rows."""
    ids = {key for row in rows for key in (row.before_id, row.after_id) if key is not None}
    query = select(AnnotationRow.id, AnnotationRow.frame_id)
    return dict(select_by_ids(session, query, AnnotationRow.id, sorted(ids)))


class _Credit(NamedTuple):
    """Of a video, as plain values: attributes of ORM objects are read much more slowly."""

    url: str | None
    title: str | None
    uploader: str | None
    license: str | None
    upload_date: str | None


_NO_CREDIT = _Credit(None, None, None, None, None)


def _credits(session: Session, video_ids: Collection[str]) -> dict[str, _Credit]:
    """Return the source that each video is credited to; an empty one where there is none."""
    load_sources(session, sorted(video_ids))
    return {video_id: _credit(source_of(session, video_id)) for video_id in video_ids}


def _credit(source: SourceRow | None) -> _Credit:
    if source is None:
        return _NO_CREDIT
    return _Credit(source.url, source.title, source.uploader, source.license, source.upload_date)


def _dataset_frame(
    row: SelectedFrame,
    credit: _Credit,
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
