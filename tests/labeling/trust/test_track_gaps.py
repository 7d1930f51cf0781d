"""People who are tracked before and after a frame, and have no mask in it."""

from dataclasses import replace

import pytest

from labeling.structures.agreement import FrameAgreement
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledFrame
from labeling.trust.track_gaps import find_track_gaps

HARD = FrameAgreement(0.2, 0.2, 0.2, False, True, (), (), 0.1)
WALKER = ((1,), (1,), (), (1,))


def frames(
    tracks: tuple[tuple[int, ...], ...], *, step_ms: int = 500, score: float = 0.9
) -> list[LabeledFrame]:
    """Return frames with an instance of each of these tracks."""
    mask = Mask.empty((4, 4))
    return [
        LabeledFrame(
            pts_ms=step_ms * position,
            shot_start_ms=0,
            sharpness=1.0,
            name="",
            decision="review",
            agreement=HARD,
            teacher=tuple(Instance(mask, score, (0, 0, 1, 1), track_id=track) for track in of_frame),
        )
        for position, of_frame in enumerate(tracks)
    ]


def test_a_person_who_is_there_before_and_after_is_missing() -> None:
    assert find_track_gaps(frames(WALKER)) == {1000: (1,)}
    assert find_track_gaps(frames(((1, 2), (1, 2), (), (2,), (1, 2)))) == {1000: (1, 2), 1500: (1,)}


@pytest.mark.parametrize("tracks", [((1,), (1,), (1,), ()), ((), (1,), (1,), (1,)), ((1,), (), (1,))])
def test_who_comes_or_leaves_or_was_hardly_seen_is_not(tracks: tuple[tuple[int, ...], ...]) -> None:
    assert find_track_gaps(frames(tracks)) == {}


def test_a_long_absence_another_shot_and_a_low_score_are_no_gaps() -> None:
    assert find_track_gaps(frames(WALKER, step_ms=1600)) == {}
    assert find_track_gaps(frames(WALKER, score=0.75)) == {}
    *before, after = frames(WALKER)
    assert find_track_gaps([*before, replace(after, shot_start_ms=1500)]) == {}


def test_frames_that_were_not_compared_say_nothing() -> None:
    first, second, third, last = frames(WALKER)
    assert find_track_gaps([first, second, replace(third, agreement=None), last]) == {}
