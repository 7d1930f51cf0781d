"""What an image of masks is, decided from its values."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ModelOutputWrong
from labeling.datasets.readers.label_images import read_label_image, sort_gray
from labeling.datasets.readers.masks import read_probability_png


def saved(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(pixels: NDArray[Any]) -> bytes:
    return saved(Image.fromarray(pixels))


def person() -> NDArray[np.uint8]:
    """Return a figure of 255 in 60x80 pixels."""
    pixels = np.zeros((60, 80), dtype=np.uint8)
    cv2.circle(pixels, (40, 15), 7, 255, -1)
    cv2.rectangle(pixels, (32, 22), (48, 55), 255, -1)
    return pixels


def soft() -> NDArray[np.uint8]:
    small = cv2.resize(person(), (40, 30), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (80, 60), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def jpeg() -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(saved(Image.fromarray(person()), "jpeg", quality=85))))


def trimap() -> NDArray[np.uint8]:
    wide = cv2.dilate(person(), np.ones((7, 7), np.uint8))
    return np.where((wide > 0) & (person() == 0), 128, person()).astype(np.uint8)


def with_alpha(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> bytes:
    return saved(Image.fromarray(np.dstack([rgb, alpha])))


def photo() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def iou(content: bytes) -> float:
    """Return the IoU of the one mask of an image with the figure."""
    labels = read_label_image(content, origin="x").labels
    assert len(np.unique(labels)) == 2
    found, truth = labels > 0, person() > 0
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize(
    ("content", "at_least"),
    [
        (png(soft()), 0.95),
        (png(jpeg()), 0.99),
        (png(trimap()), 0.6),
        (png(soft().astype(np.uint16) * 257), 0.95),
        (png(np.dstack([soft()] * 3)), 0.95),
        (saved(Image.fromarray(soft()).convert("P")), 0.95),
        (with_alpha(photo(), soft()), 0.95),
        (with_alpha(np.full((60, 80, 3), 255, np.uint8), person()), 1.0),
        (with_alpha(np.dstack([soft()] * 3), np.full((60, 80), 255, np.uint8)), 0.95),
        (with_alpha(np.dstack([person()] * 3), np.zeros((60, 80), np.uint8)), 1.0),
        (png(person() > 0), 1.0),
        (png((soft() / 255 * 100).round().astype(np.uint8)), 0.95),
    ],
    ids=[
        *("enlarged", "JPEG", "trimap", "16 bits", "gray as RGB", "gray palette", "a photo cut out"),
        *("white with alpha", "opaque", "nothing opaque", "1 bit", "per cents"),
    ],
)
def test_one_mask_with_soft_edges_is_one_person(content: bytes, at_least: float) -> None:
    assert iou(content) >= at_least


def values_of(content: bytes) -> list[int]:
    return [int(value) for value in np.unique(read_label_image(content, origin="x").labels) if value]


def two_people(first: int, second: int, dtype: type = np.uint8) -> NDArray[Any]:
    pixels: NDArray[Any] = np.zeros((60, 80), dtype=dtype)
    pixels[10:50, 5:25] = first
    pixels[10:50, 45:70] = second
    return pixels


def with_border(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add VOC's undecided border of 255 on both sides of the outlines."""
    band = cv2.morphologyEx((pixels > 0).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))
    return np.where(band > 0, 255, pixels).astype(np.uint8)


def test_ids_stay_people_and_vocs_border_stays_undecided() -> None:
    assert values_of(png(two_people(1, 2))) == [1, 2]
    assert values_of(png(with_border(two_people(1, 15)))) == [1, 15]
    assert values_of(png(with_border(two_people(1, 0)))) == [1]
    assert values_of(png(two_people(2001, 2014, np.uint16))) == [2001, 2014]


def test_255_is_a_person_where_the_labels_are_spread_over_all_grays() -> None:
    assert values_of(png(two_people(128, 255))) == [128, 255]
    three = two_people(85, 170)
    three[55:58] = 255  # how an image of 2 bits with the ids 1, 2, 3 is decoded
    assert np.unique(sort_gray(three, origin="x", is_narrow=True).labels).tolist() == [0, 85, 170, 255]


def test_a_palette_of_colors_has_ids_and_its_transparent_ones_are_background() -> None:
    image = Image.fromarray(two_people(1, 2))
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    assert values_of(saved(image)) == [1, 2]
    assert values_of(saved(image, transparency=bytes([0, 255, 0]))) == [1]


def test_levels_of_gray_that_are_no_labels_are_refused() -> None:
    ramp = np.tile(np.arange(80, dtype=np.uint8) // 5 * 12, (60, 1))
    with pytest.raises(ModelOutputWrong, match="mine: 15 different values that change step by step"):
        read_label_image(png(ramp), origin="mine")
    with pytest.raises(ModelOutputWrong, match=r"no pixel is 0.*\[7, 11, 24\]"):
        read_label_image(png(two_people(4, 17) + np.uint8(7)), origin="mine")
    with pytest.raises(ModelOutputWrong, match=r"no pixel is 0.*\[7, 24\]"):
        read_label_image(png(two_people(17, 17) + np.uint8(7)), origin="mine")
    cdnet = two_people(50, 255)
    cdnet[55:] = 170
    with pytest.raises(
        ModelOutputWrong, match=r"\[50, 170, 255\] are those of CDnet: set mask_encoding: cdnet"
    ):
        read_label_image(png(cdnet), origin="mine")


def test_a_probability_map_of_zeros_and_ones_is_refused() -> None:
    with pytest.raises(ModelOutputWrong, match="the highest value here is 1"):
        read_probability_png(png(person() // 255), (60, 80), mask_threshold=0.5, origin="x")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "expected"), [("enlarged", 0.951), ("jpeg", 1.0), ("canvas", 0.96), ("trimap", 0.833)]
)
def test_the_masks_of_other_tools_are_one_person(kind: str, expected: float, shared: Path) -> None:
    folder = shared / "cases" / "01-soft-edged-masks"
    for path in sorted((folder / kind).iterdir())[:2]:
        found = read_label_image(path.read_bytes(), origin="x").labels > 0
        exact = np.asarray(Image.open(folder / "exact" / path.name)) > 0
        assert (found & exact).sum() / (found | exact).sum() >= expected - 0.01
