"""Named locks on a database that end with the process that holds them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError

from labeling.storage.atomic import storage_errors


@contextmanager
def hold_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Hold the lock of that name for the block; yields False if another holder has it."""
    lock = _advisory_lock if engine.dialect.name == "postgresql" else _file_lock
    with lock(engine, name) as is_held:
        yield is_held


def remove_lock(engine: Engine, name: str) -> None:
    """Remove the file of a lock whose name is not used again."""
    if engine.dialect.name != "postgresql":
        _lock_path(engine, name).unlink(missing_ok=True)


@contextmanager
def _advisory_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Hold a PostgreSQL advisory lock, which ends with its connection."""
    key = func.hashtextextended(f"maskmill {name}", 0)
    # autocommit: no transaction stays open while the lock is held
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            yield bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
        finally:
            with suppress(DBAPIError):  # a server that sees the closed connection later releases it later
                connection.execute(select(func.pg_advisory_unlock_all()))
            connection.invalidate()  # the pool must not reuse a connection that may hold the lock


@contextmanager
def _file_lock(engine: Engine, name: str) -> Iterator[bool]:
    """Hold a lock on a file beside the SQLite database, which the system releases with the process."""
    from filelock import FileLock, Timeout  # loads asyncio

    path = _lock_path(engine, name)
    lock = FileLock(path, thread_local=False)
    try:
        with storage_errors(path), suppress(Timeout):
            lock.acquire(blocking=False)
        yield lock.is_locked
    finally:
        lock.release()


def _lock_path(engine: Engine, name: str) -> Path:
    return Path(f"{engine.url.database}-{name.replace(' ', '-')}.lock")
