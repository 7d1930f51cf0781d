import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage

from configs.errors import ExportError
from labeling.datasets.formats.coco import annotation_record, rle_json, with_keypoints, write_coco
from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask
from tests.conftest import ROOT
from tests.labeling.datasets.frames import (
    SIZE_HW,
    files_under,
    frame,
    image_of,
    instance,
    rectangle,
    ring_and_dot,
)

SHAPES = {
    "holes and parts": ring_and_dot(),
    "one pixel": rectangle(47, 63, 1, 1),
    "whole image": rectangle(0, 0, *SIZE_HW),
    "a row": rectangle(5, 0, 1, 64),
    "corners that touch": rectangle(0, 0, 4, 4) | rectangle(4, 4, 4, 4),
}

STANDING: Keypoints = tuple((20.0 + i, 10.0 + i, 0.9) for i in range(17))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def _shapes_frame(images: Path) -> DatasetFrame:
    return frame(7, images, *(instance(i, shape) for i, shape in enumerate(SHAPES.values(), start=1)))


def _coco(folder: Path, name: str = "instances") -> COCO:
    return COCO(str(folder / "annotations" / f"{name}.json"))


def _document(folder: Path, name: str = "instances") -> Any:
    return json.loads((folder / "annotations" / f"{name}.json").read_bytes())


def _masks(coco: COCO) -> list[NDArray[np.bool_]]:
    return [coco.annToMask(annotation).astype(bool) for annotation in coco.loadAnns(coco.getAnnIds())]


def test_pycocotools_reads_back_every_pixel_of_every_mask(images: Path, tmp_path: Path) -> None:
    write_coco([_shapes_frame(images)], tmp_path / "out")
    read = _masks(_coco(tmp_path / "out"))
    assert len(read) == len(SHAPES)
    for expected, got in zip(SHAPES.values(), read, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_polygons_are_exact_except_for_filled_holes(images: Path, tmp_path: Path) -> None:
    summary = write_coco([_shapes_frame(images)], tmp_path / "out", polygons=True)
    coco = _coco(tmp_path / "out")
    for expected, got in zip(SHAPES.values(), _masks(coco), strict=True):
        np.testing.assert_array_equal(got, ndimage.binary_fill_holes(expected))
    assert summary.notes == ("polygons: holes are filled (1 instances had holes)",)
    assert "holes are filled" in coco.dataset["info"]["description"]
    assert coco.anns[2]["segmentation"] == [[63, 47, 63, 48, 64, 48, 64, 47]]


def test_areas_are_pixels_of_the_mask_and_boxes_tight(images: Path, tmp_path: Path) -> None:
    write_coco([_shapes_frame(images)], tmp_path / "out")
    first = _document(tmp_path / "out")["annotations"][0]
    assert first["area"] == 20 * 20 - 10 * 10 + 2 * 2 + 1
    assert first["bbox"] == [10, 4, 51, 37]
    assert (first["iscrowd"], first["category_id"], first["image_id"]) == (0, 1, 7)
    assert (first["model"], first["score"], first["reviewer"]) == ("lite", 0.75, None)


def test_an_image_keeps_its_origin_and_license(images: Path, tmp_path: Path) -> None:
    frames = [
        frame(1, images, license=None),
        frame(2, images, license="CC0-1.0"),
        frame(3, images, license="CC-BY-4.0"),
        frame(4, images, license="CC0-1.0"),
    ]
    write_coco(frames, tmp_path / "out")
    document = _document(tmp_path / "out")
    names = {license["id"]: license["name"] for license in document["licenses"]}
    assert names == {0: "unknown", 1: "CC0-1.0", 2: "CC-BY-4.0"}
    assert [record["license"] for record in document["images"]] == [0, 1, 2, 1]
    assert document["images"][2] == {
        "id": 3,
        "file_name": "0003.jpg",
        "width": 64,
        "height": 48,
        "license": 2,
        "video_id": "ab" * 32,
        "t_ms": 120,
        "source_url": "https://example.org/walk",
        "title": "Zwei Füße, “walk”",
        "uploader": "someone",
        "upload_date": "2024-05-31",
        "decision": "accepted",
    }


def test_no_unknown_license_is_listed_where_all_are_known(images: Path, tmp_path: Path) -> None:
    write_coco([frame(1, images)], tmp_path / "out")
    assert [license["id"] for license in _document(tmp_path / "out")["licenses"]] == [1]


def test_keypoint_visibility_follows_confidence_and_the_image(images: Path, tmp_path: Path) -> None:
    points = (
        (1.0, 2.0, 0.5),
        (3.0, 4.0, 0.49),
        (5.0, 6.0, 0.2),
        (7.0, 8.0, 0.19),
        (64.0, 1.0, 0.9),
        (-0.1, 1.0, 0.9),
        (1.0, 48.0, 0.9),
        (63.994, 47.9, 0.9),
        *((0.0, 0.0, 0.0),) * 9,
    )
    with_pose = instance(5, rectangle(0, 0, 9, 9), keypoints=points)
    write_coco([frame(1, images, instance(4, rectangle(2, 2, 2, 2)), with_pose)], tmp_path / "out")
    document = _document(tmp_path / "out", "person_keypoints")
    (annotation,) = document["annotations"]
    assert annotation["id"] == 5
    assert annotation["num_keypoints"] == 4
    assert len(annotation["keypoints"]) == 51
    triples = list(zip(*[iter(annotation["keypoints"])] * 3, strict=True))
    assert triples[:4] == [(1, 2, 2), (3, 4, 1), (5, 6, 1), (0, 0, 0)]
    assert triples[4:7] == [(0, 0, 0)] * 3
    assert triples[7] == (63.99, 47.9, 2)
    assert len(document["categories"][0]["keypoints"]) == 17
    assert [len(i["annotations"]) for i in (document, _document(tmp_path / "out"))] == [1, 2]


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
def test_a_dataset_measured_against_itself_is_perfect(
    kind: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [frame(n, images, instance(10 * n, ring_and_dot(), keypoints=STANDING)) for n in range(1, 6)]
    write_coco([*frames, _shapes_frame(images)], tmp_path / "out")
    truth = _coco(tmp_path / "out", "person_keypoints" if kind == "keypoints" else "instances")
    results = truth.loadRes([dict(annotation) for annotation in truth.dataset["annotations"]])
    evaluation = COCOeval(truth, results, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1.0
    assert evaluation.stats[8 if kind != "keypoints" else 5] == 1.0
    capsys.readouterr()


def test_the_same_frames_give_the_same_bytes(images: Path, tmp_path: Path) -> None:
    frames = [frame(n, images, instance(n, ring_and_dot(), keypoints=STANDING)) for n in (3, 1, 2)]
    write_coco(frames, tmp_path / "one")
    write_coco(iter(frames), tmp_path / "two", copy=True)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "two")
    assert [record["id"] for record in _document(tmp_path / "one")["images"]] == [3, 1, 2]


def test_every_record_has_a_line_of_its_own_with_any_title(images: Path, tmp_path: Path) -> None:
    odd = frame(1, images)._replace(title='},{"id":1},"},{"id":', decision="},{")
    with_pose = [frame(n, images, instance(n, ring_and_dot(), keypoints=STANDING)) for n in (2, 3)]
    write_coco([odd, *with_pose], tmp_path / "out")
    for name in ("instances", "person_keypoints"):
        lines = (tmp_path / f"out/annotations/{name}.json").read_text().splitlines()
        records = [json.loads(line.removesuffix(",")) for line in lines if line.startswith('{"id"')]
        document = _document(tmp_path / "out", name)
        assert records == [*document["annotations"], *document["images"]]
        assert document["images"][0]["title"] == odd.title


def test_a_dataset_without_frames_is_valid_and_empty(tmp_path: Path) -> None:
    summary = write_coco([], tmp_path / "out")
    assert (summary.frames, summary.instances, summary.files) == (0, 0, 2)
    assert _coco(tmp_path / "out").getImgIds() == []


def test_an_empty_mask_is_left_out_and_noted(images: Path, tmp_path: Path) -> None:
    gone = instance(1, np.zeros(SIZE_HW, dtype=bool))
    summary = write_coco([frame(1, images, gone, instance(2, ring_and_dot()))], tmp_path / "out")
    assert summary.notes == ("1 instances with an empty mask were left out",)
    assert _coco(tmp_path / "out").getAnnIds() == [2]


def test_the_greatest_id_is_exact_for_a_reader_that_keeps_doubles(images: Path, tmp_path: Path) -> None:
    write_coco([frame(2**53 - 1, images, instance(2**53 - 1, ring_and_dot()))], tmp_path / "out")
    document = json.loads((tmp_path / "out/annotations/instances.json").read_bytes(), parse_int=float)
    assert int(document["annotations"][0]["id"]) == int(document["images"][0]["id"]) == 2**53 - 1


@pytest.mark.parametrize("number", [0, -1, 2**53])
def test_an_id_out_of_range_is_refused(number: int, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="id must lie in 1 to 9007199254740991"):
        write_coco([frame(1, images, instance(number, ring_and_dot()))], tmp_path / "out")


def test_an_id_used_twice_is_refused(images: Path, tmp_path: Path) -> None:
    frames = [frame(n, images, instance(9, ring_and_dot())) for n in (1, 2)]
    with pytest.raises(ExportError, match="instance id 9 occurs twice"):
        write_coco(frames, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mask_of_another_size_than_its_image_is_refused(images: Path, tmp_path: Path) -> None:
    turned = instance(1, ring_and_dot().T)
    with pytest.raises(ExportError, match=r"\(64, 48\).*\(48, 64\)"):
        write_coco([frame(1, images, turned)], tmp_path / "out")


def test_a_score_of_nan_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="score is nan"):
        write_coco([frame(1, images, instance(1, ring_and_dot(), score=np.nan))], tmp_path / "out")


def test_a_split_is_written_where_the_dataset_is_divided(images: Path, tmp_path: Path) -> None:
    write_coco([frame(1, images, split="train"), frame(2, images)], tmp_path / "out")
    assert [record.get("split") for record in _document(tmp_path / "out")["images"]] == ["train", None]


PEAKS = """
import sys, tracemalloc
from pathlib import Path
import numpy as np
from labeling.datasets.formats.coco import write_coco
from tests.labeling.datasets.formats.test_coco import SIZE_HW, frame, instance

folder = Path(sys.argv[1])
speckled = np.random.default_rng(0).random(SIZE_HW) > 0.5
only = frame(1, folder, instance(1, speckled))

def peak_bytes(count):
    frames = (
        only._replace(id=n, file_name=f"{n}.jpg", instances=(instance(n, speckled),)) for n in range(1, count + 1)
    )
    tracemalloc.start()
    write_coco(frames, folder / f"out{count}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak

def least_peak(count):
    return min(peak_bytes(count) for _ in range(4))  # caches and garbage come and go

peak_bytes(200)
print(least_peak(200), least_peak(1200), len(only.instances[0].mask.counts))
"""
"""Peak of the memory that Python allocates for few and for many frames; bytes of each mask."""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_frames(images: Path) -> None:
    """In a process of its own: other threads of the tests allocate too."""
    command = [sys.executable, "-c", PEAKS, str(images)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    few, many, mask_bytes = map(int, done.stdout.split())
    assert many - few < 1000 * mask_bytes / 20


@pytest.mark.shared
def test_real_images_and_masks_are_read_back_unchanged(shared: Path, tmp_path: Path) -> None:
    home = shared / "data" / "pennfudan"
    labels = {}
    frames = []
    for number, image in enumerate(sorted((home / "images").iterdir())[:12], start=1):
        with Image.open(home / "masks" / f"{image.stem}_mask.png") as file:
            labels[number] = np.array(file)
        people = [
            instance(1000 * number + value, labels[number] == value)
            for value in range(1, int(labels[number].max()) + 1)
        ]
        whole = frame(number, tmp_path, *people)
        frames.append(whole._replace(image=image, file_name=image.name, size_hw=people[0].mask.size_hw))
    write_coco(frames, tmp_path / "out")
    coco = _coco(tmp_path / "out")
    for image_id, expected in labels.items():
        got = np.zeros_like(expected)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image_id])):
            got[coco.annToMask(annotation) > 0] = annotation["id"] - 1000 * image_id
        np.testing.assert_array_equal(got, expected)


def test_a_box_with_nan_is_refused(images: Path, tmp_path: Path) -> None:
    """JSON cannot represent it."""
    broken = instance(1, rectangle(0, 0, 4, 4))._replace(box_xywh=(0.0, float("nan"), 4.0, 4.0))
    with pytest.raises(ExportError, match=r"instance 1: the score is 0.75, the box \(0.0, nan"):
        write_coco([frame(1, images, broken)], tmp_path / "out")


def test_more_frames_than_one_batch_keep_their_own_areas_and_boxes(images: Path, tmp_path: Path) -> None:
    frames = [
        frame(n, images, *(instance(1000 * n + k, rectangle(k, n % 50, 2 + n % 7, 3)) for k in range(n % 4)))
        for n in range(1, 125)
    ]
    write_coco(frames, tmp_path / "out")
    written = {
        one["id"]: one for one in _coco(tmp_path / "out").loadAnns(_coco(tmp_path / "out").getAnnIds())
    }
    for one in (one for kept in frames for one in kept.instances):
        assert written[one.id]["area"] == one.mask.area_px
        assert written[one.id]["bbox"] == list(one.mask.box_xywh)


TIES = st.integers(-(10**9), 10**9).map(lambda whole: (2 * whole + 1) / 200)
"""Doubles nearest to the middle between two hundredths: above or below it."""
NUMBERS = (
    st.floats(-1e22, 1e22) | st.floats(-2000, 2000) | TIES | st.sampled_from([2.675, 0.125, -0.001, 0.0])
)
SCORES = st.floats(0, 1) | st.sampled_from([0.0, 1e-4, 1e-5, 1e-7, 5e-324, 1.0])
TEXTS = st.text(st.characters(exclude_categories=()))  # with lone surrogates
COUNTS = st.text(st.characters(min_codepoint=48, max_codepoint=111)).map(str.encode)
"""The characters of COCO's compressed runs, with the backslash."""


PEOPLE = st.builds(
    DatasetInstance,
    id=st.integers(1, 2**53 - 1),
    mask=COUNTS.map(lambda counts: Mask((720, 1280), counts)),
    area_px=st.integers(1, 720 * 1280),
    tight_xywh=st.tuples(*[st.integers(0, 1280).map(float)] * 4),
    score=SCORES,
    box_xywh=st.tuples(*[NUMBERS] * 4),
    keypoints=st.none(),
    model=TEXTS,
    reviewer=st.none() | TEXTS,
    refined_by=st.none() | TEXTS,
    iou_before=st.none() | SCORES,
    track_id=st.none() | st.integers(1, 2**53 - 1),
)


@pytest.mark.slow
@given(PEOPLE)
def test_the_standard_library_reads_the_record(one: DatasetInstance) -> None:
    expected: dict[str, object] = {
        "id": one.id,
        "image_id": 7,
        "category_id": 1,
        "iscrowd": int(one.is_doubtful),
        "area": one.area_px,
        "bbox": list(one.tight_xywh),
        "segmentation": {"size": [720, 1280], "counts": one.mask.counts.decode()},
        "model": one.model,
        "score": one.score,
        "reviewer": one.reviewer,
        "detector_bbox": [round(side, 2) for side in one.box_xywh],
    }
    if one.refined_by is not None and one.iou_before is not None:
        expected |= {"refined_by": one.refined_by, "iou_before": one.iou_before}
    if one.track_id is not None:
        expected["track_id"] = one.track_id
    record = annotation_record(image_of(7, (720, 1280)), one, rle_json(one.mask))
    assert json.loads(record) == expected
    assert list(json.loads(record)) == list(expected)
    assert record.isascii()


@pytest.mark.slow
@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(0, 1)), min_size=17, max_size=17).map(tuple))
def test_keypoints_agree_with_a_second_implementation(points: Keypoints) -> None:
    expected: list[float] = []
    seen = 0
    for x, y, confidence in points:
        is_there = not (x < 0 or y < 0 or x >= 1280 or y >= 720 or confidence < 0.2)
        expected += [round(x, 2), round(y, 2), 2 if confidence >= 0.5 else 1] if is_there else [0, 0, 0]
        seen += is_there
    written = json.loads(with_keypoints(b'{"id":1}', points, (720, 1280)))
    assert written == {"id": 1, "num_keypoints": seen, "keypoints": expected}


def test_fiftyone_finds_what_its_layout_requires(images: Path, tmp_path: Path) -> None:
    """`COCODetectionDataset` with `data_path` and `labels_path`; its importer decodes RLEs with pycocotools, cut to the box.

    https://docs.voxel51.com/user_guide/import_datasets.html#cocodetectiondataset
    """
    write_coco([_shapes_frame(images)], tmp_path / "out")
    document = _document(tmp_path / "out")
    assert {"info", "licenses", "categories", "images", "annotations"} <= document.keys()
    assert {one["id"]: one["name"] for one in document["categories"]} == {1: "person"}
    for image in document["images"]:
        assert (tmp_path / "out/images" / image["file_name"]).is_file()
        assert {"id", "width", "height", "license"} <= image.keys()
    for one, shape in zip(document["annotations"], SHAPES.values(), strict=True):
        x, y, w, h = one["bbox"]
        cut = coco_mask.decode(one["segmentation"])[y : y + h, x : x + w]
        np.testing.assert_array_equal(cut.astype(bool), shape[y : y + h, x : x + w])
