"""Zip archives that are sent while they are made, without a copy on disk."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 20


class _Sink(io.RawIOBase):
    """Takes what the archive writes until it is sent. It cannot seek, so sizes follow each member."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        self._written += content
        return len(content)

    def take(self) -> bytes:
        content = bytes(self._written)
        self._written.clear()
        return content


def stream_zip(files: Iterable[tuple[str, Path]], notes: dict[str, str] | None = None) -> Iterator[bytes]:
    """Yield the bytes of a zip archive of files and of texts, by name. Files are stored, not compressed."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, text in (notes or {}).items():
            archive.writestr(name, text)
        for name, path in files:
            entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as member:
                while content := source.read(CHUNK_BYTES):
                    member.write(content)
                    yield sink.take()
    yield sink.take()
