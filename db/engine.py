"""Connecting to the ledger and bringing its schema up to date."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from db.locks import hold_lock, remove_lock
from labeling.errors import (
    AlreadyRunning,
    ConfigError,
    DatabaseError,
    DatabaseUnreachable,
    DiskFull,
    SchemaTooNew,
    SchemaTooOld,
    StorageError,
)

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 60
"""How long a writer waits for another one; SQLite has one at a time."""
RESTART_S = 30
"""How long a PostgreSQL that was there may be away before it counts as lost."""
_DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE for it."""


class Ledger:
    """An open database: hands out sessions."""

    def __init__(self, url: str) -> None:
        self.engine = _make_engine(url)
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = sessionmaker(self.writer, expire_on_commit=False)

    @property
    def writer(self) -> Engine:
        """The same connections, whose transactions mean to write."""
        return self.engine.execution_options(writes=True)

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
                    f"another {what} is at work on {_shown(self.engine)}: wait for its end, then run this again"
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


def open_ledger(url: str) -> Ledger:
    """Connect; create the tables of an empty database; check the schema of any other.

    Raises:
        ConfigError: the URL is not one, or names a driver that is not installed.
        DatabaseUnreachable: nobody answers there, or it is not a database.
        SchemaTooOld, SchemaTooNew: made by another version of maskmill.
    """
    ledger = Ledger(url)
    try:
        _check_schema(ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger


def upgrade_schema(url: str) -> tuple[str | None, str]:
    """Migrate to this version's schema; returns the revisions (before, after)."""
    ledger = Ledger(url)
    try:
        before = _revision(ledger.engine)
        _refuse_newer(before)
        _upgrade(ledger.writer)
        return before, _head()
    finally:
        ledger.close()


def schema_revision(url: str) -> tuple[str | None, str]:
    """Revisions (of the database, of this version)."""
    ledger = Ledger(url)
    try:
        return _revision(ledger.engine), _head()
    finally:
        ledger.close()


def _make_engine(url: str) -> Engine:
    try:
        shown = make_url(url).render_as_string(hide_password=True)
        engine = create_engine(url, pool_pre_ping=True, json_deserializer=_read_json)
    except (ArgumentError, NoSuchModuleError, ValueError) as exc:
        raise ConfigError(
            f"not a database URL: wants sqlite:///FILE or postgresql+psycopg://...: {exc}"
        ) from exc
    except ModuleNotFoundError as exc:
        other = "another database: wants sqlite:///FILE or postgresql+psycopg://..."
        told = "wants psycopg: pip install 'maskmill[postgres]'" if exc.name == "psycopg" else other
        raise ConfigError(f"{shown}: {told}") from exc
    if engine.dialect.name == "postgresql":
        _wait_for_restarts(engine)
        _take_binary(engine)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _read_json(text: str | bytes) -> Any:
    """Ten times as fast as the standard library, which alone takes the NaN and Infinity that it wrote."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _wait_for_restarts(engine: Engine) -> None:
    """Have a connection that ended replaced as soon as the database is back, if it ever was there."""
    was_there = threading.Event()

    def connect(dialect: Any, _record: Any, words: list[Any], options: dict[str, Any]) -> Any:
        tries = Retrying(
            stop=stop_after_delay(RESTART_S if was_there.is_set() else 0),
            wait=wait_fixed(0.5),
            retry=retry_if_exception_type(dialect.dbapi.OperationalError),
            reraise=True,
        )
        connection = tries(dialect.connect, *words, **options)
        was_there.set()
        return connection

    event.listen(engine, "do_connect", connect)


def _take_binary(engine: Engine) -> None:
    """Have statements with the execution option `binary` answered in PostgreSQL's binary format: masks come
    as they are, not as text of twice their length."""
    from psycopg.pq import Format

    def ask(
        _connection: Any, cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        if context and context.execution_options.get("binary"):
            cursor.format = Format.BINARY

    event.listen(engine, "before_cursor_execute", ask)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    for pragma in (
        f"busy_timeout={BUSY_S * 1000}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    # a transaction that reads first and writes later fails at once when another wrote in between,
    # whatever the busy timeout: a writer takes its lock at the beginning
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_schema(ledger: Ledger) -> None:
    engine = ledger.engine
    revision = _revision(engine)
    if revision is None and not inspect(engine).get_table_names():
        _upgrade(ledger.writer)
        return
    revision = revision or _revision(engine)  # another process made the tables in between
    _refuse_newer(revision)
    if revision != _head():
        raise SchemaTooOld(
            f"{_shown(engine)} has schema {revision or 'none'}, this version wants {_head()}: "
            "back it up, then run `maskmill db upgrade`"
        )


def _refuse_newer(revision: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"the database has schema {revision}, which this version of maskmill (schema {_head()}) does "
            "not know: it was made by a newer one; upgrade maskmill"
        )


def _revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as exc:  # unable to open, file is not a database, connection refused
        problem = " ".join(str(exc.orig).split())
        raise DatabaseUnreachable(
            f"cannot use {_shown(engine)}: {problem}; {_remedy(engine, problem)}"
        ) from exc


def _remedy(engine: Engine, problem: str) -> str:
    if engine.dialect.name != "sqlite":
        return "start it, or correct address, user and password in MASKMILL_DATABASE_URL"
    if "not a database" in problem:
        return "move the file away, or choose another --home"
    return "see that its folder is there and may be written"


def _operational_error(exc: OperationalError, engine: Engine) -> StorageError | DatabaseError:
    if "disk is full" in str(exc.orig) or getattr(exc.orig, "sqlstate", None) == _DISK_FULL:
        return DiskFull(f"no room left for {_shown(engine)}: free some, then run the same command again")
    return DatabaseUnreachable(f"{_shown(engine)}: {exc.orig}; nothing was written, run it again")


def _shown(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_alembic())


def _head() -> str:
    head = _scripts().get_current_head()
    if head is None:
        raise SchemaTooNew(f"no migrations at {MIGRATIONS}: install maskmill again")
    return head


def _upgrade(engine: Engine) -> None:
    config = _alembic()
    with engine.connect() as connection, _foreign_keys_off(connection), connection.begin():
        config.attributes["connection"] = connection
        if connection.dialect.name == "postgresql":  # SQLite's writers are one at a time already
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("maskmill schema"))))
        command.upgrade(config, "head")


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite alters a table by copying and dropping it, which the rows that point at it would forbid.

    Its switch does nothing within a transaction, so this goes around one.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")
