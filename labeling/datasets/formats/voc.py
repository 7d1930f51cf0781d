"""Pascal VOC segmentation: `VOCdevkit/VOC2012/` with `JPEGImages/`, `SegmentationClass/`, `SegmentationObject/`, `ImageSets/`.

Everingham et al., IJCV 2010; the development kit of 2012. `torchvision.datasets.VOCSegmentation(DIR, "2012", "train")`
reads it.
"""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ExportError
from labeling.datasets.formats.mask_png import hidden_note, hidden_pixels, paint_labels
from labeling.datasets.provenance import OriginLines
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import export_errors, write_new
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.text.figures import count_of

ROOT = "VOCdevkit/VOC2012"
NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""VOC's classes, from 1. A category of another name has a number from 21 on."""
MOST = 254
"""Instances of an image, and classes; 255 is the void border, which is not drawn here."""
_COLORS = 256


def write_voc(frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]) -> ExportSummary:
    """Write a class image and an object image per frame, as PNG files with VOC's palette.

    0 is background. Where instances overlap, the smaller one is on top. `ImageSets/Segmentation/` has a list for each split;
    frames without one are in `train`, and `trainval` has all of train and val. `labelmap.txt` has the name and color
    of each class, and `frames.jsonl` the instance of each value.
    """
    with (
        open_dataset(
            folder, entries=("VOCdevkit", "frames.jsonl"), images_in=f"{ROOT}/JPEGImages", **options
        ) as dataset,
        OriginLines(dataset.folder / "frames.jsonl") as origins,
    ):
        classes, sets = class_numbers(dataset.categories), _ImageSets(dataset.folder / ROOT)
        hidden_px = other_images = 0
        for frame in frames:
            instances = dataset.check.admit(frame)
            name = Path(frame.file_name).stem
            labels = _paint(instances, frame)
            by_value = np.array([0, *(_class_of(one, classes) for one in instances)], dtype=np.uint8)
            for kind, image in (("SegmentationClass", by_value[labels]), ("SegmentationObject", labels)):
                write_new(dataset.folder / ROOT / kind / f"{name}.png", palette_png(image))
            sets.add(name, frame.split)
            dataset.place_image(frame)
            origins.add(frame, mask=f"{name}.png", instances=_records(instances))
            hidden_px += hidden_pixels(instances, labels)
            other_images += not frame.file_name.endswith(".jpg")
        write_new(dataset.folder / ROOT / "labelmap.txt", _label_map(classes).encode())
        notes = [*hidden_note(hidden_px), *_image_note(other_images)]
        return dataset.close(files=3 * dataset.check.frames + sets.finish() + 2, notes=notes)


def class_numbers(categories: Sequence[str]) -> dict[str, int]:
    """Return the class of each category: VOC's own number where it has one.

    >>> class_numbers(["person", "forklift", "dog"])
    {'person': 15, 'forklift': 21, 'dog': 12}
    """
    others = [name for name in categories if name not in NAMES]
    if len(NAMES) + len(others) > MOST:
        raise ExportError(
            f"{len(others)} categories beside VOC's; class images hold {MOST - len(NAMES)}: export as coco"
        )
    known = {name: NAMES.index(name) + 1 for name in categories if name in NAMES}
    numbers = known | {name: len(NAMES) + n for n, name in enumerate(others, start=1)}
    return {name: numbers[name] for name in categories}


def _class_of(one: DatasetInstance, classes: dict[str, int]) -> int:
    if one.category not in classes:
        raise ExportError(
            f"instance {one.id} is of category {one.category!r}, the dataset has {', '.join(classes)}"
        )
    return classes[one.category]


def palette() -> NDArray[np.uint8]:
    """Return VOC's 256 colors, 256x3: the bits of a value are spread over the high bits of red, green and blue.

    As `VOClabelcolormap.m` of the development kit.

    >>> palette()[[0, 1, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    values = np.arange(_COLORS)
    colors = np.zeros((_COLORS, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((values >> channel & 1) << (7 - bit)).astype(np.uint8)
        values >>= 3
    return colors


def palette_png(labels: NDArray[np.uint8]) -> bytes:
    """Return an HxW image of numbers as a PNG that is shown in VOC's colors."""
    image, content = Image.fromarray(labels, mode="P"), BytesIO()
    image.putpalette(palette().tobytes())
    image.save(content, "png")
    return content.getvalue()


def _paint(instances: Sequence[DatasetInstance], frame: DatasetFrame) -> NDArray[np.uint8]:
    if len(instances) > MOST:
        raise ExportError(f"frame {frame.id}: {len(instances)} instances; VOC holds {MOST}: export as coco")
    return paint_labels(instances, frame.size_hw).astype(np.uint8)


def _records(instances: Sequence[DatasetInstance]) -> list[dict[str, object]]:
    return [
        {
            "value": value,
            "id": one.id,
            "category": one.category,
            "model": one.model,
            "score": one.score,
            "reviewer": one.reviewer,
        }
        for value, one in enumerate(instances, start=1)
    ]


def _label_map(classes: dict[str, int]) -> str:
    """Return `name:r,g,b:parts:actions` lines, by which CVAT and Datumaro read the class images."""
    colors = palette()
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [f"{name}:{','.join(map(str, colors[number]))}::" for name, number in classes.items()]
    return "\n".join(lines) + "\n"


def _image_note(count: int) -> list[str]:
    return (
        [f"{count_of(count, 'image')} not in a .jpg file: readers that add this suffix do not find it"]
        if count
        else []
    )


class _ImageSets:
    """The lists of image names below `ImageSets/Segmentation`; a name is written at once."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "ImageSets" / "Segmentation"
        with export_errors(root):
            self._folder.mkdir(parents=True)
        self._names = {"train", "trainval"}
        for name in self._names:
            self._append(name, "")

    def add(self, name: str, split: str | None) -> None:
        split = split or "train"
        for list_name in (split, *(("trainval",) if split in ("train", "val") else ())):
            self._names.add(list_name)
            self._append(list_name, f"{name}\n")

    def _append(self, list_name: str, text: str) -> None:
        path = self._folder / f"{list_name}.txt"
        with export_errors(path), path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)

    def finish(self) -> int:
        """Return the number of lists."""
        return len(self._names)
