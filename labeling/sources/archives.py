"""Videos and images out of archives that may be hostile."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from configs.models import Ingest
from labeling.errors import SourceError, SourceNotFound, UnsafeArchive
from labeling.sources.archive_reader import Budget, Member, open_members
from labeling.sources.content_store import move_into_store, staging
from labeling.sources.file_types import (
    is_image_name,
    is_packed_name,
    is_video_name,
    natural_order,
    suffix_of,
)
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.storage.atomic import storage_errors

_DRIVE = re.compile(r"^[A-Za-z]:")
_IGNORED_FOLDERS = frozenset({"__MACOSX"})
_REFUSED_KINDS = {
    "link": "a link, which could point anywhere",
    "device": "a device, not a file",
}
_UNREADABLE_KINDS = {
    "encrypted": "encrypted; unpack the archive yourself",
    "method": "packed by a method that is not read here; unpack the archive yourself",
    "sparse": "a sparse file, whose size is not that of its bytes; unpack the archive yourself",
}


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """One member's bytes in the staging folder."""

    name: str
    path: Path
    sha256: str


@dataclass(slots=True)
class _ExtractedMembers:
    """What came out of an archive so far."""

    unpacked: list[_Unpacked] = field(default_factory=list)
    refused: list[tuple[str, SourceError]] = field(default_factory=list)


def fetch_archive(origin: SourceItem, folder: Path, ingest: Ingest) -> Iterator[FetchedSource | FailedSource]:
    """Unpack an archive's videos, and its images together per folder, into `folder`.

    A member that could escape (`..`, an absolute path, a link, a device), that is encrypted, named
    twice or itself an archive is refused, and the others go on. A bomb refuses the archive: nothing
    of it is kept. What came before damage is kept.

    Raises:
        UnsafeArchive: a bomb.
        SourceNotFound: no such archive, or no video in it.
        NotAVideo, UnsupportedVideo: not an archive, or one that cannot be read.
    """
    archive = Path(origin.spec)
    with staging(folder) as here:
        harvest, broken = _unpack(archive, here, ingest, is_wanted=_is_wanted)
        for name, error in harvest.refused:
            yield FailedSource.of(_member_origin(origin, archive, name), error)
        if broken and not harvest.unpacked:
            raise broken
        yield from _keep(origin, archive, harvest, folder)
    if broken:
        yield FailedSource.of(origin, broken)
    elif not harvest.unpacked and not harvest.refused:
        raise SourceNotFound(f"{archive}: no video and no image in this archive")


def fetch_member(
    origin: SourceItem, archive: Path, name: str, folder: Path, ingest: Ingest
) -> Iterator[FetchedSource | FailedSource]:
    """Unpack one member, or all images below `name/`, as `fetch_archive` does.

    Raises:
        SourceNotFound: no such member; and what `fetch_archive` raises.
    """

    def is_wanted(member: str) -> bool:
        return member == name or (
            name.endswith("/") and str(PurePosixPath(member).parent) == name.rstrip("/")
        )

    with staging(folder) as here:
        harvest, broken = _unpack(archive, here, ingest, is_wanted=is_wanted)
        for refused, error in harvest.refused:
            if is_wanted(refused):
                raise error
        if not harvest.unpacked:
            raise broken or SourceNotFound(f"{archive}: no member {name!r}; names are case-sensitive")
        yield from _keep(origin, archive, harvest, folder)


def _unpack(
    archive: Path, here: Path, ingest: Ingest, *, is_wanted: Callable[[str], bool]
) -> tuple[_ExtractedMembers, SourceError | None]:
    """Unpack wanted members into `here`; also gives what ended it early, unless that was a bomb."""
    harvest, seen = _ExtractedMembers(), set[str]()
    budget = Budget(archive, max_bytes=ingest.max_archive_bytes, max_ratio=ingest.max_archive_ratio)
    try:
        with open_members(archive, budget) as members:
            for member in members:
                reason = _reason_to_refuse(member, seen)
                if is_wanted(member.name):
                    reason = reason or _UNREADABLE_KINDS.get(member.kind)
                if reason:
                    harvest.refused.append(
                        (member.name, UnsafeArchive(f"{archive}!{member.name!r}: {reason}"))
                    )
                elif member.kind == "file" and is_wanted(member.name):
                    harvest.unpacked.append(_stage(member, here / str(len(harvest.unpacked))))
    except UnsafeArchive:
        raise
    except SourceError as exc:
        return harvest, exc
    return harvest, None


def _stage(member: Member, path: Path) -> _Unpacked:
    digest = hashlib.sha256()
    with storage_errors(path):
        file = path.open("xb")
    with file:
        for content in member.read():
            digest.update(content)
            with storage_errors(path):
                file.write(content)
    return _Unpacked(member.name, path, digest.hexdigest())


def _keep(
    origin: SourceItem, archive: Path, harvest: _ExtractedMembers, folder: Path
) -> Iterator[FetchedSource]:
    """Move what was unpacked into place: each video, then each folder's images."""
    images: dict[str, list[_Unpacked]] = {}
    for one in harvest.unpacked:
        if is_image_name(one.name):
            images.setdefault(str(PurePosixPath(one.name).parent), []).append(one)
        else:
            yield FetchedSource(_member_origin(origin, archive, one.name), _adopt(one, folder))
    for parent, group in images.items():
        group.sort(key=lambda one: natural_order(one.name))
        yield FetchedSource(
            _member_origin(origin, archive, f"{parent}/"),
            images=tuple(_adopt(one, folder) for one in group),
            image_names=tuple(PurePosixPath(one.name).name for one in group),
        )


def _adopt(one: _Unpacked, folder: Path) -> Path:
    return move_into_store(one.path, folder, suffix=suffix_of(one.name), sha256=one.sha256)


def _member_origin(origin: SourceItem, archive: Path, name: str) -> SourceItem:
    return replace(origin, spec=f"{archive}!{name}", kind="archive_member")


def _is_wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part in _IGNORED_FOLDERS for part in parts)
    return not hidden and (is_video_name(name) or is_image_name(name))


def _reason_to_refuse(member: Member, seen: set[str]) -> str | None:
    """Why this member is not unpacked although somebody may want it; None for harmless ones."""
    name = member.name
    if any(not c.isprintable() for c in name):
        return "its name holds control characters"
    if name.startswith(("/", "\\")) or _DRIVE.match(name) or ".." in re.split(r"[/\\]", name):
        return "its name points out of the archive"
    if member.kind in _REFUSED_KINDS:
        return _REFUSED_KINDS[member.kind]
    if member.kind == "file" and name in seen:
        return "there are two members of that name"
    seen.add(name)
    if member.kind == "file" and is_packed_name(name):
        return "an archive within an archive is not opened; unpack it and name it as a source"
    return None
