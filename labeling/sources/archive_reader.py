"""Reader of the members of zip and tar archives, in order and within a byte budget.

Sizes and names that an archive states are not trusted: sizes are those of the bytes actually read and unpacked, and
names are labels, never paths. `tarfile.data_filter` is not used: it accepts `/etc/x` and `C:\\x` under a changed name.
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

from configs.errors import (
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
"""Limit for one tar header (a long name, a set of attributes)."""
RATIO_SLACK_BYTES = 64 << 10
"""Added to the packed bytes of a member before the ratio is taken: bytes of it may have been read ahead."""

_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""zipfile unpacks all that it has read at once with other methods: 4 KiB of bzip2 became 400 MB in memory."""
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
    """Yields its content in chunks; must be used before the next member is requested."""


class Budget:
    """Counts of packed bytes read and bytes unpacked, with limits that a decompression bomb exceeds."""

    def __init__(self, archive: Path, *, max_bytes: int, max_ratio: float) -> None:
        self._archive = archive
        self._max_bytes, self._max_ratio = max_bytes, max_ratio
        self._packed = self._unpacked = 0
        self._at_member_start = (0, 0)

    def begin_member(self) -> None:
        self._at_member_start = (self._packed, self._unpacked)

    def read(self, count: int) -> None:
        self._packed += count

    def unpack(self, count: int) -> None:
        """Count unpacked bytes; raise UnsafeArchive above the limit in total or per packed byte."""
        self._unpacked += count
        packed, unpacked = self._packed - self._at_member_start[0], self._unpacked - self._at_member_start[1]
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
    """Give an iterator over an archive's members, in the order in which they are stored.

    Raises:
        SourceNotFound, NotAVideo, TruncatedVideo, UnsupportedVideo, UnsafeArchive: on opening, or later in the block.
    """
    with ExitStack() as stack, _archive_errors(archive):
        packed = cast(IO[bytes], stack.enter_context(_PackedFile(archive, budget)))
        name = archive.name.lower()
        if name.endswith(".zip"):
            yield _zip_members(stack.enter_context(_open_zip(archive, packed)), budget)
            return
        opener = next((opener for suffixes, opener in _TAR_OPENERS.items() if name.endswith(suffixes)), None)
        if opener is None:
            raise UnsupportedVideo(f"{archive}: this kind of archive is not supported; unpack it yourself")
        unpacked = _UnpackedTar(opener(packed), budget, archive)
        yield _tar_members(stack.enter_context(_open_tar(archive, unpacked)), unpacked)


@contextmanager
def _archive_errors(archive: Path) -> Iterator[None]:
    """Turn the standard library's errors about damaged archives into ours."""
    try:
        yield
    except FileNotFoundError as exc:
        raise SourceNotFound(f"{archive}: no such archive") from exc
    except PermissionError as exc:
        raise SourcePrivate(f"{archive}: no permission to read it; change its permissions") from exc
    except _DAMAGED as exc:
        raise TruncatedVideo(
            f"{archive}: the archive is damaged or incomplete ({exc}); download or copy it again"
        ) from exc
    except RecursionError as exc:  # tarfile reads a header that follows a header by calling itself
        raise UnsafeArchive(f"{archive}: thousands of headers without a file; do not trust it") from exc
    except NotImplementedError as exc:
        raise UnsupportedVideo(f"{archive}: cannot be unpacked here ({exc}); unpack it yourself") from exc


class _PackedFile(io.FileIO):
    """An archive file whose bytes are counted as they are read."""

    def __init__(self, archive: Path, budget: Budget) -> None:
        super().__init__(archive)
        self._budget = budget

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._budget.read(len(content))
        return content

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        count = super().readinto(buffer)
        self._budget.read(count)
        return count


class _UnpackedTar(io.RawIOBase):
    """A tar's unpacked bytes, counted. It only moves forward, so nothing is unpacked twice."""

    def __init__(self, file: IO[bytes], budget: Budget, archive: Path) -> None:
        self._file, self._budget, self._archive = file, budget, archive
        self._position = 0
        self._last_block = b""

    def begin_member(self) -> None:
        self._budget.begin_member()

    def check_end(self) -> None:
        """Raise EOFError if the archive has no end mark: tarfile takes a damaged header for the end."""
        if self._last_block != _END_OF_TAR:
            raise EOFError("no end mark")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise UnsafeArchive(f"{self._archive}: its members overlap")
        while self._position < offset:
            if not self.read(min(offset - self._position, MAX_HEADER_BYTES)):
                raise EOFError("the file ends inside a member")
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise UnsafeArchive(f"{self._archive}: a header of {size} bytes")
        content = self._file.read(size)
        self._position += len(content)
        self._last_block = content
        self._budget.unpack(len(content))
        return content


def _open_zip(archive: Path, packed: IO[bytes]) -> zipfile.ZipFile:
    signature = packed.read(4)
    packed.seek(0)
    if signature[:2] != b"PK":
        raise NotAVideo(f"{archive}: starts with {signature!r}; a zip archive starts with b'PK'")
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


def _open_tar(archive: Path, unpacked: _UnpackedTar) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=unpacked, mode="r:")
    except (lzma.LZMAError, OSError, tarfile.ReadError) as exc:
        raise NotAVideo(f"{archive}: not the kind of archive that its name says ({exc})") from exc


def _tar_members(archive: tarfile.TarFile, unpacked: _UnpackedTar) -> Iterator[Member]:
    count = 0
    while entry := archive.next():
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all members for random access
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
