"""Locks that end with whoever holds them, however that ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, func, select

from labeling.storage.atomic import storage_errors


@contextmanager
def hold_lock(engine: Engine, what: str) -> Iterator[bool]:
    """Hold the lock of that name for the block; False if somebody else has it."""
    lock = _advisory_lock if engine.dialect.name == "postgresql" else _file_lock
    with lock(engine, what) as is_ours:
        yield is_ours


def remove_lock(engine: Engine, what: str) -> None:
    """Leave nothing behind of a lock whose name is not used again."""
    if engine.dialect.name != "postgresql":
        _lock_file(engine, what).unlink(missing_ok=True)


@contextmanager
def _advisory_lock(engine: Engine, what: str) -> Iterator[bool]:
    """PostgreSQL's, which ends with its connection."""
    asked = select(func.pg_try_advisory_lock(func.hashtextextended(f"maskmill {what}", 0)))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:  # nothing idles
        try:
            yield bool(connection.scalar(asked))
        finally:
            connection.invalidate()  # not back into the pool with the lock


@contextmanager
def _file_lock(engine: Engine, what: str) -> Iterator[bool]:
    """The system's, on a file beside SQLite's, which ends with its process."""
    path = _lock_file(engine, what)
    with storage_errors(path):
        file = path.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _lock_file(engine: Engine, what: str) -> Path:
    return Path(f"{engine.url.database}-{what.replace(' ', '-')}.lock")
