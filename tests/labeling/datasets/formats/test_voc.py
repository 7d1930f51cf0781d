"""Pascal VOC, read back with torchvision's rules and Pillow."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.errors import ExportError
from labeling.datasets.formats.voc import ROOT, write_voc
from labeling.datasets.records import DatasetFrame
from tests.labeling.datasets.frames import files_under, frame, instance, rectangle, ring_and_dot

CATEGORIES = ("person", "dog", "forklift")
SMALL = rectangle(30, 2, 8, 20)


@pytest.fixture
def frames(tmp_path: Path) -> list[DatasetFrame]:
    folder = tmp_path / "home"
    folder.mkdir()
    return [
        frame(
            n,
            folder,
            instance(10 * n, ring_and_dot()),
            instance(10 * n + 1, SMALL)._replace(category="forklift"),
            split=split,
        )
        for n, split in enumerate(["train", "val", "test", "train"], start=1)
    ]


@pytest.mark.requires("torch", "torchvision")
@pytest.mark.long
def test_torchvision_reads_images_and_classes_of_a_split(frames: list[DatasetFrame], tmp_path: Path) -> None:
    from torchvision.datasets import VOCSegmentation

    write_voc(frames, tmp_path / "out", categories=CATEGORIES)
    counts = {}
    for split in ("train", "val", "trainval"):
        dataset = VOCSegmentation(str(tmp_path / "out"), year="2012", image_set=split)
        counts[split] = len(dataset)
        for image, target in dataset:
            assert image.size == target.size == (64, 48)
            classes = np.array(target)
            np.testing.assert_array_equal(classes == 15, ring_and_dot())
            np.testing.assert_array_equal(classes == 21, SMALL)
    assert counts == {"train": 2, "val": 1, "trainval": 3}


def test_object_images_number_the_instances_and_have_the_palette(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    summary = write_voc(frames, tmp_path / "out", categories=CATEGORIES)
    root = tmp_path / "out" / ROOT
    with Image.open(root / "SegmentationObject/0003.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]  # type: ignore[index]  # the mode has a palette
        labels = np.array(image)
    np.testing.assert_array_equal(labels == 1, ring_and_dot())
    np.testing.assert_array_equal(labels == 2, SMALL)
    assert (root / "labelmap.txt").read_text().splitlines()[2:] == [
        "person:192,128,128::",
        "dog:64,0,128::",
        "forklift:128,64,128::",
    ]
    assert (root / "ImageSets/Segmentation/test.txt").read_text() == "0003\n"
    assert summary.files == len(files_under(tmp_path / "out")) - 1


def test_frames_without_splits_are_in_train_and_trainval(frames: list[DatasetFrame], tmp_path: Path) -> None:
    whole = [one._replace(split=None) for one in frames]
    write_voc(whole, tmp_path / "out", categories=CATEGORIES)
    sets = tmp_path / "out" / ROOT / "ImageSets/Segmentation"
    assert {path.stem: len(path.read_text().split()) for path in sets.iterdir()} == {
        "train": 4,
        "trainval": 4,
    }


def test_more_instances_than_a_palette_has_are_refused(tmp_path: Path) -> None:
    dots = [instance(n, rectangle(n // 64, n % 64, 1, 1)) for n in range(1, 256)]
    with pytest.raises(ExportError, match="255 instances; VOC holds 254: export as coco"):
        write_voc([frame(1, tmp_path, *dots)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_category_that_the_dataset_lacks_is_refused(frames: list[DatasetFrame], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="category 'forklift', the dataset has person"):
        write_voc(frames, tmp_path / "out")
