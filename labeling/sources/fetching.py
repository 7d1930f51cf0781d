"""Fetching of one source, of any kind, as files on disk."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from configs.errors import SourceError, SourceNotFound
from configs.models import Ingest
from labeling.sources.archives import fetch_archive, fetch_member
from labeling.sources.cameras import record_camera, recording_name
from labeling.sources.expand import split_member
from labeling.sources.folders import list_images
from labeling.sources.passed_over import PassedOverCounter
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.sources.urls import fetch_url


def fetch(
    source: SourceItem,
    folder: Path,
    ingest: Ingest,
    *,
    allow_link_local: bool = False,
    passed_over: PassedOverCounter | None = None,
) -> Iterator[FetchedSource | FailedSource]:
    """Yield a source's videos and images as files, each as soon as it is complete.

    Local files stay where they are. Downloads, unpacked members and recordings go into `folder`, named by the SHA-256
    of their content; an unfinished file never has such a name. A playlist, an archive or a camera gives several
    results, each with a SourceItem of its own. A failure is yielded as a FailedSource beside the results. What an
    archive holds beside videos and images is counted in `passed_over`.

    Raises:
        DiskFull, HomeNotWritable, ConfigError: no source can be fetched. A SourceError is never raised.
    """
    try:
        counter = passed_over or PassedOverCounter()
        yield from _fetch(source, folder, ingest, counter, allow_link_local=allow_link_local)
    except SourceError as exc:
        yield FailedSource.of(source, exc)


def _fetch(
    source: SourceItem,
    folder: Path,
    ingest: Ingest,
    passed_over: PassedOverCounter,
    *,
    allow_link_local: bool,
) -> Iterator[FetchedSource | FailedSource]:
    match source.kind:
        case "file":
            if not (path := Path(source.spec)).is_file():
                raise SourceNotFound(f"{path}: the file no longer exists")
            yield FetchedSource(source, path)
        case "image_folder":
            images = list_images(source.spec)
            yield FetchedSource(source, images=images, image_names=tuple(path.name for path in images))
        case "archive":
            yield from fetch_archive(source, folder, ingest, passed_over)
        case "archive_member":
            if not (parts := split_member(source.spec)):
                raise SourceNotFound(f"{source.spec}: the archive no longer exists")
            yield from fetch_member(source, *parts, folder, ingest)
        case "url":
            yield from fetch_url(source, folder, ingest, allow_link_local=allow_link_local)
        case "camera":
            yield from _record(source, folder, ingest, allow_link_local=allow_link_local)


def _record(
    source: SourceItem, folder: Path, ingest: Ingest, *, allow_link_local: bool
) -> Iterator[FetchedSource]:
    for recording in record_camera(source.connect_url, folder, ingest, allow_link_local=allow_link_local):
        started_at = recording.started_at.astimezone(UTC)
        spec = recording_name(source.spec, started_at)
        named = replace(source, spec=spec, upload_date=started_at.date().isoformat(), address=None)
        yield FetchedSource(named, recording.path)
