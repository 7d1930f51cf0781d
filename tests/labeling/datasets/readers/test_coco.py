"""COCO files with boxes instead of masks, as files for detection and tracking have."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from configs.ground_truth import LabeledSet
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ground_truth import read_labeled

SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]


def read(folder: Path, *annotations: dict[str, Any], **image: Any) -> LabeledImage:
    """Return the one image of a file with these annotations."""
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / "a.jpg")
    tree = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 20, "width": 30, **image}],
        "annotations": [{"image_id": 7, "category_id": 1, **one} for one in annotations],
    }
    (folder / "truth.json").write_text(json.dumps(tree))
    (one,) = read_labeled(LabeledSet(images=folder, coco=folder / "truth.json"))
    return one


@pytest.mark.parametrize(
    "empty", [{}, {"segmentation": []}, {"segmentation": [[]]}, {"segmentation": {}}, {"segmentation": None}]
)
def test_a_person_without_a_segmentation_is_a_box_and_no_mask(empty: dict[str, Any], tmp_path: Path) -> None:
    one = read(tmp_path, {"bbox": [1, 2.5, 3, 4], **empty})
    assert (one.people, one.boxes, one.person_boxes) == ((), ((1, 2.5, 3, 4),), ((1, 2.5, 3, 4),))


def test_where_all_people_have_masks_their_boxes_are_not_used(tmp_path: Path) -> None:
    one = read(tmp_path, {"segmentation": SQUARE, "bbox": [0, 0, 30, 20]})
    assert one.boxes is None
    assert one.person_boxes == ((2, 2, 6, 6),)
    assert read(tmp_path).boxes is None  # without people, masks are known


def test_an_image_in_which_one_person_has_no_mask_has_boxes(tmp_path: Path) -> None:
    one = read(tmp_path, {"segmentation": SQUARE, "bbox": [0, 0, 30, 20]}, {"bbox": [9, 9, 2, 2]})
    assert (one.people, one.boxes) == ((), ((2, 2, 6, 6), (9, 9, 2, 2)))


def test_other_categories_and_boxes_without_a_pixel_are_no_people(tmp_path: Path) -> None:
    one = read(
        tmp_path,
        {"bbox": [1, 1, 0, 5], "track_id": 1},
        {"bbox": [1, 1, 5, 5], "category_id": 2, "track_id": 3},
    )
    assert (one.boxes, one.tracks) == ((), ())


def test_the_box_of_a_crowd_is_ignored(tmp_path: Path) -> None:
    one = read(tmp_path, {"segmentation": SQUARE}, {"bbox": [10, 0, 5, 20], "iscrowd": 1})
    assert one.boxes is None
    assert one.ignored.box_xywh == (10, 0, 5, 20)


@pytest.mark.parametrize("iscrowd", [0, 1])
@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({}, "neither a segmentation nor a bbox"),
        *(({"bbox": box}, "is not x, y, width and height") for box in ([1, 2, 3], "box", [1, 2, -3, 4], 5)),
        ({"bbox": [1, 2, 3, float("nan")]}, "is not x, y, width and height"),
        ({"bbox": [1, 2, 3, True]}, "is not x, y, width and height"),
        ({"bbox": [1, 2, 3, 10**400]}, "is not x, y, width and height"),
    ],
)
def test_an_annotation_without_box_and_mask_is_named(
    annotation: dict[str, Any], message: str, iscrowd: int, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"truth.json, image 'a.jpg', annotation 17: .*{message}"):
        read(tmp_path, {"bbox": [0, 0, 2, 2]}, {"id": 17, "iscrowd": iscrowd, **annotation})


def test_a_broken_mask_beside_boxes_is_named_by_its_annotation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"annotation 17.*three points"):
        read(tmp_path, {"bbox": [0, 0, 2, 2]}, {"id": 17, "segmentation": [[1, 2]]})


def test_tracks_are_named_by_video_and_track_id(tmp_path: Path) -> None:
    boxes: list[dict[str, Any]] = [{"bbox": [0, 0, 2, 2], "track_id": track} for track in (3, None, 12)]
    boxes.append({"bbox": [0, 0, 2, 2], "track_id": 99, "iscrowd": 1})
    assert read(tmp_path, *boxes).tracks == ("3", None, "12")
    assert read(tmp_path, *boxes, video_id=4).tracks == ("4/3", None, "4/12")
    assert read(tmp_path, {"segmentation": SQUARE, "track_id": 0}).tracks == ("0",)
    assert read(tmp_path, {"bbox": [0, 0, 2, 2]}).tracks == (None,)


def test_a_mask_without_a_pixel_has_no_track(tmp_path: Path) -> None:
    thin = {"segmentation": [[5, 5, 15, 5, 25, 5]], "track_id": 1}
    one = read(tmp_path, thin, {"segmentation": SQUARE, "track_id": 2})
    assert (len(one.people), one.tracks) == (1, ("2",))
