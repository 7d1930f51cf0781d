"""The files of a trained student."""

from pathlib import Path

import numpy as np
import pytest
import torch

from configs.student_training import StudentTraining
from labeling.segmenters.network_files import open_network
from labeling.students.export import write_student
from labeling.students.files import INT8
from labeling.students.frame_store import FrameStore, TrainingFrames, write_frames
from labeling.students.samples import normalize

HW = (32, 48)
DARK, BRIGHT = 60, 200
"""Gray values of empty frames, and of frames that show somebody everywhere."""


def store(folder: Path, gray: int, count: int) -> FrameStore:
    image = np.full((*HW, 3), gray, np.uint8)
    labels = np.full(HW, gray == BRIGHT, np.uint8)
    return write_frames(folder, folder.name, [(image, labels)] * count, HW)


@pytest.mark.slow
def test_int8_is_calibrated_on_the_base_too(tmp_path: Path) -> None:
    """Few frames of a dataset may show nobody: with their ranges alone, int8 knows no value above zero."""
    brightness = torch.nn.Conv2d(3, 1, 1, bias=False)
    torch.nn.init.ones_(brightness.weight)
    settings = StudentTraining(input_hw=HW, device="cpu", calibration_frames=8)
    frames = TrainingFrames(
        train=store(tmp_path / "train", DARK, 6),
        val=store(tmp_path / "val", DARK, 1),
        base=store(tmp_path / "base", BRIGHT, 4),
    )
    write_student(brightness.eval(), settings, frames, tmp_path)
    int8 = open_network("onnx", tmp_path / INT8)
    for gray, found in ((BRIGHT, True), (DARK, False)):
        (logits,) = int8.run(normalize(np.full((*HW, 3), gray, np.uint8))[None])
        assert np.unique(np.greater(logits, 0)).tolist() == [found]
