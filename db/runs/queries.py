"""Runs, sources and shards, read from the ledger; frames are in `db.frames.listing`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from configs.errors import ConfigError, NoRunYet
from configs.models import RUN_ID_LENGTH
from db.models.core import (
    ImageRow,
    ModelRow,
    RunRow,
    RunSourceRow,
    ShardRow,
    SourceRow,
    SourceVideoRow,
    VideoRow,
)
from db.runs.leases import in_order
from labeling.storage.home import Home
from labeling.structures.frames import Clip, ImageFile


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
    images: int
    """Images of folders, which count as videos nowhere."""
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
    videos_given: int = 0
    """Videos and sets of images that this time's sources gave, done before or not."""

    @property
    def nothing_was_read(self) -> bool:
        """Whether something failed this time and nothing else came of it: no shard was done of those that were
        worked on, and if there were none, no source gave anything."""
        failed_shards = sum(failure.shard_id is not None for failure in self.failures)
        came_to_nothing = self.shards_worked <= failed_shards if self.shards_worked else not self.videos_given
        return bool(self.failures) and came_to_nothing


@dataclass(frozen=True, slots=True)
class SourceOfRun:
    """A source that a run was asked for."""

    source: SourceRow
    asked: RunSourceRow
    """What became of it in this run."""
    looked_at: int | None
    """Frames of its videos; None: the run has none of them."""
    hard: int | None


def latest_run(session: Session, run_id: str | None = None) -> RunRow:
    """The run of that id (or the start of one), or the one that was worked on last.

    Raises:
        NoRunYet: none at all, or none of that whole id.
        ConfigError: none that begins so, or several.
    """
    wanted = select(RunRow).order_by(RunRow.worked_at.desc(), RunRow.id)
    if run_id:
        wanted = wanted.where(RunRow.id.startswith(run_id, autoescape=True))
    runs = session.scalars(wanted.limit(2)).all()
    if not runs:
        known = ", ".join(session.scalars(select(RunRow.id).order_by(RunRow.id)).all())
        if not known:
            raise NoRunYet("no run yet: `maskmill run SOURCE` makes one")
        unknown = NoRunYet if run_id and len(run_id) == RUN_ID_LENGTH else ConfigError
        raise unknown(f"no run {run_id!r}; known: {known}")
    if run_id and len(runs) > 1:
        raise ConfigError(f"several runs begin with {run_id!r}: {runs[0].id}, {runs[1].id}")
    return runs[0]


def failed_specs(session: Session, run_id: str) -> list[str]:
    """Sources of a run that failed and may be tried again."""
    failed = session.execute(_sources_of(run_id).where(RunSourceRow.state == "failed"))
    return [source.spec for source, _ in failed]


def known_source(session: Session, spec: str) -> SourceRow | None:
    """What is known of a source from an earlier time."""
    return session.scalar(select(SourceRow).where(SourceRow.spec == spec))


def known_images(session: Session, hashes: Sequence[str]) -> dict[str, tuple[str, int]]:
    """(video id, position) of the images that are in a set already, by SHA-256."""
    found: dict[str, tuple[str, int]] = {}
    for start in range(0, len(hashes), 500):
        query = select(ImageRow).where(ImageRow.sha256.in_(hashes[start : start + 500]))
        found |= {p.sha256: (p.video_id, p.position) for p in session.scalars(query)}
    return found


def planned_shards(session: Session, run_id: str) -> list[int]:
    """Shards that are to be worked on, by whomever, in their order."""
    planned = select(ShardRow.id).where(ShardRow.run_id == run_id, ShardRow.state == "planned")
    return list(session.scalars(planned.order_by(*in_order())))


def shard_progress(session: Session, run_id: str) -> tuple[int, int]:
    """Shards (done or failed, all) of a run."""
    rows = session.execute(
        select(ShardRow.state, func.count()).where(ShardRow.run_id == run_id).group_by(ShardRow.state)
    )
    by_state: dict[str, int] = dict(rows.tuples().all())
    return sum(by_state.values()) - by_state.get("planned", 0), sum(by_state.values())


def shard_clip(session: Session, shard: ShardRow, home: Home) -> Clip:
    """The part of a video that a shard covers."""
    video = session.get_one(VideoRow, shard.video_id)
    if video.kind == "video":
        end = None if shard.end_ms is None else Fraction(shard.end_ms, 1000)
        return Clip(video.id, home.absolute(video.path), Fraction(shard.start_ms, 1000), end)
    query = select(ImageRow).where(ImageRow.video_id == video.id, ImageRow.position >= shard.start_ms)
    if shard.end_ms is not None:
        query = query.where(ImageRow.position < shard.end_ms)
    rows = session.scalars(query.order_by(ImageRow.position))
    return Clip(video.id, images=tuple(ImageFile(p.position, home.absolute(p.path), p.name) for p in rows))


def summarize_run(session: Session, run: RunRow) -> RunSummary:
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    states: dict[str, int] = {}
    shards = select(ShardRow.state, ShardRow.counts, ShardRow.seconds).where(ShardRow.run_id == run.id)
    for state, counts_here, seconds_here in session.execute(shards):
        states[state] = states.get(state, 0) + 1
        for total, part in ((counts, counts_here), (seconds, seconds_here)):
            for name, value in part.items():
                total[name] = total.get(name, 0) + value
    videos_of_run = select(ShardRow.video_id).where(ShardRow.run_id == run.id)
    kinds = select(VideoRow.kind, func.count()).where(VideoRow.id.in_(videos_of_run)).group_by(VideoRow.kind)
    by_kind: dict[str, int] = dict(session.execute(kinds).tuples().all())
    images = select(func.count()).select_from(ImageRow).where(ImageRow.video_id.in_(videos_of_run))
    return RunSummary(
        run_id=run.id,
        name=run.name,
        videos=by_kind.get("video", 0),
        images=session.scalar(images) or 0,
        shards_done=states.get("done", 0),
        shards_pending=states.get("planned", 0) + states.get("failed", 0),
        counts=dict(sorted(counts.items())),
        seconds=dict(sorted(seconds.items())),
        failures=run_failures(session, run.id),
    )


def run_failures(session: Session, run_id: str) -> tuple[Failure, ...]:
    """Failed sources, then failed shards."""
    sources = session.execute(_sources_of(run_id).where(RunSourceRow.state == "failed"))
    failures = [
        Failure(source.spec, asked.error_code or "", asked.error_message or "", asked.retryable)
        for source, asked in sources
    ]
    for shard, path in failed_shards(session, run_id):
        what = f"{path} from {shard.start_ms / 1000:g} s"
        message = shard.error_message or ""
        failures.append(Failure(what, shard.error_code or "", message, retryable=True, shard_id=shard.id))
    return tuple(failures)


def _sources_of(run_id: str) -> Select[tuple[SourceRow, RunSourceRow]]:
    in_run = (RunSourceRow.source_id == SourceRow.id) & (RunSourceRow.run_id == run_id)
    return select(SourceRow, RunSourceRow).join(RunSourceRow, in_run).order_by(SourceRow.spec)


def failed_shards(session: Session, run_id: str) -> list[tuple[ShardRow, str]]:
    """Shards that failed, with the path of their video."""
    query = (
        select(ShardRow, VideoRow.path)
        .join(VideoRow, VideoRow.id == ShardRow.video_id)
        .where(ShardRow.run_id == run_id, ShardRow.state == "failed")
        .order_by(VideoRow.path, ShardRow.start_ms)
    )
    return [(shard, path) for shard, path in session.execute(query)]


def run_sources(session: Session, run_id: str) -> Iterator[SourceOfRun]:
    """Sources of a run, by spec."""
    frames, videos = _frames_by_video(session, run_id), _videos_by_source(session, run_id)
    for source, asked in session.execute(_sources_of(run_id)):
        counts = [frames[video_id] for video_id in videos.get(source.id, ()) if video_id in frames]
        looked_at, hard = (sum(column) for column in zip(*counts, strict=True)) if counts else (None, None)
        yield SourceOfRun(source, asked, looked_at, hard)


def _frames_by_video(session: Session, run_id: str) -> dict[str, tuple[int, int]]:
    """Frames (looked at, hard) of a run."""
    counts: dict[str, tuple[int, int]] = {}
    shards = select(ShardRow.video_id, ShardRow.counts).where(ShardRow.run_id == run_id)
    for video_id, here in session.execute(shards):
        looked_at, hard = counts.get(video_id, (0, 0))
        counts[video_id] = (looked_at + here.get("looked_at", 0), hard + here.get("hard", 0))
    return counts


def _videos_by_source(session: Session, run_id: str) -> dict[int, list[str]]:
    """What the sources of a run gave in whatever run."""
    in_run = (RunSourceRow.source_id == SourceVideoRow.source_id) & (RunSourceRow.run_id == run_id)
    videos: dict[int, list[str]] = {}
    for row in session.scalars(select(SourceVideoRow).join(RunSourceRow, in_run)):
        videos.setdefault(row.source_id, []).append(row.video_id)
    return videos


def run_models(session: Session, run: RunRow) -> dict[str, ModelRow]:
    """The model of each role."""
    return {role: session.get_one(ModelRow, model_id) for role, model_id in run.models.items()}
