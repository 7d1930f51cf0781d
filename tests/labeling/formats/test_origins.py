"""Records are written by a quick encoder as the slow one would write them, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.formats.origins import record_line, record_lines

PLAIN = st.text(st.characters(codec="ascii"))
TEXTS = PLAIN | st.text(st.characters(exclude_categories=()))  # lone surrogates too, as file names may have
SCORES = st.floats(0, 1) | st.sampled_from([0.0, 1e-4, 9.99e-5, 1e-5, 1e-7, 5e-324, 1.0])


@given(TEXTS, SCORES, st.integers(1, 2**53 - 1), st.lists(st.floats(-1e22, 1e22).map(lambda x: round(x, 2))))
def test_a_record_is_written_as_by_the_standard_library(
    text: str, score: float, number: int, box: list[float]
) -> None:
    record = {
        "id": number,
        "title": text,
        "score": score,
        "box": box,
        "none": None,
        "split": {"size": [1, 2]},
    }
    expected = json.dumps(record, separators=(",", ":")).encode()
    assert record_line(record, least=score or 1.0) == expected


@pytest.mark.parametrize("text", ["a\x7fb", "caf\u00e9", "\ud800", 'quo"te\\', "\u2028", "\x00"])
def test_characters_that_the_quick_encoder_leaves_alone_are_escaped(text: str) -> None:
    assert record_line({"title": text}) == json.dumps({"title": text}, separators=(",", ":")).encode()


@given(st.lists(st.tuples(TEXTS, SCORES)))
def test_many_records_are_written_as_each_alone(told: list[tuple[str, float]]) -> None:
    records = [{"title": title, "score": score} for title, score in told]
    leasts = [score or 1.0 for _, score in told]
    expected = ",\n".join(json.dumps(record, separators=(",", ":")) for record in records)
    assert record_lines(records, leasts) == expected.encode()


def test_one_record_that_the_quick_encoder_cannot_write_leaves_the_others_as_they_are() -> None:
    records = [{"reviewer": "ann"}, {"reviewer": "J\u00f6rg"}, {"reviewer": "\ud800"}]
    assert record_lines(records) == b'{"reviewer":"ann"},\n{"reviewer":"J\\u00f6rg"},\n{"reviewer":"\\ud800"}'
