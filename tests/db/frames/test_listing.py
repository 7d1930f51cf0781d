"""Frames of a run are listed and counted as a simple Python loop would."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from db.connection.database import Database, open_database
from db.frames.gallery import GalleryFilter, frame_page
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
    """A frame as it was stored."""

    id: int
    video_id: str
    pts_ms: int
    decision: str
    iou: float | None
    both_empty: bool
    is_hard: bool
    causes: tuple[str, ...]


def planted() -> list[Planted]:
    """About 400 shuffled frames: every bin edge, many ties, some frames that were not compared."""
    rng = np.random.default_rng(11)
    ious = [k / BINS for k in range(BINS + 1)] + [0.0] * 40 + [1.0] * 40 + list(rng.random(240))
    frames = [_compared(number, float(iou), rng) for number, iou in enumerate(ious)]
    for number in range(len(ious), len(ious) + 60):
        video_id, pts_ms = "ab"[number % 2] * 64, number * 500
        frames.append(
            Planted(frame_id(video_id, pts_ms), video_id, pts_ms, "rejected", None, False, False, ())
        )
    return [frames[position] for position in rng.permutation(len(frames))]


def _compared(number: int, iou: float, rng: np.random.Generator) -> Planted:
    video_id, pts_ms = "ab"[number % 2] * 64, number * 500
    both_empty = iou == 1.0 and number % 3 == 0
    decision = "easy" if iou >= 0.5 else ("accepted", "review")[number % 2]
    causes = () if iou == 1.0 else tuple(str(cause) for cause in rng.choice(CAUSES, rng.integers(0, 4)))
    return Planted(frame_id(video_id, pts_ms), video_id, pts_ms, decision, iou, both_empty, iou < 0.5, causes)


FRAMES = planted()


@pytest.fixture(scope="module")
def database(module_database_url: str) -> Iterator[Database]:
    made = open_database(module_database_url)
    store_frames(made)
    yield made
    made.close()


def store_frames(database: Database) -> None:
    """Store all frames in the run under test and some in another run, with two shards per video."""
    for run_id, rows in (("this", FRAMES), ("other", FRAMES[:50])):
        with database.transaction() as session:
            upsert_run(session, run_id, name="test", config={}, code_version="test")
            record_models(session, run_id, CARDS)
            for video_id in ("a" * 64, "b" * 64):
                record_video(session, {"id": video_id, "kind": "video", "path": f"{video_id}.mp4"})
                plan_shards(session, run_id, video_id, [ShardRange(0, 90_000), ShardRange(90_000, None)])
            for shard in session.query(ShardRow).filter_by(run_id=run_id).all():
                end_ms = shard.end_ms or 10**9
                here = [
                    f for f in rows if f.video_id == shard.video_id and shard.start_ms <= f.pts_ms < end_ms
                ]
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
    return LabeledFrame(frame.pts_ms, 0, 50.0, "", decision, rule=rule, agreement=agreement)


def hardest_first(frame: Planted) -> tuple[float, int, str, int]:
    """Sort equally hard frames by id, and frames that were not compared by video and time."""
    if frame.iou is None:
        return 2.0, 0, frame.video_id, frame.pts_ms
    return _expected(frame.iou), frame.id, "", 0


def _expected(iou: float) -> float:
    """Invert the IoU, to show which of the two lists are sorted by."""
    return 1 - iou


def listed(database: Database, query: FrameQuery) -> list[int]:
    with database.session() as session:
        return [row.id for row in list_frames(session, "this", query)]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 10, len(FRAMES) - 30, len(FRAMES), None])
def test_the_hardest_frames_come_first_and_uncompared_ones_last(
    database: Database, limit: int | None
) -> None:
    expected = [frame.id for frame in sorted(FRAMES, key=hardest_first)]
    assert listed(database, FrameQuery(limit=limit)) == expected[:limit]


@pytest.mark.parametrize("decisions", [("review",), ("easy", "rejected"), ("rejected",)])
def test_frames_are_filtered_by_decision(database: Database, decisions: tuple[str, ...]) -> None:
    expected = [frame for frame in sorted(FRAMES, key=hardest_first) if frame.decision in decisions]
    assert listed(database, FrameQuery(decisions)) == [frame.id for frame in expected]


@pytest.mark.parametrize("hard_only", [False, True])
def test_frames_are_listed_by_video_and_time(database: Database, hard_only: bool) -> None:
    listable = [frame for frame in FRAMES if frame.is_hard or not hard_only]
    expected = [frame.id for frame in sorted(listable, key=lambda f: (f.video_id, f.pts_ms))]
    assert listed(database, FrameQuery(hard_only=hard_only, order="time")) == expected


def test_only_hard_frames_are_listed(database: Database) -> None:
    expected = [frame.id for frame in sorted(FRAMES, key=hardest_first) if frame.is_hard]
    assert listed(database, FrameQuery(hard_only=True)) == expected


def test_the_histogram_equals_a_count_in_python(database: Database) -> None:
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


@pytest.mark.parametrize(
    "chosen",
    [
        GalleryFilter(),
        GalleryFilter(decision="review"),
        GalleryFilter(cause="miss"),
        GalleryFilter(video_id="b" * 64, cause="boundary"),
        GalleryFilter(iou_from=0.25, iou_to=0.75),
        GalleryFilter(decision="accepted", iou_to=0.0),
        GalleryFilter(iou_from=0.999, decision="accepted"),
    ],
)
@pytest.mark.parametrize("size", [7, 500])
def test_pages_of_the_gallery_together_are_all_frames_that_match(
    database: Database, chosen: GalleryFilter, size: int
) -> None:
    pages, after = [], None
    with database.session() as session:
        while True:
            page = frame_page(session, "this", chosen, after=after, size=size)
            pages.append([frame.id for frame in page.frames])
            if (after := page.following) is None:
                break
    expected = [frame.id for frame in sorted(FRAMES, key=hardest_first) if matches(frame, chosen)]
    assert [frame_id for page in pages for frame_id in page] == expected
    assert all(len(page) == size for page in pages[:-1])


def matches(frame: Planted, chosen: GalleryFilter) -> bool:
    return (
        frame.iou is not None
        and chosen.decision in (None, frame.decision)
        and chosen.cause in (None, *frame.causes)
        and chosen.video_id in (None, frame.video_id)
        and chosen.iou_from <= frame.iou <= chosen.iou_to
    )
