"""Each sign for and against the teacher, at its threshold, and the reasons."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from configs.calibration import Calibration
from configs.load import load_config
from configs.models import Agreement, Trust
from labeling.comparison.agreement import compare_instances
from labeling.structures.agreement import FrameAgreement
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray
from labeling.trust.checks import gather_evidence, with_coherence
from labeling.trust.decide import Decision, decide, needs_flip, would_accept
from labeling.trust.evidence import Evidence, SecondOpinion
from tests.labeling.strategies import draw, draw_labels, instance, instances

SETTINGS = Trust(min_score=0.7, min_flip_iou=0.8, min_keypoints_inside=0.9)


class Signs(NamedTuple):
    flip_iou: float | None = None
    keypoints_inside: float | None = None


UNKNOWN = Signs()
GOOD = Signs(flip_iou=0.95, keypoints_inside=1.0)
JUMPS = "the mask jumps: IoU {} with the previous frame's mask moved by optical flow (minimum 0.50)"
LEFT = draw("##..", "##..", "....", "....")
RIGHT = draw("...#", "...#", "...#", "...#")


def compare(teacher: list[Instance], student: list[BoolArray]) -> FrameAgreement:
    return compare_instances(teacher, instances(student), (4, 4), Agreement())


def decision_of(
    teacher: list[Instance], student: list[BoolArray], signs: Signs = GOOD, settings: Trust = SETTINGS
) -> Decision:
    return decide(compare(teacher, student), known(teacher, signs), settings)


def known(teacher: list[Instance], signs: Signs = UNKNOWN) -> Evidence:
    """Return a teacher's evidence with given signs instead of measured ones."""
    measured = gather_evidence(teacher, (4, 4), min_keypoint_score=0.5)
    instances = tuple(replace(one, keypoints_inside=signs.keypoints_inside) for one in measured.instances)
    return Evidence(instances, signs.flip_iou)


def test_a_frame_on_which_both_agree_is_easy() -> None:
    unsure = instance(LEFT, score=0.1)
    assert decision_of([unsure], [LEFT], Signs(flip_iou=0.0, keypoints_inside=0.0)) == Decision("easy", ())
    assert decision_of([], []) == Decision("easy", ())


def said(decision: Decision) -> tuple[str, tuple[str, ...]]:
    """Return a decision with its reasons in words."""
    return decision.decision, tuple(map(str, decision.reasons))


def test_a_hard_frame_with_a_sure_teacher_is_accepted() -> None:
    result = decision_of([instance(LEFT, score=0.7)], [])
    assert said(result) == (
        "accepted",
        ("the student missed 1 person", "student and teacher overlap with IoU 0.00"),
    )


def test_the_lowest_score_must_be_high() -> None:
    teacher = [instance(LEFT, score=0.9), instance(RIGHT, score=0.43)]
    result = decision_of(teacher, [])
    assert result.decision == "review"
    assert tuple(map(str, result.reasons)) == (
        "the teacher is unsure: lowest score 0.43 (minimum 0.70)",
        "the student missed 2 people",
        "student and teacher overlap with IoU 0.00",
    )
    edge = [teacher[0], replace(teacher[1], score=0.7)]
    assert decision_of(edge, []).decision == "accepted"
    below = [teacher[0], replace(teacher[1], score=math.nextafter(0.7, 0))]
    assert decision_of(below, []).decision == "review"


@pytest.mark.parametrize(
    ("flip_iou", "decision"), [(0.8, "accepted"), (0.799, "review"), (math.nan, "review")]
)
def test_the_mirrored_image_must_give_the_same_mask(flip_iou: float, decision: str) -> None:
    assert decision_of([instance(LEFT)], [], Signs(flip_iou=flip_iou)).decision == decision


def test_a_flickering_mask_is_named_with_both_values() -> None:
    result = decision_of([instance(LEFT)], [], Signs(flip_iou=0.62))
    assert str(result.reasons[0]) == "the mirrored image gives another mask: IoU 0.62 (minimum 0.80)"


@pytest.mark.parametrize(("inside", "decision"), [(0.9, "accepted"), (0.89, "review"), (math.nan, "review")])
def test_the_keypoints_must_lie_in_the_mask(inside: float, decision: str) -> None:
    assert decision_of([instance(LEFT)], [], Signs(keypoints_inside=inside)).decision == decision


def test_keypoints_outside_are_named_with_both_values() -> None:
    result = decision_of([instance(LEFT)], [], Signs(keypoints_inside=0.7))
    assert str(result.reasons[0]) == "keypoints lie outside the mask: 70 % inside (minimum 90 %)"


def test_missing_evidence_does_not_speak_against_the_teacher() -> None:
    assert decision_of([instance(LEFT)], [], UNKNOWN).decision == "accepted"


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_a_mask_that_changes_along_the_motion_objects_only_if_the_check_is_on(is_calibrated: bool) -> None:
    calibrated = calibration() if is_calibrated else None
    teacher = [instance(LEFT, score=0.95), instance(RIGHT, score=0.95)]
    agreement = compare(teacher, [])
    evidence = with_coherence(known(teacher, GOOD), [0.9, 0.42])
    assert decide(agreement, evidence, replace_trust(calibrated, 0.0)).decision == "accepted"
    objected = decide(agreement, evidence, replace_trust(calibrated, 0.5))
    assert objected.is_objected
    assert str(objected.reasons[0]) == (
        "a person's mask changes along the motion: IoU 0.42 with that in the previous frame (minimum 0.50)"
    )
    for values in ([0.5, 0.9], [None, 0.9], [None, None]):
        fine = with_coherence(evidence, values)
        assert decide(agreement, fine, replace_trust(calibrated, 0.5)).decision == "accepted"


def replace_trust(calibrated: Calibration | None, min_coherence: float) -> Trust:
    settings = Trust(calibration=calibrated) if calibrated else SETTINGS
    return settings.model_copy(update={"min_coherence": min_coherence})


@pytest.mark.parametrize(
    ("sign", "reason"),
    [
        ({"flow_iou": 0.31}, JUMPS.format("0.31")),
        ({"verifier": SecondOpinion(0.31)}, "the verifier gives another mask: IoU 0.31 (minimum 0.70)"),
        (
            {"verifier": SecondOpinion(missed=1)},
            "the teacher found no person where the verifier found 1 person",
        ),
        (
            {"verifier": SecondOpinion(unseen=2)},
            "the verifier found no person where the teacher found 2 people",
        ),
        (
            {"verifier": SecondOpinion(keypoints_inside=0.7)},
            "the verifier's keypoints lie outside the mask: 70 % inside (minimum 90 %)",
        ),
        ({"verifier": SecondOpinion(math.nan)}, "the verifier gives another mask: IoU nan (minimum 0.70)"),
        ({"flow_iou": math.nan}, JUMPS.format("nan")),
    ],
)
@pytest.mark.parametrize("is_calibrated", [False, True])
def test_an_objection_keeps_a_trusted_frame_from_being_accepted(
    sign: dict[str, Any], reason: str, is_calibrated: bool
) -> None:
    settings = Trust(calibration=calibration()) if is_calibrated else SETTINGS
    teacher = [instance(LEFT, score=0.95)]
    agreement, evidence = compare(teacher, []), known(teacher, GOOD)
    assert would_accept(agreement, evidence, settings)
    objected = decide(agreement, replace(evidence, **sign), settings)
    assert (objected.decision, str(objected.reasons[0]), objected.is_objected) == ("review", reason, True)
    fine = replace(evidence, flow_iou=0.5, verifier=SecondOpinion(0.7, keypoints_inside=0.9))
    assert decide(agreement, fine, settings).decision == "accepted"


def test_a_teacher_that_found_no_person_is_not_trusted() -> None:
    result = decision_of([], [RIGHT])
    assert result.decision == "review"
    assert str(result.reasons[0]) == "the teacher found no person where the student found 1 person"
    assert (
        str(decision_of([], [LEFT, RIGHT]).reasons[0])
        == "the teacher found no person where the student found 2 people"
    )


def test_a_sure_teacher_that_missed_one_person_is_not_trusted() -> None:
    result = decision_of([instance(LEFT, score=1.0)], [RIGHT])
    assert result.decision == "review"
    assert tuple(map(str, result.reasons)) == (
        "the teacher found no person where the student found 1 person",
        "the student missed 1 person",
        "student and teacher overlap with IoU 0.00",
    )


def test_a_teacher_that_found_no_person_where_a_semantic_student_found_a_speck_is_not_trusted() -> None:
    speck = np.zeros((100, 100), dtype=np.bool_)
    speck[50, 50] = True
    agreement = compare_instances([], instances([speck]), (100, 100), Agreement(), student_is_semantic=True)
    result = decide(agreement, Evidence(), SETTINGS)
    assert said(result) == (
        "review",
        ("the teacher found no person", "student and teacher overlap with IoU 0.00"),
    )


def test_a_score_that_is_not_a_number_is_a_doubt() -> None:
    assert (
        str(decision_of([instance(LEFT, score=math.nan)], []).reasons[0])
        == "the teacher is unsure: lowest score nan (minimum 0.70)"
    )


def test_all_doubts_are_named_and_the_costly_one_is_last() -> None:
    teacher = [instance(LEFT, score=0.5)]
    doubts = decision_of(teacher, [RIGHT], Signs(flip_iou=0.1, keypoints_inside=0.2)).reasons[:4]
    assert [str(doubt).split(":")[0] for doubt in doubts] == [
        "the teacher found no person where the student found 1 person",
        "the teacher is unsure",
        "keypoints lie outside the mask",
        "the mirrored image gives another mask",
    ]


def test_each_cause_says_why_a_frame_is_hard() -> None:
    teacher = instances(draw_labels("aa.bb.cc.d", "aa.bb.cc.d", "aa....cc.d", "aa.......d"))
    student = draw_labels("...ccccc..", "...ccccc..", "aa....cc..", "bb........")
    agreement = compare_instances(teacher, instances(student), (4, 10), Agreement(hard_below=1.0))
    measured = gather_evidence(teacher, (4, 10), min_keypoint_score=0.5)
    assert said(decide(agreement, measured, SETTINGS)) == (
        "accepted",
        (
            "the student missed 1 person",
            "the student split 1 person into 2 masks",
            "the student merged 2 people into 1 mask",
            f"student and teacher overlap with IoU {agreement.iou:.2f}",
        ),
    )


def test_a_loose_outline_says_why_a_frame_is_hard() -> None:
    shifted = draw(".##.", ".##.", "....", "....")
    assert said(decision_of([instance(LEFT)], [shifted]))[1] == (
        "the student's outline of 1 person is inaccurate",
        "student and teacher overlap with IoU 0.33",
    )


def calibration(**changes: object) -> Calibration:
    """Trust is the score, before the mirrored image and with it."""
    weights = {"bias": 0.0, "weights": {"score": 1.0}}
    stage = {"instance": weights, "frame": weights}
    thresholds = [{"risk": 0.05, "trust": 0.9, "ask_from": 0.5}, {"risk": 0.2, "trust": 0.6, "ask_from": 0.3}]
    tree = {"teacher": "t", "cheap": stage, "full": stage, "thresholds": thresholds}
    return Calibration.model_validate(tree | changes)


def test_a_calibrated_teacher_is_accepted_from_the_threshold_of_the_risk() -> None:
    careful, bold = (Trust(calibration=calibration(), accept_risk=risk) for risk in (0.05, 0.2))
    teacher = [instance(LEFT, score=0.8)]
    refused = decision_of(teacher, [], Signs(flip_iou=0.1), careful)
    assert refused.decision == "review"
    assert str(refused.reasons[0]) == "the teacher is right with a probability of 80 % (minimum 90 %)"
    assert str(refused.reasons[1]).startswith("the mirrored image gives another mask")
    accepted = decision_of(teacher, [], Signs(flip_iou=0.1), bold)
    assert said(accepted) == (
        "accepted",
        ("the student missed 1 person", "student and teacher overlap with IoU 0.00"),
    )


def test_a_risk_without_a_threshold_accepts_nothing() -> None:
    settings = Trust(calibration=calibration(), accept_risk=0.01)
    result = decision_of([instance(LEFT, score=0.99)], [], Signs(flip_iou=1.0), settings)
    assert result.decision == "review"
    assert str(result.reasons[0]) == (
        "the calibration has no threshold for a risk of 1 % (trust of this frame: 99 %)"
    )


def test_cheap_trust_accepts_nothing_unless_the_teacher_cannot_see_mirrored_images() -> None:
    teacher = [instance(LEFT, score=0.95)]
    refused = decision_of(teacher, [], UNKNOWN, Trust(calibration=calibration()))
    assert refused.decision == "review"
    assert str(refused.reasons[0]) == (
        "the teacher's scores alone do not suffice without the mirrored image (0.95)"
    )
    blind = Trust(calibration=calibration(full=None))
    assert decision_of(teacher, [], UNKNOWN, blind).decision == "accepted"


def test_a_calibrated_teacher_that_found_no_person_is_not_trusted() -> None:
    result = decision_of([], [LEFT], GOOD, Trust(calibration=calibration()))
    assert result.decision == "review"
    assert str(result.reasons[0]) == "the teacher found no person"


def test_a_calibration_has_its_own_threshold_for_measuring_the_mirrored_image() -> None:
    settings, bold, strict = (
        Trust(calibration=calibration(), accept_risk=risk) for risk in (0.05, 0.2, 0.01)
    )
    likely, hopeless = [instance(LEFT, score=0.51)], [instance(LEFT, score=0.49)]
    assert needs_flip(compare(likely, []), known(likely), settings)
    assert not needs_flip(compare(likely, [LEFT]), known(likely), settings)
    assert not needs_flip(compare(hopeless, []), known(hopeless), settings)
    assert needs_flip(compare(hopeless, []), known(hopeless), bold)
    assert not needs_flip(compare(likely, []), known(likely), strict)
    assert not needs_flip(compare([], [LEFT]), known([]), settings)


def test_the_mirrored_image_is_measured_only_where_it_decides() -> None:
    sure, unsure = [instance(LEFT)], [instance(LEFT, score=0.69)]
    assert needs_flip(compare(sure, []), known(sure), SETTINGS)
    assert not needs_flip(compare(sure, [LEFT]), known(sure), SETTINGS)
    assert not needs_flip(compare(unsure, []), known(unsure), SETTINGS)
    assert not needs_flip(compare([], [LEFT]), known([]), SETTINGS)
    assert not needs_flip(compare(sure, [RIGHT]), known(sure), SETTINGS)
    assert not needs_flip(compare(sure, []), known(sure, Signs(keypoints_inside=0.5)), SETTINGS)
    assert needs_flip(compare(sure, []), known(sure, Signs(keypoints_inside=0.9)), SETTINGS)
    assert not needs_flip(compare(sure, []), known(sure), Trust(min_flip_iou=0.0))


@pytest.mark.parametrize("seed", range(40))
def test_the_mirrored_image_is_needed_exactly_where_it_can_change_the_decision(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.6, 1.0, 2)
    teacher = [
        instance(mask, score=s) for mask, s in zip((LEFT, RIGHT), scores, strict=True) if rng.random() < 0.7
    ]
    student = [mask for mask in (LEFT, RIGHT) if rng.random() < 0.4]
    inside = float(rng.choice([0.5, 1.0]))
    agreement = compare(teacher, student)
    decisions = {
        decide(agreement, known(teacher, Signs(flip, inside)), SETTINGS).decision for flip in (0.0, 1.0)
    }
    assert needs_flip(agreement, known(teacher, Signs(None, inside)), SETTINGS) == (len(decisions) == 2)


@pytest.mark.parametrize("seen_by", ["both", "student"])
def test_a_calibration_of_people_accepts_no_frame_with_another_category(seen_by: str) -> None:
    calibration = load_config("lite").trust.calibration
    settings = Trust(calibration=calibration)
    people = [instance(LEFT, score=0.99)]
    cats = [replace(instance(RIGHT, score=0.99), category="cat")]
    teacher = people + (cats if seen_by == "both" else [])
    agreement = compare_instances(teacher, cats, (4, 4), Agreement())
    evidence = known(teacher, GOOD)
    result = decide(agreement, evidence, settings)
    assert result.decision == "review"
    assert str(result.reasons[0]) == "the calibration knows people only, not cat"
    assert not needs_flip(agreement, evidence, settings)
