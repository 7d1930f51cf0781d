"""Instructions and reasons in the words of annotators."""

import pytest

from configs.models import Review, Trust
from labeling.review.label_studio.instructions import explain_to_annotators, instructions
from labeling.structures.agreement import FrameAgreement, Mismatch
from labeling.trust.decide import decide, find_still_masks, format_missed
from labeling.trust.evidence import Evidence, InstanceEvidence, SecondOpinion

PRIVATE_WORDS = ("teacher", "student", "verifier", "calibration", "IoU", "minimum", "px inside")


def test_the_instructions_name_the_label_and_escape_it() -> None:
    assert "<code>New rider</code>" in instructions(Review(label="rider"))
    assert "&lt;b&gt;" in instructions(Review(label="<b>"))


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (
            "the teacher is right with a probability of 12 % (minimum 84 %)",
            "the masks are probably wrong (right with a chance of 12 %)",
        ),
        (
            "the calibration has no threshold for a risk of 5 % (trust of this frame: 3 %)",
            "the model is unsure",
        ),
        (
            "the teacher's scores alone do not suffice without the mirrored image (0.81)",
            "the model is unsure",
        ),
        ("the teacher found no person where the student found 2 people", "2 people may be missing"),
        ("the teacher found no person", "people may be missing"),
        *((reason, "something moves outside the masks, 3x4 px at (1, 2)") for reason in format_missed((1, 2, 3, 4))),
        *(
            (reason, "1 mask barely moved in the video: it may be an object, not a person")
            for reason in find_still_masks([0.0], Trust(min_moving_fraction=0.05))
        ),
        ("the masks were carried from a reviewed frame", "the masks come from a reviewed image near this one"),
    ],
)  # fmt: skip
def test_a_reason_is_told_in_plain_words(reason: str, shown: str) -> None:
    assert explain_to_annotators([reason, "the student missed 1 person"]) == f"Please check: {shown}"


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
