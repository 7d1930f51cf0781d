"""Masks against decoded pixels and against pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from configs.errors import ModelOutputWrong
from labeling.structures.masks import (
    BoolArray,
    Mask,
    fill_box,
    flip_mask,
    intersect_masks,
    intersection_areas,
    iou_matrix,
    mask_areas,
    mask_boxes,
    union_masks,
)
from tests.labeling.strategies import draw, images, sides, sizes_hw

Sides = tuple[list[BoolArray], list[BoolArray]]

RING_AND_DOT = draw(
    "####.",
    "#..#.",
    "####.",
    "....#",
)


def encode_all(images: list[BoolArray]) -> list[Mask]:
    return [Mask.from_array(image) for image in images]


def boxed(image: BoolArray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if not len(rows):
        return (0, 0, 0, 0)
    return (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)


@given(images())
def test_a_mask_decodes_to_its_pixels(image: BoolArray) -> None:
    assert np.array_equal(Mask.from_array(image).to_array(), image)


@given(images())
def test_a_mask_has_the_encoding_of_pycocotools(image: BoolArray) -> None:
    theirs = coco_mask.encode(np.asfortranarray(image.astype(np.uint8)))
    assert Mask.from_array(image).to_coco() == theirs


@pytest.mark.slow
@given(images())
def test_area_and_box_are_those_of_the_pixels(image: BoolArray) -> None:
    mask = Mask.from_array(image)
    assert mask.area_px == np.count_nonzero(image)
    assert mask.box_xywh == boxed(image)
    assert bool(mask) == image.any()


@pytest.mark.slow
@given(images())
def test_a_mirrored_mask_has_the_mirrored_pixels(image: BoolArray) -> None:
    mask = Mask.from_array(image)
    assert np.array_equal(flip_mask(mask).to_array(), image[:, ::-1])
    assert flip_mask(flip_mask(mask)) == mask


@given(images(), st.data())
def test_a_crop_is_the_same_as_cutting_the_decoded_mask(image: BoolArray, data: st.DataObject) -> None:
    height, width = image.shape
    x, y = data.draw(st.integers(0, width)), data.draw(st.integers(0, height))
    w, h = data.draw(st.integers(0, width - x)), data.draw(st.integers(0, height - y))
    crop = Mask.from_array(image).to_crop((x, y, w, h))
    assert np.array_equal(crop, image[y : y + h, x : x + w])


@pytest.mark.parametrize("seed", range(4))
def test_a_crop_of_a_large_mask_is_right_where_runs_are_long(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.random((9, 16)) < 0.4
    image = np.kron(coarse, np.ones((83, 71), dtype=np.bool_)).astype(np.bool_)
    image[rng.integers(0, 747, 500), rng.integers(0, 1136, 500)] ^= True
    mask = Mask.from_array(image)
    assert np.array_equal(mask.to_crop((301, 77, 640, 500)), image[77:577, 301:941])
    assert Mask.from_coco(mask.to_coco()) == mask


def test_a_hole_and_a_second_part_survive() -> None:
    mask = Mask.from_array(RING_AND_DOT)
    assert mask.area_px == 11
    assert mask.box_xywh == (0, 0, 5, 4)
    assert np.array_equal(mask.to_array(), RING_AND_DOT)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_every_nonzero_value_belongs_to_the_mask(dtype: type[np.generic]) -> None:
    assert Mask.from_array(RING_AND_DOT.astype(dtype)) == Mask.from_array(RING_AND_DOT)
    assert Mask.from_array(RING_AND_DOT * np.uint8(7)) == Mask.from_array(RING_AND_DOT)


@pytest.mark.parametrize(
    "view",
    [
        RING_AND_DOT[::-1],
        RING_AND_DOT[:, ::2],
        np.asfortranarray(RING_AND_DOT),
        RING_AND_DOT.T,
        RING_AND_DOT[1:, 1:3],
    ],
    ids=["upside down", "every other column", "column-major", "transposed", "cut out"],
)
def test_the_order_in_memory_does_not_matter(view: BoolArray) -> None:
    assert np.array_equal(Mask.from_array(view).to_array(), view)


@given(st.integers(0, 4).flatmap(lambda n: sizes_hw.flatmap(lambda hw: st_numpy.arrays(np.bool_, (n, *hw)))))
def test_a_stack_is_encoded_as_its_images_are(stack: NDArray[np.bool_]) -> None:
    assert Mask.from_stack(stack) == [Mask.from_array(image) for image in stack]


@pytest.mark.parametrize("size_hw", [(0, 0), (0, 5), (5, 0), (1, 1), (4, 5)])
def test_an_empty_mask_of_any_size_is_empty(size_hw: tuple[int, int]) -> None:
    mask = Mask.empty(size_hw)
    assert mask == Mask.from_array(np.zeros(size_hw, dtype=np.uint8))
    assert mask.size_hw == size_hw
    assert (mask.area_px, mask.box_xywh, bool(mask)) == (0, (0, 0, 0, 0), False)
    assert mask.to_array().shape == size_hw
    assert mask.to_crop((0, 0, 0, 0)).size == 0


def test_nan_pixels_are_refused() -> None:
    with pytest.raises(ModelOutputWrong, match="1 of 4 mask pixels are NaN"):
        Mask.from_array(np.array([[0.0, 1.0], [np.nan, 0.0]]))


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(ModelOutputWrong, match=r"HxW array, got the shape \(4, 5, 1\)"):
        Mask.from_array(RING_AND_DOT[:, :, None])
    with pytest.raises(ModelOutputWrong, match=r"NxHxW array, got the shape \(4, 5\)"):
        Mask.from_stack(RING_AND_DOT)


@pytest.mark.parametrize(
    "counts", [b"", b"0", b"04", b"0h0", b"zzzz", b"\x00", b"P" * 20, "0§", b"ggggggggggggggg0"]
)
def test_a_broken_rle_is_refused(counts: bytes | str) -> None:
    with pytest.raises(ModelOutputWrong, match=r"4x4 pixels.*add up to 16"):
        Mask.from_coco({"size": [4, 4], "counts": counts})


def test_a_negative_run_is_refused() -> None:
    runs_of_20_minus_5_and_1 = b"d0K1"
    with pytest.raises(ModelOutputWrong, match="got 16 in 3 runs, the shortest -5"):
        Mask.from_coco({"size": [4, 4], "counts": runs_of_20_minus_5_and_1})


def test_an_rle_of_another_image_size_is_refused() -> None:
    rle = Mask.from_array(RING_AND_DOT).to_coco()
    with pytest.raises(ModelOutputWrong, match="add up to 30, got 20"):
        Mask.from_coco({**rle, "size": [5, 6]})


def test_coco_counts_may_be_bytes_text_or_a_list() -> None:
    mask = Mask.from_array(draw(".##.", "####"))
    runs = [1, 5, 1, 1]
    assert Mask.from_coco({"size": [2, 4], "counts": runs}) == mask
    assert Mask.from_coco({"size": [2, 4], "counts": mask.counts}) == mask
    assert Mask.from_coco({"size": [2, 4], "counts": mask.counts.decode()}) == mask


HOSTILE_RUNS: tuple[list[object], ...] = (
    [0, 0, *[4294967295, 4294967295, 0, 0] * 5000],
    [4294967295, 9],  # 8 in 32 bits
    [-4, 12],
    [8, 2**63, -(2**63)],
    [True, 7],
    [3.5, 4.5],
    ["8"],
    [None],
    [],
)


@pytest.mark.parametrize("runs", HOSTILE_RUNS, ids=str)
def test_runs_that_do_not_fill_the_image_never_reach_pycocotools(
    runs: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write outside of its memory."""
    monkeypatch.setattr("labeling.structures.masks.coco_mask.frPyObjects", None)
    with pytest.raises(ModelOutputWrong, match="RLE"):
        Mask.from_coco({"size": [2, 4], "counts": runs})


@given(st.lists(st.one_of(st.integers(), st.integers(0, 9), st.floats(), st.booleans()), max_size=12))
def test_any_list_of_runs_is_a_mask_or_an_error(runs: list[object]) -> None:
    try:
        mask = Mask.from_coco({"size": [2, 4], "counts": runs})
    except ModelOutputWrong:
        return
    assert mask.to_array().shape == (2, 4)
    assert sum(runs) == 8  # type: ignore[arg-type]  # numbers, since it was accepted


@given(st.one_of(st.binary(max_size=12), st.text("0123456789:;<=>?@PQRo", max_size=12)))
def test_any_string_of_runs_is_a_mask_or_an_error(counts: bytes | str) -> None:
    try:
        mask = Mask.from_coco({"size": [2, 4], "counts": counts})
    except ModelOutputWrong:
        return
    assert 0 <= mask.area_px == int(mask.to_array().sum()) <= 8


def test_equal_pixels_are_equal_masks_from_any_encoding() -> None:
    assert Mask.from_coco({"size": [2, 4], "counts": [1, 2, 0, 3, 1, 1]}) == Mask.from_array(
        draw(".##.", "####")
    )


@given(sides())
def test_unions_and_intersections_are_those_of_the_pixels(both: Sides) -> None:
    images = [*both[0], *both[1]]
    if not images:
        return
    masks = encode_all(images)
    union = union_masks(masks, masks[0].size_hw)
    assert union == Mask.from_array(np.logical_or.reduce(images))
    assert intersect_masks(masks[0], masks[-1]) == Mask.from_array(images[0] & images[-1])


def test_the_union_of_nothing_is_empty() -> None:
    assert union_masks([], (3, 4)) == Mask.empty((3, 4))


@given(sides())
def test_areas_intersections_and_ious_are_those_of_the_pixels(both: Sides) -> None:
    rows, columns = encode_all(both[0]), encode_all(both[1])
    common = [[np.count_nonzero(r & c) for c in both[1]] for r in both[0]]
    joint = [[np.count_nonzero(r | c) for c in both[1]] for r in both[0]]
    shape = (len(rows), len(columns))
    expected = np.array(common, dtype=np.int64).reshape(shape)
    assert mask_areas(rows).tolist() == [np.count_nonzero(r) for r in both[0]]
    assert np.array_equal(intersection_areas(rows, columns), expected)
    assert np.array_equal(iou_matrix(rows, columns), expected / np.maximum(1, np.array(joint).reshape(shape)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_intersections_of_large_masks_are_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.random((1080, 1920)) < share for share in (0.9, 0.5, 0.01)]
    expected = [[np.count_nonzero(r & c) for c in images] for r in images]
    assert intersection_areas(encode_all(images), encode_all(images)).tolist() == expected


def test_no_masks_give_matrices_without_rows_or_columns() -> None:
    mask = Mask.from_array(RING_AND_DOT)
    assert iou_matrix([], []).shape == (0, 0)
    assert iou_matrix([mask], []).shape == (1, 0)
    assert intersection_areas([], [mask, mask]).shape == (0, 2)
    assert mask_areas([]).shape == (0,)


def test_two_empty_masks_have_no_iou() -> None:
    empty = Mask.empty((4, 4))
    assert iou_matrix([empty], [empty]).tolist() == [[0.0]]


def test_masks_of_different_sizes_are_not_compared() -> None:
    first, second = Mask.empty((4, 5)), Mask.empty((5, 4))
    for compare in (iou_matrix, intersection_areas):
        with pytest.raises(ModelOutputWrong, match=r"\(5, 4\) and \(4, 5\)"):
            compare([first], [second])
    with pytest.raises(ModelOutputWrong, match="cannot be compared"):
        intersect_masks(first, second)
    with pytest.raises(ModelOutputWrong, match="cannot be compared"):
        union_masks([first], (5, 4))


@pytest.mark.parametrize("count", [0, 1, 255, 256, 600])
def test_any_number_of_masks_is_measured_in_one_call(count: int) -> None:
    """pycocotools fails from 256 areas on."""
    images = [np.arange(30).reshape(5, 6) < number % 31 for number in range(count)]
    masks = encode_all(images)
    assert mask_areas(masks).tolist() == [int(image.sum()) for image in images]
    assert mask_boxes(masks).tolist() == [list(mask.box_xywh) for mask in masks]
    assert mask_boxes(masks).shape == (count, 4)


def test_a_box_over_the_edge_fills_what_is_in_the_image() -> None:
    assert fill_box((-2.0, 1.4, 4.0, 30.0), (5, 6)).box_xywh == (0, 1, 2, 4)
    assert not fill_box((-9.0, 0.0, 4.0, 5.0), (5, 6))
    assert fill_box((0, 0, 6, 5), (5, 6)).area_px == 30
