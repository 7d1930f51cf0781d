"""COCO format: `annotations/instances.json`, `annotations/person_keypoints.json` and `images/`."""

import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, Unpack

from more_itertools import batched
from pycocotools import mask as coco_mask

from configs.categories import PERSON
from labeling.datasets.category_numbers import CategoryNumbers
from labeling.datasets.formats.coco_lists import Licenses, RecordList
from labeling.datasets.formats.polygons import edge_outlines
from labeling.datasets.ignored import ignored_region
from labeling.datasets.provenance import describe_origin, number_texts, record_line, to_json
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportCheck, ExportSummary
from labeling.datasets.staging import export_errors
from labeling.datasets.writing import OpenDataset, WriteOptions, open_dataset
from labeling.runtime.memory import collecting_rarely
from labeling.structures.instances import COCO_KEYPOINTS, COCO_SKELETON, Keypoints
from labeling.structures.masks import Mask

VISIBLE_FROM = 0.5
"""Confidence from which a keypoint is written as visible (v = 2); the default of the pose filter."""

LABELED_FROM = 0.2
"""Confidence from which a keypoint is written (v = 1: labeled, but hidden or uncertain)."""

RECORD = (
    b'{"id":%d,"image_id":%d,"category_id":%d,"iscrowd":%d,"area":%d,"bbox":[%d,%d,%d,%d],"segmentation":%b,'
    b'"model":%b,"score":%b,"reviewer":%b,"detector_bbox":[%.2f,%.2f,%.2f,%.2f]}'
)
"""The score is written in full, as Python does; other floats to hundredths of a pixel."""
_REFINED = b'%b,"refined_by":%b,"iou_before":%a}'
_TRACKED = b'%b,"track_id":%d}'
_RLE_HEAD = b'{"size":[%d,%d],"counts":"'


def annotation_record(
    frame: DatasetFrame,
    instance: DatasetInstance,
    segmentation: bytes,
    *,
    category_id: int = 1,
    score: bytes | None = None,
) -> bytes:
    """Return one instance's record; all numbers must be finite (`check_frame`). `segmentation` is JSON.

    `score` is the instance's as `number_texts` gives it for many at once.

    Only a refined mask has `refined_by` and `iou_before`, and only a tracked person `track_id`. A doubtful person is an
    ignored region (`iscrowd` 1).
    """
    number, _, area_px, tight, _, box, _, model, reviewer, refined_by, iou_before, track_id, *_ = instance
    score_json = score or number_texts([instance.score])[0]
    about, is_crowd = (text_json(model), score_json, text_json(reviewer)), instance.is_doubtful
    record = RECORD % (number, frame.id, category_id, is_crowd, area_px, *tight, segmentation, *about, *box)
    return with_extras(record, refined_by, iou_before, track_id)


def with_extras(
    record: bytes, refined_by: str | None, iou_before: float | None, track_id: int | None
) -> bytes:
    """Return the record with the fields of a refined mask and of a tracked person."""
    if refined_by is not None and iou_before is not None:
        record = _REFINED % (record[:-1], text_json(refined_by), iou_before)
    return record if track_id is None else _TRACKED % (record[:-1], track_id)


def rle_json(mask: Mask) -> bytes:
    """Return a mask as COCO's compressed RLE."""
    return counts_json(mask.counts, mask.size_hw)


def counts_json(counts: bytes, size_hw: tuple[int, int]) -> bytes:
    """Return counts as COCO's compressed RLE. The backslash is their only character that JSON escapes."""
    return rle_head(size_hw) + counts.replace(b"\\", b"\\\\") + b'"}'


@lru_cache(maxsize=64)
def rle_head(size_hw: tuple[int, int]) -> bytes:
    """Return the beginning of the encodings of one size; a dataset has few sizes."""
    return _RLE_HEAD % size_hw


def with_keypoints(record: bytes, keypoints: Keypoints, size_hw: tuple[int, int]) -> bytes:
    """Return the record with COCO's 17 x (x, y, v).

    v is 2 from `VISIBLE_FROM` on and 1 from `LABELED_FROM` on; below that, and outside the image, all three are 0.
    """
    height, width = size_hw
    is_written, values = [], list[float]()
    for x, y, confidence in keypoints:
        if confidence >= LABELED_FROM and 0 <= x < width and 0 <= y < height:
            is_written.append(True)
            values += (x, y, 1 + (confidence >= VISIBLE_FROM))
        else:
            is_written.append(False)
    return record[:-1] + _points_template(tuple(is_written)) % tuple(values)


@lru_cache(maxsize=4096)
def _points_template(is_written: tuple[bool, ...]) -> bytes:
    """Return the fields of keypoints, with places for the points that are written: one formatting is faster than 17."""
    points = b",".join(b"%.2f,%.2f,%d" if written else b"0,0,0" for written in is_written)
    return b',"num_keypoints":%d,"keypoints":[%b]}' % (sum(is_written), points)


@lru_cache(maxsize=1024)
def text_json(text: str | None) -> bytes:
    """Return a model's or reviewer's name as JSON; a dataset has few."""
    return to_json(text).encode("ascii")


WRITTEN_AT_ONCE = 100
"""Frames whose records are written together, because each write has a fixed cost."""

_RLE_NOTE = "Masks are run-length encodings, with holes and parts kept."
_POLYGON_NOTE = "Masks are polygons of outer outlines: holes are filled."


def write_coco(
    frames: Iterable[DatasetFrame], folder: Path, *, polygons: bool = False, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write a COCO dataset; the same frames in the same order give the same bytes.

    The position of an instance's category in `categories`, counted from 1, is its id.

    Both annotation files list every image. Areas are pixels of the mask, boxes are tight around the
    mask. Besides COCO's own fields an annotation has `model`, `score`, `reviewer` and `detector_bbox`; if its
    mask was refined, `refined_by` and `iou_before`; if the person was tracked, `track_id`, which is unique
    in its video. A doubtful person is an ignored region, `iscrowd` 1 (`labeling.datasets.ignored`), and has no keypoints.
    An image has its video, time, source, title, uploader, upload date and decision. `polygons`
    writes outer outlines instead of run-length encodings; they are exact except for filled holes.
    """
    with (
        open_dataset(folder, entries=("annotations", "images"), **options) as dataset,
        collecting_rarely(),
    ):
        with CocoFiles(dataset, polygons=polygons) as files:
            for batch in batched(frames, WRITTEN_AT_ONCE):
                files.add(batch)
                for frame in batch:
                    dataset.place_image(frame)
            files.finish()
        return dataset.close(files=dataset.check.frames + 2, notes=files.notes())


class AnnotationMaker:
    """Makes the annotations of frames, and checks the frames."""

    def __init__(
        self, categories: Sequence[str], *, polygons: bool = False, check: ExportCheck | None = None
    ) -> None:
        self.check = check or ExportCheck()
        self.categories = CategoryNumbers(categories)
        self._polygons = polygons
        self._holes_filled = 0

    def make(self, frames: Sequence[DatasetFrame]) -> tuple[list[bytes], list[bytes]]:
        """Return the records of all instances, and those of the instances with keypoints."""
        all_records: list[bytes] = []
        with_pose: list[bytes] = []
        admitted = [
            (frame, instance)
            for frame in frames
            for instance in self._with_ignored_regions(self.check.admit(frame))
        ]
        scores = number_texts([instance.score for _, instance in admitted])
        for (frame, instance), score in zip(admitted, scores, strict=True):
            segmentation, category_id = self._segmentation(instance), self.categories.number(instance)
            record = annotation_record(frame, instance, segmentation, category_id=category_id, score=score)
            all_records.append(record)
            if instance.keypoints is not None and not instance.is_doubtful:
                with_pose.append(with_keypoints(record, instance.keypoints, frame.size_hw))
        return all_records, with_pose

    def notes(self) -> list[str]:
        if not self._polygons:
            return []
        return [f"polygons: holes are filled ({self._holes_filled} instances had holes)"]

    def _with_ignored_regions(self, instances: Sequence[DatasetInstance]) -> list[DatasetInstance]:
        """Return the instances, doubtful ones with their ignored regions as masks; regions without a pixel are left out."""
        certain = [instance for instance in instances if not instance.is_doubtful]
        if len(certain) == len(instances):
            return certain
        masks = [instance.mask for instance in certain]
        regions = (
            (instance, ignored_region(instance.mask, masks)) for instance in instances if instance.is_doubtful
        )
        ignored = [
            instance._replace(mask=region, area_px=region.area_px, tight_xywh=region.box_xywh)
            for instance, region in regions
            if region
        ]
        self.check.ignored_regions += len(ignored)
        return certain + ignored

    def _segmentation(self, instance: DatasetInstance) -> bytes:
        if not self._polygons or instance.is_doubtful:  # COCO's crowds are run-length encodings
            return rle_json(instance.mask)
        parts: list[list[int]] = [outline.ravel().tolist() for outline in edge_outlines(instance.mask)]
        drawn = coco_mask.merge(coco_mask.frPyObjects(parts, *instance.mask.size_hw))
        self._holes_filled += int(coco_mask.area(drawn)) > instance.area_px
        return to_json(parts).encode("ascii")


class CocoFiles:
    """The two annotation files, with `suffix` in their names. Annotations are written at once; the image records wait in an unnamed temporary
    file, because both files end with the images and the licenses."""

    def __init__(self, dataset: OpenDataset, *, polygons: bool = False, suffix: str = "") -> None:
        self._maker = AnnotationMaker(dataset.categories, polygons=polygons, check=dataset.check)
        self._categories = CategoryNumbers(dataset.categories)
        self._polygons = polygons
        self._licenses = Licenses()
        staging, folder = dataset.folder, dataset.folder / "annotations"
        with export_errors(staging):
            folder.mkdir(exist_ok=True)
            self._instances = RecordList((folder / f"instances{suffix}.json").open("w+b"), staging)
            self._people = RecordList((folder / f"person_keypoints{suffix}.json").open("w+b"), staging)
            unnamed = tempfile.TemporaryFile(dir=staging)  # noqa: SIM115 - closed with this object
            self._images = RecordList(unnamed, staging)

    def __enter__(self) -> Self:
        for annotations in (self._instances, self._people):
            annotations.write(self._head())
        return self

    def __exit__(self, *_: object) -> None:
        for records in (self._instances, self._people, self._images):
            records.close()

    def add(self, frames: Sequence[DatasetFrame]) -> None:
        """Write the records of frames and their instances."""
        self.add_made(frames, *self._maker.make(frames))

    def add_made(
        self, frames: Sequence[DatasetFrame], instances: Sequence[bytes], people: Sequence[bytes]
    ) -> None:
        """Write the records of frames, and the annotations that were made of their instances."""
        self._instances.add(instances)
        self._people.add(people)
        self._images.add([record_line(self._image_record(frame)) for frame in frames])

    def finish(self) -> None:
        """Write the end of both files."""
        licenses = to_json(self._licenses.records()).encode("ascii")
        for annotations in (self._instances, self._people):
            annotations.write(b'\n],\n"images": [\n')
            self._images.pour(annotations)
            annotations.write(b'\n],\n"licenses": ' + licenses + b"}\n")

    def notes(self) -> list[str]:
        return self._maker.notes()

    def _image_record(self, frame: DatasetFrame) -> dict[str, Any]:
        height, width = frame.size_hw
        return {
            "id": frame.id,
            "file_name": frame.file_name,
            "width": width,
            "height": height,
            "license": self._licenses.number(frame),
            **describe_origin(frame),
        }

    def _head(self) -> bytes:
        """Return the beginning of both files; without a date, so that the same content gives the same bytes."""
        note = _POLYGON_NOTE if self._polygons else _RLE_NOTE
        info = to_json({"description": f"People in frames of video, labeled with maskmill. {note}"})
        categories = to_json([_category(number, name) for name, number in self._categories.items()])
        return f'{{"info": {info},\n"categories": {categories},\n"annotations": [\n'.encode("ascii")


def _category(number: int, name: str) -> dict[str, Any]:
    if name != PERSON:
        return {"id": number, "name": name, "supercategory": name}
    return {
        "id": number,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(COCO_KEYPOINTS),
        "skeleton": [list(limb) for limb in COCO_SKELETON],
    }
