"""Atomic file writes and the errors of storage."""

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import DiskFull, HomeNotWritable, StorageError

WRITING_PREFIX = ".writing-"
"""Prefix of temporary files; a killed writer leaves them behind."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file and rename it: a reader sees the whole content or none. Permissions follow the umask."""
    temporary = path.parent / f"{WRITING_PREFIX}{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def disk_full(failure: BaseException | None) -> DiskFull | None:
    """Return the full disk behind an error of any library, by its chain of causes; None if there is another reason."""
    while failure is not None:
        if isinstance(failure, DiskFull):
            return failure
        if isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" for {failure.filename}" if failure.filename else ""
            return DiskFull(
                f"no space left{where}: free some, then run the same command again; it continues from here"
            )
        failure = failure.__cause__ or failure.__context__
    return None


@contextmanager
def storage_errors(path: Path, *, option: str = "--home") -> Iterator[None]:
    """Turn the system's errors while writing `path` into ours; `option` is what the user can change."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left for {path}: free some, then run the same command again; it continues from here"
            ) from exc
        if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
            raise HomeNotWritable(f"cannot write {path}: {exc.strerror}; choose another {option}") from exc
        raise StorageError(f"cannot write {path}: {exc}; check the disk") from exc
