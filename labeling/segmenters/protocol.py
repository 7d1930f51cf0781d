"""The protocol of teachers, students and pose models."""

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoxXywh


@runtime_checkable
class Segmenter(Protocol):
    """Turns a batch of frames into instances.

    `segment` returns one list per frame, in order. Masks have the frame's size and are not empty. It
    is called from one thread at a time per object, with the frames of a clip in order of time.

    >>> from labeling.structures.masks import Mask
    >>> class WholeImage(StatelessSegmenter):
    ...     card = ModelCard(kind="python", name="whole_image", weights_sha256="", settings="{}")
    ...
    ...     def segment(self, frames):
    ...         masks = [Mask.from_array(frame.rgb.any(axis=2)) for frame in frames]
    ...         return [[Instance(mask, score=1.0, box_xywh=mask.box_xywh)] for mask in masks]
    >>> isinstance(WholeImage(), Segmenter)
    True
    """

    @property
    def card(self) -> ModelCard: ...

    def prepare(self, clip: Clip) -> "Segmenter":
        """Return the segmenter to use for this clip: itself, unless it learns from the clip.

        A background model, for example, returns a copy with the plate of this clip. Loaded weights are
        shared by all clips of the process; state is not.
        """
        ...

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]: ...


@runtime_checkable
class BoxSegmenter(Protocol):
    """A segmenter that can also look for a person in a given box, where its own detector found none."""

    def segment_boxes(self, frame: Frame, boxes_xywh: Sequence[BoxXywh]) -> list[Instance | None] | None:
        """Return the person in each box, None for one that shows none; None alone: it cannot look into boxes."""
        ...


@runtime_checkable
class NearSegmenter(Protocol):
    """A segmenter that can leave out what is far from given boxes, in less time."""

    def segment_near(
        self, frames: Sequence[Frame], boxes_xywh: Sequence[Sequence[BoxXywh]]
    ) -> list[list[Instance]] | None:
        """Return, for each frame, the instances of `segment` near its boxes; None: it cannot leave anything out.

        Instances that do not touch a box may be absent, or be there although `segment` takes them for another's part.
        """
        ...


class StatelessSegmenter:
    """Base for segmenters that learn nothing from a clip."""

    def prepare(self, clip: Clip) -> Self:
        return self
