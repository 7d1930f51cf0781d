"""The flow that cuts people out of videos."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from prefect import flow, runtime
from prefect.logging import get_run_logger

from configs.categories import categories_of, require_people
from configs.errors import ConfigError, Interrupted, SourceError, SourceNotFound, UnsupportedVideo
from configs.load import load_config
from configs.matting import MatteSettings
from configs.models import RunConfig
from flows.home import whole_path
from labeling.matting.replacement import open_replacement
from labeling.segmenters.factory import make_segmenter
from labeling.sources.expand import expand_sources
from labeling.sources.source import FailedSource, SourceItem, SourceKind
from labeling.sources.titles import source_title
from labeling.sources.url_policy import refuse_passwords
from labeling.storage.home import Home
from tasks.execution.leases import cancelled, hold_lease
from tasks.matte import MatteOrder, MatteSummary, check_identity, find_failure, matte_video_task
from tasks.matte_methods import open_method

REFUSED: dict[SourceKind, str] = {
    "image_folder": "these are images; join them to a video, for example with ffmpeg",
    "archive": "this is an archive; unpack it and name its folder",
    "archive_member": "this is in an archive; unpack it and name the file",
    "url": "this is a URL; download the video and name the file",
    "camera": "this is a camera; record it to a file and name the file",
}
"""Why a source is refused: the frames are read several times, from a file."""
NAME_BYTES = 120
"""Longest name of a folder; files in it add a suffix, and file systems allow 255 bytes."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]")

Planned = MatteOrder | MatteSummary
"""A video to matte, or a source that failed."""


def _run_name() -> str:
    sources = runtime.flow_run.parameters.get("sources") or [""]
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"matte {source_title(sources[0])}{more}"


@flow(name="matte-videos", flow_run_name=_run_name, persist_result=False)
def matte_videos(
    sources: list[str],
    out: Path,
    settings: MatteSettings | None = None,
    config: RunConfig | None = None,
    home: Path = Path(".maskmill"),
) -> list[MatteSummary]:
    """Write alpha, foreground and a composite of each video; an interrupted run continues.

    Args:
        sources: video files, folders of videos, globs, lists of files.
        out: folder; each video gets a folder of its name in it.
        settings: background, format, plate; None: the defaults.
        config: its teacher finds the people, without its refiners; None: the preset `lite`.
        home: folder of the database, in which the run is registered.

    Raises:
        ConfigError: no source, a background that cannot be read, or a folder with another video's matte.
        StorageError: a file cannot be written; finished frames are kept.
    """
    if not sources:
        raise ConfigError("no videos: name at least one file, folder or glob")
    refuse_passwords(sources)
    settings, config = settings or MatteSettings(), config or load_config("lite")
    require_people(categories_of(config), "matte")
    planned = plan_mattes(sources, whole_path(out, "out"), settings)
    open_replacement(settings.background)
    try:
        summaries = _matte_all(planned, settings, config, whole_path(home, "home"))
    except Interrupted as error:
        return cancelled(error)  # type: ignore[no-any-return]  # Prefect accepts a state as the result
    for summary in summaries:
        if summary.error:
            get_run_logger().warning("%s: %s: %s", summary.source, summary.error, summary.message)
    return summaries


def _matte_all(
    planned: list[Planned], settings: MatteSettings, config: RunConfig, home: Path
) -> list[MatteSummary]:
    """Return all summaries, in order; before anything is written, the folders are compared with the settings."""
    planned = [_or_failure(one, config.ingest.max_pixels) for one in planned]
    if not any(isinstance(one, MatteOrder) for one in planned):
        return [one for one in planned if isinstance(one, MatteSummary)]
    method = open_method(settings)
    teacher = make_segmenter(
        config.teacher.model_copy(update={"refine": ()}),
        weights_dir=config.weights_dir,
        device=config.device,
        batch=config.batch,
    )
    for one in planned:
        if isinstance(one, MatteOrder):
            with suppress(SourceError):  # reported with the other results
                check_identity(one, teacher, method)
    created = Home(home)
    created.create()
    with hold_lease(created, "matte-videos") as lease:
        return [
            matte_video_task(one, teacher, method, lease.check) if isinstance(one, MatteOrder) else one
            for one in planned
        ]


def _or_failure(planned: Planned, max_pixels: int) -> Planned:
    return (find_failure(planned, max_pixels) or planned) if isinstance(planned, MatteOrder) else planned


def plan_mattes(sources: Sequence[str], out: Path, settings: MatteSettings) -> list[Planned]:
    """Return an order per video and a summary per source that failed, in the order of the sources.

    A video's folder has its name without suffix, with a number if that is taken. Results of earlier runs in
    `out` are no sources.
    """
    planned: list[Planned] = []
    folders: set[str] = set()
    seen: set[str] = set()
    for spec in sources:
        for found in _find_videos(spec, out):
            if isinstance(found, FailedSource):
                planned.append(MatteSummary.failed(found.spec, "", found.error))
            elif found.spec not in seen:
                seen.add(found.spec)
                video = Path(found.spec)
                planned.append(MatteOrder(video, out / _folder_name(video, out, folders), settings))
    return planned


def _find_videos(spec: str, out: Path) -> Iterator[SourceItem | FailedSource]:
    """Yield the videos of a spec; images beside videos, such as their thumbnails, are left out."""
    found = [item for item in expand_sources([spec]) if not _is_result(item.spec, out)]
    has_video = any(isinstance(item, SourceItem) and item.kind == "file" for item in found)
    if not found:
        yield FailedSource(spec, SourceNotFound(f"{spec}: only results of an earlier run; name a video"))
    for item in found:
        if isinstance(item, FailedSource) or item.kind == "file":
            yield item
        elif item.kind != "image_folder" or not has_video:
            yield FailedSource(item.spec, _refusal(item))


def _refusal(item: SourceItem) -> SourceError:
    return UnsupportedVideo(f"{item.url or item.spec}: matte takes video files, and {REFUSED[item.kind]}")


def _is_result(spec: str, out: Path) -> bool:
    """Return whether a path lies in the folder of a matte in `out`."""
    out = out.resolve()
    return any(
        parent.is_relative_to(out) and (parent / "identity.json").is_file() for parent in Path(spec).parents
    )


def _folder_name(video: Path, out: Path, taken: set[str]) -> str:
    """Return a name that every system accepts, that no other video has, and that is no file in `out`."""
    stem = _UNSAFE.sub("_", video.stem).strip(". ") or "video"
    stem = stem.encode("utf-8", "replace")[:NAME_BYTES].decode("utf-8", "ignore").rstrip(". ")
    name, number = stem, 2
    while name.casefold() in taken or (out / name).is_file():
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return name


if __name__ == "__main__":
    matte_videos.serve("matte-videos")
