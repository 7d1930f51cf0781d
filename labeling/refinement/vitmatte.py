"""ViTMatte as a refiner: a mask's contour becomes that of an alpha, within a band around it.

Yao et al., "ViTMatte: Boosting Image Matting with Pretrained Plain Vision Transformers", 2023.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.refinement import VitMatteBlock
from labeling.refinement.mask_by_mask import MaskByMaskRefiner
from labeling.refinement.pretrained import load_network
from labeling.structures.frames import RgbImage
from labeling.structures.instances import ModelCard
from labeling.structures.masks import BoolArray, Mask

BACKGROUND, UNKNOWN, PERSON = 0, 128, 255
"""Values of a trimap."""
_MIN_BAND_PX = 2

Trimap = NDArray[np.uint8]


class VitMatteRefiner(MaskByMaskRefiner):
    """A network on `device` that looks at a crop around each mask."""

    def __init__(self, block: VitMatteBlock, *, device: str) -> None:
        self._block = block
        self._network = load_network(block, _classes, device=device, expected="a model of ViTMatte")

    @property
    def card(self) -> ModelCard:
        return self._network.card

    def refine_mask(self, rgb: RgbImage, mask: Mask, others: BoolArray) -> Mask:
        x, y, w, h = (int(side) for side in mask.box_xywh)
        band = max(_MIN_BAND_PX, round(self._block.band * max(w, h)))
        margin = band + round(self._block.margin * max(w, h))
        crop = (
            slice(max(0, y - margin), y + h + margin),
            slice(max(0, x - margin), x + w + margin),
        )
        inside = mask.to_array()
        trimap = make_trimap(inside[crop], others[crop], band_px=band)
        pixels = np.zeros_like(inside, dtype=np.bool_)
        pixels[crop] = self._decide(rgb[crop], trimap)
        return Mask.from_array(pixels)

    def _decide(self, rgb: RgbImage, trimap: Trimap) -> BoolArray:
        """Return the pixels of the person in a crop."""
        height, width = trimap.shape
        scale = min(1.0, self._block.side_px / max(height, width))
        size_wh = max(1, round(scale * width)), max(1, round(scale * height))
        alpha = self._matte(
            cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA),
            cv2.resize(trimap, size_wh, interpolation=cv2.INTER_NEAREST),
        )
        sized = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
        chosen: BoolArray = np.where(
            trimap == UNKNOWN, sized > self._block.mask_threshold, trimap == PERSON
        ).astype(np.bool_)
        return chosen

    def _matte(self, rgb: NDArray[Any], trimap: NDArray[Any]) -> NDArray[np.float32]:
        """Return the alpha of an image; the network sees it in the upper left of a padded one."""
        inputs = self._network.processor(
            images=[np.ascontiguousarray(rgb)],
            trimaps=[trimap],
            return_tensors="pt",
            input_data_format="channels_last",
        )
        alphas = self._network.infer(inputs).alphas
        height, width = trimap.shape
        return np.asarray(alphas[0, 0, :height, :width].float().cpu().numpy(), dtype=np.float32)


def make_trimap(inside: BoolArray, others: BoolArray, *, band_px: int) -> Trimap:
    """Return the trimap of a mask, HxW: unknown within `band_px` of its contour, but not where others are.

    >>> inside = np.zeros((1, 9), dtype=np.bool_)
    >>> inside[:, :5] = True
    >>> others = np.zeros_like(inside)
    >>> others[:, 6:] = True
    >>> make_trimap(inside, others, band_px=2).tolist()
    [[255, 255, 255, 128, 128, 128, 0, 0, 0]]
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band_px + 1, 2 * band_px + 1))
    mask = inside.astype(np.uint8)
    trimap = np.full(inside.shape, BACKGROUND, dtype=np.uint8)
    near = cv2.dilate(mask, kernel) > 0
    trimap[near & ~(others & ~inside)] = UNKNOWN
    trimap[cv2.erode(mask, kernel) > 0] = PERSON  # beyond the border of the image the person goes on
    return trimap


def _classes(config: Any) -> tuple[Any, Any]:
    import transformers as t

    return {"vitmatte": (t.VitMatteForImageMatting, t.VitMatteImageProcessor)}[config.model_type]
