"""WebDataset: `shards/SPLIT-000000.tar` with an image, its masks and a JSON record per frame (https://webdataset.github.io)."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

import cv2

from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.mask_png import hidden_note, hidden_pixels, paint_labels
from labeling.datasets.image_bytes import read_image_bytes
from labeling.datasets.provenance import describe_origin, record_line
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import export_errors
from labeling.datasets.writing import WriteOptions, open_dataset

WHOLE = "train"
"""Split of frames without one."""
SHARD_BYTES = 256 << 20


def write_webdataset(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write samples with `.jpg` (or the image's own suffix), `.mask.png` and `.json`; a shard has about 256 MB.

    A pixel of the label image is the instance's position in the record's `instances`, from 1; the smaller of two that overlap
    is on top. The record has each mask as COCO's RLE too, with its parts under others.
    """
    with (
        open_dataset(folder, entries=("shards",), **options) as dataset,
        _Shards(dataset.folder / "shards") as shards,
    ):
        hidden_px, categories = 0, CategoryNumbers(dataset.categories)
        for frame in frames:
            instances = dataset.check.admit(frame)
            labels = paint_labels(instances, frame.size_hw)
            shards.add(
                frame.split or WHOLE,
                _key(frame),
                {
                    Path(frame.file_name).suffix.lstrip(".").lower() or "jpg": read_image_bytes(frame),
                    "mask.png": cv2.imencode(".png", labels)[1].tobytes(),
                    "json": record_line(_record(frame, instances, categories)),
                },
            )
            hidden_px += hidden_pixels(instances, labels)
        return dataset.close(files=shards.count, notes=hidden_note(hidden_px))


def _key(frame: DatasetFrame) -> str:
    """Return the sample's name: everything before the first dot of a member's name is the key."""
    return Path(frame.file_name).stem.replace(".", "_")


def _record(
    frame: DatasetFrame, instances: Sequence[DatasetInstance], categories: CategoryNumbers
) -> dict[str, Any]:
    height, width = frame.size_hw
    origin = {"license": frame.license, "license_url": frame.license_url, **describe_origin(frame)}
    head = {"id": frame.id, "file_name": frame.file_name, "width": width, "height": height}
    return {**head, **origin, "instances": [_instance(one, categories) for one in instances]}


def _instance(one: DatasetInstance, categories: CategoryNumbers) -> dict[str, Any]:
    return {
        "id": one.id,
        "category_id": categories.number(one),
        "category": one.category,
        "area": one.area_px,
        "bbox": list(one.tight_xywh),
        "segmentation": {"size": list(one.mask.size_hw), "counts": one.mask.counts.decode("ascii")},
        "score": one.score,
        "model": one.model,
        "reviewer": one.reviewer,
        "track_id": one.track_id,
        "keypoints": one.keypoints,
    }


class _Shards:
    """The tar files of all splits; the same samples give the same bytes."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder
        self._open: dict[str, tarfile.TarFile] = {}
        self._begun: dict[str, int] = {}
        with export_errors(folder):
            folder.mkdir()

    def __enter__(self) -> "_Shards":
        return self

    def __exit__(self, *_: object) -> None:
        with export_errors(self._folder):
            for shard in self._open.values():
                shard.close()

    def add(self, split: str, key: str, members: dict[str, bytes]) -> None:
        with export_errors(self._folder):
            shard = self._shard(split)
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
            if shard.offset >= SHARD_BYTES:
                self._open.pop(split).close()

    def _shard(self, split: str) -> tarfile.TarFile:
        if split not in self._open:
            number = self._begun.get(split, 0)
            self._begun[split] = number + 1
            self.count += 1
            path = self._folder / f"{split}-{number:06d}.tar"
            self._open[split] = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed with this object
        return self._open[split]
