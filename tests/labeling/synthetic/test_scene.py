"""The rendered scene: the same for a seed, with masks that are exact."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError
from labeling.structures.frames import Clip
from labeling.structures.masks import intersection_areas
from labeling.synthetic.choreography import cast_actors, light_at, place_actor
from labeling.synthetic.figure import Stance, pose_keypoints
from labeling.synthetic.scene import Scene, render_scene
from labeling.video.decode import decode_clip
from labeling.video.probe import probe_video

SMALL = Scene(seconds=20, size_hw=(180, 320))


def test_the_same_seed_gives_the_same_frames_in_any_order() -> None:
    again = Scene(seconds=20, size_hw=(180, 320))
    for index in (430, 90, 250):
        first, second = SMALL.frame(index), again.frame(index)
        assert np.array_equal(first[0], second[0])
        assert first[1] == second[1]


def test_every_frame_has_noise_of_its_own() -> None:
    difference = SMALL.frame(10)[0].astype(float) - SMALL.frame(11)[0]
    assert difference.std() == pytest.approx(2.0 * np.sqrt(2), rel=0.1)


def test_another_seed_gives_another_room() -> None:
    other = Scene(seconds=20, size_hw=(180, 320), seed=8)
    assert np.abs(other.frame(0)[0].astype(int) - SMALL.frame(0)[0]).mean() > 3


def test_frames_have_the_size_and_masks_are_disjoint() -> None:
    for index in range(0, SMALL.frame_count, 20):
        rgb, masks = SMALL.frame(index)
        assert rgb.shape == (180, 320, 3)
        assert rgb.dtype == np.uint8
        assert all(mask.size_hw == (180, 320) and mask for mask in masks)
        overlaps = intersection_areas(masks, masks)
        assert overlaps.sum() == np.trace(overlaps) if masks else True


def test_one_to_three_people_are_visible_and_the_room_is_empty_first_and_last() -> None:
    counts = [len(SMALL.frame(index)[1]) for index in range(0, SMALL.frame_count, 10)]
    assert set(counts) == {0, 1, 2, 3}
    assert counts[:5] == counts[-5:] == [0] * 5
    assert 0 not in counts[6:-6]


def test_a_mask_covers_the_pixels_that_a_person_changed_and_no_others() -> None:
    """Independent of how masks are drawn: the difference to the empty room, away from shadows."""
    index = 90
    empty = np.mean([SMALL.frame(i)[0].astype(float) for i in range(0, 40, 2)], axis=0)
    rgb, masks = SMALL.frame(index)
    changed = np.abs(rgb - empty).max(axis=2) > 30
    person = masks[0].to_array()
    above_the_floor = np.s_[: round(0.55 * 180)]
    assert person[above_the_floor].sum() > 400
    assert changed[above_the_floor][~person[above_the_floor]].mean() < 0.004
    assert changed[person].mean() > 0.85


def test_furniture_hides_a_person_behind_it() -> None:
    """Behind the table, the trousers are seen above and below its top."""
    person = SMALL.frame(140)[1]
    hidden = [mask.to_array()[110:116, 140:160].any() for mask in person]
    assert not any(hidden)
    assert any(mask.to_array()[100:105, 140:160].any() for mask in person)
    assert any(mask.to_array()[120:128, 140:160].any() for mask in person)


def test_the_light_is_switched_on_and_off_again() -> None:
    mean = [SMALL.frame(index)[0].mean() for index in (250, 320, 380)]
    assert mean[1] > 1.2 * mean[0]
    assert mean[1] > 1.2 * mean[2]
    assert light_at(0.5)[1] == light_at(0.8)[1] == 0


def test_people_stand_still_and_crouch_by_the_choreography() -> None:
    dark, small = cast_actors(7, 0)[1:]
    standing = [place_actor(dark, t, 0.3) for t in (0.4, 0.5, 0.6)]
    assert standing[0] == standing[1] == standing[2]
    crouching = place_actor(small, 0.6, 0.3)
    assert crouching is not None
    assert crouching.stance.crouch == 1.0
    assert place_actor(small, 0.1, 0.3) is None


def test_later_repetitions_wear_other_shirts() -> None:
    shirts = {actor.clothes.shirt for cycle in range(3) for actor in cast_actors(7, cycle)}
    assert len(shirts) == 9


def test_feet_are_on_the_ground_and_a_crouching_body_is_lower() -> None:
    for gait in np.linspace(0, 6, 7):
        points = pose_keypoints(Stance(float(gait), 1.0, 0.0, 1.0))
        assert min(points["near_ankle"][1], points["far_ankle"][1]) == pytest.approx(0.035)
    upright = pose_keypoints(Stance(0, 0, 0, 1))["head"][1]
    crouched = pose_keypoints(Stance(0, 0, 1, 1))["head"][1]
    assert 0.85 < upright < 1.0
    assert crouched < 0.7 * upright


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fps", "seconds", "frames", "size_hw"),
    [(Fraction(25), 2.0, 50, (96, 160)), (Fraction(30000, 1001), 0.5, 15, (96, 1056))],
)
def test_a_rendered_video_decodes_to_the_frames(
    tmp_path: Path, fps: Fraction, seconds: float, frames: int, size_hw: tuple[int, int]
) -> None:
    path = render_scene(tmp_path / "scene.mp4", seconds=seconds, fps=fps, size_hw=size_hw)
    scene = Scene(seconds=seconds, fps=fps, size_hw=size_hw)
    assert scene.frame_count == frames
    facts = probe_video(path)
    assert (facts.size_hw, facts.fps) == (size_hw, fps)
    shown = list(decode_clip(Clip("ab" * 32, path)))
    assert len(shown) == frames
    assert [round(frame.t * fps) for frame in shown] == list(range(frames))
    for index in (0, frames // 2, frames - 1):
        difference = shown[index].to_rgb().astype(int) - scene.frame(index)[0]
        assert np.abs(difference).mean() < 8  # noise and sharp colors are lost in coding
    shift = (shown[0].to_rgb().astype(int) - scene.frame(0)[0]).mean(axis=(0, 1))
    assert np.abs(shift).max() < 0.4  # of players' two guesses at the color matrix, one is 2 off


@pytest.mark.slow
def test_a_long_video_goes_on_and_a_short_one_shows_everything() -> None:
    long = Scene(seconds=45, size_hw=(96, 160))
    assert len(long.frame(round(27.5 * 25))[1]) == len(SMALL.frame(round(7.5 * 25))[1]) == 3
    short = Scene(seconds=4, size_hw=(96, 160))
    assert {len(short.frame(i)[1]) for i in range(short.frame_count)} == {0, 1, 2, 3}


def test_impossible_scenes_are_refused() -> None:
    for seconds, fps, size_hw in (
        (0.0, 25, (96, 160)),
        (2.0, 0, (96, 160)),
        (2.0, 25, (95, 160)),
        (2.0, 25, (16, 16)),
    ):
        with pytest.raises(ConfigError, match="scene"):
            Scene(seconds=seconds, fps=Fraction(fps), size_hw=size_hw)
    with pytest.raises(IndexError):
        SMALL.frame(500)


def test_the_keypoints_of_people_lie_in_their_masks() -> None:
    for index in range(60, SMALL.frame_count, 60):
        masks = [mask.to_array() for mask in SMALL.frame(index)[1]]
        for person in SMALL.keypoints(index):
            points = [(int(x), int(y)) for x, y in (person or {}).values()]
            inside = [(x, y) for x, y in points if 0 <= x < 320 and 0 <= y < 180]
            if len(inside) > 10 and masks:
                shares = [np.mean([bool(mask[y, x]) for x, y in inside]) for mask in masks]
                assert max(shares) > 0.5


def test_the_keypoints_of_a_frame_that_is_not_there_are_an_error() -> None:
    with pytest.raises(IndexError, match="frame 500"):
        SMALL.keypoints(500)
