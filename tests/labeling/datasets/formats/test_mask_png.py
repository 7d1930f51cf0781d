import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ExportError
from labeling.datasets.formats.mask_png import write_mask_pngs
from tests.labeling.datasets.frames import SIZE_HW, files_under, frame, instance, rectangle


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def _labels(folder: Path) -> NDArray[Any]:
    with Image.open(folder / "masks/0001.png") as image:
        return np.array(image)


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


def test_a_pixel_has_the_number_of_its_instance(images: Path, tmp_path: Path) -> None:
    one, two = rectangle(0, 0, 10, 10), rectangle(20, 20, 5, 9)
    write_mask_pngs([frame(1, images, instance(71, one), instance(72, two))], tmp_path / "out")
    labels = _labels(tmp_path / "out")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels == 1, one)
    np.testing.assert_array_equal(labels == 2, two)
    (line,) = _lines(tmp_path / "out")
    assert [(i["value"], i["id"]) for i in line["instances"]] == [(1, 71), (2, 72)]
    assert (line["file_name"], line["mask"], line["t_ms"]) == ("0001.jpg", "0001.png", 40)


@pytest.mark.parametrize("small_first", [True, False])
def test_the_smaller_of_two_that_overlap_is_on_top(small_first: bool, images: Path, tmp_path: Path) -> None:
    small, big = instance(1, rectangle(5, 5, 4, 4)), instance(2, rectangle(0, 0, 20, 20))
    order = (small, big) if small_first else (big, small)
    summary = write_mask_pngs([frame(1, images, *order)], tmp_path / "out")
    np.testing.assert_array_equal(
        _labels(tmp_path / "out") == (1 if small_first else 2), rectangle(5, 5, 4, 4)
    )
    assert summary.notes == ("16 pixels of instances lie under a smaller one",)


def test_more_than_255_instances_take_16_bits(images: Path, tmp_path: Path) -> None:
    dots = [instance(n, rectangle(n // 64, n % 64, 1, 1)) for n in range(1, 301)]
    write_mask_pngs([frame(1, images, *dots)], tmp_path / "out")
    labels = _labels(tmp_path / "out")
    assert labels.max() == 300
    assert [int(labels[n // 64, n % 64]) for n in range(1, 301)] == list(range(1, 301))


def test_exactly_255_instances_stay_at_8_bits(images: Path, tmp_path: Path) -> None:
    dots = [instance(n, rectangle(n // 64, n % 64, 1, 1)) for n in range(1, 256)]
    write_mask_pngs([frame(1, images, *dots)], tmp_path / "out")
    labels = _labels(tmp_path / "out")
    assert labels.dtype == np.uint8
    assert labels.max() == 255


def test_a_frame_without_people_is_all_zero(images: Path, tmp_path: Path) -> None:
    summary = write_mask_pngs([frame(1, images)], tmp_path / "out")
    np.testing.assert_array_equal(_labels(tmp_path / "out"), np.zeros(SIZE_HW, dtype=np.uint8))
    assert (summary.frames, summary.instances, summary.files) == (1, 0, 3)


def test_the_same_frames_give_the_same_bytes(images: Path, tmp_path: Path) -> None:
    frames = [frame(n, images, instance(n, rectangle(n, n, 9, 9))) for n in (1, 2)]
    write_mask_pngs(frames, tmp_path / "one")
    write_mask_pngs(frames, tmp_path / "two", copy=True)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "two")


def test_images_that_would_share_a_mask_are_refused(images: Path, tmp_path: Path) -> None:
    frames = [frame(1, images, file_name="a.jpg"), frame(2, images, file_name="a.jpeg")]
    with pytest.raises(ExportError, match=r"a\.png"):
        write_mask_pngs(frames, tmp_path / "out")
