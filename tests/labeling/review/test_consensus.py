"""Choice of one annotation of a frame: hand-made cases."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from configs.models import Review
from labeling.review.consensus import choose_annotation
from labeling.review.records import ReviewedFrame, ReviewedInstance, Verdict
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.strategies import draw

NOON = datetime(2026, 5, 1, 12)
LATEST, AGREEMENT = Review(consensus="latest"), Review(consensus="agreement", min_agreement=0.6)

FOUR = draw("####....", "........")
THREE = draw("###.....", "........")
FIVE = draw("#####...", "........")
"""IoU: THREE with FOUR 3/4, FOUR with FIVE 4/5, THREE with FIVE 3/5."""
ELSEWHERE = draw("........", "####....")


def annotation(  # noqa: PLR0913  # one keyword per field under test
    annotator: str,
    *masks: BoolArray,
    number: int = 1,
    hour: int = 0,
    verdict: Verdict = "corrected",
    problems: tuple[str, ...] = (),
    is_starred: bool = False,
) -> ReviewedFrame:
    """An annotation that was last changed `hour` hours after noon."""
    return ReviewedFrame(
        frame_id=7,
        task=40,
        number=number,
        annotator=annotator,
        verdict=verdict,
        instances=tuple(ReviewedInstance(Mask.from_array(mask), "manual", None) for mask in masks),
        seconds=10.0,
        created_at=NOON,
        updated_at=NOON + timedelta(hours=hour),
        problems=problems,
        is_starred=is_starred,
    )


@pytest.mark.parametrize("settings", [LATEST, AGREEMENT])
def test_without_a_counting_annotation_there_is_no_consensus(settings: Review) -> None:
    assert choose_annotation([], settings) is None
    assert choose_annotation([annotation("ann", verdict="skipped")], settings) is None
    assert choose_annotation([annotation("ann", FOUR, problems=("region left out",))], settings) is None


@pytest.mark.parametrize("settings", [LATEST, AGREEMENT])
def test_a_single_annotation_is_accepted(settings: Review) -> None:
    only = annotation("ann", FOUR)
    consensus = choose_annotation([only, annotation("bob", verdict="skipped", hour=5)], settings)
    assert consensus is not None
    assert (consensus.frame, consensus.rule, consensus.annotators) == (only, settings.consensus, ("ann",))
    assert consensus.agreement is None


@pytest.mark.parametrize("settings", [LATEST, AGREEMENT])
def test_of_one_annotator_the_last_changed_annotation_counts(settings: Review) -> None:
    early, late = annotation("ann", FOUR, number=2, hour=1), annotation("ann", ELSEWHERE, number=1, hour=2)
    consensus = choose_annotation([late, early], settings)
    assert consensus is not None
    assert consensus.frame is late
    assert consensus.annotators == ("ann",)


@pytest.mark.parametrize("settings", [LATEST, AGREEMENT])
def test_a_starred_annotation_counts_before_later_ones_and_before_the_majority(settings: Review) -> None:
    starred = annotation("ann", ELSEWHERE, number=1, is_starred=True)
    others = [annotation(name, FOUR, number=2, hour=3) for name in ("ann", "bob", "cho")]
    consensus = choose_annotation([*others, starred], settings)
    assert consensus is not None
    assert (consensus.frame, consensus.rule) == (starred, "starred")
    assert consensus.annotators == ("ann", "bob", "cho")


def test_of_two_starred_annotations_the_one_changed_last_counts() -> None:
    early, late = (
        annotation("ann", FOUR, hour=1, is_starred=True),
        annotation("bob", THREE, hour=2, is_starred=True),
    )
    consensus = choose_annotation([late, early], AGREEMENT)
    assert consensus is not None
    assert consensus.frame is late


def test_a_starred_annotation_with_problems_does_not_count() -> None:
    broken = annotation("ann", FOUR, problems=("region left out",), is_starred=True)
    consensus = choose_annotation([broken, annotation("bob", THREE)], LATEST)
    assert consensus is not None
    assert (consensus.frame.annotator, consensus.rule) == ("bob", "latest")


def test_of_annotations_changed_at_the_same_time_the_newest_counts() -> None:
    consensus = choose_annotation(
        [annotation("ann", FOUR, number=9), annotation("ann", THREE, number=8)], LATEST
    )
    assert consensus is not None
    assert consensus.frame.number == 9


def test_an_unusable_frame_counts_in_spite_of_its_problems() -> None:
    consensus = choose_annotation(
        [annotation("ann", verdict="unusable", problems=("region left out",))], LATEST
    )
    assert consensus is not None
    assert consensus.frame.verdict == "unusable"


def test_a_later_skip_or_problem_does_not_cancel_an_earlier_annotation() -> None:
    first = annotation("ann", FOUR)
    lost = annotation("ann", number=2, hour=1, problems=("region left out",))
    skipped = annotation("ann", number=3, hour=2, verdict="skipped")
    consensus = choose_annotation([first, lost, skipped], LATEST)
    assert consensus is not None
    assert consensus.frame is first


def test_latest_is_the_last_changed_annotation_with_its_agreement() -> None:
    annotations = [annotation("bob", FIVE, number=2, hour=3), annotation("ann", FOUR, number=3, hour=1)]
    consensus = choose_annotation(annotations, LATEST)
    assert consensus is not None
    assert consensus.frame.annotator == "bob"
    assert consensus.annotators == ("ann", "bob")
    assert consensus.agreement == pytest.approx(4 / 5)


def test_latest_may_be_unusable() -> None:
    consensus = choose_annotation(
        [annotation("ann", FOUR), annotation("bob", verdict="unusable", hour=1)], LATEST
    )
    assert consensus is not None
    assert consensus.frame.verdict == "unusable"
    assert consensus.agreement is None


def test_agreement_chooses_the_annotation_that_agrees_best() -> None:
    annotations = [annotation("ann", THREE), annotation("bob", FOUR, hour=1), annotation("cho", FIVE, hour=2)]
    consensus = choose_annotation(annotations, AGREEMENT)
    assert consensus is not None
    assert consensus.frame.annotator == "bob"
    assert consensus.agreement == pytest.approx((3 / 4 + 4 / 5 + 3 / 5) / 3)


def test_of_two_that_agree_equally_well_the_last_is_chosen() -> None:
    consensus = choose_annotation(
        [annotation("bob", FIVE, hour=1), annotation("ann", FOUR, hour=2)], AGREEMENT
    )
    assert consensus is not None
    assert consensus.frame.annotator == "ann"


def test_below_min_agreement_there_is_no_consensus() -> None:
    annotations = [annotation("ann", FOUR), annotation("bob", FIVE)]
    assert choose_annotation(annotations, Review(consensus="agreement", min_agreement=0.79)) is not None
    assert choose_annotation(annotations, Review(consensus="agreement", min_agreement=0.81)) is None


def test_people_are_compared_as_a_union_however_they_are_divided() -> None:
    halves = draw("##......", "........"), draw("..##....", "........")
    consensus = choose_annotation([annotation("ann", *halves), annotation("bob", FOUR)], AGREEMENT)
    assert consensus is not None
    assert consensus.agreement == pytest.approx(1.0)


def test_two_annotations_without_people_agree() -> None:
    consensus = choose_annotation([annotation("ann"), annotation("bob")], AGREEMENT)
    assert consensus is not None
    assert consensus.agreement == 1.0


def test_a_person_and_no_person_do_not_agree() -> None:
    assert choose_annotation([annotation("ann", FOUR), annotation("bob")], AGREEMENT) is None


def test_a_frame_that_half_of_the_annotators_find_unusable_is_unusable() -> None:
    consensus = choose_annotation(
        [annotation("ann", verdict="unusable"), annotation("bob", FOUR, hour=1)], AGREEMENT
    )
    assert consensus is not None
    assert consensus.frame.verdict == "unusable"
    assert consensus.annotators == ("ann", "bob")


def test_if_fewer_than_half_say_unusable_the_others_decide() -> None:
    annotations = [
        annotation("ann", verdict="unusable", hour=9),
        annotation("bob", FOUR),
        annotation("cho", FOUR, hour=1),
    ]
    consensus = choose_annotation(annotations, AGREEMENT)
    assert consensus is not None
    assert consensus.frame.annotator == "cho"
    assert consensus.annotators == ("ann", "bob", "cho")
    assert consensus.agreement == pytest.approx(1.0)


def test_annotators_agree_as_far_as_they_do_in_their_worst_category() -> None:
    """Masks alone are equal: the annotators differ in what the second one is."""

    def named(annotator: str, *categories: str) -> ReviewedFrame:
        frame = annotation(annotator, FOUR, ELSEWHERE)
        named = zip(frame.instances, categories, strict=True)
        return replace(frame, instances=tuple(replace(one, category=name) for one, name in named))

    rider, same = named("ann", "person", "bicycle"), named("bob", "person", "bicycle")
    agreed = choose_annotation([rider, same], AGREEMENT)
    assert agreed is not None
    assert agreed.agreement == pytest.approx(1.0)
    other = named("cid", "person", "car")
    assert choose_annotation([rider, other], AGREEMENT) is None
    chosen = choose_annotation([other, rider, same], AGREEMENT.model_copy(update={"min_agreement": 0.3}))
    assert chosen is not None
    assert chosen.frame.annotator == "bob"
    assert chosen.agreement == pytest.approx(1 / 3)
