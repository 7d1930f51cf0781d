"""Values formatted for people."""

import math

import pytest

from labeling.text.phrases import format_below, format_masks, format_people, format_share_below


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (0.43, 0.7, "0.43 < 0.70"),
        (0.699, 0.7, "0.699 < 0.700"),
        (0.69999, 0.7, "0.69999 < 0.70000"),
        (0.0, 0.5, "0.00 < 0.50"),
        (math.nan, 0.5, "nan < 0.50"),
    ],
)
def test_digits_are_added_until_the_difference_shows(value: float, limit: float, text: str) -> None:
    assert format_below(value, limit) == text


def test_shares_are_per_cent() -> None:
    assert format_share_below(0.7, 0.9, what="inside") == "70 % inside < 90 %"
    assert format_share_below(0.8963, 0.9) == "89.6 % < 90.0 %"


def test_one_is_singular() -> None:
    assert [format_people(count) for count in (1, 2)] == ["1 person", "2 people"]
    assert [format_masks(count) for count in (1, 2)] == ["1 mask", "2 masks"]
