"""The mask of all people in an image, by a segmenter or by a network that was just trained."""

from typing import TYPE_CHECKING

from scipy.special import expit

from configs.categories import PERSON
from configs.segmenters import CustomNetworkBlock
from labeling.segmenters.custom_network import prepare_input
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.masks import Mask, union_masks
from labeling.structures.probability_maps import instances_from_map, resize_map
from labeling.students.scores import PersonMask

if TYPE_CHECKING:
    from torch import nn


def mask_of_segmenter(segmenter: Segmenter) -> PersonMask:
    """Return a function that takes the union of a segmenter's people."""

    def find(rgb: RgbImage) -> Mask:
        size_hw = (rgb.shape[0], rgb.shape[1])
        [found] = segmenter.segment([Frame("", None, rgb, index=0)])
        return union_masks([one.mask for one in found if one.category == PERSON], size_hw)

    return find


def mask_of_network(network: "nn.Module", block: CustomNetworkBlock) -> PersonMask:
    """Return a function that runs a network of torch exactly as a segmenter runs its ONNX file."""
    import torch

    def find(rgb: RgbImage) -> Mask:
        size_hw = (rgb.shape[0], rgb.shape[1])
        with torch.inference_mode():
            logits = network(torch.from_numpy(prepare_input(rgb, block))).numpy()
        probability = resize_map(expit(logits[0, 0]), size_hw)
        people = instances_from_map(probability, mask_threshold=block.mask_threshold, min_area=block.min_area)
        return union_masks([one.mask for one in people], size_hw)

    return find
