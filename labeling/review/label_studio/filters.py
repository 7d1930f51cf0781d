"""Listing the tasks of a project by the Data Manager's filters.

Pages are cut by task id, not by page number: tasks that come or go meanwhile shift no page.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from labeling.review.label_studio.http import Connection

Task = dict[str, Any]
"""A task in Label Studio's JSON."""
Filter = Mapping[str, object]


def where(column: str, operator: str, kind: str, value: object) -> Filter:
    """A condition on a column of the Data Manager; `kind` is Label Studio's type of the value."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def touched_after(moment: datetime) -> Filter:
    """Strictly later; UTC where it is naive."""
    utc = moment if moment.tzinfo is None else moment.astimezone(UTC)
    # Microseconds always: without them Label Studio answers 500.
    return where("updated_at", "greater", "Datetime", utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


UNTOUCHED = (
    where("total_annotations", "equal", "Number", 0),
    where("cancelled_annotations", "equal", "Number", 0),
)
"""Nobody has annotated or skipped it."""


def later_than(task: int) -> Filter:
    """Made after a task."""
    return where("id", "greater", "Number", task)


def one_of(tasks: Sequence[int]) -> Filter:
    """One of these ids."""
    return where("id", "in_list", "List", list(tasks))


def read_tasks(
    connection: Connection, project: int, filters: Sequence[Filter], *, page_size: int, **query: str
) -> Iterator[Task]:
    """Tasks that meet all filters, in order of id; `query` says which fields, as `/api/tasks/` takes it."""
    last = 0
    while True:
        page = read_page(connection, project, [*filters, later_than(last)], page_size=page_size, **query)
        yield from page["tasks"]
        if len(page["tasks"]) >= page["total"]:  # a server may give shorter pages than were asked for
            return
        last = page["tasks"][-1]["id"]


def count_tasks(connection: Connection, project: int, filters: Sequence[Filter]) -> int:
    """How many tasks meet all filters."""
    return int(read_page(connection, project, filters, page_size=1, include="id")["total"])


def read_page(
    connection: Connection, project: int, filters: Sequence[Filter], *, page_size: int, **query: str
) -> dict[str, Any]:
    """The first page of tasks that meet all filters, and the `total` of all pages."""
    asked = {"filters": {"conjunction": "and", "items": filters}, "ordering": ["tasks:id"]}
    page: dict[str, Any] = connection.get(
        "/api/tasks/",
        project=project,
        page_size=page_size,
        resolve_uri="false",
        query=json.dumps(asked),
        **query,
    )
    return page
