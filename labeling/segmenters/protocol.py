"""The one protocol that a teacher, a student and a pose model share."""

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard


@runtime_checkable
class Segmenter(Protocol):
    """Turns a batch of frames into instances.

    `segment` returns one list per frame, in order; masks have the frame's size, no mask is empty.
    It is called from one thread at a time per object, frames of a clip in order of time.
    """

    @property
    def card(self) -> ModelCard: ...

    def prepare(self, clip: Clip) -> "Segmenter":
        """Return the segmenter to use for this clip: itself, unless it learns from the clip.

        A background model, for example, returns a copy that holds this clip's plate, so that
        loaded weights are shared by every clip of the process and state by none.
        """
        ...

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]: ...


class StatelessSegmenter:
    """Base for segmenters to which every clip is the same."""

    def prepare(self, clip: Clip) -> Self:
        return self
