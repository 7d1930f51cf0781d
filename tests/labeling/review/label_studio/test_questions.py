"""Questions about doubtful persons in a task, and what becomes of the answers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.project import ANSWER, IMAGE, NO_PERSON, OTHER, RIGHT, WRONG
from labeling.review.label_studio.questions import other_outline
from labeling.review.label_studio.tasks import make_task, prediction_fingerprint, region_id
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import Mask, fill_box
from tests.labeling.review.label_studio.results import annotation_of, item_of, person, region, shown_results

SIZE = (40, 60)
LEFT, RIGHT_ONE = fill_box((5, 5, 10, 30), SIZE).to_array(), fill_box((35, 5, 10, 30), SIZE).to_array()
SEEN = fill_box((34, 4, 12, 32), SIZE).to_array()
"""What the other model sees of the right person, and nothing of the left one."""
ITEM = item_of(
    replace(person(1, LEFT), is_doubtful=False), replace(person(2, RIGHT_ONE), is_doubtful=True), student=SEEN
)


def read(results: list[dict[str, Any]], item: ReviewItem = ITEM) -> ReviewedFrame:
    """Read the task of an item as its only annotator submitted it."""
    task = make_task(item, Review(), "/x.jpg")
    [frame] = read_annotations(
        {"id": 40, **task, "annotations": [annotation_of(results)]},
        settings=Review(),
        proposed=item.teacher,
        size_hw=item.size_hw,
        users={},
    )
    return frame


def answer(choice: str, position: int = 0) -> dict[str, Any]:
    value = {"choices": [choice]}
    return {
        "id": "a",
        "type": "choices",
        "from_name": f"{ANSWER}{position}",
        "to_name": IMAGE,
        "value": value,
    }


@pytest.mark.parametrize(
    ("choice", "mask"),
    [
        (RIGHT, Mask.from_array(RIGHT_ONE)),
        (OTHER, Mask.from_array(SEEN)),
        (WRONG, Mask.empty(SIZE)),
        (NO_PERSON, None),
    ],
)
def test_an_answer_changes_the_doubtful_person_alone(choice: str, mask: Mask | None) -> None:
    frame = read([*shown_results(ITEM, Review()), answer(choice)])
    accepted, *doubtful = frame.instances
    assert (accepted.source_id, accepted.mask, accepted.origin) == (1, Mask.from_array(LEFT), "prediction")
    assert [(one.source_id, one.mask) for one in doubtful] == ([] if mask is None else [(2, mask)])
    assert frame.verdict == ("correct" if choice == RIGHT else "corrected")


def test_a_painted_mask_counts_more_than_a_choice() -> None:
    accepted, doubtful = shown_results(ITEM, Review())
    painted = {**doubtful, "value": {**doubtful["value"], "rle": region(SEEN)["value"]["rle"]}}
    assert [one.mask for one in read([accepted, painted, answer(WRONG)]).instances] == [
        Mask.from_array(LEFT),
        Mask.from_array(SEEN),
    ]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_an_accepted_person_comes_back_as_it_was(is_deleted: bool) -> None:
    accepted, doubtful = shown_results(ITEM, Review())
    painted = {**accepted, "value": {**accepted["value"], "rle": region(SEEN)["value"]["rle"]}}
    frame = read([doubtful] if is_deleted else [painted, doubtful])
    assert {one.source_id: one.mask for one in frame.instances} == {one.id: one.mask for one in ITEM.teacher}
    [problem] = frame.problems
    assert problem.startswith("the mask of person 1 was accepted")


def test_only_doubtful_persons_have_a_question_and_accepted_ones_are_locked() -> None:
    task = make_task(ITEM, Review(), "/x.jpg")
    [question] = task["data"]["questions"]
    assert (question["id"], question["title"]) == ("2", "person 2")
    assert [one["value"] for one in question["answers"]] == [RIGHT, OTHER, WRONG, NO_PERSON]
    assert task["data"]["locked"] == ["1"]
    shown = {one["id"]: one for one in task["predictions"][-1]["result"]}
    assert [bool(shown[region_id(key)].get("readonly")) for key in (1, 2)] == [True, False]


def test_persons_who_are_not_decided_for_themselves_have_no_question() -> None:
    task = make_task(item_of(person(1, LEFT), person(2, RIGHT_ONE), student=SEEN), Review(), "/x.jpg")
    assert (task["data"]["questions"], task["data"]["locked"]) == ([], [])


def test_a_task_is_sent_again_when_a_person_becomes_doubtful() -> None:
    people = [replace(one, is_doubtful=True) for one in ITEM.teacher]
    before, after = ITEM, replace(ITEM, teacher=tuple(people))
    assert prediction_fingerprint(before, Review()) != prediction_fingerprint(after, Review())


@pytest.mark.parametrize("box", [(50, 0, 5, 5), (35, 5, 10, 30), (35, 5, 10, 8)])
def test_another_outline_is_offered_only_where_it_differs_and_may_be_the_same_person(
    box: tuple[float, float, float, float],
) -> None:
    """Elsewhere, the same, and much smaller."""
    assert other_outline(Mask.from_array(RIGHT_ONE), fill_box(box, SIZE)) is None


def test_pictures_show_the_outlines() -> None:
    image = np.full((*SIZE, 3), 128, np.uint8)
    [question] = make_task(ITEM, Review(), "/x.jpg", image)["data"]["questions"]
    pictures = [one["html"] for one in question["answers"] if "data:image/jpeg;base64," in one["html"]]
    assert len(pictures) == len(set(pictures)) == 2
