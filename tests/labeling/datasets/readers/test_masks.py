"""Label images and COCO records made elsewhere."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from configs.errors import ModelOutputWrong
from labeling.datasets.readers.coco import read_coco_records
from labeling.datasets.readers.coco_categories import person_ids
from labeling.datasets.readers.coco_geometry import read_segmentation
from labeling.datasets.readers.masks import read_label_png, read_probability_png
from labeling.text.json_text import read_json

LABELS = np.array(
    [
        [0, 0, 0, 0, 0],
        [0, 3, 3, 0, 1],
        [0, 3, 3, 0, 1],
        [0, 0, 0, 0, 1],
    ],
    dtype=np.uint8,
)


def png(pixels: NDArray[Any], mode: str | None = None) -> bytes:
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, "png")
    return file.getvalue()


def with_palette(pixels: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def areas(data: bytes, size_hw: tuple[int, int] = (4, 5)) -> list[int]:
    return [instance.mask.area_px for instance in read_label_png(data, size_hw, origin="x")]


def test_each_value_is_an_instance_in_the_order_of_values() -> None:
    found = read_label_png(png(LABELS), (4, 5), origin="x")
    assert [i.mask.to_array().tolist() for i in found] == [(LABELS == 1).tolist(), (LABELS == 3).tolist()]
    assert [i.box_xywh for i in found] == [(4, 1, 1, 3), (1, 1, 2, 2)]
    assert [i.score for i in found] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (with_palette(LABELS), [3, 4]),
        (png(LABELS.astype(np.uint16) * 300), [3, 4]),
        (png(LABELS, "RGB"), [3, 4]),
        (png(LABELS, "LA"), [3, 4]),
        (png(LABELS > 0), [7]),
        (png((LABELS > 0).astype(np.uint8) * 255), [7]),
        (png(LABELS * 0), []),
        (png(np.where(LABELS == 1, 255, LABELS).astype(np.uint8)), [4]),  # an undecided border
    ],
    ids=["palette", "16 bits", "gray as RGB", "gray with alpha", "1 bit", "0 and 255", "empty", "void"],
)
def test_every_kind_of_label_image_is_read(data: bytes, expected: list[int]) -> None:
    assert areas(data) == expected


def test_levels_of_gray_are_not_labels() -> None:
    with pytest.raises(ModelOutputWrong, match="99 different values"):
        areas(png(np.arange(100, dtype=np.uint8).reshape(10, 10)), (10, 10))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(LABELS)[:40], "not a readable PNG"),
        (b"<html>busy</html>", "not a readable PNG"),
        (b"", "not a readable PNG"),
        (png(np.stack([LABELS, LABELS * 2, LABELS], axis=2)), "colored"),
        (png(LABELS[:3]), "the mask is 5x3 px, its frame 5x4"),
    ],
    ids=["cut", "html", "nothing", "colored", "size"],
)
def test_an_unusable_image_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ModelOutputWrong, match=rf"^mine.*({message})"):
        read_label_png(data, (4, 5), origin="mine")


def test_a_probability_map_is_thresholded_and_its_mean_is_the_score() -> None:
    levels = np.array([[0, 102, 153, 255]], dtype=np.uint8)
    found = read_probability_png(png(levels), (1, 4), mask_threshold=0.5, origin="x")
    assert found[0].mask.to_array().tolist() == [[False, False, True, True]]
    assert found[0].score == pytest.approx(0.8)
    assert found[0].stability == 0.5  # 0.6 is not sure, 1 is
    assert read_probability_png(png(levels), (1, 4), mask_threshold=1.0, origin="x") == []
    with pytest.raises(ModelOutputWrong, match="must have 8 bits"):
        read_probability_png(png(levels.astype(np.uint16)), (1, 4), mask_threshold=0.5, origin="x")


def rle(pixels: NDArray[Any]) -> dict[str, Any]:
    made = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return {"size": made["size"], "counts": made["counts"].decode()}


def test_compressed_plain_and_polygon_segmentations_are_the_same_mask() -> None:
    square = np.zeros((6, 8), dtype=np.uint8)
    square[1:4, 2:5] = 1
    plain = {"size": [6, 8], "counts": [13, 3, 3, 3, 3, 3, 20]}
    polygon = [[2, 1, 5, 1, 5, 4, 2, 4]]
    records = [{"segmentation": s, "score": 0.5, "category_id": 1} for s in (rle(square), plain, polygon)]
    found = read_coco_records(records, (6, 8), origin="x")
    assert [i.mask.to_array().tolist() for i in found] == [square.astype(bool).tolist()] * 3
    assert {i.score for i in found} == {0.5}
    assert {i.box_xywh for i in found} == {(2.0, 1.0, 3.0, 3.0)}


def test_polygons_of_one_record_are_united() -> None:
    record = {"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2], [4, 4, 6, 4, 6, 6, 4, 6]]}
    assert [i.mask.area_px for i in read_coco_records([record], (8, 8), origin="x")] == [8]


def test_other_categories_crowds_and_empty_masks_are_left_out() -> None:
    full, empty = rle(np.ones((2, 2))), rle(np.zeros((2, 2)))
    records = [
        {"segmentation": full, "category_id": 3},
        {"segmentation": full, "category_id": 1, "iscrowd": 1},
        {"segmentation": empty, "category_id": 1},
        {"segmentation": full, "category_id": 7},
        {"segmentation": full},
    ]
    assert len(read_coco_records(records, (2, 2), origin="x")) == 1
    assert len(read_coco_records(records, (2, 2), origin="x", people=frozenset({"7"}))) == 2


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("person", "is str"),
        ({"category_id": 1}, "no segmentation"),
        ({"segmentation": rle(np.ones((3, 3)))}, "3x3 px, its frame 2x2"),
        ({"segmentation": {"size": [2, 2], "counts": [1, 1]}}, "add up to 4"),
        ({"segmentation": {"size": [2, 2], "counts": "zz~~"}}, "add up to 4"),
        ({"segmentation": {"counts": [1, 2]}}, "add up to 4"),
        ({"segmentation": {"size": 4, "counts": "04"}}, r"size of an RLE is \[height, width\], got 4"),
        ({"segmentation": {"size": [2], "counts": "04"}}, r"size of an RLE is \[height, width\], got \[2\]"),
        ({"segmentation": [[0, 0, 1, 1]]}, "three points"),
        ({"segmentation": [[0, 0, 1, 1, "left", 0]]}, "cannot be read"),
        ({"segmentation": [[0, 0, 1, 1, float("nan"), 0]]}, "finite"),
        ({"segmentation": rle(np.ones((2, 2))), "score": 7}, "score 7"),
        ({"segmentation": rle(np.ones((2, 2))), "score": float("nan")}, "score nan"),
        ({"segmentation": rle(np.ones((2, 2))), "score": "high"}, "score 'high'"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(record: object, message: str) -> None:
    good = {"segmentation": rle(np.ones((2, 2)))}
    with pytest.raises(ModelOutputWrong, match=rf"^mine, record 1.*{message}"):
        read_coco_records([good, record], (2, 2), origin="mine")


def test_people_are_found_by_the_name_of_their_category() -> None:
    assert person_ids([{"id": 4, "name": "person"}, {"id": 1, "name": "car"}], origin="x") == {"4"}
    assert person_ids([], origin="x") == {"1"}


def test_an_rle_without_a_size_has_that_of_its_image() -> None:
    pixels = np.array([[0, 1], [1, 1]], np.uint8)
    whole = rle(pixels)
    for size in ({}, {"size": None}, {"size": ["2", 2.0]}):
        records = [{"segmentation": {"counts": whole["counts"], **size}}]
        (found,) = read_coco_records(records, (2, 2), origin="x")
        assert (found.mask.to_array() == (pixels > 0)).all()


@pytest.mark.parametrize("far", [1e9, -1e9, 1e30, 2.0**31, 200_000.0, 101.0])
def test_a_polygon_far_outside_its_image_never_reaches_pycocotools(far: float) -> None:
    """It takes them for 32-bit integers, and ends the process or fills its memory."""
    with pytest.raises(ModelOutputWrong, match="far outside the image of 10x8"):
        read_segmentation([[0, 0, far, 0, far, 7]], (8, 10), "one")
    assert read_segmentation([[0, 0, 20, 0, 20, 8, 0, 8]], (8, 10), "one").area_px == 80


def test_nested_brackets_are_no_json() -> None:
    with pytest.raises(ValueError, match="brackets within brackets"):
        read_json("[" * 200_000)
