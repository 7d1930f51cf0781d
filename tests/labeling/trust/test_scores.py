"""Trust against the formulas, written out."""

import math
from dataclasses import replace

import pytest

from configs.calibration import Calibration, Logistic, Stage
from labeling.trust.evidence import Evidence, InstanceEvidence
from labeling.trust.scores import MaskTrust, log_odds, predict_trust, with_trust
from tests.labeling.strategies import draw, instances

PERSON = InstanceEvidence(score=0.9, area_px=100, flip_iou=0.8)
CHEAP = Stage(
    instance=Logistic(bias=-1.0, weights={"score": 0.25}), frame=Logistic(bias=0.5, weights={"score": 1.0})
)
FULL = Stage(
    instance=Logistic(bias=-1.0, weights={"score": 1.0, "flip_iou": 2.0}),
    frame=Logistic(bias=0.0, weights={"score": 1.0, "flip_iou": 0.5}),
)
CALIBRATION = Calibration(teacher="t", cheap=CHEAP, full=FULL, thresholds=())


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_trust_is_the_logistic_of_the_weighted_features() -> None:
    trust = predict_trust(Evidence((PERSON,), flip_iou=0.8), CALIBRATION)
    assert trust is not None
    assert list(trust.instances) == [pytest.approx(sigmoid(-1.0 + log_odds(0.9) + 2 * log_odds(0.8)))]
    assert trust.frame == pytest.approx(sigmoid(log_odds(0.9) + 0.5 * log_odds(0.8)))


def test_stability_counts_for_a_mask_but_not_for_a_frame() -> None:
    stage = CHEAP.model_copy(update={"instance": Logistic(bias=0.0, weights={"decided": 2.0})})
    calibration = CALIBRATION.model_copy(update={"cheap": stage, "full": None})
    frames = set()
    for stability in (0.3, 0.6):
        trust = predict_trust(Evidence((replace(PERSON, stability=stability),)), calibration)
        assert trust is not None
        assert list(trust.instances) == [pytest.approx(sigmoid(2 * log_odds(stability)))]
        frames.add(trust.frame)
    assert len(frames) == 1


def test_a_mask_without_a_weighted_feature_has_trust_0() -> None:
    stage = CHEAP.model_copy(update={"instance": Logistic(bias=9.0, weights={"decided": 2.0})})
    trust = predict_trust(Evidence((PERSON,)), CALIBRATION.model_copy(update={"cheap": stage, "full": None}))
    assert trust is not None
    assert trust.instances == (0.0,)


def test_in_a_frame_each_mask_is_weighted_by_its_area() -> None:
    small = InstanceEvidence(score=0.5, area_px=25, flip_iou=0.0)
    trust = predict_trust(Evidence((PERSON, small), flip_iou=0.7), CALIBRATION)
    assert trust is not None
    score, flip = 0.8 * 0.9 + 0.2 * 0.5, 0.8 * 0.8
    assert trust.frame == pytest.approx(sigmoid(log_odds(score) + 0.5 * log_odds(flip)))


def test_without_the_mirrored_image_the_cheap_stage_counts() -> None:
    trust = predict_trust(Evidence((replace(PERSON, flip_iou=None),)), CALIBRATION)
    assert trust is not None
    assert list(trust.instances) == [pytest.approx(sigmoid(-1.0 + 0.25 * log_odds(0.9)))]
    assert trust.frame == pytest.approx(sigmoid(0.5 + log_odds(0.9)))


def test_a_teacher_that_cannot_see_mirrored_images_has_the_cheap_stage_alone() -> None:
    lone = CALIBRATION.model_copy(update={"full": None})
    assert predict_trust(Evidence((PERSON,), flip_iou=0.8), lone) == predict_trust(Evidence((PERSON,)), lone)


def test_a_frame_without_masks_has_no_trust() -> None:
    assert predict_trust(Evidence((), flip_iou=1.0), CALIBRATION) is None


@pytest.mark.parametrize("broken", [replace(PERSON, score=math.nan), replace(PERSON, flip_iou=math.nan)])
def test_nan_evidence_has_trust_0(broken: InstanceEvidence) -> None:
    trust = predict_trust(Evidence((broken,), flip_iou=0.8), CALIBRATION)
    assert trust is not None
    assert trust.instances == (0.0,)


def test_log_odds_are_finite() -> None:
    assert log_odds(1.0) == pytest.approx(math.log(99))
    assert log_odds(0.0) == pytest.approx(-math.log(99))
    assert log_odds(0.5) == 0.0


def test_each_instance_gets_its_own_trust_and_an_empty_mask_none() -> None:
    left, empty, right = instances([draw("#."), draw(".."), draw(".#")])
    given_trust = with_trust([left, empty, right], MaskTrust(0.5, (0.9, 0.2)))
    assert [one.trust for one in given_trust] == [0.9, None, 0.2]
    assert [one.trust for one in with_trust([left], None)] == [None]
