"""Short forms of frequent queries."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from more_itertools import batched
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Executable, Select, bindparam, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models.core import Base

PAGE = 500
"""Ids in one statement, and rows read at a time: SQLite before 3.32 takes at most 999 parameters."""

Columns = TypeVar("Columns", bound=tuple[Any, ...])


def select_by_ids(
    session: Session, query: Select[Columns], column: InstrumentedAttribute[Any], ids: Iterable[int | str]
) -> Iterator[Columns]:
    """Yield the rows of a query whose column is one of `ids`; one statement is executed per page of ids."""
    for page in batched(ids, PAGE):
        yield from session.execute(query.where(column.in_(page))).tuples()


def raw_rows(session: Session, query: Executable, parameters: Mapping[str, Any]) -> list[Any]:
    """Return all rows as tuples of the driver's values: JSON may be text, and bytes are not copied."""
    with session.connection().execute(query, parameters) as result:
        cursor: Any = result.cursor
        return cast("list[Any]", cursor.fetchall())


def is_one_of(column: InstrumentedAttribute[int], dialect: str) -> ColumnElement[bool]:
    """Return whether a column is one of the parameter `ids`, a list.

    PostgreSQL gets them as one array: the statement is always the same and is prepared once, which takes two thirds of the
    time of a statement with hundreds of parameters.
    """
    if dialect == "postgresql":
        return column == func.any(bindparam("ids", type_=ARRAY(BigInteger)))
    return column.in_(bindparam("ids", expanding=True))


def count_rows(session: Session, table: type[Base], *conditions: ColumnElement[bool]) -> int:
    """Return the number of rows that fulfill all conditions."""
    return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def read_consistently(session: Session) -> None:
    """Have everything that a new session reads come from one moment; in SQLite it does so anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
