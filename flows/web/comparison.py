"""Images for comparing a video before and after: some moments of each finished video as JPEG pairs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np

from configs.errors import SourceError
from flows.web.jobs import Job, JobFile
from labeling.storage.atomic import write_atomically
from labeling.structures.frames import Clip, RgbImage
from labeling.video.decode import decode_clip
from labeling.visualization.contact_sheet import encode_jpeg

MAX_MOMENTS = 40
MAX_WIDTH_PX = 1280
INDEX_FILE = "index.json"
_QUALITY = 85
_LOOK_S = 1.0


@contextmanager
def comparing(folder: Path, job: Job) -> Iterator[None]:
    """Write the pairs of each video as soon as it is finished, until the end of the block."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_S):
            _compare_finished(folder, job)

    thread = threading.Thread(target=watch, name="comparison", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    _compare_finished(folder, job)


def _compare_finished(folder: Path, job: Job) -> None:
    for file in job.videos():
        is_finished = (folder / "result" / file.stem / "matte.json").is_file()
        if is_finished and not (comparison_folder(folder, file) / INDEX_FILE).exists():
            with suppress(SourceError, OSError):  # the result is complete without it
                write_comparison(folder, file)


def comparison_folder(folder: Path, file: JobFile) -> Path:
    return folder / "comparison" / str(file.number)


def write_comparison(folder: Path, file: JobFile) -> None:
    """Write `before-00.jpg` and `after-00.jpg` of evenly spaced frames, then the index that names their count."""
    target = comparison_folder(folder, file)
    target.mkdir(parents=True, exist_ok=True)
    result = folder / "result" / file.stem
    total = len(list((result / "alpha").glob("*.png")))
    chosen = set(
        np.linspace(0, max(0, total - 1), min(MAX_MOMENTS, max(1, total))).round().astype(int).tolist()
    )
    written = 0
    before = decode_clip(Clip("", folder / file.stored))
    after = decode_clip(Clip("", result / "composite.mp4"))
    for index, (first, second) in enumerate(zip(before, after, strict=False)):
        if index not in chosen:
            continue
        for side, decoded in (("before", first), ("after", second)):
            jpeg = encode_jpeg(_fit(decoded.to_rgb()), quality=_QUALITY)
            write_atomically(target / f"{side}-{written:02}.jpg", jpeg)
        written += 1
    content = json.dumps({"moments": written})
    write_atomically(target / INDEX_FILE, content.encode())


def _fit(rgb: RgbImage) -> RgbImage:
    height, width = rgb.shape[:2]
    if width <= MAX_WIDTH_PX:
        return rgb
    size_wh = (MAX_WIDTH_PX, max(1, round(height * MAX_WIDTH_PX / width)))
    return np.asarray(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
