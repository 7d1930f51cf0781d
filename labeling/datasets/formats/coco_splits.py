"""COCO format with annotation files for each split: `instances_train.json`, `person_keypoints_train.json` and so on."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from more_itertools import batched

from configs.categories import PERSON
from labeling.datasets.formats.coco import WRITTEN_AT_ONCE, CocoFiles
from labeling.datasets.records import SPLITS, DatasetFrame, ExportCheck, ExportSummary
from labeling.datasets.staging import ImageFolder, ImageTarget, stage_export, write_new
from labeling.runtime.memory import collecting_rarely


def write_coco_splits(  # noqa: PLR0913  # the frames, and a keyword per choice
    frames: Iterable[DatasetFrame],
    folder: Path,
    *,
    copy: bool = False,
    images: ImageTarget | None = None,
    beside: Mapping[str, bytes] | None = None,
    categories: Sequence[str] = (PERSON,),
) -> ExportSummary:
    """Write frames with a `split` as COCO; see `labeling.datasets.formats.coco.write_coco` for the records.

    All images are in one folder. A split without frames has its files too, without records. `beside` are further files of
    the dataset by name. The same frames in the same order give the same bytes.
    """
    others = dict(beside or {})
    with (
        stage_export(folder, entries=("annotations", "images", *others)) as staging,
        images or ImageFolder(staging / "images", copy=copy) as placed,
        collecting_rarely(),
    ):
        check = ExportCheck()
        with ExitStack() as stack:
            files = {
                split: stack.enter_context(
                    CocoFiles(staging, categories=categories, suffix=f"_{split}", check=check)
                )
                for split in SPLITS
            }
            for batch in batched(frames, WRITTEN_AT_ONCE):
                for split, of_split in files.items():
                    of_split.add([frame for frame in batch if frame.split == split])
                for frame in batch:
                    placed.add(frame.image, name=frame.file_name, store=frame.store)
            for of_split in files.values():
                of_split.finish()
        for name, content in others.items():
            write_new(staging / name, content)
        count = check.frames + 2 * len(SPLITS) + len(others)
        return check.close(files=count, notes=placed.notes())
