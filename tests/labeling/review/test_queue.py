"""What a look is worth, and the choice of frames beside the plainest greedy one."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.review import queue as review_queue
from labeling.review.occupancy import OccupancyGrid, occupancy_distances, occupancy_grids, stack_grids
from labeling.review.queue import (
    NEAR_IDENTICAL,
    Candidate,
    Selection,
    Shot,
    review_priority,
    select_frames_for_review,
)

SIZE_WH = (640, 480)
Box = tuple[float, float, float, float]


def occupancy(*boxes_xywh: Box) -> OccupancyGrid:
    areas = [0.6 * w * h for *_, w, h in boxes_xywh]
    count = len(boxes_xywh)
    [drawn] = occupancy_grids(boxes_xywh, areas, [SIZE_WH] * count, [0] * count, frames=1)
    return drawn  # type: ignore[no-any-return]  # of numpy


def candidate(frame_id: int, value: float, x: float = 0, shot: Shot = ("v", 0)) -> Candidate:
    return Candidate(frame_id, value, shot, occupancy((x, 100, 80, 240)))


def by_value(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: -one.value)


@st.composite
def queues(draw: st.DrawFn) -> list[Candidate]:
    """Frames of a few shots, of which some are alike and some equal."""
    values = st.sampled_from([0.0, 0.01, 0.02, 0.3, 0.31]) | st.floats(0, 1)
    places = st.sampled_from([0.0, 1.0, 4.0, 30.0, 200.0]) | st.floats(0, 560)
    shots = st.sampled_from([("v", 0), ("v", 9000), ("w", 0)])
    kinds = draw(st.lists(st.tuples(values, places, shots), max_size=25))
    return by_value([candidate(i, *kind) for i, kind in enumerate(kinds)])


def choose_plainly(candidates: Sequence[Candidate], most: int, max_per_shot: int | None) -> list[int]:
    """Compare everything with everything again for every choice."""
    chosen: list[Candidate] = []

    def worth(one: Candidate) -> float:
        beside = [other.occupancy for other in chosen if other.shot == one.shot]
        novelty = min([1.0, *map(float, occupancy_distances(one.occupancy, stack_grids(beside)))])
        too_many = max_per_shot is not None and len(beside) >= max_per_shot
        is_out = one in chosen or too_many or (beside and novelty < NEAR_IDENTICAL)
        return -1.0 if is_out else one.value * novelty

    while len(chosen) < most and candidates and worth(best := max(candidates, key=worth)) >= 0:
        chosen.append(best)
    return [one.frame_id for one in chosen]


def test_a_look_is_worth_what_it_is_expected_to_change() -> None:
    assert review_priority(trust=0.75, symmetric_difference_share=0.2) == pytest.approx(0.05)
    assert review_priority(trust=1.0, symmetric_difference_share=0.2) == 0
    assert review_priority(trust=None, symmetric_difference_share=0.2) == review_priority(
        trust=0.5, symmetric_difference_share=0.2
    )
    assert review_priority(trust=float("nan"), symmetric_difference_share=0.2) == 0.2


@settings(max_examples=150, deadline=None)
@given(queues(), st.integers(0, 12), st.none() | st.integers(1, 4))
def test_the_choice_is_that_of_comparing_everything_each_time(
    queue: list[Candidate], most: int, max_per_shot: int | None
) -> None:
    found = select_frames_for_review(queue, most=most, max_per_shot=max_per_shot)
    assert list(found.frames) == choose_plainly(queue, most, max_per_shot)
    assert len(found.frames) <= most
    if len(found.frames) < most:
        assert len(found.frames) + found.near_identical + found.beyond_shot == len(queue)


@settings(max_examples=100, deadline=None)
@given(queues(), st.integers(0, 8), st.integers(0, 8), st.none() | st.integers(1, 4))
def test_many_small_choices_are_one_large_one(
    queue: list[Candidate], first: int, then: int, max_per_shot: int | None
) -> None:
    """As when a push was killed, or sends as many as there is room for."""
    begun = select_frames_for_review(queue, most=first, max_per_shot=max_per_shot).frames
    asked = [one for one in queue if one.frame_id in begun]
    rest = select_frames_for_review(
        [one for one in queue if one.frame_id not in begun],
        most=then,
        max_per_shot=max_per_shot,
        asked_of=lambda shot: [one.occupancy for one in asked if one.shot == shot],
    )
    assert (
        begun + rest.frames
        == select_frames_for_review(queue, most=first + then, max_per_shot=max_per_shot).frames
    )


def test_frames_of_different_shots_come_by_value_however_alike() -> None:
    shots = [("v", 0), ("v", 9000), ("w", 0), ("x", 0)]
    queue = [candidate(i, 0.5 - i / 10, shot=shot) for i, shot in enumerate(shots)]
    assert select_frames_for_review(queue, most=9) == Selection((0, 1, 2, 3), 0, 0)


def test_what_was_not_seen_yet_comes_before_more_of_the_same() -> None:
    queue = [candidate(1, 0.5, 100), candidate(2, 0.45, 120), candidate(3, 0.4, 400)]
    assert select_frames_for_review(queue, most=9).frames == (1, 3, 2)


def test_of_near_identical_frames_the_most_valuable_is_sent_and_no_other_ever() -> None:
    queue = [candidate(1, 0.5, 100), candidate(2, 0.4, 101), candidate(3, 0.3, 99), candidate(4, 0.2, 400)]
    assert select_frames_for_review(queue, most=9) == Selection((1, 4), 2, 0)
    later = select_frames_for_review(queue[1:], most=9, asked_of=lambda _: [queue[0].occupancy])
    assert later == Selection((4,), 2, 0)


def test_somebody_whose_box_trembles_is_the_same_and_somebody_who_walks_is_not() -> None:
    """A hundredth of its sides each way, as detectors do; a third of its width, as in half a second."""
    stands = occupancy((200, 100, 80, 240))
    trembles, walks = occupancy((200.8, 97.6, 79.2, 242.4)), occupancy((227, 100, 80, 240))
    to_trembling, to_walking = occupancy_distances(stands, stack_grids([trembles, walks]))
    assert to_trembling < NEAR_IDENTICAL / 2
    assert to_walking > 2 * NEAR_IDENTICAL


def test_no_more_than_so_many_are_sent_of_a_shot_with_those_of_earlier() -> None:
    queue = [candidate(i, 0.5 - i / 100, 100 * i) for i in range(5)]
    queue.append(candidate(9, 0.01, shot=("w", 0)))
    assert select_frames_for_review(queue, most=9, max_per_shot=2) == Selection((0, 1, 9), 0, 3)
    asked = {("v", 0): [occupancy((560, 100, 80, 240))]}
    found = select_frames_for_review(queue, most=9, max_per_shot=2, asked_of=lambda shot: asked.get(shot, []))
    assert found == Selection((0, 9), 0, 4)


def test_while_enough_wait_none_is_read_for_its_novelty_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_queue, "AT_HAND", 5)
    read = []

    def one_shot() -> Iterator[Candidate]:
        for i in range(100):
            read.append(i)
            yield candidate(i, 0.5 - i / 1000, x=14.0 * (i % 40))

    assert len(select_frames_for_review(one_shot(), most=3).frames) == 3
    assert len(read) <= 3 + 5 + 1


def test_near_identical_frames_take_no_places_from_those_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_queue, "AT_HAND", 5)
    queue = [candidate(i, 0.5 - i / 1000, x=100) for i in range(50)] + [candidate(99, 0.1, x=400)]
    assert select_frames_for_review(queue, most=9) == Selection((0, 99), 49, 0)


def test_no_more_is_read_than_the_choice_needs() -> None:
    read = []

    def long_queue() -> Iterator[Candidate]:
        for i in range(1000):
            read.append(i)
            yield candidate(i, 0.5 - i / 10_000, shot=("v", i))

    assert select_frames_for_review(long_queue(), most=10).frames == tuple(range(10))
    assert len(read) <= 12
