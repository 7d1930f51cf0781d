"""Datumaro's JSON: its documented fields, and Datumaro itself in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from labeling.datasets.formats.cvat import write_cvat
from labeling.datasets.formats.datumaro import write_datumaro
from labeling.datasets.formats.voc import ROOT, write_voc
from labeling.datasets.records import DatasetFrame
from labeling.structures.instances import Keypoints
from tests.labeling.datasets.frames import frame, instance, rectangle, ring_and_dot

STANDING: Keypoints = ((1.0, 2.0, 0.9), (3.0, 4.0, 0.3), (99.0, 4.0, 0.9), *((5.0, 6.0, 0.1),) * 14)
CATEGORIES = ("person", "dog")


@pytest.fixture
def frames(tmp_path: Path) -> list[DatasetFrame]:
    folder = tmp_path / "home"
    folder.mkdir()
    dog = instance(2, rectangle(30, 2, 8, 20))._replace(category="dog", track_id=7)
    return [
        frame(1, folder, instance(1, ring_and_dot(), keypoints=STANDING), dog, split="train"),
        frame(2, folder, split="val"),
    ]


def document(folder: Path, subset: str) -> Any:
    return json.loads((folder / "annotations" / f"{subset}.json").read_bytes())


def test_items_have_masks_and_keypoints_of_each_person_in_one_group(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    summary = write_datumaro(frames, tmp_path / "out", categories=CATEGORIES)
    train = document(tmp_path / "out", "train")
    assert (train["dm_format_version"], train["media_type"]) == ("1.0", 2)
    assert [one["name"] for one in train["categories"]["label"]["labels"]] == list(CATEGORIES)
    (item,) = train["items"]
    assert item["id"] == "0001"
    assert item["image"] == {"path": "0001.jpg", "size": [48, 64]}
    assert (tmp_path / "out/images/train/0001.jpg").is_file()
    assert [(one["type"], one["group"], one["label_id"]) for one in item["annotations"]] == [
        ("mask", 1, 0),
        ("points", 1, 0),
        ("mask", 2, 1),
    ]
    mask, points, dog = item["annotations"]
    np.testing.assert_array_equal(coco_mask.decode(mask["rle"]).astype(bool), ring_and_dot())
    assert points["points"][:6] == [1, 2, 3, 4, 0, 0]
    assert points["visibility"][:4] == [2, 1, 0, 0]
    assert dog["attributes"] == {"model": "lite", "score": 0.75, "track_id": 7}
    assert (document(tmp_path / "out", "val")["items"][0]["annotations"], summary.files) == ([], 4)


def test_a_dataset_without_frames_has_one_empty_subset(tmp_path: Path) -> None:
    write_datumaro([], tmp_path / "out")
    assert document(tmp_path / "out", "default")["items"] == []


READ = """
import json, sys
from datumaro.components.dataset import Dataset

for path, name in zip(sys.argv[1::2], sys.argv[2::2]):
    found = {}
    for item in Dataset.import_from(path, name):
        masks = [(one.label, int(one.image.sum())) for one in item.annotations if one.type.name == "mask"]
        found[item.id] = [sorted(masks), sum(one.type.name == "points" for one in item.annotations)]
    print(json.dumps(found))
"""


@pytest.mark.long
def test_datumaro_reads_its_own_json_cvat_and_voc(frames: list[DatasetFrame], tmp_path: Path) -> None:
    """It requires older versions of libraries than maskmill: an environment of its own."""
    whole = [one._replace(split=None) for one in frames]
    for write in (write_datumaro, write_cvat, write_voc):
        write(whole, tmp_path / write.__name__, categories=CATEGORIES)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "datumaro>=1.13,<2"], check=True)
    places = {
        "write_datumaro": "datumaro",
        "write_cvat": "cvat",
        f"write_voc/{ROOT}": "voc_segmentation",
    }
    arguments = [text for path, name in places.items() for text in (str(tmp_path / path), name)]
    done = subprocess.run([python, "-c", READ, *arguments], capture_output=True, text=True, check=True)
    datumaro, cvat, voc = map(json.loads, done.stdout.splitlines())
    ring, dog = int(ring_and_dot().sum()), 160
    assert datumaro == {"0001": [[[0, ring], [1, dog]], 1], "0002": [[], 0]}
    assert cvat == {"0001": [[[0, ring], [1, dog]], 0], "0002": [[], 0]}
    assert voc == {"0001": [[[1, ring], [2, dog]], 0], "0002": [[], 0]}
