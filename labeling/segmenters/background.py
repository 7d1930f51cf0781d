"""Segmentation of what differs from a static camera's background, without weights.

`plate` compares a frame with an image of the empty scene; `mog2` and `knn` are OpenCV's mixture of
Gaussians (Zivkovic 2004) and nearest neighbors (Zivkovic and van der Heijden 2006). All three learn
from the clip before its first frame is segmented, and not afterwards: a frame's masks depend on the
clip and on the frame, not on the frames in between.

Each look of the camera (day, infrared, another image size) has its own background. A frame that has none of the learned
looks, such as one in the middle of a switch, has no instances. Clocks and other overlays are left out.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ModelError, ModelOutputWrong
from configs.segmenters import BackgroundBlock
from labeling.background.looks import LookThumbnail, closest_look
from labeling.background.overlays import Overlays, find_overlays
from labeling.background.plate import Stack, color_distance, learn_plate
from labeling.background.samples import SampleStack, gather_looks
from labeling.background.subtraction import Change, clean_mask, score_component, subtract_plate
from labeling.runtime.memory import release_memory
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.images import resize_image
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoolArray, Mask
from labeling.structures.probability_maps import find_components, resize_map

KNN_FROZEN = 1e-8
"""Learning rate at which OpenCV's KNN stops; at 0 it goes on (a division by log(1 - rate))."""
KNN_SETTLE = 4
"""Every n-th sample is shown again, to use up the updates that KNN has scheduled."""
FOREGROUND_LABEL = 255
"""Foreground in the output of OpenCV's subtractors; a shadow is 127."""

Detector = Callable[[RgbImage], Change]


@dataclass(frozen=True, slots=True, eq=False)
class _LearnedLook:
    """The background of one look."""

    look: LookThumbnail
    working_hw: tuple[int, int]
    detect: Detector
    overlays: Overlays


@dataclass(frozen=True, slots=True, eq=False)
class _LearnedBackground:
    """The backgrounds of a clip."""

    looks: tuple[_LearnedLook, ...]
    is_video: bool

    def look_of(self, frame: Frame) -> _LearnedLook | None:
        """Return the look of a frame; None: it has none of them.

        Raises:
            ModelOutputWrong: an image of a folder has another size.
        """
        thumbnail = LookThumbnail.of(frame.rgb)
        found = closest_look(thumbnail, [one.look for one in self.looks])
        if found is None and not self.is_video and frame.size_hw != self.looks[0].look.size_hw:
            (height, width), (learned_height, learned_width) = frame.size_hw, self.looks[0].look.size_hw
            raise ModelOutputWrong(
                f"background: frame {frame.name or frame.key} of {frame.video_id[:12]} is "
                f"{width}x{height} px, the learned background is {learned_width}x{learned_height}; "
                "it requires one static camera: use another segmenter here"
            )
        return None if found is None else self.looks[found]


class BackgroundSegmenter:
    """Instances are the connected regions that differ from the background of the clip's look."""

    def __init__(self, block: BackgroundBlock, *, learned: _LearnedBackground | None = None) -> None:
        self._block = block
        self._learned = learned

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "method", "refine"})
        return ModelCard(
            kind=self._block.kind,
            name=self._block.method,
            weights_sha256="",
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            sees_mirrored=False,
        )

    def prepare(self, clip: Clip) -> "BackgroundSegmenter":
        """Learn the clip's background; deterministic for a file and a time range."""
        looks = tuple(
            self._learn_look(samples) for samples in _latest_samples.gather(clip, self._block.samples)
        )
        release_memory()  # learning takes three times the memory of the samples
        return BackgroundSegmenter(self._block, learned=_LearnedBackground(looks, clip.is_temporal))

    def _learn_look(self, samples: SampleStack) -> _LearnedLook:
        lumas = np.array(
            [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in samples.images], dtype=np.uint8
        )
        working_hw = samples.images.shape[1], samples.images.shape[2]
        return _LearnedLook(samples.look, working_hw, self._learn(samples.images), find_overlays(lumas))

    def _learn(self, samples: Stack) -> Detector:
        min_difference = self._block.min_difference
        if self._block.method == "plate":
            plate = learn_plate(samples, min_difference=min_difference, close_px=self._close_px(samples[0]))
            return lambda rgb: subtract_plate(rgb, plate, min_difference=min_difference)
        learn = _learn_mog2 if self._block.method == "mog2" else _learn_knn
        return learn(samples, min_difference=min_difference)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame, largest instance first; scores as in `score_component`."""
        if self._learned is None:
            raise ModelError(
                "background: nothing is learned yet; call prepare(clip) and use the segmenter it returns"
            )
        return [self._segment_frame(frame, self._learned) for frame in frames]

    def _segment_frame(self, frame: Frame, learned: _LearnedBackground) -> list[Instance]:
        look = learned.look_of(frame)
        if look is None:
            return []
        change = look.detect(resize_image(frame.rgb, look.working_hw))
        change = replace(change, foreground=look.overlays.remove(change.foreground))
        parts = find_components(
            look.overlays.restore(clean_mask(change, close_px=self._close_px(change.ratio))),
            min_area=self._block.min_area,
            min_aspect_ratio=self._block.min_aspect_ratio,
        )
        people = [part for part in parts if not look.overlays.is_text(part)]
        return [_to_instance(part, change, look.look.size_hw) for part in people]

    def _close_px(self, image: NDArray[Any]) -> int:
        return max(1, round(self._block.close * image.shape[0]))


def _to_instance(part: BoolArray, change: Change, size_hw: tuple[int, int]) -> Instance:
    mask = Mask.from_array(resize_map(part.astype(np.float32), size_hw) > 0.5)  # noqa: PLR2004 - half inside
    return Instance(mask, score_component(part, change.ratio), mask.box_xywh)


def _learn_mog2(samples: Stack, *, min_difference: float) -> Detector:
    model = cv2.createBackgroundSubtractorMOG2(history=len(samples), detectShadows=True)
    for sample in samples:
        model.apply(sample)
    background = model.getBackgroundImage()
    return lambda rgb: _to_change(rgb, model.apply(rgb, learningRate=0), background, min_difference)


def _learn_knn(samples: Stack, *, min_difference: float) -> Detector:
    cv2.setRNGSeed(0)  # it keeps samples at random; the state belongs to this thread
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
    """The samples gathered last, shared by the teacher and the student of a clip."""

    def __init__(self) -> None:
        self._key: tuple[Clip, int] | None = None
        self._samples: tuple[SampleStack, ...] | None = None
        self._lock = threading.Lock()

    def gather(self, clip: Clip, count: int) -> tuple[SampleStack, ...]:
        with self._lock:
            if self._samples is None or self._key != (clip, count):
                self._samples = None  # never hold the samples of two clips
                self._samples = gather_looks(clip, count)
                self._key = (clip, count)
            return self._samples


_latest_samples = _LatestSamples()
