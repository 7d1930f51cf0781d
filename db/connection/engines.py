"""SQLAlchemy engines for SQLite and PostgreSQL, configured to behave alike."""

import shutil
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from configs.errors import ConfigError, DiskFull
from labeling.text.json_text import read_json

BUSY_S = 60
"""How long a SQLite writer waits for the other one: there is one writer at a time."""
RESTART_S = 30
"""How long to reconnect to a PostgreSQL server that was reachable before."""
_DISK_FULL = "53100"
"""PostgreSQL's state: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
_PERHAPS_FULL = ("disk I/O error", "unable to open database file", "attempt to write a readonly database")
_LITTLE_BYTES = 1 << 20
"""Less is not enough for SQLite's journal and index of it."""
_URLS = "use sqlite:///FILE or postgresql+psycopg://..."


def make_engine(url: str) -> Engine:
    """Return an engine; it connects at its first use."""
    try:
        address = make_url(url).render_as_string(hide_password=True)
        engine = create_engine(url, pool_pre_ping=True, json_deserializer=read_json)
    except (ArgumentError, NoSuchModuleError, ValueError) as exc:
        raise ConfigError(f"not a database URL ({exc}): {_URLS}") from exc
    except ModuleNotFoundError as exc:
        if exc.name == "psycopg":
            raise ConfigError(f"{address} requires psycopg: run pip install 'maskmill[postgres]'") from exc
        raise ConfigError(f"{address} is not a supported database: {_URLS}") from exc
    event.listen(engine, "handle_error", _raise_disk_full)
    if engine.dialect.name == "postgresql":
        _reconnect_after_restart(engine)
    if engine.driver == "psycopg":
        _enable_binary_results(engine)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def writing(engine: Engine) -> Engine:
    """Return the engine with its transactions marked as writers."""
    return engine.execution_options(writes=True)


def address_of(engine: Engine) -> str:
    """Return the URL without its password."""
    return engine.url.render_as_string(hide_password=True)


def _raise_disk_full(context: Any) -> None:
    """Turn a full disk into DiskFull at every connection, statement and commit: the one place where it is mapped.

    SQLite has other words for it where it cannot make its journal, so that the free space decides.
    """
    original, engine = context.original_exception, context.engine or context.dialect
    text = str(original)
    url = getattr(engine, "url", None)
    file = (
        Path(url.database) if url is not None and url.database and context.dialect.name == "sqlite" else None
    )
    is_full = "disk is full" in text or getattr(original, "sqlstate", None) == _DISK_FULL
    if not is_full and file and any(words in text for words in _PERHAPS_FULL):
        is_full = file.parent.is_dir() and shutil.disk_usage(file.parent).free < _LITTLE_BYTES
    if is_full:
        address = url.render_as_string(hide_password=True) if url is not None else "the database"
        raise DiskFull(
            f"the disk of {address} is full: free some space, then run the same command again; it continues from here"
        ) from original


def _reconnect_after_restart(engine: Engine) -> None:
    """Retry a failed connect for `RESTART_S`, if an earlier one succeeded."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed  # loads asyncio

    connected_before = threading.Event()

    def connect(dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        attempts = Retrying(
            stop=stop_after_delay(RESTART_S if connected_before.is_set() else 0),
            wait=wait_fixed(0.5),
            retry=retry_if_exception_type(dialect.dbapi.OperationalError),
            reraise=True,
        )
        connection = attempts(dialect.connect, *arguments, **options)
        connected_before.set()
        return connection

    event.listen(engine, "do_connect", connect)


def _enable_binary_results(engine: Engine) -> None:
    """Have statements with the execution option `binary` return binary results: masks as text have twice the size."""
    from psycopg.pq import Format

    def set_format(
        _connection: Any, cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        if context and context.execution_options.get("binary"):
            cursor.format = Format.BINARY

    event.listen(engine, "before_cursor_execute", set_format)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below
    for pragma in (
        f"busy_timeout={BUSY_S * 1000}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    # a transaction that reads before it writes fails at once if another one wrote in between, whatever
    # the busy timeout: a writer takes the write lock at its beginning
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
