"""The writers of all export formats by name.

To add a format: write a file beside this one, register its writer here, and add the name to
`configs.models.ExportFormat`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from configs.models import ExportFormat
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.mask_png import write_mask_pngs
from labeling.datasets.formats.mots import write_mots
from labeling.datasets.formats.yolo import write_yolo_seg
from labeling.datasets.formats.youtube_vis import write_youtube_vis
from labeling.datasets.records import DatasetFrame, ExportSummary
from labeling.datasets.staging import ImageTarget


class DatasetWriter(Protocol):
    """Writes a dataset, frame by frame, into `folder`, and its images into `images` instead if that is given.

    With `copy`, images are copied; otherwise they are hard links where the disk allows it.

    Raises:
        ExportError: `folder` holds something else, or a frame is invalid (`check_frame`).
        DiskFull: no space left. In both cases `folder` stays as it was.
    """

    def __call__(
        self,
        frames: Iterable[DatasetFrame],
        folder: Path,
        *,
        copy: bool = False,
        images: ImageTarget | None = None,
    ) -> ExportSummary: ...


WRITERS: dict[ExportFormat, DatasetWriter] = {
    "coco": write_coco,
    "masks": write_mask_pngs,
    "mots": write_mots,
    "yolo-seg": write_yolo_seg,
    "youtube-vis": write_youtube_vis,
}
