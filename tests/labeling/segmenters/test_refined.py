"""A segmenter with refiners: which masks are accepted, and what the instances state about it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.errors import ConfigError, ModelOutputWrong
from labeling.refinement.protocol import Refiner, Segment, StatelessRefiner, refiners_in
from labeling.segmenters.protocol import Segmenter
from labeling.segmenters.refined import RefinedSegmenter
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import COCO_KEYPOINTS, Instance, ModelCard
from labeling.structures.masks import Mask
from tests.fakes.segmenters import ScriptedPoseSegmenter, ScriptedSegmenter
from tests.labeling.segmenters.images import make_frame, noise
from tests.labeling.segmenters.test_factory import make

LEFT, RIGHT = (4, 10, 10, 20), (30, 10, 10, 20)
Pixels = NDArray[np.bool_]


class Change(StatelessRefiner):
    """Applies a function to the pixels of each mask."""

    def __init__(self, change: Callable[[Pixels], Pixels], name: str = "change", sha256: str = "") -> None:
        self.card = ModelCard("python", name, sha256, '{"strength":2}')
        self._change = change

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [
            [replace(person, mask=Mask.from_array(self._change(person.mask.to_array()))) for person in people]
            for people in instances
        ]


class Refusing(Change):
    """Refuses the first person of each frame."""

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [
            [
                replace(person, not_refined=(*person.not_refined, "too dark")) if i == 0 else person
                for i, person in enumerate(people)
            ]
            for people in super().refine(frames, instances)
        ]


def cut_right(pixels: Pixels) -> Pixels:
    """Remove the last column of the mask."""
    columns = np.flatnonzero(pixels.any(axis=0))
    return np.asarray(pixels & (np.arange(pixels.shape[1]) < columns.max(initial=0)))


def shift_right(pixels: Pixels) -> Pixels:
    return np.roll(pixels, 2, axis=1)


def frame() -> Frame:
    return make_frame(noise(40, 60))


def refined(*refiners: Refiner, boxes: Sequence[tuple[int, int, int, int]] = (LEFT, RIGHT)) -> list[Instance]:
    [people] = RefinedSegmenter(ScriptedSegmenter(boxes), refiners).segment([frame()])
    return people


def test_a_refined_mask_states_by_what_and_how_much_it_changed() -> None:
    left, right = refined(Change(cut_right, sha256="ab" * 32))
    assert left.mask.box_xywh == left.box_xywh == (4, 10, 9, 20)
    assert right.mask.box_xywh == (30, 10, 9, 20)
    assert (left.refined_by, left.iou_before) == ("python:change@abababab", 0.9)
    assert left.not_refined == ()


def test_refiners_follow_each_other_and_the_iou_is_that_with_the_first_mask() -> None:
    [person] = refined(Change(cut_right, "first"), Change(cut_right, "second"), boxes=[LEFT])
    assert person.mask.box_xywh == (4, 10, 8, 20)
    assert (person.refined_by, person.iou_before) == ("python:first, python:second", 0.8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (np.zeros_like, "python: the refined mask is empty"),
        (
            lambda pixels: np.roll(pixels, 8, axis=1),
            "python: the refined mask has an IoU of 0.11 with the mask before",
        ),
    ],
)
def test_a_mask_that_is_empty_or_elsewhere_is_not_accepted(
    change: Callable[[Pixels], Pixels], reason: str
) -> None:
    [person] = refined(Change(change), Change(cut_right, "next"), boxes=[LEFT])
    assert person.not_refined == (reason,)
    assert (person.refined_by, person.iou_before) == ("python:next", 0.9)


def test_a_refiner_may_refuse_some_of_the_people() -> None:
    left, right = refined(Refusing(cut_right))
    assert left.mask.box_xywh == LEFT
    assert left.not_refined == ("python: too dark",)
    assert (left.refined_by, left.iou_before) == (None, None)
    assert (right.refined_by, right.not_refined) == ("python:change", ())


class Scoring(Change):
    """Halves the scores, and gives keypoints."""

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [
            [replace(person, score=person.score / 2, keypoints=((1.0, 2.0, 0.5),)) for person in people]
            for people in super().refine(frames, instances)
        ]


class Pointing(StatelessRefiner):
    """Gives keypoints, and leaves masks as they are."""

    card = ModelCard("python", "pointing", "", "{}")

    def refine(
        self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
    ) -> list[list[Instance]]:
        return [[replace(person, keypoints=((1.0, 2.0, 0.5),)) for person in people] for people in instances]


def test_score_and_keypoints_come_with_a_mask_that_is_accepted() -> None:
    [person] = refined(Scoring(cut_right), boxes=[LEFT])
    assert (person.score, person.keypoints) == (0.45, ((1.0, 2.0, 0.5),))
    [person] = refined(Scoring(np.zeros_like), boxes=[LEFT])
    assert (person.score, person.keypoints) == (0.9, None)


def test_a_refiner_of_keypoints_alone_is_none_of_the_mask() -> None:
    [person] = refined(Pointing(), boxes=[LEFT])
    assert person.keypoints == ((1.0, 2.0, 0.5),)
    assert (person.refined_by, person.iou_before, person.not_refined) == (None, None, ())


def test_a_detectors_box_and_an_empty_mask_stay() -> None:
    [person] = RefinedSegmenter(ScriptedPoseSegmenter([LEFT]), [Change(cut_right)]).segment([frame()])[0]
    assert not person.mask
    assert person.box_xywh == LEFT
    assert person.refined_by is None


def test_a_mirrored_frame_is_refined_as_the_original() -> None:
    segmenter = RefinedSegmenter(ScriptedSegmenter([LEFT]), [Change(shift_right)])
    [plain], [mirrored] = segmenter.segment([frame(), frame().mirror()])
    assert plain.mask.box_xywh == (6, 10, 10, 20)
    assert mirrored.mask.box_xywh == (2, 10, 10, 20)
    assert mirrored.mirror(60).mask.box_xywh == (48, 10, 10, 20)


def test_mirroring_twice_changes_nothing() -> None:
    mask = Mask.from_array(np.eye(40, 60, dtype=bool))
    keypoints = tuple((float(i), 2.0 * i, 0.1) for i in range(len(COCO_KEYPOINTS)))
    person = Instance(mask, 0.5, (1.5, 2.0, 3.0, 4.0), keypoints)
    mirrored = person.mirror(60)
    assert mirrored.mirror(60) == person
    assert mirrored.box_xywh == (55.5, 2.0, 3.0, 4.0)
    assert mirrored.keypoints
    left, right = COCO_KEYPOINTS.index("left_wrist"), COCO_KEYPOINTS.index("right_wrist")
    assert mirrored.keypoints[left] == (60 - right, 2.0 * right, 0.1)


def test_a_wrong_number_of_instances_is_an_error() -> None:
    class Losing(Change):
        def refine(
            self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
        ) -> list[list[Instance]]:
            return [list(people[1:]) for people in instances]

    with pytest.raises(ModelOutputWrong, match=r"python:change: \[1\] instances for \[2\]"):
        refined(Losing(cut_right))


def test_people_whom_a_refiner_adds_come_last_with_its_name_and_no_mask_before() -> None:
    class Adding(Change):
        def refine(
            self, frames: Sequence[Frame], instances: Sequence[Sequence[Instance]]
        ) -> list[list[Instance]]:
            return [[*people, replace(people[0], score=0.3)] for people in instances]

    *before, added = refined(Adding(cut_right))
    assert len(before) == 2
    assert (added.score, added.refined_by, added.iou_before) == (0.3, "python:change", 0.0)


def test_refiners_are_prepared_with_the_clip_and_the_segmenter() -> None:
    seen: list[tuple[Clip, int]] = []

    class Learning(Change):
        def prepare(self, clip: Clip, segment: Segment) -> "Learning":
            seen.append((clip, len(segment([frame()])[0])))
            return Learning(cut_right, "prepared")

    clip = Clip("v")
    prepared = RefinedSegmenter(ScriptedSegmenter([LEFT, RIGHT]), [Learning(shift_right)]).prepare(clip)
    assert seen == [(clip, 2)]
    assert prepared.segment([frame()])[0][0].refined_by == "python:prepared"


def test_the_card_is_the_segmenters_with_the_refiners_in_its_settings() -> None:
    teacher: Segmenter = ScriptedSegmenter(sees_mirrored=True)
    card = RefinedSegmenter(teacher, [Change(cut_right, sha256="ab" * 32)]).card
    described = {"kind": "python", "name": "change", "weights_sha256": "ab" * 32, "strength": 2}
    assert json.loads(card.settings)["refine"] == [described]
    assert replace(card, settings="{}") == teacher.card
    assert refiners_in(card.settings) == ("python:change@abababab",)


def test_free_settings_of_a_users_segmenter_are_kept_in_the_card() -> None:
    teacher = ScriptedSegmenter()
    teacher.card = replace(teacher.card, settings="my own words")
    assert json.loads(RefinedSegmenter(teacher, []).card.settings) == {
        "settings": "my own words",
        "refine": [],
    }


def test_a_block_with_refiners_is_made_with_them() -> None:
    made = make({"kind": "background", "refine": ["guided_filter"]})
    assert isinstance(made, RefinedSegmenter)
    assert refiners_in(made.card.settings) == ("guided_filter:color",)


def test_boxes_cannot_be_refined() -> None:
    factory = "tests.labeling.segmenters.test_refined:boxes_only"
    with pytest.raises(ConfigError, match=r"refine: python:boxes gives boxes"):
        make({"kind": "python", "factory": factory, "refine": ["guided_filter"]})


def boxes_only() -> ScriptedSegmenter:
    """Return a segmenter without masks."""
    segmenter = ScriptedSegmenter()
    segmenter.card = ModelCard("python", "boxes", "", "{}", gives_masks=False)
    return segmenter
