"""Listing of tasks from a server that limits its pages."""

import json
from typing import Any

import pytest

from labeling.review.label_studio.filters import read_tasks

TASKS = list(range(1, 12))


class PagedServer:
    """Responds like Label Studio, with at most `longest` tasks per page."""

    def __init__(self, longest: int, tasks: list[int]) -> None:
        self.longest, self.tasks, self.requests = longest, tasks, 0

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        self.requests += 1
        after = json.loads(query["query"])["filters"]["items"][-1]["value"]
        left = [number for number in self.tasks if number > after]
        page = left[: min(self.longest, query["page_size"])]
        return {"total": len(left), "tasks": [{"id": number} for number in page]}


@pytest.mark.parametrize("longest", [1, 3, 11, 100])
def test_all_tasks_are_read_however_short_the_pages_are(longest: int) -> None:
    server: Any = PagedServer(longest, TASKS)
    assert [task["id"] for task in read_tasks(server, 1, [], page_size=5)] == TASKS


def test_an_empty_project_is_read_with_one_request() -> None:
    server: Any = PagedServer(5, [])
    assert list(read_tasks(server, 1, [], page_size=5)) == []
    assert server.requests == 1
