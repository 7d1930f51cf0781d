"""The matting network as an ONNX file."""

from pathlib import Path

import torch

from labeling.matting.background_matting import BackgroundMattingNetwork
from labeling.matting.inputs import KEYPOINT_STRIDE, NAMES
from labeling.matting.keypoint_maps import KEYPOINT_CHANNELS
from labeling.training.block_convolution import with_block_convolutions
from labeling.training.onnx_file import write_onnx


def export_network(network: BackgroundMattingNetwork, path: Path) -> str:
    """Write the network, for batches of any size, and return the SHA-256 of the file."""
    side = network.size.side_px
    channels = {"image": 3, "plate": 3, "coverage": 1, "prior": 1, "motion": 4}
    examples = {
        name: torch.zeros(1, channels[name], side, side)
        if name in channels
        else torch.zeros(1, KEYPOINT_CHANNELS, side // KEYPOINT_STRIDE, side // KEYPOINT_STRIDE)
        for name in NAMES
    }
    return write_onnx(with_block_convolutions(network), examples, ("alpha", "foreground"), path)
