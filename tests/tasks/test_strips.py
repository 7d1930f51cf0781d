"""The strip of one person, from a run in the database to a file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError
from configs.models import Agreement
from db.connection.database import open_database
from db.frames.listing import FrameQuery, list_frames
from db.frames.people import PersonKey, find_person, people_of_frames, person_frames
from db.models.core import RunRow, ShardRow, frame_id
from db.review.items import review_items
from db.runs.writes import ShardRange, plan_shards, record_models, record_video, store_shard, upsert_run
from labeling.comparison.agreement import compare_instances
from labeling.storage.encode import encode_image
from labeling.storage.home import Home
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledFrame, LabeledShard
from labeling.structures.tracks import ShardTrack
from labeling.visualization.strip import find_worst
from tasks.execution.context import Context
from tasks.gallery import person_jpeg
from tasks.report import render_run
from tasks.strips import MAX_MOMENTS, collect_strip, person_agreement, write_strip

SIZE_HW = (96, 128)
VIDEO = "1f0c9ab2" + 56 * "0"
OTHER = "1f77" + 60 * "0"
CARDS = {role: ModelCard("test", role, "", "{}") for role in ("teacher", "student")}
WORST = 7
"""Number of the frame in which the student finds only half of the walker."""


def person(left: int, height: int = 60, track_id: int | None = None) -> Instance:
    pixels = np.zeros(SIZE_HW, dtype=bool)
    pixels[20 : 20 + height, left : left + 20] = True
    mask = Mask.from_array(pixels)
    return Instance(mask, 0.9, mask.box_xywh, track_id=track_id)


def labeled(number: int, home: Home) -> LabeledFrame:
    """A walker with track 1 in every frame, and a sitter with track 2 in the first five."""
    teacher = [person(5 + number, track_id=1)] + ([person(100, track_id=2)] if number < 5 else [])
    student = [person(5 + number, height=30 if number == WORST else 60), *teacher[1:]]
    image = encode_image(np.full((*SIZE_HW, 3), 60 + number, dtype=np.uint8), quality=90)
    home.images.save(image.name, image.content)
    agreement = compare_instances(
        teacher, student, SIZE_HW, Agreement(hard_below=0.9), student_is_semantic=False
    )
    return LabeledFrame(
        pts_ms=500 * number,
        index=None,
        shot_start_ms=0,
        sharpness=1.0,
        name="",
        size_hw=SIZE_HW,
        decision="review" if agreement.is_hard else "easy",
        agreement=agreement,
        priority=0.5,
        teacher=tuple(teacher),
        student=tuple(replace(one, track_id=None) for one in student),
        image=image.stored,
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    home = Home(tmp_path_factory.mktemp("strips"))
    home.create()
    database = open_database(home.database_url)
    frames = [labeled(number, home) for number in range(30)]
    with database.transaction() as session:
        upsert_run(session, "this", name="walk", config={}, code_version="test")
        record_models(session, "this", CARDS)
        for video_id in (VIDEO, OTHER):
            record_video(session, {"id": video_id, "kind": "video", "path": f"{video_id[:4]}.mp4"})
            plan_shards(session, "this", video_id, [ShardRange(0, None)])
        for shard in session.query(ShardRow).filter_by(video_id=VIDEO).all():
            tracks = (ShardTrack(1, 0, 14_500, 30), ShardTrack(2, 0, 2000, 5))
            store_shard(session, shard, LabeledShard(frames, CARDS, {"easy": 29, "review": 1}, {}, tracks))
    yield Context(home, database)
    database.close()


def test_a_strip_has_evenly_spaced_moments_and_marks_the_worst(context: Context) -> None:
    with context.database.session() as session:
        walker = collect_strip(session, "this", PersonKey(VIDEO, 1), context.home)
        sitter = collect_strip(session, "this", PersonKey(VIDEO, 2), context.home)
    assert walker is not None
    assert sitter is not None
    assert (walker.frames, walker.first_ms, walker.last_ms, walker.title) == (30, 0, 14_500, "1f0c.mp4")
    assert len(walker.cells) == MAX_MOMENTS
    worst = find_worst(walker.cells)
    assert worst is not None
    assert walker.cells[worst].time == "00:03.500"
    assert walker.cells[worst].iou == pytest.approx(0.5)
    assert [cell.iou for cell in sitter.cells] == [1.0] * 5


def test_agreement_on_a_person_ignores_what_the_student_finds_elsewhere() -> None:
    walker = person(10).mask
    assert person_agreement(walker, [walker, person(90).mask]) == pytest.approx(1)
    assert person_agreement(walker, [person(90).mask]) == pytest.approx(0, abs=1e-6)
    assert person_agreement(walker, []) == pytest.approx(0, abs=1e-6)


def test_frames_are_listed_by_person(context: Context) -> None:
    with context.database.session() as session:
        key = find_person(session, "this", "1f0c:2")
        lines = list(list_frames(session, "this", FrameQuery(person=key, order="time")))
        hardest = list(list_frames(session, "this", FrameQuery(person=PersonKey(VIDEO, 1), limit=1)))
        assert [frame.pts_ms for frame in person_frames(session, "this", key)] == [0, 500, 1000, 1500, 2000]
        assert people_of_frames(session, "this", [frame_id(VIDEO, 4500)]).popitem()[1] == (
            PersonKey(VIDEO, 1),
        )
    assert [line.pts_ms for line in lines] == [0, 500, 1000, 1500, 2000]
    assert lines[0].people == ("1f0c9ab2:1", "1f0c9ab2:2")
    assert [line.pts_ms for line in hardest] == [500 * WORST]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("walker", "is not VIDEO:NUMBER"),
        ("1f0c:", "is not VIDEO:NUMBER"),
        ("abcd:1", "no video of the run"),
        ("1f:1", "2 videos of the run"),
        ("1f0c:3", "no frame of this video has that person"),
    ],
)
def test_a_person_who_is_not_there_is_an_error(text: str, words: str, context: Context) -> None:
    with context.database.session() as session, pytest.raises(ConfigError, match=words):
        find_person(session, "this", text)


def test_the_strip_is_written_as_png_and_shown_as_jpeg(context: Context, tmp_path: Path) -> None:
    write_strip(context, "this", "1f0c:1", tmp_path / "strip.png")
    drawn = cv2.imread(str(tmp_path / "strip.png"))
    assert drawn is not None
    assert drawn.shape[1] > MAX_MOMENTS * 100
    jpeg = cv2.imdecode(np.frombuffer(person_jpeg(context, "this", "1f0c:1"), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg is not None
    assert jpeg.shape[0] > 1.9 * drawn.shape[0]
    assert jpeg.shape[1] < 1000


def test_the_report_shows_the_people_of_the_hardest_frames(context: Context) -> None:
    with context.database.session() as session:
        page = render_run(session, session.get_one(RunRow, "this"), context.home, hardest=3)
        without = render_run(session, session.get_one(RunRow, "this"), context.home, hardest=0)
    assert page.count("People over time") == 1
    assert "1f0c9ab2:1" in page
    assert "1f0c9ab2:2" not in page
    assert "30 frames" in page
    assert "People over time" not in without


def test_annotators_see_the_numbers_of_the_people(context: Context) -> None:
    with context.database.session() as session:
        run = session.get_one(RunRow, "this")
        first, later = review_items(session, run, [frame_id(VIDEO, 0), frame_id(VIDEO, 500 * WORST)])
    assert first.title == "1f0c.mp4, 0:00.0, tracks 1, 2"
    assert later.title == "1f0c.mp4, 0:03.5, track 1"
