"""Masks that lie in a folder or in a COCO file, found by the frame's name or time."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError, ModelOutputWrong
from configs.segmenters import MasksFolderBlock
from labeling.segmenters.precomputed import MasksFolderSegmenter
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.masks import Mask

VIDEO_ID = "1f0cab42" + "9e" * 28
SIZE_HW = (6, 8)


def frame(name: str = "", pts_ms: int = 2500) -> Frame:
    return Frame(VIDEO_ID, pts_ms, np.zeros((*SIZE_HW, 3), dtype=np.uint8), name=name)


def write_labels(path: Path, *values: int, size_hw: tuple[int, int] = SIZE_HW) -> None:
    """A label image in which each value covers one row."""
    labels = np.zeros(size_hw, dtype=np.uint8)
    for row, value in enumerate(values):
        labels[row] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), labels)


def opened(path: Path, missing: Literal["empty", "error"] = "empty") -> MasksFolderSegmenter:
    return MasksFolderSegmenter(MasksFolderBlock(path=path, missing=missing))


def rows_found(segmenter: Segmenter, *frames: Frame) -> list[list[float]]:
    """The row at which each instance begins, per frame."""
    return [[instance.box_xywh[1] for instance in found] for found in segmenter.segment(frames)]


def test_an_image_finds_the_png_of_the_same_name(tmp_path: Path) -> None:
    write_labels(tmp_path / "cat.png", 0, 2, 1)
    write_labels(tmp_path / "shot.0001.png", 0, 0, 0, 255)
    found = rows_found(opened(tmp_path), frame("cat.jpg"), frame("shot.0001.jpeg"), frame("dog.jpg"))
    assert found == [[2, 1], [3], []]


@pytest.mark.parametrize(
    "name", [f"{VIDEO_ID}/2500.png", f"{VIDEO_ID}_2500.png", "1f0cab42/2500.png", "1f0cab429e_2500.png"]
)
def test_a_video_frame_finds_its_mask_by_video_name_and_time(tmp_path: Path, name: str) -> None:
    write_labels(tmp_path / name, 0, 7)
    write_labels(tmp_path / "ffffffff" / "2500.png", 3)
    write_labels(tmp_path / "1f0cab42_99.png", 0, 0, 0, 3)
    assert rows_found(opened(tmp_path), frame(), frame(pts_ms=99), frame(pts_ms=98)) == [[1], [3], []]


def test_a_video_name_has_eight_digits_and_the_longest_name_counts(tmp_path: Path) -> None:
    write_labels(tmp_path / "1f0cab4" / "2500.png", 1)
    assert rows_found(opened(tmp_path), frame()) == [[]]
    write_labels(tmp_path / "1f0cab42_2500.png", 0, 1)
    write_labels(tmp_path / VIDEO_ID / "2500.png", 0, 0, 1)
    assert rows_found(opened(tmp_path), frame()) == [[2]]


def test_a_missing_mask_is_empty_or_an_error_that_names_the_frame(tmp_path: Path) -> None:
    assert opened(tmp_path).segment([frame("cat.jpg")]) == [[]]
    with pytest.raises(ModelOutputWrong, match=r"no mask for cat\.jpg"):
        opened(tmp_path, "error").segment([frame("cat.jpg")])
    with pytest.raises(ModelOutputWrong, match="video 1f0cab429e9e at 2500 ms"):
        opened(tmp_path, "error").segment([frame()])


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    write_labels(tmp_path / "cat.png", 1, size_hw=(12, 16))
    with pytest.raises(ModelOutputWrong, match=r"cat\.png: the mask is 16x12 px, its frame 8x6"):
        opened(tmp_path).segment([frame("cat.jpg")])


def test_a_name_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "secret.png", 1)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg"):
        with pytest.raises(ModelOutputWrong, match="outside of"):
            opened(tmp_path / "masks").segment([frame(name)])


def test_a_missing_path_or_a_file_that_is_not_coco_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        opened(tmp_path / "nothing")
    for text in (
        "{}",
        "3",
        "not json",
        '[{"segmentation": []}]',
        '{"images": [{"id": 1}], "annotations": []}',
    ):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ConfigError, match=r"x\.json"):
            opened(tmp_path / "x.json")


def row_rle(row: int) -> dict[str, Any]:
    pixels = np.zeros(SIZE_HW, dtype=np.uint8)
    pixels[row] = 1
    rle = Mask.from_array(pixels).to_coco()
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def write_json(path: Path, tree: object) -> Path:
    path.write_text(json.dumps(tree))
    return path


def test_results_are_found_by_file_name_or_image_id(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "results.json",
        [
            {"file_name": "images/cat.jpg", "category_id": 1, "segmentation": row_rle(1), "score": 0.9},
            {"file_name": "images/cat.jpg", "category_id": 1, "segmentation": row_rle(2), "score": 0.4},
            {"image_id": 123, "category_id": 1, "segmentation": row_rle(3)},
            {"image_id": "shot.0001", "category_id": 1, "segmentation": row_rle(4)},
            {"file_name": "1f0cab42_2500.jpg", "category_id": 1, "segmentation": row_rle(5)},
            {"file_name": "1f0cab42/99.png", "category_id": 1, "segmentation": row_rle(0)},
        ],
    )
    segmenter = MasksFolderSegmenter(MasksFolderBlock(path=path, min_score=0.4))
    frames = [frame("cat.png"), frame("000123.jpg"), frame("shot.0001.jpg"), frame(), frame(pts_ms=99)]
    assert rows_found(segmenter, *frames) == [[1, 2], [3], [4], [5], [0]]
    assert [i.score for i in segmenter.segment(frames[:1])[0]] == [0.9, 0.4]


def annotations(**image: object) -> dict[str, Any]:
    return {
        "categories": [{"id": 1, "name": "car"}, {"id": 5, "name": "person"}],
        "images": [{"id": 10, "file_name": "a/cat.jpg", **image}, {"id": 11, "file_name": "empty.jpg"}],
        "annotations": [
            {"image_id": 10, "category_id": 5, "segmentation": row_rle(1)},
            {"image_id": 10, "category_id": 1, "segmentation": row_rle(2)},
        ],
    }


def test_an_annotation_file_names_its_images_and_the_person_category(tmp_path: Path) -> None:
    path = write_json(tmp_path / "instances.json", annotations(height=6, width=8))
    assert rows_found(opened(path, "error"), frame("cat.jpg"), frame("empty.jpg")) == [[1], []]
    with pytest.raises(ModelOutputWrong, match=r"no mask for dog\.jpg"):
        opened(path, "error").segment([frame("dog.jpg")])


def test_an_annotation_file_for_another_size_is_refused(tmp_path: Path) -> None:
    path = write_json(tmp_path / "instances.json", annotations(height=60, width=80))
    with pytest.raises(ModelOutputWrong, match="the mask is 80x60 px, its frame 8x6"):
        opened(path).segment([frame("cat.jpg")])


def test_an_ambiguous_name_is_refused_unless_the_frame_names_its_folder(tmp_path: Path) -> None:
    records = [{"file_name": f"{d}/cat.jpg", "segmentation": row_rle(r)} for r, d in enumerate("ab")]
    segmenter = opened(write_json(tmp_path / "results.json", records))
    assert rows_found(segmenter, frame("b/cat.jpg")) == [[1]]
    with pytest.raises(ModelOutputWrong, match="2 images named 'cat'"):
        segmenter.segment([frame("cat.jpg")])


def test_the_card_holds_the_hash_of_the_file(tmp_path: Path) -> None:
    path = write_json(tmp_path / "results.json", [])
    card = opened(path, "error").card
    assert card.weights_sha256 == hashlib.sha256(b"[]").hexdigest()
    settings = '{"missing":"error","min_score":0.5,"person_category":[]}'
    assert (card.kind, card.name, card.settings) == ("masks_folder", "results.json", settings)
    assert opened(tmp_path).card.weights_sha256 == ""


def test_prepare_returns_the_segmenter_itself(tmp_path: Path) -> None:
    segmenter = opened(tmp_path)
    assert segmenter.prepare(Clip(VIDEO_ID)) is segmenter
    assert isinstance(segmenter, Segmenter)


def images_of(folder: Path, *names: str) -> Clip:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return Clip(VIDEO_ID, images=tuple(ImageFile(n, folder / name) for n, name in enumerate(names)))


@pytest.mark.parametrize("name", ["cat.PNG", "cat_mask.png", "cat.jpg.png", "cat_mask.PNG"])
def test_usual_names_of_masks_are_found(tmp_path: Path, name: str) -> None:
    write_labels(tmp_path / "masks" / "x.png", 0, 1)
    (tmp_path / "masks" / "x.png").rename(tmp_path / "masks" / name)
    segmenter = opened(tmp_path / "masks").prepare(images_of(tmp_path / "images", "cat.jpg"))
    assert rows_found(segmenter, frame("cat.jpg")) == [[1]]


def test_the_mask_of_a_png_image_beside_it_is_not_the_image(tmp_path: Path) -> None:
    write_labels(tmp_path / "cat.png", 9, 9, 9)
    write_labels(tmp_path / "cat_mask.png", 0, 0, 1)
    assert rows_found(opened(tmp_path), frame("cat.png")) == [[2]]


def test_names_that_match_nothing_are_an_error_with_examples_of_both_sides(tmp_path: Path) -> None:
    clip = images_of(tmp_path / "images", "cat.jpg", "dog.jpg")
    write_labels(tmp_path / "masks" / "cats.png", 1)
    results = [{"image_id": 1, "segmentation": row_rle(1)}]
    for path in (tmp_path / "masks", write_json(tmp_path / "results.json", results)):
        with pytest.raises(
            ModelOutputWrong, match=r"none of the images cat\.jpg, dog\.jpg; there: (cats\.png|1)\. "
        ):
            opened(path).prepare(clip)
    with pytest.raises(ModelOutputWrong, match=r"no mask of video 1f0cab429e9e \(a\.mp4\); there: cats\.png"):
        opened(tmp_path / "masks").prepare(Clip(VIDEO_ID, Path("a.mp4")))


def test_a_part_of_a_set_without_masks_shows_no_person(tmp_path: Path) -> None:
    clip = images_of(tmp_path / "images", "cat.jpg", "dog.jpg")
    write_labels(tmp_path / "masks" / "dog.png", 1)
    segmenter = opened(tmp_path / "masks")
    assert segmenter.prepare(replace(clip, images=clip.images[:1])) is segmenter


def results_of(*records: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"image_id": "cat", "category_id": 1, "segmentation": row_rle(1), **one} for one in records]


def test_records_below_the_score_are_dropped_and_a_file_without_any_above_is_refused(tmp_path: Path) -> None:
    path = write_json(tmp_path / "r.json", results_of({"score": 0.97}, {"score": 0.12}, {"score": 0.5}))
    assert len(opened(path).segment([frame("cat.jpg")])[0]) == 2
    low = write_json(tmp_path / "low.json", results_of({"score": 0.3}))
    with pytest.raises(ConfigError, match=r"low\.json: no record has .* 0\.5 or more, the highest is 0\.3"):
        opened(low)
    block = MasksFolderBlock(path=low, min_score=0.2)
    assert len(MasksFolderSegmenter(block).segment([frame("cat.jpg")])[0]) == 1


@pytest.mark.parametrize("name", ["confidence", "conf", "probability"])
def test_a_score_has_several_usual_names(name: str, tmp_path: Path) -> None:
    path = write_json(tmp_path / "r.json", results_of({name: 0.97}, {name: 0.12}))
    (found,) = opened(path).segment([frame("cat.jpg")])
    assert [one.score for one in found] == [0.97]


def test_results_of_another_category_are_refused_unless_it_is_declared(tmp_path: Path) -> None:
    path = write_json(tmp_path / "yolo.json", results_of({"category_id": 0}))
    with pytest.raises(ConfigError, match=r"1 record, none of category_id 1 \(people\); found: 0"):
        opened(path)
    block = MasksFolderBlock.model_validate({"path": path, "person_category": 0})
    assert len(MasksFolderSegmenter(block).segment([frame("cat.jpg")])[0]) == 1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"segmentation": None, "bbox": [1, 1, 3, 3]}, "no segmentation"),
        ({"bbox": [0, 4, 8, 1]}, "one of them is of another image"),
        ({"area": 400}, "8 pixels, but area is 400"),
        ({"segmentation": [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]}, "shares of the image"),
    ],
)
def test_results_that_contradict_themselves_are_refused_when_they_are_opened(
    tmp_path: Path, record: dict[str, Any], message: str
) -> None:
    tree = {
        "images": [{"id": "cat", "file_name": "cat.jpg", "height": 6, "width": 8}],
        "annotations": results_of(record),
    }
    with pytest.raises(ConfigError, match=rf"x\.json, image 'cat'.*{message}"):
        opened(write_json(tmp_path / "x.json", tree))


def test_annotations_of_no_image_are_counted(tmp_path: Path) -> None:
    tree = annotations()
    tree["annotations"] += [{"image_id": 99, "category_id": 5, "segmentation": row_rle(3)}] * 2
    with pytest.raises(ConfigError, match=r"2 annotations belong to no image: the first has image_id '99'"):
        opened(write_json(tmp_path / "instances.json", tree))


def test_what_the_masks_were_taken_for_is_described(tmp_path: Path) -> None:
    write_labels(tmp_path / "cat.png", 255, 255, 128)
    assert opened(tmp_path).describe() == "cat.png is read as one mask with soft edges, above 127"
    path = write_json(tmp_path / "instances.json", annotations())
    assert opened(path).describe() == "2 records of 2 images, people are category 5"


def test_a_folder_of_inverted_masks_is_refused(tmp_path: Path) -> None:
    labels = np.full(SIZE_HW, 255, np.uint8)
    labels[2:5, 3:5] = 0
    cv2.imwrite(str(tmp_path / "cat.png"), labels)
    with pytest.raises(ConfigError, match=r"masks_folder.*look inverted"):
        opened(tmp_path)
    write_labels(tmp_path / "dog.png", 0, 1)
    assert rows_found(opened(tmp_path), frame("dog.jpg")) == [[1]]


def test_a_file_whose_rles_have_half_a_size_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    record = {"image_id": "cat", "category_id": 1, "segmentation": {"size": [6], "counts": [0, 48]}}
    (tmp_path / "results.json").write_text(json.dumps([record]))
    with pytest.raises(ConfigError, match=r"the size of an RLE is \[height, width\], got \[6\]"):
        opened(tmp_path / "results.json")
