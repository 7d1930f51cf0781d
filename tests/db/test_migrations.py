"""The schema that the migration creates, and what its constraints refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.exc import IntegrityError

from configs.errors import DiskFull, SchemaTooOld
from db.connection import schema
from db.connection.database import Database, open_database
from db.connection.engines import make_engine, writing
from db.models.core import Base

ROWS = """
INSERT INTO run (id, name, config, code_version, started_at, worked_at, models, counts)
    VALUES ('r1', 'lite', '{}', '0', '2026-05-01', '2026-05-01', '{}', '{}'),
           ('r2', 'lite', '{}', '0', '2026-05-01', '2026-05-01', '{}', '{}');
INSERT INTO video (id, kind, path) VALUES ('v1', 'video', 'a.mp4'), ('v2', 'images', 'a');
INSERT INTO source (id, spec, kind, attempts) VALUES (1, '/a.mp4', 'file', 1);
INSERT INTO source_video VALUES (1, 'v1');
INSERT INTO run_source VALUES ('r1', 1, 'ok', NULL, NULL, FALSE);
INSERT INTO frame (id, video_id, pts_ms, sharpness, name) VALUES (1, 'v1', 0, 9.5, ''), (3, 'v1', 900, 0.5, '');
INSERT INTO frame (id, video_id, image_index, sharpness, name) VALUES (5, 'v2', 7, 9.5, 'a.png');
INSERT INTO decision (run_id, frame_id, decision, reasons, shot_start_ms) VALUES ('r1', 1, 'easy', '[]', 0);
INSERT INTO label_studio_project (id, location, title, external_id, settings)
    VALUES (1, 'local', 'maskmill', 1, '{}')
"""
DECISION = "INSERT INTO decision (run_id, frame_id, decision, reasons, shot_start_ms) VALUES"
REVIEW = "INSERT INTO review (frame_id, run_id, state, priority, fingerprint) VALUES"
ANNOTATION = (
    "INSERT INTO annotation (id, frame_id, run_id, project_id, task_id, external_id, state, annotator, verdict, "
    "created_at, updated_at, note, problems) VALUES (1, 1, 'r1', 1, 1, 1, '{}', 'ann', '{}', "
    "'2026-05-01', '2026-05-01', '', '[]')"
)
REFUSED = (
    f"{DECISION} ('r2', 3, 'odd', '[]', 0)",
    f"{DECISION} ('r2', 9, 'easy', '[]', 0)",
    f"{DECISION} ('r1', 1, 'easy', '[]', 0)",
    f"{REVIEW} (1, 'r1', 'odd', 0, '')",
    f"{REVIEW} (1, 'r1', 'open', NULL, '')",
    f"{REVIEW} (9, 'r1', 'open', 0, '')",
    ANNOTATION.format("odd", "corrected"),
    ANNOTATION.format("current", "fixed"),
    "INSERT INTO frame (id, video_id, pts_ms, sharpness, name) VALUES (4, 'v1', 900, 0.5, '')",
    "INSERT INTO frame (id, video_id, image_index, sharpness, name) VALUES (4, 'v2', 7, 0.5, 'a.png')",
    "INSERT INTO frame (id, video_id, sharpness, name) VALUES (4, 'v1', 0.5, '')",
    "DELETE FROM frame WHERE id = 1",
    "INSERT INTO run_source VALUES ('r2', 1, 'odd', NULL, NULL, FALSE)",
    "INSERT INTO run_source VALUES ('r2', 9, 'ok', NULL, NULL, FALSE)",
    "INSERT INTO source_video VALUES (1, 'v9')",
    "INSERT INTO source (id, spec, kind, attempts) VALUES (9, '/a.mp4', 'file', 1)",
    "DELETE FROM source WHERE id = 1",
)


@pytest.fixture
def url(bare_database_url: str) -> str:
    return bare_database_url


def migrate(url: str, migration: Callable[[Config, str], None], revision: str) -> None:
    engine, config = make_engine(url), schema._alembic()
    with writing(engine).connect() as connection, schema._foreign_keys_off(connection), connection.begin():
        config.attributes["connection"] = connection
        migration(config, revision)
    engine.dispose()


def execute(database: Database, script: str) -> None:
    """Execute statements, none of which contains a semicolon."""
    with database.transaction() as session:
        for statement in script.split(";"):
            session.connection().exec_driver_sql(statement)


def test_the_migrated_tables_are_those_of_the_models(url: str) -> None:
    migrate(url, command.upgrade, "head")
    database = open_database(url)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        columns = {
            (table, column["name"]): (column["nullable"], column.get("comment"))
            for table in Base.metadata.tables
            for column in inspect(connection).get_columns(table)
        }
        has_comments = connection.dialect.supports_comments
        indexes = {
            index["name"] for t in Base.metadata.tables for index in inspect(connection).get_indexes(t)
        }
    database.close()
    assert columns == {
        (table.name, column.name): (column.nullable, column.comment if has_comments else None)
        for table in Base.metadata.tables.values()
        for column in table.columns
    }
    assert {index.name for t in Base.metadata.tables.values() for index in t.indexes} <= indexes


def test_constraints_refuse_bad_rows(url: str) -> None:
    database = open_database(url)
    execute(database, ROWS)
    for statement in REFUSED:
        with pytest.raises(IntegrityError):
            execute(database, statement)
    execute(database, ANNOTATION.format("current", "corrected"))
    database.close()


@pytest.mark.slow
def test_a_downgrade_removes_all_tables_and_an_upgrade_creates_them_again(url: str) -> None:
    migrate(url, command.upgrade, "head")
    migrate(url, command.downgrade, "base")
    engine = make_engine(url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    migrate(url, command.upgrade, "head")
    open_database(url).close()


REVIEWED = """
INSERT INTO reviewed_instance (id, annotation_id, rank, origin, rle, area_px, mask_box_x, mask_box_y, mask_box_w, mask_box_h)
    VALUES (1, 1, 0, 'manual', '0', 4, 0, 0, 2, 2);
INSERT INTO propagation (id, run_id, frame_id, state, unmatched, priority) VALUES (1, 'r1', 3, 'current', 0, 0.5);
INSERT INTO propagated_instance (id, propagation_id, rank, confidence, rle) VALUES (1, 1, 0, 0.5, '0')
"""


def categories_of(url: str) -> list[str | None]:
    """Return the categories of the rows of `REVIEWED`; None: the table has no such column."""
    engine = make_engine(url)
    with engine.connect() as connection:
        found: list[str | None] = []
        for table in ("reviewed_instance", "propagated_instance"):
            names = [column["name"] for column in inspect(connection).get_columns(table)]
            query = text(f"SELECT category FROM {table}")  # noqa: S608  # one of the two
            found += connection.scalars(query).all() if "category" in names else [None]
    engine.dispose()
    return found


@pytest.mark.slow
def test_what_was_reviewed_before_there_were_categories_is_a_person(url: str) -> None:
    migrate(url, command.upgrade, "0010")
    database = Database(url)
    execute(database, ROWS)
    execute(database, ANNOTATION.format("current", "corrected"))
    execute(database, REVIEWED)
    database.close()
    migrate(url, command.upgrade, "0011")
    assert categories_of(url) == ["person", "person"]
    migrate(url, command.downgrade, "0010")
    assert categories_of(url) == [None, None]
    migrate(url, command.upgrade, "head")
    assert categories_of(url) == ["person", "person"]


def test_a_migration_on_a_full_disk_changes_nothing_and_goes_on_later(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    migrate(url, command.upgrade, "0001")

    def fill_disk(connection: Any, _record: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(Engine, "connect", fill_disk)
    try:
        with pytest.raises(DiskFull, match="free some space, then run the same command again"):
            schema.upgrade_schema(url)
    finally:
        event.remove(Engine, "connect", fill_disk)
    assert schema.schema_revision(url) == ("0001", schema._head())
    assert schema.upgrade_schema(url) == ("0001", schema._head())
    open_database(url).close()


def test_a_partly_created_database_is_refused(url: str) -> None:
    database = Database(url)
    with database.transaction() as session:
        session.execute(text("CREATE TABLE run (id VARCHAR PRIMARY KEY)"))
    database.close()
    with pytest.raises(SchemaTooOld, match="maskmill db upgrade"):
        open_database(url)


def test_the_names_of_the_files_of_migrations_are_their_revisions() -> None:
    """The schema is checked by them, because loading Alembic takes longer than a command that reads."""
    walked = ScriptDirectory.from_config(schema._alembic()).walk_revisions()
    assert [script.revision for script in walked] == schema._revisions()[::-1]
