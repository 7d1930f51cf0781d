"""Crops of people, and their mattes merged into frames."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from labeling.matting.frame import MattingFrame, cluster_crops, matte_frames, split_alpha
from labeling.matting.inputs import Crop, NetworkInput, make_input, soft_prior
from labeling.matting.network import Matte, MattingNetwork
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, fill_box


class PriorNetwork(MattingNetwork):
    """Returns the soft prior as alpha and the image as color."""

    def __init__(self) -> None:
        self.side_px = 64
        self.sizes: list[int] = []

    def run(self, samples: Sequence[NetworkInput]) -> list[Matte]:
        self.sizes.append(len(samples))
        return [
            Matte((sample.prior[0] + 1) / 2, (sample.image.transpose(1, 2, 0) + 1) * np.float32(127.5))
            for sample in samples
        ]


def person(box: BoxXywh, size_hw: tuple[int, int]) -> Instance:
    mask = fill_box(box, size_hw)
    return Instance(mask, 0.9, mask.box_xywh)


def frame_with(people: Sequence[BoxXywh], size_hw: tuple[int, int]) -> MattingFrame:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    return MattingFrame(rgb, rgb, np.ones(size_hw, bool), [person(box, size_hw) for box in people])


def test_without_people_alpha_is_zero_and_the_network_is_not_used() -> None:
    network, frame = PriorNetwork(), frame_with([], (40, 60))
    (matte,) = matte_frames(network, [frame])
    assert matte.alpha.shape == (40, 60)
    assert not matte.alpha.any()
    assert np.array_equal(matte.foreground, frame.rgb)
    assert network.sizes == []


def test_people_far_apart_have_their_own_crops_and_near_ones_share_one() -> None:
    far = [(10.0, 10.0, 20.0, 60.0), (300.0, 10.0, 20.0, 60.0)]
    assert len(cluster_crops(far)) == 2
    assert len(cluster_crops([*far, (20.0, 10.0, 20.0, 60.0)])) == 2
    assert cluster_crops([]) == []


def test_the_alpha_of_each_person_is_at_the_persons_place() -> None:
    boxes = [(20.0, 20.0, 24.0, 60.0), (200.0, 30.0, 24.0, 60.0)]
    (matte,) = matte_frames(PriorNetwork(), [frame_with(boxes, (100, 260))])
    for x, y, w, h in boxes:
        inside = matte.alpha[int(y) + 6 : int(y + h) - 6, int(x) + 6 : int(x + w) - 6]
        assert inside.min() > 0.9
    assert matte.alpha[:, 90:160].max() == 0


@pytest.mark.parametrize("width", [20, 90])  # scaled down to the frame, and up
def test_contours_follow_the_edges_of_the_image(width: int) -> None:
    class WideNetwork(PriorNetwork):
        """Draws everybody a pixel too wide, at the network's size."""

        def run(self, samples: Sequence[NetworkInput]) -> list[Matte]:
            kernel = np.ones((3, 3), np.uint8)
            return [
                replace(one, alpha=cv2.dilate(one.alpha, kernel).astype(np.float32))
                for one in super().run(samples)
            ]

    box, size_hw = (30.0, 20.0, float(width), 2.0 * width), (240, 160)
    body = fill_box(box, size_hw).to_array() > 0

    def wrong_pixels(color: int) -> int:
        rgb = np.where(body[..., None], np.uint8(color), np.uint8(40)).repeat(3, axis=2)
        frame = MattingFrame(rgb, rgb, np.ones(size_hw, bool), [person(box, size_hw)])
        (matte,) = matte_frames(WideNetwork(), [frame])
        return np.count_nonzero((matte.alpha > 0.5) != body)

    assert wrong_pixels(color=200) < 0.3 * wrong_pixels(color=40)


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 50), (2, 3), (17, 31), (2160, 3840)])
def test_frames_of_any_size_are_matted(size_hw: tuple[int, int]) -> None:
    (matte,) = matte_frames(
        PriorNetwork(), [frame_with([(0.0, 0.0, 1.0 * size_hw[1], 1.0 * size_hw[0])], size_hw)]
    )
    assert matte.alpha.shape == size_hw
    assert matte.foreground.shape == (*size_hw, 3)
    assert 0 <= matte.alpha.min() <= matte.alpha.max() <= 1


def test_masks_count_where_the_plate_is_a_guess() -> None:
    class BlindNetwork(PriorNetwork):
        def run(self, samples: Sequence[NetworkInput]) -> list[Matte]:
            return [Matte(0 * matte.alpha, matte.foreground) for matte in super().run(samples)]

    frame = frame_with([(20.0, 10.0, 20.0, 40.0)], (60, 60))
    is_seen = np.ones((60, 60), bool)
    is_seen[:30] = False
    (matte,) = matte_frames(BlindNetwork(), [replace(frame, is_seen=is_seen)])
    assert matte.alpha[14:30, 24:36].min() > 0.99
    assert matte.alpha[30:].max() == 0
    assert matte.alpha[:30, 44:].max() == 0


def test_a_crop_beyond_the_border_is_pasted_back_where_it_was_cut() -> None:
    image = np.arange(40 * 30, dtype=np.float32).reshape(40, 30)
    crop = Crop(-10, -5, 60)
    pasted = crop.paste(crop.cut(image, 60), (40, 30))
    np.testing.assert_allclose(pasted, image)
    assert not Crop(100, 100, 20).paste(np.ones((8, 8), np.float32), (40, 30)).any()


def test_without_neighbors_the_motion_input_shows_the_image_itself() -> None:
    image = np.full((32, 32, 3), 90, dtype=np.uint8)
    sample = make_input(image, image, np.ones((32, 32), bool), np.zeros((32, 32)), motion=None, people=[])
    assert sample.motion.shape == (4, 32, 32)
    np.testing.assert_allclose(sample.motion, 90 / 127.5 - 1, atol=1e-6)
    assert sample.keypoints.shape == (55, 8, 8)
    assert (sample.prior == -1).all()


def test_the_prior_has_no_specks() -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[100, 100] = 1
    assert soft_prior(mask).max() == 0
    mask[50:150, 50:150] = 1
    assert soft_prior(mask)[100, 100] == pytest.approx(1, abs=1e-4)


def test_each_person_gets_the_pixels_of_alpha_that_are_nearest_to_them() -> None:
    size_hw = (20, 60)
    people = [person((2.0, 2.0, 10.0, 16.0), size_hw), person((40.0, 2.0, 10.0, 16.0), size_hw)]
    alpha = np.ones(size_hw, dtype=np.float32)
    left, right = split_alpha(alpha, people)
    assert left.area_px + right.area_px == alpha.size
    assert left.to_array()[10, 5]
    assert right.to_array()[10, 45]
    (alone,) = split_alpha(alpha, people[:1])
    assert alone == Mask.from_array(alpha > 0)


class CornerNetwork(PriorNetwork):
    """Also takes what is in the first corner of the crop for a person."""

    def run(self, samples: Sequence[NetworkInput]) -> list[Matte]:
        mattes = super().run(samples)
        for matte in mattes:
            matte.alpha[:5, :5] = 1
        return mattes


def test_what_is_far_from_all_masks_is_no_part_of_a_person() -> None:
    box, size_hw = (120.0, 60.0, 24.0, 60.0), (150, 240)
    crop = Crop.around([box])
    corner = (slice(crop.top, crop.top + 5), slice(crop.left, crop.left + 5))
    (matte,) = matte_frames(CornerNetwork(), [frame_with([box], size_hw)])
    assert not matte.alpha[corner].any()
    assert matte.alpha[90, 132] == 1
