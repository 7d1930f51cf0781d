"""One segmenter shared by the threads of a process."""

import math
import threading
from collections.abc import Sequence

from configs.errors import MaskmillError
from labeling.errors import ModelError, ModelOutputWrong
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard


class SerializedSegmenter:
    """A segmenter that shards in several threads share: its calls take turns."""

    def __init__(self, inner: Segmenter, turn: threading.Lock) -> None:
        self._inner = inner
        self._turn = turn

    @property
    def card(self) -> ModelCard:
        return self._inner.card

    def prepare(self, clip: Clip) -> "SerializedSegmenter":
        with self._turn:
            return SerializedSegmenter(self._inner.prepare(clip), self._turn)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """What the segmenter says, checked.

        Raises:
            ModelError: it failed in whatever way, or said what cannot be.
        """
        with self._turn:
            try:
                found = self._inner.segment(frames)
            except MaskmillError:
                raise
            except Exception as exc:  # a network, a driver or a user's own code may raise anything
                raise ModelError(f"{self._name} failed: {type(exc).__name__}: {exc}") from exc
        self._check(frames, found)
        return found

    @property
    def _name(self) -> str:
        return f"{self.card.kind}:{self.card.name}"

    def _check(self, frames: Sequence[Frame], found: Sequence[Sequence[Instance]]) -> None:
        if len(found) != len(frames):
            raise ModelOutputWrong(f"{self._name}: {len(found)} answers for {len(frames)} frames")
        for frame, instances in zip(frames, found, strict=True):
            for instance in instances:
                if instance.mask.size_hw != frame.size_hw:
                    sizes = f"{instance.mask.size_hw} for an image of {frame.size_hw} (height, width)"
                    raise ModelOutputWrong(f"{self._name}: a mask of {sizes}")
                if not all(map(math.isfinite, (instance.score, *instance.box_xywh))):
                    raise ModelOutputWrong(f"{self._name}: score {instance.score}, box {instance.box_xywh}")
                if instance.stability is not None and not 0 <= instance.stability <= 1:
                    raise ModelOutputWrong(
                        f"{self._name}: decided {instance.stability} is no share from 0 to 1"
                    )
