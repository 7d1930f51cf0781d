"""Instructions and reasons in the words of annotators."""

import json
from typing import get_args

import pytest

from configs.models import Review, Trust
from labeling.review.label_studio import instructions as instructions_module
from labeling.review.label_studio.instructions import explain_to_annotators, instructions
from labeling.structures.agreement import FrameAgreement, Mismatch
from labeling.structures.reasons import Reason, ReasonCode
from labeling.trust.decide import decide, find_still_masks, moves_outside
from labeling.trust.evidence import Evidence, InstanceEvidence, SecondOpinion

PRIVATE_WORDS = ("teacher", "student", "verifier", "calibration", "IoU", "minimum", "px inside")


def test_the_instructions_name_the_label_and_escape_it() -> None:
    assert "<code>New rider</code>" in instructions(Review(label="rider"))
    assert "&lt;b&gt;" in instructions(Review(label="<b>"))


MISS = Reason.of("miss", people=1, masks=0)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (Reason.of("low_trust", value=0.12, minimum=0.84), "the masks are probably wrong (right with a chance of 12 %)"),
        (Reason.of("low_trust", value=0.2, minimum=0.84), "the masks are uncertain (right with a chance of 20 %)"),
        (Reason.of("no_threshold", risk=0.05, value=0.03), "the model is unsure"),
        (Reason.of("not_mirrored", value=0.81), "the model is unsure"),
        (Reason.of("student_sees_more", people=2), "2 people may be missing"),
        (Reason.of("student_sees_more", people=2, are_objects=True), "2 objects may be missing"),
        (Reason.of("student_sees_more", people=2, in_one_mask=True), "people may be missing"),
        (Reason.of("no_person"), "people may be missing"),
        *((reason, "something moves outside the masks, 3x4 px at (1, 2)") for reason in moves_outside((1, 2, 3, 4))),
        *(
            (reason, "1 mask barely moved in the video: it may be an object, not a person")
            for reason in find_still_masks([0.0], Trust(min_moving_fraction=0.05))
        ),
        (Reason.of("carried"), "the masks come from a reviewed image near this one"),
        (Reason.from_json("the teacher is away"), "the model is away"),
    ],
)  # fmt: skip
def test_a_reason_is_told_in_plain_words(reason: Reason, shown: str) -> None:
    assert explain_to_annotators([reason, MISS]) == f"Please check: {shown}"
    assert (
        explain_to_annotators([Reason.from_json(json.loads(json.dumps(reason.to_json())))])
        == f"Please check: {shown}"
    )


def test_every_doubt_has_words_for_annotators() -> None:
    assert set(get_args(ReasonCode)) - set(instructions_module._WORDS) == {
        *instructions_module._CAUSES,
        *("text", "not_refined", "track_gap", "doubtful_people", "person_missing"),
    }


def test_no_reason_of_a_decision_reaches_annotators_in_our_words() -> None:
    evidence = Evidence(
        (InstanceEvidence(score=0.2, area_px=9, keypoints_inside=0.3, coherence=0.1),),
        flip_iou=0.1,
        flow_iou=0.1,
        verifier=SecondOpinion(iou=0.1, keypoints_inside=0.2, missed=1, unseen=2),
    )
    agreement = FrameAgreement(
        iou=0.1,
        expected_iou=0.1,
        boundary_iou=0.1,
        both_empty=False,
        is_hard=True,
        matches=(),
        mismatches=(
            Mismatch("miss", (0,), (), 0.0),
            Mismatch("extra", (), (0,), 0.0),
            Mismatch("split", (0,), (0, 1), 0.5),
            Mismatch("merge", (0, 1), (0,), 0.5),
            Mismatch("boundary", (0,), (0,), 0.7),
        ),
        symmetric_difference_share=0.3,
    )
    decided = decide(
        agreement, evidence, Trust(min_flip_iou=0.8, min_keypoints_inside=0.9, min_coherence=0.5)
    )
    assert len(decided.reasons) > 10
    shown = explain_to_annotators(decided.reasons)
    assert not [word for word in PRIVATE_WORDS if word in shown]
    assert shown.count("the outlines are uncertain") == 1
