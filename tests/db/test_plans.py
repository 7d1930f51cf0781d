"""The query plans of frequent queries use indexes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.orm import Session

from configs.models import Review as Settings
from db.connection.database import Database, open_database
from db.frames.instances import frame_instances
from db.frames.listing import DECISIONS, FrameQuery, list_frames
from db.models.core import DecisionRow, FrameRow
from db.review.outbox import known_tasks, open_frames, withdraw_unwanted
from db.review.selection import choose_waiting, count_waiting

MANY = r"""
INSERT INTO model (id, kind, name, weights_sha256, settings) VALUES ('m', 'planted', 'm', '', '{}');
INSERT INTO run (id, name, config, code_version, started_at, worked_at, models, counts)
    VALUES ('this', 'r', '{}', '0', '2026-05-01', '2026-05-01', '{}', '{}'),
           ('other', 'r', '{}', '0', '2026-05-01', '2026-05-01', '{}', '{}');
CREATE TABLE number AS WITH RECURSIVE counted (i) AS
    (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 20000) SELECT i FROM counted;
INSERT INTO video (id, kind, path) SELECT 'v' || i, 'video', 'v.mp4' FROM number WHERE i <= 1000;
INSERT INTO frame (id, video_id, pts_ms, width, height, sharpness, name)
    SELECT i, 'v' || (i % 1000 + 1), i, 64, 48, 9.5, '' FROM number;
INSERT INTO shard (id, run_id, video_id, start_ms, state, planned_at, attempts_lost, counts, seconds,
        agreement_histogram)
    SELECT i + CASE run.id WHEN 'this' THEN 0 ELSE 1000 END, run.id, 'v' || i, 0, 'done', '2026-05-01', 0,
           '{"easy"\: 10, "accepted"\: 5, "review"\: 5}', '{}', '{}' FROM number, run WHERE i <= 1000;
INSERT INTO decision (run_id, frame_id, decision, reasons, shot_start_ms, expected_iou, priority)
    SELECT run.id, i, CASE WHEN i % 2 = 1 THEN 'easy' WHEN i % 4 = 0 THEN 'accepted' ELSE 'review' END, '[]', 0,
           (i * 7919 % 10007) / 10007.0, (i * 7919 % 10007) / 20014.0 FROM number, run;
INSERT INTO agreement (run_id, frame_id, iou, boundary_iou, both_empty, is_hard, matches, mismatches)
    SELECT run.id, i, (i * 7919 % 10007) / 10007.0, 0.5, FALSE, i % 2 = 0, '[]', '[]' FROM number, run;
INSERT INTO instance (id, run_id, frame_id, model_id, role, rank, rle, area_px, score, detector_box_x,
        detector_box_y, detector_box_w, detector_box_h, mask_box_x, mask_box_y, mask_box_w, mask_box_h)
    SELECT CASE run.id WHEN 'this' THEN i ELSE -i END, run.id, i, 'm', 'teacher', 0, '', 4, 0.9,
           1, 1, 2, 2, 1, 1, 2, 2
    FROM number, run;
INSERT INTO review (frame_id, run_id, state, priority, fingerprint)
    SELECT i, CASE i % 3 WHEN 0 THEN 'other' ELSE 'this' END,
           CASE i % 4 WHEN 0 THEN 'waiting' ELSE 'reviewed' END, (i * 7919 % 10007) / 10007.0, ''
    FROM number;
DROP TABLE number
"""
"""Enough frames of two runs that no planner reads them all to find ten. Colons are escaped: they mark parameters."""


@pytest.fixture(scope="module")
def database(module_database_url: str) -> Iterator[Database]:
    made = open_database(module_database_url)
    with made.transaction() as session:
        for statement in MANY.split(";"):
            session.execute(text(statement))
        hard = update(DecisionRow).where(DecisionRow.priority.is_not(None))
        session.execute(hard.values(occupancy=bytes(512)))
        if made.engine.dialect.name == "postgresql":  # autovacuum would do so later
            session.execute(text("ANALYZE"))
    yield made
    made.close()


def plans(database: Database, execute: Callable[[Session], object]) -> list[list[str]]:
    """Return the steps of the query plan of each SELECT that is executed."""
    selects: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            selects.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", record)
    try:
        with database.session() as session:
            execute(session)
    finally:
        event.remove(database.engine, "before_cursor_execute", record)
    explain, column = (
        ("EXPLAIN", 0) if database.engine.dialect.name == "postgresql" else ("EXPLAIN QUERY PLAN", 3)
    )
    with database.engine.connect() as connection:
        return [
            [row[column] for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
            for statement, parameters in selects
        ]


def whole_tables(steps: list[str]) -> list[str]:
    """Return the steps that read every row of a table."""
    return [step for step in steps if "Seq Scan" in step or step.startswith("SCAN")]


def sorts(steps: list[str]) -> list[str]:
    """Return the steps that sort rows."""
    return [step for step in steps if "Sort" in step or "FOR ORDER BY" in step]


def step_that_reads(steps: list[str], table: str) -> str:
    return next(step for step in steps if f" {table} " in step and ("Scan" in step or step.startswith("S")))


@pytest.mark.slow
@pytest.mark.parametrize("decisions", [(), ("review",), ("easy", "accepted")])
def test_the_hardest_frames_come_in_the_order_of_an_index(
    database: Database, decisions: tuple[str, ...]
) -> None:
    """Without an index, all of a million frames would be read and sorted to list ten."""
    query = FrameQuery(decisions, limit=10)
    found = plans(database, lambda session: list(list_frames(session, "this", query)))
    of_frames = [steps for steps in found if any(" agreement" in step for step in steps)]
    assert len(of_frames) == len(decisions or DECISIONS)  # frames without an IoU are not queried
    for steps in of_frames:
        assert "ix_decision_run_id_decision_expected_iou" in step_that_reads(steps, "decision")
        assert not whole_tables(steps)
        assert not sorts(steps)


@pytest.mark.parametrize("decisions", [(), ("review",)])
def test_frames_by_time_come_in_the_order_of_an_index(database: Database, decisions: tuple[str, ...]) -> None:
    query = FrameQuery(decisions, order="time", limit=3)
    _, *of_frames = plans(database, lambda session: list(list_frames(session, "this", query)))[:2]
    for steps in of_frames:
        assert any("ix_frame_video_id_image_index_pts_ms" in step for step in steps)
        assert not whole_tables(steps)


def test_waiting_frames_come_in_the_order_of_an_index(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.review.selection.PAGE", 9)
    found = plans(database, lambda session: choose_waiting(session, "this", Settings(), room=10))
    assert len(found) < 10  # there is no query per video, of which there are 1000
    for steps in found:
        assert not [step for step in steps if " instance" in step]
        assert not [step for step in whole_tables(steps) if " frame" in step]
    *_, first, second = [
        steps for steps in found if any("ix_review_run_id_state_priority" in step for step in steps)
    ]
    for page in (first, second):
        assert "ix_review_run_id_state_priority" in step_that_reads(page, "review")
        assert not whole_tables(page)
        assert not sorts(page)


def test_open_reviews_are_found_by_an_index(database: Database) -> None:
    for execute in (
        lambda session: open_frames(session, 1, "this"),
        lambda session: withdraw_unwanted(session, "this", 1, started=()),
        lambda session: count_waiting(session, "this"),
        lambda session: known_tasks(session, 1),
    ):
        of_reviews = [steps for steps in plans(database, execute) if any(" review" in step for step in steps)]
        assert of_reviews
        for steps in of_reviews:
            assert any("ix_review_" in step for step in steps)
            assert not [step for step in whole_tables(steps) if " review" in step]


def test_the_instances_of_a_frame_are_found_by_an_index(database: Database) -> None:
    frame = FrameRow(id=10_000, width=64, height=48)
    [steps] = plans(database, lambda session: frame_instances(session, "this", frame, "teacher"))
    used = step_that_reads(steps, "instance")
    assert any(name in used for name in ("ix_instance_frame_id", "uq_instance_run_id", "sqlite_autoindex"))
