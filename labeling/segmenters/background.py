"""What differs from a static camera's background: a segmenter that needs no weights.

`plate` compares a frame with an image of the empty scene; `mog2` and `knn` are OpenCV's mixture of
Gaussians (Zivkovic 2004) and nearest neighbors (Zivkovic and van der Heijden 2006). All three learn
from the clip before its first frame is segmented and never again: a frame's masks depend on the clip
and on the frame, not on the frames between.

What is learnt depends on the file and the time range alone. A range shorter than `MIN_SPAN_S` is
widened within its video, so that somebody who stays for a whole shard is not taken for furniture.
The images of a folder are taken as samples of one static camera.

Images are worked on at `WORKING_HEIGHT` rows at most, which bounds memory: 60 samples of 16:9 take
93 MB, three times that while the plate is learnt.
"""

import gc
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.segmenters import BackgroundBlock
from labeling.background.plate import Stack, color_distance, learn_plate
from labeling.background.subtraction import Change, clean_mask, score_component, subtract_plate
from labeling.errors import EmptyVideo, ModelError, ModelOutputWrong, NotAVideo, UnsupportedVideo
from labeling.runtime.memory import release_memory
from labeling.structures.components import find_components
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoolArray, Mask
from labeling.video.decode import Decoded, decode_clip
from labeling.video.probe import probe_video

MIN_SPAN_S = Fraction(120)
"""Seconds of video that the samples are spread over at least, where the video is long enough."""
SEEK_FROM_S = Fraction(5)
"""Samples further apart than this are sought; nearer ones cost less to decode through."""
WORKING_HEIGHT = 540
"""Rows; taller images are reduced before, their masks enlarged after."""
KNN_FROZEN = 1e-8
"""OpenCV's KNN goes on learning at rate 0 (a division by log(1 - rate)); this rate stops it."""
KNN_SETTLE = 4
"""One sample in so many is shown again to use up the updates that KNN still has scheduled."""
FOREGROUND_LABEL = 255
"""What OpenCV's subtractors call foreground; a shadow is 127."""

Detector = Callable[[RgbImage], Change]
Samples = tuple[tuple[int, int], Stack]
"""The images' (height, width), and the samples, which may be smaller."""


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """What one clip taught: the images' size, the size worked at, and how changes are found."""

    size_hw: tuple[int, int]
    working_hw: tuple[int, int]
    detect: Detector


class BackgroundSegmenter:
    """Instances are the connected regions that differ from the clip's background."""

    def __init__(self, block: BackgroundBlock, *, learnt: _Learnt | None = None) -> None:
        self._block = block
        self._learnt = learnt

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "method"})
        return ModelCard(
            kind=self._block.kind,
            name=self._block.method,
            weights_sha256="",
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            sees_mirrored=False,
        )

    def prepare(self, clip: Clip) -> "BackgroundSegmenter":
        """Learn the clip's background; deterministic for a file and a time range.

        Raises:
            SourceError: the clip cannot be read, or has no image.
            ModelOutputWrong: its images have several sizes.
        """
        size_hw, samples = _latest_samples.gather(clip, self._block.samples)
        detect = self._learn(samples)
        release_memory()  # what learning took, three times the samples
        return BackgroundSegmenter(self._block, learnt=_Learnt(size_hw, _hw(samples[0]), detect))

    def _learn(self, samples: Stack) -> Detector:
        block = self._block
        if block.method == "plate":
            plate = learn_plate(
                samples, min_difference=block.min_difference, close_px=self._close_px(samples[0])
            )
            return lambda rgb: subtract_plate(rgb, plate, min_difference=block.min_difference)
        learn = _learn_mog2 if block.method == "mog2" else _learn_knn
        return learn(samples, min_difference=block.min_difference)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """One list per frame, largest instance first; scores as in `score_component`.

        Raises:
            ModelError: `prepare` was not called.
            ModelOutputWrong: a frame's size is not the learnt background's.
        """
        if self._learnt is None:
            raise ModelError(
                "background: nothing learnt yet; call prepare(clip) and use the segmenter it returns"
            )
        return [self._segment_one(frame, self._learnt) for frame in frames]

    def _segment_one(self, frame: Frame, learnt: _Learnt) -> list[Instance]:
        if frame.size_hw != learnt.size_hw:
            raise ModelOutputWrong(
                f"background: frame {frame.name or frame.t_ms} of {frame.video_id[:12]} is "
                f"{_show(frame.size_hw)}, the background learnt is {_show(learnt.size_hw)}; "
                "it wants one static camera: use another segmenter here"
            )
        change = learnt.detect(_reduce(frame.rgb, learnt.working_hw))
        cleaned = clean_mask(change, close_px=self._close_px(change.ratio))
        parts = find_components(
            cleaned, min_area=self._block.min_area, min_aspect_ratio=self._block.min_aspect_ratio
        )
        return [_to_instance(part, change, learnt.size_hw) for part in parts]

    def _close_px(self, image: NDArray[Any]) -> int:
        return max(1, round(self._block.close * image.shape[0]))


def _to_instance(part: BoolArray, change: Change, size_hw: tuple[int, int]) -> Instance:
    mask = Mask.from_array(_enlarge(part, size_hw))
    return Instance(mask, score_component(part, change.ratio), mask.box_xywh)


def _learn_mog2(samples: Stack, *, min_difference: float) -> Detector:
    model = cv2.createBackgroundSubtractorMOG2(history=len(samples), detectShadows=True)
    for sample in samples:
        model.apply(sample)
    background = model.getBackgroundImage()
    return lambda rgb: _to_change(rgb, model.apply(rgb, learningRate=0), background, min_difference)


def _learn_knn(samples: Stack, *, min_difference: float) -> Detector:
    cv2.setRNGSeed(0)  # it keeps samples at random; the state is this thread's
    model = cv2.createBackgroundSubtractorKNN(history=len(samples), detectShadows=True)
    for sample in samples:
        model.apply(sample)
    for sample in samples[::KNN_SETTLE]:
        model.apply(sample, learningRate=KNN_FROZEN)
    background = model.getBackgroundImage()
    return lambda rgb: _to_change(rgb, model.apply(rgb, learningRate=KNN_FROZEN), background, min_difference)


def _to_change(
    rgb: RgbImage, labels: NDArray[Any], background: NDArray[Any], min_difference: float
) -> Change:
    return Change(labels == FOREGROUND_LABEL, color_distance(rgb, background) / np.float32(min_difference))


class _LatestSamples:
    """The samples gathered last: teacher and student of one clip learn from the same."""

    def __init__(self) -> None:
        self._key: tuple[Clip, int] | None = None
        self._samples: Samples | None = None
        self._turn = threading.Lock()

    def gather(self, clip: Clip, count: int) -> "Samples":
        with self._turn:
            if self._samples is None or self._key != (clip, count):
                self._samples = None  # two clips' samples are never held at once
                self._samples = _gather_samples(clip, count)
                self._key = (clip, count)
            return self._samples


_latest_samples = _LatestSamples()


def _gather_samples(clip: Clip, count: int) -> Samples:
    """The images' size, and the samples at working size as one array."""
    size_hw = (0, 0)
    stack: Stack = np.empty((0, 0, 0, 3), dtype=np.uint8)
    number = 0
    for number, image in enumerate(read_samples(clip, count), start=1):
        if number == 1:
            size_hw = _hw(image)
            stack = np.empty((count, *_working_hw(size_hw), 3), dtype=np.uint8)
        elif _hw(image) != size_hw:
            raise ModelOutputWrong(
                f"background: clip of {clip.video_id[:12]} has images of {_show(size_hw)} and of "
                f"{_show(_hw(image))}; it wants one static camera: use another segmenter here"
            )
        stack[number - 1] = _reduce(image, _working_hw(size_hw))
    if not number:
        raise EmptyVideo(f"background: clip of {clip.video_id[:12]} ({clip.path or 'folder'}) has no image")
    release_memory()  # of up to `count` opened files
    return size_hw, stack[:number]


def _hw(image: NDArray[Any]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _show(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[1]}x{size_hw[0]}"


def _working_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    height, width = size_hw
    if height <= WORKING_HEIGHT:
        return size_hw
    return WORKING_HEIGHT, max(1, round(width * WORKING_HEIGHT / height))


def sample_times(start_s: Fraction, end_s: Fraction, count: int) -> list[Fraction]:
    """Middles of `count` equal parts of a time range, in seconds."""
    part = (end_s - start_s) / count
    return [start_s + part * (2 * i + 1) / 2 for i in range(count)]


def widen_range(clip: Clip, duration_s: Fraction) -> tuple[Fraction, Fraction]:
    """The clip's range, or `MIN_SPAN_S` seconds around its middle, within a video of `duration_s`."""
    end_s = duration_s if clip.end_s is None else min(clip.end_s, duration_s)
    span_s = min(max(end_s - clip.start_s, MIN_SPAN_S), duration_s)
    middle_s = (clip.start_s + end_s) / 2
    start_s = min(max(Fraction(0), middle_s - span_s / 2), duration_s - span_s)
    return start_s, start_s + span_s


def read_samples(clip: Clip, count: int) -> Iterator[RgbImage]:
    """Images spread evenly over the clip, in order of time.

    Raises:
        SourceError: the video, or an image of the folder, cannot be read.
    """
    if clip.path is None:
        chosen = np.linspace(0, len(clip.images) - 1, min(count, len(clip.images))).round().astype(int)
        clip = replace(clip, images=tuple(clip.images[i] for i in chosen))
        for decoded_image in decode_clip(clip):
            with suppress(NotAVideo, UnsupportedVideo):  # sampling says so, once
                yield decoded_image.to_rgb()
        return
    start_s, end_s = widen_range(clip, probe_video(clip.path).duration_s)
    times = sample_times(start_s, end_s, count)
    if times[1] - times[0] > SEEK_FROM_S:
        for time_s in times:
            decoded = next(decode_clip(replace(clip, start_s=time_s, end_s=None)), None)
            if decoded is not None:
                yield decoded.to_rgb()
            del decoded
            gc.collect(1)  # the file just closed: see release_memory
    else:
        yield from _pick(decode_clip(replace(clip, start_s=start_s, end_s=end_s)), times)


def _pick(frames: Iterator[Decoded], times: Sequence[Fraction]) -> Iterator[RgbImage]:
    """The first frame from each time on, or the last there is."""
    frame: Decoded | None = None
    for time_s in times:
        if frame is None or frame.t < time_s:
            for frame in frames:
                if frame.t >= time_s:
                    break
        if frame is not None:
            yield frame.to_rgb()


def _reduce(rgb: RgbImage, working_hw: tuple[int, int]) -> RgbImage:
    if rgb.shape[:2] == working_hw:
        return np.ascontiguousarray(rgb)
    return cv2.resize(rgb, working_hw[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)


def _enlarge(mask: BoolArray, size_hw: tuple[int, int]) -> BoolArray:
    if mask.shape == size_hw:
        return mask
    big = cv2.resize(mask.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    enlarged: BoolArray = np.asarray(big > 0.5)  # noqa: PLR2004 - half way between out and in
    return enlarged
