"""Everything a run left, for comparing two homes."""

from pathlib import Path
from typing import Any

from sqlalchemy import select

import db.models.datasets  # whoever has not used them yet has fewer tables
import db.models.review  # noqa: F401
from db.connection.database import open_database
from db.models.core import Base
from labeling.storage.home import Home
from tasks.execution.context import database_url

VOLATILE = {"started_at", "worked_at", "finished_at", "planned_at", "seconds", "attempts", "attempts_lost"}
"""Clock times and the numbers of tries: all that may differ."""


def dump_rows(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables in order, less what may differ."""
    database = open_database(database_url(Home(home)))
    tables: dict[str, list[tuple[Any, ...]]] = {}
    with database.session() as session:
        for table in Base.metadata.sorted_tables:
            columns = [column for column in table.columns if column.name not in VOLATILE]
            rows = session.execute(select(*columns).order_by(*table.primary_key.columns))
            tables[table.name] = [tuple(str(value) for value in row) for row in rows]
    database.close()
    return tables


def dump_files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
