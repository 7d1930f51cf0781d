"""Tracks of shards in the database: any order of shards gives the same numbers."""

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np
import pytest
from sqlalchemy import select

from configs.models import Agreement
from db.connection.database import Database, open_database
from db.frames.people import count_people
from db.models.core import FrameRow, InstanceRow, RunRow, ShardRow, TrackRow
from db.runs.garbage import delete_predictions
from db.runs.writes import ShardRange, plan_shards, record_models, record_video, store_shard, upsert_run
from labeling.comparison.agreement import compare_instances
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledFrame, LabeledShard
from labeling.structures.tracks import ShardTrack, TrackEdge

CARDS = {role: ModelCard("test", role, "", "{}") for role in ("teacher", "student")}
VIDEO = "a" * 64
MASK = Mask.from_array(np.pad(np.ones((10, 6), dtype=bool), ((4, 6), (3, 11))))
COLORS = np.eye(4, dtype=np.float32)
People = dict[int, tuple[int, str]]
"""Color of each person by number in the shard, and whether they are there at its start, end, or both."""
SHARDS: list[People] = [
    {1: (0, "end"), 2: (1, "end"), 3: (2, "")},
    {1: (1, "both"), 2: (3, "end"), 3: (0, "start")},
    {1: (3, "both"), 2: (1, "start"), 3: (2, "")},
]
NUMBERS = [{1: 1, 2: 2, 3: 3}, {1: 2, 2: 4, 3: 1}, {1: 4, 2: 2, 3: 5}]
"""Of each person in the video."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


def _shard(position: int, people: People, given: Sequence[int] = ()) -> LabeledShard:
    """Return a shard of 10 s whose frames at 0 s and 9 s show everybody, who stand beside each other."""
    start_ms = 10_000 * position

    def edge(color: int, t_ms: int) -> TrackEdge:
        return TrackEdge(t_ms / 1000, (100.0 * color, 0, 20, 60), (0, 0), COLORS[color], (480, 640))

    tracks = tuple(
        ShardTrack(
            *(number, start_ms, start_ms + 9000, 2, number in given),
            begin=edge(color, start_ms) if where in ("start", "both") else None,
            end=edge(color, start_ms + 9000) if where in ("end", "both") else None,
        )
        for number, (color, where) in people.items()
    )
    teacher = tuple(Instance(MASK, 0.9, MASK.box_xywh, track_id=number) for number in people)
    agreement = compare_instances(teacher, [], MASK.size_hw, Agreement(), student_is_semantic=False)
    rows = [
        LabeledFrame(
            start_ms + ms, 0, 1.0, "", "review", size_hw=MASK.size_hw, image="a.jpg", agreement=agreement,
            priority=0.5, teacher=teacher, student=(Instance(MASK, 0.5, MASK.box_xywh),),
        )
        for ms in (0, 9000)
    ]  # fmt: skip
    return LabeledShard(rows, CARDS, {"sampled": 2}, {}, tracks)


def store(database: Database, run_id: str, labeled: Sequence[LabeledShard], order: Sequence[int]) -> None:
    with database.transaction() as session:
        upsert_run(session, run_id, name="test", config={}, code_version="test")
        record_models(session, run_id, CARDS)
        record_video(session, {"id": VIDEO, "kind": "video", "path": "a.mp4"})
        ranges = [ShardRange(10_000 * n, 10_000 * (n + 1)) for n in range(len(labeled))]
        plan_shards(session, run_id, VIDEO, ranges)
    for position in order:
        with database.transaction() as session:
            query = select(ShardRow).where(ShardRow.run_id == run_id, ShardRow.start_ms == 10_000 * position)
            store_shard(session, session.scalars(query).one(), labeled[position])


def numbers(database: Database, run_id: str) -> list[tuple[int | None, int, int | None]]:
    """Return time, rank and track of the teacher's instances."""
    with database.session() as session:
        query = (
            select(FrameRow.pts_ms, InstanceRow.rank, InstanceRow.track_id)
            .join(FrameRow, FrameRow.id == InstanceRow.frame_id)
            .where(InstanceRow.run_id == run_id, InstanceRow.role == "teacher")
            .order_by(FrameRow.pts_ms, InstanceRow.rank)
        )
        return list(session.execute(query).tuples())


@pytest.mark.slow
def test_any_order_of_shards_gives_the_same_numbers(database: Database) -> None:
    labeled = [_shard(position, people) for position, people in enumerate(SHARDS)]
    expected = [
        (10_000 * position + ms, rank, number)
        for position, of_shard in enumerate(NUMBERS)
        for ms in (0, 9000)
        for rank, number in enumerate(of_shard.values())
    ]
    for n, order in enumerate(permutations(range(3))):
        store(database, f"run{n}", labeled, order)
        assert numbers(database, f"run{n}") == expected, order
        with database.session() as session:
            assert count_people(session, f"run{n}") == 5


def test_a_shard_that_is_missing_breaks_tracks_until_it_is_done(database: Database) -> None:
    labeled = [_shard(position, people) for position, people in enumerate(SHARDS)]
    store(database, "run", labeled, [0, 2])
    assert [number for *_, number in numbers(database, "run")] == [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]
    store(database, "run", labeled, [1])
    assert [number for *_, number in numbers(database, "run")][-3:] == [4, 2, 5]


def test_given_numbers_stay_and_no_other_track_gets_them(database: Database) -> None:
    labeled = [_shard(0, {1: (0, "end")}), _shard(1, {1: (0, "start"), 2: (1, "")}, given=[2])]
    for run_id, order in (("run1", [0, 1]), ("run2", [1, 0])):
        store(database, run_id, labeled, order)
        assert [number for *_, number in numbers(database, run_id)] == [3, 3, 3, 2, 3, 2]


def test_students_have_no_track_and_deleting_a_run_deletes_its_tracks(database: Database) -> None:
    store(database, "run", [_shard(0, SHARDS[0])], [0])
    with database.transaction() as session:
        students = select(InstanceRow.track_id).where(InstanceRow.role == "student").distinct()
        assert session.scalars(students).all() == [None]
        delete_predictions(session, "run")
        assert session.scalars(select(TrackRow)).all() == []
        assert session.get_one(RunRow, "run").counts == {}
