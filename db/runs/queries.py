"""Reads runs, sources and shards; frames are in `db.frames.listing`."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from more_itertools import map_reduce
from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session

from configs.constants import RUN_ID_LENGTH
from configs.errors import ConfigError, NoRunYet
from db.models.core import (
    DecisionRow,
    FrameRow,
    ImageRow,
    InstanceRow,
    ModelRow,
    PassedOverRow,
    RunRow,
    RunSourceRow,
    ShardRow,
    SourceRow,
    SourceVideoRow,
    VideoRow,
)
from db.runs.leases import in_order, leased_by_others
from db.runs.overview import run_work, video_works
from db.sql.reading import count_rows, select_by_ids
from labeling.sources.passed_over import PassedOver
from labeling.structures.reasons import reason_texts

FAILED_FRAME = "model_output"
"""Rule of a frame that was rejected because masks made elsewhere cannot be read (labeling.pipeline.OUTPUT_RULE)."""
MOST_FRAMES = 100
"""Failed frames that are listed; the counts have all."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A source or shard that failed, with the reason."""

    what: str
    """The spec of the source, or the video and start of the shard."""
    code: str
    message: str
    retryable: bool
    shard_id: int | None = None
    """None: a source."""
    frame: str = ""
    """Name or time of the one frame of the shard that failed; empty: the shard or source as a whole."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in numbers."""

    run_id: str
    name: str
    videos: int
    images: int
    """Images of folders; they do not count as videos."""
    shards_done: int
    shards_pending: int
    counts: dict[str, int]
    """Frames per stage, summed over shards."""
    seconds: dict[str, float]
    """Wall seconds per stage, summed over shards."""
    failures: tuple[Failure, ...]
    """All of the run, or only those of this execution in the summary that a flow returns."""
    passed_over: tuple[PassedOver, ...] = ()
    """Contents of its sources that were not looked at."""
    shards_worked: int = 0
    """Shards processed by this execution; 0: nothing was left to do."""
    student_sees_people: bool = True
    """The student found a person in some frame, or no frame was compared."""
    shards_leased: int = 0
    """Of the pending shards, those that are being processed now."""
    videos_given: int = 0
    """Videos and sets of images from the sources of this execution, including those done before."""

    @property
    def nothing_was_read(self) -> bool:
        """Return whether this execution only failed: every shard, or every source if there was no shard."""
        failed_shards = sum(one.shard_id is not None and not one.frame for one in self.failures)
        has_no_result = self.shards_worked <= failed_shards if self.shards_worked else not self.videos_given
        return bool(self.failures) and has_no_result


@dataclass(frozen=True, slots=True)
class SourceOfRun:
    """A source of a run, with its result."""

    source: SourceRow
    asked: RunSourceRow
    """The row of this source in this run."""
    sampled: int | None
    """Sampled frames of its videos; None: the run has none of its videos."""
    hard: int | None


def runs_of_name(session: Session, name: str) -> list[str]:
    """Return the ids of the runs of a config's name that found frames, the one worked on last first."""
    query = select(RunRow.id).where(RunRow.name == name, _has_frames())
    return list(session.scalars(query.order_by(RunRow.worked_at.desc(), RunRow.id)))


def first_of_name(session: Session, name: str) -> RunRow:
    """Return the run of a config's name that was begun first; there must be one."""
    query = select(RunRow).where(RunRow.name == name).order_by(RunRow.started_at, RunRow.id)
    return session.scalars(query.limit(1)).one()


def latest_run(session: Session, run_id: str | None = None) -> RunRow:
    """Return the run whose id is or starts with `run_id`; without one, the run worked on last.

    A run of which nothing could be read is the last one only if there is no other.

    Raises:
        NoRunYet: there is no run, or none with that complete id.
        ConfigError: no run id starts like that, or several do.
    """
    query = select(RunRow).order_by(_has_frames().desc(), RunRow.worked_at.desc(), RunRow.id)
    if run_id:
        query = query.where(RunRow.id.startswith(run_id, autoescape=True))
    runs = session.scalars(query.limit(2)).all()
    if not runs:
        known = ", ".join(session.scalars(select(RunRow.id).order_by(RunRow.id)).all())
        if not known:
            raise NoRunYet("no run yet: create one with `maskmill run SOURCE`")
        error = NoRunYet if run_id and len(run_id) == RUN_ID_LENGTH else ConfigError
        raise error(f"no run {run_id!r}; known: {known}")
    if run_id and len(runs) > 1:
        raise ConfigError(
            f"several runs start with {run_id!r}: use a longer id, e.g. {runs[0].id} or {runs[1].id}"
        )
    return runs[0]


def _has_frames() -> ColumnElement[bool]:
    """Whether a run has shards that are done or left to do: it does not if everything failed."""
    return exists().where(ShardRow.run_id == RunRow.id, ShardRow.state != "failed")


def runs_with_frames(session: Session) -> list[RunRow]:
    """Return the runs that have frames, or will have some; last worked on first."""
    query = select(RunRow).where(_has_frames()).order_by(RunRow.worked_at.desc(), RunRow.id)
    return list(session.scalars(query))


def failed_specs(session: Session, run_id: str) -> list[str]:
    """Return the specs of the sources that failed in a run."""
    failed = session.execute(_sources_of(run_id).where(RunSourceRow.state == "failed"))
    return [source.spec for source, _ in failed]


def known_source(session: Session, spec: str) -> SourceRow | None:
    """Return a source that was fetched before, or None."""
    return session.scalar(select(SourceRow).where(SourceRow.spec == spec))


def known_images(session: Session, hashes: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return (video id, position) by SHA-256, for the images that are in a set already."""
    rows = select_by_ids(session, select(ImageRow), ImageRow.sha256, hashes)
    return {image.sha256: (image.video_id, image.position) for (image,) in rows}


def planned_shards(session: Session, run_id: str) -> list[int]:
    """Return the shards that are left to do, leased or not, in their order."""
    planned = select(ShardRow.id).where(ShardRow.run_id == run_id, ShardRow.state == "planned")
    return list(session.scalars(planned.order_by(*in_order())))


def is_complete(session: Session, run_id: str) -> bool:
    """Return whether a run has shards, and all of them are done."""
    states = set(session.scalars(select(ShardRow.state).where(ShardRow.run_id == run_id).distinct()))
    return states == {"done"}


def specs_read(session: Session, run_id: str) -> set[str]:
    """Return the specs of the sources of a run that were read."""
    return {
        source.spec for source, _ in session.execute(_sources_of(run_id).where(RunSourceRow.state == "ok"))
    }


def summarize_run(session: Session, run: RunRow) -> RunSummary:
    total = run_work(session, run.id)
    videos_of_run = select(ShardRow.video_id).where(ShardRow.run_id == run.id)
    kinds = select(VideoRow.kind, func.count()).where(VideoRow.id.in_(videos_of_run)).group_by(VideoRow.kind)
    by_kind: dict[str, int] = dict(session.execute(kinds).tuples().all())
    return RunSummary(
        run_id=run.id,
        name=run.name,
        videos=by_kind.get("video", 0),
        images=count_rows(session, ImageRow, ImageRow.video_id.in_(videos_of_run)),
        shards_done=total.done,
        shards_pending=total.left,
        shards_leased=leased_by_others(session, run.id, ""),
        counts=dict(sorted(total.counts.items())),
        seconds=dict(sorted(total.seconds.items())),
        failures=run_failures(session, run.id),
        student_sees_people=not total.counts.get("compared") or _has_instances(session, run.id, "student"),
        passed_over=run_passed_over(session, run.id),
    )


def run_passed_over(
    session: Session, run_id: str, given: Collection[str] | None = None
) -> tuple[PassedOver, ...]:
    """Return what the sources of a run hold and was not looked at, each place and reason once.

    `given` leaves the sources and videos of other executions out, see `PassedOverRow`.
    """
    rows = session.scalars(
        select(PassedOverRow)
        .where(PassedOverRow.run_id == run_id)
        .order_by(PassedOverRow.spec, PassedOverRow.reason, PassedOverRow.given)
    )
    found = {(row.spec, row.reason): row for row in rows if given is None or row.given in given}
    return tuple(PassedOver(row.spec, row.reason, row.count, tuple(row.examples)) for row in found.values())


def _has_instances(session: Session, run_id: str, role: str) -> bool:
    found = select(InstanceRow.id).where(InstanceRow.run_id == run_id, InstanceRow.role == role)
    return session.scalar(found.limit(1)) is not None


def run_failures(session: Session, run_id: str) -> tuple[Failure, ...]:
    """Return failed sources, then failed shards, then the first frames that failed by themselves."""
    sources = session.execute(_sources_of(run_id).where(RunSourceRow.state == "failed"))
    failures = [
        Failure(source.spec, asked.error_code or "", asked.error_message or "", asked.retryable)
        for source, asked in sources
    ]
    shards = (
        select(ShardRow, VideoRow.path)
        .join(VideoRow, VideoRow.id == ShardRow.video_id)
        .where(ShardRow.run_id == run_id, ShardRow.state == "failed")
        .order_by(VideoRow.path, ShardRow.start_ms)
    )
    for shard, path in session.execute(shards):
        what = f"{path} from {shard.start_ms / 1000:g} s"
        message = shard.error_message or ""
        failures.append(Failure(what, shard.error_code or "", message, retryable=True, shard_id=shard.id))
    return (*failures, *_failed_frames(session, run_id))


def _failed_frames(session: Session, run_id: str) -> Iterator[Failure]:
    key = func.coalesce(FrameRow.image_index, FrameRow.pts_ms)
    in_shard = (
        (ShardRow.run_id == run_id)
        & (ShardRow.video_id == FrameRow.video_id)
        & (ShardRow.start_ms <= key)
        & (ShardRow.end_ms.is_(None) | (ShardRow.end_ms > key))
    )
    rows = (
        select(FrameRow, DecisionRow.rule, DecisionRow.reasons, VideoRow.path, ShardRow.id)
        .join(DecisionRow, DecisionRow.frame_id == FrameRow.id)
        .join(VideoRow, VideoRow.id == FrameRow.video_id)
        .join(ShardRow, in_shard)
        .where(DecisionRow.run_id == run_id, DecisionRow.rule == FAILED_FRAME)
        .order_by(VideoRow.path, key)
        .limit(MOST_FRAMES)
    )
    for frame, rule, reasons, path, shard_id in session.execute(rows).tuples():
        name = frame.name or f"{(frame.pts_ms or 0) / 1000:g} s"
        message = next(iter(reason_texts(reasons)), "")
        yield Failure(f"{path} {name}", rule or "", message, retryable=True, shard_id=shard_id, frame=name)


def _sources_of(run_id: str) -> Select[tuple[SourceRow, RunSourceRow]]:
    in_run = (RunSourceRow.source_id == SourceRow.id) & (RunSourceRow.run_id == run_id)
    return select(SourceRow, RunSourceRow).join(RunSourceRow, in_run).order_by(SourceRow.spec)


def run_sources(session: Session, run_id: str) -> Iterator[SourceOfRun]:
    """Yield the sources of a run, by spec."""
    frames = {work.video_id: work.counts for work in video_works(session, run_id)}
    in_run = (RunSourceRow.source_id == SourceVideoRow.source_id) & (RunSourceRow.run_id == run_id)
    fetched = session.scalars(select(SourceVideoRow).join(RunSourceRow, in_run))  # by whichever run
    videos = map_reduce(fetched, lambda row: row.source_id, lambda row: row.video_id)
    for source, asked in session.execute(_sources_of(run_id)):
        counts = [frames[video_id] for video_id in videos.get(source.id, ()) if video_id in frames]
        sampled, hard = (
            sum(of_video.get(name, 0) for of_video in counts) if counts else None
            for name in ("sampled", "hard")
        )
        yield SourceOfRun(source, asked, sampled, hard)


def run_models(session: Session, run: RunRow) -> dict[str, ModelRow]:
    """Return the model of each role."""
    return {role: session.get_one(ModelRow, model_id) for role, model_id in run.models.items()}
