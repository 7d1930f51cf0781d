"""The protocol of refiners."""

import json
from collections.abc import Callable, Sequence
from typing import Protocol, Self, runtime_checkable

from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard

Segment = Callable[[Sequence[Frame]], list[list[Instance]]]
"""Returns the instances of each frame, as `Segmenter.segment` does."""


@runtime_checkable
class Refiner(Protocol):
    """Replaces the masks of instances by better masks of the same people.

    `refine` returns the instances of each frame in the same order; people whom it adds come after them. It changes
    `mask`, and may change `keypoints` and `score`; where it cannot improve a mask, it sets `not_refined` to the reason.
    An empty mask, or one that overlaps little with the mask before, is not accepted: the caller keeps the instance before.

    >>> import cv2, numpy as np
    >>> from dataclasses import replace
    >>> from labeling.structures.masks import Mask
    >>> class FillGaps(StatelessRefiner):
    ...     card = ModelCard(kind="python", name="fill_gaps", weights_sha256="", settings="{}")
    ...
    ...     def refine(self, frames, instances):
    ...         return [[replace(person, mask=self.close(person.mask)) for person in people] for people in instances]
    ...
    ...     def close(self, mask):
    ...         pixels = np.ascontiguousarray(mask.to_array(), dtype=np.uint8)
    ...         return Mask.from_array(cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)))
    >>> isinstance(FillGaps(), Refiner)
    True
    """

    @property
    def card(self) -> ModelCard: ...

    def prepare(self, clip: Clip, segment: Segment) -> "Refiner":
        """Return the refiner to use for this clip: itself, unless it learns from the clip.

        `segment` is the segmenter whose masks are refined. Loaded weights are shared by all clips of the
        process; state is not.
        """
        ...

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]: ...


class StatelessRefiner:
    """Base for refiners that learn nothing from a clip."""

    def prepare(self, clip: Clip, segment: Segment) -> Self:
        return self


def refiners_in(settings: str) -> tuple[str, ...]:
    """Return the labels of the refiners that the settings of a segmenter's card name.

    >>> refiners_in('{"refine": [{"kind": "guided_filter", "name": "color", "weights_sha256": ""}]}')
    ('guided_filter:color',)
    >>> refiners_in("described by a user's factory")
    ()
    """
    try:
        tree = json.loads(settings)
    except ValueError:
        return ()
    listed = tree.get("refine", []) if isinstance(tree, dict) else []
    return tuple(
        refiner_label(ModelCard(one["kind"], one["name"], one["weights_sha256"], "{}")) for one in listed
    )


def refiner_label(card: ModelCard) -> str:
    """Return a short name of a refiner.

    >>> refiner_label(ModelCard("matting", "cpu.onnx", "1f0c22ab93", "{}"))
    'matting:cpu.onnx@1f0c22ab'
    >>> refiner_label(ModelCard("guided_filter", "color", "", "{}"))
    'guided_filter:color'
    """
    weights = f"@{card.weights_sha256[:8]}" if card.weights_sha256 else ""
    return f"{card.kind}:{card.name}{weights}"
