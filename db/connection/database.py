"""An open database: sessions to read and to write, and blocks that only one process may run at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from configs.errors import AlreadyRunning, DatabaseUnreachable
from db.connection.engines import address_of, make_engine, writing
from db.connection.locks import hold_lock, remove_lock
from db.connection.schema import check_schema


class Database:
    """Sessions and locks of one database."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = sessionmaker(writing(self.engine), expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session for reading.

        Raises:
            DatabaseUnreachable: the database did not answer.
        """
        with self._errors(), self._reading() as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a session that commits at the end of the block, or rolls back on an error.

        Raises:
            DiskFull, DatabaseUnreachable: the database could not write; nothing of the block was written.
        """
        with self._errors(), self._writing.begin() as session:
            yield session

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Keep other processes out of blocks of this name; the lock ends with the process.

        Raises:
            AlreadyRunning: another process is in a block of this name, on the same database.
        """
        with self._locked(name) as is_held:
            if not is_held:
                raise AlreadyRunning(
                    f"another {name} is running on {address_of(self.engine)}: wait until it ends, then run this again"
                )
            yield

    def remove_free_lock(self, name: str) -> bool:
        """Remove the lock of this name unless a process is in a block of it; return whether it was removed."""
        with self._locked(name) as is_free:
            pass
        if is_free:
            remove_lock(self.engine, name)
        return is_free

    @contextmanager
    def _locked(self, name: str) -> Iterator[bool]:
        with ExitStack() as stack:
            with self._errors():
                is_held = stack.enter_context(hold_lock(self.engine, name))
            yield is_held

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as exc:
            address = address_of(self.engine)
            raise DatabaseUnreachable(f"{address}: {exc.orig}; nothing was written: run it again") from exc

    def close(self) -> None:
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Connect; create the tables of an empty database; check the schema of any other.

    Raises:
        ConfigError: the URL is not one, or names a driver that is not installed.
        DatabaseUnreachable: it does not answer, or it is not a database.
        SchemaTooOld, SchemaTooNew: another version of maskmill created it.
    """
    database = Database(url)
    try:
        check_schema(database.engine)
    except BaseException:
        database.close()
        raise
    return database
