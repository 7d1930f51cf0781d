"""Labels that a teacher contradicts, on rectangles."""

import numpy as np
import pytest

from labeling.audit.suspects import Suspect, TrustedMask, disagreement_of, find_suspects
from labeling.structures.masks import Mask

SIZE_HW = (100, 200)
NOTHING = Mask.empty(SIZE_HW)


def block(x: int, y: int, w: int, h: int) -> Mask:
    pixels = np.zeros(SIZE_HW, dtype=np.bool_)
    pixels[max(0, y) : y + h, max(0, x) : x + w] = True
    return Mask.from_array(pixels)


def trusted(*masks: Mask, trust: float = 0.9) -> list[TrustedMask]:
    return [TrustedMask(mask, trust) for mask in masks]


def only(suspects: list[Suspect]) -> Suspect:
    (found,) = suspects
    return found


ANNA, BOB = block(10, 20, 30, 60), block(100, 20, 30, 60)


def test_labels_that_agree_with_the_teacher_are_not_suspicious() -> None:
    suspects, is_found = find_suspects([ANNA, BOB], trusted(BOB, ANNA), NOTHING)
    assert suspects == []
    assert is_found == [True, True]


def test_a_person_without_a_label_is_missing() -> None:
    suspects, _ = find_suspects([ANNA], trusted(ANNA, BOB), NOTHING)
    assert only(suspects) == Suspect("missing", (), (1,), 1.0, 0.9, 0.0)


def test_a_person_in_a_crowd_region_is_not_missing() -> None:
    assert find_suspects([ANNA], trusted(ANNA, BOB), block(90, 0, 80, 100))[0] == []


@pytest.mark.parametrize(("dx", "dy"), [(12, 0), (-8, 9), (60, 5)])
def test_a_shifted_label_is_found_with_the_way_back(dx: int, dy: int) -> None:
    moved = block(100 + dx, 20 + dy, 30, 60)
    found = only(find_suspects([ANNA, moved], trusted(ANNA, BOB), NOTHING)[0])
    assert (found.kind, found.labels, found.people) == ("shifted", (1,), (1,))
    assert found.shift_xy == (-dx, -dy)
    assert found.disagreement > 0.5


def test_a_label_shifted_beyond_the_image_is_compared_by_its_visible_pixels() -> None:
    visible = block(-2, 20, 30, 60)
    found = find_suspects([visible], trusted(block(8, 20, 30, 60)), NOTHING)[0]
    assert only(found).kind == "shifted"


def test_one_label_of_two_people_is_merged_and_as_sure_as_the_second_person() -> None:
    left, right = block(10, 20, 30, 60), block(42, 20, 30, 60)
    people = [TrustedMask(left, 0.95), TrustedMask(right, 0.6)]
    found = only(find_suspects([block(10, 20, 62, 60)], people, NOTHING)[0])
    assert (found.kind, found.labels, found.people, found.trust) == ("merged", (0,), (0, 1), 0.6)


def test_two_labels_of_one_person_are_split() -> None:
    found = only(find_suspects([block(10, 20, 30, 30), block(10, 50, 30, 30)], trusted(ANNA), NOTHING)[0])
    assert (found.kind, found.labels, found.people) == ("split", (0, 1), (0,))


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (block(10, 20, 50, 60), "leaking"),
        (block(10, 20, 17, 60), "incomplete"),
        (block(10, 20, 42, 45), "outline"),
    ],
)
def test_an_outline_leaks_or_lacks_pixels_or_differs(label: Mask, kind: str) -> None:
    found = only(find_suspects([label], trusted(ANNA), NOTHING)[0])
    assert found.kind == kind
    assert 0 < found.disagreement < 1


def test_a_label_where_the_teacher_sees_no_person_is_unseen() -> None:
    suspects, is_found = find_suspects([ANNA], [], NOTHING)
    assert only(suspects) == Suspect("unseen", (0,), (), 1.0, None, 0.0)
    assert is_found == [False]


def test_an_image_without_labels_or_people_has_no_suspect() -> None:
    assert find_suspects([], [], NOTHING) == ([], [])


def test_disagreement_falls_with_the_iou() -> None:
    ious = np.linspace(0, 1, 11)
    values = [disagreement_of(float(iou)) for iou in ious]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (1.0, 0.0)
