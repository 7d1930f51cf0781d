"""Marks by fixtures, and files that `-m` leaves out without importing them."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.selection import is_left_out, mark_by_fixtures

PREFECT = 'import prefect\n\npytestmark = pytest.mark.usefixtures("prefect")\n'
CHAOS = "pytestmark = [\n    pytest.mark.long,\n    pytest.mark.timeout(300),\n]\nx = [1]\n"


@pytest.mark.parametrize(
    ("source", "expression", "expected"),
    [
        (PREFECT, "not (slow or prefect)", True),
        (PREFECT, "not prefect", True),
        (PREFECT, "not (slow or shared)", False),
        (PREFECT, "prefect", False),
        (PREFECT, "not (slow and prefect)", False),
        (PREFECT, "", False),
        (CHAOS, "not long", True),
        (CHAOS, "not x", False),
        ("pytestmark = [pytest.mark.labelstudio, pytest.mark.slow]", "not (long or slow)", True),
        ("@pytest.mark.slow\ndef test_a(): ...", "not slow", False),
    ],
)
def test_a_file_is_left_out_when_all_its_tests_are(source: str, expression: str, expected: bool) -> None:
    assert is_left_out(source, expression) == expected


@pytest.mark.parametrize(
    ("fixtures", "parameters", "expected"),
    [
        (["tmp_path", "shared", "prefect"], {}, {"shared", "prefect"}),
        (["database_url"], {"database_url": "postgresql"}, {"postgresql"}),
        (["database_url"], {"database_url": "sqlite", "mask": np.zeros(3)}, set()),
        (["images"], {"images": "bucket"}, {"s3"}),
    ],
)
def test_a_test_gets_the_marks_of_what_it_starts(
    request: pytest.FixtureRequest, fixtures: list[str], parameters: dict[str, object], expected: set[str]
) -> None:
    item = pytest.Function.from_parent(request.node.parent, name="test_it", callobj=lambda: None)
    item.fixturenames = fixtures
    item.callspec = SimpleNamespace(params=parameters)  # type: ignore[assignment]
    mark_by_fixtures(item)
    assert {mark.name for mark in item.own_markers} == expected
