"""Turn what the user named into videos and shards in the database; one Prefect task per source."""

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

from configs.errors import NotAVideo, SourceError, UnsupportedVideo
from configs.models import RunConfig, Sampling
from db.runs.queries import known_images, known_source
from db.runs.writes import (
    ImageRecord,
    ShardRange,
    clear_failure,
    plan_shards,
    record_failed_source,
    record_images,
    record_passed_over,
    record_source,
    record_video,
)
from labeling.sources.content_store import sha256_of
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.file_types import has_pages_name
from labeling.sources.passed_over import PassedOverCounter
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.sources.titles import source_title
from labeling.storage.outputs import is_drawing
from labeling.video.gaps import find_gaps
from labeling.video.images import WHOLE_RANGE, count_images, find_levels, image_pixels
from labeling.video.probe import probe_video, refuse_large_frames
from tasks.execution.context import Context

OTHER_STREAM = (
    "further video streams: the first is looked at; extract another one, for example with ffmpeg -map 0:v:1"
)
NOT_THERE = "seconds that the header declares after the last frame: nothing was recorded there"
NOT_FILMED = "seconds between frames, in which nothing was recorded: the camera was off, or its clock jumped"
MORE_PAGES = "pages after the first of images, or images of animations: save each as a file of its own"

NOT_UTF8 = "images whose names are not UTF-8: rename them"
LEVELS = (
    "images in a set of 16 bits that uses the levels {black} to {white}: these are shown as black and white"
)
DRAWING = "pictures of frames and masks that maskmill drew: they are no frames"
TOO_LARGE = "images with more pixels than ingest.max_pixels: raise it, or shrink them"


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of one source specification."""

    videos: tuple[str, ...]
    """Ids of the videos and image sets."""
    failed: tuple[str, ...]
    """Specifications of the sources that gave none."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What the sources are read for."""

    context: Context
    run_id: str
    sampling: Sampling
    max_pixels: int
    passed_over: PassedOverCounter


def ingest_spec(context: Context, spec: str, run_id: str, config: RunConfig) -> Ingested:
    """Fetch everything that a source specification stands for, and plan its shards.

    A source that fails is stored with its reason; the others are still ingested.
    """
    videos: list[str] = []
    failed: list[str] = []
    work = _Work(context, run_id, config.sampling, config.ingest.max_pixels, PassedOverCounter())
    for fetched in _fetch_all(work, spec, config):
        outcome = _try_to_ingest(work, fetched)
        if isinstance(outcome, FailedSource):
            failed.append(outcome.spec)
            with context.database.transaction() as session:
                record_failed_source(session, run_id, outcome)
        else:
            videos += outcome
    with context.database.transaction() as session:
        found = [
            replace(one, spec=_printable(one.spec), examples=tuple(map(_printable, one.examples)))
            for one in work.passed_over.found()
        ]
        record_passed_over(session, run_id, _printable(spec), found)
    if videos and not failed:
        with context.database.transaction() as session:
            clear_failure(session, run_id, {spec, str(Path(spec).absolute())})
    return Ingested(tuple(dict.fromkeys(videos)), tuple(failed))


def _try_to_ingest(work: _Work, fetched: FetchedSource | FailedSource) -> list[str] | FailedSource:
    """Return the ids of the videos and image sets, or the failure under a name that can be stored."""
    if isinstance(fetched, FailedSource):
        return replace(fetched, spec=_printable(fetched.spec))
    try:
        if fetched.origin.spec != _printable(fetched.origin.spec):
            raise UnsupportedVideo(
                f"{_printable(fetched.origin.spec)}: the file's name is not UTF-8; rename it"
            )
        if fetched.path:
            return [_ingest_video(work, fetched, fetched.path)]
        return _ingest_images(work, fetched)
    except SourceError as error:
        return replace(FailedSource.of(fetched.origin, error), spec=_printable(fetched.origin.spec))


def _printable(spec: str) -> str:
    return spec.encode(errors="replace").decode()


def _fetch_all(work: _Work, spec: str, config: RunConfig) -> Iterator[FetchedSource | FailedSource]:
    for item in expand_sources([spec], passed_over=work.passed_over):
        if isinstance(item, FailedSource):
            yield item
        else:
            yield from fetch(
                _with_known_metadata(work.context, item),
                work.context.home.videos,
                config.ingest,
                passed_over=work.passed_over,
            )


def _with_known_metadata(context: Context, item: SourceItem) -> SourceItem:
    """Fill in metadata that an earlier list gave for the source, where this one gives none."""
    with context.database.session() as session:
        known = known_source(session, _printable(item.spec))
    if known is None:
        return item
    return replace(
        item,
        title=item.title or known.title,
        uploader=item.uploader or known.uploader,
        license=item.license or known.license,
    )


def _ingest_video(work: _Work, fetched: FetchedSource, path: Path) -> str:
    context, facts = work.context, probe_video(path)
    refuse_large_frames(path, facts.size_hw, work.max_pixels)
    if facts.other_streams:
        work.passed_over.add(fetched.origin.spec, OTHER_STREAM, path.name, count=facts.other_streams)
    if facts.lacking_s:
        seconds = max(1, round(facts.lacking_s))
        work.passed_over.add(fetched.origin.spec, NOT_THERE, path.name, count=seconds)
    gaps = [[round(1000 * start), round(1000 * end)] for start, end in find_gaps(path, facts.fps)]
    if gaps:
        seconds = sum(end - start for start, end in gaps) // 1000
        work.passed_over.add(fetched.origin.spec, NOT_FILMED, path.name, count=seconds)
    video_id = sha256_of(path)
    duration_ms = round(facts.duration_s * 1000)
    row: dict[str, Any] = {
        "id": video_id,
        "kind": "video",
        "path": context.home.relative(path),
        "duration_ms": duration_ms,
        "width": facts.size_hw[1],
        "height": facts.size_hw[0],
        "fps": str(facts.fps) if facts.fps else None,
        "codec": facts.codec,
        "gaps": gaps or None,
    }
    with context.database.transaction() as session:
        record_video(session, row)
        record_source(session, work.run_id, fetched.origin, video_ids=[video_id])
        plan_shards(session, work.run_id, video_id, time_ranges(duration_ms, work.sampling, gaps))
    return video_id


def time_ranges(duration_ms: int, sampling: Sampling, gaps: Sequence[Sequence[int]] = ()) -> list[ShardRange]:
    """Cut a video into shards; the last has no end, because a declared duration may be wrong.

    Those that lie in a gap ([start, end] in ms) as a whole are left out.

    >>> time_ranges(200_000, Sampling(), [[10_000, 190_000]])
    [ShardRange(start_ms=0, end_ms=60000), ShardRange(start_ms=180000, end_ms=None)]
    """
    shard_ms = max(1, round(Fraction(str(sampling.shard_s)) * 1000))
    starts = list(range(0, max(duration_ms, 1), shard_ms))
    ranges = [ShardRange(a, b) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return [
        one
        for one in ranges
        if one.end_ms is None or not any(start < one.start_ms and one.end_ms <= end for start, end in gaps)
    ]


def _ingest_images(work: _Work, fetched: FetchedSource) -> list[str]:
    """Store a folder's images: those that are in no set yet become a new set.

    Files with the same bytes are one image, whatever their folder.
    """
    context, home = work.context, work.context.home
    by_hash: dict[str, tuple[Path, str]] = {}
    too_large = 0
    for path, name in zip(fetched.images, fetched.image_names, strict=True):
        if f"{path}{name}" != _printable(f"{path}{name}"):
            work.passed_over.add(fetched.origin.spec, NOT_UTF8, name)
            continue
        if is_drawing(path):
            work.passed_over.add(fetched.origin.spec, DRAWING, name)
            continue
        if image_pixels(path) > work.max_pixels:
            work.passed_over.add(fetched.origin.spec, TOO_LARGE, name)
            too_large += 1
            continue
        by_hash.setdefault(sha256_of(path), (path, name))
    if too_large and not by_hash:
        raise UnsupportedVideo(
            f"{fetched.origin.spec}: its images have more pixels than ingest.max_pixels, {work.max_pixels:,}: "
            "raise it, or shrink them"
        )
    if not by_hash:
        raise NotAVideo(f"{fetched.origin.spec}: no images in it")
    _count_pages(work, fetched)
    with context.database.transaction() as session:
        known = known_images(session, list(by_hash))
        fresh = [sha for sha in by_hash if sha not in known]
        if fresh:
            known |= {sha: (_set_id(fresh), position) for position, sha in enumerate(fresh)}
            row: dict[str, Any] = dict.fromkeys(("duration_ms", "width", "height", "fps", "codec"))
            folder = Path(os.path.commonpath([path.parent for path in fetched.images]))
            levels = find_levels([by_hash[sha][0] for sha in fresh])
            black, white = levels or (None, None)
            if levels and levels != WHOLE_RANGE:
                reason = LEVELS.format(black=black, white=white)
                work.passed_over.add(fetched.origin.spec, reason, by_hash[fresh[0]][0].name, count=len(fresh))
            row |= {"id": _set_id(fresh), "kind": "images", "path": home.relative(folder)}
            record_video(session, row | {"black_level": black, "white_level": white})
        by_set: dict[str, list[int]] = {}
        for set_id, position in sorted(known.values()):
            by_set.setdefault(set_id, []).append(position)
        for set_id, positions in by_set.items():
            stored = [
                ImageRecord(position, sha, home.relative(by_hash[sha][0]), by_hash[sha][1])
                for sha, (of_set, position) in known.items()
                if of_set == set_id
            ]
            record_images(session, set_id, stored)
            cells = position_ranges(positions, work.sampling.shard_images)
            plan_shards(session, work.run_id, set_id, cells)
        record_source(session, work.run_id, fetched.origin, video_ids=by_set)
    return list(by_set)


def _count_pages(work: _Work, fetched: FetchedSource) -> None:
    """Count the pages, or images of an animation, that are not looked at."""
    for path, name in zip(fetched.images, fetched.image_names, strict=True):
        if has_pages_name(name) and (pages := count_images(path)) > 1:
            work.passed_over.add(fetched.origin.spec, MORE_PAGES, name, count=pages - 1)


def _set_id(hashes: Sequence[str]) -> str:
    """Identify a set of images by its members, in any order."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def position_ranges(positions: Iterable[int], size: int) -> list[ShardRange]:
    """Return the cells of `size` positions that contain these positions.

    Cells are fixed, so a part of a set planned earlier and the whole set planned now never overlap partly.
    """
    cells = sorted({position // size for position in positions})
    return [ShardRange(cell * size, (cell + 1) * size) for cell in cells]


@task(
    name="ingest-source",
    task_run_name=lambda parameters: f"ingest {source_title(parameters['spec'])}",  # type: ignore[arg-type]  # Prefect's protocol fits no function
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ingest_source_task(context: Context, spec: str, run_id: str, config: RunConfig) -> Ingested:
    """Run `ingest_spec` as a Prefect task, without retries: fetching retries by itself."""
    ingested = ingest_spec(context, spec, run_id, config)
    message = "%s: %d videos or image sets, %d failed sources"
    get_run_logger().info(message, spec, len(ingested.videos), len(ingested.failed))
    return ingested
