"""Finished runs over several videos, written to a database without a model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from configs.load import load_config
from configs.models import Agreement
from db.connection.database import Database
from db.models.core import ShardRow, content_id, frame_id, utc_now
from db.models.review import AnnotationRow, ConsensusRow, LabelStudioProjectRow, ReviewedInstanceRow
from db.runs.writes import (
    ShardRange,
    finish_run,
    plan_shards,
    record_models,
    record_source,
    record_video,
    store_shard,
    upsert_run,
)
from db.sql.columns import mask_columns
from db.sql.upsert import upsert
from labeling.comparison.agreement import compare_instances
from labeling.sources.source import SourceItem
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.records import LabeledFrame, LabeledShard
from tasks.execution.context import database_of
from tests.fakes.images import save_image
from tests.planted_reviews import box_mask

SIZE_HW = (90, 120)
AGREEMENT = Agreement()
CARDS = {
    "teacher": ModelCard("planted", "teacher", "1f" * 32, "{}"),
    "student": ModelCard("planted", "student", "", "{}", gives_instances=False),
}


@dataclass(frozen=True)
class PlantedVideo:
    """A video; each frame has one person, and an image of its own."""

    name: str
    frames: int = 3
    uploader: str | None = None
    license: str | None = None
    images: Sequence[RgbImage] = ()
    """Empty: smooth noise, different for each video, with a moving spot."""
    decision: str = "accepted"
    person_wh: tuple[int, int] = (30, 60)

    @property
    def id(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    def frame_id(self, number: int) -> int:
        return frame_id(self.id, 500 * number)


def scene(name: str, number: int, size_hw: tuple[int, int] = SIZE_HW) -> RgbImage:
    """Return one image of a rendered place, whose layout depends on the name."""
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:12], 16))
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    image = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    cv2.circle(image, (20 + 6 * number, 30), 8, (250, 250, 250), -1)
    return np.asarray(image, dtype=np.uint8)


def plant(home: Home, videos: Sequence[PlantedVideo], *, hard_iou: float = 0.5) -> str:
    """Store a finished run of these videos; return its id. Another `hard_iou` is another run."""
    home.create()
    config = load_config("offline", [f"agreement.hard_below={hard_iou}"])
    database = database_of(home)
    run_id = config.run_id()
    with database.transaction() as session:
        upsert_run(session, run_id, name="planted", config=config.model_dump(mode="json"), code_version="0")
        record_models(session, run_id, CARDS)
    for video in videos:
        _plant_video(database, home, run_id, video)
    with database.transaction() as session:
        finish_run(session, run_id, {"sampled": sum(video.frames for video in videos)})
    return run_id


def _plant_video(database: Database, home: Home, run_id: str, video: PlantedVideo) -> None:
    with database.transaction() as session:
        record_video(session, {"id": video.id, "kind": "video", "path": f"/videos/{video.name}.mp4"})
        source = SourceItem(
            spec=f"/videos/{video.name}.mp4", kind="file", uploader=video.uploader, license=video.license
        )
        record_source(session, run_id, source, video_ids=[video.id])
        plan_shards(session, run_id, video.id, [ShardRange(0, None)])
        [shard] = session.query(ShardRow).filter_by(run_id=run_id, video_id=video.id).all()
        frames = [_labeled(home, video, number) for number in range(video.frames)]
        counts = {"sampled": len(frames), video.decision: len(frames)}
        store_shard(session, shard, LabeledShard(frames, CARDS, counts, {}))


def _labeled(home: Home, video: PlantedVideo, number: int) -> LabeledFrame:
    image = video.images[number] if video.images else scene(video.name, number)
    size_hw = (image.shape[0], image.shape[1])
    mask = box_mask(10 + number, 10, *video.person_wh, size_hw)
    person = Instance(mask, 0.9, mask.box_xywh)
    agreement = compare_instances([person], [], size_hw, AGREEMENT, student_is_semantic=False)
    return LabeledFrame(
        pts_ms=500 * number,
        shot_start_ms=0,
        sharpness=100.0,
        name="",
        decision=video.decision,  # type: ignore[arg-type]  # one of the four
        size_hw=size_hw,
        image=save_image(home, image, quality=90),
        agreement=agreement,
        priority=0.5,
        teacher=(person,),
    )


def correct(home: Home, run_id: str, frame: int, mask: Mask, reviewer: str = "ann@example.org") -> None:
    """Store a reviewer's correction of a frame: one person with this mask."""
    annotation = content_id("planted annotation", frame, mask.counts)
    moment = utc_now()
    with database_of(home).transaction() as session:
        project = {"id": 1, "location": "local", "title": "t", "external_id": 1, "settings": {}}
        upsert(session, LabelStudioProjectRow, [project])
        of_task = {"project_id": 1, "task_id": 1, "external_id": annotation % 1000}
        said = {"state": "current", "annotator": reviewer, "verdict": "corrected"}
        times = {"created_at": moment, "updated_at": moment, "note": "", "problems": []}
        row = {"id": annotation, "frame_id": frame, "run_id": run_id, **of_task, **said, **times}
        upsert(session, AnnotationRow, [row])
        person = {
            **{"id": content_id("reviewed", annotation), "annotation_id": annotation, "rank": 0},
            **{"source_id": content_id("instance", run_id, frame, "teacher", 0), "iou": 0.5},
            **{"origin": "prediction-changed", "keypoints": None, **mask_columns([mask])[0]},
        }
        upsert(session, ReviewedInstanceRow, [person])
        chosen = {
            "annotation_id": annotation,
            "verdict": "corrected",
            "rule": "latest",
            "annotators": [reviewer],
        }
        columns = ("annotation_id", "verdict", "annotators")
        upsert(session, ConsensusRow, [{"frame_id": frame, **chosen}], update_columns=columns)
