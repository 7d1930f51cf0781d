"""The fast encoder writes the same bytes as the standard library."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.datasets.provenance import record_line

TEXTS = st.text(st.characters(codec="ascii")) | st.text(st.characters(exclude_categories=()))
"""With lone surrogates, which file names may have."""


@given(st.integers(1, 2**53 - 1), TEXTS, st.none() | TEXTS)
def test_a_record_is_written_as_by_the_standard_library(number: int, title: str, split: str | None) -> None:
    record = {"id": number, "title": title, "split": split, "size": [1, 2]}
    assert record_line(record) == json.dumps(record, separators=(",", ":")).encode()


@pytest.mark.parametrize("text", ["a\x7fb", "caf\u00e9", "\ud800", 'quo"te\\', "\u2028", "\x00"])
def test_characters_that_the_fast_encoder_does_not_escape_are_escaped(text: str) -> None:
    expected = json.dumps({"id": 1, "title": text}, separators=(",", ":")).encode()
    assert record_line({"id": 1, "title": text}) == expected
