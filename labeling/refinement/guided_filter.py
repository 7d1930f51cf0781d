"""The guided filter as a refiner: a mask's contour moves to the edges of the image."""

import json

import numpy as np

from configs.refinement import GuidedFilterBlock
from labeling.matting.guided_filter import guided_filter
from labeling.refinement.mask_by_mask import MaskByMaskRefiner
from labeling.structures.frames import RgbImage
from labeling.structures.instances import ModelCard
from labeling.structures.masks import INSIDE_FROM, BoolArray, Mask


class GuidedFilterRefiner(MaskByMaskRefiner):
    """Filters each mask with the image as guide; a person does not grow into the mask of another."""

    def __init__(self, block: GuidedFilterBlock) -> None:
        self._block = block

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "guide"})
        return ModelCard(self._block.kind, self._block.guide, "", json.dumps(settings, sort_keys=True))

    def refine_mask(self, rgb: RgbImage, mask: Mask, others: BoolArray) -> Mask:
        """Filter a mask in a crop around it."""
        x, y, w, h = (int(side) for side in mask.box_xywh)
        radius_px = max(1, round(self._block.radius * max(w, h)))
        margin = 2 * radius_px  # farther away the result is 0
        rows = slice(max(0, y - margin), y + h + margin)
        columns = slice(max(0, x - margin), x + w + margin)
        inside = mask.to_array()[rows, columns]
        guide = rgb[rows, columns].astype(np.float64) / 255
        if self._block.guide == "gray":
            guide = guide @ np.array([0.299, 0.587, 0.114])
        filtered = guided_filter(guide, inside.astype(np.float64), radius_px, self._block.eps)
        refined = np.zeros(mask.size_hw, dtype=np.bool_)
        refined[rows, columns] = (filtered > INSIDE_FROM) & (inside | ~others[rows, columns])
        return Mask.from_array(refined)
