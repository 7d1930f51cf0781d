"""Label image format: `images/`, `masks/` with a PNG per frame, `frames.jsonl`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ExportError
from labeling.datasets.provenance import OriginLines
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import write_new
from labeling.datasets.writing import WriteOptions, open_dataset

_MOST_8_BIT = 255
_MOST_16_BIT = 65_535


def write_mask_pngs(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write one label image per frame.

    A pixel's value is the number of its instance in the frame, from 1; 0 is background. Where instances
    overlap, the smaller one is on top, because it is nearly always a limb or a child in front. The PNG has 8
    bits, or 16 if a frame has more than 255 instances. `frames.jsonl` lists the instance of each value.
    """
    entries = ("images", "masks", "frames.jsonl")
    with (
        open_dataset(folder, entries=entries, **options) as dataset,
        OriginLines(dataset.folder / "frames.jsonl") as origins,
    ):
        hidden_px = 0
        for frame in frames:
            instances = dataset.check.admit(frame)
            labels = paint_labels(instances, frame.size_hw)
            name = Path(frame.file_name).with_suffix(".png").name
            write_new(dataset.folder / "masks" / name, cv2.imencode(".png", labels)[1].tobytes())
            dataset.place_image(frame)
            origins.add(frame, mask=name, instances=_instance_records(instances))
            hidden_px += hidden_pixels(instances, labels)
        return dataset.close(files=2 * dataset.check.frames + 1, notes=hidden_note(hidden_px))


def paint_labels(
    instances: Sequence[DatasetInstance], size_hw: tuple[int, int]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the number of the topmost instance, HxW; of two of equal size the later one is on top."""
    if len(instances) > _MOST_16_BIT:
        raise ExportError(
            f"{len(instances)} instances in a frame; label images hold {_MOST_16_BIT}: export as coco"
        )
    depth = np.uint8 if len(instances) <= _MOST_8_BIT else np.uint16
    labels = np.zeros(size_hw, dtype=depth)
    for value, instance in sorted(enumerate(instances, start=1), key=lambda pair: -pair[1].area_px):
        labels[instance.mask.to_array()] = value
    return labels


def hidden_pixels(instances: Sequence[DatasetInstance], labels: NDArray[np.unsignedinteger]) -> int:
    """Return how many pixels of the instances are not seen in their label image."""
    return sum(one.area_px for one in instances) - int(np.count_nonzero(labels))


def hidden_note(hidden_px: int) -> list[str]:
    """Return the note about pixels that label images cannot hold; empty for none."""
    return [f"{hidden_px} pixels of instances lie under a smaller one"] if hidden_px else []


def _instance_records(instances: Iterable[DatasetInstance]) -> list[dict[str, object]]:
    return [
        {
            "value": value,
            "id": instance.id,
            "category": instance.category,
            "model": instance.model,
            "score": instance.score,
            "reviewer": instance.reviewer,
        }
        for value, instance in enumerate(instances, start=1)
    ]
