"""Uploads: a multipart request that is streamed to disk under limits, and archives among its files."""

import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from configs.errors import SourceError, UnsafeArchive, UploadRefused
from configs.models import Ingest
from flows.web.jobs import Background, BackgroundKind, JobFile, MatteFormat, Problem
from flows.web.names import safe_stem, shown_name
from labeling.sources.archives import fetch_archive
from labeling.sources.file_types import is_archive_name, is_image_name, is_video_name, suffix_of
from labeling.sources.source import FailedSource, SourceItem
from labeling.storage.atomic import storage_errors
from labeling.text.figures import count_of

_MAX_VALUE_BYTES = 1000
_FORMATS: tuple[MatteFormat, ...] = ("png", "webm", "mov")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one job may bring."""

    file_bytes: int = 20 * 10**9
    job_bytes: int = 50 * 10**9
    """All files together, and what its archives unpack to."""
    files: int = 200
    """Including the files in archives."""
    archive_ratio: float = 100.0
    """An archive that unpacks to more than this times its size is refused."""
    free_bytes: int = 10**9
    """Space that stays free on the disk."""


@dataclass(slots=True)
class Upload:
    """The content of a request."""

    files: list[JobFile] = field(default_factory=list)
    background: Background = field(default_factory=Background)
    format: MatteFormat = "png"

    def refuse(self, name: str, code: str, message: str) -> None:
        """Record a file that is not processed."""
        problem = Problem(code=code, message=message)
        self.files.append(JobFile(number=len(self.files), name=name, error=problem))

    def accept(self, path: Path, folder: Path, name: str) -> None:
        """Record a video in the folder of the job."""
        stored = str(path.relative_to(folder))
        size_bytes = path.stat().st_size
        self.files.append(
            JobFile(number=len(self.files), name=name, stem=path.stem, stored=stored, size_bytes=size_bytes)
        )

    def stems(self) -> set[str]:
        return {file.stem for file in self.files}


async def receive_upload(
    chunks: AsyncIterator[bytes], content_type: str, folder: Path, limits: UploadLimits
) -> Upload:
    """Store the files of a request below `folder`. A file that is refused does not fail the others.

    Raises:
        UploadRefused: the request is not a form, has too much of everything, or has no video at all.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise UploadRefused("the request is not an upload form: send multipart/form-data")
    receiver = _Receiver(folder, limits)
    try:
        parser = MultipartParser(options[b"boundary"], receiver.callbacks())  # type: ignore[arg-type]
        async for chunk in chunks:
            await run_in_threadpool(receiver.write, parser, chunk)
        await run_in_threadpool(parser.finalize)
    except MultipartParseError as exc:
        raise UploadRefused(f"the upload cannot be read ({exc}): send it again") from exc
    finally:
        receiver.close()
    return await run_in_threadpool(receiver.finish)


@dataclass(slots=True)
class _Part:
    """One part of a form: a value, or a file."""

    name: str
    file_name: str | None
    path: Path | None = None
    file: IO[bytes] | None = None
    value: bytearray = field(default_factory=bytearray)
    size_bytes: int = 0
    refusal: tuple[str, str] | None = None
    """Code and message; the rest of the part is skipped."""


class _Receiver:
    """Takes the pieces that the parser finds, and writes files to disk."""

    def __init__(self, folder: Path, limits: UploadLimits) -> None:
        self._folder, self._limits = folder, limits
        self._uploads = folder / "uploads"
        self._headers: dict[bytes, bytes] = {}
        self._header, self._header_value = b"", b""
        self._part: _Part | None = None
        self._received = 0
        self._file_count = 0
        self._upload = Upload()
        self._archives: list[tuple[str, Path]] = []
        self._background: _Part | None = None
        self._values: dict[str, str] = {}
        with storage_errors(folder):
            self._uploads.mkdir()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_to_header,
            "on_header_value": self._add_to_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._add_content,
            "on_part_end": self._end_part,
        }

    def write(self, parser: MultipartParser, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._limits.job_bytes:
            raise UploadRefused(
                f"the upload is larger than {self._limits.job_bytes:,} bytes: send fewer videos at a time"
            )
        parser.write(chunk)

    def close(self) -> None:
        if self._part and self._part.file:
            self._part.file.close()

    def finish(self) -> Upload:
        """Unpack archives, then check what was received."""
        if self._part is not None:
            raise UploadRefused("the upload ended too early: check the connection and send it again")
        for name, path in self._archives:
            _unpack(path, name, self._folder, self._limits, self._upload)
            path.unlink()
        if not self._upload.files:
            raise UploadRefused("the upload has no file: choose at least one video")
        self._upload.background = self._choose_background()
        form = self._values.get("format", "png")
        if form not in _FORMATS:
            raise UploadRefused(f"format {form!r} is unknown: use png, webm or mov")
        self._upload.format = form
        return self._upload

    def _begin_part(self) -> None:
        self._headers = {}

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._header_value
        self._header, self._header_value = b"", b""

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        file_name = options.get(b"filename")
        self._part = part = _Part(
            _decode(options.get(b"name", b"")), None if file_name is None else _decode(file_name)
        )
        if part.file_name is not None:
            self._begin_file(part, shown_name(part.file_name))

    def _begin_file(self, part: _Part, name: str) -> None:
        self._file_count += 1
        if self._file_count > 2 * self._limits.files:
            raise UploadRefused(f"more than {self._limits.files} files: send fewer files at a time")
        is_background = part.name == "background_file"
        if not is_background and len(self._upload.files) + len(self._archives) >= self._limits.files:
            message = f"Only {self._limits.files} files can be uploaded at a time. Upload the rest later."
            part.refusal = ("too_many_files", message)
        elif is_background and not (is_image_name(name) or is_video_name(name)):
            raise UploadRefused(f"the background {name} is neither a picture nor a video: choose another")
        elif not (is_background or is_video_name(name) or is_archive_name(name)):
            message = "This is not a video or an archive of videos. Use for example MP4, MOV, WebM or ZIP."
            part.refusal = ("not_a_video", message)
        else:
            part.path = self._place(part, name, is_background=is_background)
            with storage_errors(part.path):
                part.file = part.path.open("xb")

    def _place(self, part: _Part, name: str, *, is_background: bool) -> Path:
        if is_background:
            return self._folder / f"background{suffix_of(name)}"
        if is_archive_name(name):
            suffixes = "".join(re.findall(r"\.[a-z0-9]+", name.lower())[-2:])
            kept = suffixes if is_archive_name(f"a{suffixes}") else suffix_of(name)
            return self._folder / f"archive-{len(self._archives)}{kept}"
        return self._uploads / f"{safe_stem(name, self._upload.stems())}{suffix_of(name)}"

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part is None or part.refusal:
            return
        part.size_bytes += end - start
        if part.file_name is None:
            part.value += data[start:end]
            if len(part.value) > _MAX_VALUE_BYTES:
                raise UploadRefused(f"the value of {part.name[:40]!r} is too long: send the form again")
        elif part.size_bytes > self._limits.file_bytes:
            self._drop(part, "too_large", f"This file is larger than {_gigabytes(self._limits.file_bytes)}.")
        elif shutil.disk_usage(self._folder).free < self._limits.free_bytes:
            raise UploadRefused("the server has no space left: delete old jobs, then try again")
        elif part.file and part.path:
            with storage_errors(part.path):
                part.file.write(data[start:end])

    def _drop(self, part: _Part, code: str, message: str) -> None:
        part.refusal = (code, message)
        if part.file and part.path:
            part.file.close()
            part.path.unlink()

    def _end_part(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if part.file_name is None:
            self._values[part.name] = part.value.decode("utf-8", "replace").strip()
            return
        name = shown_name(part.file_name)
        if part.file and not part.refusal:
            with storage_errors(self._folder):
                part.file.close()
            if not part.size_bytes:
                self._drop(part, "empty", "This file is empty. Copy it again and upload the copy.")
        if part.name == "background_file":
            self._keep_background(part)
        elif part.refusal or not part.path:
            self._upload.refuse(name, *(part.refusal or ("not_a_video", "This file cannot be read.")))
        elif is_archive_name(name):
            self._archives.append((name, part.path))
        else:
            self._upload.accept(part.path, self._folder, name)

    def _keep_background(self, part: _Part) -> None:
        if part.refusal:
            raise UploadRefused(f"the background cannot be used: {part.refusal[1]}")
        self._background = part

    def _choose_background(self) -> Background:
        value = self._values.get("background", "")
        if self._background and self._background.path:
            name = shown_name(self._background.file_name or "")
            kind: BackgroundKind = "image" if is_image_name(name) else "video"
            return Background(kind=kind, value=name, stored=self._background.path.name)
        if not value:
            return Background()
        if value == "blur":
            return Background(kind="blur", value="blur")
        if not _COLOR.fullmatch(value):
            raise UploadRefused(
                f"background {value!r} is unknown: use a color such as #00b140, blur, or send a file"
            )
        return Background(value=value.lower())


def _unpack(archive: Path, name: str, folder: Path, limits: UploadLimits, upload: Upload) -> None:
    """Add the videos of an archive; what is not a video or could escape is refused by name."""
    used_bytes = sum(file.size_bytes for file in upload.files)
    left_bytes = min(limits.job_bytes - used_bytes, shutil.disk_usage(folder).free - limits.free_bytes)
    ingest = Ingest(max_archive_bytes=max(1, left_bytes), max_archive_ratio=limits.archive_ratio)
    unpacked = folder / "unpacked"
    videos_before = len(upload.files)
    try:
        for item in fetch_archive(SourceItem(str(archive), "archive"), unpacked, ingest):
            if isinstance(item, FailedSource) and "!" in item.spec:
                title = f"{name}: {_member_name(item.spec)}"
                upload.refuse(title, item.error.code, f"Not unpacked: {_reason(item.error)}.")
            elif isinstance(item, FailedSource):
                upload.refuse(name, item.error.code, _whole_archive(item.error))
            elif item.path is None:
                message = "Single pictures are not processed. Upload them as a video."
                upload.refuse(f"{name}: {count_of(len(item.images), 'picture')}", "not_a_video", message)
            elif len(upload.files) >= limits.files:
                message = f"Only {limits.files} files can be uploaded at a time. Upload the rest later."
                upload.refuse(f"{name}: {_member_name(item.origin.spec)}", "too_many_files", message)
            else:
                member = _member_name(item.origin.spec)
                stem = safe_stem(member, upload.stems())
                moved = item.path.rename(folder / "uploads" / f"{stem}{suffix_of(member)}")
                upload.accept(moved, folder, f"{name}: {shown_name(member)}")
    except SourceError as exc:
        del upload.files[videos_before:]
        upload.refuse(name, exc.code, _whole_archive(exc))
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _member_name(spec: str) -> str:
    return "".join(letter for letter in spec.partition("!")[2] if letter.isprintable())[:200]


def _reason(error: SourceError) -> str:
    """Return why a member was refused, without the name before it."""
    return str(error).rpartition(": ")[2]


def _whole_archive(error: SourceError) -> str:
    if isinstance(error, UnsafeArchive):
        return (
            "This archive unpacks to much more data than its size allows, so nothing of it was used. "
            "Upload the videos themselves."
        )
    if error.code == "not_found":
        return "There is no video in this archive."
    if error.code == "truncated":
        return "This archive is damaged or incomplete. Pack it again and upload the new file."
    return "This archive cannot be opened. Use ZIP or TAR, or upload the videos themselves."


def _gigabytes(count: int) -> str:
    return f"{count / 10**9:g} GB"


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")
