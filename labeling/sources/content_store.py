"""A folder of files named by the SHA-256 of their content, and the record of which URL gave which file."""

import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from labeling.sources.source import FetchedSource, SourceItem
from labeling.storage.atomic import storage_errors, write_atomically

CHUNK_BYTES = 1 << 20
LEFT_AFTER_S = 24 * 3600.0
"""A staging folder without a write for this long belongs to no running process."""
_STAGING_PREFIX = ".partial-"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move_into_store(path: Path, folder: Path, *, suffix: str, sha256: str | None = None) -> Path:
    """Move a finished file into the store in `folder`, and return its new path.

    A file with the same content that is already there keeps its name and suffix. `path` must be on the same file
    system, as it is within `staging`.
    """
    name = sha256 or sha256_of(path)
    target = kept_path(folder, f"{name}{suffix or '.video'}")
    with storage_errors(target):
        target.parent.mkdir(exist_ok=True)
        for kept in sorted(target.parent.glob(f"{name}.*")):
            path.unlink()
            return kept
        return path.replace(target)


def kept_path(folder: Path, name: str) -> Path:
    """Return the path of a stored file: in one of 256 folders, so that none has many entries."""
    return folder / name[:2] / name


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a private folder inside `folder` for unfinished files; it is deleted at the end of the block."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def remove_leftovers(folder: Path) -> int:
    """Delete staging folders of killed runs, and return how many there were.

    A folder written to within `LEFT_AFTER_S` may belong to a running process and stays.
    """
    latest = time.time() - LEFT_AFTER_S
    leftovers = [path for path in folder.glob(f"{_STAGING_PREFIX}*") if _last_written(path) < latest]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def _last_written(folder: Path) -> float:
    """Return seconds since the epoch; infinity if the folder disappears meanwhile, because its owner is running."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return math.inf


_FOLDER = ".receipts"


class DownloadArchive:
    """One small JSON file per URL beside the downloads; several processes may use them at the same time.

    To download a URL again, delete the file that it gave.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> FetchedSource | None:
        """Return the download under `key` if its file still exists."""
        try:
            record = json.loads(self._path(key).read_text(encoding="utf-8"))
            path = kept_path(self._folder, Path(record["file"]).name)
            source = SourceItem(**record["origin"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or written by another version
            return None
        return FetchedSource(source, path) if path.is_file() else None

    def keep(self, fetched: FetchedSource, *keys: str) -> None:
        """Record a download under each of these keys."""
        if fetched.path is None:
            return
        fields = asdict(replace(fetched.origin, address=None))
        record = json.dumps({"file": fetched.path.name, "origin": fields}, ensure_ascii=False, indent=1)
        for key in keys:
            path = self._path(key)
            with storage_errors(path):
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, record.encode())

    def _path(self, key: str) -> Path:
        return self._folder / _FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
