"""Masks from keypoints: several people, too few keypoints, an empty foreground, and a skeleton without a mask."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.load import load_config
from configs.segmenters import PoseGuidedBlock
from labeling.pose_masks.inputs import PoseMaskInput
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.pose_guided import PoseGuidedSegmenter, drop_specks
from labeling.structures.instances import COCO_KEYPOINTS, Instance, Keypoints
from labeling.structures.masks import Mask
from labeling.synthetic.scene import Scene
from tests.fakes.segmenters import FixedSegmenter
from tests.labeling.pose_masks.test_prior import keypoints
from tests.labeling.segmenters.images import make_frame

SIZE_HW = (256, 400)
GRAY = np.full((*SIZE_HW, 3), 128, np.uint8)


def person(points: Keypoints | None, box: tuple[float, float, float, float] = (90, 30, 70, 190)) -> Instance:
    return Instance(Mask.empty(SIZE_HW), 0.81, box, points)


def shifted(points: Keypoints, right: float) -> Keypoints:
    return tuple((x + right * (score > 0), y, score) for x, y, score in points)


WHOLE = keypoints(*COCO_KEYPOINTS)


class PriorNetwork:
    """Returns the prior, or nothing."""

    side_px, sha256 = 256, "0" * 64

    def __init__(self, *, is_empty: bool = False) -> None:
        self.is_empty = is_empty
        self.inputs: list[PoseMaskInput] = []

    def run(self, inputs: Sequence[PoseMaskInput]) -> list[Any]:
        self.inputs += inputs
        return [
            one.prior_logit[0] * 0 if self.is_empty else 1 / (1 + np.exp(-one.prior_logit[0]))
            for one in inputs
        ]


def make(
    people: Sequence[Instance],
    block: PoseGuidedBlock | None = None,
    *,
    network: PriorNetwork | None = None,
    base: Sequence[Instance] | None = None,
) -> PoseGuidedSegmenter:
    segmenter = PoseGuidedSegmenter(
        (block or PoseGuidedBlock()).model_copy(update={"method": "graph_cut"}),
        FixedSegmenter([list(people)]),
        FixedSegmenter([list(base)]) if base is not None else None,
    )
    if network:
        segmenter._network = network  # type: ignore[assignment]
    return segmenter


def pixels(instance: Instance) -> Any:
    return instance.mask.to_array() > 0


def test_each_pixel_belongs_to_the_person_of_the_largest_probability() -> None:
    people = [person(WHOLE), person(shifted(WHOLE, 30)), person(shifted(WHOLE, 200))]
    network = PriorNetwork()
    (found,) = [make(people, network=network).segment([make_frame(GRAY)])[0]]
    assert len(found) == 3
    first, second, third = map(pixels, found)
    assert not (first & second).any()
    assert not (second & third).any()
    (alone,) = make([people[2]], network=PriorNetwork()).segment([make_frame(GRAY)])[0]
    assert (pixels(alone) == third).all()
    assert first[72:120, 110:120].all()  # the first one's right side
    assert second[72:120, 168:174].all()
    assert network.inputs[0].pose[15].any()  # it sees the others' prior
    assert [one.keypoints for one in found] == [one.keypoints for one in people]
    assert all(0 < one.score <= 0.9 and one.stability is not None for one in found)
    assert all(one.box_xywh == one.mask.box_xywh for one in found)


def test_a_person_with_too_few_keypoints_gets_a_mask_in_the_box_and_half_the_score() -> None:
    rgb = GRAY.copy()
    rgb[60:200, 100:150] = (200, 40, 40)
    few = person(keypoints("left_knee", "left_hip"), (90.0, 50.0, 70.0, 160.0))
    (found,) = make([few]).segment([make_frame(rgb)])[0]
    truth = rgb[..., 1] == 40
    assert (pixels(found) & truth).sum() / (pixels(found) | truth).sum() > 0.9
    assert found.score < 0.5
    (none,) = make([replace(few, keypoints=None)]).segment([make_frame(GRAY)])[0]
    assert pixels(none).any()  # GrabCut finds nothing: the box
    assert make([replace(few, box_xywh=(500.0, 10.0, 20.0, 20.0))]).segment([make_frame(GRAY)]) == [[]]


def test_without_foreground_the_mask_is_the_prior() -> None:
    (found,) = make([person(WHOLE)], network=PriorNetwork(is_empty=True)).segment([make_frame(GRAY)])[0]
    (expected,) = make([person(WHOLE)], network=PriorNetwork()).segment([make_frame(GRAY)])[0]
    assert pixels(found).sum() == pytest.approx(pixels(expected).sum(), rel=0.1)


def test_a_skeleton_without_a_mask_is_added_to_the_masks_of_the_base() -> None:
    box = np.zeros(SIZE_HW, np.uint8)
    box[30:220, 90:170] = 1
    known = Instance(Mask.from_array(box), 0.95, (90.0, 30.0, 80.0, 190.0))
    lost = Instance(Mask.empty(SIZE_HW), 0.9, (1.0, 1.0, 2.0, 2.0))
    people = [person(WHOLE), person(shifted(WHOLE, 120)), person(keypoints("nose", "left_eye"))]
    found = make(people, network=PriorNetwork(), base=[known, lost]).segment([make_frame(GRAY)])[0]
    assert found[0] == known
    assert len(found) == 2
    assert pixels(found[1])[72:120, 240:255].all()
    assert not (pixels(found[1]) & pixels(known)).any()
    assert make([people[0]], network=PriorNetwork(), base=[known]).segment([make_frame(GRAY)]) == [[known]]


def test_the_card_names_the_pose_model_and_what_changes_the_output() -> None:
    card = make([]).card
    assert (card.kind, card.name) == ("pose_guided", "graph_cut+fixed")
    assert '"solver":"grab_cut"' in card.settings
    assert '"pose":{"kind":"python","name":"fixed"' in card.settings


def test_the_config_has_short_forms_and_refuses_a_model_without_keypoints(tmp_path: Path) -> None:
    teacher = load_config("lite", ["teacher=pose_guided:graph_cut", "trust.verifier=pose_guided"]).teacher
    assert teacher == PoseGuidedBlock(method="graph_cut")
    file = tmp_path / "mine.yaml"
    file.write_text(
        "teacher: {kind: pose_guided, path: weights/network.onnx, pose: lite, base: selfie}\nstudent: lite\n"
    )
    block = load_config(str(file)).teacher
    assert isinstance(block, PoseGuidedBlock)
    assert block.path == tmp_path / "weights" / "network.onnx"
    with pytest.raises(ConfigError, match="gives no keypoints"):
        load_config("lite", ["teacher={kind: pose_guided, pose: 'torchvision:maskrcnn_resnet50_fpn'}"])


@pytest.mark.shared
def test_people_of_the_rendered_scene_are_found_by_the_network_of_the_package(shared: Path) -> None:
    segmenter = make_segmenter(PoseGuidedBlock(), weights_dir=shared / "weights", device="cpu", batch=1)
    rgb, masks = Scene(seconds=4).frame(50)
    (found,) = [segmenter.segment([make_frame(rgb)])[0]]
    assert found
    best = [
        max(
            (pixels(one) & (mask.to_array() > 0)).sum() / (pixels(one) | (mask.to_array() > 0)).sum()
            for mask in masks
        )
        for one in found
    ]
    assert np.mean(best) > 0.7


def test_small_parts_without_a_keypoint_are_dropped() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[5:30, 5:25] = mask[2:6, 40:44] = mask[30:34, 40:44] = mask[10:20, 50:58] = True
    cleaned = drop_specks(mask, ((41.0, 31.0, 0.9), (41.0, 3.0, 0.0)))
    assert cleaned[10, 10]
    assert cleaned[31, 41]  # a keypoint
    assert cleaned[15, 55]  # large
    assert not cleaned[3, 41]
