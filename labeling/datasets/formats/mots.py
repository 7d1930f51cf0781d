"""MOTS format: `images/`, `frames.jsonl`, and for each video `sequences/VIDEO/` with `gt/gt.txt`, `instances/`
(a PNG per frame) and `seqinfo.ini` (Voigtlaender et al., CVPR 2019; https://www.vision.rwth-aachen.de/page/mots)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self, Unpack

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.categories import PERSON
from configs.errors import ExportError
from labeling.datasets.formats.mask_png import hidden_note, hidden_pixels, paint_labels
from labeling.datasets.formats.sequences import SequenceNames, TrackNumbers
from labeling.datasets.provenance import OriginLines
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportSummary
from labeling.datasets.staging import export_errors, write_new
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.structures.masks import Mask

PEDESTRIAN = 2
"""The class of people."""
IDS_PER_CLASS = 1000
"""An id is class x 1000 + number of the person."""
_DEFINED = {PERSON: PEDESTRIAN, "car": 1}
_FIRST_OTHER = 11
_MOST_OTHERS = 54
"""The highest id in 16 bits is of class 64, if all 999 of its numbers are to fit."""


def write_mots(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write tracks as MOTS reads them: a person's id is 2000 + number in the sequence, from 2001.

    Frames are numbered from 1 within their sequence. Masks must not overlap: the smaller one is on top, in the PNG
    and in `gt.txt`. The format has 999 people per sequence; where a video has more, a new sequence starts
    (`VIDEO-2`), and tracks end there. `frames.jsonl` lists each frame's image, sequence and number, and the
    instance and category of each id.
    """
    with (
        open_dataset(folder, entries=("images", "sequences", "frames.jsonl"), **options) as dataset,
        OriginLines(dataset.folder / "frames.jsonl") as origins,
    ):
        hidden_px, classes = 0, _class_numbers(dataset.categories)
        with _Sequences(dataset.folder / "sequences", classes) as sequences:
            for frame in frames:
                hidden_px += sequences.add(frame, dataset.check.admit(frame), origins)
                dataset.place_image(frame)
            sequences.finish()
        files = 2 * dataset.check.frames + 2 * sequences.count + 1
        return dataset.close(files=files, notes=hidden_note(hidden_px))


def _class_numbers(categories: Sequence[str]) -> dict[str, int]:
    """Return the class of each category: MOTS defines 1 (car), 2 (pedestrian) and 10 (ignored region); others start at 11."""
    others = [name for name in categories if name not in _DEFINED]
    if others[_MOST_OTHERS:]:
        raise ExportError(
            f"{len(others)} categories beside {' and '.join(_DEFINED)}; MOTS holds {_MOST_OTHERS}: export as coco"
        )
    known = {name: number for name, number in _DEFINED.items() if name in categories}
    return known | {name: _FIRST_OTHER + position for position, name in enumerate(others)}


class _Sequences:
    """The sequences of a dataset; one is open at a time."""

    def __init__(self, folder: Path, classes: Mapping[str, int]) -> None:
        self.count = 0
        self._classes = classes
        self._folder = folder
        self._names = SequenceNames()
        self._open: _OpenSequence | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()

    def finish(self) -> None:
        """Complete the open sequence."""
        if self._open is not None:
            self._open.finish()
        self._open = None

    def add(self, frame: DatasetFrame, instances: Sequence[DatasetInstance], origins: OriginLines) -> int:
        """Write a frame; return the number of hidden pixels."""
        if len(instances) >= IDS_PER_CLASS:
            raise ExportError(
                f"frame {frame.id}: {len(instances)} instances; MOTS holds {IDS_PER_CLASS - 1}: export as coco"
            )
        is_full = self._open is not None and not self._open.has_numbers_for(instances)
        name = self._names.name_of(frame, starts_part=is_full)
        if self._open is None or self._open.name != name:
            self.finish()
            self._open = _OpenSequence(self._folder / name, frame.size_hw, self._classes)
            self.count += 1
        return self._open.add(frame, instances, origins)


class _OpenSequence:
    """The files of one sequence."""

    def __init__(self, folder: Path, size_hw: tuple[int, int], classes: Mapping[str, int]) -> None:
        self._classes = classes
        self.name = folder.name
        self._folder = folder
        self._size_hw = size_hw
        self._length = 0
        self._tracks = TrackNumbers()
        with export_errors(folder):
            (folder / "gt").mkdir(parents=True)
            self._lines: IO[str] = (folder / "gt" / "gt.txt").open("w", encoding="ascii")

    def has_numbers_for(self, instances: Sequence[DatasetInstance]) -> bool:
        return self._tracks.count + self._tracks.count_new(instances) < IDS_PER_CLASS

    def add(self, frame: DatasetFrame, instances: Sequence[DatasetInstance], origins: OriginLines) -> int:
        """Write a frame; return the number of hidden pixels."""
        self._length += 1
        numbers = zip(instances, self._tracks.number(instances), strict=True)
        ids = [self._class_of(one) * IDS_PER_CLASS + number for one, number in numbers]
        labels = paint_labels(instances, frame.size_hw)
        painted = np.array([0, *ids], dtype=np.uint16)[labels]
        name = f"{self._length:06d}.png"
        write_new(self._folder / "instances" / name, cv2.imencode(".png", painted)[1].tobytes())
        with export_errors(self._folder):
            self._lines.writelines(self._line(id, mask) for id, mask in _visible(ids, instances, labels))
        mask_name = f"sequences/{self.name}/instances/{name}"
        records = [_instance_record(id, one) for id, one in zip(ids, instances, strict=True)]
        origins.add(frame, sequence=self.name, number=self._length, mask=mask_name, instances=records)
        return hidden_pixels(instances, labels)

    def _class_of(self, one: DatasetInstance) -> int:
        if one.category not in self._classes:
            raise ExportError(
                f"instance {one.id} is of category {one.category!r}, which the dataset does not have"
            )
        return self._classes[one.category]

    def _line(self, id: int, mask: Mask) -> str:
        """Return `frame id class height width rle`."""
        height, width = mask.size_hw
        return f"{self._length} {id} {id // IDS_PER_CLASS} {height} {width} {mask.counts.decode('ascii')}\n"

    def close(self) -> None:
        with export_errors(self._folder):
            self._lines.close()

    def finish(self) -> None:
        self.close()
        height, width = self._size_hw
        info = f"[Sequence]\nname={self.name}\nseqLength={self._length}\nimWidth={width}\nimHeight={height}\n"
        write_new(self._folder / "seqinfo.ini", info.encode("utf-8", "surrogateescape"))


def _visible(
    ids: Sequence[int], instances: Sequence[DatasetInstance], labels: NDArray[np.uint8] | NDArray[np.uint16]
) -> Iterator[tuple[int, Mask]]:
    """Yield the visible part of each instance that has one; `labels` are those of `paint_labels`."""
    areas_px = np.bincount(labels.ravel(), minlength=len(ids) + 1)
    for value, (id, one) in enumerate(zip(ids, instances, strict=True), start=1):
        if areas_px[value]:
            is_whole = areas_px[value] == one.area_px
            yield id, one.mask if is_whole else Mask.from_array(labels == value)


def _instance_record(id: int, one: DatasetInstance) -> dict[str, object]:
    return {
        "value": id,
        "id": one.id,
        "category": one.category,
        "track_id": one.track_id,
        "model": one.model,
        "score": one.score,
        "reviewer": one.reviewer,
    }
