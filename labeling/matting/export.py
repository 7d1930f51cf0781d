"""The matting network as an ONNX file."""

import hashlib
import io
import warnings
from pathlib import Path

import torch

from labeling.matting.background_matting import BackgroundMattingNetwork
from labeling.matting.inputs import KEYPOINT_STRIDE, NAMES
from labeling.matting.keypoint_maps import KEYPOINT_CHANNELS
from labeling.storage.atomic import storage_errors, write_atomically

OPSET = 17


def export_network(network: BackgroundMattingNetwork, path: Path) -> str:
    """Write the network, for batches of any size, and return the SHA-256 of the file."""
    side = network.size.side_px
    channels = {"image": 3, "plate": 3, "coverage": 1, "prior": 1, "motion": 4}
    examples = [torch.zeros(1, channels[name], side, side) for name in NAMES if name in channels]
    examples.append(torch.zeros(1, KEYPOINT_CHANNELS, side // KEYPOINT_STRIDE, side // KEYPOINT_STRIDE))
    outputs = ("alpha", "foreground")
    content = io.BytesIO()
    with warnings.catch_warnings():
        # it is deprecated, but the newer exporter requires onnxscript; not all constants are folded
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval().cpu(),
            tuple(examples),
            content,  # type: ignore[arg-type]  # this exporter also takes a file object
            input_names=list(NAMES),
            output_names=list(outputs),
            dynamic_axes={name: {0: "batch"} for name in (*NAMES, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    with storage_errors(path):
        write_atomically(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()
