"""Datumaro's own JSON: `annotations/SUBSET.json` and `images/SUBSET/`.

https://open-edge-platform.github.io/datumaro/latest/docs/data-formats/formats/datumaro.html
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.coco_lists import RecordList
from labeling.datasets.formats.voc import palette
from labeling.datasets.provenance import describe_origin, record_line, to_json
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import export_errors
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.structures.instances import COCO_KEYPOINTS, COCO_SKELETON

_VERSION = "1.0"
_IMAGES = 2
"""Datumaro's number of the media type."""
_WHOLE = "default"
"""Subset of frames without a split."""
_VISIBLE, _HIDDEN, _ABSENT = 2, 1, 0
_VISIBLE_FROM, _LABELED_FROM = 0.5, 0.2
"""Confidences, as in the COCO files."""


def write_datumaro(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write masks as run-length encodings and keypoints as points; those of one person have the same `group`.

    Smaller masks have a higher `z_order`. An item has the frame's origin, an annotation its model, score, reviewer and track.
    """
    with (
        open_dataset(folder, entries=("annotations", "images"), **options) as dataset,
        _Subsets(dataset.folder, CategoryNumbers(dataset.categories, first=0)) as subsets,
    ):
        for frame in frames:
            subsets.add(frame, dataset.check.admit(frame))
            dataset.place_image(frame, name=f"{frame.split or _WHOLE}/{frame.file_name}")
        files = dataset.check.frames + subsets.finish()
        return dataset.close(files=files)


class _Subsets:
    """The annotation files; one per split that occurs."""

    def __init__(self, staging: Path, categories: CategoryNumbers) -> None:
        self._folder = staging / "annotations"
        self._categories = categories
        self._open: dict[str, RecordList] = {}
        with export_errors(staging):
            self._folder.mkdir()

    def __enter__(self) -> "_Subsets":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def add(self, frame: DatasetFrame, instances: Sequence[DatasetInstance]) -> None:
        subset = frame.split or _WHOLE
        if subset not in self._open:
            self._begin(subset)
        self._open[subset].add([record_line(self._item(frame, instances))])

    def finish(self) -> int:
        """Write the end of the files; return their number. A dataset without frames has one, without items."""
        if not self._open:
            self._begin(_WHOLE)
        for file in self._open.values():
            file.write(b"\n]}\n")
        return len(self._open)

    def _begin(self, subset: str) -> None:
        with export_errors(self._folder):
            self._open[subset] = RecordList((self._folder / f"{subset}.json").open("w+b"), self._folder)
        head = to_json({"dm_format_version": _VERSION, "media_type": _IMAGES, "infos": {}})
        categories = to_json(_categories(self._categories))
        text = f'{head[:-1]},\n"categories":{categories},\n"items":[\n'
        self._open[subset].write(text.encode("ascii"))

    def _item(self, frame: DatasetFrame, instances: Sequence[DatasetInstance]) -> dict[str, Any]:
        order = sorted(instances, key=lambda one: -one.area_px)
        z_orders = {one.id: z_order for z_order, one in enumerate(order)}
        annotations: list[dict[str, Any]] = []
        for group, one in enumerate(instances, start=1):
            common = {
                "attributes": _attributes(one),
                "group": group,
                "label_id": self._categories.number(one),
            }
            rle = {"counts": one.mask.counts.decode("ascii"), "size": list(one.mask.size_hw)}
            annotations.append(
                {"id": one.id, "type": "mask", **common, "rle": rle, "z_order": z_orders[one.id]}
            )
            if one.keypoints is not None:
                annotations.append({"id": one.id, "type": "points", **common, **_points(one, frame.size_hw)})
        origin = {key: value for key, value in describe_origin(frame).items() if value is not None}
        return {
            "id": Path(frame.file_name).stem,
            "annotations": annotations,
            "attr": {"id": frame.id, **origin, "license": frame.license or "unknown"},
            "image": {"path": frame.file_name, "size": list(frame.size_hw)},
        }


def _attributes(one: DatasetInstance) -> dict[str, Any]:
    values = {
        "model": one.model,
        "score": one.score,
        "reviewer": one.reviewer,
        "track_id": one.track_id,
    }
    return {name: value for name, value in values.items() if value is not None}


def _points(one: DatasetInstance, size_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = size_hw
    points: list[float] = []
    visibility: list[int] = []
    for x, y, confidence in one.keypoints or ():
        is_there = confidence >= _LABELED_FROM and 0 <= x < width and 0 <= y < height
        points += [round(x, 2), round(y, 2)] if is_there else [0.0, 0.0]
        seen = _VISIBLE if confidence >= _VISIBLE_FROM else _HIDDEN
        visibility.append(seen if is_there else _ABSENT)
    return {"points": points, "visibility": visibility, "z_order": 0}


def _categories(categories: CategoryNumbers) -> dict[str, Any]:
    names, colors = categories.names(), palette()
    joints = [list(limb) for limb in COCO_SKELETON]
    return {
        "label": {
            "labels": [{"name": name, "parent": "", "attributes": []} for name in names.values()],
            "label_groups": [],
            "attributes": [],
        },
        "points": {
            "items": [
                {"label_id": number, "labels": list(COCO_KEYPOINTS), "joints": joints} for number in names
            ]
        },
        "mask": {
            "colormap": [
                {"label_id": number, **dict(zip("rgb", colors[(number + 1) % 256].tolist(), strict=True))}
                for number in names
            ]
        },
    }
