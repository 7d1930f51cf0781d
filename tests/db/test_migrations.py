"""Databases of older schemas, with rows in them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from db import engine as engine_module
from db.engine import Ledger, open_ledger, upgrade_schema
from db.models import Base

RUNS = """
INSERT INTO run VALUES ('r1', 'lite', '{}', '0', '2026-05-01', '2026-05-01', NULL, '{}', '{}');
INSERT INTO run VALUES ('r2', 'lite', '{}', '0', '2026-05-01', '2026-05-01', NULL, '{}', '{}');
INSERT INTO video VALUES ('v1', 'video', 'a.mp4', 1000, 64, 64, '30', 'h264');
INSERT INTO video VALUES ('v2', 'video', 'b.mp4', 1000, 64, 64, '30', 'h264');
"""
SOURCES = """
INSERT INTO source VALUES (1, '/a.mp4', 'file', 'v1', 'ok', NULL, NULL, 0, 2, NULL, 'A', 'Ann', 'CC0', NULL);
INSERT INTO source VALUES (2, '/copy.mp4', 'file', 'v1', 'ok', NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO source VALUES
    (3, '/b.mp4', 'file', 'v2', 'failed', 'not_found', 'it is gone', 1, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO source VALUES
    (4, '/c.mp4', 'unknown', NULL, 'failed', 'empty_video', 'c: empty', 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO run_source VALUES ('r1', 1), ('r1', 2), ('r1', 3), ('r2', 3), ('r2', 4);
"""
FRAMES = """
INSERT INTO frame VALUES (1, 'v1', 0, 0, 64, 48, 9.5, '', 'pictures/11/11.jpg');
INSERT INTO frame VALUES (2, 'v1', 500, 400, 64, 48, 9.5, '', 'pictures/22/22.jpg');
INSERT INTO frame VALUES (3, 'v1', 900, 400, NULL, NULL, 0.5, '', NULL);
INSERT INTO decision VALUES ('r1', 1, 'easy', NULL, '[]'), ('r2', 1, 'accepted', NULL, '[]');
INSERT INTO decision VALUES ('r1', 2, 'review', NULL, '["doubt"]'), ('r2', 2, 'rejected', 'blurred', '[]');
INSERT INTO decision VALUES ('r1', 3, 'rejected', 'blurred', '[]');
INSERT INTO agreement VALUES ('r1', 1, 1.0, 1.0, 0, 0, '[]', '[]');
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def migrate(file: Path, revision: str, *, down: bool = False) -> None:
    ledger = Ledger(f"sqlite:///{file}")
    config = engine_module._alembic()
    with (
        ledger.writer.connect() as connection,
        engine_module._foreign_keys_off(connection),
        connection.begin(),
    ):
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
    ledger.close()


def enter(file: Path, script: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.executescript(script)


def rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def assert_whole(file: Path) -> None:
    """Every row that points at another finds it, and the tables are those of the models."""
    assert rows(file, "PRAGMA foreign_key_check") == []
    ledger = open_ledger(f"sqlite:///{file}")
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    ledger.close()


def test_sources_keep_their_videos_and_each_run_what_became_of_them(file: Path) -> None:
    migrate(file, "0002")
    enter(file, RUNS + SOURCES)
    upgrade_schema(f"sqlite:///{file}")
    assert rows(file, "SELECT * FROM source_video ORDER BY 1") == [(1, "v1"), (2, "v1"), (3, "v2")]
    assert rows(file, "SELECT * FROM run_source ORDER BY 1, 2") == [
        ("r1", 1, "ok", None, None, 0),
        ("r1", 2, "ok", None, None, 0),
        ("r1", 3, "failed", "not_found", "it is gone", 1),
        ("r2", 3, "failed", "not_found", "it is gone", 1),
        ("r2", 4, "failed", "empty_video", "c: empty", 0),
    ]
    assert rows(file, "SELECT id, spec, kind, attempts, title, uploader, licence FROM source ORDER BY 1") == [
        (1, "/a.mp4", "file", 2, "A", "Ann", "CC0"),
        (2, "/copy.mp4", "file", 1, None, None, None),
        (3, "/b.mp4", "file", 1, None, None, None),
        (4, "/c.mp4", "unknown", 1, None, None, None),
    ]
    assert_whole(file)


def test_each_run_that_kept_a_frame_keeps_its_picture(file: Path) -> None:
    migrate(file, "0003")
    enter(file, RUNS + FRAMES)
    upgrade_schema(f"sqlite:///{file}")
    columns = "run_id, frame_id, decision, rule, reasons, shot_ms, picture"
    assert rows(file, f"SELECT {columns} FROM decision ORDER BY 1, 2") == [  # noqa: S608  # no input
        ("r1", 1, "easy", None, "[]", 0, "pictures/11/11.jpg"),
        ("r1", 2, "review", None, '["doubt"]', 400, "pictures/22/22.jpg"),
        ("r1", 3, "rejected", "blurred", "[]", 400, None),
        ("r2", 1, "accepted", None, "[]", 0, "pictures/11/11.jpg"),
        ("r2", 2, "rejected", "blurred", "[]", 400, None),
    ]
    assert rows(file, "SELECT * FROM frame ORDER BY 1") == [
        (1, "v1", 0, 64, 48, 9.5, ""),
        (2, "v1", 500, 64, 48, 9.5, ""),
        (3, "v1", 900, None, None, 0.5, ""),
    ]
    assert rows(file, "SELECT run_id, frame_id FROM agreement") == [("r1", 1)]
    assert_whole(file)


def test_what_the_tables_forbid_is_forbidden_after_a_migration_too(file: Path) -> None:
    migrate(file, "0002")
    enter(file, RUNS + SOURCES + FRAMES)
    upgrade_schema(f"sqlite:///{file}")
    for refused in (
        "INSERT INTO decision VALUES ('r2', 3, 'odd', NULL, '[]', 0, NULL)",
        "INSERT INTO decision VALUES ('r2', 9, 'easy', NULL, '[]', 0, NULL)",
        "DELETE FROM frame WHERE id = 1",
        "INSERT INTO run_source VALUES ('r2', 1, 'odd', NULL, NULL, 0)",
        "INSERT INTO run_source VALUES ('r2', 9, 'ok', NULL, NULL, 0)",
        "INSERT INTO source_video VALUES (1, 'v9')",
        "INSERT INTO source (id, spec, kind, attempts) VALUES (9, '/a.mp4', 'file', 1)",
        "DELETE FROM source WHERE id = 1",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            enter(file, refused)


def test_a_migration_can_be_taken_back(file: Path) -> None:
    migrate(file, "0002")
    enter(file, RUNS + SOURCES + FRAMES)
    sources = "SELECT id, spec, kind, video_id, state, error_code, error_message, retryable, attempts, "
    sources += "title, uploader, licence FROM source ORDER BY 1"
    asked = "SELECT * FROM run_source ORDER BY 1, 2"
    frames = "SELECT id, video_id, t_ms, shot_ms, width, height, picture FROM frame ORDER BY 1"
    decisions = "SELECT * FROM decision ORDER BY 1, 2"
    before = [rows(file, query) for query in (sources, asked, frames, decisions)]
    migrate(file, "head")
    migrate(file, "0002", down=True)
    assert [rows(file, query) for query in (sources, asked, frames, decisions)] == before
