"""Databases of older schemas, with rows in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.connection import schema
from db.connection.database import Database, open_database
from db.connection.engines import make_engine, writing
from db.connection.schema import upgrade_schema
from db.models.core import Base
from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tasks.execution.database import close_databases
from tests.planted_reviews import PlantedFrame, box_mask, plant_run

RUNS = """
INSERT INTO run VALUES ('r1', 'lite', '{}', '0', '2026-05-01', '2026-05-01', NULL, '{}', '{}');
INSERT INTO run VALUES ('r2', 'lite', '{}', '0', '2026-05-01', '2026-05-01', NULL, '{}', '{}');
INSERT INTO video VALUES ('v1', 'video', 'a.mp4', 1000, 64, 64, '30', 'h264');
INSERT INTO video VALUES ('v2', 'video', 'b.mp4', 1000, 64, 64, '30', 'h264');
"""
SOURCES = """
INSERT INTO source VALUES (1, '/a.mp4', 'file', 'v1', 'ok', NULL, NULL, FALSE, 2, NULL, 'A', 'Ann', 'CC0', NULL);
INSERT INTO source VALUES (2, '/copy.mp4', 'file', 'v1', 'ok', NULL, NULL, FALSE, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO source VALUES
    (3, '/b.mp4', 'file', 'v2', 'failed', 'not_found', 'it is gone', TRUE, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO source VALUES
    (4, '/c.mp4', 'unknown', NULL, 'failed', 'empty_video', 'c: empty', FALSE, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO run_source VALUES ('r1', 1), ('r1', 2), ('r1', 3), ('r2', 3), ('r2', 4);
"""
FRAMES = """
INSERT INTO frame VALUES (1, 'v1', 0, 0, 64, 48, 9.5, '', 'images/11/11.jpg');
INSERT INTO frame VALUES (2, 'v1', 500, 400, 64, 48, 9.5, '', 'images/22/22.jpg');
INSERT INTO frame VALUES (3, 'v1', 900, 400, NULL, NULL, 0.5, '', NULL);
INSERT INTO decision VALUES ('r1', 1, 'easy', NULL, '[]'), ('r2', 1, 'accepted', NULL, '[]');
INSERT INTO decision VALUES ('r1', 2, 'review', NULL, '["doubt"]'), ('r2', 2, 'rejected', 'blurred', '[]');
INSERT INTO decision VALUES ('r1', 3, 'rejected', 'blurred', '[]');
INSERT INTO agreement VALUES ('r1', 1, 1.0, 1.0, FALSE, FALSE, '[]', '[]');
"""
LOOKS = """
INSERT INTO model (id, kind, name, weights_sha256, settings) VALUES ('m', 'lite', 'm', '', '{}');
UPDATE decision SET iou = 0.25 WHERE run_id = 'r1' AND frame_id = 2;
INSERT INTO instance (id, run_id, frame_id, model_id, role, rank, rle, x, y, w, h, area_px, score) VALUES
    (1, 'r1', 2, 'm', 'teacher', 0, '', 0, 0, 0, 0, 600, 0.9),
    (2, 'r1', 2, 'm', 'teacher', 1, '', 0, 0, 0, 0, 200, 0.9),
    (3, 'r1', 2, 'm', 'student', 0, '', 0, 0, 0, 0, 200, 0.9),
    (4, 'r2', 2, 'm', 'student', 0, '', 0, 0, 0, 0, 999, 0.9);
INSERT INTO review (frame_id, run_id, state, iou, fingerprint) VALUES
    (2, 'r1', 'open', 0.25, 'f'), (3, 'r2', 'skipped', 0.75, 'g');
"""
ENTER_DECISION = "INSERT INTO decision (run_id, frame_id, decision, reasons, shot_start_ms) VALUES"


@pytest.fixture
def url(bare_database_url: str) -> str:
    return bare_database_url


def migrate(url: str, revision: str, *, down: bool = False) -> None:
    engine = make_engine(url)
    config = schema._alembic()
    with (
        writing(engine).connect() as connection,
        schema._foreign_keys_off(connection),
        connection.begin(),
    ):
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
    engine.dispose()


def enter(url: str, script: str) -> None:
    """Carry out statements, of which none holds a semicolon."""
    database = Database(url)
    try:
        with database.transaction() as session:
            for statement in filter(None, map(str.strip, script.split(";"))):
                session.connection().exec_driver_sql(statement)
    finally:
        database.close()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    database = Database(url)
    with database.session() as session:
        found = session.connection().exec_driver_sql(query).fetchall()
    database.close()
    return [tuple(row) for row in found]


def assert_whole(url: str) -> None:
    """Every row that points at another finds it, and the tables are those of the models."""
    database = open_database(url)
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":  # PostgreSQL checks whenever a key is made
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_sources_keep_their_videos_and_each_run_what_became_of_them(url: str) -> None:
    migrate(url, "0002")
    enter(url, RUNS + SOURCES)
    upgrade_schema(url)
    assert rows(url, "SELECT * FROM source_video ORDER BY 1") == [(1, "v1"), (2, "v1"), (3, "v2")]
    assert rows(url, "SELECT * FROM run_source ORDER BY 1, 2") == [
        ("r1", 1, "ok", None, None, 0),
        ("r1", 2, "ok", None, None, 0),
        ("r1", 3, "failed", "not_found", "it is gone", 1),
        ("r2", 3, "failed", "not_found", "it is gone", 1),
        ("r2", 4, "failed", "empty_video", "c: empty", 0),
    ]
    assert rows(url, "SELECT id, spec, kind, attempts, title, uploader, license FROM source ORDER BY 1") == [
        (1, "/a.mp4", "file", 2, "A", "Ann", "CC0"),
        (2, "/copy.mp4", "file", 1, None, None, None),
        (3, "/b.mp4", "file", 1, None, None, None),
        (4, "/c.mp4", "unknown", 1, None, None, None),
    ]
    assert_whole(url)


def test_each_run_that_kept_a_frame_keeps_its_image(url: str) -> None:
    migrate(url, "0003")
    enter(url, RUNS + FRAMES)
    upgrade_schema(url)
    columns = "run_id, frame_id, decision, rule, CAST(reasons AS VARCHAR), shot_start_ms, image"
    assert rows(url, f"SELECT {columns} FROM decision ORDER BY 1, 2") == [  # noqa: S608  # no input
        ("r1", 1, "easy", None, "[]", 0, "images/11/11.jpg"),
        ("r1", 2, "review", None, '["doubt"]', 400, "images/22/22.jpg"),
        ("r1", 3, "rejected", "blurred", "[]", 400, None),
        ("r2", 1, "accepted", None, "[]", 0, "images/11/11.jpg"),
        ("r2", 2, "rejected", "blurred", "[]", 400, None),
    ]
    assert rows(url, "SELECT * FROM frame ORDER BY 1") == [
        (1, "v1", 0, 64, 48, 9.5, ""),
        (2, "v1", 500, 64, 48, 9.5, ""),
        (3, "v1", 900, None, None, 0.5, ""),
    ]
    assert rows(url, "SELECT run_id, frame_id FROM agreement") == [("r1", 1)]
    assert_whole(url)


def test_looks_at_frames_of_older_runs_have_the_value_that_areas_and_iou_give(url: str) -> None:
    migrate(url, "0003")
    enter(url, RUNS + FRAMES)
    migrate(url, "0006")
    enter(url, LOOKS)
    upgrade_schema(url)
    common_px = 200  # IoU 0.25 of 800 and 200 px
    value = 0.5 * (800 + 200 - 2 * common_px) / (64 * 48)
    found = dict(rows(url, "SELECT frame_id, value FROM decision WHERE run_id = 'r1'"))
    assert found == {1: None, 2: pytest.approx(value), 3: None}
    assert dict(rows(url, "SELECT frame_id, value FROM review")) == {2: pytest.approx(value), 3: 0}
    assert_whole(url)
    migrate(url, "0006", down=True)
    assert dict(rows(url, "SELECT frame_id, iou FROM review")) == {2: 0.25, 3: 0}


def test_what_the_tables_forbid_is_forbidden_after_a_migration_too(url: str) -> None:
    migrate(url, "0002")
    enter(url, RUNS + SOURCES + FRAMES)
    upgrade_schema(url)
    for refused in (
        f"{ENTER_DECISION} ('r2', 3, 'odd', '[]', 0)",
        f"{ENTER_DECISION} ('r2', 9, 'easy', '[]', 0)",
        "INSERT INTO review (frame_id, run_id, state, value, fingerprint) VALUES (1, 'r1', 'odd', 0, '')",
        "INSERT INTO review (frame_id, run_id, state, value, fingerprint) VALUES (1, 'r1', 'open', NULL, '')",
        "DELETE FROM frame WHERE id = 1",
        "INSERT INTO run_source VALUES ('r2', 1, 'odd', NULL, NULL, FALSE)",
        "INSERT INTO run_source VALUES ('r2', 9, 'ok', NULL, NULL, FALSE)",
        "INSERT INTO source_video VALUES (1, 'v9')",
        "INSERT INTO source (id, spec, kind, attempts) VALUES (9, '/a.mp4', 'file', 1)",
        "DELETE FROM source WHERE id = 1",
    ):
        with pytest.raises(IntegrityError):
            enter(url, refused)


def test_a_migration_can_be_taken_back(url: str) -> None:
    migrate(url, "0002")
    enter(url, RUNS + SOURCES + FRAMES)
    sources = "SELECT id, spec, kind, video_id, state, error_code, error_message, retryable, attempts, "
    sources += "title, uploader, license FROM source ORDER BY 1"
    asked = "SELECT * FROM run_source ORDER BY 1, 2"
    frames = "SELECT id, video_id, t_ms, shot_start_ms, width, height, image FROM frame ORDER BY 1"
    decisions = "SELECT * FROM decision ORDER BY 1, 2"
    before = [rows(url, query) for query in (sources, asked, frames, decisions)]
    migrate(url, "head")
    migrate(url, "0002", down=True)
    assert [rows(url, query) for query in (sources, asked, frames, decisions)] == before


def test_a_database_of_the_first_schema_keeps_its_rows(url: str) -> None:
    migrate(url, "0001")
    enter(url, "INSERT INTO model VALUES ('m', 'lite', 'lite', '', '{}')")
    upgrade_schema(url)
    assert rows(url, "SELECT id, gives_instances FROM model") == [("m", None)]
    assert rows(url, "SELECT count(*) FROM review") == [(0,)]
    assert_whole(url)


def test_masks_of_before_are_measured_however_many_there_are(url: str) -> None:
    migrate(url, "0006")
    enter(url, RUNS)
    enter(url, "INSERT INTO model VALUES ('m', 'lite', 'lite', '', '{}', NULL)")
    masks = [_speckled(number) for number in range(1, 1203)]
    _enter_masks(url, masks)
    upgrade_schema(url)
    boxes = "mask_box_x, mask_box_y, mask_box_w, mask_box_h"
    assert rows(url, f"SELECT {boxes} FROM instance ORDER BY id") == [mask.box_xywh for mask in masks]  # noqa: S608
    assert rows(url, f"SELECT {boxes} FROM reviewed_instance") == [masks[1].box_xywh]  # noqa: S608  # no input
    assert_whole(url)
    migrate(url, "0006", down=True)
    assert rows(url, "SELECT count(*), count(rle) FROM instance") == [(len(masks), len(masks))]


def _speckled(number: int) -> Mask:
    """A mask in an image of a size of its own; the first is empty."""
    rng = np.random.default_rng(number)
    return Mask.from_array(rng.random((40 + number % 7, 30 + number % 5)) < 0.003 * (number > 1))


def _enter_masks(url: str, masks: Sequence[Mask]) -> None:
    """One a frame of two videos, in the schema 0006; of the second there is a reviewed one too."""
    told = [
        {
            "n": number,
            "video": f"v{1 + number % 2}",
            "h": mask.size_hw[0],
            "w": mask.size_hw[1],
            "rle": mask.counts,
            "area": mask.area_px,
        }
        for number, mask in enumerate(masks, start=1)
    ]
    database = Database(url)
    with database.transaction() as session:
        for statement, parameters in (
            ("INSERT INTO frame VALUES (:n, :video, :n, :w, :h, 1.0, '')", told),
            (
                "INSERT INTO instance (id, run_id, frame_id, model_id, role, rank, rle, x, y, w, h, area_px, score)"
                " VALUES (:n, 'r1', :n, 'm', 'teacher', 0, :rle, 1, 2, 3, 4, :area, 0.5)",
                told,
            ),
            ("INSERT INTO label_studio_project VALUES (1, 'local', 'maskmill', 1, '{}', NULL)", [{}]),
            (
                "INSERT INTO annotation VALUES (1, 2, 'r1', 1, 1, 1, 'current', 'ann', 'correct', 5.0, "
                "'2026-05-01', '2026-05-01', '', '[]')",
                [{}],
            ),
            (
                "INSERT INTO reviewed_instance (id, annotation_id, rank, source_id, origin, iou, rle, area_px)"
                " VALUES (1, 1, 0, :n, 'prediction', 1.0, :rle, :area)",
                told[1:2],
            ),
        ):
            session.execute(text(statement), parameters)
    database.close()


def test_layouts_of_before_are_drawn_as_they_would_be_now(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are drawn at once; of two runs, and none of easy frames."""
    monkeypatch.setenv("MASKMILL_DATABASE_URL", url)
    upgrade_schema(url)
    boxes = [box_mask(i % 30, i % 20, 9 + i % 3, 9, size_hw=(32, 48)) for i in range(260)]
    frames = [PlantedFrame([one], boxes[:1], size_hw=(32, 48)) for one in boxes]
    for hard_below in (0.4, 0.6):
        plant_run(
            Home(tmp_path),
            [*frames, PlantedFrame(boxes[:1], boxes[:1], (32, 48), "easy")],
            hard_below=hard_below,
        )
    close_databases()
    layouts = "SELECT run_id, frame_id, layout FROM decision ORDER BY 1, 2"
    before = [(run, frame, layout and bytes(layout)) for run, frame, layout in rows(url, layouts)]
    assert [len(layout) for *_, layout in before if layout] == 520 * [512]
    assert len({layout for *_, layout in before}) > 50
    assert len(before) == 522
    migrate(url, "0009", down=True)
    upgrade_schema(url)
    assert [(run, frame, layout and bytes(layout)) for run, frame, layout in rows(url, layouts)] == before
