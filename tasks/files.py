"""Images that a run kept, and files that the user named."""

from pathlib import Path

import cv2
import numpy as np

from configs.errors import ConfigError, ExportError, StorageError
from labeling.storage.atomic import write_atomically
from labeling.storage.encode import image_key
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage


def read_kept(frame_id: int, image: str | None, home: Home) -> RgbImage:
    """Read the image that a run kept of a frame."""
    images, name = home.images, image_key(image or "")
    content = np.frombuffer(images.read(name), np.uint8)
    bgr = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if bgr is None:
        raise StorageError(f"the image of frame {frame_id} cannot be read: {images.address}/{name}")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]  # cv2 does not type its output's dtype


def write_file(out: Path, content: bytes) -> None:
    """Write a file that the user named."""
    if out.is_dir():
        raise ConfigError(f"{out} is a folder: name a file to write")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, content)
    except OSError as exc:
        raise ExportError(f"cannot write {out}: {exc.strerror}; name another file") from exc
