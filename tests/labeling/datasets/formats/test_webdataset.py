"""WebDataset shards, read by the library and by tarfile."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from labeling.datasets.formats import webdataset as format_module
from labeling.datasets.formats.webdataset import write_webdataset
from labeling.datasets.records import DatasetFrame
from tests.labeling.datasets.frames import files_under, frame, instance, rectangle, ring_and_dot

CATEGORIES = ("person", "dog")


@pytest.fixture
def frames(tmp_path: Path) -> list[DatasetFrame]:
    folder = tmp_path / "home"
    folder.mkdir()
    return [
        frame(
            n,
            folder,
            instance(10 * n, ring_and_dot()),
            instance(10 * n + 1, rectangle(30, 2, 8, 20))._replace(category="dog"),
            split=split,
        )
        for n, split in enumerate(["train", "val", "train"], start=1)
    ]


@pytest.mark.requires("webdataset", "webdataset")
@pytest.mark.filterwarnings("ignore")  # of its libraries
@pytest.mark.long
def test_webdataset_reads_image_label_image_and_record(frames: list[DatasetFrame], tmp_path: Path) -> None:
    import webdataset

    write_webdataset(frames, tmp_path / "out", categories=CATEGORIES)
    shard = str(tmp_path / "out/shards/train-000000.tar")
    samples = list(webdataset.WebDataset(shard, shardshuffle=False).decode("pil"))
    assert [one["__key__"] for one in samples] == ["0001", "0003"]
    assert samples[0]["jpg"].size == samples[0]["mask.png"].size == (64, 48)
    assert [one["category"] for one in samples[0]["json"]["instances"]] == ["person", "dog"]


@pytest.mark.requires("parquet", "datasets")
@pytest.mark.slow
def test_hugging_face_datasets_read_the_shards(
    frames: list[DatasetFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    write_webdataset(frames, tmp_path / "out", categories=CATEGORIES)
    files = {"train": str(tmp_path / "out/shards/train-*.tar")}
    options = {"data_files": files, "split": "train", "cache_dir": str(tmp_path / "cache")}
    train = datasets.load_dataset("webdataset", **options)
    assert train["__key__"] == ["0001", "0003"]
    labels = np.array(train[0]["mask.png"])
    np.testing.assert_array_equal(labels == 1, ring_and_dot())
    assert [one["category"] for one in train[0]["json"]["instances"]] == ["person", "dog"]


def test_members_of_a_sample_lie_together_and_masks_are_exact(
    frames: list[DatasetFrame], tmp_path: Path
) -> None:
    summary = write_webdataset(frames, tmp_path / "out", categories=CATEGORIES)
    with tarfile.open(tmp_path / "out/shards/train-000000.tar") as shard:
        names = shard.getnames()
        record = json.load(shard.extractfile("0003.json"))  # type: ignore[arg-type]  # a file
    assert names == [f"{key}.{end}" for key in ("0001", "0003") for end in ("jpg", "mask.png", "json")]
    first = record["instances"][0]
    np.testing.assert_array_equal(coco_mask.decode(first["segmentation"]).astype(bool), ring_and_dot())
    assert (first["category_id"], record["split"], record["license"]) == (1, "train", "CC-BY-4.0")
    assert summary.files == 2


def test_a_full_shard_is_followed_by_the_next_with_the_same_bytes_each_time(
    frames: list[DatasetFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(format_module, "SHARD_BYTES", 1)
    for name in ("one", "two"):
        write_webdataset(frames, tmp_path / name, categories=CATEGORIES)
    assert files_under(tmp_path / "one") == files_under(tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "one/shards").iterdir()) == [
        *("train-000000.tar", "train-000001.tar", "val-000000.tar"),
    ]
