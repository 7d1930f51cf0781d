"""Frames of a dataset with several categories, judged one category at a time."""

from dataclasses import replace

from configs.models import Agreement
from labeling.comparison.agreement import compare_instances
from labeling.structures.records import LabeledFrame


def of_category(
    row: LabeledFrame, category: str, settings: Agreement, *, student_is_semantic: bool
) -> LabeledFrame:
    """Return a frame with the instances of one category and their agreement; its decision stays that of the whole frame."""
    if all(one.category == category for one in (*row.teacher, *row.student)):
        return row
    teacher, student = (
        tuple(one for one in side if one.category == category) for side in (row.teacher, row.student)
    )
    agreement = row.agreement
    if agreement is not None and row.size_hw is not None:
        agreement = compare_instances(
            teacher, student, row.size_hw, settings, student_is_semantic=student_is_semantic
        )
    return replace(row, teacher=teacher, student=student, agreement=agreement)
