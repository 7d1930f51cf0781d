"""CVAT XML 1.1 for images: `annotations.xml` and `images/`.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self, Unpack
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import numpy as np

from configs.errors import ExportError
from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.voc import palette
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import export_errors
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.structures.masks import Mask

_KEYPOINTS_NOTE = "keypoints are left out: CVAT keeps them in skeletons, which a task must define first"
_ATTRIBUTES = ("id", "score", "model", "reviewer", "track_id")
"""Of a mask, as CVAT's text attributes."""


def write_cvat(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write masks as CVAT's own runs, with holes, parts and overlaps kept; smaller masks have a higher `z_order`.

    A mask is corrected or confirmed by a reviewer if its `source` is `manual`. A split is the image's `subset`.
    """
    with (
        open_dataset(folder, entries=("annotations.xml", "images"), **options) as dataset,
        _AnnotationFile(dataset.folder / "annotations.xml", CategoryNumbers(dataset.categories)) as file,
    ):
        has_keypoints = False
        for frame in frames:
            instances = dataset.check.admit(frame)
            file.add(frame, instances)
            dataset.place_image(frame)
            has_keypoints |= any(one.keypoints is not None for one in instances)
        file.finish()
        notes = [_KEYPOINTS_NOTE] if has_keypoints else []
        return dataset.close(files=dataset.check.frames + 1, notes=notes)


def box_runs(mask: Mask) -> tuple[tuple[int, int, int, int], list[int]]:
    """Return the tight box (x, y, w, h) and the runs in it, row by row, background first (0 if there is none).

    >>> box_runs(Mask.from_array(np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1]])))
    ((1, 1, 3, 2), [0, 1, 1, 4])
    """
    x, y, w, h = (int(side) for side in mask.box_xywh)
    pixels = mask.to_crop((x, y, w, h)).ravel(order="C")
    changes = np.flatnonzero(np.diff(pixels.astype(np.int8), prepend=0)) if pixels.size else np.zeros(0, int)
    runs = np.diff(changes, prepend=0, append=pixels.size)
    return (x, y, w, h), runs.tolist()


class _AnnotationFile:
    """`annotations.xml`, written element by element."""

    def __init__(self, path: Path, categories: CategoryNumbers) -> None:
        self._path = path
        self._categories = categories
        self._images = 0
        with export_errors(path):
            self._file: IO[bytes] = path.open("wb")
        self._xml = XMLGenerator(self._file, encoding="utf-8", short_empty_elements=True)

    def __enter__(self) -> Self:
        with export_errors(self._path):
            self._xml.startDocument()
            self._xml.startElement("annotations", AttributesImpl({}))
            self._text("version", "1.1")
            with self._element("meta"), self._element("task"), self._element("labels"):
                for name, number in self._categories.items():
                    self._label(name, number)
        return self

    def __exit__(self, *_: object) -> None:
        with export_errors(self._path):
            self._file.close()

    def add(self, frame: DatasetFrame, instances: Iterable[DatasetInstance]) -> None:
        height, width = frame.size_hw
        size = {"width": str(width), "height": str(height)}
        subset = {} if frame.split is None else {"subset": frame.split}
        name = xml_text(frame.file_name)
        if name != frame.file_name:
            raise ExportError(
                f"frame {frame.id}: the file name {frame.file_name!r} cannot be written as XML; rename it"
            )
        with (
            export_errors(self._path),
            self._element("image", {"id": str(self._images), "name": name, **subset, **size}),
        ):
            for z_order, one in enumerate(sorted(instances, key=lambda one: -one.area_px)):
                self._mask(one, z_order)
        self._images += 1

    def finish(self) -> None:
        """Write the end of the file."""
        with export_errors(self._path):
            self._xml.endElement("annotations")
            self._xml.endDocument()

    def _mask(self, one: DatasetInstance, z_order: int) -> None:
        self._categories.number(one)
        (x, y, w, h), runs = box_runs(one.mask)
        place = {"left": str(x), "top": str(y), "width": str(w), "height": str(h), "z_order": str(z_order)}
        source = "auto" if one.reviewer is None else "manual"
        about = {"label": xml_text(one.category), "source": source, "occluded": "0"}
        with self._element("mask", {**about, "rle": ", ".join(map(str, runs)), **place}):
            for name in _ATTRIBUTES:
                if (value := getattr(one, name)) is not None:
                    self._text("attribute", xml_text(str(value)), {"name": name})

    def _label(self, name: str, number: int) -> None:
        with self._element("label"):
            self._text("name", xml_text(name))
            self._text("color", "#{:02x}{:02x}{:02x}".format(*palette()[number % 256]))
            self._text("type", "mask")
            with self._element("attributes"):
                for attribute in _ATTRIBUTES:
                    with self._element("attribute"):
                        self._text("name", attribute)
                        self._text("mutable", "False")
                        self._text("input_type", "text")
                        self._text("default_value", "")
                        self._text("values", "")

    @contextmanager
    def _element(self, name: str, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
        self._xml.startElement(name, AttributesImpl(attributes or {}))
        yield
        self._xml.endElement(name)
        self._xml.ignorableWhitespace("\n")

    def _text(self, name: str, text: str, attributes: Mapping[str, str] | None = None) -> None:
        self._xml.startElement(name, AttributesImpl(attributes or {}))
        self._xml.characters(text)
        self._xml.endElement(name)


def xml_text(text: str) -> str:
    """Return the text with `?` for the characters that XML 1.0 cannot contain (section 2.2).

    >>> xml_text("a\\x00b\\tc")
    'a?b\\tc'
    """
    return "".join(one if _is_xml(ord(one)) else "?" for one in text)


def _is_xml(code: int) -> bool:
    is_control = code < 0x20 and code not in (0x9, 0xA, 0xD)  # noqa: PLR2004  # the ranges of the standard
    return not (is_control or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF))  # noqa: PLR2004
