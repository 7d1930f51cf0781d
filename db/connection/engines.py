"""Engines of the two databases that a ledger may have, each told what it needs to behave alike."""

import json
import threading
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from configs.errors import ConfigError

BUSY_S = 60
"""How long a writer waits for another one; SQLite has one at a time."""
RESTART_S = 30
"""How long a PostgreSQL that was there may be away before it counts as lost."""


def make_engine(url: str) -> Engine:
    """An engine, which connects when it is first used.

    Raises:
        ConfigError: the URL is not one, or names a driver that is not installed.
    """
    try:
        address = make_url(url).render_as_string(hide_password=True)
        engine = create_engine(url, pool_pre_ping=True, json_deserializer=_read_json)
    except (ArgumentError, NoSuchModuleError, ValueError) as exc:
        raise ConfigError(
            f"not a database URL: wants sqlite:///FILE or postgresql+psycopg://...: {exc}"
        ) from exc
    except ModuleNotFoundError as exc:
        other = "another database: wants sqlite:///FILE or postgresql+psycopg://..."
        told = "wants psycopg: pip install 'maskmill[postgres]'" if exc.name == "psycopg" else other
        raise ConfigError(f"{address}: {told}") from exc
    if engine.dialect.name == "postgresql":
        _wait_for_restarts(engine)
    if engine.driver == "psycopg":
        _take_binary(engine)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def writing(engine: Engine) -> Engine:
    """The same connections, whose transactions mean to write."""
    return engine.execution_options(writes=True)


def address_of(engine: Engine) -> str:
    """Its URL without the password."""
    return engine.url.render_as_string(hide_password=True)


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
