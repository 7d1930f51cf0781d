"""Selfie segmentation against its network run by hand, and against the truth."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from configs.segmenters import SelfieBlock
from labeling.segmenters.selfie import SelfieSegmenter
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray, union_masks
from tests.labeling.segmenters.images import best_ious, make_frame, noise, read_pennfudan

pytestmark = pytest.mark.shared

UNION_FLOOR = 0.70
"""Measured: 0.74 on every fourth image of PennFudan."""


@pytest.fixture(scope="module")
def selfie(shared: Path) -> SelfieSegmenter:
    return SelfieSegmenter(SelfieBlock(), weights_dir=shared / "weights")


def run_by_hand(weights: Path, rgb: RgbImage) -> BoolArray:
    net = Interpreter(str(weights))
    net.allocate_tensors()
    shrunk = cv2.resize(rgb, (256, 256), interpolation=cv2.INTER_AREA)
    net.set_tensor(net.get_input_details()[0]["index"], (shrunk / 255.0)[None].astype(np.float32))
    net.invoke()
    probability = net.get_tensor(net.get_output_details()[0]["index"])[0, :, :, 0]
    above: BoolArray = cv2.resize(probability, rgb.shape[1::-1]) > 0.5
    return above


def test_the_mask_is_what_the_network_gives_by_hand(shared: Path, selfie: SelfieSegmenter) -> None:
    (frame, _), *_ = read_pennfudan(shared, every=100)
    ((instance,),) = selfie.segment([frame])
    expected = run_by_hand(shared / "weights" / "mediapipe" / "selfie_segmentation.tflite", frame.rgb)
    assert (instance.mask.to_array() != expected).mean() < 1e-4
    assert instance.box_xywh == instance.mask.box_xywh


def test_people_in_the_street_are_mostly_covered(shared: Path, selfie: SelfieSegmenter) -> None:
    street = read_pennfudan(shared, every=4)
    found = selfie.segment([frame for frame, _ in street])
    ious = [
        best_ious([one.mask for one in people], [union_masks(truth, frame.size_hw)])[0]
        for people, (frame, truth) in zip(found, street, strict=True)
    ]
    assert np.mean(ious) > UNION_FLOOR
    assert all(len(people) == 1 for people in found)


def test_a_mask_below_the_minimum_area_is_dropped(shared: Path) -> None:
    (frame, _), *_ = read_pennfudan(shared, every=100)
    strict = SelfieSegmenter(SelfieBlock(min_area=0.9), weights_dir=shared / "weights")
    assert strict.segment([frame, make_frame(noise(40, 60))]) == [[], []]


def test_the_card_says_that_it_gives_no_instances(selfie: SelfieSegmenter) -> None:
    card = selfie.card
    assert (card.kind, card.name, card.gives_instances) == ("selfie", "selfie_segmentation", False)
    assert card.weights_sha256.startswith("8d13b7fa")
    assert json.loads(card.settings) == {"mask_threshold": 0.5, "min_area": 0.001}
