"""The decision about each person, and what follows for the frame."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from configs.calibration import Calibration
from configs.models import Promise, Trust
from labeling.structures.agreement import FrameAgreement
from labeling.trust.decide import decide, needs_flip, would_accept
from labeling.trust.evidence import Evidence, InstanceEvidence
from labeling.trust.persons import decide_people
from labeling.trust.promise import describe_shortages
from labeling.trust.scores import predict_trust

HARD = FrameAgreement(0.2, 0.2, 0.2, False, True, (), (), 0.1)
SCORE = {"bias": 0.0, "weights": {"score": 1.0}}
BOTH = {"bias": 0.0, "weights": {"score": 0.5, "flip_iou": 0.5}}


def step(trust: float, *, units: int = 100, ask_from: float = 0.3) -> dict[str, Any]:
    return {"trust": trust, "ask_from": ask_from, "persons": 100, "bad": 0, "units": units, "bad_units": 0}


def calibration(**persons: Any) -> Calibration:
    """Trust is the score, or the mean log odds of score and flip IoU; hard persons must reach 0.9, easy ones 0.6."""
    return Calibration.model_validate(
        {
            "teacher": "a:b",
            "cheap": {"instance": SCORE, "frame": SCORE},
            "full": {"instance": BOTH, "frame": BOTH},
            "thresholds": [],
            "persons": {"hard": [step(0.9)], "easy": [step(0.6)]} | persons,
        }
    )


def settings(calibration: Calibration = calibration(), **changes: Any) -> Trust:  # noqa: B008 - frozen
    return Trust(unit="person", calibration=calibration, **changes)


def person(score: float, *, flip: float | None = None, student: float = 0.0) -> InstanceEvidence:
    return InstanceEvidence(score, 100, flip_iou=score if flip is None else flip, student_iou=student)


def frame(*people: InstanceEvidence, outside: float = 0.0) -> Evidence:
    return Evidence(people, 0.9, student_outside=outside)


def test_hard_and_easy_persons_have_thresholds_of_their_own() -> None:
    people = frame(person(0.95), person(0.8), person(0.8, student=0.9), person(0.5, student=0.9))
    assert decide_people(people, settings()).people == ("accepted", "review", "accepted", "review")


def test_what_the_student_sees_is_not_known_is_hard() -> None:
    unknown = InstanceEvidence(0.8, 100, flip_iou=0.8)
    assert decide_people(frame(unknown), settings()).people == ("review",)


def test_one_doubtful_person_does_not_lose_the_others() -> None:
    decision = decide(HARD, frame(person(0.95), person(0.5)), settings())
    assert (decision.decision, decision.people) == ("review", ("accepted", "review"))
    assert (decision.accepted_people, decision.doubtful_people) == (1, 1)
    assert str(decision.reasons[0]) == "1 of 2 people may be wrong (lowest probability of being right 50 %)"
    assert would_accept(HARD, frame(person(0.95), person(0.5)), settings())


def test_a_frame_of_accepted_persons_is_accepted() -> None:
    decision = decide(HARD, frame(person(0.95), person(0.7, student=0.8)), settings())
    assert (decision.decision, decision.accepted_people, decision.doubtful_people) == ("accepted", 2, 0)


def test_nothing_is_usable_where_a_person_may_be_missing() -> None:
    found = {"bias": 3.0, "weights": {"student_outside": -6.0}}
    trust = settings(calibration(found=found), min_found=0.8)
    complete, missing = frame(person(0.95)), frame(person(0.95), outside=0.5)
    assert decide(HARD, complete, trust).decision == "accepted"
    decision = decide(HARD, missing, trust)
    assert (decision.decision, decision.people, decision.accepted_people) == ("review", ("accepted",), 0)
    assert decision.found == pytest.approx(0.5)
    assert str(decision.reasons[0]).startswith(
        "a person may be missing: every person is found with a probability of 50 %"
    )
    assert not would_accept(HARD, missing, trust)
    assert not needs_flip(HARD, missing, trust)


def test_a_check_objects_to_the_whole_frame() -> None:
    jumping = Evidence((person(0.95),), 0.9, flow_iou=0.1)
    decision = decide(HARD, jumping, settings())
    assert (decision.decision, decision.accepted_people, decision.is_objected) == ("review", 0, True)


def test_the_mirrored_image_is_measured_where_a_person_could_be_accepted() -> None:
    asked, hopeless = person(0.4), person(0.2)
    assert needs_flip(HARD, frame(asked, hopeless), settings())
    assert not needs_flip(HARD, frame(hopeless), settings())
    without = InstanceEvidence(0.99, 100, student_iou=0.0)
    assert decide_people(frame(without), settings()).people == ("review",)  # it may not be accepted without


def test_nothing_is_accepted_that_cannot_be_promised() -> None:
    few = calibration(hard=[step(0.9, units=58)], easy=[step(0.6, units=59)])
    promised = settings(few, accept=Promise())
    people = frame(person(0.95), person(0.95, student=0.9))
    assert decide_people(people, promised).people == ("review", "accepted")
    (told,) = describe_shortages(promised)
    assert told.startswith("no hard person is accepted: at most 5% bad masks cannot be promised")
    assert "at least 1 more reviewed ones" in told
    assert not describe_shortages(settings(few))


def test_persons_require_a_calibration_of_persons_and_a_promise_requires_persons() -> None:
    old = calibration().model_copy(update={"persons": None})
    for changes in ({"unit": "person"}, {"unit": "person", "calibration": old}, {"accept": Promise()}):
        with pytest.raises(ValidationError, match=r"unit"):
            Trust(**changes)


def test_trust_counts_the_mirrored_image_for_the_persons_of_whom_it_is_known() -> None:
    """The others have the trust of their score."""
    seen, not_seen = person(0.9, flip=0.5), InstanceEvidence(0.6, 100, student_iou=0.0)
    trust = predict_trust(frame(seen, not_seen), calibration())
    assert trust is not None
    assert trust.instances == pytest.approx((0.75, 0.6))


def test_an_object_of_another_category_is_never_accepted_by_a_calibration_of_people() -> None:
    cat = replace(person(0.99), category="cat")
    assert decide_people(frame(person(0.95), cat), settings()).people == ("accepted", "review")
    both = replace(HARD, category_ious=(("cat", 0.1), ("person", 0.2)))
    decision = decide(both, frame(person(0.95), cat), settings())
    assert (decision.decision, decision.accepted_people) == ("review", 0)
    assert decision.reasons[0].code == "not_calibrated"
