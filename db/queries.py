"""What is read from the ledger. Rows become the value objects of labeling here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Float, Select, cast, func, select
from sqlalchemy.orm import Session

from db.models import (
    Agreement,
    Decision,
    Frame,
    Instance,
    Model,
    Picture,
    Run,
    RunSource,
    Shard,
    Source,
    Video,
)
from labeling import instances as seen
from labeling.errors import ConfigError
from labeling.formats.dataset import DatasetFrame, DatasetInstance
from labeling.instances import Clip, PictureFile
from labeling.masks import Mask
from labeling.storage import Home

Order = Literal["agreement", "time"]
"""Hardest first, or by video and time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A source or a shard that gave nothing, and why."""

    what: str
    code: str
    message: str
    retryable: bool
    shard_id: int | None = None
    """None: a source, whose spec is `what`."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in numbers."""

    run_id: str
    name: str
    videos: int
    pictures: int
    """Pictures of folders, which count as videos nowhere."""
    shards_done: int
    shards_pending: int
    counts: dict[str, int]
    """Frames per stage, summed over shards."""
    seconds: dict[str, float]
    """Wall seconds per stage, summed over shards."""
    failures: tuple[Failure, ...]
    """Of the run; what a run returns has those of this time only."""
    shards_worked: int = 0
    """Shards that were worked on this time; 0: nothing was left to do."""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One line of `maskmill frames`."""

    id: int
    video_id: str
    title: str
    kind: str
    t_ms: int
    name: str
    decision: str
    rule: str | None
    iou: float | None
    boundary_iou: float | None
    causes: tuple[str, ...]
    reasons: tuple[str, ...]
    picture: str | None


def latest_run(session: Session, run_id: str | None = None) -> Run:
    """The run of that id (or the start of one), or the one that was worked on last.

    Raises:
        ConfigError: no such run, or none at all, or several that begin so.
    """
    wanted = select(Run).order_by(Run.worked_at.desc(), Run.id)
    if run_id:
        wanted = wanted.where(Run.id.startswith(run_id, autoescape=True))
    runs = session.scalars(wanted.limit(2)).all()
    if not runs:
        known = ", ".join(session.scalars(select(Run.id).order_by(Run.id)).all())
        raise ConfigError(
            f"no run {run_id!r}; known: {known}" if known else "no run yet: `maskmill run SOURCE` makes one"
        )
    if run_id and len(runs) > 1:
        raise ConfigError(f"several runs begin with {run_id!r}: {runs[0].id}, {runs[1].id}")
    return runs[0]


def failed_specs(session: Session, run_id: str) -> list[str]:
    """Sources of a run that failed and may be tried again."""
    failed = session.scalars(_sources_of(run_id).where(Source.state == "failed"))
    return [source.spec for source in failed]


def known_pictures(session: Session, hashes: Sequence[str]) -> dict[str, tuple[str, int]]:
    """(video id, position) of the pictures that are in a set already, by SHA-256."""
    found: dict[str, tuple[str, int]] = {}
    for start in range(0, len(hashes), 500):
        query = select(Picture).where(Picture.sha256.in_(hashes[start : start + 500]))
        found |= {p.sha256: (p.video_id, p.position) for p in session.scalars(query)}
    return found


def pending_shards(
    session: Session, run_id: str, video_ids: Sequence[str], *, retry_all: bool = False
) -> list[int]:
    """Shards that are to be worked on: those of these videos, in their order, then what an earlier
    time left of others, whose sources may have no name any more (recordings, playlists that moved on).

    Failed shards of other videos are tried again with `retry_all` only.
    """
    rank = {video_id: number for number, video_id in enumerate(video_ids)}
    query = select(Shard).where(Shard.run_id == run_id, Shard.state != "done")
    wanted = [s for s in session.scalars(query) if retry_all or s.state == "planned" or s.video_id in rank]
    wanted.sort(key=lambda s: (rank.get(s.video_id, len(rank)), s.video_id, s.start_ms))
    return [shard.id for shard in wanted]


def shard_progress(session: Session, run_id: str) -> tuple[int, int]:
    """Shards (done or failed, all) of a run."""
    rows = session.execute(
        select(Shard.state, func.count()).where(Shard.run_id == run_id).group_by(Shard.state)
    )
    by_state: dict[str, int] = dict(rows.tuples().all())
    return sum(by_state.values()) - by_state.get("planned", 0), sum(by_state.values())


def shard_clip(session: Session, shard: Shard, home: Home) -> Clip:
    """The part of a video that a shard covers."""
    video = session.get_one(Video, shard.video_id)
    if video.kind == "video":
        end = None if shard.end_ms is None else Fraction(shard.end_ms, 1000)
        return Clip(video.id, home.absolute(video.path), Fraction(shard.start_ms, 1000), end)
    query = select(Picture).where(Picture.video_id == video.id, Picture.position >= shard.start_ms)
    if shard.end_ms is not None:
        query = query.where(Picture.position < shard.end_ms)
    rows = session.scalars(query.order_by(Picture.position))
    return Clip(
        video.id, pictures=tuple(PictureFile(p.position, home.absolute(p.path), p.name) for p in rows)
    )


def summarise_run(session: Session, run: Run) -> RunSummary:
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    states: dict[str, int] = {}
    for shard in session.scalars(select(Shard).where(Shard.run_id == run.id)):
        states[shard.state] = states.get(shard.state, 0) + 1
        for total, part in ((counts, shard.counts), (seconds, shard.seconds)):
            for name, value in part.items():
                total[name] = total.get(name, 0) + value
    videos_of_run = select(Shard.video_id).where(Shard.run_id == run.id)
    kinds = select(Video.kind, func.count()).where(Video.id.in_(videos_of_run)).group_by(Video.kind)
    by_kind: dict[str, int] = dict(session.execute(kinds).tuples().all())
    pictures = select(func.count()).select_from(Picture).where(Picture.video_id.in_(videos_of_run))
    return RunSummary(
        run_id=run.id,
        name=run.name,
        videos=by_kind.get("video", 0),
        pictures=session.scalar(pictures) or 0,
        shards_done=states.get("done", 0),
        shards_pending=states.get("planned", 0) + states.get("failed", 0),
        counts=dict(sorted(counts.items())),
        seconds=dict(sorted(seconds.items())),
        failures=run_failures(session, run.id),
    )


def run_failures(session: Session, run_id: str) -> tuple[Failure, ...]:
    """Failed sources, then failed shards."""
    sources = session.scalars(_sources_of(run_id).where(Source.state == "failed"))
    failures = [Failure(s.spec, s.error_code or "", s.error_message or "", s.retryable) for s in sources]
    for shard, path in failed_shards(session, run_id):
        what = f"{path} from {shard.start_ms / 1000:g} s"
        message = shard.error_message or ""
        failures.append(Failure(what, shard.error_code or "", message, retryable=True, shard_id=shard.id))
    return tuple(failures)


def _sources_of(run_id: str) -> Select[tuple[Source]]:
    in_run = (RunSource.source_id == Source.id) & (RunSource.run_id == run_id)
    return select(Source).join(RunSource, in_run).order_by(Source.spec)


def failed_shards(session: Session, run_id: str) -> list[tuple[Shard, str]]:
    """Shards that failed, with the path of their video."""
    query = (
        select(Shard, Video.path)
        .join(Video, Video.id == Shard.video_id)
        .where(Shard.run_id == run_id, Shard.state == "failed")
        .order_by(Video.path, Shard.start_ms)
    )
    return [(shard, path) for shard, path in session.execute(query)]


def run_sources(session: Session, run_id: str) -> Iterator[tuple[Source, int | None, int | None]]:
    """Sources of a run, with the frames looked at and the hard ones of their video."""
    counts: dict[str, list[int]] = {}
    for shard in session.scalars(select(Shard).where(Shard.run_id == run_id)):
        total = counts.setdefault(shard.video_id, [0, 0])
        total[0] += shard.counts.get("looked_at", 0)
        total[1] += shard.counts.get("hard", 0)
    for source in session.scalars(_sources_of(run_id)):
        looked_at, hard = counts.get(source.video_id or "", (None, None))
        yield source, looked_at, hard


def run_models(session: Session, run: Run) -> dict[str, Model]:
    """The model of each role."""
    return {role: session.get_one(Model, model_id) for role, model_id in run.models.items()}


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """Which frames of a run are listed, and how."""

    decisions: tuple[str, ...] = ()
    """None: all."""
    hard_only: bool = False
    order: Order = "agreement"
    """Hardest first, or by video and time."""
    limit: int | None = None


def list_frames(session: Session, run_id: str, wanted: FrameQuery) -> Iterator[FrameRow]:
    """Frames of a run, one at a time."""
    query = (
        select(Frame, Video, Decision, Agreement)
        .join(Decision, Decision.frame_id == Frame.id)
        .join(Video, Video.id == Frame.video_id)
        .outerjoin(Agreement, (Agreement.frame_id == Frame.id) & (Agreement.run_id == Decision.run_id))
        .where(Decision.run_id == run_id)
    )
    if wanted.decisions:
        query = query.where(Decision.decision.in_(wanted.decisions))
    if wanted.hard_only:
        query = query.where(Agreement.is_hard)
    by_time = (Frame.video_id, Frame.t_ms)
    if wanted.order == "agreement":
        unknown_last = func.coalesce(cast(Agreement.iou, Float), 2.0)
        query = query.order_by(unknown_last, *by_time)
    else:
        query = query.order_by(*by_time)
    for frame, video, decision, agreement in session.execute(
        query.limit(wanted.limit).execution_options(yield_per=500)
    ):
        yield FrameRow(
            id=frame.id,
            video_id=video.id,
            title=_title(session, video),
            kind=video.kind,
            t_ms=frame.t_ms,
            name=frame.name,
            decision=decision.decision,
            rule=decision.rule,
            iou=agreement.iou if agreement else None,
            boundary_iou=agreement.boundary_iou if agreement else None,
            causes=tuple(m[0] for m in agreement.mismatches) if agreement else (),
            reasons=tuple(decision.reasons),
            picture=frame.picture,
        )


def _title(session: Session, video: Video) -> str:
    source = _source_of(session, video.id)
    return (source.title if source else None) or Path(video.path).name


def _source_of(session: Session, video_id: str) -> Source | None:
    """The source that a video is credited to: the first by spec, where several gave the same bytes."""
    cache: dict[str, Source | None] = session.info.setdefault("source_of", {})
    if video_id not in cache:
        query = select(Source).where(Source.video_id == video_id).order_by(Source.spec).limit(1)
        cache[video_id] = session.scalar(query)
    return cache[video_id]


def frame_instances(session: Session, run_id: str, frame: Frame, role: str) -> list[seen.Instance]:
    """What a role saw on one frame, in the model's order."""
    query = (
        select(Instance)
        .where(Instance.run_id == run_id, Instance.frame_id == frame.id, Instance.role == role)
        .order_by(Instance.rank)
    )
    return [_seen_instance(row, frame) for row in session.scalars(query)]


def _seen_instance(row: Instance, frame: Frame) -> seen.Instance:
    return seen.Instance(
        mask=Mask((frame.height or 0, frame.width or 0), row.rle),
        score=row.score,
        box_xywh=(row.x, row.y, row.w, row.h),
        keypoints=_keypoints(row.keypoints),
    )


def _keypoints(stored: list[Any] | None) -> seen.Keypoints | None:
    return tuple((x, y, confidence) for x, y, confidence in stored) if stored else None


def dataset_frames(
    session: Session, run_id: str, home: Home, *, decisions: Sequence[str]
) -> Iterator[DatasetFrame]:
    """Frames with the teacher's instances, by video and time, one at a time."""
    query = (
        select(Frame, Video, Decision.decision)
        .join(Decision, Decision.frame_id == Frame.id)
        .join(Video, Video.id == Frame.video_id)
        .where(Decision.run_id == run_id, Decision.decision.in_(decisions), Frame.picture.is_not(None))
        .order_by(Frame.video_id, Frame.t_ms)
    )
    for page in session.execute(query.execution_options(yield_per=200)).partitions():
        by_frame = _instances_of(session, run_id, [frame.id for frame, _, _ in page])
        for frame, video, decision in page:
            instances = tuple(
                _dataset_instance(row, model, frame) for row, model in by_frame.get(frame.id, [])
            )
            picture = home.absolute(frame.picture or "")
            bare = _dataset_frame(frame, video, _source_of(session, video.id), decision, picture)
            yield replace(bare, instances=instances)


def _instances_of(
    session: Session, run_id: str, frame_ids: Sequence[int]
) -> dict[int, list[tuple[Instance, Model]]]:
    query = (
        select(Instance, Model)
        .join(Model, Model.id == Instance.model_id)
        .where(Instance.run_id == run_id, Instance.role == "teacher", Instance.frame_id.in_(frame_ids))
        .order_by(Instance.frame_id, Instance.rank)
    )
    found: dict[int, list[tuple[Instance, Model]]] = {}
    for instance, model in session.execute(query):
        found.setdefault(instance.frame_id, []).append((instance, model))
    return found


def _dataset_frame(
    frame: Frame, video: Video, source: Source | None, decision: str, picture: Path
) -> DatasetFrame:
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
        decision=decision,
        instances=(),
    )


def _dataset_instance(row: Instance, model: Model, frame: Frame) -> DatasetInstance:
    whole = _seen_instance(row, frame)
    return DatasetInstance(
        id=row.id,
        mask=whole.mask,
        score=whole.score,
        box_xywh=whole.box_xywh,
        keypoints=whole.keypoints,
        model=f"{model.kind}:{model.name}",
        reviewer=None,
    )


def iou_histogram(session: Session, run_id: str, bins: int = 20) -> tuple[list[int], int]:
    """Frames per bin of union IoU over [0, 1], and the frames where both saw nobody beside it."""
    histogram = [0] * bins
    empty = 0
    query = select(Agreement.iou, Agreement.both_empty).where(Agreement.run_id == run_id)
    for iou, both_empty in session.execute(query.execution_options(yield_per=5000)):
        if both_empty:
            empty += 1
        else:
            histogram[min(int(iou * bins), bins - 1)] += 1
    return histogram, empty


def cause_counts(session: Session, run_id: str) -> dict[str, int]:
    """Mismatches of hard frames by cause."""
    counts: dict[str, int] = {}
    query = select(Agreement.mismatches).where(Agreement.run_id == run_id, Agreement.is_hard)
    for mismatches in session.scalars(query.execution_options(yield_per=2000)):
        for mismatch in mismatches:
            counts[mismatch[0]] = counts.get(mismatch[0], 0) + 1
    return dict(sorted(counts.items()))
