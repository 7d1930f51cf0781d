"""Extraction of videos and images from archives that may be hostile."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from configs.errors import SourceError, SourceNotFound, UnsafeArchive
from configs.models import Ingest
from labeling.sources.archive_reader import Budget, Member, open_members
from labeling.sources.content_store import move_into_store, staging
from labeling.sources.file_types import (
    is_image_name,
    is_packed_name,
    is_system_folder,
    is_video_name,
    natural_order,
    suffix_of,
)
from labeling.sources.passed_over import PassedOverCounter
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from labeling.storage.atomic import storage_errors

_DRIVE = re.compile(r"^[A-Za-z]:")
_REFUSED_KINDS = {
    "link": "a link, which could point anywhere",
    "device": "a device, not a file",
}
_UNREADABLE_KINDS = {
    "encrypted": "encrypted; unpack the archive yourself",
    "method": "its compression method is not supported; unpack the archive yourself",
    "sparse": "a sparse file, whose size differs from its stored bytes; unpack the archive yourself",
}


@dataclass(frozen=True, slots=True)
class _Extracted:
    """One member's file in the staging folder."""

    name: str
    path: Path
    sha256: str

    def move_into(self, folder: Path) -> Path:
        return move_into_store(self.path, folder, suffix=suffix_of(self.name), sha256=self.sha256)


@dataclass(slots=True)
class _ExtractedMembers:
    """The members of an archive so far: extracted ones and refused ones."""

    files: list[_Extracted] = field(default_factory=list)
    refused: list[tuple[str, SourceError]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Files that are neither videos nor images."""
    stopped_by: SourceError | None = None
    """Ended the extraction early: damage, never a bomb."""


def fetch_archive(
    source: SourceItem, folder: Path, ingest: Ingest, passed_over: PassedOverCounter | None = None
) -> Iterator[FetchedSource | FailedSource]:
    """Unpack an archive's videos, and its images grouped by folder, into `folder`.

    A member is refused if it could escape (`..`, an absolute path, a link, a device), is encrypted, has the name of
    an earlier one or is itself an archive; the others are extracted. A bomb refuses the whole archive and nothing of
    it is kept. Members before a damaged part are kept.

    Raises:
        UnsafeArchive: a bomb.
        SourceNotFound: no such archive, or no video in it.
        NotAVideo, UnsupportedVideo: not an archive, or an unsupported kind.
    """
    archive, counter = Path(source.spec), passed_over or PassedOverCounter()
    with staging(folder) as here:
        members = _extract(archive, here, ingest, is_requested=_is_visible_media)
        for name in members.others:
            counter.add_file(source.spec, name)
        for name, error in members.refused:
            yield FailedSource.of(_member_item(source, archive, name), error)
        if members.stopped_by and not members.files:
            raise members.stopped_by
        yield from _store(source, archive, members.files, folder)
    if members.stopped_by:
        yield FailedSource.of(source, members.stopped_by)
    elif not members.files and not members.refused:
        raise SourceNotFound(f"{archive}: no video and no image in this archive")


def fetch_member(
    source: SourceItem, archive: Path, name: str, folder: Path, ingest: Ingest
) -> Iterator[FetchedSource | FailedSource]:
    """Unpack one member, or all images in the folder `name/`, with the rules and errors of `fetch_archive`."""

    def is_requested(member: str) -> bool:
        return member == name or (
            name.endswith("/") and str(PurePosixPath(member).parent) == name.rstrip("/")
        )

    with staging(folder) as here:
        members = _extract(archive, here, ingest, is_requested=is_requested)
        for refused, error in members.refused:
            if is_requested(refused):
                raise error
        if not members.files:
            raise members.stopped_by or SourceNotFound(
                f"{archive}: no member {name!r}; names are case-sensitive"
            )
        yield from _store(source, archive, members.files, folder)


def _extract(
    archive: Path, here: Path, ingest: Ingest, *, is_requested: Callable[[str], bool]
) -> _ExtractedMembers:
    members, seen = _ExtractedMembers(), set[str]()
    budget = Budget(archive, max_bytes=ingest.max_archive_bytes, max_ratio=ingest.max_archive_ratio)
    try:
        with open_members(archive, budget) as entries:
            for entry in entries:
                reason = _reason_to_refuse(entry, seen)
                if is_requested(entry.name):
                    reason = reason or _UNREADABLE_KINDS.get(entry.kind)
                if reason:
                    error = UnsafeArchive(f"{archive}!{entry.name!r}: {reason}")
                    members.refused.append((entry.name, error))
                elif entry.kind == "file" and is_requested(entry.name):
                    members.files.append(_stage(entry, here / str(len(members.files))))
                elif entry.kind == "file" and _is_visible(entry.name):
                    members.others.append(entry.name)
    except UnsafeArchive:
        raise
    except SourceError as exc:
        members.stopped_by = exc
    return members


def _stage(member: Member, path: Path) -> _Extracted:
    digest = hashlib.sha256()
    with storage_errors(path):
        file = path.open("xb")
    with file:
        for content in member.read():
            digest.update(content)
            with storage_errors(path):
                file.write(content)
    return _Extracted(member.name, path, digest.hexdigest())


def _store(
    source: SourceItem, archive: Path, files: list[_Extracted], folder: Path
) -> Iterator[FetchedSource]:
    """Move extracted files into the store: first each video, then each folder's images."""
    images: dict[str, list[_Extracted]] = {}
    for file in files:
        if is_image_name(file.name):
            images.setdefault(str(PurePosixPath(file.name).parent), []).append(file)
        else:
            yield FetchedSource(_member_item(source, archive, file.name), file.move_into(folder))
    for parent, group in images.items():
        group.sort(key=lambda file: natural_order(file.name))
        yield FetchedSource(
            _member_item(source, archive, f"{parent}/"),
            images=tuple(file.move_into(folder) for file in group),
            image_names=tuple(PurePosixPath(file.name).name for file in group),
        )


def _member_item(source: SourceItem, archive: Path, name: str) -> SourceItem:
    return replace(source, spec=f"{archive}!{name}", kind="archive_member")


def _is_visible_media(name: str) -> bool:
    return _is_visible(name) and (is_video_name(name) or is_image_name(name))


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or is_system_folder(part) for part in PurePosixPath(name).parts)


def _reason_to_refuse(member: Member, seen: set[str]) -> str | None:
    """Return why a member is reported and not extracted; None for harmless ones."""
    name = member.name
    if any(not c.isprintable() for c in name):
        return "its name holds control characters"
    if name.startswith(("/", "\\")) or _DRIVE.match(name) or ".." in re.split(r"[/\\]", name):
        return "its name points out of the archive"
    if member.kind in _REFUSED_KINDS:
        return _REFUSED_KINDS[member.kind]
    if member.kind == "file" and name in seen:
        return "an earlier member has the same name"
    seen.add(name)
    if member.kind == "file" and is_packed_name(name):
        return "an archive within an archive is not opened; unpack it and name it as a source"
    return None
