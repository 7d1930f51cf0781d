"""The landmark networks of the lite segmenter: which are loaded, the size of their masks, and the cascade of both."""

from pathlib import Path

import numpy as np
import pytest

from configs.segmenters import LiteBlock
from labeling.segmenters.blazepose import Crop, LandmarkNetwork
from labeling.segmenters.lite import MIN_NETWORKS_IOU, LiteSegmenter
from labeling.segmenters.weights import find_weights, weights_of_lite
from labeling.structures.frames import Frame
from labeling.structures.masks import Mask, iou_matrix
from tests.labeling.segmenters.images import best_ious, read_pennfudan

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def street(shared: Path) -> list[tuple[Frame, list[Mask]]]:
    return read_pennfudan(shared, every=60)


@pytest.fixture(scope="module")
def lite(shared: Path) -> LiteSegmenter:
    return LiteSegmenter(LiteBlock(), weights_dir=shared / "weights", threads=1)


@pytest.fixture(scope="module")
def cascade(shared: Path) -> LiteSegmenter:
    return LiteSegmenter(LiteBlock(landmarks="cascade"), weights_dir=shared / "weights", threads=1)


@pytest.mark.parametrize(("name", "side"), [("pose_landmark_lite", 128), ("pose_landmark_heavy", 256)])
def test_a_mask_has_the_resolution_of_its_file_and_lies_on_the_person(
    shared: Path, street: list[tuple[Frame, list[Mask]]], name: str, side: int
) -> None:
    network = LandmarkNetwork(find_weights(name, shared / "weights"), interpreters=1)
    frame, people = street[0]
    person = max(people, key=lambda mask: mask.area_px)
    found = network.run(frame.rgb, Crop.around(person.box_xywh, 1.25))
    assert found.mask_logits.shape == (side, side)
    assert found.presence > 0.9
    pixels = found.logits_in((0, 0, frame.size_hw[1], frame.size_hw[0])) > 0
    assert best_ious([Mask.from_array(pixels)], [person])[0] > 0.75


def test_the_cascade_keeps_each_person_with_the_score_and_takes_masks_on_which_both_agree(
    street: list[tuple[Frame, list[Mask]]], lite: LiteSegmenter, cascade: LiteSegmenter
) -> None:
    frames = [frame for frame, _ in street]
    drawn_again = 0
    for before, after in zip(lite.segment(frames), cascade.segment(frames), strict=True):
        assert [one.score for one in after] == [one.score for one in before]
        assert all(one.networks_iou is None for one in before)
        for first, second in zip(before, after, strict=True):
            assert second.networks_iou is not None
            is_kept = second.networks_iou < MIN_NETWORKS_IOU
            assert (second.mask == first.mask) == is_kept
            if not is_kept:
                drawn_again += 1
                assert iou_matrix([first.mask], [second.mask])[0, 0] == pytest.approx(second.networks_iou)
                assert second.box_xywh == second.mask.box_xywh
    assert drawn_again > 0


def test_the_heavy_network_alone_finds_people_in_the_street(
    shared: Path, street: list[tuple[Frame, list[Mask]]]
) -> None:
    heavy = LiteSegmenter(LiteBlock(landmarks="heavy"), weights_dir=shared / "weights", threads=1)
    (found,) = heavy.segment([street[0][0]])
    assert np.mean(best_ious([one.mask for one in found], street[0][1])) > 0.8
    assert all(one.networks_iou is None for one in found)


def test_a_person_is_found_in_a_given_box_and_not_in_an_empty_one(
    street: list[tuple[Frame, list[Mask]]], lite: LiteSegmenter
) -> None:
    frame, people = street[0]
    person = max(people, key=lambda mask: mask.area_px)
    found, nothing = lite.segment_boxes(frame, [person.box_xywh, (2.0, 2.0, 12.0, 30.0)])
    assert found is not None
    assert best_ious([found.mask], [person])[0] > 0.75
    assert nothing is None


@pytest.mark.parametrize(
    ("landmarks", "name"),
    [
        ("lite", "fastestdet+pose_landmark_lite"),
        ("cascade", "fastestdet+pose_landmark_lite+pose_landmark_heavy"),
        ("heavy", "fastestdet+pose_landmark_heavy"),
    ],
)
def test_only_the_networks_of_the_setting_are_required(landmarks: str, name: str) -> None:
    assert "+".join(weights_of_lite(LiteBlock.model_validate({"landmarks": landmarks}))) == name


def test_the_card_of_the_cascade_names_all_networks(cascade: LiteSegmenter) -> None:
    assert cascade.card.name == "fastestdet+pose_landmark_lite+pose_landmark_heavy"
    assert cascade.card.weights_sha256.endswith(
        "+59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe"
    )
    assert '"landmarks":"cascade"' in cascade.card.settings
