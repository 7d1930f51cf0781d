"""A segmenter shared by the threads of a process."""

import math
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from configs.errors import MaskmillError, ModelError, ModelOutputWrong
from labeling.segmenters.protocol import BoxSegmenter, NearSegmenter, Segmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoxXywh

T = TypeVar("T")


class SerializedSegmenter:
    """Serializes the calls of several threads to one segmenter, and checks its output."""

    def __init__(self, inner: Segmenter, lock: threading.Lock) -> None:
        self._inner = inner
        self._lock = lock

    @property
    def card(self) -> ModelCard:
        return self._inner.card

    def prepare(self, clip: Clip) -> "SerializedSegmenter":
        with self._lock:
            return SerializedSegmenter(self._inner.prepare(clip), self._lock)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment the frames and check the result.

        Raises:
            ModelError: the segmenter failed, or its output is invalid.
        """
        found = self._run(lambda: self._inner.segment(frames))
        check_output(self._name, frames, found)
        return found

    def segment_near(
        self, frames: Sequence[Frame], boxes_xywh: Sequence[Sequence[BoxXywh]]
    ) -> list[list[Instance]] | None:
        """Return what is near the boxes, if the segmenter can."""
        inner = self._inner
        if not isinstance(inner, NearSegmenter):
            return None
        found = self._run(lambda: inner.segment_near(frames, boxes_xywh))
        if found is not None:
            check_output(self._name, frames, found)
        return found

    def segment_boxes(self, frame: Frame, boxes_xywh: Sequence[BoxXywh]) -> list[Instance | None] | None:
        """Return the person in each box; None: the segmenter cannot look into boxes."""
        if not isinstance(self._inner, BoxSegmenter):
            return None
        with self._lock:
            return self._inner.segment_boxes(frame, boxes_xywh)

    def _run(self, call: Callable[[], T]) -> T:
        with self._lock:
            try:
                return call()
            except MaskmillError:
                raise
            except Exception as exc:  # a network, a driver or a user's code can raise anything
                raise ModelError(f"{self._name} failed: {type(exc).__name__}: {exc}") from exc

    @property
    def _name(self) -> str:
        return f"{self.card.kind}:{self.card.name}"


def check_output(name: str, frames: Sequence[Frame], found: Sequence[Sequence[Instance]]) -> None:
    """Raise `ModelOutputWrong` if there is not one result per frame, or a mask, score or box is invalid."""
    if len(found) != len(frames):
        raise ModelOutputWrong(f"{name}: {len(found)} results for {len(frames)} frames")
    for frame, instances in zip(frames, found, strict=True):
        for instance in instances:
            if instance.mask.size_hw != frame.size_hw:
                sizes = f"{instance.mask.size_hw} for an image of {frame.size_hw} (height, width)"
                raise ModelOutputWrong(f"{name}: a mask of {sizes}")
            if not all(map(math.isfinite, (instance.score, *instance.box_xywh))):
                raise ModelOutputWrong(f"{name}: score {instance.score}, box {instance.box_xywh}")
            if instance.stability is not None and not 0 <= instance.stability <= 1:
                raise ModelOutputWrong(f"{name}: stability {instance.stability} is not a share from 0 to 1")
