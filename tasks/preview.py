"""What a run would read, without writing anything: sources, frames, and a time from earlier runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.errors import SourceError
from configs.models import RunConfig
from db.models.core import RunRow, ShardRow
from labeling.runtime.prefetch import PARALLEL_STAGES
from labeling.sources.expand import expand_sources
from labeling.sources.folders import list_images
from labeling.sources.passed_over import PassedOver, PassedOverCounter
from labeling.sources.source import FailedSource, SourceItem
from labeling.storage.home import Home
from labeling.text.figures import duration
from labeling.video.gaps import find_gaps
from labeling.video.probe import probe_video, refuse_large_frames
from tasks.execution.context import has_database, open_context

SPARSE_BYTES_PER_S = 2000
"""A video with fewer bytes for its duration may have gaps, and is read quickly to find them."""


@dataclass(frozen=True, slots=True)
class PreviewedSource:
    """One source as it would be read."""

    spec: str
    duration_s: float | None
    """None: not a local video."""
    frames: int | None
    """Frames that would be sampled; None: known only after a download or while unpacking."""
    note: str = ""
    """What happens first, or why the source fails."""
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do."""

    run_id: str
    sources: tuple[PreviewedSource, ...]
    passed_over: tuple[PassedOver, ...]
    frames: int
    """Of all sources where they are known, before any filter."""
    seconds: float | None
    """Estimate from earlier runs of this home with the same models; None: there is none."""


def preview_run(specs: Sequence[str], config: RunConfig, home: Home) -> Preview:
    """Return what `maskmill run` would do with these sources. Frames of earlier runs are not subtracted."""
    counter = PassedOverCounter()
    sources = tuple(_preview(item, config) for item in expand_sources(specs, passed_over=counter))
    frames = sum(source.frames or 0 for source in sources)
    rate_s = _seconds_per_frame(home, config)
    seconds = None if rate_s is None else rate_s * frames / config.workers
    return Preview(config.run_id(), sources, tuple(counter.found()), frames, seconds)


def _preview(item: SourceItem | FailedSource, config: RunConfig) -> PreviewedSource:
    if isinstance(item, FailedSource):
        return _failed(item.spec, item.error)
    try:
        if item.kind == "file":
            return _preview_video(item.spec, config)
        if item.kind == "image_folder":
            return PreviewedSource(item.spec, None, len(list_images(item.spec)))
    except SourceError as error:
        return _failed(item.spec, error)
    if item.kind == "camera":
        seconds = config.ingest.record_s
        return PreviewedSource(item.spec, seconds, _sampled(seconds, 25, config), "would be recorded")
    return PreviewedSource(
        item.spec, None, None, "would be downloaded" if item.kind == "url" else "would be unpacked"
    )


def _failed(spec: str, error: SourceError) -> PreviewedSource:
    return PreviewedSource(spec, None, None, f"{error.code}: {error}", has_failed=True)


def _preview_video(spec: str, config: RunConfig) -> PreviewedSource:
    path = Path(spec)
    facts = probe_video(path)
    refuse_large_frames(path, facts.size_hw, config.ingest.max_pixels)
    seconds, gap_s = float(facts.duration_s), 0.0
    if path.stat().st_size < SPARSE_BYTES_PER_S * seconds:
        gap_s = float(sum(end - start for start, end in find_gaps(path, facts.fps)))
    frames = _sampled(seconds - gap_s, float(facts.fps or 25), config)
    note = f"{duration(gap_s)} of it without frames: the camera was off, or its clock jumped" if gap_s else ""
    return PreviewedSource(spec, seconds, frames, note)


def _sampled(seconds: float, fps: float, config: RunConfig) -> int:
    every_s = config.sampling.every_s
    return max(1, ceil(seconds / every_s if every_s else seconds * fps))


def _seconds_per_frame(home: Home, config: RunConfig) -> float | None:
    if not has_database(home):
        return None
    with open_context(home).database.session() as session:
        totals = list(_totals(session, config))
    frames = sum(count for count, _ in totals)
    return sum(seconds for _, seconds in totals) / frames if frames else None


def _totals(session: Session, config: RunConfig) -> Iterator[tuple[int, float]]:
    """Yield frames and seconds of the shards of runs with the same models."""
    wanted = config.model_dump(mode="json", include={"teacher", "student"})
    for run in session.scalars(select(RunRow)):
        if {role: run.config.get(role) for role in wanted} != wanted:
            continue
        shards = select(ShardRow.counts, ShardRow.seconds).where(
            ShardRow.run_id == run.id, ShardRow.state == "done"
        )
        for counts, seconds in session.execute(shards).tuples():
            own = sum(value for stage, value in seconds.items() if stage not in PARALLEL_STAGES)
            yield counts.get("sampled", 0), max(own, seconds.get("decode", 0.0))
