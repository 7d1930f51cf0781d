"""A textured image in which a patch moves, and masks that move with it or jump."""

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.trust.flow_consistency import (
    LONGEST_MS,
    PreviousFrame,
    compare_along_motion,
    measure_flow_iou,
)
from labeling.video.optical_flow import backward_flow_with_consistency
from tests.fakes.videos import textured_scene

SIZE_HW = (180, 320)
PATCH_HW = (80, 40)
STEP_PX = 7


def image(x: int, *, scale: int = 1) -> NDArray[np.uint8]:
    """Draw the patch at (x, 50) on a background of another texture."""
    background = np.resize(textured_scene(1)(0), (*SIZE_HW, 3)).copy()
    patch = np.random.default_rng(4).integers(0, 255, (PATCH_HW[0] // 4, PATCH_HW[1] // 4, 3), np.uint8)
    background[50 : 50 + PATCH_HW[0], x : x + PATCH_HW[1]] = patch.repeat(4, axis=0).repeat(4, axis=1)
    return background.repeat(scale, axis=0).repeat(scale, axis=1)


def patch_frame(
    x: int, *, mask_x: int | None = None, pts_ms: int = 0, shot: int = 0, scale: int = 1
) -> PreviousFrame:
    """Return the patch at `x` with its mask there, or at `mask_x`."""
    left = x if mask_x is None else mask_x
    pixels = np.zeros((SIZE_HW[0] * scale, SIZE_HW[1] * scale), np.bool_)
    box = slice(50 * scale, (50 + PATCH_HW[0]) * scale), slice(left * scale, (left + PATCH_HW[1]) * scale)
    pixels[box] = True
    mask = Mask.from_array(pixels)
    people = [Instance(mask, 0.9, mask.box_xywh)] if pixels.any() else []
    return PreviousFrame.of(Frame("v", pts_ms, image(x, scale=scale), shot=shot), people)


@pytest.mark.parametrize("scale", [1, 3])
def test_a_mask_that_moves_with_its_person_is_consistent(scale: int) -> None:
    before, now = patch_frame(100, scale=scale), patch_frame(100 + STEP_PX, pts_ms=100, scale=scale)
    iou = measure_flow_iou(now, before)
    assert iou is not None
    assert iou > 0.95


def test_a_mask_that_stays_while_its_person_moves_is_not_consistent() -> None:
    iou = measure_flow_iou(patch_frame(112, mask_x=100, pts_ms=100), patch_frame(100))
    assert iou is not None
    assert iou < 0.8


def test_a_mask_that_jumps_is_not_consistent() -> None:
    iou = measure_flow_iou(patch_frame(100, mask_x=220, pts_ms=100), patch_frame(100))
    assert iou is not None
    assert iou < 0.1


def test_another_shot_another_size_or_a_long_time_gives_no_result() -> None:
    before = patch_frame(100)
    assert measure_flow_iou(patch_frame(100, pts_ms=100, shot=100), before) is None
    assert measure_flow_iou(patch_frame(100, pts_ms=100, scale=2), before) is None
    assert measure_flow_iou(patch_frame(100, pts_ms=LONGEST_MS + 1), before) is None
    assert measure_flow_iou(before, before) is None


@pytest.mark.parametrize("size_hw", [(72, 1920), (24, 89), (13, 52), (6, 100), (8, 8), (720, 40)])
def test_strips_give_no_result(size_hw: tuple[int, int]) -> None:
    """OpenCV fails on some of them and crashes on others."""
    image = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8)
    full = Mask.from_array(np.ones(size_hw))
    before, now = (
        PreviousFrame.of(Frame("v", pts_ms, image), [Instance(full, 1.0, (0, 0, 1, 1))]) for pts_ms in (0, 9)
    )
    assert measure_flow_iou(now, before) is None


def test_neighbors_on_a_grid_of_seconds_are_near_in_a_video_of_29_97_frames_a_second() -> None:
    assert measure_flow_iou(patch_frame(100, pts_ms=1001), patch_frame(100)) == pytest.approx(1.0)


def test_an_empty_mask_gives_no_result() -> None:
    empty = patch_frame(100, mask_x=SIZE_HW[1])
    assert measure_flow_iou(patch_frame(100, pts_ms=100), empty) is None
    assert measure_flow_iou(patch_frame(100, mask_x=SIZE_HW[1], pts_ms=100), patch_frame(100)) is None


def test_an_image_that_the_flow_does_not_explain_gives_no_result() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), np.uint8)
    other = PreviousFrame.of(Frame("v", 100, noise), [Instance(patch_frame(100).masks[0], 0.9, (0, 0, 1, 1))])
    assert measure_flow_iou(other, patch_frame(100)) is None


def test_the_flow_leads_back_to_the_patch_before() -> None:
    now, before = patch_frame(100 + STEP_PX), patch_frame(100)
    sources, is_known = backward_flow_with_consistency(now.luma, before.luma)
    inside = now.small_union() & is_known
    columns = np.arange(SIZE_HW[1])[None, :].repeat(SIZE_HW[0], axis=0)
    assert is_known[now.small_union()].mean() > 0.8
    assert np.median((columns - sources[..., 0])[inside]) == pytest.approx(STEP_PX, abs=0.3)


def test_occluded_pixels_are_not_known() -> None:
    """The strip that the patch uncovers was hidden before."""
    _, is_known = backward_flow_with_consistency(patch_frame(130).luma, patch_frame(100).luma)
    assert is_known[55:125, 102:128].mean() < 0.5
    assert is_known[:, 200:].mean() > 0.95


def people_frame(*people: tuple[int, int | None], pts_ms: int = 0) -> PreviousFrame:
    """Return the patch at 100, with masks of its size at these columns and tracks."""
    found = []
    for left, track in people:
        pixels = np.zeros(SIZE_HW, np.bool_)
        pixels[50 : 50 + PATCH_HW[0], left : left + PATCH_HW[1]] = True
        mask = Mask.from_array(pixels)
        found.append(Instance(mask, 0.9, mask.box_xywh, track_id=track))
    return PreviousFrame.of(Frame("v", pts_ms, image(100)), found)


def coherence(now: PreviousFrame, before: PreviousFrame) -> list[float | None]:
    found = compare_along_motion(now, before)
    assert found is not None
    return [value if value is None else round(value, 1) for value in found.coherence]


def test_each_mask_is_compared_with_that_of_its_person() -> None:
    now = people_frame((100, None), (240, None), pts_ms=100)
    assert coherence(now, people_frame((240, None), (100, None))) == [1, 1]
    assert coherence(now, people_frame((100, None), (180, None))) == [1, 0]
    found = compare_along_motion(now, people_frame((100, None), (180, None)))
    assert found is not None
    assert found.iou == pytest.approx(1 / 3, abs=0.05)


def test_with_tracks_only_the_mask_of_the_same_track_counts() -> None:
    now = people_frame((100, 1), (240, 2), pts_ms=100)
    assert coherence(now, people_frame((100, 1), (240, 3))) == [1, 0]
    assert coherence(now, people_frame((100, 2), (240, 1))) == [0, 0]
    assert coherence(now, people_frame((100, None), (240, 3))) == [1, 1]


def test_a_previous_frame_without_masks_is_known_and_a_missing_one_is_not() -> None:
    now = people_frame((100, None), pts_ms=100)
    assert coherence(now, people_frame()) == [0]
    assert compare_along_motion(now, people_frame((100, None), pts_ms=100)) is None
    assert measure_flow_iou(now, people_frame()) is None
    assert coherence(people_frame(pts_ms=100), people_frame()) == []


def test_a_mask_of_pixels_without_consistent_flow_is_not_known() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, *SIZE_HW, 3), np.uint8)
    full = Mask.from_array(np.ones(SIZE_HW))
    people = [Instance(full, 1.0, full.box_xywh)]
    before, now = (PreviousFrame.of(Frame("v", 40 * i, one), people) for i, one in enumerate(noise))
    assert coherence(now, before) == [None]
