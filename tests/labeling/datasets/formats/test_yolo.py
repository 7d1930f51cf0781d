import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from configs.errors import ExportError
from labeling.datasets.formats.yolo import write_yolo_seg
from tests.labeling.datasets.frames import SIZE_HW, frame, instance, rectangle, ring_and_dot


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def _draw(line: str) -> NDArray[np.bool_]:
    """Draw a label line as YOLO trainers do: class, then shares of width and height."""
    label, *shares = line.split()
    assert label == "0"
    points = np.array(shares, dtype=np.float32).reshape(-1, 2) * (SIZE_HW[1], SIZE_HW[0])
    canvas = np.zeros(SIZE_HW, dtype=np.uint8)
    cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
    return canvas.astype(bool)


@pytest.mark.parametrize(
    "pixels",
    [rectangle(0, 0, *SIZE_HW), rectangle(47, 63, 1, 1), rectangle(3, 5, 1, 50), rectangle(9, 33, 20, 7)],
    ids=["whole image", "last pixel", "a row", "rectangle"],
)
def test_a_label_of_one_part_draws_back_to_its_mask(
    pixels: NDArray[np.bool_], images: Path, tmp_path: Path
) -> None:
    write_yolo_seg([frame(1, images, instance(1, pixels))], tmp_path / "out")
    (line,) = (tmp_path / "out/labels/0001.txt").read_text().splitlines()
    assert len(line.split()) >= 1 + 2 * 3, "fewer than three corners would be read as a box"
    np.testing.assert_array_equal(_draw(line), pixels)


def test_a_label_of_two_parts_adds_only_the_bridge(images: Path, tmp_path: Path) -> None:
    write_yolo_seg([frame(1, images, instance(1, ring_and_dot()))], tmp_path / "out")
    (line,) = (tmp_path / "out/labels/0001.txt").read_text().splitlines()
    filled = ndimage.binary_fill_holes(ring_and_dot())
    drawn = _draw(line)
    assert drawn[filled].all()
    assert 0 < (drawn & ~filled).sum() <= 60 - 30 + 1


def test_a_frame_without_people_trains_as_background(images: Path, tmp_path: Path) -> None:
    summary = write_yolo_seg([frame(1, images)], tmp_path / "out")
    assert (tmp_path / "out/labels/0001.txt").read_text() == ""
    assert (summary.frames, summary.instances, summary.files) == (1, 0, 4)


def test_without_splits_data_yaml_validates_on_the_training_frames_with_a_note(
    images: Path, tmp_path: Path
) -> None:
    summary = write_yolo_seg([frame(1, images, instance(1, ring_and_dot()))], tmp_path / "out")
    layout = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert layout == {"train": "images", "val": "images", "names": {0: "person"}}
    assert any("no split is called 'val'" in note for note in summary.notes)
    assert any("holes are filled" in note for note in summary.notes)
    assert not any("keypoints" in note for note in summary.notes)


def test_splits_become_folders_that_data_yaml_names(images: Path, tmp_path: Path) -> None:
    frames = [
        frame(n, images, instance(n, ring_and_dot()), split=split)
        for n, split in enumerate(["train", "val", "test", "train"], start=1)
    ]
    summary = write_yolo_seg(frames, tmp_path / "out")
    layout = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    for split, count in {"train": 2, "val": 1, "test": 1}.items():
        images_there = sorted(p.stem for p in (tmp_path / "out" / layout[split]).iterdir())
        labels_there = sorted(p.stem for p in (tmp_path / "out/labels" / split).iterdir())
        assert len(images_there) == count
        assert images_there == labels_there
    assert not any("'val'" in note for note in summary.notes)


def test_dropped_keypoints_are_noted(images: Path, tmp_path: Path) -> None:
    with_pose = instance(1, ring_and_dot(), keypoints=((1.0, 1.0, 1.0),) * 17)
    summary = write_yolo_seg([frame(1, images, with_pose)], tmp_path / "out")
    assert "keypoints are left out: this format does not have them" in summary.notes


def test_images_that_would_share_a_label_file_are_refused(images: Path, tmp_path: Path) -> None:
    frames = [frame(1, images, file_name="a.jpg"), frame(2, images, file_name="a.jpeg")]
    with pytest.raises(ExportError, match=r"a\.txt"):
        write_yolo_seg(frames, tmp_path / "out")


def test_origins_and_licenses_are_written_with_the_labels(images: Path, tmp_path: Path) -> None:
    write_yolo_seg([frame(1, images), frame(2, images, license=None)], tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out/frames.jsonl").read_text().splitlines()]
    assert [line["license"] for line in lines] == ["CC-BY-4.0", None]
    assert lines[0]["source_url"] == "https://example.org/walk"


def test_categories_are_numbered_from_0_in_labels_and_data_yaml(images: Path, tmp_path: Path) -> None:
    dog = instance(2, rectangle(9, 33, 20, 7))._replace(category="dog")
    write_yolo_seg(
        [frame(1, images, dog, instance(1, ring_and_dot()))], tmp_path / "out", categories=("person", "dog")
    )
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text())["names"] == {0: "person", 1: "dog"}
    lines = (tmp_path / "out/labels/0001.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "0"]
    with pytest.raises(ExportError, match="category 'dog', the dataset has person"):
        write_yolo_seg([frame(1, images, dog)], tmp_path / "other")
