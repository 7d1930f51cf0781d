"""COCO format with annotation files for each split: `instances_train.json`, `person_keypoints_train.json` and so on."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Unpack

from more_itertools import batched

from labeling.datasets.formats.coco import WRITTEN_AT_ONCE, CocoFiles
from labeling.datasets.records import SPLITS, DatasetFrame, ExportSummary
from labeling.datasets.writing import WriteOptions, open_dataset
from labeling.runtime.memory import collecting_rarely


def write_coco_splits(
    frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
) -> ExportSummary:
    """Write frames with a `split` as COCO; see `labeling.datasets.formats.coco.write_coco` for the records.

    All images are in one folder. A split without frames has its files too, without records. The same frames in the same
    order give the same bytes.
    """
    with (
        open_dataset(folder, entries=("annotations", "images"), **options) as dataset,
        collecting_rarely(),
    ):
        with ExitStack() as stack:
            files = {split: stack.enter_context(CocoFiles(dataset, suffix=f"_{split}")) for split in SPLITS}
            for batch in batched(frames, WRITTEN_AT_ONCE):
                for split, of_split in files.items():
                    of_split.add([frame for frame in batch if frame.split == split])
                for frame in batch:
                    dataset.place_image(frame)
            for of_split in files.values():
                of_split.finish()
        return dataset.close(files=dataset.check.frames + 2 * len(SPLITS))
