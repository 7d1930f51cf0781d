"""Files are known by their markers."""

import pytest

from tests.sharing_out import rank


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("tests/flows/test_review.py", 0),
        ("tests/flows/test_kill.py", 1),
        ("tests/labeling/structures/test_keypoints.py", 2),
    ],
)
def test_what_wants_a_label_studio_begins_then_what_is_slow(file: str, expected: int) -> None:
    assert rank(f"{file}::test_something") == expected
