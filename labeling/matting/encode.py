"""The videos of a matte: the composite with the source's sound, videos with alpha, and a small preview."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer, OutputContainer
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from configs.errors import StorageError
from labeling.matting.output import MatteFolder
from labeling.matting.replacement import Replacement
from labeling.storage.atomic import WRITING_PREFIX, storage_errors
from labeling.structures.frames import Clip, RgbImage
from labeling.video.containers import open_video
from labeling.video.decode import decode_clip

TIME_BASE = Fraction(1, 90_000)
"""Ticks of the written videos: 29.97 frames/s and every common rate are whole numbers of them."""
PREVIEW_FRAMES, PREVIEW_WIDTH_PX = 40, 320


@dataclass(frozen=True, slots=True)
class AlphaVideo:
    """An encoding with alpha."""

    codec: str
    pixel_format: str
    options: dict[str, str]


ALPHA_VIDEOS = {
    "webm": AlphaVideo("libvpx-vp9", "yuva420p", {"crf": "24", "b": "0", "cpu-used": "5", "row-mt": "1"}),
    "mov": AlphaVideo("prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"}),
}
"""VP9 for browsers, ProRes 4444 for editors."""


def compose(frame: RgbImage, foreground: RgbImage, alpha: NDArray[np.uint8], behind: RgbImage) -> RgbImage:
    """Return alpha * foreground + (1 - alpha) * behind, HxWx3; where alpha is full, the frame's own colors."""
    weight = alpha.astype(np.float32)[..., None] / np.float32(255)
    front = np.where(alpha[..., None] == 255, frame, foreground)  # noqa: PLR2004 - full
    return np.asarray(weight * front + (1 - weight) * behind + np.float32(0.5), dtype=np.uint8)


def write_composite(clip: Clip, folder: MatteFolder, replacement: Replacement) -> None:
    """Write `composite.mp4` (H.264) with the sound of the source."""
    with _writing(folder.root / "composite.mp4", "mp4") as container, _Sound.of(clip, container) as sound:
        video: VideoStream | None = None
        for index, t, frame in _frames(clip, folder):
            alpha, foreground = folder.read_alpha(index), folder.read_rgb("foreground", index)
            image = compose(frame, foreground, alpha, replacement(frame))
            video = video or _add_h264(container, image.shape[:2])
            coded = av.VideoFrame.from_ndarray(_even(image), format="rgb24")
            _encode(container, video, coded.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709), t)
        if video:
            container.mux(video.encode(None))
        sound.copy()


def write_alpha_video(clip: Clip, folder: MatteFolder, kind: str, name: str) -> None:
    """Write the people over nothing, with alpha, as `name`."""
    encoding = ALPHA_VIDEOS[kind]
    with _writing(folder.root / name, kind) as container:
        video: VideoStream | None = None
        for index, t, _ in _frames(clip, folder):
            rgba = np.dstack([folder.read_rgb("foreground", index), folder.read_alpha(index)])
            video = video or _add_video(
                container, encoding.codec, encoding.pixel_format, encoding.options, rgba.shape[:2]
            )
            coded = av.VideoFrame.from_ndarray(_even(rgba), format="rgba")
            _encode(container, video, coded.reformat(format=encoding.pixel_format), t)
        if video:
            container.mux(video.encode(None))


def write_preview(clip: Clip, folder: MatteFolder, replacement: Replacement, count: int) -> None:
    """Write `preview.webp`: up to 40 frames beside their composites, animated."""
    chosen = set(
        np.linspace(0, max(0, count - 1), min(PREVIEW_FRAMES, max(1, count))).round().astype(int).tolist()
    )
    images: list[Image.Image] = []
    for index, _, frame in _frames(clip, folder):
        behind = replacement(frame)
        if index in chosen:
            image = compose(frame, folder.read_rgb("foreground", index), folder.read_alpha(index), behind)
            images.append(Image.fromarray(side_by_side(frame, image, PREVIEW_WIDTH_PX)))
    if images:
        path = folder.root / f"{WRITING_PREFIX}preview.webp"
        with storage_errors(path):
            images[0].save(path, save_all=True, append_images=images[1:], duration=120, loop=0, quality=70)
            path.replace(folder.root / "preview.webp")


def side_by_side(frame: RgbImage, composite: RgbImage, width_px: int) -> RgbImage:
    """Return both images, each `width_px` wide, with a thin line between them."""
    height = max(1, round(frame.shape[0] * width_px / frame.shape[1]))
    left, right = (
        cv2.resize(image, (width_px, height), interpolation=cv2.INTER_AREA) for image in (frame, composite)
    )
    line = np.full((height, 4, 3), 255, dtype=np.uint8)
    return np.asarray(np.hstack([left, line, right]), dtype=np.uint8)


def _frames(clip: Clip, folder: MatteFolder) -> Iterator[tuple[int, Fraction, RgbImage]]:
    for index, decoded in enumerate(decode_clip(clip)):
        if not folder.image_path("alpha", index).is_file():
            return
        yield index, decoded.t, decoded.to_rgb()


class _writing:  # noqa: N801 - used like a function
    """A new video file that appears when it is complete."""

    def __init__(self, path: Path, container_format: str) -> None:
        self._path, self._format = path, container_format
        self._temporary = path.with_name(f"{WRITING_PREFIX}{path.name}")

    def __enter__(self) -> OutputContainer:
        with storage_errors(self._path):
            self._temporary.unlink(missing_ok=True)
        self._container = av.open(str(self._temporary), "w", format=self._format)
        return self._container

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self._container.close()
            if error is None:
                self._temporary.replace(self._path)
        except av.FFmpegError as exc:
            error = error or exc
        finally:
            self._temporary.unlink(missing_ok=True)
        if isinstance(error, av.FFmpegError | OSError):
            raise StorageError(f"cannot write {self._path}: {error}; check the disk") from error


def _add_h264(container: OutputContainer, size_hw: tuple[int, ...]) -> VideoStream:
    has_x264 = "libx264" in av.codecs_available
    options = {"crf": "18", "preset": "veryfast"} if has_x264 else {"qscale": "3"}
    video = _add_video(container, "libx264" if has_x264 else "mpeg4", "yuv420p", options, size_hw)
    video.codec_context.colorspace = Colorspace.ITU709
    return video


def _add_video(
    container: OutputContainer,
    codec: str,
    pixel_format: str,
    options: dict[str, str],
    size_hw: tuple[int, ...],
) -> VideoStream:
    stream: Any = container.add_stream(codec, options=options)
    stream.height, stream.width = size_hw[0] // 2 * 2, size_hw[1] // 2 * 2
    stream.pix_fmt, stream.time_base, stream.codec_context.time_base = pixel_format, TIME_BASE, TIME_BASE
    video: VideoStream = stream
    return video


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut an odd last row or column off: these codecs require even sides."""
    return np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])


def _encode(container: OutputContainer, stream: VideoStream, frame: av.VideoFrame, t: Fraction) -> None:
    frame.pts, frame.time_base = round(t / TIME_BASE), TIME_BASE
    container.mux(stream.encode(frame))


class _Sound:
    """The first sound track of a clip, as AAC; nothing if there is none."""

    def __init__(self, source: InputContainer | None, container: OutputContainer, start_s: Fraction) -> None:
        self._source, self._container, self._start_s = source, container, start_s
        if source:
            rate = source.streams.audio[0].rate or 48_000
            self._stream = container.add_stream("aac", rate=rate)

    @classmethod
    def of(cls, clip: Clip, container: OutputContainer) -> "_Sound":
        if clip.path is None:
            return cls(None, container, Fraction(0))
        source = open_video(clip.path)
        if not source.streams.audio or not source.streams.audio[0].codec_context:
            source.close()
            return cls(None, container, Fraction(0))
        first = source.streams.video[0]
        start_s = (first.start_time or 0) * (first.time_base or Fraction(0))
        return cls(source, container, start_s)

    def __enter__(self) -> "_Sound":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._source:
            self._source.close()

    def copy(self) -> None:
        """Encode the sound; its times are relative to the first frame, what lies before it is cut off."""
        if not self._source:
            return
        resampler = AudioResampler(format="fltp", layout="stereo", rate=self._stream.rate)
        for frame in self._source.decode(audio=0):
            if frame.time is None or frame.pts is None or frame.time_base is None:
                continue
            at = frame.pts * frame.time_base - self._start_s
            if at < 0:
                continue
            frame.pts = round(at / frame.time_base)
            for part in resampler.resample(frame):
                self._container.mux(self._stream.encode(part))
        for part in resampler.resample(None):
            self._container.mux(self._stream.encode(part))
        self._container.mux(self._stream.encode(None))
