"""Rows go in by one statement a row or by COPY, and end up the same."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select

from db.connection.database import Database, open_database
from db.models.core import FrameRow, ImageRow, RunRow, VideoRow
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
    row = {"video_id": "v", "width": None, "height": None, "sharpness": 1.5, "name": 'a "b"\\\t\n\x7f\u00e9'}
    return [row | {"id": number, "t_ms": 10 * number} | fields for number in range(1, count + 1)]


def stored(database: Database) -> list[tuple[Any, ...]]:
    with database.session() as session:
        return list(session.execute(select(*FrameRow.__table__.c).order_by(FrameRow.id)).tuples())


@pytest.mark.parametrize("count", SIZES)
def test_rows_come_back_as_they_went_in_however_often(database: Database, count: int) -> None:
    rows = frames(count)
    for _ in range(2):
        with database.transaction() as session:
            upsert(session, FrameRow, rows)
    columns = FrameRow.__table__.c.keys()
    assert stored(database) == [tuple(row[name] for name in columns) for row in rows]


@pytest.mark.parametrize("count", SIZES)
def test_what_is_there_is_filled_and_updated_as_asked_and_no_further(database: Database, count: int) -> None:
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
    found = {(row[3], row[4], row[5], row[6]) for row in stored(database)}
    assert found == {(64, None, 9.0, frames(1)[0]["name"])}


@pytest.mark.parametrize("count", SIZES)
def test_of_two_rows_with_one_key_the_last_stays(database: Database, count: int) -> None:
    with database.transaction() as session:
        rows = frames(count) + frames(1, sharpness=7.0)
        upsert(session, FrameRow, rows, update_columns=["sharpness"])
    assert [row[5] for row in stored(database)] == [7.0] + [1.5] * (count - 1)


def test_json_and_times_go_in_by_copy_as_they_do_row_by_row(database: Database) -> None:
    from datetime import datetime

    at = datetime(2026, 5, 1, 12, 30, 15, 250)  # the ledger's are UTC without saying so
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


def test_many_rows_are_one_statement_on_postgresql(database: Database) -> None:
    if database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no COPY, and no way to a server")
    asked: list[str] = []

    def keep(
        _connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, many: bool
    ) -> None:
        asked.append("many" if many else statement.split(maxsplit=1)[0])

    event.listen(database.engine, "before_cursor_execute", keep)
    with database.transaction() as session:
        upsert(session, FrameRow, frames(1000))
    assert "many" not in asked
    assert asked[-1] == "INSERT"


def test_a_second_key_still_forbids(database: Database) -> None:
    """Only the primary key may meet what is there: an image in two sets is an error."""
    from sqlalchemy.exc import IntegrityError

    rows = [
        {"video_id": "v", "position": n, "sha256": "same", "path": "", "name": ""} for n in range(COPY_FROM)
    ]
    with pytest.raises(IntegrityError), database.transaction() as session:
        upsert(session, ImageRow, rows)
