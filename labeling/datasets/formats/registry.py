"""The writers of all export formats by name.

To add a format: write a file beside this one, register its writer here, and describe it in `configs.export_formats`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Unpack

from configs.export_formats import ExportFormat
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.coco_splits import write_coco_splits
from labeling.datasets.formats.cvat import write_cvat
from labeling.datasets.formats.datumaro import write_datumaro
from labeling.datasets.formats.mask_png import write_mask_pngs
from labeling.datasets.formats.mots import write_mots
from labeling.datasets.formats.parquet import write_parquet
from labeling.datasets.formats.voc import write_voc
from labeling.datasets.formats.webdataset import write_webdataset
from labeling.datasets.formats.yolo import write_yolo_seg
from labeling.datasets.formats.youtube_vis import write_youtube_vis
from labeling.datasets.records import DatasetFrame, ExportSummary
from labeling.datasets.writing import WriteOptions


class DatasetWriter(Protocol):
    """Writes a dataset, frame by frame, into `folder`; see `WriteOptions`. Memory does not grow with the dataset.

    Raises:
        ExportError: `folder` holds something else, a frame is invalid (`check_frame`), or the format cannot hold it.
        ConfigError: a library that the format requires is not installed.
        DiskFull: no space left. In all cases `folder` stays as it was.
    """

    def __call__(
        self, frames: Iterable[DatasetFrame], folder: Path, **options: Unpack[WriteOptions]
    ) -> ExportSummary: ...


WRITERS: dict[ExportFormat, DatasetWriter] = {
    "coco": write_coco,
    "cvat": write_cvat,
    "datumaro": write_datumaro,
    "masks": write_mask_pngs,
    "mots": write_mots,
    "parquet": write_parquet,
    "voc": write_voc,
    "webdataset": write_webdataset,
    "yolo-seg": write_yolo_seg,
    "youtube-vis": write_youtube_vis,
}
SPLIT_WRITERS: dict[ExportFormat, DatasetWriter] = {**WRITERS, "coco": write_coco_splits}
"""For frames that have a split: COCO has other files then. `masks`, `mots` and `youtube-vis` write it into their records."""
