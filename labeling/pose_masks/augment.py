"""Random changes of a crop's colors, sharpness and noise."""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.synthetic.canvas import happens

RNG = np.random.Generator


def change_colors(rng: RNG, rgb: RgbImage) -> RgbImage:
    """Change hue, saturation, contrast, brightness and white balance; one image in ten becomes gray."""
    image = rgb.astype(np.float32)
    if happens(rng, 0.5):
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + rng.normal(0, 14)) % 256
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.4, 1.6), 0, 255)
        image = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB_FULL).astype(np.float32)
    if happens(rng, 0.1):
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    gain = rng.uniform(0.6, 1.35) * rng.normal(1, 0.08, 3)
    mean = image.mean()
    image = (image - mean) * (rng.uniform(0.6, 1.35) * gain).astype(np.float32)
    image += np.float32(mean * gain + rng.uniform(-25, 25))
    curve = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.2))
    return np.asarray(curve[np.clip(image, 0, 255).astype(np.uint8)], dtype=np.uint8)


def degrade(rng: RNG, rgb: RgbImage) -> RgbImage:
    """Blur, reduce, add noise and code an image, each in some cases."""
    side = rgb.shape[0]
    image = rgb
    if happens(rng, 0.3):
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.2)), np.uint8)
    if happens(rng, 0.3):
        small = int(side * rng.uniform(0.2, 0.8))
        reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    if happens(rng, 0.4):
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(1, 14))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if happens(rng, 0.5):
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 96))])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), np.uint8)
    return image


def random_blob(rng: RNG, side: int) -> NDArray[np.bool_]:
    """Return an object's outline: an ellipse, a bar, or a polygon; SxS."""
    blob = np.zeros((side, side), dtype=np.uint8)
    center = rng.uniform(0.1, 0.9, 2) * side
    kind = rng.choice(["ellipse", "bar", "polygon"], p=(0.4, 0.3, 0.3))
    if kind == "ellipse":
        axes = tuple(int(v) for v in rng.uniform(0.04, 0.22, 2) * side)
        cv2.ellipse(blob, tuple(int(v) for v in center), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    elif kind == "bar":
        turn, half = rng.uniform(0, np.pi), rng.uniform(0.015, 0.1) * side
        reach = np.array([np.cos(turn), np.sin(turn)]) * side * rng.uniform(0.2, 1.2)
        start, end = (tuple(int(v) for v in center + sign * reach) for sign in (-1, 1))
        cv2.line(blob, start, end, 1, max(1, int(2 * half)))
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        radii = rng.uniform(0.05, 0.3, len(angles)) * side
        corners = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(blob, [corners.astype(np.int32)], 1)
    return blob.astype(np.bool_)


def random_texture(rng: RNG, side: int) -> RgbImage:
    """Return a gradient, stripes or noise of random colors, SxSx3."""
    low, high = rng.uniform(0, 255, (2, 3))
    rows, columns = np.mgrid[0:side, 0:side] / side
    turn = rng.uniform(0, 2 * np.pi)
    phase = rows * np.sin(turn) + columns * np.cos(turn)
    kind = rng.choice(["stripes", "noise", "gradient"], p=(0.3, 0.4, 0.3))
    if kind == "stripes":
        phase = (np.sin(phase * 2 * np.pi * rng.uniform(2, 30)) > rng.uniform(-0.5, 0.5)).astype(np.float64)
    elif kind == "noise":
        cells = int(rng.integers(3, 40))
        small = rng.random((cells, cells)).astype(np.float32)
        phase = phase * rng.uniform(0, 1) + cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    image = low + (high - low) * np.clip(phase, 0, 1)[..., None]
    image += rng.normal(0, rng.uniform(0, 8), image.shape)
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)
