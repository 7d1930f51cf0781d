"""Ground truth in the formats of public datasets."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from configs.ground_truth import LabeledSet
from labeling.evaluation.ground_truth import read_labeled, read_roi
from labeling.structures.masks import Mask

SIZE_HW = (20, 30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    return tmp_path


def image(folder: Path, name: str) -> None:
    Image.fromarray(np.full((*SIZE_HW, 3), 90, np.uint8)).save(folder / "images" / name)


def values(**boxes: tuple[int, int, int, int]) -> np.ndarray[Any, Any]:
    """Return a label image of boxes (x, y, w, h) by their value, as `v85=(0, 0, 3, 3)`."""
    made = np.zeros(SIZE_HW, np.uint8)
    for name, (x, y, w, h) in boxes.items():
        made[y : y + h, x : x + w] = int(name[1:])
    return made


def mask(folder: Path, name: str, **boxes: tuple[int, int, int, int]) -> None:
    Image.fromarray(values(**boxes)).save(folder / "masks" / name)


def of_masks(folder: Path, **more: Any) -> LabeledSet:
    return LabeledSet(images=folder / "images", masks=folder / "masks", **more)


def test_each_value_of_a_mask_is_a_person_and_images_without_one_are_left_out(folder: Path) -> None:
    for name in ("b2.jpg", "b10.jpg", "unlabeled.jpg"):
        image(folder, name)
    mask(folder, "b2.png", v1=(0, 0, 5, 5), v2=(10, 3, 4, 6))
    mask(folder, "b10_mask.png", v255=(1, 1, 8, 8))
    two, one = read_labeled(of_masks(folder))
    assert (two.name, one.name) == ("b2.jpg", "b10.jpg")
    assert [person.box_xywh for person in two.people] == [(0, 0, 5, 5), (10, 3, 4, 6)]
    assert [person.box_xywh for person in one.people] == [(1, 1, 8, 8)]
    assert not two.ignored
    assert two.size_hw == SIZE_HW


def test_cdnets_grays_are_what_moves_and_what_is_not_decided(folder: Path) -> None:
    for number in ("000001", "000002", "000003"):
        image(folder, f"in{number}.jpg")
    mask(folder, "gt000001.png", v85=(0, 0, 30, 20))
    mask(folder, "gt000002.png", v255=(3, 3, 4, 4), v170=(7, 3, 2, 4), v85=(0, 18, 30, 2), v50=(12, 3, 5, 5))
    mask(folder, "gt000003.png", v50=(0, 0, 5, 5))
    moving, still = read_labeled(of_masks(folder, mask_encoding="cdnet"))
    assert [person.box_xywh for person in moving.people] == [(3, 3, 4, 4)]
    assert moving.ignored.area_px == 2 * 4 + 30 * 2
    assert still.name == "in000003.jpg"
    assert still.people == ()


def coco(folder: Path, **changes: Any) -> LabeledSet:
    crowd = Mask.from_array(values(v1=(20, 10, 6, 6)))
    polygons = {"person": [[2, 2, 8, 2, 8, 8, 2, 8]], "dog": [[20, 2, 28, 2, 28, 8]]}
    tree = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": SIZE_HW[0], "width": SIZE_HW[1]}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 3, "name": "person"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "segmentation": polygons["person"], "iscrowd": 0},
            {"image_id": 7, "category_id": 1, "segmentation": polygons["dog"], "iscrowd": 0},
            {
                "image_id": 7,
                "category_id": 3,
                "segmentation": {"size": SIZE_HW, "counts": crowd.counts.decode()},
                "iscrowd": 1,
            },
        ],
    }
    (folder / "truth.json").write_text(json.dumps(tree | changes))
    return LabeledSet(images=folder / "images", coco=folder / "truth.json")


def test_a_coco_files_people_count_and_its_crowds_are_ignored(folder: Path) -> None:
    image(folder, "a.jpg")
    (one,) = read_labeled(coco(folder))
    assert [person.box_xywh for person in one.people] == [(2, 2, 6, 6)]
    assert one.ignored.box_xywh == (20, 10, 6, 6)


@pytest.mark.parametrize(
    ("name", "message"), [("../a.jpg", "is outside"), ("gone.jpg", "'gone.jpg' is not in")]
)
def test_an_image_outside_the_folder_is_refused(name: str, message: str, folder: Path) -> None:
    record = {"id": 7, "file_name": name, "height": 20, "width": 30}
    with pytest.raises(ConfigError, match=message):
        read_labeled(coco(folder, images=[record]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[]", "is a list, as the results of a model are"),
        (b"{", "is not JSON .* export it again"),
        (b'{"images": []}\n{"images": []}', "is not JSON .* one JSON value per line"),
        (b" ", "is empty"),
        (gzip.compress(b'{"images": [], "annotations": []}', mtime=0), "compressed with gzip"),
        (b'{"images": []}', r"no list `annotations` \(its keys: images\)"),
        (b'{"images": 3, "annotations": []}', "no list `images`"),
        (b'{"predictions": []}', r"no list `images` and no list `annotations` \(its keys: predictions\)"),
        (b'{"images": [], "annotations": [3]}', "is not a COCO file"),
        (b'{"images": [{"file_name": "a.jpg"}], "annotations": []}', "is not a COCO file"),
        (b'{"images": [3], "annotations": []}', "is not a COCO file"),
    ],
)
def test_a_file_that_is_not_coco_says_what_it_is(text: bytes, message: str, folder: Path) -> None:
    (folder / "truth.json").write_bytes(text)
    with pytest.raises(ConfigError, match=message):
        read_labeled(LabeledSet(images=folder / "images", coco=folder / "truth.json"))


def test_a_set_without_an_image_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no image in .* is labeled"):
        read_labeled(coco(folder, images=[], annotations=[]))


def test_every_second_image_and_only_the_region_of_interest(folder: Path) -> None:
    for number in range(5):
        image(folder, f"{number}.jpg")
        mask(folder, f"{number}.png", v1=(0, 0, 30, 20))
    Image.fromarray(values(v255=(0, 0, 10, 20))).save(folder / "roi.png")
    found = read_labeled(of_masks(folder, every=2, roi=folder / "roi.png"))
    assert [one.name for one in found] == ["0.jpg", "2.jpg", "4.jpg"]
    assert {one.ignored.box_xywh for one in found} == {(10, 0, 20, 20)}


def test_folders_without_matching_masks_are_refused(folder: Path) -> None:
    image(folder, "a.jpg")
    mask(folder, "b.png", v1=(0, 0, 3, 3))
    with pytest.raises(ConfigError, match=r"no image in .* has a mask in .* NAME_mask.png"):
        read_labeled(of_masks(folder))
    with pytest.raises(ConfigError, match="is not a folder"):
        read_labeled(LabeledSet(images=folder / "nowhere", masks=folder / "masks"))
    with pytest.raises(ConfigError, match="is not a folder"):
        read_labeled(LabeledSet(images=folder / "images", masks=folder / "nowhere"))


def test_masks_whose_white_is_the_background_are_refused(folder: Path) -> None:
    for name in ("a", "b"):
        image(folder, f"{name}.jpg")
        inverted = np.where(values(v1=(6, 4, 8, 16)) > 0, 0, 255).astype(np.uint8)
        Image.fromarray(inverted).save(folder / "masks" / f"{name}.png")
    with pytest.raises(ConfigError, match=r"2 masks that were checked.*look inverted"):
        read_labeled(of_masks(folder))
    mask(folder, "b.png", v1=(0, 0, *SIZE_HW[::-1]))
    assert len(read_labeled(of_masks(folder))) == 2, "a face that fills its image, and one doubtful mask"


def test_an_unreadable_mask_is_named(folder: Path) -> None:
    image(folder, "a.jpg")
    (folder / "masks" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    with pytest.raises(ConfigError, match=r"a.png: not a readable image"):
        read_labeled(of_masks(folder))


def test_an_image_of_a_shot_has_its_time_by_its_position_among_all_images(folder: Path) -> None:
    for name in ("f1.jpg", "f2.jpg", "f9.jpg", "f10.jpg"):
        image(folder, name)
    for name in ("f2.png", "f10.png"):
        mask(folder, name, v1=(0, 0, 5, 5))
    assert [one.pts_ms for one in read_labeled(of_masks(folder, fps=2.0))] == [500, 1500]
    assert [one.pts_ms for one in read_labeled(of_masks(folder, fps=2.0, every=2))] == [500]
    assert [one.pts_ms for one in read_labeled(of_masks(folder))] == [None, None]


def test_a_roi_is_read_by_the_colors_of_its_palette(tmp_path: Path) -> None:
    # As in CDnet's ROI.bmp, index 0 is white.
    roi = Image.fromarray(np.array([[0, 0, 1]], np.uint8))
    roi.putpalette([255, 255, 255, 0, 0, 0])
    roi.save(tmp_path / "ROI.bmp")
    assert read_roi(tmp_path / "ROI.bmp").tolist() == [[True, True, False]]
    with pytest.raises(ConfigError, match=r"roi: .*gone\.bmp cannot be read as an image"):
        read_roi(tmp_path / "gone.bmp")
