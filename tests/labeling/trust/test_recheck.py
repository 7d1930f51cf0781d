"""Accepted persons, checked again at the end of the clip."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from configs.models import Trust
from labeling.structures.agreement import FrameAgreement
from labeling.structures.instances import Instance, PersonDecision
from labeling.structures.masks import fill_box
from labeling.structures.reasons import Reason
from labeling.structures.records import LabeledFrame
from labeling.trust.checks import EvidenceCollector
from labeling.trust.recheck import recheck_people

HARD = FrameAgreement(0.2, 0.2, 0.2, False, True, (), (), 0.1)
MASK = fill_box((0, 0, 2, 4), (4, 8))


class FakeEvidence:
    """Moving fractions and missed people as they are given."""

    def __init__(self, fractions: Sequence[float | None], missed: tuple[Reason, ...] = ()) -> None:
        self.config = SimpleNamespace(trust=Trust())
        self.fractions, self.missed = list(fractions), missed
        self.searched_beside: list[int] = []

    def moving_fractions(self, pts_ms: int, people: Sequence[Instance]) -> list[float | None]:
        return self.fractions

    def find_missed(self, pts_ms: int, people: Sequence[Instance]) -> tuple[Reason, ...]:
        self.searched_beside.append(len(people))
        return self.missed


def frame(*decisions: PersonDecision, pts_ms: int | None = 0) -> LabeledFrame:
    people = tuple(Instance(MASK, 0.9, MASK.box_xywh, decision=decision) for decision in decisions)
    accepted = decisions.count("accepted")
    return LabeledFrame(
        pts_ms=pts_ms,
        shot_start_ms=0,
        sharpness=1.0,
        name="",
        decision="accepted" if accepted == len(decisions) else "review",
        agreement=HARD,
        teacher=people,
        accepted_people=accepted,
        doubtful_people=len(decisions) - accepted,
    )


def recheck(
    evidence: FakeEvidence, row: LabeledFrame, missing_tracks: Sequence[int] = ()
) -> tuple[LabeledFrame, list[str | None]]:
    row = recheck_people(cast("EvidenceCollector", evidence), row, missing_tracks)
    return row, [one.decision for one in row.teacher]


def test_what_does_not_move_is_ignored_and_the_rest_accepted() -> None:
    evidence = FakeEvidence([0.9, 0.0])
    row, decisions = recheck(evidence, frame("accepted", "review"))
    assert (row.decision, row.accepted_people, row.doubtful_people) == ("accepted", 1, 1)
    assert decisions == ["accepted", "ignored"]
    assert str(row.reasons[0]).startswith("1 mask barely moves")
    assert evidence.searched_beside == [1]


def test_a_frame_of_nothing_that_moves_is_reviewed() -> None:
    row, decisions = recheck(FakeEvidence([0.0]), frame("accepted"))
    assert (row.decision, row.accepted_people, decisions) == ("review", 0, ["ignored"])


@pytest.mark.parametrize("pts_ms", [0, None])
def test_a_person_who_is_missing_makes_the_frame_useless(pts_ms: int | None) -> None:
    row, decisions = recheck(FakeEvidence([0.9]), frame("accepted", pts_ms=pts_ms), missing_tracks=[3])
    assert (row.decision, row.accepted_people, decisions) == ("review", 0, ["accepted"])
    assert row.reasons == (Reason.of("track_gap", people=1),)
    missed = Reason.of("moves_outside", x=1, y=2, w=3, h=4)
    moving, _ = recheck(FakeEvidence([0.9], missed=(missed,)), frame("accepted"))
    assert (moving.decision, moving.reasons) == ("review", (missed,))


def test_nothing_changes_without_a_doubt() -> None:
    row = frame("accepted", "accepted")
    assert recheck(FakeEvidence([0.9, None]), row)[0] == row
    image = replace(row, pts_ms=None)
    assert recheck(FakeEvidence([]), image)[0] == image
