"""Answers of annotators to tasks whose truth is known: how many people are right."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.comparison.iou import match_pairs
from labeling.structures.masks import Mask, iou_matrix

GOOD_FROM = 0.8
"""IoU with the truth from which an answer's mask is right, as in a calibration."""
FOUND_FROM = 0.3
"""IoU with the truth from which a mask is of that person."""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """One answer beside the truth of its frame."""

    right: int
    """People whose mask is right, or whose wrong outline the annotator left out of the dataset."""
    wrong: int
    """People with a mask that is not right, or a right one that was left out."""
    missed: int
    """People without a mask."""
    added: int
    """Masks of no person."""
    ious: tuple[float, ...]
    """Of each person with a mask in the answer, with the truth."""

    @property
    def judged(self) -> int:
        """People of the truth, and masks of no person: what can be right or not."""
        return self.right + self.wrong + self.missed + self.added


def judge_answer(
    truth: Sequence[Mask],
    answered: Sequence[Mask],
    *,
    left_out: Sequence[Mask] = (),
    locked: Sequence[Mask] = (),
) -> JudgedAnswer:
    """Compare an answer with the truth, person by person, one to one by IoU. Empty masks count for nothing.

    Args:
        truth: masks of all people in the frame.
        answered: masks that the annotator gave.
        left_out: masks that were shown of people whose outline the annotator called wrong.
        locked: masks that the annotator could not change; their people are not judged.
    """
    people = _unmatched([mask for mask in truth if mask], locked)
    masks = [mask for mask in answered if mask]
    ious = _match(people, masks)
    absent = [person for row, person in enumerate(people) if row not in ious]
    refused = _match(absent, left_out)
    right = sum(iou >= GOOD_FROM for iou in ious.values()) + sum(iou < GOOD_FROM for iou in refused.values())
    return JudgedAnswer(
        right=right,
        wrong=len(ious) + len(refused) - right,
        missed=len(absent) - len(refused),
        added=len(masks) - len(ious),
        ious=tuple(ious.values()),
    )


def _match(people: Sequence[Mask], masks: Sequence[Mask]) -> dict[int, float]:
    """Return the IoU with a mask of its own, by position of the person, of each person that has one."""
    return {row: iou for row, _, iou in match_pairs(iou_matrix(people, masks), min_iou=FOUND_FROM)}


def _unmatched(people: Sequence[Mask], masks: Sequence[Mask]) -> list[Mask]:
    found = _match(people, masks)
    return [person for row, person in enumerate(people) if row not in found]
