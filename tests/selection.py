"""Marks that tests get from their fixtures, and files that `-m` leaves out as a whole."""

import re

import pytest

_MARK_OF_FIXTURE = {
    "prefect": "prefect",
    "prefect_server": "prefect",
    "postgres": "postgresql",
    "studio": "labelstudio",
    "shared": "shared",
    "s3_server": "s3",
}
_MARK_OF_PARAMETER = {"postgresql": "postgresql", "s3": "s3", "bucket": "s3"}
"""Fixtures such as `database_url` start a server by their parameter."""
_FILE_MARKS = re.compile(r"^pytestmark = (\[.*?^\]|.*?$)", re.M | re.S)
_MARK = re.compile(r"pytest\.mark\.(?:usefixtures\(\"(\w+)\"\)|(\w+))")
_LEFT_OUT = re.compile(r"not (?:(\w+)|\(((?:\w+ or )*\w+)\))")


def mark_by_fixtures(item: pytest.Item) -> None:
    """Add the marks of the servers and files that the test's fixtures start or find."""
    for fixture in _MARK_OF_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
        item.add_marker(_MARK_OF_FIXTURE[fixture])
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    for parameter in {one for one in parameters if isinstance(one, str)} & _MARK_OF_PARAMETER.keys():
        item.add_marker(_MARK_OF_PARAMETER[parameter])


def is_left_out(source: str, expression: str) -> bool:
    """Return whether no test of a file can be selected by an expression such as `not (slow or prefect)`.

    Only `pytestmark` is read, so that the file and its libraries need not be imported.
    """
    left_out = _LEFT_OUT.fullmatch(expression)
    file_marks = _FILE_MARKS.search(source)
    if left_out is None or file_marks is None:
        return False
    marks = {_MARK_OF_FIXTURE.get(fixture, mark) for fixture, mark in _MARK.findall(file_marks[1])}
    return not marks.isdisjoint((left_out[1] or left_out[2]).split(" or "))
