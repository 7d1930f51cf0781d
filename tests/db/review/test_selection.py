"""The frames that a push would send, selected from the database."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from configs.models import Review as Settings
from db.models.core import DecisionRow, VideoRow
from db.models.review import ReviewRow
from db.review.outbox import fill_outbox
from db.review.selection import PushChoice, SkippedFrames, choose_waiting
from db.runs.writes import ShardRange, plan_shards
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tests.planted_reviews import VIDEO, PlantedFrame, PlantedRun, box_mask, plant_run


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MASKMILL_DATABASE_URL", database_url)
    yield Home(tmp_path / "home")
    close_databases()


def missed_person(x: int, height: int = 80, shot: int | None = 0) -> PlantedFrame:
    """Return a frame with a person that the student missed; the priority grows with the height."""
    return PlantedFrame([box_mask(x, 10, 30, height)], shot=shot)


def plant(home: Home, frames: Sequence[PlantedFrame], **fields: float) -> PlantedRun:
    run = plant_run(home, frames, **fields)  # type: ignore[arg-type]  # hard_below
    with database_of(home).transaction() as session:
        fill_outbox(session, run.id)
    return run


def choose(home: Home, run: PlantedRun, room: int = 99, **settings: int) -> PushChoice:
    with database_of(home).session() as session:
        return choose_waiting(session, run.id, Settings(**settings), room=room)


def positions(run: PlantedRun, choice: PushChoice) -> list[int]:
    return [run.frames.index(frame_id) for frame_id in choice.frames]


def mark(home: Home, frame_ids: Sequence[int], state: str) -> None:
    with database_of(home).transaction() as session:
        session.execute(update(ReviewRow).where(ReviewRow.frame_id.in_(frame_ids)).values(state=state))


@pytest.mark.slow
def test_frames_of_different_shots_are_sent_by_priority(home: Home) -> None:
    run = plant(home, [missed_person(10, height, shot=None) for height in (40, 100, 20, 60)])
    choice = choose(home, run)
    assert positions(run, choice) == [1, 3, 0, 2]
    assert choice.passed_over == SkippedFrames(0, 0, 0)


@pytest.mark.slow
def test_only_the_first_of_near_identical_frames_is_ever_sent(home: Home) -> None:
    run = plant(
        home, [missed_person(10, 76), missed_person(10, 80), missed_person(100), missed_person(10, 78)]
    )
    choice = choose(home, run)
    assert positions(run, choice) == [1, 2]
    assert choice.passed_over == SkippedFrames(2, 0, 0)
    for state in ("sending", "open", "reviewed", "unresolved", "skipped", "deleted"):
        mark(home, choice.frames, state)
        assert choose(home, run) == PushChoice((), SkippedFrames(2, 0, 0))
    mark(home, choice.frames, "withdrawn")
    assert positions(run, choose(home, run)) == [3]


def test_frames_sent_by_another_run_are_not_sent_again(home: Home) -> None:
    frames = [missed_person(10, 80), missed_person(10, 78), missed_person(100, 60)]
    first = plant(home, frames)
    sent = choose(home, first, room=1)
    mark(home, sent.frames, "reviewed")
    second = plant(home, frames, hard_below=0.6)
    assert positions(second, choose(home, second)) == [2]
    assert choose(home, second, budget=1) == PushChoice((), SkippedFrames(0, 0, 2))
    third = plant(
        home, [PlantedFrame(frames[0].teacher, decision="accepted", shot=0), *frames[1:]], hard_below=0.7
    )
    assert positions(third, choose(home, third, budget=1)) == [
        2
    ]  # the frame that was sent needs no review in this run


def test_frames_without_teacher_masks_differ_by_the_student(home: Home) -> None:
    frames = [PlantedFrame([], [box_mask(x, 10, 30, 80 - x)], shot=0) for x in (0, 1, 40)]
    run = plant(home, frames)
    choice = choose(home, run)
    assert (positions(run, choice), choice.passed_over) == ([0, 2], SkippedFrames(1, 0, 0))


def test_extra_student_masks_hardly_make_a_frame_new(home: Home) -> None:
    """The same two persons; then with masks of the student only; then another person."""
    people = [box_mask(0, 10, 30, 80), box_mask(120, 10, 30, 80)]
    noise = [PlantedFrame(people, [box_mask(x, 10, 20, 40)], shot=0) for x in (40, 80)]
    run = plant(home, [PlantedFrame(people, shot=0), *noise, missed_person(60, 30)])
    choice = choose(home, run)
    assert (positions(run, choice), choice.passed_over) == ([1, 3], SkippedFrames(2, 0, 0))


def test_the_budget_covers_all_pushes_of_a_run(home: Home) -> None:
    run = plant(home, [missed_person(10, 100 - i, shot=None) for i in range(6)])
    first = choose(home, run, room=2, budget=3)
    assert (positions(run, first), first.passed_over) == ([0, 1], SkippedFrames(0, 0, 0))
    mark(home, first.frames, "open")
    then = choose(home, run, budget=3)
    assert (positions(run, then), then.passed_over) == ([2], SkippedFrames(0, 0, 3))
    mark(home, then.frames, "skipped")
    assert choose(home, run, budget=3) == PushChoice((), SkippedFrames(0, 0, 3))
    assert positions(run, choose(home, run, budget=4)) == [3]


def test_the_limit_per_shot_covers_all_pushes(home: Home) -> None:
    run = plant(
        home, [missed_person(x, 100 - x // 10) for x in (0, 40, 80, 120)] + [missed_person(0, 50, shot=9000)]
    )
    first = choose(home, run, room=1, max_per_shot=2)
    mark(home, first.frames, "reviewed")
    then = choose(home, run, max_per_shot=2)
    assert (positions(run, then), then.passed_over) == ([1, 4], SkippedFrames(0, 2, 0))


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [0, 1, 4, 9])
def test_a_killed_push_resumes_with_the_same_choice(
    home: Home, killed_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.review.selection.PAGE", 3)
    frames = [missed_person((37 * i) % 120, 60 + (13 * i) % 40, shot=i % 3) for i in range(20)]
    run = plant(home, frames)
    whole = choose(home, run, budget=12)
    assert len(whole.frames) == 12
    mark(home, whole.frames[:killed_after], "sending")
    assert choose(home, run, budget=12).frames == whole.frames[killed_after:]


def test_a_shot_continues_across_shards(home: Home) -> None:
    """The start of a shard is no scene boundary; a boundary shortly after it is one."""
    frames = [
        missed_person(10, 80, shot=0),
        missed_person(10, 79, shot=500),  # start of the second shard
        missed_person(10, 78, shot=500),
        missed_person(10, 77, shot=1500),  # start of the third shard: the same shot
        missed_person(10, 76, shot=2000),  # a scene boundary
    ]
    run = plant(home, frames)
    assert positions(run, choose(home, run)) == [0, 1, 3, 4]
    starts = [ShardRange(0, 500), ShardRange(500, 1490), ShardRange(1490, None)]
    with database_of(home).transaction() as session:
        plan_shards(session, run.id, VIDEO, starts)
        session.execute(update(VideoRow).values(fps="25"))
    assert positions(run, choose(home, run)) == [0, 4]
    with database_of(home).transaction() as session:
        session.execute(update(VideoRow).values(fps=None))
    assert positions(run, choose(home, run)) == [0, 1, 3, 4]


def test_the_choice_does_not_depend_on_the_order_of_rows(home: Home, tmp_path: Path) -> None:
    frames = [missed_person((37 * i) % 120, 60 + (13 * i) % 7, shot=i % 3) for i in range(12)]
    run = plant(home, frames)
    before = choose(home, run).frames
    with database_of(home).transaction() as session:
        rows = session.query(ReviewRow).order_by(ReviewRow.frame_id).all()
        kept = [(row.frame_id, row.run_id, row.priority) for row in rows]
        session.query(ReviewRow).delete()
        session.add_all(
            ReviewRow(frame_id=frame_id, run_id=run_id, priority=priority, state="waiting", fingerprint="")
            for frame_id, run_id, priority in kept[::-1]
        )
        session.execute(update(DecisionRow).values(rule=None))
    assert choose(home, run).frames == before
