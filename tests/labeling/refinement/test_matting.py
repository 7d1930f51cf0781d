"""Refinement by background matting: on planted people with a network that subtracts, and on the rendered scene."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import ModelError
from configs.refinement import MattingRefineBlock
from labeling.comparison.boundary_iou import boundary_iou
from labeling.refinement.matting import MattingRefiner
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.refined import RefinedSegmenter, describe_unrefined
from labeling.structures.frames import Clip, Frame, RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoolArray, Mask, iou_matrix, union_masks
from labeling.synthetic.scene import Scene
from tests.fakes.difference_network import DifferenceNetwork
from tests.labeling.background.planted import texture
from tests.labeling.segmenters.images import save_images

SIZE_HW = (120, 240)
COLORS = (np.array([230, 20, 20], np.uint8), np.array([20, 20, 235], np.uint8))
Places = Sequence[int]
"""The left edge of each person."""


def body(left: int) -> BoolArray:
    pixels = np.zeros(SIZE_HW, dtype=bool)
    pixels[30:90, left : left + 24] = True
    return pixels


class Planted(StatelessSegmenter):
    """Finds the people of each image in a smaller box than theirs, by the frame's index."""

    card = ModelCard("python", "planted", "", "{}")

    def __init__(self, places: Sequence[Places]) -> None:
        self._places = places

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [[self._find(left) for left in self._places[frame.key]] for frame in frames]

    @staticmethod
    def _find(left: int) -> Instance:
        mask = Mask.from_array(cv2.erode(body(left).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)
        return Instance(mask, 0.9, mask.box_xywh)


def paint(places: Places, background: RgbImage) -> RgbImage:
    rgb = background.copy()
    for left, color in zip(places, COLORS, strict=False):
        rgb[body(left)] = color
    return rgb


WALK: list[Places] = [(4 + 20 * i, 28 + 20 * i) for i in range(9)]
"""Two people who touch each other walk through the image."""


class Case:
    """A clip of planted people and its refiner."""

    def __init__(
        self, folder: Path, places: Sequence[Places] = WALK, *, images: Sequence[RgbImage] | None = None
    ) -> None:
        self.background = texture(3, SIZE_HW)
        self.images = images or [paint(each, self.background) for each in places]
        clip = save_images(self.images, folder)
        files = tuple(replace(file, pts_ms=40 * file.position) for file in clip.images)
        self.clip = replace(clip, images=files)
        self.teacher = Planted(places)
        self.network = DifferenceNetwork()

    @cached_property
    def segmenter(self) -> RefinedSegmenter:
        return self.prepare(self.clip)

    def prepare(self, clip: Clip) -> RefinedSegmenter:
        refiner = MattingRefiner(MattingRefineBlock(), self.network)
        return RefinedSegmenter(self.teacher, [refiner]).prepare(clip)

    def refine(self, *frames: Frame) -> list[list[Instance]]:
        return self.segmenter.segment(frames)

    def frame(self, index: int, rgb: RgbImage | None = None) -> Frame:
        return Frame("v", 40 * index, self.images[index] if rgb is None else rgb, index=index)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.slow
def test_two_people_who_touch_keep_their_order_and_get_their_own_pixels(case: Case) -> None:
    for index, people in enumerate(case.refine(*map(case.frame, range(9)))):
        true = [Mask.from_array(body(left)) for left in WALK[index]]
        ious = iou_matrix([person.mask for person in people], true)
        assert np.diag(ious).min() > 0.9
        assert (ious - np.diag(np.diag(ious))).max() < 0.05
        assert [person.refined_by for person in people] == ["matting:difference@d1d1d1d1"] * 2
        assert all(person.iou_before and person.iou_before < 0.75 for person in people)


def test_frames_of_one_call_go_through_the_network_together(case: Case) -> None:
    case.refine(*map(case.frame, range(4)))
    assert case.network.batches == [4]


@pytest.mark.slow
def test_masks_are_the_same_whatever_the_batch(case: Case) -> None:
    together = case.refine(*map(case.frame, range(9)))
    assert [case.refine(case.frame(index))[0] for index in range(9)] == together


@pytest.mark.slow
def test_the_clip_gives_the_same_masks_again(case: Case) -> None:
    frames = [case.frame(index) for index in (1, 5)]
    assert case.prepare(case.clip).segment(frames) == case.refine(*frames)


def test_a_mirrored_frame_is_compared_with_the_plate(case: Case, tmp_path: Path) -> None:
    class Mirroring(Planted):
        def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
            found = super().segment(frames)
            return [
                [person.mirror(SIZE_HW[1]) if frame.is_mirrored else person for person in people]
                for frame, people in zip(frames, found, strict=True)
            ]

    case.teacher = Mirroring(WALK)
    [plain], [mirrored] = (case.refine(frame) for frame in (case.frame(2), case.frame(2).mirror()))
    assert [person.mirror(SIZE_HW[1]) for person in mirrored] == plain


def test_images_without_times_are_not_refined(case: Case) -> None:
    untimed = tuple(replace(file, pts_ms=None) for file in case.clip.images)
    [people] = case.prepare(replace(case.clip, images=untimed)).segment([case.frame(2)])
    assert tuple(map(str, describe_unrefined(people))) == (
        "not refined by matting: the images are not the frames of one shot",
    )
    assert people[0].mask == case.teacher.segment([case.frame(2)])[0][0].mask


@pytest.mark.slow
def test_a_moving_camera_is_the_reason(tmp_path: Path) -> None:
    moving = Case(tmp_path, images=[paint(each, texture(i, SIZE_HW)) for i, each in enumerate(WALK)])
    [people] = moving.refine(moving.frame(2))
    [reason] = describe_unrefined(people)
    assert str(reason).startswith("not refined by matting: the camera moves to other views: ")
    assert sum(moving.network.batches) == 0


def test_images_of_several_sizes_are_not_refined(tmp_path: Path) -> None:
    case = Case(
        tmp_path, images=[*(paint(each, texture(3, SIZE_HW)) for each in WALK[:8]), texture(3, (90, 90))]
    )
    [people] = case.refine(case.frame(2))
    assert tuple(map(str, describe_unrefined(people))) == (
        "not refined by matting: the images of the clip have several sizes",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: paint(WALK[2], texture(8, SIZE_HW)), "the frame shows another view than the background"),
        (lambda rgb: np.roll(rgb, 4, axis=0), "the frame is shifted by 4.0 px against the background"),
        (lambda rgb: rgb[:60], "the frame has another size than the clip"),
    ],
)
def test_a_frame_of_another_view_is_not_refined(
    case: Case, change: Callable[[RgbImage], RgbImage], reason: str
) -> None:
    refiner = MattingRefiner(MattingRefineBlock(), case.network).prepare(case.clip, case.teacher.segment)
    frame = case.frame(2)
    [people] = case.teacher.segment([frame])
    changed = np.ascontiguousarray(change(frame.rgb))
    [found] = refiner.refine([case.frame(2, changed)], [people])
    assert [person.not_refined for person in found] == [(reason,)] * 2
    assert [person.mask for person in found] == [person.mask for person in people]


def test_a_person_who_always_covers_the_background_is_not_refined(tmp_path: Path) -> None:
    places: list[Places] = [(100, 20 * i) for i in (0, 1, 2, 3, 7, 8, 9)]
    case = Case(tmp_path, places)
    [(standing, walking)] = case.refine(case.frame(1))
    assert standing.not_refined == ("matting: 100% of the background behind the mask is unknown",)
    assert walking.refined_by == "matting:difference@d1d1d1d1"


def test_a_change_of_light_does_not_matter(case: Case) -> None:
    darker = cv2.convertScaleAbs(case.frame(4).rgb, alpha=0.85, beta=5).astype(np.uint8)
    [people] = case.refine(case.frame(4, darker))
    true = [Mask.from_array(body(left)) for left in WALK[4]]
    assert np.diag(iou_matrix([person.mask for person in people], true)).min() > 0.9


def test_frames_without_people_or_masks_pass(case: Case) -> None:
    refiner = MattingRefiner(MattingRefineBlock(), case.network).prepare(case.clip, case.teacher.segment)
    empty = Instance(Mask.empty(SIZE_HW), 0.9, (0.0, 0.0, 1.0, 1.0))
    assert refiner.refine([case.frame(0), case.frame(1)], [[], [empty]]) == [[], [empty]]


def test_it_must_be_prepared(case: Case) -> None:
    with pytest.raises(ModelError, match=r"call prepare\(clip\)"):
        MattingRefiner(MattingRefineBlock(), case.network).refine([case.frame(0)], [[]])


class Degraded(StatelessSegmenter):
    """Finds the true people of the scene with the contour of a coarse network, one pixel of `cell_px` square."""

    card = ModelCard("python", "degraded", "", "{}")

    def __init__(self, scene: Scene, *, cell_px: int, grow_px: int) -> None:
        self._scene, self._cell_px, self._grow_px = scene, cell_px, grow_px

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [[self._degrade(mask) for mask in self._scene.frame(frame.key)[1]] for frame in frames]

    def _degrade(self, mask: Mask) -> Instance:
        pixels = mask.to_array().astype(np.float32)
        size = (mask.size_hw[1] // self._cell_px, mask.size_hw[0] // self._cell_px)
        coarse = cv2.resize(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), mask.size_hw[::-1])
        kernel = np.ones((2 * abs(self._grow_px) + 1,) * 2, np.uint8)
        change = cv2.dilate if self._grow_px > 0 else cv2.erode
        found = Mask.from_array(change((coarse > 0.3).astype(np.uint8), kernel) > 0)
        return Instance(found, 0.9, found.box_xywh)


@pytest.mark.slow
@pytest.mark.parametrize("grow_px", [-1, 2])
def test_the_shipped_network_improves_coarse_masks_of_the_scene(tmp_path: Path, grow_px: int) -> None:
    scene = Scene(seconds=20, fps=Fraction(2), size_hw=(240, 320))
    clip = save_images([scene.frame(i)[0] for i in range(scene.frame_count)], tmp_path)
    clip = replace(clip, images=tuple(replace(file, pts_ms=500 * file.position) for file in clip.images))
    teacher = Degraded(scene, cell_px=8, grow_px=grow_px)
    segmenter = RefinedSegmenter(teacher, [MattingRefiner(MattingRefineBlock())]).prepare(clip)
    frames = [Frame("v", 500 * i, scene.frame(i)[0], index=i) for i in range(6, scene.frame_count - 6, 4)]
    before, after = (
        _score(scene, frames, teacher.segment(frames)),
        _score(scene, frames, segmenter.segment(frames)),
    )
    assert after[0] > before[0] + 0.03
    assert after[1] > before[1] + 0.05


def _score(scene: Scene, frames: Sequence[Frame], found: Sequence[Sequence[Instance]]) -> tuple[float, float]:
    """Return the mean IoU and boundary IoU of the unions of frames with people."""
    scores = []
    for frame, people in zip(frames, found, strict=True):
        true = union_masks(scene.frame(frame.key)[1], scene.size_hw)
        union = union_masks([person.mask for person in people], scene.size_hw)
        if true:
            scores.append((float(iou_matrix([union], [true])[0, 0]), boundary_iou(union, true)))
    iou, boundary = np.mean(scores, axis=0)
    return float(iou), float(boundary)
