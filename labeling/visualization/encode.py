"""JPEG encoding of drawn images."""

import cv2

from labeling.structures.frames import RgbImage


def encode_jpeg(rgb: RgbImage, *, quality: int) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
