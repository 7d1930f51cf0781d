"""Frames of a run, listed and counted by the database as a reader in Python would."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from db.connection.database import Database, open_database
from db.frames.histograms import BINS, cause_counts, iou_histogram
from db.frames.listing import FrameQuery, list_frames
from db.models.core import ShardRow, frame_id
from db.runs.writes import ShardRange, plan_shards, record_models, record_video, store_shard, upsert_run
from labeling.structures.agreement import FrameAgreement, Mismatch
from labeling.structures.instances import ModelCard
from labeling.structures.records import LabeledFrame, LabeledShard

CARDS = {role: ModelCard("test", role, "", "{}") for role in ("teacher", "student")}
CAUSES = ("boundary", "extra", "merge", "miss", "split")


@dataclass(frozen=True, slots=True)
class Planted:
    """A frame as it was entered."""

    id: int
    video_id: str
    t_ms: int
    decision: str
    iou: float | None
    both_empty: bool
    is_hard: bool
    causes: tuple[str, ...]


def planted() -> list[Planted]:
    """Some 400 frames in no order: every edge of a bin, many ties, some that were never compared."""
    rng = np.random.default_rng(11)
    ious = [k / BINS for k in range(BINS + 1)] + [0.0] * 40 + [1.0] * 40 + list(rng.random(240))
    frames = [_compared(number, float(iou), rng) for number, iou in enumerate(ious)]
    for number in range(len(ious), len(ious) + 60):
        video_id, t_ms = "ab"[number % 2] * 64, number * 500
        frames.append(Planted(frame_id(video_id, t_ms), video_id, t_ms, "rejected", None, False, False, ()))
    return [frames[place] for place in rng.permutation(len(frames))]


def _compared(number: int, iou: float, rng: np.random.Generator) -> Planted:
    video_id, t_ms = "ab"[number % 2] * 64, number * 500
    both_empty = iou == 1.0 and number % 3 == 0
    decision = "easy" if iou >= 0.5 else ("accepted", "review")[number % 2]
    causes = () if iou == 1.0 else tuple(str(cause) for cause in rng.choice(CAUSES, rng.integers(0, 4)))
    return Planted(frame_id(video_id, t_ms), video_id, t_ms, decision, iou, both_empty, iou < 0.5, causes)


FRAMES = planted()


@pytest.fixture(scope="module")
def database(module_database_url: str) -> Iterator[Database]:
    made = open_database(module_database_url)
    enter(made)
    yield made
    made.close()


def enter(database: Database) -> None:
    """The frames in the run that is looked at, and some of them in another; two shards a video."""
    for run_id, rows in (("this", FRAMES), ("other", FRAMES[:50])):
        with database.transaction() as session:
            upsert_run(session, run_id, name="test", config={}, code_version="test")
            record_models(session, run_id, CARDS)
            for video_id in ("a" * 64, "b" * 64):
                record_video(session, {"id": video_id, "kind": "video", "path": f"{video_id}.mp4"})
                plan_shards(session, run_id, video_id, [ShardRange(0, 90_000), ShardRange(90_000, None)])
            for shard in session.query(ShardRow).filter_by(run_id=run_id).all():
                end_ms = shard.end_ms or 10**9
                here = [f for f in rows if f.video_id == shard.video_id and shard.start_ms <= f.t_ms < end_ms]
                counts = dict(Counter("rejected:dark" if f.iou is None else f.decision for f in here))
                store_shard(session, shard, LabeledShard([_labeled(f) for f in here], CARDS, counts, {}))


def _labeled(frame: Planted) -> LabeledFrame:
    agreement = None
    if frame.iou is not None:
        mismatches = tuple(Mismatch(cause, (0,), (), 0.1) for cause in frame.causes)  # type: ignore[arg-type]  # one of CAUSES
        agreement = FrameAgreement(
            *(frame.iou, _expected(frame.iou), frame.iou, frame.both_empty, frame.is_hard),
            *((), mismatches, 0.0),
        )
    decision: Any = frame.decision
    rule = "dark" if agreement is None else None
    return LabeledFrame(frame.t_ms, 0, 50.0, "", decision, rule=rule, agreement=agreement)


def hardest_first(frame: Planted) -> tuple[float, int, str, int]:
    """As hard ones by their id, whose order is nobody's; never compared ones by video and time."""
    if frame.iou is None:
        return 2.0, 0, frame.video_id, frame.t_ms
    return _expected(frame.iou), frame.id, "", 0


def _expected(iou: float) -> float:
    """The other way round, which shows by what lists are ordered."""
    return 1 - iou


def listed(database: Database, wanted: FrameQuery) -> list[int]:
    with database.session() as session:
        return [row.id for row in list_frames(session, "this", wanted)]


@pytest.mark.parametrize("limit", [1, 10, len(FRAMES) - 30, len(FRAMES), None])
def test_the_hardest_come_first_and_those_never_compared_last(database: Database, limit: int | None) -> None:
    expected = [frame.id for frame in sorted(FRAMES, key=hardest_first)]
    assert listed(database, FrameQuery(limit=limit)) == expected[:limit]


@pytest.mark.parametrize("decisions", [("review",), ("easy", "rejected"), ("rejected",)])
def test_frames_are_chosen_by_their_decision(database: Database, decisions: tuple[str, ...]) -> None:
    chosen = [frame for frame in sorted(FRAMES, key=hardest_first) if frame.decision in decisions]
    assert listed(database, FrameQuery(decisions)) == [frame.id for frame in chosen]


@pytest.mark.parametrize("hard_only", [False, True])
def test_frames_are_listed_by_video_and_time(database: Database, hard_only: bool) -> None:
    chosen = [frame for frame in FRAMES if frame.is_hard or not hard_only]
    expected = [frame.id for frame in sorted(chosen, key=lambda f: (f.video_id, f.t_ms))]
    assert listed(database, FrameQuery(hard_only=hard_only, order="time")) == expected


def test_hard_frames_alone_are_listed(database: Database) -> None:
    expected = [frame.id for frame in sorted(FRAMES, key=hardest_first) if frame.is_hard]
    assert listed(database, FrameQuery(hard_only=True)) == expected


def test_the_histogram_is_that_of_a_count_by_hand(database: Database) -> None:
    expected, empty = [0] * BINS, 0
    for frame in FRAMES:
        if frame.both_empty:
            empty += 1
        elif frame.iou is not None:
            expected[min(int(frame.iou * BINS), BINS - 1)] += 1
    assert empty > 0
    with database.session() as session:
        assert iou_histogram(session, "this") == (expected, empty)
        assert iou_histogram(session, "no such run") == ([0] * BINS, 0)


def test_causes_are_counted_over_hard_frames(database: Database) -> None:
    expected = Counter(cause for frame in FRAMES if frame.is_hard for cause in frame.causes)
    assert set(expected) == set(CAUSES)
    with database.session() as session:
        assert cause_counts(session, "this") == dict(sorted(expected.items()))
        assert cause_counts(session, "no such run") == {}
