"""The pose-mask network as an ONNX file."""

from pathlib import Path

import torch

from labeling.pose_masks.inputs import NAMES
from labeling.pose_masks.unet import POSE_CHANNELS, PoseMaskNetwork
from labeling.training.onnx_file import write_onnx


def export_pose_masks(network: PoseMaskNetwork, path: Path) -> str:
    """Write the network, for batches of any size and with 16-bit weights; return the SHA-256 of the file."""
    side = network.size.side_px
    shapes = ((1, 3, side, side), (1, POSE_CHANNELS, side // 2, side // 2), (1, 1, side, side))
    examples = {name: torch.zeros(shape) for name, shape in zip(NAMES, shapes, strict=True)}
    return write_onnx(network, examples, ("logits",), path, half=True)
