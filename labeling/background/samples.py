"""Sample images of a static camera's clip, from which a background is learned.

The samples depend on the file and the time range alone. A range shorter than `MIN_SPAN_S` is widened
within its video, so that a person who stays for a whole shard is not learned as background. The images
of a folder are taken as samples of one static camera.

Samples have at most `WORKING_HEIGHT` rows, which bounds memory: 60 samples of 16:9 take 93 MB.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from configs.errors import EmptyVideo, ModelOutputWrong, NotAVideo, SourceError, UnsupportedVideo
from labeling.background.looks import MIN_SAMPLES, LookFinder, LookThumbnail
from labeling.runtime.memory import release_memory
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.images import resize_image
from labeling.video.decode import Decoded, decode_clip
from labeling.video.gaps import to_filmed, to_stamped
from labeling.video.probe import probe_video

MIN_SPAN_S = Fraction(120)
"""Shortest stretch of video over which samples are spread, if the video is long enough."""
SEEK_FROM_S = Fraction(5)
"""Samples further apart than this are found by seeking; for nearer ones decoding through is cheaper."""
WORKING_HEIGHT = 540
"""Rows; taller images are reduced."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleStack:
    """Samples of one look of a clip."""

    look: LookThumbnail
    """The median of the samples, with the size of the clip's images; the samples may be smaller."""
    images: NDArray[np.uint8]
    """NxHxWx3."""

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.look.size_hw


def gather_samples(clip: Clip, count: int) -> SampleStack:
    """Read up to `count` samples of a clip into one array: of the look that most of them have.

    Raises:
        SourceError: the clip cannot be read, or has no image.
        ModelOutputWrong: the images of a folder have several sizes.
    """
    return max(gather_looks(clip, count), key=lambda look: len(look.images))


def gather_looks(clip: Clip, count: int) -> tuple[SampleStack, ...]:
    """Read up to `count` samples of a clip, by look.

    Looks of fewer than `MIN_SAMPLES` samples are left out where another one has more.

    Raises:
        SourceError: the clip cannot be read, or has no image.
        ModelOutputWrong: the images of a folder have several sizes.
    """
    finder = LookFinder()
    looks: list[_GrowingStack] = []
    first_hw: tuple[int, int] | None = None
    for image in read_samples(clip, count):
        thumbnail = LookThumbnail.of(image)
        first_hw = first_hw or thumbnail.size_hw
        if not clip.is_temporal:
            check_size(clip, thumbnail.size_hw, first_hw)
        number = finder.find(thumbnail)
        if number == len(looks):
            looks.append(_GrowingStack(np.empty((count, *_working_hw(thumbnail.size_hw), 3), dtype=np.uint8)))
        looks[number].add(image, thumbnail)
    if not looks:
        raise no_image_error(clip)
    release_memory()  # held by up to `count` opened files
    fewest = min(MIN_SAMPLES, max(len(look.thumbnails) for look in looks))
    return tuple(look.finish() for look in looks if len(look.thumbnails) >= fewest)


@dataclass(frozen=True, slots=True, eq=False)
class _GrowingStack:
    """Samples of one look while they are read; the system gives memory only to those that are written."""

    images: NDArray[np.uint8]
    thumbnails: list[LookThumbnail] = field(default_factory=list)

    def add(self, image: RgbImage, thumbnail: LookThumbnail) -> None:
        _, height, width, _ = self.images.shape
        self.images[len(self.thumbnails)] = resize_image(image, (height, width))
        self.thumbnails.append(thumbnail)

    def finish(self) -> SampleStack:
        return SampleStack(LookThumbnail.median_of(self.thumbnails), self.images[: len(self.thumbnails)])


def check_size(clip: Clip, image_hw: tuple[int, int], size_hw: tuple[int, int]) -> None:
    """Raise `ModelOutputWrong` if an image of the clip has another size than its first."""
    if image_hw != size_hw:
        raise ModelOutputWrong(
            f"background: clip of {clip.video_id[:12]} has images of {size_hw[1]}x{size_hw[0]} and of "
            f"{image_hw[1]}x{image_hw[0]} px; a background requires one static camera: use another "
            "segmenter here"
        )


def no_image_error(clip: Clip) -> EmptyVideo:
    return EmptyVideo(
        f"background: clip of {clip.video_id[:12]} ({clip.path or 'folder'}) has no readable image: check it"
    )


def _working_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    height, width = size_hw
    if height <= WORKING_HEIGHT:
        return size_hw
    return WORKING_HEIGHT, max(1, round(width * WORKING_HEIGHT / height))


def read_samples(clip: Clip, count: int) -> Iterator[RgbImage]:
    """Yield up to `count` different images spread evenly over the widened clip, in order of time.

    Unreadable images of a folder are skipped.
    """
    for decoded in _each_once(_decode_spread(clip, count, is_widened=True)):
        with suppress(*_unreadable(clip)):
            yield decoded.to_rgb()


def sample_frames(clip: Clip, count: int) -> Iterator[Frame]:
    """Yield up to `count` different frames spread evenly over the clip, in order of time.

    The clip is not widened: it may be one shot of its video. If it has at most `count` frames, all are
    yielded; unreadable images of a folder are skipped.
    """
    for decoded in _each_once(_decode_spread(clip, count, is_widened=False)):
        with suppress(*_unreadable(clip)):
            yield Frame(
                clip.video_id,
                decoded.pts_ms,
                decoded.to_rgb(),
                name=decoded.name,
                t=decoded.t,
                index=decoded.index,
            )


def _each_once(frames: Iterable[Decoded]) -> Iterator[Decoded]:
    """Leave out a frame that is the one before: several of the asked times may fall on it."""
    last: tuple[Fraction, int | None] | None = None
    for decoded in frames:
        if (decoded.t, decoded.index) != last:
            yield decoded
        last = decoded.t, decoded.index


def _unreadable(clip: Clip) -> tuple[type[SourceError], ...]:
    """Errors of single images in a folder, which sampling reports."""
    return () if clip.is_temporal else (NotAVideo, UnsupportedVideo)


def _decode_spread(clip: Clip, count: int, *, is_widened: bool) -> Iterator[Decoded]:
    """Decode the frames at the middles (widened) or starts of `count` equal parts, or images of a folder."""
    if clip.path is None:
        chosen = np.linspace(0, len(clip.images) - 1, min(count, len(clip.images))).round().astype(int)
        yield from decode_clip(replace(clip, images=tuple(clip.images[i] for i in chosen)))
        return
    duration_s = probe_video(clip.path).duration_s
    if is_widened:
        start_s, end_s = widen_range(clip, duration_s)
        times = [to_stamped(time_s, clip.gaps) for time_s in sample_times(start_s, end_s, count)]
        start_s, end_s = to_stamped(start_s, clip.gaps), to_stamped(end_s, clip.gaps)
    else:
        start_s, end_s = clip.start_s, duration_s if clip.end_s is None else min(clip.end_s, duration_s)
        times = [start_s + (end_s - start_s) * i / count for i in range(count)]
    if times[1] - times[0] > SEEK_FROM_S:
        for time_s in times:
            decoded = next(decode_clip(replace(clip, start_s=time_s, end_s=None)), None)
            if decoded is not None:
                yield decoded
            del decoded
            gc.collect(1)  # the file just closed: see release_memory
    else:
        yield from _pick(decode_clip(replace(clip, start_s=start_s, end_s=end_s)), times)


def sample_times(start_s: Fraction, end_s: Fraction, count: int) -> list[Fraction]:
    """Return the middles of `count` equal parts of a time range, in seconds.

    >>> [float(t) for t in sample_times(Fraction(10), Fraction(18), 4)]
    [11.0, 13.0, 15.0, 17.0]
    """
    part = (end_s - start_s) / count
    return [start_s + part * (2 * i + 1) / 2 for i in range(count)]


def widen_range(clip: Clip, duration_s: Fraction) -> tuple[Fraction, Fraction]:
    """Return the clip's range, or `MIN_SPAN_S` seconds around its middle, within a video of `duration_s`.

    The range is in filmed time: gaps do not count.
    """
    end_s = to_filmed(duration_s if clip.end_s is None else min(clip.end_s, duration_s), clip.gaps)
    first_s, duration_s = to_filmed(clip.start_s, clip.gaps), to_filmed(duration_s, clip.gaps)
    span_s = min(max(end_s - first_s, MIN_SPAN_S), duration_s)
    middle_s = (first_s + end_s) / 2
    start_s = min(max(Fraction(0), middle_s - span_s / 2), duration_s - span_s)
    return start_s, start_s + span_s


def _pick(frames: Iterator[Decoded], times: Sequence[Fraction]) -> Iterator[Decoded]:
    """Yield for each time the first frame from it on, or the last frame."""
    frame: Decoded | None = None
    for time_s in times:
        if frame is None or frame.t < time_s:
            for frame in frames:
                if frame.t >= time_s:
                    break
        if frame is not None:
            yield frame
