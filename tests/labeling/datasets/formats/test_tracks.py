"""The formats of tracks, MOTS and YouTube-VIS, read back by hand with pycocotools."""

import configparser
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from configs.errors import ExportError
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.mots import write_mots
from labeling.datasets.formats.youtube_vis import write_youtube_vis
from labeling.datasets.readers.coco import read_coco_file
from labeling.datasets.records import DatasetFrame, DatasetInstance
from tests.labeling.datasets.frames import files_under, frame, instance, rectangle, ring_and_dot

LEFT, RIGHT = rectangle(2, 2, 20, 10), rectangle(5, 40, 30, 12)
FIRST, SECOND = "ab" * 32, "cd" * 32
WRITERS = [write_mots, write_youtube_vis]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def tracked(number: int, pixels: NDArray[np.bool_], track_id: int | None) -> DatasetInstance:
    return instance(number, pixels)._replace(track_id=track_id)


def two_videos(folder: Path) -> list[DatasetFrame]:
    """Return a video of three frames, whose track 7 misses one, and a video with a track 7 of its own."""
    return [
        frame(1, folder, tracked(11, LEFT, 7), tracked(12, RIGHT, 2)),
        frame(2, folder, tracked(21, RIGHT, 2), tracked(22, rectangle(40, 0, 5, 5), None)),
        frame(3, folder, tracked(31, LEFT, 7), tracked(32, rectangle(40, 0, 5, 5), None)),
        frame(4, folder, tracked(41, ring_and_dot(), 7))._replace(video_id=SECOND),
    ]


def read_mots(sequence: Path) -> dict[int, dict[int, NDArray[np.bool_]]]:
    """Read `gt.txt`: the mask of each id by frame."""
    found: dict[int, dict[int, NDArray[np.bool_]]] = {}
    for line in (sequence / "gt/gt.txt").read_text().splitlines():
        time, id, kind, height, width, counts = line.split(" ")
        assert (int(kind), int(id) // 1000) == (2, 2)
        rle = {"size": [int(height), int(width)], "counts": counts.encode()}
        found.setdefault(int(time), {})[int(id)] = coco_mask.decode(rle).astype(bool)
    return found


def read_png(sequence: Path, number: int) -> NDArray[Any]:
    path = sequence / "instances" / f"{number:06d}.png"
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    assert labels.dtype == np.uint16
    return labels


def test_mots_has_one_folder_per_video_and_an_id_per_track(folder: Path, tmp_path: Path) -> None:
    summary = write_mots(two_videos(folder), tmp_path / "out")
    assert (summary.frames, summary.instances, summary.notes) == (4, 7, ())
    assert summary.files == sum(p.is_file() for p in (tmp_path / "out").rglob("*")) - 1
    first, second = (tmp_path / "out/sequences" / video[:12] for video in (FIRST, SECOND))
    masks = read_mots(first)
    assert {time: list(of_frame) for time, of_frame in masks.items()} == {
        1: [2001, 2002],
        2: [2002, 2003],
        3: [2001, 2004],
    }
    np.testing.assert_array_equal(masks[3][2001], LEFT)
    np.testing.assert_array_equal(read_mots(second)[1][2001], ring_and_dot())
    for time, of_frame in masks.items():
        labels = read_png(first, time)
        assert set(np.unique(labels)) == {0, *of_frame}
        for id, pixels in of_frame.items():
            np.testing.assert_array_equal(labels == id, pixels)
    info = configparser.ConfigParser()
    info.read(first / "seqinfo.ini")
    values = {"name": FIRST[:12], "seqlength": "3", "imwidth": "64", "imheight": "48"}
    assert dict(info["Sequence"]) == values


def test_mots_frames_are_listed_with_image_and_track(folder: Path, tmp_path: Path) -> None:
    write_mots(two_videos(folder), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out/frames.jsonl").read_text().splitlines()]
    assert [(line["sequence"], line["number"], line["file_name"]) for line in lines] == [
        *((FIRST[:12], number, f"000{number}.jpg") for number in (1, 2, 3)),
        (SECOND[:12], 1, "0004.jpg"),
    ]
    for line in lines:
        assert (tmp_path / "out" / line["mask"]).is_file()
        assert (tmp_path / "out/images" / line["file_name"]).is_file()
    assert [(one["value"], one["track_id"]) for one in lines[1]["instances"]] == [(2002, 2), (2003, None)]


def test_mots_masks_do_not_overlap(folder: Path, tmp_path: Path) -> None:
    small, covered = rectangle(5, 5, 4, 4), rectangle(5, 5, 4, 4)
    people = tracked(1, rectangle(0, 0, 20, 20), 1), tracked(2, covered, 2), tracked(3, small, 3)
    summary = write_mots([frame(1, folder, *people)], tmp_path / "out")
    masks = read_mots(tmp_path / "out/sequences" / FIRST[:12])[1]
    assert list(masks) == [2001, 2003]
    assert np.sum(list(masks.values()), axis=0).max() == 1
    assert summary.notes == ("32 pixels of instances lie under a smaller one",)


def test_mots_starts_a_new_sequence_where_a_video_has_1000_people(folder: Path, tmp_path: Path) -> None:
    dots = [rectangle(n // 64, n % 64, 1, 1) for n in range(500)]
    frames = [
        frame(time, folder, *(tracked(1000 * time + n, dot, None) for n, dot in enumerate(dots)))
        for time in (1, 2, 3)
    ]
    frames[0] = frames[0]._replace(instances=frames[0].instances[1:])
    write_mots(frames, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/sequences").iterdir()) == [
        FIRST[:12],
        f"{FIRST[:12]}-2",
    ]
    masks = read_mots(tmp_path / "out/sequences" / FIRST[:12])
    assert [len(of_frame) for of_frame in masks.values()] == [499, 500]
    assert max(masks[2]) == 2999
    assert list(read_mots(tmp_path / "out/sequences" / f"{FIRST[:12]}-2")) == [1]


def test_mots_refuses_1000_people_in_a_frame(folder: Path, tmp_path: Path) -> None:
    dots = [tracked(n + 1, rectangle(n // 64, n % 64, 1, 1), n) for n in range(1000)]
    with pytest.raises(ExportError, match="1000 instances; MOTS holds 999"):
        write_mots([frame(1, folder, *dots)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def read_youtube_vis(out: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((out / "annotations/youtube_vis.json").read_text())
    return tree


def test_youtube_vis_has_one_annotation_per_track(folder: Path, tmp_path: Path) -> None:
    summary = write_youtube_vis(two_videos(folder), tmp_path / "out")
    assert (summary.frames, summary.instances, summary.files) == (4, 7, 5)
    tree = read_youtube_vis(tmp_path / "out")
    first, second = tree["videos"]
    assert first["file_names"] == ["0001.jpg", "0002.jpg", "0003.jpg"]
    assert (first["length"], first["width"], first["height"], first["times_ms"]) == (3, 64, 48, [40, 80, 120])
    assert (second["id"], second["length"], second["video_id"]) == (2, 1, SECOND)
    assert [(a["video_id"], a.get("track_id"), a["areas"]) for a in tree["annotations"]] == [
        (1, 7, [200, None, 200]),
        (1, 2, [360, 360, None]),
        (1, None, [None, 25, None]),
        (1, None, [None, None, 25]),
        (2, 7, [int(ring_and_dot().sum())]),
    ]
    assert [a["id"] for a in tree["annotations"]] == [1, 2, 3, 4, 5]
    walker = tree["annotations"][0]
    assert (walker["bboxes"], walker["category_id"]) == ([[2, 2, 10, 20], None, [2, 2, 10, 20]], 1)
    assert walker["instance_ids"] == [11, None, 31]
    for annotation in tree["annotations"]:
        for rle, area in zip(annotation["segmentations"], annotation["areas"], strict=True):
            assert (rle is None) == (area is None)
            assert rle is None or int(coco_mask.area(rle)) == area
    np.testing.assert_array_equal(coco_mask.decode(walker["segmentations"][2]), LEFT)


def test_youtube_vis_licenses_are_those_of_coco(folder: Path, tmp_path: Path) -> None:
    frames = two_videos(folder)
    write_youtube_vis([*frames[:3], frames[3]._replace(license=None)], tmp_path / "out")
    tree = read_youtube_vis(tmp_path / "out")
    assert [video["license"] for video in tree["videos"]] == [1, 0]
    assert [license["name"] for license in tree["licenses"]] == ["unknown", "CC-BY-4.0"]


@pytest.mark.parametrize("write", WRITERS)
def test_an_image_without_a_time_is_a_video_of_its_own(
    write: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    frames = [frame(n, folder, tracked(n, LEFT, None))._replace(pts_ms=None) for n in (1, 2)]
    write(frames, tmp_path / "out")
    if write is write_mots:
        assert sorted(p.name for p in (tmp_path / "out/sequences").iterdir()) == ["0001", "0002"]
    else:
        assert [v["length"] for v in read_youtube_vis(tmp_path / "out")["videos"]] == [1, 1]


@pytest.mark.parametrize("write", WRITERS)
def test_a_second_person_with_the_same_track_in_a_frame_is_another_person(
    write: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    write([frame(1, folder, tracked(1, LEFT, 5), tracked(2, RIGHT, 5))], tmp_path / "out")
    if write is write_mots:
        assert list(read_mots(tmp_path / "out/sequences" / FIRST[:12])[1]) == [2001, 2002]
    else:
        assert len(read_youtube_vis(tmp_path / "out")["annotations"]) == 2


@pytest.mark.parametrize("write", WRITERS)
def test_no_frames_give_an_empty_dataset(write: Callable[..., Any], tmp_path: Path) -> None:
    summary = write([], tmp_path / "out")
    assert (summary.frames, summary.instances, summary.files) == (0, 0, 1)


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_frames_give_the_same_bytes(write: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    frames = two_videos(folder)
    write(frames, tmp_path / "one")
    write(frames, tmp_path / "two", copy=True)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "two")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("order", "words"), [([0, 2, 1], "sort the frames of a video by time"), ([0, 3, 1], "by video")]
)
def test_frames_in_another_order_are_refused(
    write: Callable[..., Any], order: list[int], words: str, folder: Path, tmp_path: Path
) -> None:
    frames = two_videos(folder)
    with pytest.raises(ExportError, match=words):
        write([frames[position] for position in order], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", WRITERS)
def test_a_failed_export_leaves_the_earlier_one(
    write: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    frames = two_videos(folder)
    write(frames[:1], tmp_path / "out")
    before = files_under(tmp_path / "out")
    with pytest.raises(ExportError):
        write([*frames, frames[0]], tmp_path / "out")
    assert files_under(tmp_path / "out") == before


def test_our_reader_of_coco_knows_tracks_by_video(folder: Path, tmp_path: Path) -> None:
    write_coco(two_videos(folder), tmp_path / "out")
    read = {
        image.file_name: image.tracks for image in read_coco_file(tmp_path / "out/annotations/instances.json")
    }
    assert read["0001.jpg"] == (f"{FIRST}/7", f"{FIRST}/2")
    assert read["0002.jpg"] == (f"{FIRST}/2", None)
    assert read["0004.jpg"] == (f"{SECOND}/7",)


def test_other_categories_have_classes_of_their_own(folder: Path, tmp_path: Path) -> None:
    cat, car = (
        tracked(n, rectangle(40, 9 * n, 5, 5), n)._replace(category=name)
        for n, name in enumerate(("cat", "car"), start=1)
    )
    frames, categories = [frame(1, folder, tracked(3, LEFT, 3), cat, car)], ("person", "car", "cat")
    write_mots(frames, tmp_path / "mots", categories=categories)
    sequence = tmp_path / "mots/sequences" / FIRST[:12]
    lines = (sequence / "gt/gt.txt").read_text().splitlines()
    assert [tuple(map(int, line.split()[1:3])) for line in lines] == [(2001, 2), (11002, 11), (1003, 1)]
    write_youtube_vis(frames, tmp_path / "vis", categories=categories)
    document = read_youtube_vis(tmp_path / "vis")
    assert [one["name"] for one in document["categories"]] == list(categories)
    assert [one["category_id"] for one in document["annotations"]] == [1, 3, 2]
    with pytest.raises(ExportError, match="60 categories beside person and car; MOTS holds 54"):
        write_mots(frames, tmp_path / "many", categories=[f"c{n}" for n in range(60)])
