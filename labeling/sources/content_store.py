"""Files named by the SHA-256 of what is in them."""

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
"""Nobody who is still alive pauses that long between two bytes."""
_STAGING_PREFIX = ".partial-"


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move_into_store(path: Path, folder: Path, *, suffix: str, sha256: str | None = None) -> Path:
    """Move a finished file to where `folder` keeps files of its content.

    Bytes that are there already, under whatever suffix, keep their name. `path` must be on the same
    file system, as it is within `staging`.

    Raises:
        DiskFull, HomeNotWritable: it could not be moved.
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
    """Where `folder` keeps the file of that name: in one of 256 folders, so that none grows long."""
    return folder / name[:2] / name


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A private folder inside `folder` for what is not finished; gone with all it holds at the end."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def remove_leftovers(folder: Path) -> int:
    """Remove what killed runs left unfinished in `folder`; how many there were.

    What was written to within `LEFT_AFTER_S` may be another process's, and stays.
    """
    latest = time.time() - LEFT_AFTER_S
    leftovers = [path for path in folder.glob(f"{_STAGING_PREFIX}*") if _last_written(path) < latest]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def _last_written(folder: Path) -> float:
    """Seconds since the epoch; infinite for a folder that vanishes meanwhile: somebody ends it properly."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return math.inf
