"""Members of zip and tar archives, one after the other, within a budget of bytes.

Nothing that an archive says about itself is believed: sizes are those of bytes read and unpacked,
and names are labels, never paths.
"""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from labeling.errors import (
    NotAVideo,
    SourceNotFound,
    SourcePrivate,
    TruncatedVideo,
    UnsafeArchive,
    UnsupportedVideo,
)
from labeling.sources.content_store import CHUNK_BYTES

MAX_MEMBERS = 1_000_000
MAX_HEADER_BYTES = 4 << 20
"""No tar header (a long name, a set of attributes) is longer."""
RATIO_SLACK_BYTES = 64 << 10
"""Packed bytes that are read ahead of the member they belong to; added before ratios are taken."""

_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""With others the library unpacks all that it read at once: 4 KiB of bzip2 became 400 MB in memory."""
_END_OF_TAR = bytes(tarfile.BLOCKSIZE)

MemberKind = Literal["file", "folder", "link", "device", "encrypted", "sparse", "method"]

_DAMAGED = (
    zlib.error, lzma.LZMAError, EOFError, zipfile.BadZipFile, tarfile.TarError, struct.error, ValueError, OSError,
)  # fmt: skip
_TAR_OPENERS: dict[tuple[str, ...], Callable[[IO[bytes]], IO[bytes]]] = {
    (".tar",): lambda file: file,
    (".tar.gz", ".tgz"): lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file)),
    (".tar.bz2", ".tbz2"): bz2.BZ2File,
    (".tar.xz", ".txz"): lzma.LZMAFile,
}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive."""

    name: str
    kind: MemberKind
    read: Callable[[], Iterator[bytes]]
    """Gives its bytes in pieces; only before the next member is asked for."""


class Budget:
    """Counts packed bytes read and bytes unpacked, and says when it is a bomb."""

    def __init__(self, archive: Path, *, max_bytes: int, max_ratio: float) -> None:
        self._archive = archive
        self._max_bytes, self._max_ratio = max_bytes, max_ratio
        self._packed = self._unpacked = 0
        self._begin = (0, 0)

    def begin_member(self) -> None:
        self._begin = (self._packed, self._unpacked)

    def read(self, count: int) -> None:
        self._packed += count

    def unpack(self, count: int) -> None:
        """Take note of unpacked bytes.

        Raises:
            UnsafeArchive: more than allowed, in all or for so few packed ones.
        """
        self._unpacked += count
        packed, unpacked = self._packed - self._begin[0], self._unpacked - self._begin[1]
        if self._unpacked > self._max_bytes:
            raise UnsafeArchive(
                f"{self._archive}: unpacks to more than {self._max_bytes} bytes; "
                "raise ingest.max_archive_bytes if you trust it"
            )
        if unpacked > self._max_ratio * (packed + RATIO_SLACK_BYTES):
            raise UnsafeArchive(
                f"{self._archive}: {packed} packed bytes became {unpacked}, more than {self._max_ratio:g} times as "
                "many; raise ingest.max_archive_ratio if you trust it"
            )


@contextmanager
def open_members(archive: Path, budget: Budget) -> Iterator[Iterator[Member]]:
    """Give an archive's members in the order in which they lie there.

    Raises:
        SourceNotFound, NotAVideo, TruncatedVideo, UnsupportedVideo, UnsafeArchive: what is wrong with
            the archive, on opening or later inside the block.
    """
    with ExitStack() as stack, archive_errors(archive):
        packed = cast(IO[bytes], _PackedFile(stack.enter_context(archive.open("rb")), budget))
        if archive.name.lower().endswith(".zip"):
            yield _zip_members(stack.enter_context(_open_zip(archive, packed)), budget)
        else:
            unpacked = _UnpackedTar(_opener_of(archive)(packed), budget, archive)
            yield _tar_members(stack.enter_context(_open_tar(archive, unpacked)), unpacked)


@contextmanager
def archive_errors(archive: Path) -> Iterator[None]:
    """Turn what the standard library says about damaged archives into our errors."""
    try:
        yield
    except FileNotFoundError as exc:
        raise SourceNotFound(f"{archive}: no such archive") from exc
    except PermissionError as exc:
        raise SourcePrivate(f"{archive}: not allowed to read it; change its permissions") from exc
    except _DAMAGED as exc:
        raise TruncatedVideo(
            f"{archive}: the archive is damaged or incomplete ({exc}); get it again"
        ) from exc
    except NotImplementedError as exc:
        raise UnsupportedVideo(f"{archive}: cannot be unpacked here ({exc}); unpack it yourself") from exc


class _PackedFile(io.RawIOBase):
    """An archive's own bytes, counted."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._file, self._budget = file, budget

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(size)
        self._budget.read(len(content))
        return content

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _UnpackedTar(io.RawIOBase):
    """A tar's unpacked bytes, counted; goes forward only, so that nothing is unpacked twice."""

    def __init__(self, file: IO[bytes], budget: Budget, archive: Path) -> None:
        self._file, self._budget, self._archive = file, budget, archive
        self._at = 0
        self._last_block = b""

    def begin_member(self) -> None:
        self._budget.begin_member()

    def check_end(self) -> None:
        """The library takes a broken header for the end; a whole archive ends in a block of zeros."""
        if self._last_block != _END_OF_TAR:
            raise EOFError("no end mark")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._at:
            raise UnsafeArchive(f"{self._archive}: its members overlap")
        while self._at < offset:
            if not self.read(min(offset - self._at, MAX_HEADER_BYTES)):
                raise EOFError("the bytes end inside a member")
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise UnsafeArchive(f"{self._archive}: a header of {size} bytes")
        content = self._file.read(size)
        self._at += len(content)
        self._last_block = content
        self._budget.unpack(len(content))
        return content


def _open_zip(archive: Path, packed: IO[bytes]) -> zipfile.ZipFile:
    signature = packed.read(4)
    packed.seek(0)
    if signature[:2] != b"PK":
        raise NotAVideo(f"{archive}: begins with {signature!r}, which no zip archive does")
    opened = zipfile.ZipFile(packed)
    if len(opened.infolist()) > MAX_MEMBERS:
        raise UnsafeArchive(f"{archive}: more than {MAX_MEMBERS} members")
    return opened


def _zip_members(archive: zipfile.ZipFile, budget: Budget) -> Iterator[Member]:
    for entry in archive.infolist():

        def read(entry: zipfile.ZipInfo = entry) -> Iterator[bytes]:
            with archive.open(entry) as file:
                while content := file.read(CHUNK_BYTES):
                    budget.unpack(len(content))
                    yield content

        budget.begin_member()
        yield Member(entry.orig_filename, _zip_kind(entry), read)


def _zip_kind(entry: zipfile.ZipInfo) -> MemberKind:
    mode = entry.external_attr >> 16
    if entry.flag_bits & 0x1:
        return "encrypted"
    if entry.is_dir():
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "device"
    return "file" if entry.compress_type in _ZIP_METHODS else "method"


def _opener_of(archive: Path) -> Callable[[IO[bytes]], IO[bytes]]:
    name = archive.name.lower()
    opener = next((opener for ends, opener in _TAR_OPENERS.items() if name.endswith(ends)), None)
    if opener is None:
        raise UnsupportedVideo(f"{archive}: this kind of archive cannot be read here; unpack it yourself")
    return opener


def _open_tar(archive: Path, unpacked: _UnpackedTar) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=unpacked, mode="r:")
    except (lzma.LZMAError, OSError, tarfile.ReadError) as exc:
        raise NotAVideo(f"{archive}: not the archive that its name says ({exc})") from exc


def _tar_members(archive: tarfile.TarFile, unpacked: _UnpackedTar) -> Iterator[Member]:
    count = 0
    while entry := archive.next():
        archive.members.clear()  # type: ignore[attr-defined]  # the library keeps them all, for a random access that is not wanted
        count += 1
        if count > MAX_MEMBERS:
            raise UnsafeArchive(f"an archive with more than {MAX_MEMBERS} members")

        def read(entry: tarfile.TarInfo = entry) -> Iterator[bytes]:
            opened = archive.extractfile(entry)
            while opened and (content := opened.read(CHUNK_BYTES)):
                yield content

        unpacked.begin_member()
        label = entry.name.encode(errors="surrogateescape").decode(errors="replace")
        yield Member(label, _tar_kind(entry), read)
    unpacked.check_end()


def _tar_kind(entry: tarfile.TarInfo) -> MemberKind:
    if entry.issparse():
        return "sparse"
    if entry.isfile():
        return "file"
    if entry.isdir():
        return "folder"
    return "link" if entry.issym() or entry.islnk() else "device"
