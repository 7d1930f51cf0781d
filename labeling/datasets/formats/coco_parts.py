"""COCO written from parts: other processes make the annotations of some frames, and they are joined here in order."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

from labeling.datasets.formats.coco import AnnotationMaker, CocoFiles
from labeling.datasets.formats.coco_rows import Annotations, annotate_rows
from labeling.datasets.mask_rows import FramePage
from labeling.datasets.records import DatasetFrame, ExportCheck, ExportSummary
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.runtime.memory import collecting_rarely


class CocoPart(NamedTuple):
    """Frames without their instances, and the annotations of these as they are in the files."""

    frames: Sequence[DatasetFrame]
    instances: bytes
    people: bytes
    check: ExportCheck


_NO_ANNOTATIONS: Annotations = ([], [])


def make_part(pages: Iterable[FramePage], categories: Sequence[str]) -> CocoPart:
    """Make the part of some frames; it is in memory as a whole."""
    maker = AnnotationMaker(categories)
    bare: list[DatasetFrame] = []
    instances: list[bytes] = []
    people: list[bytes] = []
    with collecting_rarely():
        for page in pages:
            from_rows = annotate_rows(page, maker.categories, maker.check)
            for frame in page.frames:
                if frame.instances:
                    records, with_pose = maker.make([frame])
                    bare.append(frame._replace(instances=()))
                else:
                    maker.check.admit(frame)
                    records, with_pose = from_rows.get(frame.id, _NO_ANNOTATIONS)
                    bare.append(frame)
                instances += records
                people += with_pose
    return CocoPart(bare, b",\n".join(instances), b",\n".join(people), maker.check)


def write_coco_parts(
    parts: Iterable[CocoPart], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write the same files as `labeling.datasets.formats.coco.write_coco` of the parts' frames, byte by byte."""
    with (
        open_dataset(folder, entries=("annotations", "images"), **options) as dataset,
        collecting_rarely(),
    ):
        with CocoFiles(dataset) as files:
            for frames, instances, people, check in parts:
                files.add_made(frames, [instances] if instances else [], [people] if people else [])
                dataset.check.extend(check)
                for frame in frames:
                    dataset.place_image(frame)
            files.finish()
        return dataset.close(files=dataset.check.frames + 2)
