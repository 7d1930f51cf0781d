"""Records are written by a quick encoder as the slow one would write them, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.formats.origins import record_lines

PLAIN = st.text(st.characters(codec="ascii"))
TEXTS = PLAIN | st.text(st.characters(exclude_categories=()))  # lone surrogates too, as file names may have
SCORES = st.floats(0, 1) | st.sampled_from([0.0, 1e-4, 9.99e-5, 1e-5, 1e-7, 5e-324, 1.0])


BOXES = st.lists(st.floats(-1e22, 1e22).map(lambda x: round(x, 2)))
BETWEEN_RECORDS = st.sampled_from(
    ['},{"id":', '"},{"id":', "},{", '{"id":1},{"id":2}', '\\"},{"id":', '[{"id":']
)


@given(st.lists(st.tuples(st.integers(1, 2**53 - 1), TEXTS | BETWEEN_RECORDS, SCORES, BOXES)))
def test_records_are_written_as_by_the_standard_library(
    told: list[tuple[int, str, float, list[float]]],
) -> None:
    records = [
        {"id": number, "title": text, "score": score, "box": box, "none": None, "split": {"size": (1, 2)}}
        for number, text, score, box in told
    ]
    expected = ",\n".join(json.dumps(record, separators=(",", ":")) for record in records)
    assert record_lines(records, [score or 1.0 for _, _, score, _ in told]) == expected.encode()


@given(
    st.text(st.characters(min_codepoint=48, max_codepoint=111)), st.lists(st.integers(0, 10**9), min_size=4)
)
def test_the_runs_of_masks_are_written_as_by_the_standard_library(counts: str, box: list[int]) -> None:
    """COCO's string has backslashes."""
    mask = {"size": (720, 1280), "counts": counts}
    records = [
        {"id": 1, "bbox": tuple(map(float, box)), "segmentation": mask},
        {"id": 2, "segmentation": mask},
    ]
    assert [json.loads(line.removesuffix(b",")) for line in record_lines(records).splitlines()] == json.loads(
        json.dumps(records)
    )


@pytest.mark.parametrize("text", ["a\x7fb", "caf\u00e9", "\ud800", 'quo"te\\', "\u2028", "\x00"])
def test_characters_that_the_quick_encoder_leaves_alone_are_escaped(text: str) -> None:
    expected = json.dumps({"id": 1, "title": text}, separators=(",", ":")).encode()
    assert record_lines([{"id": 1, "title": text}]) == expected


def test_one_record_that_the_quick_encoder_cannot_write_leaves_the_others_as_they_are() -> None:
    records = [{"reviewer": "ann"}, {"reviewer": "J\u00f6rg"}, {"reviewer": "\ud800"}]
    assert record_lines(records) == b'{"reviewer":"ann"},\n{"reviewer":"J\\u00f6rg"},\n{"reviewer":"\\ud800"}'
