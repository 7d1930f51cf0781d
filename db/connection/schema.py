"""The schema: created, checked and migrated."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, inspect, select
from sqlalchemy.exc import DBAPIError

from db.connection.engines import address_of, make_engine, writing
from labeling.errors import DatabaseUnreachable, SchemaTooNew, SchemaTooOld

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def check_schema(engine: Engine) -> None:
    """Create the tables of an empty database; check the schema of any other.

    Raises:
        DatabaseUnreachable: nobody answers there, or it is not a database.
        SchemaTooOld, SchemaTooNew: made by another version of maskmill.
    """
    revision = _revision(engine)
    if revision is None and not inspect(engine).get_table_names():
        _upgrade(engine)
        return
    revision = revision or _revision(engine)  # another process made the tables in between
    _refuse_newer(revision)
    if revision != _head():
        raise SchemaTooOld(
            f"{address_of(engine)} has schema {revision or 'none'}, this version wants {_head()}: "
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
            f"cannot use {address_of(engine)}: {problem}; {_remedy(engine, problem)}"
        ) from exc


def _remedy(engine: Engine, problem: str) -> str:
    if engine.dialect.name != "sqlite":
        return "start it, or correct address, user and password in MASKMILL_DATABASE_URL"
    if "not a database" in problem:
        return "move the file away, or choose another --home"
    return "see that its folder is there and may be written"


def upgrade_schema(url: str) -> tuple[str | None, str]:
    """Migrate to this version's schema; returns the revisions (before, after)."""
    engine = make_engine(url)
    try:
        before = _revision(engine)
        _refuse_newer(before)
        _upgrade(engine)
        return before, _head()
    finally:
        engine.dispose()


def schema_revision(url: str) -> tuple[str | None, str]:
    """Revisions (of the database, of this version)."""
    engine = make_engine(url)
    try:
        return _revision(engine), _head()
    finally:
        engine.dispose()


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
    with writing(engine).connect() as connection, _foreign_keys_off(connection), connection.begin():
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
