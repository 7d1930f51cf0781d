"""A folder of files named by the SHA-256 of their content."""

import hashlib
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labeling.storage.atomic import storage_errors

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
