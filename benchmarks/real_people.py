"""Real photos and a real video in the form of `rendered_rooms`: Penn-Fudan's streets, and DAVIS' dance-twirl.

Every photo is a video of one frame, so that a split by video is one by photo. The weak student learns from the first photos,
the others and the dance are mined, and the last photos are the frozen set: none of them shows the dancer.
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask
from labeling.video.encode import VideoWriter

FPS = Fraction(4)
LONG_SIDE = 320
BASE_PHOTOS, FROZEN_PHOTOS = 20, 27
DANCE_EVERY = 2
"""Of the video's 90 frames."""

Labeled = tuple[RgbImage, list[Mask]]


def write_mined(data: Path, folder: Path) -> list[Path]:
    """Write the videos to mine, and beside each the masks of its frames."""
    photos = [write_video(folder / f"{path.stem}.mp4", [read_photo(path)]) for path in mined_photos(data)]
    return [*photos, write_video(folder / "dance.mp4", list(read_dance(data)))]


def write_frozen(data: Path, folder: Path) -> list[Path]:
    frozen = photos_of(data)[-FROZEN_PHOTOS:]
    return [write_video(folder / f"{path.stem}.mp4", [read_photo(path)]) for path in frozen]


def photos_of(data: Path) -> list[Path]:
    return sorted((data / "pennfudan" / "images").glob("*.jpg"))


def mined_photos(data: Path) -> list[Path]:
    return photos_of(data)[BASE_PHOTOS:-FROZEN_PHOTOS]


def read_photo(path: Path) -> Labeled:
    """Return a photo and its people, in half or less of its size."""
    [mask] = (path.parent.parent / "masks").glob(f"{path.stem}*.png")
    return _shrink(cv2.imread(str(path)), cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE))


def read_dance(data: Path) -> Iterator[Labeled]:
    for path in sorted((data / "davis2016" / "JPEGImages").rglob("*.jpg"))[::DANCE_EVERY]:
        [mask] = (data / "davis2016" / "Annotations").rglob(f"{path.stem}.png")
        yield _shrink(cv2.imread(str(path)), cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE))


def _shrink(bgr: Any, labels: Any) -> Labeled:
    scale = LONG_SIDE / max(bgr.shape[:2])
    size_wh = tuple(round(side * scale / 2) * 2 for side in bgr.shape[1::-1])
    small = cv2.resize(bgr, size_wh, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, size_wh, interpolation=cv2.INTER_NEAREST)
    masks = [Mask.from_array(labels == value) for value in np.unique(labels[labels > 0])]
    return np.ascontiguousarray(small[:, :, ::-1]), masks


def write_video(path: Path, frames: list[Labeled]) -> Path:
    """Write a video and the masks of its frames; what is there already stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.with_suffix(".json").exists():
        height, width = frames[0][0].shape[:2]
        with VideoWriter(path, fps=FPS, size_hw=(height, width)) as writer:
            for rgb, _ in frames:
                writer.write(rgb)
        masks = [[mask.to_coco() for mask in people] for _, people in frames]
        path.with_suffix(".json").write_text(json.dumps(masks, default=lambda value: value.decode()))
    return path


def write_base(data: Path, folder: Path) -> tuple[Path, int]:
    """Write the photos that the weak student learns from as COCO; return the file and the number of images."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(photos_of(data)[:BASE_PHOTOS], start=1):
        rgb, masks = read_photo(path)
        height, width = rgb.shape[:2]
        images.append({"id": number, "file_name": f"{path.stem}.png", "height": height, "width": width})
        cv2.imwrite(str(folder / "images" / f"{path.stem}.png"), np.ascontiguousarray(rgb[:, :, ::-1]))
        for mask in masks:
            about = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            annotations.append(about | {"segmentation": mask.to_coco()})
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (folder / "base.json").write_text(json.dumps(tree, default=lambda value: value.decode()))
    return folder / "base.json", len(images)
