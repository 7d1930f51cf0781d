"""The words of reasons."""

from labeling.structures.reasons import Reason


def test_areas_of_a_students_one_mask_are_not_called_people() -> None:
    assert str(Reason.of("student_sees_more", people=2)) == (
        "the teacher found no person where the student found 2 people"
    )
    assert str(Reason.of("student_sees_more", people=2, in_one_mask=True)) == (
        "the teacher found no person in 2 areas of the student's mask"
    )
    assert str(Reason.of("boundary", people=3, masks=1, in_one_mask=True)) == (
        "the student's joint outline of 3 people is inaccurate"
    )
    assert str(Reason.of("boundary", people=1, masks=1)) == "the student's outline of 1 person is inaccurate"
