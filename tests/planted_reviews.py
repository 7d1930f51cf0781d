"""Runs with frames that wait for review, written to a database without a video or a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from configs.categories import PERSON
from configs.load import load_config, validate_config
from configs.models import RunConfig
from db.connection.database import Database
from db.models.core import ShardRow, frame_id
from db.runs.writes import ShardRange, plan_shards, record_models, record_video, store_shard, upsert_run
from labeling.comparison.agreement import compare_instances
from labeling.review.queue import review_priority
from labeling.storage.home import Home
from labeling.structures.instances import Instance, Keypoints, ModelCard
from labeling.structures.masks import BoolArray, Mask
from labeling.structures.reasons import Reason
from labeling.structures.records import LabeledFrame, LabeledShard
from tasks.execution.context import database_of
from tests.fakes.images import save_image

VIDEO = "ab" * 32
CARDS = {
    "teacher": ModelCard("planted", "teacher", "", "{}"),
    "student": ModelCard("planted", "student", "", "{}", gives_instances=False),
}


@dataclass(frozen=True)
class PlantedFrame:
    """One frame: the masks of both models, and the decision."""

    teacher: Sequence[Mask]
    student: Sequence[Mask] = ()
    size_hw: tuple[int, int] = (120, 160)
    decision: str = "review"
    keypoints: Keypoints | None = None
    """Of every teacher instance."""
    shot: int | None = None
    """Start of its shot in ms; None: its own shot."""
    categories: Sequence[str] = ()
    """Of the teacher's masks; empty: people."""
    student_categories: Sequence[str] = ()


@dataclass(frozen=True)
class PlantedRun:
    """A run and the ids of its frames, in the given order."""

    id: str
    config: RunConfig
    frames: tuple[int, ...]


def plant_run(
    home: Home,
    frames: Sequence[PlantedFrame],
    *,
    hard_below: float = 0.5,
    cards: dict[str, ModelCard] = CARDS,
    categories: Sequence[str] = (),
) -> PlantedRun:
    """Store a finished run of one shard; another `hard_below` gives another run of the same frames.

    `categories`: those of its config; empty: it is about people.
    """
    home.create()
    config = _config(hard_below, categories)
    database = database_of(home)
    _begin(database, config, cards)
    shown = [_labeled(home, position, frame) for position, frame in enumerate(frames)]
    with database.transaction() as session:
        [shard] = session.query(ShardRow).filter_by(run_id=config.run_id()).all()
        store_shard(session, shard, LabeledShard(shown, cards, {"sampled": len(shown)}, {}))
    ids = tuple(frame_id(VIDEO, 500 * position) for position in range(len(frames)))
    return PlantedRun(config.run_id(), config, ids)


def _config(hard_below: float, categories: Sequence[str]) -> RunConfig:
    if not categories:
        return load_config("offline", [f"agreement.hard_below={hard_below}"])
    classes = dict(enumerate(categories))
    network = {"kind": "onnx", "path": "planted.onnx", "input_hw": [8, 8], "classes": classes}
    tree = {"teacher": network, "student": network, "agreement": {"hard_below": hard_below}}
    return validate_config(tree, "planted")


def _begin(database: Database, config: RunConfig, cards: dict[str, ModelCard]) -> None:
    run_id = config.run_id()
    with database.transaction() as session:
        upsert_run(session, run_id, name="planted", config=config.model_dump(mode="json"), code_version="0")
        record_models(session, run_id, cards)
        record_video(session, {"id": VIDEO, "kind": "video", "path": "planted.mp4"})
        plan_shards(session, run_id, VIDEO, [ShardRange(0, None)])


def _labeled(home: Home, position: int, frame: PlantedFrame) -> LabeledFrame:
    people = [
        Instance(m, 0.9, m.box_xywh, frame.keypoints, category=category)
        for m, category in _with_categories(frame.teacher, frame.categories)
    ]
    seen = [
        Instance(m, 0.8, m.box_xywh, category=category)
        for m, category in _with_categories(frame.student, frame.student_categories)
    ]
    config = load_config("offline")
    agreement = compare_instances(people, seen, frame.size_hw, config.agreement)
    is_easy = frame.decision in ("easy", "rejected")
    return LabeledFrame(
        pts_ms=500 * position,
        shot_start_ms=500 * position if frame.shot is None else frame.shot,
        sharpness=100.0,
        name="",
        decision=frame.decision,  # type: ignore[arg-type]  # one of the four
        reasons=(Reason.of("miss", people=1, masks=0),) if frame.decision == "review" else (),
        size_hw=frame.size_hw,
        image=save_image(home, _image(position, frame), quality=80),
        agreement=agreement,
        priority=None
        if is_easy
        else review_priority(trust=None, symmetric_difference_share=agreement.symmetric_difference_share),
        teacher=tuple(people),
        student=tuple(seen),
    )


def _with_categories(masks: Sequence[Mask], categories: Sequence[str]) -> list[tuple[Mask, str]]:
    return list(zip(masks, categories or [PERSON] * len(masks), strict=True))


def _image(position: int, frame: PlantedFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a gray image, darker where the teacher found a person, different for each position."""
    image = np.full((*frame.size_hw, 3), 200, np.uint8)
    for mask in frame.teacher:
        image[mask.to_array()] = 90
    image[0, : position % frame.size_hw[1] + 1] = position % 251
    image[-1, :, 1] = position // 251
    return image


def box_mask(x: int, y: int, w: int, h: int, size_hw: tuple[int, int] = (120, 160)) -> Mask:
    """A filled rectangle."""
    pixels: BoolArray = np.zeros(size_hw, np.bool_)
    pixels[y : y + h, x : x + w] = True
    return Mask.from_array(pixels)


def person_frames(count: int, **fields: object) -> list[PlantedFrame]:
    """Frames with two people, of which the student found a growing part of one: hardest first."""
    return [
        PlantedFrame(
            [box_mask(10, 10, 30, 80), box_mask(90, 20, 30, 90)],
            [box_mask(90, 20, 30, 10 + 40 * position // max(1, count))],
            **fields,  # type: ignore[arg-type]  # fields of PlantedFrame
        )
        for position in range(count)
    ]
