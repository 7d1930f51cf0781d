"""The videos of a matte: the composite with the source's sound, videos with alpha, and a small preview."""

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from configs.errors import DiskFull, MaskmillError, StorageError
from labeling.matting.output import MatteFolder
from labeling.matting.replacement import Replacement
from labeling.storage.atomic import WRITING_PREFIX, storage_errors
from labeling.structures.frames import Clip, RgbImage
from labeling.video.containers import open_video
from labeling.video.decode import decode_clip
from labeling.video.encode import state_colors
from labeling.video.timestamps import read_timeline

TIME_BASE = Fraction(1, 90_000)
"""Ticks of the written videos: 29.97 frames/s and every common rate are whole numbers of them."""
PREVIEW_FRAMES, PREVIEW_WIDTH_PX = 40, 320


AAC_RATES = frozenset(
    (7350, 8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
)
"""Sampling rates that AAC has; sound of another rate is resampled to `DEFAULT_RATE`."""
DEFAULT_RATE = 48_000

EachFrame = Callable[[int], object]
"""Called after each frame with the number of frames done; an exception from it ends the work."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a video is coded."""

    codec: str
    pixel_format: str
    options: dict[str, str]
    colorspace: Colorspace | None = None


COMPOSITE = Encoding("libx264", "yuv420p", {"crf": "18", "preset": "veryfast"}, Colorspace.ITU709)
COMPOSITE_WITHOUT_X264 = Encoding("mpeg4", "yuv420p", {"qscale": "3"}, Colorspace.ITU709)
ALPHA_VIDEOS = {
    "webm": Encoding("libvpx-vp9", "yuva420p", {"crf": "24", "b": "0", "cpu-used": "5", "row-mt": "1"}),
    "mov": Encoding("prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"}),
}
"""VP9 for browsers, ProRes 4444 for editors."""


def compose(frame: RgbImage, foreground: RgbImage, alpha: NDArray[np.uint8], behind: RgbImage) -> RgbImage:
    """Return alpha * foreground + (1 - alpha) * behind, HxWx3; where alpha is full, the frame's own colors."""
    weight = alpha.astype(np.float32)[..., None] / np.float32(255)
    front = np.where(alpha[..., None] == 255, frame, foreground)  # noqa: PLR2004 - full
    return np.asarray(weight * front + (1 - weight) * behind + np.float32(0.5), dtype=np.uint8)


def write_composite(
    clip: Clip, folder: MatteFolder, replacement: Replacement, count: int, each: EachFrame
) -> None:
    """Write `composite.mp4` (H.264) with the sound of the source, and `preview.webp`, of `count` frames.

    `each` is called with the number of frames done.

    Raises:
        StorageError: a file cannot be written, or an image of the matte cannot be read.
        SourceError: the clip can no longer be read.
    """
    preview = _Preview(count)
    with (
        _writing(folder.root / "composite.mp4", "mp4", {"movflags": "+faststart"}) as container,
        _Sound(clip, container) as sound,
    ):
        video: _VideoWriter | None = None
        for index, decoded in enumerate(islice(decode_clip(clip), count)):
            frame = decoded.to_rgb()
            alpha, foreground = folder.read_alpha(index), folder.read_rgb("foreground", index)
            image = compose(frame, foreground, alpha, replacement(frame))
            if video is None:
                video = _add_h264(container, image.shape[:2])
                sound.add_stream()
            at_s = decoded.t - clip.start_s
            video.write(av.VideoFrame.from_ndarray(_even(image), format="rgb24"), at_s)
            sound.write_until(at_s)
            preview.add(index, frame, image)
            each(index + 1)
        if video:
            video.end()
        sound.write_until(None)
    preview.write(folder.root / "preview.webp")


def write_alpha_video(clip: Clip, folder: MatteFolder, kind: str, count: int, each: EachFrame) -> None:
    """Write the people of `count` frames over nothing, with alpha, in a file named like the folder.

    Raises as `write_composite`.
    """
    encoding = ALPHA_VIDEOS[kind]
    with _writing(folder.root / f"{folder.root.name}.{kind}", kind) as container:
        video: _VideoWriter | None = None
        for index, decoded in enumerate(islice(decode_clip(clip), count)):
            rgba = np.dstack([folder.read_rgb("foreground", index), folder.read_alpha(index)])
            video = video or _VideoWriter(container, encoding, rgba.shape[:2])
            video.write(av.VideoFrame.from_ndarray(_even(rgba), format="rgba"), decoded.t - clip.start_s)
            each(index + 1)
        if video:
            video.end()


class _Preview:
    """Up to 40 frames beside their composites, as an animation."""

    def __init__(self, count: int) -> None:
        shown = min(PREVIEW_FRAMES, count)
        self._chosen = {int(i) for i in np.linspace(0, max(0, count - 1), shown).round()}
        self._images: list[Image.Image] = []

    def add(self, index: int, frame: RgbImage, composite: RgbImage) -> None:
        if index in self._chosen:
            self._images.append(Image.fromarray(side_by_side(frame, composite, PREVIEW_WIDTH_PX)))

    def write(self, path: Path) -> None:
        if not self._images:
            return
        temporary = path.with_name(f"{WRITING_PREFIX}{path.name}")
        first, *others = self._images
        with storage_errors(path, option="--out"):
            first.save(temporary, save_all=True, append_images=others, duration=120, loop=0, quality=70)
            temporary.replace(path)


def side_by_side(frame: RgbImage, composite: RgbImage, width_px: int) -> RgbImage:
    """Return both images, each `width_px` wide, with a thin line between them."""
    height = max(1, round(frame.shape[0] * width_px / frame.shape[1]))
    left, right = (
        cv2.resize(image, (width_px, height), interpolation=cv2.INTER_AREA) for image in (frame, composite)
    )
    line = np.full((height, 4, 3), 255, dtype=np.uint8)
    return np.asarray(np.hstack([left, line, right]), dtype=np.uint8)


class _writing:  # noqa: N801 - used like a function
    """A new video file that appears when it is complete."""

    def __init__(self, path: Path, container_format: str, options: dict[str, str] | None = None) -> None:
        self._path, self._format, self._options = path, container_format, options or {}
        self._temporary = path.with_name(f"{WRITING_PREFIX}{path.name}")

    def __enter__(self) -> OutputContainer:
        try:
            self._container = av.open(
                str(self._temporary), "w", format=self._format, container_options=self._options
            )
        except av.FFmpegError as exc:
            raise self._error(exc) from exc
        return self._container

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self._container.close()
            if error is None:
                self._temporary.replace(self._path)
        except (av.FFmpegError, OSError) as exc:
            error = error or exc
        finally:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
        if isinstance(error, av.FFmpegError | OSError):
            raise self._error(error) from error

    def _error(self, error: av.FFmpegError | OSError) -> MaskmillError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(
                f"no space left for {self._path}: free some, then run the same command again; it continues from here"
            )
        return StorageError(f"cannot write {self._path}: {error}; check the disk")


class _VideoWriter:
    """A video stream whose frames have exact times."""

    def __init__(self, container: OutputContainer, encoding: Encoding, size_hw: tuple[int, ...]) -> None:
        stream: Any = container.add_stream(encoding.codec, options=encoding.options)
        stream.height, stream.width = size_hw[0] // 2 * 2, size_hw[1] // 2 * 2
        stream.pix_fmt, stream.time_base = encoding.pixel_format, TIME_BASE
        stream.codec_context.time_base = TIME_BASE
        if encoding.colorspace is not None:
            state_colors(stream.codec_context)
        self._container, self._encoding = container, encoding
        self._stream: VideoStream = stream
        self._last = -1

    def write(self, frame: av.VideoFrame, t: Fraction) -> None:
        """Encode a frame that is shown from `t` on; frames of one tick are put one tick apart."""
        coded = frame.reformat(format=self._encoding.pixel_format, dst_colorspace=self._encoding.colorspace)
        coded.pts = self._last = max(round(t / TIME_BASE), self._last + 1)
        coded.time_base = TIME_BASE
        self._container.mux(self._stream.encode(coded))

    def end(self) -> None:
        self._container.mux(self._stream.encode(None))


def _add_h264(container: OutputContainer, size_hw: tuple[int, ...]) -> _VideoWriter:
    encoding = COMPOSITE if COMPOSITE.codec in av.codecs_available else COMPOSITE_WITHOUT_X264
    return _VideoWriter(container, encoding, size_hw)


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut an odd last row or column off: these codecs require even sides."""
    return np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])


class _Sound:
    """The first sound track of a clip, as AAC; nothing if there is none that can be decoded."""

    def __init__(self, clip: Clip, container: OutputContainer) -> None:
        self._container = container
        self._source: InputContainer | None = None
        self._stream: Any = None
        self._next: tuple[Fraction, av.AudioFrame] | None = None
        self._frames: Iterator[tuple[Fraction, av.AudioFrame]] = iter(())
        if clip.path is None:
            return
        self._source = open_video(clip.path)
        track = next((s for s in self._source.streams.audio if cast(object, s.codec_context)), None)
        if track is not None:
            timeline = read_timeline(clip.path)
            origin_s = (timeline.origin or 0) * timeline.time_base + clip.start_s
            length_s = None if clip.end_s is None else clip.end_s - clip.start_s
            self._frames = self._decode(track, origin_s, length_s)
        self._next = next(self._frames, None)

    def __enter__(self) -> "_Sound":
        return self

    def __exit__(self, *_: object) -> None:
        if self._source:
            self._source.close()

    def add_stream(self) -> None:
        """Add the track to the container, after that of the video."""
        if self._next is not None:
            rate = self._next[1].sample_rate
            rate = rate if rate in AAC_RATES else DEFAULT_RATE
            self._stream = self._container.add_stream("aac", rate=rate)
            self._resampler = AudioResampler(format="fltp", layout="stereo", rate=rate)

    def write_until(self, t: Fraction | None) -> None:
        """Encode the sound up to `t`, so that the file has both tracks side by side; None: to its end."""
        if self._stream is None:
            return
        while self._next is not None and (t is None or self._next[0] <= t):
            self._encode(self._next[1])
            self._next = next(self._frames, None)
        if t is None:
            self._encode(None)
            self._container.mux(self._stream.encode(None))

    def _encode(self, frame: av.AudioFrame | None) -> None:
        for part in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(part))

    def _decode(
        self, track: AudioStream, start_s: Fraction, length_s: Fraction | None
    ) -> Iterator[tuple[Fraction, av.AudioFrame]]:
        """Yield sound with its times relative to the start of the clip; what lies before and behind it is cut off.

        Packets that do not decode are left out. A track that changes its format ends there.
        """
        first: tuple[object, ...] | None = None
        for frame in _intact_frames(cast(InputContainer, self._source), track):
            if frame.pts is None or frame.time_base is None:
                continue
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
            first = first or form
            if form != first:
                return
            at_s = frame.pts * frame.time_base - start_s
            if length_s is not None and at_s >= length_s:
                return
            if at_s >= 0:
                frame.pts = round(at_s / frame.time_base)
                yield at_s, frame


def _intact_frames(source: InputContainer, track: AudioStream) -> Iterator[av.AudioFrame]:
    packets = source.demux(track)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        frames: list[Any] = []
        with suppress(av.FFmpegError):
            frames = packet.decode()
        yield from frames
