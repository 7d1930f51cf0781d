"""COCO files whose records contradict each other, their images or their categories."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.errors import AnnotationsContradict, ConfigError, ModelOutputWrong
from configs.ground_truth import LabeledSet
from configs.segmenters import MasksFolderBlock
from labeling.datasets.readers.coco import read_coco_file, read_coco_records
from labeling.datasets.readers.coco_categories import person_ids, refuse_other_categories
from labeling.datasets.readers.notes import ReaderNotes
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ground_truth import read_labeled
from labeling.segmenters.precomputed import MasksFolderSegmenter

HW = (200, 300)
BOX = [20, 30, 60, 120]
SQUARE = [[20, 30, 80, 30, 80, 150, 20, 150]]
PERSON = {"segmentation": SQUARE, "bbox": BOX, "area": 7200}


def truth(folder: Path, *annotations: dict[str, Any], number: int = 2, **changes: Any) -> Path:
    """Write a file with images a0.jpg, a1.jpg ..., whose annotations are of the first one."""
    tree = {
        "images": [
            {"id": n, "file_name": f"a{n}.jpg", "height": HW[0], "width": HW[1]} for n in range(number)
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": n, "image_id": 0, "category_id": 1, **one} for n, one in enumerate(annotations)
        ],
    }
    for n in range(number):
        Image.new("RGB", HW[::-1]).save(folder / f"a{n}.jpg")
    (folder / "truth.json").write_text(json.dumps(tree | changes))
    return folder / "truth.json"


def read(path: Path, notes: ReaderNotes | None = None, **options: Any) -> list[LabeledImage]:
    return read_labeled(LabeledSet(images=path.parent, coco=path, **options), notes=notes)


@pytest.mark.parametrize(
    "categories",
    [
        [{"id": 0, "name": "Person"}],
        [{"id": "0", "name": "PEOPLE "}],
        [{"id": 1, "name": "car"}, {"id": 0.0, "name": "Persons"}],
    ],
)
def test_people_are_found_in_any_spelling_and_any_type_of_id(categories: list[Any], tmp_path: Path) -> None:
    path = truth(tmp_path, {**PERSON, "category_id": "0"}, categories=categories)
    assert [len(one.people) for one in read(path)] == [1, 0]


def test_categories_without_people_are_listed_and_can_be_named(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "car"}, {"id": 3, "name": "pedestrian"}]
    path = truth(tmp_path, {**PERSON, "category_id": 3}, categories=categories)
    with pytest.raises(ConfigError, match=r"'car' \(id 1\), 'pedestrian' \(id 3\): set person_category"):
        read(path)
    for chosen in ("Pedestrian", 3, ["3"]):
        assert len(read(path, person_category=chosen)[0].people) == 1
    with pytest.raises(ConfigError, match="called 'rider'"):
        read(path, person_category="rider")
    with pytest.raises(ModelOutputWrong, match="same id 1"):
        person_ids([{"id": 1, "name": "person"}, {"id": "1", "name": "car"}], origin="x")


def test_results_that_are_all_of_another_category_are_refused() -> None:
    records = [{"category_id": 0}, {"category_id": 5}]
    with pytest.raises(ModelOutputWrong, match=r"2 records, none of category_id 1.*found: 0, 5"):
        refuse_other_categories(records, frozenset("1"), origin="x")
    refuse_other_categories(records[1:], frozenset("1"), origin="x", only_zero=True)  # an image of a dog
    with pytest.raises(ModelOutputWrong, match="found: 0"):
        refuse_other_categories(records[:1], frozenset("1"), origin="x", only_zero=True)


@pytest.mark.parametrize("flag", [{"ignore": 1}, {"ignore": True}, {"iscrowd": "1"}, {"iscrowd": 1}])
def test_an_ignored_region_is_no_person(flag: dict[str, Any], tmp_path: Path) -> None:
    path = truth(tmp_path, PERSON, {"bbox": [150, 10, 100, 50], "segmentation": [], **flag})
    first, _ = read(path)
    assert (len(first.people), first.boxes, first.ignored.area_px) == (1, None, 5000)
    record = {"segmentation": SQUARE, **flag}
    assert read_coco_records([record], HW, origin="x") == []


def test_ids_that_match_nothing_or_twice_are_errors(tmp_path: Path) -> None:
    assert len(read(truth(tmp_path, {**PERSON, "image_id": "0"}))[0].people) == 1
    with pytest.raises(ConfigError, match=r"2 annotations belong to no image: the first has image_id '7'"):
        read(truth(tmp_path, PERSON, {**PERSON, "image_id": 7}, {**PERSON, "image_id": 8}))
    image = {"id": 0, "file_name": "a0.jpg", "height": HW[0], "width": HW[1]}
    with pytest.raises(ConfigError, match=r"two images have the same id: 'a0.jpg'.* and 'a1.jpg'"):
        read(truth(tmp_path, PERSON, images=[image, {**image, "file_name": "a1.jpg"}]))
    with pytest.raises(ConfigError, match="two images have the same file_name"):
        read(truth(tmp_path, PERSON, images=[image, {**image, "id": 5}]))


def shares(values: Sequence[float]) -> list[float]:
    return [value / HW[1 - n % 2] for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({**PERSON, "segmentation": [shares(SQUARE[0])]}, "shares of the image"),
        ({"segmentation": [shares(SQUARE[0])]}, "shares of the image"),
        ({"bbox": shares([float(one) for one in BOX])}, "coordinates from 0 to 1"),
        ({"bbox": [20, 130, 80, 180]}, "x1, y1, x2, y2"),
        ({**PERSON, "bbox": [20, 30, 80, 150]}, "no error"),
        ({**PERSON, "bbox": [120, 30, 180, 150], "segmentation": [[120, 30, 180, 30, 180, 150, 120, 150]]}, "x1, y1"),
        ({**PERSON, "bbox": [200, 30, 60, 120]}, "another image, size or unit"),
        ({"bbox": [20, 30, 60, 120], "segmentation": SQUARE, "area": 28800}, "7200 pixels, but area is 28800"),
        ({"segmentation": [[320, 30, 380, 30, 380, 150]]}, "mostly outside"),
        ({"bbox": [310, 30, 60, 120]}, "mostly outside"),
        ({"segmentation": [[30, 30, 60, 30, 90, 30]], "area": 900}, "no pixel in the image, but area 900"),
        ({**PERSON, "area": 60 * 120}, "no error"),
        ({**PERSON, "area": 0.12}, "no error"),
        ({"segmentation": [[-1, 30, 80, 30, 80, 201, -1, 201]]}, "no error"),
    ],
)  # fmt: skip
def test_coordinates_that_contradict_image_box_or_area_are_errors(
    annotation: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = truth(tmp_path, annotation)
    if message == "no error":
        assert len(read(path)[0].people) == 1
        return
    with pytest.raises(ConfigError, match=rf"image 'a0.jpg', annotation 0.*{message}"):
        read(path)
    if "segmentation" in annotation:
        with pytest.raises(AnnotationsContradict, match=message):
            read_coco_records([annotation], HW, origin="x")


def test_a_box_of_a_detector_that_leaves_the_image_a_little_is_cut_and_noted(tmp_path: Path) -> None:
    notes = ReaderNotes()
    path = truth(tmp_path, {"bbox": [260, 30, 60, 120]}, {"bbox": [100, 130, 40, 100]})
    assert read(path, notes)[0].person_boxes == ((260, 30, 60, 120), (100, 130, 40, 100))
    assert "boxes that leave the image, cut at its border: 2" in notes.lines()[0]


def test_one_bad_record_costs_its_image_and_is_counted(tmp_path: Path) -> None:
    notes = ReaderNotes()
    path = truth(tmp_path, PERSON, {"segmentation": [["left"]], "image_id": 1}, number=3)
    assert [one.name for one in read(path, notes)] == ["a0.jpg", "a2.jpg"]
    (line,) = notes.lines()
    assert line.startswith("images left out: an annotation cannot be read: 1 (the first: ")
    assert "annotation 1" in line


def test_a_pointless_polygon_is_dropped_and_a_flat_list_is_one_polygon(tmp_path: Path) -> None:
    notes = ReaderNotes()
    path = truth(
        tmp_path, {**PERSON, "segmentation": [*SQUARE, [5, 5, 9, 9]]}, PERSON | {"segmentation": SQUARE[0]}
    )
    first, _ = read(path, notes)
    assert {person.area_px for person in first.people} == {7200}
    assert notes.lines()[0].startswith("polygons of fewer than three points, dropped: 1")


def test_points_may_be_pairs_and_other_shapes_are_named(tmp_path: Path) -> None:
    pairs = [[20, 30], [80, 30], [80, 150], [20, 150]]
    path = truth(
        tmp_path, PERSON | {"segmentation": [pairs]}, PERSON | {"segmentation": pairs, "category_id": 1}
    )
    assert {person.area_px for person in read(path)[0].people} == {7200}
    named = [[{"x": x, "y": y} for x, y in pairs]]
    notes = ReaderNotes()
    assert read(truth(tmp_path, PERSON | {"segmentation": named}), notes)[0].people == ()
    assert "a polygon is a list of numbers" in notes.lines()[0]


def test_images_that_are_missing_or_oddly_written_are_found_or_counted(tmp_path: Path) -> None:
    Image.new("RGB", HW[::-1]).save(tmp_path / "a b.jpg")
    names = ["photos\\a0.jpg", "a%20b.jpg", "other/a1.jpg", "gone.jpg"]
    images = [{"id": n, "file_name": name, "height": HW[0], "width": HW[1]} for n, name in enumerate(names)]
    notes = ReaderNotes()
    found = read(truth(tmp_path, PERSON, images=images), notes)
    assert [one.name for one in found] == ["a b.jpg", "a1.jpg", "a0.jpg"]
    assert "image 'gone.jpg' is not in" in notes.lines()[0]


@pytest.mark.parametrize("name", ["a\0.jpg", "a%00.jpg", "\ud83d.jpg", "a" * 300 + ".jpg"])
def test_a_name_that_no_file_can_have_costs_one_image(tmp_path: Path, name: str) -> None:
    images = [
        {"id": n, "file_name": one, "height": HW[0], "width": HW[1]} for n, one in enumerate(("a0.jpg", name))
    ]
    notes = ReaderNotes()
    assert [one.name for one in read(truth(tmp_path, PERSON, images=images), notes)] == ["a0.jpg"]
    assert f"image {name!r} is not in" in notes.lines()[0]


def test_an_annotation_that_is_there_twice_is_one_person(tmp_path: Path) -> None:
    notes = ReaderNotes()
    assert len(read(truth(tmp_path, PERSON, PERSON), notes)[0].people) == 1
    assert notes.lines()[0].startswith("annotations that are there twice, dropped: 1")


def test_people_who_are_all_crowds_are_an_error(tmp_path: Path) -> None:
    path = truth(tmp_path, PERSON | {"iscrowd": 1}, PERSON | {"iscrowd": 1})
    with pytest.raises(
        ConfigError, match=r"ground truth: .* all 2 annotations of people are regions to ignore"
    ):
        read(path)
    with pytest.raises(ConfigError, match="all 2 annotations of people are regions to ignore"):
        MasksFolderSegmenter(MasksFolderBlock(path=path))


def test_a_result_that_is_there_twice_is_one_person() -> None:
    notes = ReaderNotes()
    records = [PERSON | {"id": number, "score": 0.5} for number in range(2)]
    assert len(read_coco_records(records, HW, origin="x", notes=notes)) == 1
    assert notes.lines()[0].startswith("annotations that are there twice, dropped: 1")


def test_the_size_of_a_turned_photo_is_that_of_its_coordinates(tmp_path: Path) -> None:
    tall = {"segmentation": [[20, 150, 80, 150, 80, 280, 20, 280]]}
    path = truth(tmp_path, tall, number=1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", HW[::-1]).save(tmp_path / "a0.jpg", exif=exif)
    (one,) = read(path)
    assert (one.size_hw, one.people[0].box_xywh) == ((300, 200), (20, 150, 60, 130))
    with pytest.raises(
        ConfigError, match="300x200 px, but the image is 200x300 px when its EXIF orientation"
    ):
        read_turned(tmp_path, exif)


def read_turned(folder: Path, exif: Image.Exif) -> list[LabeledImage]:
    path = truth(folder, {"segmentation": [[220, 20, 280, 20, 280, 80, 220, 80]]}, number=1)
    Image.new("RGB", HW[::-1]).save(folder / "a0.jpg", exif=exif)
    return read(path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "people"),
    [
        *(("03-category-called-Person/Person-1.json", 4), ("03-category-called-Person/text-ids.json", 4)),
        *(("03-category-called-Person/Car-Person.json", 4), ("06-ignore-flag/ignore.json", 4)),
        *(("09-one-bad-polygon/two-points.json", 4), ("09-one-bad-polygon/flat.json", 4)),
        *(("09-one-bad-polygon/windows.json", 4), ("09-one-bad-polygon/percent.json", 4)),
        *(("09-one-bad-polygon/one-missing.json", 4), ("07-label-studio-coco-exif/ls.json", 3)),
        *(("08-coordinates-0-to-1/shares.json", 0), ("08-coordinates-0-to-1/corners.json", 0)),
        *(("03-category-called-Person/pedestrian.json", 0), ("07-label-studio-coco-exif/stored.json", 0)),
    ],
)
def test_files_of_other_tools_give_their_people_or_are_refused(file: str, people: int, shared: Path) -> None:
    path = shared / "cases" / file
    labeled = LabeledSet(images=path.parent / "pictures", coco=path)
    if not people:
        with pytest.raises(ConfigError):
            read_labeled(labeled)
        return
    assert sum(len(one.people) for one in read_labeled(labeled)) == people


def test_a_file_without_a_folder_of_images_is_read_too(tmp_path: Path) -> None:
    first, _ = read_coco_file(truth(tmp_path, PERSON))
    assert (first.path, np.sum([one.area_px for one in first.people])) == (None, 7200)
