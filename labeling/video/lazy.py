"""Pixels of single frames of a clip, decoded when they are asked for."""

from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from threading import Lock
from typing import cast

from configs.errors import UnsupportedVideo
from labeling.structures.frames import Clip, ImageFile, LazyImage, RgbImage
from labeling.video.decode import Decoded, decode_clip


@dataclass(slots=True)
class PixelReader:
    """Reads frames of one clip; asked for in order, each frame of the file is decoded at most once."""

    clip: Clip
    held: int
    """Images that are held, since the stages of a batch read them one after the other."""
    decoded: int = 0
    """Images that were decoded and converted."""
    _images: "OrderedDict[Fraction | int, RgbImage]" = field(default_factory=OrderedDict)
    _frames: Generator[Decoded, None, None] | None = None
    _passed_s: Fraction = Fraction(-1)
    _lock: Lock = field(default_factory=Lock)

    def frame(self, t: Fraction, size_hw: tuple[int, int]) -> LazyImage:
        """Return the frame of a video at exactly this time."""
        return LazyImage(size_hw, lambda: self._read(t))

    def image(self, file: ImageFile, size_hw: tuple[int, int]) -> LazyImage:
        """Return an image of a folder."""
        return LazyImage(size_hw, lambda: self._read(file.position, file))

    def close(self) -> None:
        """Close the file."""
        if self._frames is not None:
            self._frames.close()

    def _read(self, key: Fraction | int, file: ImageFile | None = None) -> RgbImage:
        with self._lock:
            if key not in self._images:
                found = self._find(Fraction(key)) if file is None else self._open(file)
                self._images[key] = found.to_rgb()
                self.decoded += 1
                if len(self._images) > self.held:
                    self._images.popitem(last=False)
            return self._images[key]

    def _open(self, file: ImageFile) -> Decoded:
        return next(decode_clip(replace(self.clip, images=(file,))))

    def _find(self, t: Fraction) -> Decoded:
        if self._frames is None or t <= self._passed_s:
            self.close()
            frames: Iterator[Decoded] = decode_clip(replace(self.clip, start_s=t))
            self._frames = cast(Generator[Decoded, None, None], frames)
        for decoded in self._frames:
            self._passed_s = decoded.t
            if decoded.t == t:
                return decoded
            if decoded.t > t:
                break
        raise UnsupportedVideo(
            f"{self.clip.path}: no frame at {float(t):.3f} s any more; restore the video, or run again with its new content"
        )


@contextmanager
def open_pixels(clip: Clip, *, held: int) -> Iterator[PixelReader]:
    """Give a reader of the clip's pixels, which is closed at the end of the block."""
    reader = PixelReader(clip, held)
    try:
        yield reader
    finally:
        reader.close()
