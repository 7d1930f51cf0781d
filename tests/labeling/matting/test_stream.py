"""The mattes of a clip, frame by frame."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from configs.errors import UnsupportedVideo
from configs.matting import PlateBlock
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.matting.frame import MattedFrame
from labeling.matting.network import MattingNetwork
from labeling.matting.stream import (
    BATCH,
    MAX_AHEAD,
    FindInstances,
    _Neighbors,
    matte_clip,
    prepare_frames,
)
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, fill_box, iou_matrix
from tests.fakes.mattes import (
    FIRST_WITH_PERSON,
    draw_walk,
    find_walker,
    walkers_at,
    walking_box,
    write_network,
    write_walk,
)
from tests.fakes.segmenters import ScriptedSegmenter
from tests.fakes.videos import Coding
from tests.labeling.segmenters.images import save_images


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> MattingNetwork:
    return MattingNetwork(write_network(tmp_path_factory.mktemp("network") / "tiny.onnx"))


def plate(size_hw: tuple[int, int] = (64, 96)) -> MaskedPlate:
    return MaskedPlate(draw_walk(0, size_hw), np.zeros(size_hw, np.uint8), PlateBlock())


def matte(path: Path, network: MattingNetwork, find: FindInstances, *, start: int = 0) -> list[MattedFrame]:
    return list(matte_clip(Clip("walk", path), find, network, plate(), start=start))


@pytest.mark.slow
@pytest.mark.parametrize("start", [1, 4, 7, 16, 23, 29, 30])
def test_a_clip_that_starts_in_the_middle_gives_the_same_bits(
    tmp_path: Path, network: MattingNetwork, start: int
) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=30)
    whole = matte(path, network, find_walker().segment)
    later = matte(path, network, find_walker().segment, start=start)
    assert [frame.index for frame in later] == list(range(start, 30))
    for one, other in zip(whole[start:], later, strict=True):
        assert one.t == other.t
        assert one.people == other.people
        assert np.array_equal(one.matte.alpha, other.matte.alpha)
        assert np.array_equal(one.matte.foreground, other.matte.foreground)


@pytest.mark.slow
def test_the_teacher_sees_the_same_batches_after_an_interruption(
    tmp_path: Path, network: MattingNetwork
) -> None:
    """A network may round differently in a batch of another size."""
    path = write_walk(tmp_path / "walk.mp4", frames=30)
    whole, later = find_walker(), find_walker()
    matte(path, network, whole.segment)
    matte(path, network, later.segment, start=18)
    assert later.batches == whole.batches[-len(later.batches) :]
    assert len(later.batches) < len(whole.batches)


def test_times_with_gaps_and_a_late_first_frame_stay_exact(tmp_path: Path, network: MattingNetwork) -> None:
    stamps = [700, 740, 900, 903, 2500, 2600, 2601, 5000]
    path = write_walk(tmp_path / "gaps.mkv", frames=8, pts=stamps)
    frames = matte(path, network, ScriptedSegmenter().segment)
    assert [frame.t for frame in frames] == [Fraction(stamp - 700, 1000) for stamp in stamps]
    relative = [stamp - 700 for stamp in stamps]
    find = ScriptedSegmenter((), walkers_at(relative)).segment
    whole = matte(path, network, find)
    for start in (3, 5, 7):
        later = matte(path, network, find, start=start)
        assert all(
            np.array_equal(a.matte.alpha, b.matte.alpha) for a, b in zip(whole[start:], later, strict=True)
        )


@pytest.mark.parametrize(("frames", "has_motion"), [(4, False), (5, True)])
def test_a_clip_of_fewer_than_five_frames_has_no_motion(
    tmp_path: Path, frames: int, has_motion: bool
) -> None:
    for form, pts in (("mp4", None), ("mkv", [1000 * i for i in range(frames)])):  # 10 and 1 frames/s
        path = write_walk(tmp_path / f"short.{form}", frames=frames, pts=pts)
        neighbors = _Neighbors(Clip("short", path))
        found = neighbors.around(Fraction(0), 0)
        assert (found is not None) == has_motion


def test_the_neighbors_are_the_frames_nearest_in_time(tmp_path: Path) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=40)
    neighbors = _Neighbors(Clip("walk", path))
    at_two_seconds = neighbors.around(Fraction(2), 20)
    later = _Neighbors(Clip("walk", path))
    for index in range(21):
        step_by_step = later.around(Fraction(index, 10), index)
    assert at_two_seconds is not None
    assert step_by_step is not None
    assert all(np.array_equal(a, b) for a, b in zip(at_two_seconds, step_by_step, strict=True))
    assert len(neighbors._window) < 30  # not all frames from the start on


@pytest.mark.slow
def test_a_person_who_is_lost_for_two_frames_stays(tmp_path: Path, network: MattingNetwork) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=20)
    times = walkers_at([100 * i for i in range(20)])
    times[1000] = times[1100] = []
    frames = matte(path, network, ScriptedSegmenter((), times).segment)
    assert [len(frame.people) for frame in frames] == [0] * 4 + [1] * 16
    for index in (10, 11):  # the mask has moved with the person
        assert iou_matrix([frames[index].people[0].mask], [box_mask(index)]).item() > 0.7


def test_a_person_who_is_found_late_is_cut_out_from_the_start(
    tmp_path: Path, network: MattingNetwork
) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=20)
    times = walkers_at([100 * i for i in range(20)])
    for index in range(FIRST_WITH_PERSON, 9):
        times[100 * index] = []
    frames = matte(path, network, ScriptedSegmenter((), times).segment)
    assert [len(frame.people) for frame in frames] == [0] * 5 + [1] * 15  # 0.4 s before the ninth frame
    assert iou_matrix([frames[5].people[0].mask], [box_mask(5)]).item() > 0.7


def box_mask(index: int) -> Mask:
    return fill_box(walking_box(index), (64, 96))


def test_few_frames_of_a_fast_camera_are_kept_in_memory(tmp_path: Path, network: MattingNetwork) -> None:
    path = write_walk(tmp_path / "fast.mkv", frames=60, pts=[4 * i for i in range(60)])
    seen: list[int] = []

    def find(frames: Sequence[Frame]) -> list[list[Instance]]:
        seen.extend(round(250 * float(frame.t or 0)) for frame in frames)
        return [[] for _ in frames]

    for frame in matte_clip(Clip("fast", path), find, network, plate()):
        assert max(seen) <= frame.index + MAX_AHEAD + 2 * BATCH


def test_a_person_who_never_leaves_a_place_is_not_known_background(
    tmp_path: Path, network: MattingNetwork
) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=12)
    empty = plate()
    coverage = np.zeros((64, 96), np.uint8)
    coverage[16:48, 12:26] = Coverage.LEAST_MOTION  # where the person is at the fifth frame
    covered = replace(empty, coverage=coverage)
    first, second, _ = prepare_frames(Clip("walk", path), find_walker().segment, covered, every=4)
    assert first.is_seen.all()  # no person is found there
    assert second.is_seen.sum() == 64 * 96 - 32 * 14


@pytest.mark.parametrize(("code", "kept"), [(Coverage.SEEN, 0), (Coverage.LEAST_MOTION, 1)])
def test_a_mask_on_the_empty_scene_is_kept_only_if_it_is_there_in_all_frames(
    tmp_path: Path, code: Coverage, kept: int
) -> None:
    path = write_walk(tmp_path / "walk.mp4", frames=6)
    covered = replace(plate(), coverage=np.full((64, 96), code, np.uint8))
    coat = ScriptedSegmenter(((60, 10, 12, 30),))
    (frame,) = prepare_frames(Clip("walk", path), coat.segment, covered, every=20)
    assert len(frame.people) == kept


def test_a_frame_of_another_size_than_the_plate_is_refused(tmp_path: Path, network: MattingNetwork) -> None:
    path = write_walk(tmp_path / "wide.mp4", frames=6, size_hw=(64, 128))
    with pytest.raises(UnsupportedVideo, match="128x64"):
        matte(path, network, find_walker().segment)


def test_the_images_of_a_folder_have_no_motion_and_no_memory(tmp_path: Path, network: MattingNetwork) -> None:
    first = FIRST_WITH_PERSON
    clip = save_images([draw_walk(i) for i in range(first, first + 6)], tmp_path)

    def find(frames: Sequence[Frame]) -> list[list[Instance]]:
        return [person_in(frame) if frame.index == 2 else [] for frame in frames]

    def person_in(frame: Frame) -> list[Instance]:
        mask = fill_box(walking_box(first + 2, frame.size_hw), frame.size_hw)
        return [Instance(mask, 0.9, mask.box_xywh)]

    frames = list(matte_clip(clip, find, network, plate()))
    assert [len(frame.people) for frame in frames] == [0, 0, 1, 0, 0, 0]
    assert isinstance(clip.images[0], ImageFile)


def test_rotated_and_odd_sized_videos_are_matted_upright(tmp_path: Path, network: MattingNetwork) -> None:
    path = write_walk(tmp_path / "turned.mp4", frames=6, coding=Coding(rotation_deg=90))
    frames = matte(path, network, find_walker().segment)
    assert {frame.matte.alpha.shape for frame in frames} == {(64, 96)}
    assert len(frames) == 6
    assert BATCH == 4
