"""From what a user typed to single origins."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from labeling.errors import NotAVideo, SourceError, SourceNotFound, SourcePrivate, UnsupportedVideo
from labeling.sources.file_types import LIST_SUFFIXES, is_archive_name, is_image_name, suffix_of
from labeling.sources.folders import find_in_folder, find_matches
from labeling.sources.lists import ListRow, read_list
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

_PATTERN = re.compile(r"[*?\[]")

Expanded = Iterator[SourceItem | FailedSource]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a spec was written."""

    folder: Path
    environment: Mapping[str, str]
    lists: tuple[Path, ...] = ()
    allow_link_local: bool = False


def expand_sources(
    specs: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    allow_link_local: bool = False,
) -> Expanded:
    """Turn what a user typed into single origins, each once, in order; opens no video, asks no server.

    A spec is a video file, a folder (with all below it), a pattern (`~`, `*`, `**`), an archive, one
    `archive.zip!member.mp4`, a list (.txt, .csv), a URL of a page, a camera's URL or device, or
    `camera:` before the http URL of one. Relative paths count from `folder` (None: where we are);
    a `$NAME` in place of a password or token is looked up in `environment` (None: this process's).
    What cannot be expanded comes out as a FailedOrigin and the rest goes on. Private and loopback
    addresses are fine; link-local and metadata ones are refused unless allowed.
    """
    variables = os.environ if environment is None else environment
    place = _Place(folder or Path.cwd(), variables, allow_link_local=allow_link_local)
    seen: set[object] = set()
    for spec in specs:
        for found in _expand(spec, place):
            identity = (found.spec, found.connect_url) if isinstance(found, SourceItem) else _said(found)
            if identity not in seen:
                seen.add(identity)
                yield found


def is_missing_path(spec: str) -> bool:
    """Whether a spec is a path where nothing is; False for what asks a server or is a pattern."""
    spec = spec.strip()
    is_plain = not (url_scheme(spec) or spec.startswith(DEVICE_PREFIX) or _PATTERN.search(spec))
    return is_plain and not os.path.lexists(os.path.expanduser(spec)) and split_member(spec) is None  # noqa: PTH111  # raises for no user, whatever the path


def split_member(spec: str) -> tuple[Path, str] | None:
    """`archive.zip!member.mp4` as its two parts, if there is such an archive."""
    for match in re.finditer(re.escape(MEMBER_SEPARATOR), spec):
        archive, member = Path(spec[: match.start()]), spec[match.end() :]
        if member and is_archive_name(archive.name) and archive.is_file():
            return archive, member
    return None


def _said(failure: FailedSource) -> tuple[str, str]:
    return failure.spec, str(failure.error)


def _expand(spec: str, place: _Place) -> Expanded:
    """Expand one spec; whatever is wrong with it becomes its failure."""
    shown = _shown(spec, place)
    try:
        yield from _expand_any(spec.strip(), place)
    except SourceError as exc:
        yield FailedSource(shown, exc)
    except (OSError, ValueError, RuntimeError) as exc:  # a NUL in a path; `~nobody`
        yield FailedSource(shown, _unreadable(shown, exc))


def _shown(spec: str, place: _Place) -> str:
    """What its failure is called: a row of a list by a name that means the same outside of the list."""
    is_path = not (spec.startswith((CAMERA_PREFIX, DEVICE_PREFIX, "~")) or _is_url(spec, place))
    return name_source(str(place.folder / spec) if place.lists and is_path else spec)


def _unreadable(shown: str, exc: Exception) -> SourceError:
    if isinstance(exc, PermissionError):
        error: SourceError = SourcePrivate(f"{shown!r}: not allowed to read it; change its permissions")
    else:
        error = SourceNotFound(f"{shown!r}: cannot be read ({exc}); check the spelling")
    error.__cause__ = exc
    return error


def _expand_any(spec: str, place: _Place) -> Expanded:
    if not spec:
        raise SourceNotFound("an empty source; write a path or a URL")
    if spec.startswith(CAMERA_PREFIX):
        yield _camera(spec.removeprefix(CAMERA_PREFIX), place, prefix=CAMERA_PREFIX)
    elif spec.startswith(DEVICE_PREFIX):
        yield SourceItem(spec, "camera", url=spec)
    elif _is_url(spec, place):
        yield _camera(spec, place) if url_scheme(spec) in CAMERA_SCHEMES else _page(spec, place)
    else:
        yield from _expand_path(spec, place)


def _is_url(spec: str, place: _Place) -> bool:
    """`scheme://`, or `scheme:` where no file has that name. One letter is a drive."""
    scheme = url_scheme(spec)
    if scheme is None or len(scheme) == 1:
        return False
    return "://" in spec or not os.path.lexists(place.folder / spec)


def _page(url: str, place: _Place) -> SourceItem:
    return SourceItem(url, "url", url=redact_url(url), address=_address(url, place))


def _camera(url: str, place: _Place, *, prefix: str = "") -> SourceItem:
    if url.startswith(DEVICE_PREFIX):
        return SourceItem(url, "camera", url=url)
    address = _address(url, place)
    spec = (prefix if url_scheme(url) in PAGE_SCHEMES else "") + url
    return SourceItem(spec, "camera", url=redact_url(url), address=address)


def _address(url: str, place: _Place) -> SecretStr:
    check_url(url, allow_link_local=place.allow_link_local)
    return SecretStr(fill_secrets(url, place.environment))


def _expand_path(spec: str, place: _Place) -> Expanded:
    path = place.folder / Path(spec).expanduser()
    if path.is_dir():
        yield from find_in_folder(path)
    elif path.is_file():
        yield from _expand_file(path, place)
    elif os.path.lexists(path) and path.exists():
        raise UnsupportedVideo(f"{path}: neither a file nor a folder; a device is written /dev/video0")
    elif member := split_member(str(path)):
        archive, name = member
        yield SourceItem(f"{_named(archive)}{MEMBER_SEPARATOR}{name}", "archive_member")
    elif _PATTERN.search(spec):
        yield from _expand_pattern(path, place)
    else:
        raise SourceNotFound(f"{path}: no such file or folder; check the spelling")


def _expand_file(path: Path, place: _Place) -> Expanded:
    if is_archive_name(path.name):
        yield SourceItem(str(_named(path)), "archive")
    elif suffix_of(path.name) in LIST_SUFFIXES:
        yield from _expand_list(path, place)
    elif is_image_name(path.name):
        raise NotAVideo(f"{path}: a single image; give its folder, or a pattern such as {path.parent}/*")
    else:
        yield SourceItem(str(_named(path)), "file")


def _expand_pattern(path: Path, place: _Place) -> Expanded:
    matches = find_matches(path)
    yield from matches.image_folders
    for file in matches.files:
        yield from _expand_match(file, place)
    for folder in matches.folders:
        yield from find_in_folder(folder)


def _expand_match(file: Path, place: _Place) -> Expanded:
    try:
        yield from _expand_file(file, place)
    except SourceError as exc:
        yield FailedSource(str(file), exc)


def _expand_list(path: Path, place: _Place) -> Expanded:
    """Expand each row; what the table says about a row is kept with each origin of it."""
    real = path.resolve()
    if real in place.lists:
        raise UnsupportedVideo(f"{path}: the list names itself; remove that line")
    if len(place.lists) >= MAX_LIST_DEPTH:
        raise UnsupportedVideo(f"{path}: lists within lists more than {MAX_LIST_DEPTH} deep; join them")
    inside = replace(place, folder=path.parent.resolve(), lists=(*place.lists, real))
    for row in read_list(path):
        for found in _expand(row.spec, inside):
            yield _described(found if isinstance(found, SourceItem) else _located(found, row, path), row)


def _described(found: SourceItem | FailedSource, row: ListRow) -> SourceItem | FailedSource:
    return replace(
        found,
        title=row.title or found.title,
        uploader=row.uploader or found.uploader,
        license=row.license or found.license,
    )


def _located(failure: FailedSource, row: ListRow, path: Path) -> FailedSource:
    error = type(failure.error)(redact_text(f"{path.name}, line {row.line}: {failure.error}"))
    error.__cause__ = failure.error.__cause__
    return replace(failure, error=error)


def _named(path: Path) -> Path:
    """The same file under one name: a resolved folder, but the file's own name, which may be a link's."""
    return path.parent.resolve() / path.name
