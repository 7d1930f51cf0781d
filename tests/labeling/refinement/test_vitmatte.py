"""ViTMatte as a refiner, with a network whose alpha is 1 where the image is red."""

from pathlib import Path

import numpy as np
import pytest

from configs.refinement import VitMatteBlock
from labeling.refinement.factory import make_refiner
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask, iou_matrix
from tests.fakes import transformers_models as fakes

pytestmark = [
    pytest.mark.requires("torch", "torch"),
    pytest.mark.requires("torchvision", "torchvision"),
    pytest.mark.requires("transformers", "transformers"),
    pytest.mark.slow,
    # of transformers, in its own code
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
SIZE_HW = (150, 210)
BAND = 0.06  # of 100 px: 6 px


def area(x: int, y: int, w: int, h: int) -> BoolArray:
    pixels = np.zeros(SIZE_HW, dtype=np.bool_)
    pixels[y : y + h, x : x + w] = True
    return pixels


def paint(*red: BoolArray) -> RgbImage:
    image = np.random.default_rng(0).integers(0, 90, (*SIZE_HW, 3), dtype=np.uint8)
    image[np.any(red, axis=0)] = (250, 30, 30)
    return image


def person(pixels: BoolArray) -> Instance:
    mask = Mask.from_array(pixels)
    return Instance(mask, 0.9, mask.box_xywh)


@pytest.fixture(scope="module")
def vitmatte(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.save_vitmatte(tmp_path_factory.mktemp("vitmatte") / "vitmatte")


def refine(model: Path, image: RgbImage, *people: BoolArray, side_px: int = 1024) -> list[Mask]:
    refiner = make_refiner(VitMatteBlock(model=str(model), band=BAND, side_px=side_px))
    (refined,) = refiner.refine([Frame("v", 0, image)], [[person(one) for one in people]])
    return [one.mask for one in refined]


@pytest.mark.parametrize(
    "true",
    [(50, 20, 40, 100), (0, 0, 40, 100), (170, 50, 40, 100)],
    ids=["inside", "upper left border", "lower right border"],
)
def test_the_contour_moves_to_that_of_the_image(vitmatte: Path, true: tuple[int, int, int, int]) -> None:
    x, y, w, h = true
    shifted = area(max(0, x - 4), y + 3, w, h)
    (mask,) = refine(vitmatte, paint(area(*true)), shifted)
    assert mask == Mask.from_array(area(*true))


def test_beyond_the_band_nothing_changes(vitmatte: Path) -> None:
    body, hole, far = area(50, 20, 40, 100), area(65, 60, 10, 20), area(110, 20, 20, 100)
    (mask,) = refine(vitmatte, paint(body & ~hole, far), body)
    assert mask == Mask.from_array(body)


def test_a_person_does_not_grow_into_another(vitmatte: Path) -> None:
    first, second = area(50, 20, 40, 100), area(90, 20, 40, 100)
    cut = first & ~area(50, 20, 5, 100)
    masks = refine(vitmatte, paint(first, second), cut, second)
    assert masks == [Mask.from_array(first), Mask.from_array(second)]


def test_a_large_crop_is_seen_at_a_smaller_size(vitmatte: Path) -> None:
    true = area(50, 20, 40, 100)
    (mask,) = refine(vitmatte, paint(true), area(46, 22, 40, 100), side_px=64)
    assert 0.93 < iou_matrix([mask], [Mask.from_array(true)])[0, 0] < 1
