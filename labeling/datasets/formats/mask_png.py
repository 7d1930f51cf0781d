"""Label image format: `images/`, `masks/` with a PNG per frame, `frames.jsonl`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ExportError
from labeling.datasets.provenance import OriginLines
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportCheck, ExportSummary
from labeling.datasets.staging import ImageFolder, ImageTarget, stage_export, write_new

_MOST_8_BIT = 255
_MOST_16_BIT = 65_535


def write_mask_pngs(
    frames: Iterable[DatasetFrame],
    folder: Path,
    *,
    copy: bool = False,
    images: ImageTarget | None = None,
) -> ExportSummary:
    """Write one label image per frame.

    A pixel's value is the number of its instance in the frame, from 1; 0 is background. Where instances
    overlap, the smaller one is on top, because it is nearly always a limb or a child in front. The PNG has 8
    bits, or 16 if a frame has more than 255 instances. `frames.jsonl` lists the instance of each value.
    """
    entries = ("images", "masks", "frames.jsonl")
    with (
        stage_export(folder, entries=entries) as staging,
        OriginLines(staging / "frames.jsonl") as origins,
        images or ImageFolder(staging / "images", copy=copy) as placed,
    ):
        check, hidden_px = ExportCheck(), 0
        for frame in frames:
            instances = check.admit(frame)
            labels = paint_labels(instances, frame.size_hw)
            name = Path(frame.file_name).with_suffix(".png").name
            write_new(staging / "masks" / name, cv2.imencode(".png", labels)[1].tobytes())
            placed.add(frame.image, name=frame.file_name, store=frame.store)
            origins.add(frame, mask=name, instances=_instance_records(instances))
            hidden_px += sum(i.area_px for i in instances) - int(np.count_nonzero(labels))
        notes = [f"{hidden_px} pixels of instances lie under a smaller one"] if hidden_px else []
        return check.close(files=2 * check.frames + 1, notes=[*notes, *placed.notes()])


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


def _instance_records(instances: Iterable[DatasetInstance]) -> list[dict[str, object]]:
    return [
        {
            "value": value,
            "id": instance.id,
            "model": instance.model,
            "score": instance.score,
            "reviewer": instance.reviewer,
        }
        for value, instance in enumerate(instances, start=1)
    ]
