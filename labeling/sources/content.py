"""Files named by the SHA-256 of what is in them."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labeling.storage import storage_errors

CHUNK_BYTES = 1 << 20
_STAGING_PREFIX = ".partial-"


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def adopt_file(path: Path, folder: Path, *, suffix: str, sha256: str | None = None) -> Path:
    """Move a finished file into `folder` under its content's name.

    Bytes that are there already, under whatever suffix, keep their name. `path` must be on the same
    file system, as it is within `staging`.

    Raises:
        DiskFull, HomeNotWritable: it could not be moved.
    """
    name = sha256 or sha256_of(path)
    with storage_errors(folder):
        for kept in sorted(folder.glob(f"{name}.*")):
            path.unlink()
            return kept
        return path.replace(folder / f"{name}{suffix or '.video'}")


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
    """Remove what killed runs left unfinished; call it only while nothing is fetched into `folder`."""
    leftovers = [path for path in folder.glob(f"{_STAGING_PREFIX}*") if path.is_dir()]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)
