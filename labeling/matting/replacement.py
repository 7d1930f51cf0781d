"""What replaces the background in a composite: a color, a picture, a video, or the blurred frame."""

import os
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from configs.errors import ConfigError, SourceError
from labeling.structures.frames import Clip, RgbImage
from labeling.structures.images import open_image, resize_image
from labeling.video.decode import decode_clip

BLUR_SHARE = 0.03
"""Standard deviation of the blur, as a share of the frame's height."""

Replacement = Callable[[RgbImage], RgbImage]
"""Takes a frame and returns the background for it, in the same size; called once per frame, in order."""


def open_replacement(background: str) -> Replacement:
    """Return the background that `MatteSettings.background` names.

    A picture or video is scaled to cover the frame and cropped. A video that is shorter than the frames
    starts again.

    Raises:
        ConfigError: neither a color, a readable file, nor `blur`.
    """
    if background == "blur":
        return _blur
    try:
        color = np.array(ImageColor.getrgb(background)[:3], dtype=np.uint8)
        return lambda frame: np.broadcast_to(color, frame.shape).copy()
    except ValueError:
        path = Path(os.path.expanduser(background))  # noqa: PTH111 - Path.expanduser raises for an unknown user
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name that is too long
        raise ConfigError(
            f"background {background!r} is neither a color (green, #00b140), the path of a picture or video, nor blur: "
            "check the spelling and the path"
        )
    try:
        with open_image(path) as image:
            if not getattr(image, "is_animated", False):
                upright = ImageOps.exif_transpose(image).convert("RGB")
                return _Picture(np.asarray(upright))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        pass
    return _Video(path)


class _Picture:
    """One picture, scaled once per size of frames."""

    def __init__(self, picture: RgbImage) -> None:
        self._picture = picture
        self._scaled: RgbImage = np.empty((0, 0, 3), dtype=np.uint8)

    def __call__(self, frame: RgbImage) -> RgbImage:
        if self._scaled.shape != frame.shape:
            self._scaled = _cover(self._picture, frame)
        return self._scaled


class _Video:
    """The frames of a video, one after the other, from the start again at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            first = next(self._read(), None)
        except SourceError as exc:
            raise ConfigError(
                f"background {path} is neither a picture nor a video that can be read: {exc}"
            ) from exc
        if first is None:
            raise ConfigError(f"background {path} has no frame: choose another file")
        self._frames = chain.from_iterable(self._read() for _ in repeat(None))

    def _read(self) -> Iterator[RgbImage]:
        return (decoded.to_rgb() for decoded in decode_clip(Clip("background", self._path)))

    def __call__(self, frame: RgbImage) -> RgbImage:
        return _cover(next(self._frames), frame)


def _blur(frame: RgbImage) -> RgbImage:
    small = cv2.resize(frame, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(1.0, BLUR_SHARE * small.shape[0]))
    return np.asarray(cv2.resize(soft, frame.shape[1::-1]), dtype=np.uint8)


def _cover(picture: RgbImage, frame: RgbImage) -> RgbImage:
    """Scale a picture to cover a frame, and crop what exceeds it on both sides."""
    height, width = frame.shape[:2]
    scale = max(height / picture.shape[0], width / picture.shape[1])
    size_hw = (max(height, round(picture.shape[0] * scale)), max(width, round(picture.shape[1] * scale)))
    scaled = resize_image(picture, size_hw)
    top, left = (size_hw[0] - height) // 2, (size_hw[1] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])
