"""Base for refiners that look at one mask and its image at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from labeling.refinement.protocol import StatelessRefiner
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask


class MaskByMaskRefiner(StatelessRefiner, ABC):
    """Refines each mask alone; a person does not grow into the mask of another."""

    @abstractmethod
    def refine_mask(self, rgb: RgbImage, mask: Mask, others: BoolArray) -> Mask:
        """Return the better mask; `others` are the pixels of other people's masks, HxW."""

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [
            self._refine_frame(frame.rgb, people) for frame, people in zip(frames, instances, strict=True)
        ]

    def _refine_frame(self, rgb: RgbImage, people: Sequence[Instance]) -> list[Instance]:
        masks = [person.mask.to_array() for person in people]
        taken = np.sum(masks, axis=0, dtype=np.int32) if masks else np.zeros(rgb.shape[:2], dtype=np.int32)
        return [
            replace(person, mask=self.refine_mask(rgb, person.mask, taken > mask)) if person.mask else person
            for person, mask in zip(people, masks, strict=True)
        ]
