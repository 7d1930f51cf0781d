"""Smoothing over time: flicker goes, motion stays, and the result depends neither on batch nor shard."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from configs.errors import ModelError
from configs.refinement import FlowSmoothingBlock
from labeling.refinement.factory import make_refiner
from labeling.refinement.flow_smoothing import FlowSmoothingRefiner
from labeling.refinement.people_over_time import Links, average_people, find_missed, move_people
from labeling.refinement.temporal_average import FloatMap, Link, contour_ramp, enlarge_positions, link_frames
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask, iou_matrix
from labeling.synthetic.canvas import value_noise
from labeling.video.decode import decode_clip
from labeling.video.encode import VideoWriter
from labeling.video.optical_flow import Flow
from tests.labeling import strategies  # noqa: F401  # the profile that repeats its examples

SIZE = (96, 128)
FPS = Fraction(25)
COUNT = 9
SPEED = 2
RNG = np.random.default_rng(1)
WALL, BODY = (
    np.clip(100 + 35 * np.dstack([value_noise(RNG, SIZE, cell_px=cell)] * 3), 0, 255) for cell in (14.0, 10.0)
)


def true_mask(number: int) -> Mask:
    pixels = np.zeros(SIZE, dtype=np.bool_)
    pixels[20:76, 20 + SPEED * number : 60 + SPEED * number] = True
    return Mask.from_array(pixels)


def image(number: int) -> RgbImage:
    """A body that moves right before a wall; after frame COUNT, another scene without texture in common."""
    if number >= COUNT:
        return np.asarray(255 - BODY[::-1], dtype=np.uint8)
    moved = np.roll(BODY, SPEED * number, axis=1) * np.array([1.0, 0.6, 0.5])
    return np.where(true_mask(number).to_array()[..., None], moved, WALL).astype(np.uint8)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with VideoWriter(path, fps=FPS, size_hw=SIZE, crf=8) as writer:
        for number in range(COUNT + 4):
            writer.write(image(number))
    return path


def flickering(number: int) -> Mask:
    """The true mask, without its upper half in every fourth frame."""
    pixels = true_mask(min(number, COUNT - 1)).to_array()
    if number % 4 == 0:
        pixels = pixels & (np.arange(SIZE[0]) >= 48)[:, None]
    return Mask.from_array(pixels)


@dataclass
class FlickeringTeacher:
    """Counts how often it sees each frame."""

    seen: list[int] = field(default_factory=list)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        numbers = [round(frame.t * FPS) for frame in frames]
        self.seen += numbers
        return [[person(flickering(number))] for number in numbers]


def person(mask: Mask, *, track_id: int | None = None) -> Instance:
    return Instance(mask, 0.9, mask.box_xywh, track_id=track_id)


def frames_of(path: Path) -> list[Frame]:
    return [Frame("v", one.pts_ms, one.to_rgb(), t=one.t) for one in decode_clip(Clip("v", path))]


def refined(
    video: Path, numbers: Sequence[int], *, clip: Clip | None = None, **settings: object
) -> list[Mask]:
    block = FlowSmoothingBlock.model_validate(settings)
    teacher = FlickeringTeacher()
    refiner = make_refiner(block).prepare(clip or Clip("v", video), teacher.segment)
    chosen = [frames_of(video)[number] for number in numbers]
    return [people[0].mask for people in refiner.refine(chosen, teacher.segment(chosen))]


def iou(first: Mask, second: Mask) -> float:
    return float(iou_matrix([first], [second])[0, 0])


def test_a_mask_that_flickers_is_completed_from_its_neighbors(video: Path) -> None:
    before = flickering(4)
    [after] = refined(video, [4])
    assert iou(before, true_mask(4)) < 0.6
    assert iou(after, true_mask(4)) > 0.85


def test_motion_is_followed_and_not_blurred(video: Path) -> None:
    for number, mask in zip((3, 5), refined(video, [3, 5]), strict=True):
        assert iou(mask, true_mask(number)) > 0.93


def test_the_result_depends_neither_on_the_batch_nor_on_the_shard(video: Path) -> None:
    together = refined(video, [3, 4, 5])
    alone = [refined(video, [number])[0] for number in (3, 4, 5)]
    assert together == alone
    shard = Clip("v", video, start_s=4 / FPS, end_s=5 / FPS)
    assert refined(video, [4], clip=shard) == [together[1]]
    backwards = refined(video, [5, 3, 4, 3])
    assert backwards == [together[2], together[0], together[1], together[0]]


def test_neighbors_are_segmented_once(video: Path) -> None:
    teacher, frames = FlickeringTeacher(), frames_of(video)[2:7]
    refiner = FlowSmoothingRefiner(FlowSmoothingBlock()).prepare(Clip("v", video), teacher.segment)
    people = [[person(true_mask(number))] for number in range(2, 7)]
    first = refiner.refine(frames, people)
    assert sorted(teacher.seen) == sorted(set(teacher.seen))
    assert refiner.refine(frames, people) == first
    assert len(teacher.seen) == len(set(teacher.seen))


def test_causal_smoothing_uses_no_later_frame(video: Path) -> None:
    teacher, frames = FlickeringTeacher(), frames_of(video)
    refiner = FlowSmoothingRefiner(FlowSmoothingBlock(causal=True)).prepare(Clip("v", video), teacher.segment)
    [[after]] = refiner.refine([frames[4]], [[person(flickering(4))]])
    assert sorted(teacher.seen) == [2, 3]
    assert iou(after.mask, true_mask(4)) > 0.8
    [[first]] = refiner.refine([frames[0]], [[person(flickering(0))]])
    assert first.not_refined == ("no frame of the shot within 0.2 s",)


def test_there_are_no_neighbors_beyond_a_cut(video: Path) -> None:
    teacher, frames = FlickeringTeacher(), frames_of(video)
    refiner = FlowSmoothingRefiner(FlowSmoothingBlock(shot_threshold=20)).prepare(
        Clip("v", video), teacher.segment
    )
    refiner.refine([frames[COUNT - 1]], [[person(true_mask(COUNT - 1))]])
    assert sorted(teacher.seen) == [COUNT - 3, COUNT - 2]
    teacher.seen.clear()
    refiner.refine([frames[COUNT]], [[person(true_mask(COUNT - 1))]])
    assert sorted(teacher.seen) == [COUNT + 1, COUNT + 2]


def test_images_without_a_time_and_frames_far_apart_keep_their_masks(video: Path) -> None:
    teacher, frame = FlickeringTeacher(), frames_of(video)[4]
    kept = person(flickering(4))
    for settings, one, reason in (
        ({}, replace(frame, pts_ms=None, index=4), "the images are not the frames of one shot"),
        ({"window_s": 0.03}, frame, "no frame of the shot within 0.03 s"),
    ):
        refiner = FlowSmoothingRefiner(FlowSmoothingBlock.model_validate(settings))
        prepared = refiner.prepare(Clip("v", video), teacher.segment)
        assert prepared.refine([one], [[kept]]) == [[replace(kept, not_refined=(reason,))]]
    assert prepared.refine([frame], [[]]) == [[]]


@dataclass
class ForgetfulTeacher:
    """Finds the person only in some frames."""

    shows: Sequence[int]

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        numbers = [round(frame.t * FPS) for frame in frames]
        return [[person(true_mask(number), track_id=3)] if number in self.shows else [] for number in numbers]


@pytest.mark.parametrize(
    ("shows", "is_added"),
    [((2, 3, 5, 6), True), ((3, 5, 6), True), ((2, 3), False), ((5,), False)],
)
def test_a_person_missed_in_one_frame_is_added_if_most_neighbors_show_them(
    video: Path, shows: tuple[int, ...], is_added: bool
) -> None:
    refiner = FlowSmoothingRefiner(FlowSmoothingBlock())
    prepared = refiner.prepare(Clip("v", video), ForgetfulTeacher(shows).segment)
    [added] = prepared.refine([frames_of(video)[4]], [[]])
    assert len(added) == is_added
    for one in added:
        assert one.score == pytest.approx(0.9)
        assert one.track_id == 3
        assert iou(one.mask, true_mask(4)) > 0.85
    never = FlowSmoothingRefiner(FlowSmoothingBlock(fill_missed=False))
    prepared = never.prepare(Clip("v", video), ForgetfulTeacher(shows).segment)
    assert prepared.refine([frames_of(video)[4]], [[]]) == [[]]


def test_each_missed_person_is_added_once_beside_the_others() -> None:
    here, left, right = person(box(3, 2)), person(box(0, 3)), person(box(5, 3))
    moved = move_people([([left, here, right], still_link()), ([here, right, left], still_link())])
    added = find_missed([here], moved, taken=[here.mask])
    assert [one.mask for one in added] == [left.mask, right.mask]
    assert find_missed([here, left, right], moved, taken=[]) == []
    [alone] = find_missed([here, right], moved, taken=[box(0, 1)])
    assert alone.mask == box(1, 2)
    assert find_missed([here, right], moved, taken=[box(0, 2)]) == []  # a remainder of a third


def test_it_must_be_prepared(video: Path) -> None:
    frame = frames_of(video)[4]
    with pytest.raises(ModelError, match="call prepare"):
        FlowSmoothingRefiner(FlowSmoothingBlock()).refine([frame], [[person(true_mask(4))]])


def still_link(weight: float = 1.0) -> Link:
    positions: Flow = np.dstack(np.meshgrid(np.arange(8), np.arange(6))).astype(np.float32)
    return Link(positions, np.full((6, 8), weight, np.float32))


def box(x: int, width: int) -> Mask:
    pixels = np.zeros((6, 8), dtype=np.bool_)
    pixels[:, x : x + width] = True
    return Mask.from_array(pixels)


def smooth_people(people: Sequence[Instance], links: Links, *, softness: float = 0.0) -> list[FloatMap]:
    return average_people(people, move_people(links, softness=softness))


def test_people_are_matched_by_track_or_else_by_iou() -> None:
    mine, other = person(box(0, 4)), person(box(4, 4))
    [by_iou] = smooth_people([mine], [([other, person(box(0, 3))], still_link())])
    assert by_iou[0].tolist() == [1, 1, 1, 0.5, 0, 0, 0, 0]
    tracked = replace(mine, track_id=7)
    shown = [replace(other, track_id=7), person(box(0, 3), track_id=8)]
    [by_track] = smooth_people([tracked], [(shown, still_link(weight=0.5))])
    assert by_track[0] == pytest.approx([2 / 3] * 4 + [1 / 3] * 4)
    [without_match] = smooth_people([mine], [([other], still_link())])
    assert np.array_equal(without_match, mine.mask.to_array())


def test_near_contours_are_averaged_and_a_missed_part_is_decided_by_the_majority() -> None:
    wide, narrow = person(box(0, 7)), person(box(0, 3))
    neighbors = [([narrow], still_link()), ([person(box(0, 4))], still_link())]
    [median], [mean] = (smooth_people([wide], neighbors, softness=share) for share in (0.0, 0.5))
    assert (median[0] > 0.5).sum() == 4
    assert (mean[0] > 0.5).sum() == 5  # of 7, 3 and 4 columns
    [outvoted] = smooth_people([wide], [([narrow], still_link())] * 2, softness=0.1)
    assert (outvoted[0] > 0.5).sum() == 3


@given(st_numpy.arrays(np.bool_, (6, 8)), st.floats(0.5, 4))
def test_a_ramp_keeps_the_contour_and_rises_across_it(pixels: BoolArray, half_px: float) -> None:
    ramp = contour_ramp(pixels, half_px=half_px)
    assert np.array_equal(ramp > 0.5, pixels)
    assert ((ramp >= 0) & (ramp <= 1)).all()
    assert np.allclose(ramp + contour_ramp(~pixels, half_px=half_px), 1) or pixels.all() or not pixels.any()


def test_maps_over_time_are_means_and_without_neighbors_the_masks(video: Path) -> None:
    teacher, frames = FlickeringTeacher(), frames_of(video)
    refiner = FlowSmoothingRefiner(FlowSmoothingBlock()).prepare(Clip("v", video), teacher.segment)
    [values] = refiner.smooth_maps(frames[4], [person(flickering(4))])
    inside = true_mask(4).to_array()
    assert values[inside].min() < 0.8
    assert values[24:44, 36:60].mean() > 0.5
    assert values[~inside].mean() < 0.05
    [alone] = refiner.smooth_maps(replace(frames[4], pts_ms=None, index=4), [person(flickering(4))])
    assert np.array_equal(alone, flickering(4).to_array())


def test_weights_fall_with_time_and_with_the_photometric_error() -> None:
    now = np.asarray(image(4)[..., 0])
    near = link_frames(now, now, dt_s=0.04, sigma_s=0.08, size_hw=SIZE)
    far = link_frames(now, now, dt_s=-0.08, sigma_s=0.08, size_hw=SIZE)
    assert np.allclose(near.weights, np.exp(-0.125))
    assert np.allclose(far.weights, np.exp(-0.5))
    brighter = np.clip(now.astype(int) + 26, 0, 255).astype(np.uint8)  # two standard deviations
    weak = link_frames(now, brighter, dt_s=0.04, sigma_s=0.08, size_hw=SIZE)
    assert np.median(weak.weights) < 0.3


def test_flow_of_a_small_image_serves_large_masks() -> None:
    small, large = (
        np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        for height, width in ((4, 6), (8, 12))
    )
    assert np.allclose(
        enlarge_positions(small + np.array([2, 1], np.float32), (8, 12)), large + np.array([4, 2], np.float32)
    )
    now, later = (np.asarray(image(number)[..., 0]) for number in (4, 5))
    link = link_frames(now, later, dt_s=0.04, sigma_s=0.08, size_hw=(192, 256))
    assert (link.positions.shape, link.weights.shape) == ((192, 256, 2), (192, 256))
