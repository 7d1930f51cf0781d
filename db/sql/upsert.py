"""Repeatable inserts: a row that exists is updated or left unchanged."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select
from sqlalchemy import table as any_table
from sqlalchemy.orm import Session

from db.models.core import Base

COPY_FROM = 50
"""Number of rows from which PostgreSQL's COPY into a temporary table is faster than one statement per row."""


def upsert(
    session: Session,
    table: type[Base],
    rows: Sequence[Mapping[str, Any]],
    *,
    update_columns: Sequence[str] = (),
    fill_columns: Sequence[str] = (),
) -> None:
    """Insert rows; where the primary key exists, update the named columns, or leave the row unchanged.

    `fill_columns` are updated too, except with null.
    """
    if not rows:
        return
    from sqlalchemy.dialects import postgresql, sqlite  # only here: commands that read need neither

    target: Table = table.__table__  # type: ignore[assignment]  # every mapped class has one
    connection = session.connection()
    is_postgres = connection.dialect.name == "postgresql"
    statement: Any = (postgresql if is_postgres else sqlite).insert(target)
    by_copy = is_postgres and len(rows) >= COPY_FROM
    if by_copy:
        names = list(rows[0])
        incoming = _copy_in(connection, target, _unique_by_key(target, rows))
        statement = statement.from_select(
            names, select(*(incoming.c[name] for name in names)), include_defaults=False
        )
    changes: dict[str, Any] = {name: statement.excluded[name] for name in update_columns}
    changes |= {name: func.coalesce(statement.excluded[name], target.c[name]) for name in fill_columns}
    keys = list(target.primary_key)
    if changes:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changes)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    connection.execute(statement, None if by_copy else list(rows))


def _unique_by_key(target: Table, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the last row of each key: one statement may not update a row twice."""
    return list({tuple(row[key.name] for key in target.primary_key): row for row in rows}.values())


def _copy_in(connection: Connection, target: Table, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Fill a temporary table of this connection; it is emptied when the transaction ends."""
    columns = [target.c[name] for name in rows[0]]
    incoming = any_table(f"incoming_{target.name}", *(c._copy() for c in columns))
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {incoming.name} (LIKE {target.name} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
    )
    connection.execute(delete(incoming))  # rows of an earlier call in this transaction
    names = ", ".join(column.name for column in columns)
    bind = [
        column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) for column in columns
    ]
    driver: Any = connection.connection.driver_connection  # SQLAlchemy has no COPY, psycopg has
    with driver.cursor() as cursor, cursor.copy(f"COPY {incoming.name} ({names}) FROM STDIN") as copy:
        for row in rows:
            values = (row[column.name] for column in columns)
            copy.write_row(
                [convert(value) if convert else value for convert, value in zip(bind, values, strict=True)]
            )
    return incoming
