"""A trained student as ONNX files of 32-bit and of 8-bit numbers, and a check that they say what the network says."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from configs.errors import ExtraMissing, ModelOutputWrong
from configs.segmenters import CustomNetworkBlock
from configs.student_training import StudentTraining
from labeling.segmenters.network_files import open_network
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.students.files import INT8, NETWORK, WEIGHTS
from labeling.students.frame_store import FrameStore, TrainingFrames
from labeling.students.samples import MEAN, STD, normalize
from labeling.students.train import save_weights
from labeling.training.onnx_file import write_onnx

INPUT, OUTPUT = "image", "logits"
CHECKED = 16
"""Frames on which the exported network is compared with the trained one."""
LEAST_IOU = 0.99
"""Smallest IoU of the masks of both on all these frames together."""


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """How an ONNX file differs from the network it was made from."""

    largest_difference: float
    """Of the logits of a pixel."""
    mask_iou: float
    """Of the masks of all frames together."""


@dataclass(frozen=True, slots=True)
class ExportedStudent:
    """The files of a trained student."""

    block: CustomNetworkBlock
    """Uses network.onnx."""
    int8_block: CustomNetworkBlock
    check: ExportCheck


def write_student(
    network: nn.Module, settings: StudentTraining, frames: TrainingFrames, folder: Path
) -> ExportedStudent:
    """Write weights, ONNX file and int8 file, and compare the ONNX file with the network.

    Raises:
        ExtraMissing, ModelOutputWrong, StorageError: as `quantize_student` and `check_export`.
    """
    size_hw, path, int8 = settings.input_hw, folder / NETWORK, folder / INT8
    save_weights(network, folder / WEIGHTS)
    block = student_block(path, export_student(network, size_hw, path), size_hw)
    check = check_export(network, path, frames.val if frames.val.count else frames.train)
    digest = quantize_student(path, int8, _calibration_frames(frames, settings))
    return ExportedStudent(block, student_block(int8, digest, size_hw), check)


def student_block(path: Path, digest: str, input_hw: tuple[int, int]) -> CustomNetworkBlock:
    """Return the config block that uses an exported student."""
    return CustomNetworkBlock(
        kind="onnx", path=path, sha256=digest, input_hw=input_hw, mean=MEAN, std=STD, output="logits"
    )


def export_student(network: nn.Module, input_hw: tuple[int, int], path: Path) -> str:
    """Write the network for batches of any size; return the SHA-256 of the file."""
    return write_onnx(network, {INPUT: torch.zeros(1, 3, *input_hw)}, (OUTPUT,), path)


def check_export(network: nn.Module, path: Path, frames: FrameStore) -> ExportCheck:
    """Compare an ONNX file with the network it was made from, on some frames.

    Raises:
        ModelOutputWrong: their masks differ.
    """
    exported, largest, common, joint = open_network("onnx", path), 0.0, 0, 0
    for index in _spread(frames.count, CHECKED):
        image = normalize(frames.read(index)[0])[None]
        with torch.no_grad():
            own = network(torch.from_numpy(image)).numpy()
        other = exported.run(image)[0].astype(np.float32)
        largest = max(largest, float(np.abs(own - other).max()))
        common += int(((own > 0) & (other > 0)).sum())
        joint += int(((own > 0) | (other > 0)).sum())
    found = ExportCheck(largest, common / joint if joint else 1.0)
    if found.mask_iou < LEAST_IOU:
        raise ModelOutputWrong(
            f"{path.name} does not say what the trained network says: their masks have an IoU of {found.mask_iou:.3f} "
            f"(at least {LEAST_IOU}), their logits differ by up to {found.largest_difference:.3g}: the network has an "
            "operation that ONNX does otherwise"
        )
    return found


def _calibration_frames(
    frames: TrainingFrames, settings: StudentTraining
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield frames as the network takes them, of the dataset and of the base in the share of the training."""
    of_base = round(settings.calibration_frames * settings.base_share) if frames.base else 0
    stores = ((frames.train, settings.calibration_frames - of_base), (frames.base, of_base))
    for store, count in stores:
        if store is None:
            continue
        for index in _spread(store.count, count):
            yield {INPUT: normalize(store.read(index)[0])[None]}


def quantize_student(path: Path, target: Path, inputs: Iterator[dict[str, NDArray[np.float32]]]) -> str:
    """Write an int8 copy of an ONNX file; return its SHA-256.

    Weights are int8 for each channel, activations uint8 with the ranges that the inputs, arrays by name, give.

    Raises:
        ExtraMissing: `onnx`, which the quantizing tools require, is not installed.
        StorageError: the file cannot be written.
    """
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as exc:
        raise ExtraMissing(
            f"quantizing requires {exc.name}, which is not installed: pip install 'maskmill[student]'"
        ) from exc
    with storage_errors(target, option="--to"), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            quantized,
            _CalibrationInputs(inputs),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        content = quantized.read_bytes()
        write_atomically(target, content)
    return sha256(content).hexdigest()


class _CalibrationInputs:
    """Gives inputs one at a time, in the form that onnxruntime asks for."""

    def __init__(self, inputs: Iterator[dict[str, NDArray[np.float32]]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, Any] | None:
        return next(self._inputs, None)


def _spread(total: int, count: int) -> list[int]:
    """Return `count` positions in order, evenly spread over all.

    >>> _spread(10, 4), _spread(2, 4)
    ([0, 3, 6, 9], [0, 1])
    """
    return np.unique(np.linspace(0, total - 1, min(total, count)).round().astype(int)).tolist()  # type: ignore[no-any-return]
