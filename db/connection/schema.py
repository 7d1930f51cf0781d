"""Creates, checks and migrates the schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, String, column, func, inspect, select, table
from sqlalchemy.exc import DBAPIError

from configs.errors import DatabaseUnreachable, SchemaTooNew, SchemaTooOld
from db.connection.engines import address_of, make_engine, writing

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent.parent / "migrations"
_VERSION = table("alembic_version", column("version_num", String))
"""Where Alembic keeps the revision."""


def check_schema(engine: Engine) -> None:
    """Create the tables of an empty database; check the schema of any other."""
    revision = _revision(engine)
    if revision is None and not inspect(engine).get_table_names():
        _upgrade(engine)
        return
    revision = revision or _revision(engine)  # another process created the tables meanwhile
    _refuse_newer(revision)
    if revision != _head():
        raise SchemaTooOld(
            f"{address_of(engine)} has schema {revision or 'none'}, this version of maskmill requires {_head()}: "
            "back it up, then run `maskmill db upgrade`"
        )


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in _revisions():
        raise SchemaTooNew(
            f"the database has schema {revision}, created by a newer version than this one (schema {_head()}): "
            "upgrade maskmill"
        )


def _revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(_VERSION.name):
                return None
            return connection.scalar(select(_VERSION.c.version_num))
    except DBAPIError as exc:  # file cannot be opened or is not a database, connection refused
        problem = " ".join(str(exc.orig).split())
        raise DatabaseUnreachable(
            f"cannot use {address_of(engine)}: {problem}; {_remedy(engine, problem)}"
        ) from exc


def _remedy(engine: Engine, problem: str) -> str:
    if engine.dialect.name != "sqlite":
        return "start the server, or correct address, user and password in MASKMILL_DATABASE_URL"
    if "not a database" in problem:
        return "move the file away, or choose another --home"
    return "check that its folder exists and is writable"


def upgrade_schema(url: str) -> tuple[str | None, str]:
    """Migrate to the schema of this version; returns the revisions (before, after)."""
    engine = make_engine(url)
    try:
        before = _revision(engine)
        _refuse_newer(before)
        _upgrade(engine)
        return before, _head()
    finally:
        engine.dispose()


def schema_revision(url: str) -> tuple[str | None, str]:
    """Return the revisions (of the database, of this version)."""
    engine = make_engine(url)
    try:
        return _revision(engine), _head()
    finally:
        engine.dispose()


def _revisions() -> list[str]:
    """Return the revisions of this version, oldest first: the files of migrations begin with them."""
    return sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _head() -> str:
    if not (revisions := _revisions()):
        raise SchemaTooNew(f"no migrations at {MIGRATIONS}: reinstall maskmill")
    return revisions[-1]


def _alembic() -> "Config":
    from alembic.config import Config  # only here: every command opens a database, and few migrate it

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _upgrade(engine: Engine) -> None:
    from alembic import command

    config = _alembic()
    with writing(engine).connect() as connection, _foreign_keys_off(connection), connection.begin():
        config.attributes["connection"] = connection
        if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("maskmill schema"))))
        command.upgrade(config, "head")


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Switch off SQLite's foreign keys, because altering a table copies and drops it.

    The switch has no effect inside a transaction: call this outside of it.
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
