"""Expansion of the sources that a user typed into single sources."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr

from configs.environment import all_variables
from configs.errors import NotAVideo, SourceError, SourceNotFound, SourcePrivate, UnsupportedVideo
from labeling.sources.file_types import (
    LIST_SUFFIXES,
    UNREAD_LIST_SUFFIXES,
    is_archive_name,
    is_image_name,
    suffix_of,
)
from labeling.sources.folders import PATTERN, find_in_folder, find_matches
from labeling.sources.lists import ListRow, read_list
from labeling.sources.passed_over import PassedOverCounter
from labeling.sources.source import FailedSource, SourceItem
from labeling.sources.url_policy import (
    CAMERA_PREFIX,
    CAMERA_SCHEMES,
    PAGE_SCHEMES,
    check_url,
    fill_secrets,
    name_source,
    redact_text,
    redact_url,
    url_scheme,
)

DEVICE_PREFIX = "/dev/video"
MEMBER_SEPARATOR = "!"
MAX_LIST_DEPTH = 3
"""Lists within lists."""

Expanded = Iterator[SourceItem | FailedSource]


@dataclass(frozen=True, slots=True)
class _Context:
    """Where a spec is written, and how it is read there."""

    folder: Path
    environment: Mapping[str, str]
    lists: tuple[Path, ...] = ()
    allow_link_local: bool = False
    passed_over: PassedOverCounter = field(default_factory=PassedOverCounter)


def expand_sources(
    specs: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    allow_link_local: bool = False,
    passed_over: PassedOverCounter | None = None,
) -> Expanded:
    """Yield the single sources that a user's specs name, each once and in order; opens no video, asks no server.

    A spec is a video file, a folder (with all below it), a pattern (`~`, `*`, `**`), an archive, one
    `archive.zip!member.mp4`, a list (.txt, .csv), a page's URL, a camera's URL or device, or `camera:` before a
    camera's http URL. Relative paths start at `folder` (None: the current one). A `$NAME` in place of a password or
    token is looked up in `environment` (None: this process's). A spec that cannot be expanded is yielded as a
    FailedSource; what folders and lists hold beside sources is counted in `passed_over`. Link-local and metadata
    addresses are refused unless allowed; private ones are fine.
    """
    variables = all_variables() if environment is None else environment
    context = _Context(
        folder or Path.cwd(),
        variables,
        allow_link_local=allow_link_local,
        passed_over=passed_over or PassedOverCounter(),
    )
    seen: set[tuple[str, str]] = set()
    for spec in specs:
        for found in _expand(spec, context):
            detail = found.connect_url if isinstance(found, SourceItem) else str(found.error)
            if (found.spec, detail) not in seen:
                seen.add((found.spec, detail))
                yield found


def is_missing_path(spec: str) -> bool:
    """Return whether a spec is a path at which nothing exists; False for URLs, devices and patterns."""
    spec = spec.strip()
    is_plain = not (url_scheme(spec) or spec.startswith(DEVICE_PREFIX) or PATTERN.search(spec))
    return is_plain and not os.path.lexists(os.path.expanduser(spec)) and split_member(spec) is None  # noqa: PTH111  # Path.expanduser raises for an unknown user


def split_member(spec: str) -> tuple[Path, str] | None:
    """Return the two parts of `archive.zip!member.mp4` if the archive exists."""
    for match in re.finditer(re.escape(MEMBER_SEPARATOR), spec):
        archive, member = Path(spec[: match.start()]), spec[match.end() :]
        if member and is_archive_name(archive.name) and archive.is_file():
            return archive, member
    return None


def _expand(spec: str, context: _Context) -> Expanded:
    """Expand one spec; any error becomes its failure."""
    shown = _shown(spec, context)
    try:
        yield from _expand_any(spec.strip(), context)
    except SourceError as exc:
        yield FailedSource(shown, exc)
    except (OSError, ValueError, RuntimeError) as exc:  # a NUL in a path; an unknown user after `~`
        yield FailedSource(shown, _unreadable(shown, exc))


def _shown(spec: str, context: _Context) -> str:
    """Return the name of a failed spec; a path in a list becomes absolute, so that it can be used elsewhere."""
    is_path = not (spec.startswith((CAMERA_PREFIX, DEVICE_PREFIX, "~")) or _is_url(spec, context))
    return name_source(str(context.folder / spec) if context.lists and is_path else spec)


def _unreadable(shown: str, exc: Exception) -> SourceError:
    if isinstance(exc, PermissionError):
        error: SourceError = SourcePrivate(f"{shown!r}: no permission to read it; change its permissions")
    else:
        error = SourceNotFound(f"{shown!r}: cannot be read ({exc}); check the spelling")
    error.__cause__ = exc
    return error


def _expand_any(spec: str, context: _Context) -> Expanded:
    if not spec:
        raise SourceNotFound("an empty source; write a path or a URL")
    if spec.startswith(CAMERA_PREFIX):
        yield _camera(spec.removeprefix(CAMERA_PREFIX), context, prefix=CAMERA_PREFIX)
    elif spec.startswith(DEVICE_PREFIX):
        yield SourceItem(spec, "camera", url=spec)
    elif not _is_url(spec, context):
        yield from _expand_path(spec, context)
    elif url_scheme(spec) in CAMERA_SCHEMES:
        yield _camera(spec, context)
    else:
        yield SourceItem(spec, "url", url=redact_url(spec), address=_address(spec, context))


def _is_url(spec: str, context: _Context) -> bool:
    """Return whether a spec has `scheme://`, or `scheme:` and is no existing file. One letter is a drive."""
    scheme = url_scheme(spec)
    if scheme is None or len(scheme) == 1:
        return False
    return "://" in spec or not os.path.lexists(context.folder / spec)


def _camera(url: str, context: _Context, *, prefix: str = "") -> SourceItem:
    if url.startswith(DEVICE_PREFIX):
        return SourceItem(url, "camera", url=url)
    address = _address(url, context)
    spec = (prefix if url_scheme(url) in PAGE_SCHEMES else "") + url
    return SourceItem(spec, "camera", url=redact_url(url), address=address)


def _address(url: str, context: _Context) -> SecretStr:
    check_url(url, allow_link_local=context.allow_link_local)
    return SecretStr(fill_secrets(url, context.environment))


def _expand_path(spec: str, context: _Context) -> Expanded:
    path = context.folder / Path(spec).expanduser()
    if path.is_dir():
        yield from find_in_folder(path, context.passed_over)
    elif path.is_file():
        yield from _expand_file(path, context)
    elif os.path.lexists(path) and path.exists():
        raise UnsupportedVideo(f"{path}: neither a file nor a folder; a device is written /dev/video0")
    elif member := split_member(str(path)):
        archive, name = member
        yield SourceItem(f"{_canonical(archive)}{MEMBER_SEPARATOR}{name}", "archive_member")
    elif PATTERN.search(spec):
        yield from _expand_pattern(path, context)
    else:
        raise SourceNotFound(f"{path}: no such file or folder; check the spelling")


def _expand_file(path: Path, context: _Context) -> Expanded:
    if is_archive_name(path.name):
        yield SourceItem(str(_canonical(path)), "archive")
    elif suffix_of(path.name) in LIST_SUFFIXES:
        yield from _expand_list(path, context)
    elif suffix_of(path.name) in UNREAD_LIST_SUFFIXES:
        raise UnsupportedVideo(
            f"{path}: neither a video nor a list that is read: write the sources into a .txt file, one per line, or a .csv table"
        )
    elif is_image_name(path.name):
        raise NotAVideo(
            f"{path}: a single image; name its folder, or a pattern such as {path.parent}/*{path.suffix}"
        )
    else:
        yield SourceItem(str(_canonical(path)), "file")


def _expand_pattern(path: Path, context: _Context) -> Expanded:
    matches = find_matches(path)
    yield from matches.image_folders
    for file in matches.files:
        try:
            yield from _expand_file(file, context)
        except SourceError as exc:
            yield FailedSource(str(file), exc)
    for folder in matches.folders:
        yield from find_in_folder(folder, context.passed_over)


def _expand_list(path: Path, context: _Context) -> Expanded:
    """Expand each row of a list; its metadata is kept with each source of the row."""
    real = path.resolve()
    if real in context.lists:
        raise UnsupportedVideo(f"{path}: the list names itself; remove that line")
    if len(context.lists) >= MAX_LIST_DEPTH:
        raise UnsupportedVideo(f"{path}: lists within lists more than {MAX_LIST_DEPTH} deep; join them")
    inside = replace(context, folder=path.parent.resolve(), lists=(*context.lists, real))
    for row in read_list(path, context.passed_over):
        for found in _expand(row.spec, inside):
            yield replace(
                found if isinstance(found, SourceItem) else _located(found, row, path),
                title=row.title or found.title,
                uploader=row.uploader or found.uploader,
                license=row.license or found.license,
            )


def _located(failure: FailedSource, row: ListRow, path: Path) -> FailedSource:
    error = type(failure.error)(redact_text(f"{path.name}, line {row.line}: {failure.error}"))
    error.__cause__ = failure.error.__cause__
    return replace(failure, error=error)


def _canonical(path: Path) -> Path:
    """Return one path for a file: its real folder, but its own name, which may be a link's."""
    return path.parent.resolve() / path.name
