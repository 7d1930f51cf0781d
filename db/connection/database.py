"""The ledger, opened: sessions to read and to write, and blocks that one process at a time is in."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from db.connection.engines import address_of, make_engine, writing
from db.connection.locks import hold_lock, remove_lock
from db.connection.schema import check_schema
from labeling.errors import (
    AlreadyRunning,
    DatabaseError,
    DatabaseUnreachable,
    DiskFull,
    StorageError,
)

_DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE for it."""


class Database:
    """An open database: hands out sessions."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = sessionmaker(writing(self.engine), expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for reading.

        Raises:
            DatabaseUnreachable: the database did not answer.
        """
        try:
            with self._reading() as session:
                yield session
        except OperationalError as exc:
            raise _operational_error(exc, self.engine) from exc

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back on an error.

        Raises:
            DiskFull, DatabaseUnreachable: the database did not take it; nothing of it was written.
        """
        try:
            with self._writing.begin() as session:
                yield session
        except OperationalError as exc:
            raise _operational_error(exc, self.engine) from exc

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Keep other processes out of the block; a killed one leaves no lock behind.

        Raises:
            AlreadyRunning: another process is in a block of this name, on the same database.
        """
        with self._locked(what) as is_ours:
            if not is_ours:
                raise AlreadyRunning(
                    f"another {what} is at work on {address_of(self.engine)}: wait for its end, then run this again"
                )
            yield

    def is_alone(self, what: str) -> bool:
        """Whether nobody is in a block of this name at the moment, whose lock is then removed.

        Raises:
            DatabaseUnreachable: the database did not answer.
        """
        with self._locked(what) as is_free:
            pass
        if is_free:
            remove_lock(self.engine, what)
        return is_free

    @contextmanager
    def _locked(self, what: str) -> Iterator[bool]:
        with ExitStack() as stack:
            try:
                is_ours = stack.enter_context(hold_lock(self.engine, what))
            except OperationalError as exc:
                raise _operational_error(exc, self.engine) from exc
            yield is_ours

    def close(self) -> None:
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Connect; create the tables of an empty database; check the schema of any other.

    Raises:
        ConfigError: the URL is not one, or names a driver that is not installed.
        DatabaseUnreachable: nobody answers there, or it is not a database.
        SchemaTooOld, SchemaTooNew: made by another version of maskmill.
    """
    database = Database(url)
    try:
        check_schema(database.engine)
    except BaseException:
        database.close()
        raise
    return database


def _operational_error(exc: OperationalError, engine: Engine) -> StorageError | DatabaseError:
    if "disk is full" in str(exc.orig) or getattr(exc.orig, "sqlstate", None) == _DISK_FULL:
        return DiskFull(f"no room left for {address_of(engine)}: free some, then run the same command again")
    return DatabaseUnreachable(f"{address_of(engine)}: {exc.orig}; nothing was written, run it again")
