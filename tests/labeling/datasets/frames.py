"""Synthetic frames for the tests of all formats."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.datasets.records import DatasetFrame, DatasetInstance
from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask

SIZE_HW = (48, 64)


def ring_and_dot() -> NDArray[np.bool_]:
    """Return a square with a hole, an island in the hole, and a second part of one pixel."""
    pixels = np.zeros(SIZE_HW, dtype=bool)
    pixels[4:24, 10:30] = True
    pixels[9:19, 15:25] = False
    pixels[13:15, 19:21] = True
    pixels[40, 60] = True
    return pixels


def rectangle(top: int, left: int, height: int, width: int) -> NDArray[np.bool_]:
    pixels = np.zeros(SIZE_HW, dtype=bool)
    pixels[top : top + height, left : left + width] = True
    return pixels


def instance(
    number: int, pixels: NDArray[np.bool_], *, keypoints: Keypoints | None = None, score: float = 0.75
) -> DatasetInstance:
    mask = Mask.from_array(pixels)
    return DatasetInstance(
        number, mask, mask.area_px, mask.box_xywh, score, mask.box_xywh, keypoints, "lite", None
    )


def frame(
    number: int,
    folder: Path,
    *instances: DatasetInstance,
    license: str | None = "CC-BY-4.0",
    split: str | None = None,
    file_name: str = "",
) -> DatasetFrame:
    """Return a frame whose image is a real JPEG in `folder`, with a shade of its own."""
    name = file_name or f"{number:04}.jpg"
    image = folder / name
    shade = np.full((*SIZE_HW, 3), number % 256, dtype=np.uint8)
    image.write_bytes(cv2.imencode(".jpg", shade)[1].tobytes())
    made = image_of(number, SIZE_HW, license=license)
    return made._replace(image=image, file_name=name, instances=instances, split=split)


def image_of(number: int, size_hw: tuple[int, int], *, license: str | None = "CC-BY-4.0") -> DatasetFrame:
    """Return a frame without people and without an image file."""
    return DatasetFrame(
        id=number,
        image=Path("none.jpg"),
        file_name="none.jpg",
        size_hw=size_hw,
        video_id="ab" * 32,
        pts_ms=40 * number,
        source_url="https://example.org/walk",
        title="Zwei Füße, “walk”",
        uploader="someone",
        license=license,
        license_url="https://creativecommons.org/licenses/by/4.0/" if license else None,
        upload_date="2024-05-31",
        decision="accepted",
        instances=(),
    )


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
