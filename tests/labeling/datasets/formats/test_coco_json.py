"""Records are equal to dictionaries written by the standard library."""

import json

from hypothesis import given
from hypothesis import strategies as st

from labeling.datasets.formats.coco_json import annotation_record, rle_json, with_keypoints
from labeling.datasets.records import DatasetInstance
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask
from tests.labeling.datasets.frames import image_of

TIES = st.integers(-(10**9), 10**9).map(lambda whole: (2 * whole + 1) / 200)
"""Doubles nearest to the middle between two hundredths: above or below it."""
NUMBERS = (
    st.floats(-1e22, 1e22) | st.floats(-2000, 2000) | TIES | st.sampled_from([2.675, 0.125, -0.001, 0.0])
)
SCORES = st.floats(0, 1) | st.sampled_from([0.0, 1e-4, 1e-5, 1e-7, 5e-324, 1.0])
TEXTS = st.text(st.characters(exclude_categories=()))  # with lone surrogates
COUNTS = st.text(st.characters(min_codepoint=48, max_codepoint=111)).map(str.encode)
"""The characters of COCO's compressed runs, with the backslash."""


PEOPLE = st.builds(
    DatasetInstance,
    id=st.integers(1, 2**53 - 1),
    mask=COUNTS.map(lambda counts: Mask((720, 1280), counts)),
    area_px=st.integers(1, 720 * 1280),
    tight_xywh=st.tuples(*[st.integers(0, 1280).map(float)] * 4),
    score=SCORES,
    box_xywh=st.tuples(*[NUMBERS] * 4),
    keypoints=st.none(),
    model=TEXTS,
    reviewer=st.none() | TEXTS,
)


@given(PEOPLE)
def test_the_standard_library_reads_the_record(one: DatasetInstance) -> None:
    expected = {
        "id": one.id,
        "image_id": 7,
        "category_id": 1,
        "iscrowd": 0,
        "area": one.area_px,
        "bbox": list(one.tight_xywh),
        "segmentation": {"size": [720, 1280], "counts": one.mask.counts.decode()},
        "model": one.model,
        "score": one.score,
        "reviewer": one.reviewer,
        "detector_bbox": [round(side, 2) for side in one.box_xywh],
    }
    record = annotation_record(image_of(7, (720, 1280)), one, rle_json(one.mask))
    assert json.loads(record) == expected
    assert list(json.loads(record)) == list(expected)
    assert record.isascii()


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(0, 1)), min_size=17, max_size=17).map(tuple))
def test_keypoints_agree_with_a_second_implementation(points: Keypoints) -> None:
    expected: list[float] = []
    seen = 0
    for x, y, confidence in points:
        is_there = not (x < 0 or y < 0 or x >= 1280 or y >= 720 or confidence < 0.2)
        expected += [round(x, 2), round(y, 2), 2 if confidence >= 0.5 else 1] if is_there else [0, 0, 0]
        seen += is_there
    written = json.loads(with_keypoints(b'{"id":1}', points, (720, 1280)))
    assert written == {"id": 1, "num_keypoints": seen, "keypoints": expected}
