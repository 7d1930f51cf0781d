"""Review priority, and the selection of frames compared with the simplest greedy one."""

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
    [grid] = occupancy_grids(boxes_xywh, areas, [SIZE_WH] * count, [0] * count, frames=1)
    return grid  # type: ignore[no-any-return]  # of numpy


def candidate(frame_id: int, value: float, x: float = 0, shot: Shot = ("v", 0)) -> Candidate:
    return Candidate(frame_id, value, shot, occupancy((x, 100, 80, 240)))


def by_value(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: -candidate.value)


@st.composite
def queues(draw: st.DrawFn) -> list[Candidate]:
    """Frames of a few shots, some similar and some equal."""
    values = st.sampled_from([0.0, 0.01, 0.02, 0.3, 0.31]) | st.floats(0, 1)
    positions = st.sampled_from([0.0, 1.0, 4.0, 30.0, 200.0]) | st.floats(0, 560)
    shots = st.sampled_from([("v", 0), ("v", 9000), ("w", 0)])
    kinds = draw(st.lists(st.tuples(values, positions, shots), max_size=25))
    return by_value([candidate(i, *kind) for i, kind in enumerate(kinds)])


def select_simply(candidates: Sequence[Candidate], most: int, max_per_shot: int | None) -> list[int]:
    """Compare everything with everything again for every choice."""
    chosen: list[Candidate] = []

    def score(candidate: Candidate) -> float:
        beside = [other.occupancy for other in chosen if other.shot == candidate.shot]
        novelty = min([1.0, *map(float, occupancy_distances(candidate.occupancy, stack_grids(beside)))])
        too_many = max_per_shot is not None and len(beside) >= max_per_shot
        is_out = candidate in chosen or too_many or (beside and novelty < NEAR_IDENTICAL)
        return -1.0 if is_out else candidate.value * novelty

    while len(chosen) < most and candidates and score(best := max(candidates, key=score)) >= 0:
        chosen.append(best)
    return [one.frame_id for one in chosen]


def test_the_priority_is_the_expected_change() -> None:
    assert review_priority(trust=0.75, symmetric_difference_share=0.2) == pytest.approx(0.05)
    assert review_priority(trust=1.0, symmetric_difference_share=0.2) == 0
    assert review_priority(trust=None, symmetric_difference_share=0.2) == review_priority(
        trust=0.5, symmetric_difference_share=0.2
    )
    assert review_priority(trust=float("nan"), symmetric_difference_share=0.2) == 0.2


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(queues(), st.integers(0, 12), st.none() | st.integers(1, 4))
def test_the_selection_equals_that_of_comparing_everything_each_time(
    queue: list[Candidate], most: int, max_per_shot: int | None
) -> None:
    found = select_frames_for_review(queue, most=most, max_per_shot=max_per_shot)
    assert list(found.frames) == select_simply(queue, most, max_per_shot)
    assert len(found.frames) <= most
    if len(found.frames) < most:
        assert len(found.frames) + found.near_identical + found.beyond_shot == len(queue)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(queues(), st.integers(0, 8), st.integers(0, 8), st.none() | st.integers(1, 4))
def test_many_small_selections_equal_one_large_one(
    queue: list[Candidate], first: int, then: int, max_per_shot: int | None
) -> None:
    """As after a push that was killed, or one limited by `max_open_tasks`."""
    sent = select_frames_for_review(queue, most=first, max_per_shot=max_per_shot).frames
    selected = [one for one in queue if one.frame_id in sent]
    rest = select_frames_for_review(
        [one for one in queue if one.frame_id not in sent],
        most=then,
        max_per_shot=max_per_shot,
        asked_of=lambda shot: [one.occupancy for one in selected if one.shot == shot],
    )
    assert (
        sent + rest.frames
        == select_frames_for_review(queue, most=first + then, max_per_shot=max_per_shot).frames
    )


def test_frames_of_different_shots_come_by_value_however_similar() -> None:
    shots = [("v", 0), ("v", 9000), ("w", 0), ("x", 0)]
    queue = [candidate(i, 0.5 - i / 10, shot=shot) for i, shot in enumerate(shots)]
    assert select_frames_for_review(queue, most=9) == Selection((0, 1, 2, 3), 0, 0)


def test_new_content_comes_before_more_of_the_same() -> None:
    queue = [candidate(1, 0.5, 100), candidate(2, 0.45, 120), candidate(3, 0.4, 400)]
    assert select_frames_for_review(queue, most=9).frames == (1, 3, 2)


def test_of_near_identical_frames_only_the_most_valuable_is_sent() -> None:
    queue = [candidate(1, 0.5, 100), candidate(2, 0.4, 101), candidate(3, 0.3, 99), candidate(4, 0.2, 400)]
    assert select_frames_for_review(queue, most=9) == Selection((1, 4), 2, 0)
    later = select_frames_for_review(queue[1:], most=9, asked_of=lambda _: [queue[0].occupancy])
    assert later == Selection((4,), 2, 0)


def test_a_jittering_box_is_near_identical_and_a_walking_person_is_not() -> None:
    """Detectors jitter by 1 % of the sides; half a second of walking is a third of the width."""
    standing = occupancy((200, 100, 80, 240))
    jittered, moved = occupancy((200.8, 97.6, 79.2, 242.4)), occupancy((227, 100, 80, 240))
    to_jittered, to_moved = occupancy_distances(standing, stack_grids([jittered, moved]))
    assert to_jittered < NEAR_IDENTICAL / 2
    assert to_moved > 2 * NEAR_IDENTICAL


def test_max_per_shot_includes_frames_sent_earlier() -> None:
    queue = [candidate(i, 0.5 - i / 100, 100 * i) for i in range(5)]
    queue.append(candidate(9, 0.01, shot=("w", 0)))
    assert select_frames_for_review(queue, most=9, max_per_shot=2) == Selection((0, 1, 9), 0, 3)
    earlier = {("v", 0): [occupancy((560, 100, 80, 240))]}
    found = select_frames_for_review(
        queue, most=9, max_per_shot=2, asked_of=lambda shot: earlier.get(shot, [])
    )
    assert found == Selection((0, 9), 0, 4)


def test_no_candidate_is_read_for_its_novelty_alone_while_enough_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(review_queue, "MAX_COMPARED", 5)
    read = []

    def one_shot() -> Iterator[Candidate]:
        for i in range(100):
            read.append(i)
            yield candidate(i, 0.5 - i / 1000, x=14.0 * (i % 40))

    assert len(select_frames_for_review(one_shot(), most=3).frames) == 3
    assert len(read) <= 3 + 5 + 1


def test_near_identical_frames_do_not_displace_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_queue, "MAX_COMPARED", 5)
    queue = [candidate(i, 0.5 - i / 1000, x=100) for i in range(50)] + [candidate(99, 0.1, x=400)]
    assert select_frames_for_review(queue, most=9) == Selection((0, 99), 49, 0)


def test_candidates_are_read_only_as_far_as_needed() -> None:
    read = []

    def long_queue() -> Iterator[Candidate]:
        for i in range(1000):
            read.append(i)
            yield candidate(i, 0.5 - i / 10_000, shot=("v", i))

    assert select_frames_for_review(long_queue(), most=10).frames == tuple(range(10))
    assert len(read) <= 12
