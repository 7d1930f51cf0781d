"""COCO: `annotations/instances.json`, `annotations/person_keypoints.json` and `images/`."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

from pycocotools import mask as coco_mask

from labeling.formats.coco_records import annotation_records
from labeling.formats.dataset import DatasetFrame, ExportSummary, Ledger
from labeling.formats.folder import PictureFolder, PictureTarget, export_errors, stage_export
from labeling.formats.origins import describe_origin, record_lines, to_json
from labeling.formats.outlines import edge_outlines
from labeling.instances import COCO_KEYPOINTS, COCO_SKELETON
from labeling.masks import Mask, mask_areas
from labeling.memory import collecting_rarely
from labeling.stages import in_batches

_MEASURED_AT_ONCE = 50
"""Frames whose masks are measured in one call: a tenth of the time that a call for each takes."""

_RLE_NOTE = "Masks are run-length encodings, with holes and parts kept."
_POLYGON_NOTE = "Masks are polygons of outer outlines: holes are filled."


def write_coco(
    frames: Iterable[DatasetFrame],
    folder: Path,
    *,
    polygons: bool = False,
    copy: bool = False,
    pictures: PictureTarget | None = None,
) -> ExportSummary:
    """Write a COCO dataset, one frame at a time; the same frames in the same order give the same bytes.

    Both annotation files list every picture. Areas are pixels of the mask, boxes are tight round the
    mask. Beside COCO's own fields an annotation has `model`, `score`, `reviewer` and `detector_bbox`,
    a picture has its video, time, source, title, uploader, upload date and decision.

    Args:
        polygons: outer outlines instead of run-length encodings; exact but for filled holes.
        copy: copy pictures; otherwise they are hard links where the disk allows it.
        pictures: where they go instead of into `folder`.

    Raises:
        ExportError: `folder` holds something else, or a frame is unsound (`check_frame`).
        DiskFull: no space left. In either case `folder` stays as it was.
    """
    with (
        stage_export(folder, entries=("annotations", "images")) as staging,
        pictures or PictureFolder(staging / "images", copy=copy) as placed,
        collecting_rarely(),
    ):
        with _CocoSpools(staging, polygons=polygons) as spools:
            for batch in in_batches(frames, _MEASURED_AT_ONCE):
                spools.add(batch)
                for frame in batch:
                    placed.add(frame.picture, name=frame.file_name, store=frame.store)
            spools.finish(staging / "annotations")
        notes = [*spools.notes(), *placed.notes()]
        return spools.ledger.close(files=spools.ledger.frames + 2, notes=notes)


class _CocoSpools:
    """Records wait in nameless temporary files on the target's disk until the lists are complete."""

    def __init__(self, staging: Path, *, polygons: bool) -> None:
        self.ledger = Ledger()
        self._polygons = polygons
        self._licences: dict[tuple[str, str], int] = {}
        self._any_unknown = False
        self._holes_filled = 0
        with export_errors(staging):
            self._images = _Spool(staging)
            self._annotations = _Spool(staging)
            self._people = _Spool(staging)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in (self._images, self._annotations, self._people):
            spool.close()

    def add(self, frames: Sequence[DatasetFrame]) -> None:
        areas = mask_areas([instance.mask for frame in frames for instance in frame.instances]).tolist()
        remaining = iter(areas)
        for frame in frames:
            self.ledger.admit(frame, list(islice(remaining, len(frame.instances))))
        self._images.add([self._image_record(frame) for frame in frames])
        records = annotation_records(frames, areas, segment=self._segmentation)
        self._annotations.add(records.annotations, leasts=records.leasts)
        self._people.add(records.people, leasts=records.people_leasts)

    def finish(self, folder: Path) -> None:
        with export_errors(folder):
            folder.mkdir()
            self._write(folder / "instances.json", self._annotations)
            self._write(folder / "person_keypoints.json", self._people)

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
            "license": self._licence_id(frame),
            **describe_origin(frame),
        }

    def _licence_id(self, frame: DatasetFrame) -> int:
        """0 for unknown, else numbered as they occur."""
        if frame.licence is None:
            self._any_unknown = True
            return 0
        licence = (frame.licence, frame.licence_url or "")
        return self._licences.setdefault(licence, len(self._licences) + 1)

    def _licence_records(self) -> list[dict[str, Any]]:
        unknown = [{"id": 0, "name": "unknown", "url": ""}] if self._any_unknown else []
        known = [{"id": number, "name": name, "url": url} for (name, url), number in self._licences.items()]
        return unknown + known

    def _segmentation(self, mask: Mask) -> dict[str, Any] | list[list[int]]:
        if not self._polygons:
            return {"size": mask.size_hw, "counts": mask.counts.decode("ascii")}
        parts: list[list[int]] = [outline.ravel().tolist() for outline in edge_outlines(mask)]
        drawn = coco_mask.merge(coco_mask.frPyObjects(parts, *mask.size_hw))
        self._holes_filled += int(coco_mask.area(drawn)) > mask.area_px
        return parts

    def _write(self, path: Path, annotations: "_Spool") -> None:
        """Sections in COCO's usual order, one record a line."""
        about, licences = to_json(self._about()), to_json(self._licence_records())
        head = (
            f'{{"info": {about},\n"licenses": {licences},\n"categories": {to_json([_person_category()])},\n'
        )
        with path.open("wb") as file:
            file.write(head.encode("ascii") + b'"images": [\n')
            self._images.pour(file)
            file.write(b'\n],\n"annotations": [\n')
            annotations.pour(file)
            file.write(b"\n]}\n")

    def _about(self) -> dict[str, str]:
        """No date: the same content gives the same bytes."""
        kept = _POLYGON_NOTE if self._polygons else _RLE_NOTE
        return {"description": f"People in frames of video, labelled with maskmill. {kept}"}


class _Spool:
    """JSON records on disk, separated as in a list."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as this object
        self._is_empty = True

    def add(self, records: Sequence[dict[str, Any]], *, leasts: Sequence[float] | None = None) -> None:
        """`leasts`: see `record_lines`."""
        if records:
            with export_errors(self._folder):
                self._file.write(b"" if self._is_empty else b",\n")
                self._file.write(record_lines(records, leasts))
            self._is_empty = False

    def pour(self, target: IO[bytes]) -> None:
        self._file.seek(0)
        shutil.copyfileobj(self._file, target, 1 << 16)

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
