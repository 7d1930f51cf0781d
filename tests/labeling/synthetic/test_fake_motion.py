"""Fake motion: the same for a seed and an index, exact flow and alpha, shifts as often and as far as stated."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from configs.synthesis import FakeMotionBlock
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import RgbImage
from labeling.structures.masks import intersection_areas
from labeling.synthetic.canvas import value_noise
from labeling.synthetic.fake_motion import ClipPlan, FakeFrame, FakeMotion
from labeling.synthetic.moving_backgrounds import DrawnBackground, VideoBackground
from labeling.synthetic.random_motion import pixel_grid
from labeling.video.encode import VideoWriter
from labeling.video.optical_flow import bilinear_sample

SETTINGS = FakeMotionBlock(width=144, height=96, duration_s=0.5, pan=0.2)


def textured(seed: int, size_hw: tuple[int, ...]) -> RgbImage:
    rng = np.random.default_rng(seed)
    planes = [128 + 40 * value_noise(rng, (size_hw[0], size_hw[1]), cell_px=6) for _ in range(3)]
    return np.clip(np.dstack(planes), 0, 255).astype(np.uint8)


def cutout(seed: int, *, cut_below: bool = False) -> Cutout:
    rows, columns = np.mgrid[0:120, 0:60]
    alpha = (((rows - 60) / 50) ** 2 + ((columns - 30) / 22) ** 2 <= 1).astype(np.float32)
    if cut_below:
        alpha = alpha[:80]
    return Cutout(textured(seed, alpha.shape), alpha)


CUTOUTS = [cutout(1), cutout(2)]
BACKGROUNDS = [DrawnBackground("noise", textured(9, (110, 170)))]


def maker(settings: FakeMotionBlock = SETTINGS, cutouts: list[Cutout] = CUTOUTS) -> FakeMotion:
    return FakeMotion(cutouts, BACKGROUNDS, settings)


def rendered(index: int, **changes: object) -> tuple[ClipPlan, list[FakeFrame]]:
    clips = maker(SETTINGS.model_copy(update=changes))
    plan = clips.plan(index)
    return plan, list(clips.frames(plan))


def test_a_clip_depends_on_the_seed_and_its_index_alone() -> None:
    _, first = rendered(3)
    _, again = rendered(3)
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].rgb, rendered(4)[1][0].rgb)
    assert not np.array_equal(first[0].rgb, rendered(3, seed=2)[1][0].rgb)


@pytest.mark.parametrize(("second_person", "half_out"), [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_the_next_frame_along_the_flow_is_this_frame(second_person: float, half_out: float) -> None:
    _, frames = rendered(1, second_person=second_person, half_out=half_out)
    squares, count, changes = 0.0, 0, []
    for now, later in pairwise(frames):
        assert now.flow is not None
        assert now.is_exact is not None
        assert now.is_known is not None
        ends = pixel_grid((96, 144)) + now.flow
        moved = bilinear_sample(later.rgb.astype(np.float32), ends)
        difference = (moved - now.rgb)[now.is_exact]
        squares, count = squares + float((difference**2).sum()), count + difference.size
        change = np.abs(bilinear_sample(later.alpha, ends) - now.alpha)
        changes.append(float(change[now.is_known].mean()))  # soft contours are sampled twice
        assert change[now.is_exact].mean() < 0.001
        assert not (now.is_exact & ~now.is_known).any()
    assert 10 * np.log10(255**2 / (squares / count)) >= 35
    assert np.mean(changes) < 0.01
    assert count > 3 * 0.02 * 96 * 144 * len(frames)


def test_the_last_frame_has_no_flow_and_pixels_without_a_person_have_none() -> None:
    _, frames = rendered(1)
    assert frames[-1].flow is None
    assert frames[-1].is_known is None
    flow = frames[0].flow
    assert flow is not None
    assert not flow[np.rint(255 * frames[0].alpha) == 0].any()


def test_the_image_is_the_foreground_over_the_background() -> None:
    for second_person in (0.0, 1.0):
        frame = rendered(2, second_person=second_person)[1][4]
        alpha = frame.alpha[..., None]
        composed = alpha * frame.foreground + (1 - alpha) * frame.background
        assert np.abs(composed - frame.rgb).max() <= 1.0
        assert np.allclose(frame.shares.sum(axis=0), frame.alpha)


def test_masks_are_disjoint_and_the_person_in_front_hides_the_other() -> None:
    plan, frames = rendered(5, second_person=1.0)
    assert len(plan.people) == 2
    first, second = frames[3].masks()
    assert intersection_areas([first], [second])[0, 0] == 0
    assert second.area_px > 300


@pytest.mark.parametrize("count", [400, pytest.param(3000, marks=pytest.mark.long)])
def test_shifts_and_second_people_are_as_frequent_as_stated(count: int) -> None:
    """Within 3 standard errors; the person who leaves ends with the box half outside, and returns."""
    leaving, doubles = 0, 0
    settings = SETTINGS.model_copy(update={"amplitudes": (0.01, 0.0, 0.0), "duration_s": 0.2})
    clips = maker(settings)
    for index in range(count):
        plan = clips.plan(index)
        movers = [person for person in plan.people if person.leaves]
        leaving, doubles = leaving + len(movers), doubles + len(plan.people) - 1
        assert len(movers) <= 1
        for person in movers:
            x, _, width, _ = person.box_xywh
            at_peak = x + person.shift_px[settings.frames // 2]
            visible = min(at_peak + width, 144) - max(at_peak, 0)
            assert visible == pytest.approx(width / 2)
            assert person.shift_px[0] == 0
            assert person.shift_px[-1] == pytest.approx(0)
    for found, share in ((leaving, 1 / 3), (doubles, 0.3)):
        assert abs(found / count - share) < 3 * np.sqrt(share * (1 - share) / count)


def test_half_of_a_person_who_leaves_is_outside_in_the_rendered_frame() -> None:
    plan, frames = rendered(7, second_person=0.0, half_out=1.0, amplitudes=(0.0, 0.0, 0.0))
    areas = [frame.alpha.sum() for frame in frames]
    height = plan.people[0].box_xywh[3]
    assert height < 96
    assert areas[len(frames) // 2] == pytest.approx(areas[0] / 2, rel=0.03)
    assert areas[-1] == pytest.approx(areas[0], rel=0.01)


def test_the_cut_side_of_a_cut_out_is_never_seen() -> None:
    clips = maker(SETTINGS, [cutout(1, cut_below=True)])
    for index in range(2):
        for frame in clips.frames(clips.plan(index)):
            bottom = frame.alpha[-1] >= 0.5
            left_and_right = frame.alpha[:, [0, -1]].max()
            assert bottom.any() or left_and_right > 0.5


def test_a_still_background_pans_and_stands_still_without_pan() -> None:
    for pan, moves in ((0.2, True), (0.0, False)):
        _, frames = rendered(1, pan=pan)
        change = np.abs(frames[0].background - frames[-1].background).mean()
        assert (change > 3) == moves


def test_a_video_plays_behind_the_people_and_its_last_frame_stays(tmp_path: Path) -> None:
    path = tmp_path / "behind.mp4"
    with VideoWriter(path, fps=Fraction(24), size_hw=(64, 96)) as writer:
        for level in (20, 90, 160, 230):
            writer.write(np.full((64, 96, 3), level, np.uint8))
    video = VideoBackground(path, Fraction(4, 24))
    times = [Fraction(i, 24) for i in range(6)]
    levels = [int(rgb.mean()) for rgb in video.images(np.random.default_rng(0), times)]
    assert levels == pytest.approx([20, 90, 160, 230, 230, 230], abs=6)
    halved = [int(rgb.mean()) for rgb in video.images(np.random.default_rng(0), times[::2])]
    assert halved == pytest.approx([20, 160, 230], abs=6)
