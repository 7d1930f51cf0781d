"""A person-sized patch of texture that crosses a textured room, and a run on its video."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.storage.home import Home
from labeling.structures.masks import Mask
from tests.fakes.videos import Coding, Image, write_images
from tests.planted_reviews import PlantedFrame, PlantedRun, box_mask, plant_run

FPS = 10
STEP_PX = 2
"""Pixels to the right from one frame to the next."""
LEFT, TOP, WIDTH, HEIGHT = 20, 25, 30, 70
SIZE_HW = (120, 160)


def _texture(seed: int, low: int, high: int) -> NDArray[np.uint8]:
    """Return a smooth random image; `low` and `high` bound its values."""
    coarse = np.random.default_rng(seed).random((20, 26, 3)).astype(np.float32)
    smooth = np.clip(cv2.resize(coarse, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.asarray(low + smooth * (high - low), dtype=np.uint8)


_ROOM, _CLOTHES = _texture(1, 20, 140), _texture(2, 110, 250)


def left_of(index: int) -> int:
    return LEFT + STEP_PX * index


def true_mask(index: int) -> Mask:
    """Return the person's mask in a frame."""
    return box_mask(left_of(index), TOP, WIDTH, HEIGHT)


def draw_frame(index: int) -> Image:
    """Return a frame as an RGB image."""
    image = _ROOM.copy()
    left = left_of(index)
    image[TOP : TOP + HEIGHT, left : left + WIDTH] = _CLOTHES[TOP : TOP + HEIGHT, :WIDTH]
    return image


def plant_walk(
    home: Home,
    teacher: Sequence[Sequence[Mask]],
    *,
    shots: Sequence[int] = (),
    categories: Sequence[str] = (),
) -> PlantedRun:
    """Store a run in which frame `i` is sampled at i / 2 s, with the teacher's masks; and write its video.

    `shots`: start of each frame's shot in ms; default: one shot. `categories`: as in `plant_run`.
    """
    starts = shots or [0] * len(teacher)
    frames = [PlantedFrame(masks, shot=start) for masks, start in zip(teacher, starts, strict=True)]
    run = plant_run(home, frames, categories=categories)
    images = (draw_frame(index) for index in range(5 * len(teacher)))
    write_images(
        home.root / "planted.mp4", images, fps=Fraction(FPS), coding=Coding(options={"crf": "12", "g": "10"})
    )
    return run


def sampled_mask(position: int) -> Mask:
    """Return the true mask of the frame that is sampled at position / 2 s."""
    return true_mask(5 * position)
