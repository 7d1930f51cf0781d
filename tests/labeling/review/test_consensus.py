"""Whom to believe, and what a review says about the teacher: hand-made cases."""

from datetime import datetime, timedelta

import pytest

from configs.models import Review
from labeling.review.consensus import choose_annotation, score_review
from labeling.review.records import ReviewedFrame, ReviewedInstance, Verdict
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.review.label_studio.answers import item_of, person, read_back, region
from tests.labeling.strategies import draw

NOON = datetime(2026, 5, 1, 12)
LATEST, AGREED = Review(consensus="latest"), Review(consensus="agreement", min_agreement=0.6)

FOUR = draw("####....", "........")
THREE = draw("###.....", "........")
FIVE = draw("#####...", "........")
"""IoU: THREE with FOUR 3/4, FOUR with FIVE 4/5, THREE with FIVE 3/5."""
ELSEWHERE = draw("........", "####....")
NOTHING = draw("........", "........")


def word(
    annotator: str,
    *drawn: BoolArray,
    number: int = 1,
    hour: int = 0,
    verdict: Verdict = "corrected",
    problems: tuple[str, ...] = (),
) -> ReviewedFrame:
    """One annotation that was last changed so many hours after noon."""
    return ReviewedFrame(
        frame_id=7,
        task=40,
        number=number,
        annotator=annotator,
        verdict=verdict,
        instances=tuple(ReviewedInstance(Mask.from_array(one), "manual", None) for one in drawn),
        seconds=10.0,
        created_at=NOON,
        updated_at=NOON + timedelta(hours=hour),
        problems=problems,
    )


@pytest.mark.parametrize("settings", [LATEST, AGREED])
def test_without_a_word_nobody_is_believed(settings: Review) -> None:
    assert choose_annotation([], settings) is None
    assert choose_annotation([word("ann", verdict="skipped")], settings) is None
    assert choose_annotation([word("ann", FOUR, problems=("region left out",))], settings) is None


@pytest.mark.parametrize("settings", [LATEST, AGREED])
def test_a_single_word_is_believed(settings: Review) -> None:
    only = word("ann", FOUR)
    truth = choose_annotation([only, word("bob", verdict="skipped", hour=5)], settings)
    assert truth is not None
    assert (truth.frame, truth.rule, truth.annotators) == (only, settings.consensus, ("ann",))
    assert truth.agreement is None


@pytest.mark.parametrize("settings", [LATEST, AGREED])
def test_of_one_annotator_s_words_the_last_changed_counts(settings: Review) -> None:
    early, late = word("ann", FOUR, number=2, hour=1), word("ann", ELSEWHERE, number=1, hour=2)
    truth = choose_annotation([late, early], settings)
    assert truth is not None
    assert truth.frame is late
    assert truth.annotators == ("ann",)


def test_of_words_changed_at_one_time_the_one_that_was_made_last_counts() -> None:
    truth = choose_annotation([word("ann", FOUR, number=9), word("ann", THREE, number=8)], LATEST)
    assert truth is not None
    assert truth.frame.number == 9


def test_an_unusable_frame_counts_in_spite_of_its_problems() -> None:
    truth = choose_annotation([word("ann", verdict="unusable", problems=("region left out",))], LATEST)
    assert truth is not None
    assert truth.frame.verdict == "unusable"


def test_a_later_word_with_a_problem_or_none_does_not_take_back_an_earlier() -> None:
    said = word("ann", FOUR)
    lost = word("ann", number=2, hour=1, problems=("region left out",))
    skipped = word("ann", number=3, hour=2, verdict="skipped")
    truth = choose_annotation([said, lost, skipped], LATEST)
    assert truth is not None
    assert truth.frame is said


def test_latest_is_whoever_changed_theirs_last_and_the_agreement_is_told() -> None:
    words = [word("bob", FIVE, number=2, hour=3), word("ann", FOUR, number=3, hour=1)]
    truth = choose_annotation(words, LATEST)
    assert truth is not None
    assert truth.frame.annotator == "bob"
    assert truth.annotators == ("ann", "bob")
    assert truth.agreement == pytest.approx(4 / 5)


def test_latest_may_be_unusable() -> None:
    truth = choose_annotation([word("ann", FOUR), word("bob", verdict="unusable", hour=1)], LATEST)
    assert truth is not None
    assert truth.frame.verdict == "unusable"
    assert truth.agreement is None


def test_agreed_is_who_agrees_best_with_the_others() -> None:
    words = [word("ann", THREE), word("bob", FOUR, hour=1), word("cho", FIVE, hour=2)]
    truth = choose_annotation(words, AGREED)
    assert truth is not None
    assert truth.frame.annotator == "bob"
    assert truth.agreement == pytest.approx((3 / 4 + 4 / 5 + 3 / 5) / 3)


def test_of_two_who_agree_equally_well_the_last_is_believed() -> None:
    truth = choose_annotation([word("bob", FIVE, hour=1), word("ann", FOUR, hour=2)], AGREED)
    assert truth is not None
    assert truth.frame.annotator == "ann"


def test_below_the_agreement_that_is_wanted_nobody_is_believed() -> None:
    words = [word("ann", FOUR), word("bob", FIVE)]
    assert choose_annotation(words, Review(consensus="agreement", min_agreement=0.79)) is not None
    assert choose_annotation(words, Review(consensus="agreement", min_agreement=0.81)) is None


def test_people_are_compared_together_however_they_are_divided() -> None:
    halves = draw("##......", "........"), draw("..##....", "........")
    truth = choose_annotation([word("ann", *halves), word("bob", FOUR)], AGREED)
    assert truth is not None
    assert truth.agreement == pytest.approx(1.0)


def test_two_who_found_nobody_agree() -> None:
    truth = choose_annotation([word("ann"), word("bob")], AGREED)
    assert truth is not None
    assert truth.agreement == 1.0


def test_somebody_and_nobody_do_not_agree() -> None:
    assert choose_annotation([word("ann", FOUR), word("bob")], AGREED) is None


def test_where_half_say_unusable_it_is() -> None:
    truth = choose_annotation([word("ann", verdict="unusable"), word("bob", FOUR, hour=1)], AGREED)
    assert truth is not None
    assert truth.frame.verdict == "unusable"
    assert truth.annotators == ("ann", "bob")


def test_where_fewer_than_half_say_unusable_the_others_decide() -> None:
    words = [word("ann", verdict="unusable", hour=9), word("bob", FOUR), word("cho", FOUR, hour=1)]
    truth = choose_annotation(words, AGREED)
    assert truth is not None
    assert truth.frame.annotator == "cho"
    assert truth.annotators == ("ann", "bob", "cho")
    assert truth.agreement == pytest.approx(1.0)


LEFT, RIGHT = draw("###.....", "###....."), draw("......##", "......##")
CORRECTED = draw("##......", "##......")
TWO = item_of(person(11, LEFT, score=0.8), person(12, RIGHT, score=0.6))


def test_an_untouched_review_is_all_ones() -> None:
    score = score_review(TWO.teacher, read_back(TWO, [region(LEFT, "i11"), region(RIGHT, "i12")]))
    assert score is not None
    assert (score.untouched, score.removed, score.added, score.union_iou) == (2, 0, 0, 1.0)
    assert [(one.id, one.score, one.iou, one.is_untouched) for one in score.instances] == [
        (11, 0.8, 1.0, True),
        (12, 0.6, 1.0, True),
    ]
    assert score.seconds_per_mask == 12.5 / 2


def test_corrected_removed_and_added_masks_are_told_apart() -> None:
    added = draw("...##...", "........")
    score = score_review(TWO.teacher, read_back(TWO, [region(CORRECTED, "i11"), region(added)]))
    assert score is not None
    assert (score.untouched, score.removed, score.added) == (0, 1, 1)
    corrected, removed = score.instances
    assert corrected.iou == pytest.approx(4 / 6)
    assert (corrected.is_untouched, corrected.is_removed) == (False, False)
    assert (removed.iou, removed.is_untouched, removed.is_removed) == (0.0, False, True)
    assert score.union_iou == pytest.approx(4 / 12)
    assert score.seconds_per_mask == 12.5 / 3


def test_a_mask_that_was_not_shown_has_no_score() -> None:
    item = item_of(person(11, LEFT), person(12, NOTHING))
    score = score_review(item.teacher, read_back(item, [region(LEFT, "i11")]))
    assert score is not None
    assert [one.id for one in score.instances] == [11]


def test_nobody_proposed_and_nobody_left_agree_in_no_time_per_mask() -> None:
    item = item_of(size_hw=(2, 8))
    score = score_review(item.teacher, read_back(item, []))
    assert score is not None
    assert (score.instances, score.union_iou, score.seconds_per_mask) == ((), 1.0, None)


@pytest.mark.parametrize(
    "frame",
    [
        word("ann", verdict="skipped"),
        word("ann", FOUR, verdict="unusable"),
        word("ann", FOUR, problems=("region left out",)),
    ],
    ids=["skipped", "unusable", "with a problem"],
)
def test_a_review_that_is_not_about_every_mask_teaches_nothing(frame: ReviewedFrame) -> None:
    assert score_review(TWO.teacher, frame) is None
