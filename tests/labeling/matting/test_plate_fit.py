"""The plate in the position and light of a frame."""

import cv2
import numpy as np

from configs.matting import PlateBlock
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.matting.plate_fit import fit_plate
from labeling.structures.frames import RgbImage


def texture(size_hw: tuple[int, int]) -> RgbImage:
    noise = np.random.default_rng(5).standard_normal((*size_hw, 3)).astype(np.float32)
    return np.clip(125 + 150 * cv2.GaussianBlur(noise, (0, 0), 2), 30, 220).astype(np.uint8)


def test_the_plate_of_a_shaking_camera_moves_with_the_frame_and_guesses_stay_guesses() -> None:
    larger = texture((240, 360))
    coverage = np.full((200, 300), Coverage.SEEN, np.uint8)
    coverage[80:120, 100:140] = Coverage.INPAINTED
    plate = MaskedPlate(larger[20:220, 30:330].copy(), coverage, PlateBlock(), is_stabilized=True)
    frame = larger[24:224, 36:336].copy()  # 4 px lower and 6 px to the right in the scene
    fitted, is_seen = fit_plate(plate, frame, [])
    inside = np.s_[10:-10, 10:-10]
    assert np.abs(fitted[inside].astype(int) - frame[inside]).mean() < 3
    assert not is_seen[77:115, 95:133].any()
    assert is_seen[10:70, 10:-10].all()
