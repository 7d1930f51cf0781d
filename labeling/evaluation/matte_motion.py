"""Motion between successive frames of a matted video: exact where it is given, else optical flow of the images."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, ModelOutputWrong
from labeling.datasets.formats.kitti_flow import decode_flow
from labeling.evaluation.matte_files import MatteFrame, read_frame_image
from labeling.evaluation.temporal_metrics import Motion
from labeling.video.optical_flow import SMALLEST_PX, follow_flow


class MotionReader:
    """Reads or computes the motion from each frame to the next; keeps the last image."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._flow: Path | None = None

    def follow(self, frame: MatteFrame, size_hw: tuple[int, ...], *, is_successor: bool) -> Motion | None:
        """Return the positions of the last frame's pixels in this one, and which are known.

        None without images and exact flow. Images that are strips (`SMALLEST_PX`) have no flow of their own.

        Raises:
            ConfigError: a file is unreadable, or its size is not `size_hw`.
        """
        last, exact = self._last, self._flow
        self._last, self._flow = (_read_luma(frame.image, size_hw) if frame.image else None), frame.flow
        if not is_successor:
            return None
        motion = None
        if last is not None and self._last is not None and min(last.shape) >= SMALLEST_PX:
            motion = follow_flow(last, self._last)
        return _read_exact(exact, size_hw, motion) if exact else motion


def _read_exact(path: Path, size_hw: tuple[int, ...], estimated: Motion | None) -> Motion:
    """Return the exact motion where it is valid, and the estimated one elsewhere."""
    try:
        flow, is_valid = decode_flow(path.read_bytes())
    except (OSError, ModelOutputWrong) as exc:
        raise ConfigError(f"flow: {path} cannot be read: {exc}") from exc
    if is_valid.shape != size_hw:
        raise ConfigError(
            f"flow: {path} is {flow.shape[1]}x{flow.shape[0]} px, the ground truth {size_hw[1]}x{size_hw[0]}"
        )
    grid = np.dstack(np.meshgrid(np.arange(size_hw[1]), np.arange(size_hw[0]))).astype(np.float32)
    if estimated is None:
        return grid + flow, is_valid
    return np.where(is_valid[..., None], grid + flow, estimated[0]), is_valid | estimated[1]


def _read_luma(path: Path, size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    return cv2.cvtColor(read_frame_image(path, size_hw), cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
