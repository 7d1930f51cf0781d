"""Listing of a project's tasks with the Data Manager's filters.

Pages are limited by task id, not by page number, so tasks that are added or deleted meanwhile shift no page.
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
    """Return a condition on a column of the Data Manager; `kind` is Label Studio's type of the value."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


UNTOUCHED = (
    where("total_annotations", "equal", "Number", 0),
    where("cancelled_annotations", "equal", "Number", 0),
)
"""Tasks without an annotation or a skip."""


def id_after(task: int) -> Filter:
    return where("id", "greater", "Number", task)


def id_in(tasks: Sequence[int]) -> Filter:
    return where("id", "in_list", "List", list(tasks))


def touched_after(moment: datetime) -> Filter:
    """Return a condition for tasks changed strictly after `moment` (naive: UTC)."""
    utc = moment if moment.tzinfo is None else moment.astimezone(UTC)
    # Always with microseconds: without them Label Studio answers 500.
    return where("updated_at", "greater", "Datetime", utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def read_tasks(
    connection: Connection, project: int, filters: Sequence[Filter], *, page_size: int, **fields: str
) -> Iterator[Task]:
    """Yield the tasks that meet all filters, ordered by id; `fields` are parameters of `/api/tasks/`."""
    last = 0
    while True:
        conditions = {"conjunction": "and", "items": [*filters, id_after(last)]}
        page = connection.get(
            "/api/tasks/",
            project=project,
            page_size=page_size,
            resolve_uri="false",
            query=json.dumps({"filters": conditions, "ordering": ["tasks:id"]}),
            **fields,
        )
        yield from page["tasks"]
        if len(page["tasks"]) >= page["total"]:  # the server may limit the page size
            return
        last = page["tasks"][-1]["id"]
