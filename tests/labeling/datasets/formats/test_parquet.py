"""Parquet and Croissant, read by Hugging Face's `datasets` and by `mlcroissant`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from configs.errors import ConfigError
from labeling.datasets.formats import parquet
from labeling.datasets.formats.parquet import write_parquet
from labeling.datasets.records import DatasetFrame
from tests.labeling.datasets.frames import files_under, frame, instance, rectangle, ring_and_dot

CATEGORIES = ("person", "dog")
SMALL = rectangle(30, 2, 8, 20)


@pytest.fixture
def frames(tmp_path: Path) -> list[DatasetFrame]:
    folder = tmp_path / "home"
    folder.mkdir()
    pose = tuple((float(i), 2.0, 0.5) for i in range(17))
    return [
        frame(
            n,
            folder,
            instance(10 * n, ring_and_dot(), keypoints=pose),
            instance(10 * n + 1, SMALL)._replace(category="dog", reviewer="ann", track_id=3),
            split=split,
        )
        for n, split in enumerate(["train", "val", "test", "train", "train"], start=1)
    ]


def pixels_of(image: Image.Image) -> NDArray[Any]:
    return np.array(image)


@pytest.mark.requires("parquet", "datasets")
@pytest.mark.slow
def test_hugging_face_datasets_load_images_masks_and_categories(
    frames: list[DatasetFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    monkeypatch.setattr(parquet, "_GROUP", 2)
    summary = write_parquet(frames, tmp_path / "out", categories=CATEGORIES)
    assert summary.files == len(files_under(tmp_path / "out")) - 1
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 3, "validation": 1, "test": 1}
    files = {"train": str(tmp_path / "out/data/train-*.parquet")}
    train = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "c2"))
    assert train["image_id"] == [1, 4, 5]
    assert train.features["objects"]["category"].feature.names == ["person", "dog"]
    row = train[0]
    assert row["image"].size == (64, 48)
    np.testing.assert_array_equal(pixels_of(row["mask"]) == 1, ring_and_dot())
    np.testing.assert_array_equal(pixels_of(row["mask"]) == 2, SMALL)
    objects = row["objects"]
    assert (objects["id"], objects["category"], objects["track_id"]) == ([10, 11], [0, 1], [None, 3])
    read = coco_mask.decode({"size": [row["height"], row["width"]], "counts": objects["rle"][0].encode()})
    np.testing.assert_array_equal(read.astype(bool), ring_and_dot())
    assert objects["keypoints"][0][:6] == [0, 2, 0.5, 1, 2, 0.5]
    assert (row["title"], row["t_ms"], row["license"]) == ("Zwei Füße, “walk”", 40, "CC-BY-4.0")


@pytest.mark.requires("parquet", "mlcroissant")
@pytest.mark.filterwarnings("ignore")  # of its libraries
@pytest.mark.slow
def test_mlcroissant_validates_the_metadata_and_reads_the_records(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    import mlcroissant

    write_parquet(frames, tmp_path / "out", categories=CATEGORIES)
    read = mlcroissant.Dataset(jsonld=str(tmp_path / "out/croissant.json"))
    assert not read.metadata.ctx.issues.errors
    records = list(read.records("frames"))
    assert sorted(one["frames/image_id"] for one in records) == [1, 2, 3, 4, 5]
    first = min(records, key=lambda one: one["frames/image_id"])
    assert first["frames/image"].size == (64, 48)
    np.testing.assert_array_equal(pixels_of(first["frames/mask"]) == 2, SMALL)
    assert first["frames/license"] == b"CC-BY-4.0"


@pytest.mark.requires("parquet", "pyarrow")
def test_files_end_at_their_size_and_the_same_frames_give_the_same_bytes(
    frames: list[DatasetFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_GROUP", 1)
    monkeypatch.setattr(parquet, "FILE_BYTES", 1)
    write_parquet(frames, tmp_path / "one", categories=CATEGORIES)
    write_parquet(iter(frames), tmp_path / "two", categories=CATEGORIES)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one/data").iterdir())
    assert names == [
        *("test-00000.parquet", "train-00000.parquet", "train-00001.parquet", "train-00002.parquet"),
        "val-00000.parquet",
    ]


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'maskmill\[parquet\]'"):
        write_parquet([], tmp_path / "out")
    assert not (tmp_path / "out").exists()
