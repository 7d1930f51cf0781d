"""Images and pages of a run: read from the ledger, drawn by labeling."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.errors import ConfigError
from db.frames.histograms import cause_counts, iou_histogram
from db.frames.listing import FrameLine, FrameQuery, frame_instances, list_frames
from db.models.core import AgreementRow, DecisionRow, FrameRow, RunRow
from db.review.summary import summarize_reviews
from db.runs.queries import RunSummary, failed_shards, run_models, run_sources, summarize_run
from labeling.errors import ExportError, StorageError
from labeling.report.contents import (
    AgreementHistogram,
    ExampleImage,
    FrameCounts,
    ModelLine,
    ReportData,
    RunHeader,
    SourceFailure,
    SourceLine,
    StageTime,
)
from labeling.report.page import render_report
from labeling.storage.atomic import write_atomically
from labeling.storage.encode import image_key
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from labeling.text.figures import caption_of
from labeling.visualization.frames import draw_comparison, tile_jpeg
from tasks.review.summary import review_rows

STAGE_FRAMES = {"decode": "looked_at", "teacher": "compared", "student": "compared", "agreement": "compared"}
"""Which count a stage's throughput is told in; `store` and `flip` are not counted."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A line of `maskmill runs`. Times are in UTC."""

    id: str
    name: str
    started_at: datetime
    worked_at: datetime
    """Last time."""
    finished: bool
    """Nothing is left to do for the sources it was given so far."""
    looked_at: int
    """Frames."""
    hard: int


def list_runs(session: Session) -> list[RunLine]:
    """All runs, the one worked on last first."""
    runs = session.scalars(select(RunRow).order_by(RunRow.worked_at.desc(), RunRow.id))
    return [_run_row(run, summarize_run(session, run)) for run in runs.all()]


def _run_row(run: RunRow, summary: RunSummary) -> RunLine:
    return RunLine(
        id=run.id,
        name=run.name,
        started_at=run.started_at.replace(tzinfo=UTC),
        worked_at=run.worked_at.replace(tzinfo=UTC),
        finished=run.finished_at is not None and not summary.shards_pending,
        looked_at=summary.counts.get("looked_at", 0),
        hard=summary.counts.get("hard", 0),
    )


def draw_frame(session: Session, run_id: str, frame_id: int, home: Home, out: Path) -> str:
    """Draw teacher, student and difference of a frame into a PNG; returns the caption.

    Raises:
        ConfigError: no such frame in this run, or it was rejected and has no image.
    """
    frame = session.get(FrameRow, frame_id)
    decision = session.get(DecisionRow, (run_id, frame_id))
    if frame is None or decision is None:
        raise ConfigError(
            f"no frame {frame_id} in run {run_id}: `maskmill frames` lists them; --run names another run"
        )
    if decision.decision == "rejected":
        why = "; ".join(decision.reasons) or decision.rule
        raise ConfigError(f"frame {frame_id} was rejected ({why}): it has no masks to show")
    agreement = session.get_one(AgreementRow, (run_id, frame_id))
    caption = caption_of(decision.decision, agreement.iou, [m[0] for m in agreement.mismatches])
    drawn = draw_comparison(
        read_kept(frame_id, decision.image, home),
        frame_instances(session, run_id, frame, "teacher"),
        frame_instances(session, run_id, frame, "student"),
        caption=caption,
    )
    content = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()
    write_file(out, content)
    return caption


def read_kept(frame_id: int, image: str | None, home: Home) -> RgbImage:
    """The image that a run kept of a frame.

    Raises:
        StorageError: it is gone or damaged.
    """
    images, name = home.images, image_key(image or "")
    content = np.frombuffer(images.read(name), np.uint8)
    bgr = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if bgr is None:
        raise StorageError(f"the image of frame {frame_id} cannot be read: {images.address}/{name}")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]  # cv2 does not type its output's dtype


def write_report(session: Session, run: RunRow, home: Home, out: Path, *, hardest: int) -> None:
    """Write a run's page, with a contact sheet of at most `hardest` frames."""
    summary = summarize_run(session, run)
    histogram, both_empty = iou_histogram(session, run.id)
    data = ReportData(
        run=_header(session, run),
        videos=summary.videos,
        images=summary.images,
        counts=FrameCounts.from_counts(summary.counts),
        histogram=AgreementHistogram(tuple(histogram), both_empty, run.config["agreement"]["hard_below"]),
        causes=tuple(cause_counts(session, run.id).items()),
        tiles=_tiles(session, run.id, home, hardest),
        stages=_stages(summary),
        sources=tuple(_sources(session, run.id)),
        reviews=tuple(review_rows(summarize_reviews(session, run))),
    )
    write_file(out, render_report(data).encode())


def write_file(out: Path, content: bytes) -> None:
    if out.is_dir():
        raise ConfigError(f"{out} is a folder: name a file to write")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, content)
    except OSError as exc:
        raise ExportError(f"cannot write {out}: {exc.strerror}; name another file") from exc


def _header(session: Session, run: RunRow) -> RunHeader:
    models = run_models(session, run)
    lines = tuple(
        ModelLine(role, f"{models[role].kind}:{models[role].name}", models[role].weights_sha256)
        for role in ("teacher", "student")
        if role in models
    )
    return RunHeader(run.id, run.name, run.code_version, lines, run.started_at, run.finished_at)


def _tiles(session: Session, run_id: str, home: Home, hardest: int) -> Iterator[ExampleImage]:
    wanted = FrameQuery(hard_only=True, limit=hardest)
    for row in list_frames(session, run_id, wanted) if hardest else ():
        frame = session.get_one(FrameRow, row.id)
        jpeg = tile_jpeg(
            read_kept(row.id, row.image, home),
            frame_instances(session, run_id, frame, "teacher"),
            frame_instances(session, run_id, frame, "student"),
        )
        yield _tile(row, jpeg)


def _tile(row: FrameLine, jpeg: bytes) -> ExampleImage:
    return ExampleImage(
        jpeg=jpeg,
        frame_id=row.id,
        title=row.title,
        t_ms=row.t_ms if row.kind == "video" else None,
        name=row.name,
        iou=row.iou,
        decision=row.decision,
        reasons=row.reasons,
        causes=row.causes,
    )


def _stages(summary: RunSummary) -> tuple[StageTime, ...]:
    return tuple(
        StageTime(stage, seconds, summary.counts.get(STAGE_FRAMES[stage]) if stage in STAGE_FRAMES else None)
        for stage, seconds in sorted(summary.seconds.items(), key=lambda item: -item[1])
    )


def _sources(session: Session, run_id: str) -> Iterator[SourceLine]:
    for row in run_sources(session, run_id):
        source, asked, failure = row.source, row.asked, None
        if asked.state == "failed":
            failure = SourceFailure(asked.error_code or "", asked.error_message or "")
        yield SourceLine(
            spec=source.spec,
            title=source.title,
            url=source.url,
            uploader=source.uploader,
            license=source.license,
            frames=row.looked_at,
            hard=row.hard,
            failure=failure,
        )
    yield from _failed_shards(session, run_id)


def _failed_shards(session: Session, run_id: str) -> Iterator[SourceLine]:
    for shard, path in failed_shards(session, run_id):
        failure = SourceFailure(shard.error_code or "", shard.error_message or "")
        yield SourceLine(f"{path} from {shard.start_ms / 1000:g} s", failure=failure)
