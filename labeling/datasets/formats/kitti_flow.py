"""Optical flow as 16-bit PNG, as KITTI stores it (Menze and Geiger, CVPR 2015, development kit).

Red and green are 64 times the motion in x and y plus 2^15: steps of 1/64 pixel, up to 512 pixels. Blue is 1 where the
flow is valid.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ModelOutputWrong
from labeling.structures.masks import BoolArray
from labeling.video.optical_flow import Flow

STEPS_PER_PX = 64
ZERO = 2**15
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 4)


def encode_flow(flow: Flow, is_valid: BoolArray) -> bytes:
    """Return a PNG of the flow, HxWx2 (x, y) in pixels; motions beyond 511 pixels are cut."""
    coded = np.clip(np.rint(flow * STEPS_PER_PX) + ZERO, 0, 2**16 - 1).astype(np.uint16)
    bgr = np.dstack([is_valid.astype(np.uint16), coded[..., 1], coded[..., 0]])
    return cv2.imencode(".png", bgr, _PNG)[1].tobytes()


def decode_flow(content: bytes) -> tuple[Flow, BoolArray]:
    """Return flow, HxWx2 (x, y) in pixels, and where it is valid.

    >>> flow = np.array([[[1.5, -2.25], [0.0, 100.0]]], dtype=np.float32)
    >>> read, is_valid = decode_flow(encode_flow(flow, np.array([[True, False]])))
    >>> read.tolist(), is_valid.tolist()
    ([[[1.5, -2.25], [0.0, 100.0]]], [[True, False]])

    Raises:
        ModelOutputWrong: it is not a PNG of three 16-bit channels.
    """
    bgr: NDArray[np.uint16] | None = None
    if content:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)  # type: ignore[assignment]
    if bgr is None or bgr.ndim != 3 or bgr.dtype != np.uint16:  # noqa: PLR2004 - HxWx3
        raise ModelOutputWrong("optical flow must be a PNG of three 16-bit channels, as KITTI stores it")
    flow = (bgr[..., [2, 1]].astype(np.float32) - np.float32(ZERO)) / np.float32(STEPS_PER_PX)
    return flow, bgr[..., 0] > 0
