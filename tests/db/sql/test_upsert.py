"""Upserts by one statement per row and by COPY give the same rows."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import IntegrityError

from db.connection.database import Database, open_database
from db.models.core import FrameRow, ImageRow, RunRow, VideoRow
from db.models.review import ReviewRow
from db.sql.upsert import COPY_FROM, upsert

SIZES = (1, COPY_FROM - 1, COPY_FROM, 3 * COPY_FROM)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = open_database(database_url)
    with made.transaction() as session:
        upsert(session, VideoRow, [{"id": "v", "kind": "video", "path": "v.mp4"}])
    yield made
    made.close()


def frames(count: int, **fields: Any) -> list[dict[str, Any]]:
    row = {
        "video_id": "v",
        "image_index": None,
        "width": None,
        "height": None,
        "sharpness": 1.5,
        "name": 'a "b"\\\t\n\x7f\u00e9',
    }
    return [row | {"id": number, "pts_ms": 10 * number} | fields for number in range(1, count + 1)]


def stored(database: Database) -> list[tuple[Any, ...]]:
    with database.session() as session:
        return list(session.execute(select(*FrameRow.__table__.c).order_by(FrameRow.id)).tuples())


@pytest.mark.slow
@pytest.mark.parametrize("count", SIZES)
def test_a_repeated_insert_stores_the_same_rows(database: Database, count: int) -> None:
    rows = frames(count)
    for _ in range(2):
        with database.transaction() as session:
            upsert(session, FrameRow, rows)
    columns = FrameRow.__table__.c.keys()
    assert stored(database) == [tuple(row[name] for name in columns) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("count", SIZES)
def test_only_named_columns_are_filled_and_updated(database: Database, count: int) -> None:
    with database.transaction() as session:
        upsert(session, FrameRow, frames(count))
        upsert(session, FrameRow, frames(count, width=64, name="other"), fill_columns=["width", "height"])
        upsert(
            session,
            FrameRow,
            frames(count, sharpness=9.0),
            fill_columns=["width"],
            update_columns=["sharpness"],
        )
    found = {row[4:] for row in stored(database)}
    assert found == {(64, None, 9.0, frames(1)[0]["name"])}


@pytest.mark.slow
@pytest.mark.parametrize("count", SIZES)
def test_the_last_of_two_rows_with_one_key_is_stored(database: Database, count: int) -> None:
    with database.transaction() as session:
        rows = frames(count) + frames(1, sharpness=7.0)
        upsert(session, FrameRow, rows, update_columns=["sharpness"])
    assert [row[6] for row in stored(database)] == [7.0] + [1.5] * (count - 1)


def test_copy_stores_json_and_times_like_single_statements(database: Database) -> None:
    at = datetime(2026, 5, 1, 12, 30, 15, 250)  # stored times are UTC without a time zone
    row = {"name": "r", "config": {"a": [1, None, "\u00e9'"]}, "code_version": "0", "started_at": at}
    row |= {"worked_at": at, "finished_at": None, "models": {}, "counts": {"x": 1}}
    with database.transaction() as session:
        upsert(session, RunRow, [row | {"id": f"{number:03}"} for number in range(2 * COPY_FROM)])
        upsert(session, RunRow, [row | {"id": "alone"}])
    with database.session() as session:
        found = {
            (str(run.config), run.started_at, run.finished_at, str(run.counts))
            for run in session.scalars(select(RunRow))
        }
    assert found == {(str(row["config"]), at, None, str(row["counts"]))}


@pytest.mark.parametrize("count", SIZES[1:3])
def test_a_column_that_no_row_has_gets_its_default(database: Database, count: int) -> None:
    at = datetime(2026, 5, 1)
    run = {"id": "r", "name": "r", "config": {}, "code_version": "0", "started_at": at, "worked_at": at}
    review = {"run_id": "r", "state": "waiting", "priority": 0.5, "fingerprint": ""}
    with database.transaction() as session:
        upsert(session, RunRow, [run])
        upsert(session, FrameRow, frames(count))
        upsert(session, ReviewRow, [review | {"frame_id": number} for number in range(1, count + 1)])
    with database.session() as session:
        assert list(session.scalars(select(ReviewRow.is_audit))) == [False] * count


def test_many_rows_are_one_statement_on_postgresql(database: Database) -> None:
    if database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no COPY")
    statements: list[str] = []

    def record(
        _connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, many: bool
    ) -> None:
        statements.append("many" if many else statement.split(maxsplit=1)[0])

    event.listen(database.engine, "before_cursor_execute", record)
    with database.transaction() as session:
        upsert(session, FrameRow, frames(1000))
    assert "many" not in statements
    assert statements[-1] == "INSERT"


def test_a_conflict_on_another_unique_key_is_an_error(database: Database) -> None:
    rows = [
        {"video_id": "v", "position": n, "sha256": "same", "path": "", "name": ""} for n in range(COPY_FROM)
    ]
    with pytest.raises(IntegrityError), database.transaction() as session:
        upsert(session, ImageRow, rows)
