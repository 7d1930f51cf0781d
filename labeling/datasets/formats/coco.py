"""COCO: `annotations/instances.json`, `annotations/person_keypoints.json` and `images/`."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Self

from more_itertools import batched
from pycocotools import mask as coco_mask

from labeling.datasets.formats.coco_json import annotation_record, rle_json, with_keypoints
from labeling.datasets.formats.polygons import edge_outlines
from labeling.datasets.provenance import describe_origin, record_line, to_json
from labeling.datasets.records import DatasetFrame, DatasetInstance, ExportCheck, ExportSummary
from labeling.datasets.staging import ImageFolder, ImageTarget, export_errors, stage_export
from labeling.runtime.memory import collecting_rarely
from labeling.structures.instances import COCO_KEYPOINTS, COCO_SKELETON

_WRITTEN_AT_ONCE = 50
"""Frames whose records are made together: each step has a cost of its own, which many share."""

_RLE_NOTE = "Masks are run-length encodings, with holes and parts kept."
_POLYGON_NOTE = "Masks are polygons of outer outlines: holes are filled."


def write_coco(
    frames: Iterable[DatasetFrame],
    folder: Path,
    *,
    polygons: bool = False,
    copy: bool = False,
    images: ImageTarget | None = None,
) -> ExportSummary:
    """Write a COCO dataset, one frame at a time; the same frames in the same order give the same bytes.

    Both annotation files list every image. Areas are pixels of the mask, boxes are tight round the
    mask. Beside COCO's own fields an annotation has `model`, `score`, `reviewer` and `detector_bbox`,
    an image has its video, time, source, title, uploader, upload date and decision.

    Args:
        polygons: outer outlines instead of run-length encodings; exact but for filled holes.
        copy: copy images; otherwise they are hard links where the disk allows it.
        images: where they go instead of into `folder`.

    Raises:
        ExportError: `folder` holds something else, or a frame is unsound (`check_frame`).
        DiskFull: no space left. In either case `folder` stays as it was.
    """
    with (
        stage_export(folder, entries=("annotations", "images")) as staging,
        images or ImageFolder(staging / "images", copy=copy) as placed,
        collecting_rarely(),
    ):
        with _CocoFiles(staging, polygons=polygons) as files:
            for batch in batched(frames, _WRITTEN_AT_ONCE):
                files.add(batch)
                for frame in batch:
                    placed.add(frame.image, name=frame.file_name, store=frame.store)
            files.finish()
        notes = [*files.notes(), *placed.notes()]
        return files.check.close(files=files.check.frames + 2, notes=notes)


class _CocoFiles:
    """Annotations go straight into their files. Both end with the images, whose records wait in a
    nameless temporary file beside them, and with the licenses that occurred."""

    def __init__(self, staging: Path, *, polygons: bool) -> None:
        self.check = ExportCheck()
        self._polygons = polygons
        self._licenses: dict[tuple[str, str], int] = {}
        self._any_unknown = False
        self._holes_filled = 0
        folder = staging / "annotations"
        with export_errors(staging):
            folder.mkdir()
            self._instances = _RecordList((folder / "instances.json").open("w+b"), staging)
            self._people = _RecordList((folder / "person_keypoints.json").open("w+b"), staging)
            nameless = tempfile.TemporaryFile(dir=staging)  # noqa: SIM115 - lives as long as this object
            self._images = _RecordList(nameless, staging)

    def __enter__(self) -> Self:
        for annotations in (self._instances, self._people):
            annotations.write(self._head())
        return self

    def __exit__(self, *_: object) -> None:
        for records in (self._instances, self._people, self._images):
            records.close()

    def add(self, frames: Sequence[DatasetFrame]) -> None:
        seen: list[bytes] = []
        posed: list[bytes] = []
        for frame in frames:
            for one in self.check.admit(frame):
                record = annotation_record(frame, one, self._segmentation(one))
                seen.append(record)
                if one.keypoints is not None:
                    posed.append(with_keypoints(record, one.keypoints, frame.size_hw))
        self._instances.add(seen)
        self._people.add(posed)
        self._images.add([record_line(self._image_record(frame)) for frame in frames])

    def finish(self) -> None:
        """Write what both files end with."""
        licenses = to_json(self._license_records()).encode("ascii")
        for annotations in (self._instances, self._people):
            annotations.write(b'\n],\n"images": [\n')
            self._images.pour(annotations)
            annotations.write(b'\n],\n"licenses": ' + licenses + b"}\n")

    def notes(self) -> list[str]:
        if not self._polygons:
            return []
        return [f"polygons: holes are filled ({self._holes_filled} instances had holes)"]

    def _image_record(self, frame: DatasetFrame) -> dict[str, Any]:
        height, width = frame.size_hw
        return {
            "id": frame.id,
            "file_name": frame.file_name,
            "width": width,
            "height": height,
            "license": self._license_id(frame),
            **describe_origin(frame),
        }

    def _license_id(self, frame: DatasetFrame) -> int:
        """0 for unknown, else numbered as they occur."""
        if frame.license is None:
            self._any_unknown = True
            return 0
        license = (frame.license, frame.license_url or "")
        return self._licenses.setdefault(license, len(self._licenses) + 1)

    def _license_records(self) -> list[dict[str, Any]]:
        unknown = [{"id": 0, "name": "unknown", "url": ""}] if self._any_unknown else []
        known = [{"id": number, "name": name, "url": url} for (name, url), number in self._licenses.items()]
        return unknown + known

    def _segmentation(self, one: DatasetInstance) -> bytes:
        if not self._polygons:
            return rle_json(one.mask)
        parts: list[list[int]] = [outline.ravel().tolist() for outline in edge_outlines(one.mask)]
        drawn = coco_mask.merge(coco_mask.frPyObjects(parts, *one.mask.size_hw))
        self._holes_filled += int(coco_mask.area(drawn)) > one.area_px
        return to_json(parts).encode("ascii")

    def _head(self) -> bytes:
        """What is known before the first frame."""
        about, category = to_json(self._about()), to_json([_person_category()])
        return f'{{"info": {about},\n"categories": {category},\n"annotations": [\n'.encode("ascii")

    def _about(self) -> dict[str, str]:
        """No date: the same content gives the same bytes."""
        kept = _POLYGON_NOTE if self._polygons else _RLE_NOTE
        return {"description": f"People in frames of video, labeled with maskmill. {kept}"}


class _RecordList:
    """A file that holds a JSON list, one record a line, and what is written before and after."""

    def __init__(self, file: IO[bytes], folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._is_empty = True

    def add(self, records: Sequence[bytes]) -> None:
        if records:
            self.write(b"" if self._is_empty else b",\n")
            self.write(b",\n".join(records))
            self._is_empty = False

    def write(self, content: bytes) -> None:
        with export_errors(self._folder):
            self._file.write(content)

    def pour(self, target: "_RecordList") -> None:
        """Write all of it into another."""
        with export_errors(self._folder):
            self._file.seek(0)
            shutil.copyfileobj(self._file, target._file, 1 << 16)

    def close(self) -> None:
        with export_errors(self._folder):
            self._file.close()


def _person_category() -> dict[str, Any]:
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(COCO_KEYPOINTS),
        "skeleton": [list(limb) for limb in COCO_SKELETON],
    }
