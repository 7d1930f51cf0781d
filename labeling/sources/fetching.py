"""From a single origin to files on disk, whatever its kind."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from configs.models import Ingest
from labeling.errors import SourceError, SourceNotFound
from labeling.sources.archives import fetch_archive, fetch_member
from labeling.sources.cameras import record_camera, recording_name
from labeling.sources.expand import split_member
from labeling.sources.folders import list_images
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.sources.urls import fetch_url


def fetch(
    origin: SourceItem, folder: Path, ingest: Ingest, *, allow_link_local: bool = False
) -> Iterator[FetchedSource | FailedSource]:
    """Bring one origin's videos and images to disk, each as soon as it is whole.

    Local files stay where they are. What is downloaded, unpacked or recorded goes into `folder` under
    the SHA-256 of its content; what is not finished is never seen under such a name. A playlist, an
    archive or a camera gives several, each with an origin of its own. Whatever fails comes out as a
    FailedOrigin beside what succeeded: no SourceError is raised.

    Raises:
        DiskFull, HomeNotWritable, ConfigError: nothing can be fetched like this.
    """
    try:
        yield from _fetch(origin, folder, ingest, allow_link_local=allow_link_local)
    except SourceError as exc:
        yield FailedSource.of(origin, exc)


def _fetch(
    origin: SourceItem, folder: Path, ingest: Ingest, *, allow_link_local: bool
) -> Iterator[FetchedSource | FailedSource]:
    match origin.kind:
        case "file":
            yield _local_file(origin)
        case "image_folder":
            images = list_images(origin.spec)
            yield FetchedSource(origin, images=images, image_names=tuple(path.name for path in images))
        case "archive":
            yield from fetch_archive(origin, folder, ingest)
        case "archive_member":
            yield from _archive_member(origin, folder, ingest)
        case "url":
            yield from fetch_url(origin, folder, ingest, allow_link_local=allow_link_local)
        case "camera":
            yield from _recordings(origin, folder, ingest, allow_link_local=allow_link_local)


def _local_file(origin: SourceItem) -> FetchedSource:
    path = Path(origin.spec)
    if not path.is_file():
        raise SourceNotFound(f"{path}: no such file any more")
    return FetchedSource(origin, path)


def _archive_member(
    origin: SourceItem, folder: Path, ingest: Ingest
) -> Iterator[FetchedSource | FailedSource]:
    parts = split_member(origin.spec)
    if parts is None:
        raise SourceNotFound(f"{origin.spec}: no such archive any more")
    yield from fetch_member(origin, *parts, folder, ingest)


def _recordings(
    origin: SourceItem, folder: Path, ingest: Ingest, *, allow_link_local: bool
) -> Iterator[FetchedSource]:
    for recording in record_camera(origin.connect_url, folder, ingest, allow_link_local=allow_link_local):
        began = recording.started_at.astimezone(UTC)
        named = replace(
            origin,
            spec=recording_name(origin.spec, began),
            upload_date=began.date().isoformat(),
            address=None,
        )
        yield FetchedSource(named, recording.path)
