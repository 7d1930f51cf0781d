"""From what the user named to videos and shards in the ledger."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.models import RunConfig, Sampling
from db.runs.queries import known_images, known_source
from db.runs.writes import (
    ImageRecord,
    ShardRange,
    clear_failure,
    plan_shards,
    record_failed_source,
    record_images,
    record_source,
    record_video,
)
from labeling.errors import NotAVideo, SourceError, UnsupportedVideo
from labeling.sources.content_store import sha256_of
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.sources.titles import source_title
from labeling.storage.home import Home
from labeling.video.probe import VideoFacts, probe_video
from tasks.execution.database import database_of


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one spec came to."""

    videos: tuple[str, ...]
    """Ids of the videos and sets of images."""
    failed: tuple[str, ...]
    """Specs of the sources that gave none."""


def ingest_spec(spec: str, run_id: str, config: RunConfig, home: Home) -> Ingested:
    """Fetch everything that one spec stands for and plan its shards.

    A source that fails is stored with its reason, and the rest goes on.

    Raises:
        StorageError, DatabaseError: nothing can be kept at the moment.
    """
    videos: list[str] = []
    failed: list[str] = []
    for found in _fetch_all(spec, config, home):
        outcome = _try_to_ingest(found, run_id, config.sampling, home)
        if isinstance(outcome, FailedSource):
            failed.append(outcome.spec)
            with database_of(home).transaction() as session:
                record_failed_source(session, run_id, outcome)
        else:
            videos += outcome
    if videos and not failed:
        with database_of(home).transaction() as session:
            clear_failure(session, run_id, {spec, str(Path(spec).absolute())})
    return Ingested(tuple(dict.fromkeys(videos)), tuple(failed))


def _try_to_ingest(
    found: FetchedSource | FailedSource, run_id: str, sampling: Sampling, home: Home
) -> list[str] | FailedSource:
    """Ids of what was found, or why there are none, under a name that can be stored."""
    if isinstance(found, FailedSource):
        return replace(found, spec=_printable(found.spec))
    try:
        _check_name(found.origin.spec)
        return _ingest(found, run_id, sampling, home)
    except SourceError as error:
        return replace(FailedSource.of(found.origin, error), spec=_printable(found.origin.spec))


def _check_name(spec: str) -> None:
    """Refuse a file name that is no text: it could neither be stored nor shown."""
    if spec != _printable(spec):
        raise UnsupportedVideo(f"{_printable(spec)}: the file's name is not UTF-8; rename it")


def _printable(spec: str) -> str:
    return spec.encode(errors="replace").decode()


def _fetch_all(spec: str, config: RunConfig, home: Home) -> Iterator[FetchedSource | FailedSource]:
    for origin in expand_sources([spec]):
        if isinstance(origin, FailedSource):
            yield origin
        else:
            yield from fetch(_with_what_is_known(origin, home), home.videos, config.ingest)


def _with_what_is_known(origin: SourceItem, home: Home) -> SourceItem:
    """What a list once said about a source holds for each later try, unless this one says otherwise."""
    with database_of(home).session() as session:
        known = known_source(session, _printable(origin.spec))
    if known is None:
        return origin
    return replace(
        origin,
        title=origin.title or known.title,
        uploader=origin.uploader or known.uploader,
        license=origin.license or known.license,
    )


def _ingest(fetched: FetchedSource, run_id: str, sampling: Sampling, home: Home) -> list[str]:
    if fetched.path:
        return [_ingest_video(fetched, fetched.path, run_id, sampling, home)]
    return _ingest_images(fetched, run_id, sampling, home)


def _ingest_video(fetched: FetchedSource, path: Path, run_id: str, sampling: Sampling, home: Home) -> str:
    facts = probe_video(path)
    video_id = sha256_of(path)
    duration_ms = round(facts.duration_s * 1000)
    with database_of(home).transaction() as session:
        record_video(session, _video_row(video_id, path, facts, duration_ms, home))
        record_source(session, run_id, fetched.origin, video_ids=[video_id])
        plan_shards(session, run_id, video_id, time_ranges(duration_ms, sampling))
    return video_id


def _video_row(
    video_id: str, path: Path, facts: VideoFacts, duration_ms: int, home: Home
) -> dict[str, str | int | None]:
    return {
        "id": video_id,
        "kind": "video",
        "path": home.relative(path),
        "duration_ms": duration_ms,
        "width": facts.size_hw[1],
        "height": facts.size_hw[0],
        "fps": str(facts.fps) if facts.fps else None,
        "codec": facts.codec,
    }


def time_ranges(duration_ms: int, sampling: Sampling) -> list[ShardRange]:
    """Cut a video into shards; the last is open, since durations are declared, not true."""
    shard_ms = max(1, round(Fraction(str(sampling.shard_s)) * 1000))
    starts = list(range(0, max(duration_ms, 1), shard_ms))
    return [ShardRange(a, b) for a, b in zip(starts, [*starts[1:], None], strict=True)]


def _ingest_images(fetched: FetchedSource, run_id: str, sampling: Sampling, home: Home) -> list[str]:
    """A folder's images: those that are in no set yet become a new one; the same bytes are one
    image, in whatever folder."""
    by_hash: dict[str, tuple[Path, str]] = {}
    for path, name in zip(fetched.images, fetched.image_names, strict=True):
        by_hash.setdefault(sha256_of(path), (path, name))
    if not by_hash:
        raise NotAVideo(f"{fetched.origin.spec}: no images in it")
    database = database_of(home)
    with database.transaction() as session:
        known = known_images(session, list(by_hash))
        fresh = [sha for sha in by_hash if sha not in known]
        if fresh:
            known |= {sha: (_set_id(fresh), position) for position, sha in enumerate(fresh)}
            row = dict.fromkeys(("duration_ms", "width", "height", "fps", "codec"), None)
            folder = Path(os.path.commonpath([path.parent for path in fetched.images]))
            record_video(
                session, row | {"id": _set_id(fresh), "kind": "images", "path": home.relative(folder)}
            )
        by_set = _positions_by_set(known)
        for set_id, positions in by_set.items():
            stored = [
                ImageRecord(position, sha, home.relative(by_hash[sha][0]), by_hash[sha][1])
                for sha, (of_set, position) in known.items()
                if of_set == set_id
            ]
            record_images(session, set_id, stored)
            plan_shards(session, run_id, set_id, position_ranges(positions, sampling.shard_images))
        record_source(session, run_id, fetched.origin, video_ids=by_set)
    return list(by_set)


def _set_id(hashes: Sequence[str]) -> str:
    """What a set of images is known by: its members in any order."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def _positions_by_set(known: dict[str, tuple[str, int]]) -> dict[str, list[int]]:
    by_set: dict[str, list[int]] = {}
    for set_id, position in sorted(known.values()):
        by_set.setdefault(set_id, []).append(position)
    return by_set


def position_ranges(positions: Iterable[int], size: int) -> list[ShardRange]:
    """The cells of `size` positions in which these lie. Cells are fixed, so that a part of a set that
    was planned before and all of it that is planned now never overlap by halves."""
    cells = sorted({position // size for position in positions})
    return [ShardRange(cell * size, (cell + 1) * size) for cell in cells]


def _ingest_name(parameters: dict[str, Any]) -> str:
    return f"ingest {source_title(parameters['spec'])}"


@task(
    name="ingest-source",
    task_run_name=_ingest_name,  # type: ignore[arg-type]  # Prefect's protocol for it fits no function
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ingest_source_task(spec: str, run_id: str, config: RunConfig, home: Path) -> Ingested:
    """`ingest_spec` under Prefect's eyes; fetching retries by itself."""
    ingested = ingest_spec(spec, run_id, config, Home(home))
    message = "%s: %d videos or sets of images, %d sources failed"
    get_run_logger().info(message, spec, len(ingested.videos), len(ingested.failed))
    return ingested
