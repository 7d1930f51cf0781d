"""The queries that the product makes often find their rows by an index, as each database says itself."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from db.engine import Ledger, open_ledger
from db.frames import FrameQuery, frame_instances, list_frames
from db.models import Frame
from db.review_outbox import waiting_frames

MANY = """
INSERT INTO model (id, kind, name, weights_sha256, settings) VALUES ('m', 'planted', 'm', '', '{}');
INSERT INTO run (id, name, config, code_version, started_at, worked_at, models, counts)
    VALUES ('this', 'r', '{}', '0', '2026-05-01', '2026-05-01', '{}', '{}'),
           ('other', 'r', '{}', '0', '2026-05-01', '2026-05-01', '{}', '{}');
CREATE TABLE number AS WITH RECURSIVE counted (i) AS
    (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 20000) SELECT i FROM counted;
INSERT INTO video (id, kind, path) SELECT 'v' || i, 'video', 'v.mp4' FROM number WHERE i <= 1000;
INSERT INTO frame (id, video_id, t_ms, width, height, sharpness, name)
    SELECT i, 'v' || (i % 1000 + 1), i, 64, 48, 9.5, '' FROM number;
INSERT INTO decision (run_id, frame_id, decision, reasons, shot_ms)
    SELECT run.id, i, 'review', '[]', 0 FROM number, run;
INSERT INTO agreement (run_id, frame_id, iou, boundary_iou, both_empty, is_hard, matches, mismatches)
    SELECT run.id, i, (i * 7919 % 10007) / 10007.0, 0.5, FALSE, i % 2 = 0, '[]', '[]' FROM number, run;
INSERT INTO instance (id, run_id, frame_id, model_id, role, rank, rle, x, y, w, h, area_px, score)
    SELECT CASE run.id WHEN 'this' THEN i ELSE -i END, run.id, i, 'm', 'teacher', 0, '', 1, 1, 2, 2, 4, 0.9
    FROM number, run;
INSERT INTO review (frame_id, run_id, state, iou, fingerprint)
    SELECT i, CASE i % 3 WHEN 0 THEN 'other' ELSE 'this' END,
           CASE i % 4 WHEN 0 THEN 'waiting' ELSE 'reviewed' END, (i * 7919 % 10007) / 10007.0, ''
    FROM number;
DROP TABLE number
"""
"""Frames enough of two runs that no planner reads them all for ten; no statement holds a colon."""


@pytest.fixture(scope="module")
def ledger(module_database_url: str) -> Iterator[Ledger]:
    made = open_ledger(module_database_url)
    with made.transaction() as session:
        for statement in MANY.split(";"):
            session.execute(text(statement))
        if made.engine.dialect.name == "postgresql":  # autovacuum does so by itself, some time later
            session.execute(text("ANALYZE"))
    yield made
    made.close()


def plans(ledger: Ledger, ask: Callable[[Session], object]) -> list[list[str]]:
    """How the database carries out each statement that is asked, step by step."""
    asked: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", keep)
    try:
        with ledger.session() as session:
            ask(session)
    finally:
        event.remove(ledger.engine, "before_cursor_execute", keep)
    explain, column = (
        ("EXPLAIN", 0) if ledger.engine.dialect.name == "postgresql" else ("EXPLAIN QUERY PLAN", 3)
    )
    with ledger.engine.connect() as connection:
        return [
            [row[column] for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
            for statement, parameters in asked
        ]


def whole_tables(steps: list[str]) -> list[str]:
    """The steps that read every row of a table."""
    return [step for step in steps if "Seq Scan" in step or step.startswith("SCAN")]


def step_that_reads(steps: list[str], table: str) -> str:
    return next(step for step in steps if f" {table} " in step and ("Scan" in step or step.startswith("S")))


@pytest.mark.parametrize("hard_only", [False, True])
def test_the_hardest_frames_come_in_the_order_of_an_index(ledger: Ledger, hard_only: bool) -> None:
    """Without one, ten of a million frames would have all of them read and sorted."""
    wanted = FrameQuery(hard_only=hard_only, limit=10)
    found = plans(ledger, lambda session: list(list_frames(session, "this", wanted)))
    of_frames = [steps for steps in found if any(" agreement" in step for step in steps)]
    assert len(of_frames) == 1  # ten have an IoU: what has none is not asked for
    assert "ix_agreement_run_id_iou" in step_that_reads(of_frames[0], "agreement")
    assert not whole_tables(of_frames[0])


def test_the_review_queue_comes_in_the_order_of_an_index(ledger: Ledger) -> None:
    [steps] = plans(ledger, lambda session: waiting_frames(session, "this", 10))
    assert "ix_review_state_iou" in step_that_reads(steps, "review")


def test_the_people_of_a_frame_are_found_by_an_index(ledger: Ledger) -> None:
    frame = Frame(id=10_000, width=64, height=48)
    [steps] = plans(ledger, lambda session: frame_instances(session, "this", frame, "teacher"))
    used = step_that_reads(steps, "instance")
    assert any(name in used for name in ("ix_instance_frame_id", "uq_instance_run_id", "sqlite_autoindex"))
