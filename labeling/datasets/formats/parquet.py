"""Hugging Face datasets: `data/SPLIT-00000.parquet` with images and masks inside, and `croissant.json`.

`datasets.load_dataset(DIR)` reads it, and `load_dataset("parquet", data_files=...)`: the features are in the files' schema
(https://huggingface.co/docs/datasets/about_dataset_features).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import cv2

from configs.errors import ConfigError
from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.croissant import CROISSANT, DataFile, croissant_json
from labeling.datasets.formats.mask_png import paint_labels
from labeling.datasets.image_bytes import read_image_bytes
from labeling.datasets.provenance import describe_origin
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import export_errors, write_new
from labeling.datasets.writing import OpenDataset, WriteOptions, open_dataset

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = "train"
"""Split of frames without one."""
_GROUP = 64
"""Frames in a row group: what is kept in memory."""
FILE_BYTES = 400 << 20
"""Images of one file, about."""
_TEXTS = ("file_name", "video_id", "source_url", "title", "uploader", "upload_date", "license", "decision")
_OBJECTS = {
    "id": "int64",
    "category": "int64",
    "bbox": "list",
    "area": "int64",
    "rle": "string",
    "score": "float64",
    "model": "string",
    "reviewer": "string",
    "track_id": "int64",
    "keypoints": "list",
}


def write_parquet(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write a row per frame: its image, a label image `mask` and the instances as `objects`.

    `objects` has lists, one value per instance: `rle` are the counts of a COCO RLE of the image's size, `bbox` is x, y, w, h,
    `keypoints` are 17 x (x, y, confidence). A pixel of `mask` is the position in these lists, from 1; the smaller of two that
    overlap is on top.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    with (
        open_dataset(folder, entries=("data", CROISSANT), **options) as dataset,
        _Files(dataset) as files,
    ):
        for frame in frames:
            files.add(frame, dataset.check.admit(frame))
        written = files.finish()
        write_new(dataset.folder / CROISSANT, croissant_json(written, dataset.categories))
        return dataset.close(files=len(written) + 1)


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as exc:
        raise ConfigError("this format requires pyarrow: run pip install 'maskmill[parquet]'") from exc
    return pyarrow


def _schema(arrow: Any, categories: CategoryNumbers) -> "pa.Schema":
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    kinds = {
        "int64": arrow.int64(),
        "float64": arrow.float64(),
        "string": arrow.string(),
        "list": arrow.list_(arrow.float64()),
    }
    objects = arrow.struct([(name, arrow.list_(kinds[kind])) for name, kind in _OBJECTS.items()])
    columns = [
        *(("image", image), ("mask", image), ("image_id", arrow.int64())),
        *(("width", arrow.int64()), ("height", arrow.int64()), ("t_ms", arrow.int64())),
        *((name, arrow.string()) for name in _TEXTS),
        ("objects", objects),
    ]
    features = {"info": {"features": _features(categories)}}
    return arrow.schema(columns, metadata={"huggingface": json.dumps(features)})


def _features(categories: CategoryNumbers) -> dict[str, Any]:
    """Return the columns' meaning, as `datasets.Features` writes it into the schema."""

    def value(kind: str) -> dict[str, Any]:
        return {"dtype": kind, "_type": "Value"}

    def several(feature: dict[str, Any]) -> dict[str, Any]:
        return {"feature": feature, "_type": "List"}

    label = {"names": [name for name, _ in categories.items()], "_type": "ClassLabel"}
    kinds = {
        name: several(value("float64")) if kind == "list" else value(kind) for name, kind in _OBJECTS.items()
    }
    return {
        **{name: {"_type": "Image"} for name in ("image", "mask")},
        **{name: value("int64") for name in ("image_id", "width", "height", "t_ms")},
        **{name: value("string") for name in _TEXTS},
        "objects": {name: several(kind) for name, kind in (kinds | {"category": label}).items()},
    }


def frame_row(
    frame: DatasetFrame, instances: Sequence[DatasetInstance], categories: CategoryNumbers
) -> dict[str, Any]:
    """Return the row of a frame."""
    height, width = frame.size_hw
    labels = cv2.imencode(".png", paint_labels(instances, frame.size_hw))[1].tobytes()
    origin = describe_origin(frame)
    texts = {"file_name": frame.file_name, "license": frame.license}
    return {
        "image": {"bytes": read_image_bytes(frame), "path": frame.file_name},
        "mask": {"bytes": labels, "path": f"{Path(frame.file_name).stem}.png"},
        "image_id": frame.id,
        "width": width,
        "height": height,
        "t_ms": frame.pts_ms,
        **{name: _utf8(texts[name] if name in texts else origin[name]) for name in _TEXTS},
        "objects": {
            "id": [one.id for one in instances],
            "category": [categories.number(one) for one in instances],
            "bbox": [list(one.tight_xywh) for one in instances],
            "area": [one.area_px for one in instances],
            "rle": [one.mask.counts.decode("ascii") for one in instances],
            "score": [one.score for one in instances],
            "model": [_utf8(one.model) for one in instances],
            "reviewer": [_utf8(one.reviewer) for one in instances],
            "track_id": [one.track_id for one in instances],
            "keypoints": [
                None if one.keypoints is None else [value for point in one.keypoints for value in point]
                for one in instances
            ],
        },
    }


def _utf8(text: str | None) -> str | None:
    """Return the text with `?` for what Arrow cannot hold: bytes of a file name that is not UTF-8."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


class _Files:
    """The files of all splits; a row group of each is in memory."""

    def __init__(self, dataset: OpenDataset) -> None:
        self._folder = dataset.folder / "data"
        self._arrow = _arrow()
        self._categories = CategoryNumbers(dataset.categories, first=0)
        self._schema = _schema(self._arrow, self._categories)
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._writers: dict[str, Any] = {}
        self._bytes: dict[str, int] = {}
        self._written: dict[str, list[Path]] = {}
        with export_errors(self._folder):
            self._folder.mkdir()

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, frame: DatasetFrame, instances: Sequence[DatasetInstance]) -> None:
        split = frame.split or WHOLE
        rows = self._rows.setdefault(split, [])
        rows.append(frame_row(frame, instances, self._categories))
        if len(rows) >= _GROUP:
            self._write(split)

    def finish(self) -> list[DataFile]:
        """Write what is left, and return the files; a dataset without frames has one, without rows."""
        for split in [*self._rows] or [WHOLE]:
            self._write(split)
        self.__exit__()
        self._writers.clear()
        return [_describe(path, split) for split, paths in sorted(self._written.items()) for path in paths]

    def _write(self, split: str) -> None:
        rows = self._rows.pop(split, [])
        if not rows and split in self._written:
            return
        table = self._arrow.Table.from_pylist(rows, schema=self._schema)
        with export_errors(self._folder):
            self._writer(split).write_table(table)
        self._bytes[split] = self._bytes.get(split, 0) + table.nbytes
        if self._bytes[split] > FILE_BYTES:
            self._writers.pop(split).close()

    def _writer(self, split: str) -> Any:
        if split not in self._writers:
            paths = self._written.setdefault(split, [])
            path = self._folder / f"{split}-{len(paths):05d}.parquet"
            paths.append(path)
            self._bytes[split] = 0
            self._writers[split] = self._arrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        return self._writers[split]


def _describe(path: Path, split: str) -> DataFile:
    with export_errors(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return DataFile(f"data/{path.name}", split, path.stat().st_size, digest)
