"""Keypoint tracking, on images that move by known distances."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.tracking.keypoint_tracks import KeypointTracker, KeypointTracking

SIZE_HW = (120, 160)
START = np.array([[60.0, 40.0], [80.0, 60.0], [70.0, 90.0]])
VELOCITY = np.array([50.0, -20.0])
"""Pixels per second."""
MASK = Mask.from_array(np.ones(SIZE_HW, dtype=bool))
RNG = np.random.default_rng(5)
TEXTURE = cv2.GaussianBlur(RNG.uniform(0, 255, (*SIZE_HW, 3)), (0, 0), 2.0)
TEXTURE = (TEXTURE - TEXTURE.min()) / np.ptp(TEXTURE) * 255
WITHOUT_FLOW = KeypointTracking(uses_flow=False, max_std=1.0)


def make_frame(t: Fraction, *, shot: int = 0, moves: bool = True) -> Frame:
    """Return the texture moved by `VELOCITY`."""
    x, y = (VELOCITY * float(t) * moves).tolist()
    shift = np.array([[1, 0, x], [0, 1, y]], dtype=np.float64)
    moved = cv2.warpAffine(TEXTURE, shift, SIZE_HW[::-1], borderMode=cv2.BORDER_REFLECT)
    return Frame("street", round(1000 * t), moved.astype(np.uint8), shot=shot, t=t)


def make_person(
    positions: NDArray[np.float64], dropped: Sequence[int] = (), *, track_id: int | None = 1, low: float = 0.1
) -> Instance:
    """Return a person; a dropped keypoint is far from where it should be."""
    keypoints = tuple(
        (5.0, 5.0, low) if number in dropped else (float(x), float(y), 0.9)
        for number, (x, y) in enumerate(positions)
    )
    return Instance(MASK, 0.9, (40.0, 20.0, 60.0, 90.0), keypoints=keypoints, track_id=track_id)


def positions_of(person: Instance) -> NDArray[np.float64]:
    return np.array(person.keypoints)[:, :2]


def confidences_of(person: Instance) -> list[float]:
    assert person.keypoints is not None
    return [confidence for _, _, confidence in person.keypoints]


def true_at(t: Fraction) -> NDArray[np.float64]:
    return START + VELOCITY * float(t)


def run(tracker: KeypointTracker, times: Sequence[Fraction], dropped_from: int) -> list[Instance]:
    """Track a person whose keypoint 1 is dropped from a frame on."""
    tracked: list[Instance] = []
    for index, t in enumerate(times):
        person = make_person(true_at(t), (1,) if index >= dropped_from else ())
        tracked += tracker.update(make_frame(t), [person])
    return tracked


def test_a_dropped_keypoint_follows_the_flow_with_less_and_less_confidence() -> None:
    times = [Fraction(i, 25) for i in range(8)]
    tracked = run(KeypointTracker(), times, dropped_from=3)
    for t, person in zip(times, tracked, strict=True):
        assert np.abs(positions_of(person) - true_at(t)).max() < 0.5
    confidences = [confidences_of(person)[1] for person in tracked[2:]]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[-1] == pytest.approx(0.9 * 0.5**0.2)


def test_the_flow_needs_no_velocity() -> None:
    times = [Fraction(i, 25) for i in range(3)]
    tracked = run(KeypointTracker(), times, dropped_from=1)
    assert np.abs(positions_of(tracked[2])[1] - true_at(times[2])[1]).max() < 1.0
    without = run(KeypointTracker(WITHOUT_FLOW), times, dropped_from=1)
    assert np.abs(positions_of(without[2])[1] - true_at(times[2])[1]).max() > 3.0


def test_a_keypoint_is_lost_after_the_most_frames() -> None:
    tracked = run(KeypointTracker(), [Fraction(i, 25) for i in range(12)], dropped_from=4)
    filled = [confidences_of(person)[1] > 0.5 for person in tracked]
    assert filled == [True] * 9 + [False] * 3
    assert tracked[9] == make_person(true_at(Fraction(9, 25)), (1,))


def test_a_keypoint_is_lost_after_the_longest_time() -> None:
    settings = KeypointTracking(max_coast_s=0.3)
    tracked = run(KeypointTracker(settings), [Fraction(i, 10) for i in range(6)], dropped_from=1)
    assert [confidences_of(person)[1] > 0.5 for person in tracked] == [True] * 4 + [False] * 2


def test_a_lost_keypoint_starts_again_where_it_is_seen() -> None:
    tracker = KeypointTracker()
    run(tracker, [Fraction(i, 25) for i in range(9)], dropped_from=1)
    seen, later = Fraction(9, 25), Fraction(10, 25)
    tracker.update(make_frame(seen), [make_person(true_at(seen))])
    (filled,) = tracker.update(make_frame(later), [make_person(true_at(later), (1,))])
    assert np.abs(positions_of(filled)[1] - true_at(later)[1]).max() < 1.0


@pytest.mark.parametrize("settings", [None, WITHOUT_FLOW])
def test_an_outlier_does_not_move_the_track(settings: KeypointTracking | None) -> None:
    tracker = KeypointTracker(settings)
    times = [Fraction(i, 25) for i in range(10)]
    run(tracker, times[:8], dropped_from=99)
    jumped = true_at(times[8])
    jumped[1] += 40
    (kept,) = tracker.update(make_frame(times[8]), [make_person(jumped)])
    assert kept == make_person(jumped)
    (filled,) = tracker.update(make_frame(times[9]), [make_person(true_at(times[9]), (1,))])
    assert np.abs(positions_of(filled)[1] - true_at(times[9])[1]).max() < 2.0


def test_the_filter_knows_an_uneven_frame_rate() -> None:
    steps_ms = [40, 120, 33, 200, 40, 80, 160, 40, 100, 70]
    times = [Fraction(sum(steps_ms[:i]), 1000) for i in range(len(steps_ms) + 1)]
    tracked = run(KeypointTracker(WITHOUT_FLOW), times, dropped_from=8)
    for t, person in list(zip(times, tracked, strict=True))[8:]:
        assert np.abs(positions_of(person)[1] - true_at(t)[1]).max() < 1.5


def test_a_keypoint_whose_position_is_too_uncertain_is_not_filled() -> None:
    times = [Fraction(i, 2) for i in range(6)]
    unsure = run(KeypointTracker(KeypointTracking(uses_flow=False)), times, dropped_from=5)
    assert unsure[5] == make_person(true_at(times[5]), (1,))
    guessed = run(KeypointTracker(WITHOUT_FLOW), times, dropped_from=5)
    assert confidences_of(guessed[5])[1] > 0.5


def test_a_person_who_is_missed_for_a_frame_is_carried_along() -> None:
    tracker = KeypointTracker()
    times = [Fraction(i, 25) for i in range(6)]
    run(tracker, times[:4], dropped_from=99)
    assert tracker.update(make_frame(times[4]), []) == ()
    (filled,) = tracker.update(make_frame(times[5]), [make_person(true_at(times[5]), (1,))])
    assert np.abs(positions_of(filled)[1] - true_at(times[5])[1]).max() < 0.5


def test_tracks_do_not_mix() -> None:
    tracker = KeypointTracker()
    other = START + 10
    tracker.update(make_frame(Fraction(0)), [make_person(START), make_person(other, track_id=2)])
    still = make_frame(Fraction(1, 25), moves=False)
    people = [make_person(other, (0, 1, 2), track_id=2), make_person(START, (0, 1, 2))]
    second, first = tracker.update(still, people)
    assert np.abs(positions_of(first) - START).max() < 1.0
    assert np.abs(positions_of(second) - other).max() < 1.0


@pytest.mark.parametrize(
    "then",
    [
        make_frame(Fraction(1, 25), shot=40),
        make_frame(Fraction(0)),
        Frame("street", 40, np.zeros((100, 160, 3), dtype=np.uint8), t=Fraction(1, 25)),
        Frame("folder", None, np.zeros((*SIZE_HW, 3), dtype=np.uint8), index=1),
    ],
    ids=["another shot", "the same time", "another size", "no time"],
)
def test_nothing_is_carried_over_to(then: Frame) -> None:
    tracker = KeypointTracker()
    tracker.update(make_frame(Fraction(0)), [make_person(START)])
    dropped = make_person(START, (0, 1))
    assert tracker.update(then, [dropped]) == (dropped,)


def test_instances_without_a_track_or_keypoints_stay_as_they_are() -> None:
    tracker = KeypointTracker()
    untracked = make_person(START, (1,), track_id=None)
    boxed = Instance(MASK, 0.9, MASK.box_xywh, track_id=1)
    for i in range(3):
        assert tracker.update(make_frame(Fraction(i, 25)), [untracked, boxed]) == (untracked, boxed)


def test_a_keypoint_of_nearly_enough_confidence_is_better_than_an_old_one() -> None:
    tracker = KeypointTracker(KeypointTracking(min_confidence=0.8, max_coast_s=3.0))
    tracker.update(make_frame(Fraction(0)), [make_person(START)])
    person = make_person(START, (1,), low=0.7)
    assert tracker.update(make_frame(Fraction(2)), [person]) == (person,)


def test_not_a_number_counts_as_dropped() -> None:
    tracker = KeypointTracker()
    tracker.update(make_frame(Fraction(0)), [make_person(START)])
    broken = make_person(START)
    assert broken.keypoints is not None
    keypoints = ((float("nan"), 3.0, 0.9), (3.0, 3.0, float("nan")), broken.keypoints[2])
    person = Instance(MASK, 0.9, broken.box_xywh, keypoints=keypoints, track_id=1)
    (filled,) = tracker.update(make_frame(Fraction(1, 25), moves=False), [person])
    assert np.isfinite(positions_of(filled)[1]).all()
    assert confidences_of(filled)[1] > 0.5


def test_a_strip_too_narrow_for_flow_keeps_the_velocity() -> None:
    tracker = KeypointTracker()
    rgb = np.zeros((30, 160, 3), dtype=np.uint8)
    for i in range(3):
        t = Fraction(i, 25)
        person = make_person(true_at(t), (1,) if i == 2 else ())
        tracked = tracker.update(Frame("strip", 40 * i, rgb, t=t), [person])
    assert np.abs(positions_of(tracked[0])[1] - true_at(t)[1]).max() < 2.0
