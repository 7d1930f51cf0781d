"""YOLO segmentation format: `images/`, `labels/` with one polygon per line, `data.yaml`, `frames.jsonl`."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Unpack

import yaml

from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.polygons import bridge_outlines, inner_outlines
from labeling.datasets.provenance import OriginLines
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import write_new
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.structures.masks import Mask

_ENTRIES = ("images", "labels", "data.yaml", "frames.jsonl")
_POLYGONS_NOTE = "polygons: holes are filled, the parts of a mask are joined by a line of zero width"
_KEYPOINTS_NOTE = "keypoints are left out: this format does not have them"


def write_yolo_seg(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write a dataset for YOLO segmentation.

    A label line is `0 x1 y1 x2 y2 ...`, the category's number and then shares of width and height, a quarter of a pixel
    inside the mask's edge. A frame without people has an empty label file and trains as background.
    Frames with a `split` are in `images/<split>` and `labels/<split>`; without a split `val`,
    `data.yaml` validates on the training frames, and a note says so.
    """
    with (
        open_dataset(folder, entries=_ENTRIES, **options) as dataset,
        OriginLines(dataset.folder / "frames.jsonl") as origins,
    ):
        check, splits = dataset.check, set[str]()
        categories = CategoryNumbers(dataset.categories, first=0)
        notes = {_POLYGONS_NOTE: None}
        for frame in frames:
            instances = check.admit(frame)
            split = frame.split or ""
            label = (dataset.folder / "labels" / split / frame.file_name).with_suffix(".txt")
            write_new(label, _label_lines(instances, categories).encode())
            dataset.place_image(frame, name=str(Path(split, frame.file_name)))
            origins.add(frame)
            splits.add(split)
            if any(instance.keypoints is not None for instance in instances):
                notes[_KEYPOINTS_NOTE] = None
        write_new(dataset.folder / "data.yaml", _data_yaml(splits, categories).encode())
        return dataset.close(files=2 * check.frames + 2, notes=[*notes, *_split_notes(splits)])


def _label_lines(instances: Iterable[DatasetInstance], categories: CategoryNumbers) -> str:
    return "".join(f"{categories.number(one)} {_polygon_text(one.mask)}\n" for one in instances)


def _polygon_text(mask: Mask) -> str:
    height, width = mask.size_hw
    corners = bridge_outlines(inner_outlines(mask)) / (width, height)
    return " ".join(f"{share:.6f}" for share in corners.ravel())


def _data_yaml(splits: Collection[str], categories: CategoryNumbers) -> str:
    """Return data.yaml with paths relative to itself, which YOLO expects if `path` is absent."""
    train = _split_for("train", splits)
    layout: dict[str, object] = {"train": train, "val": _split_for("val", splits, otherwise=train)}
    if "test" in splits:
        layout["test"] = "images/test"
    return yaml.safe_dump({**layout, "names": categories.names()}, sort_keys=False)


def _split_for(name: str, splits: Collection[str], *, otherwise: str | None = None) -> str:
    if name in splits:
        return f"images/{name}"
    return otherwise or str(Path("images", min(splits, default="")))


def _split_notes(splits: Collection[str]) -> list[str]:
    if "val" in splits:
        return []
    return ["no split is called 'val': data.yaml validates on the frames it trains on"]
