"""Images of mattes beside ground truth: where each quarter is, and its colors."""

import cv2
import numpy as np

from labeling.visualization.contact_sheet import BACKGROUND
from labeling.visualization.frames import STUDENT, TEACHER
from labeling.visualization.mattes import TILE_WIDTH_PX, draw_matte, matte_jpeg

ALPHA = np.array([[1.0, 0.0, 0.5, 0.0]], np.float32)
TRUTH = np.array([[0.0, 1.0, 0.5, 1.0]], np.float32)
KNOWN = np.array([[True, True, True, False]])


def test_the_four_quarters() -> None:
    rgb = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    drawn = draw_matte(ALPHA, TRUTH, KNOWN, rgb=rgb)
    assert drawn[0, :4].tolist() == rgb[0].tolist()
    assert drawn[0, -4:, 0].tolist() == [255, 0, 127, 0]
    assert drawn[-1, :3, 0].tolist() == [0, 255, 127]
    assert [tuple(color) for color in drawn[-1, -4:-1].tolist()] == [STUDENT, TEACHER, (0, 0, 0)]
    assert drawn[-1, 3].tolist() == drawn[-1, -1].tolist() != [255, 255, 255]


def test_without_an_image_its_quarter_is_free() -> None:
    assert (draw_matte(ALPHA, TRUTH, KNOWN)[0, :4] == BACKGROUND).all()


def test_a_jpeg_is_scaled_down_to_a_tile() -> None:
    wide = np.zeros((300, 500), np.float32)
    content = np.frombuffer(matte_jpeg(wide, wide, wide < 1), np.uint8)
    read = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert read is not None
    assert read.shape[1] == TILE_WIDTH_PX
