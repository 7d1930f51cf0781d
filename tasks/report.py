"""Collect what a run shows of itself; the CLI, the HTML page and Prefect's artifacts render it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.frames.histograms import cause_counts, iou_histogram
from db.frames.listing import FrameLine, FrameQuery, frame_instances, list_frames
from db.models.core import FrameRow, RunRow
from db.review.summary import summarize_reviews
from db.runs.queries import RunSummary, latest_run, run_models, run_sources, summarize_run
from labeling.refinement.protocol import refiners_in
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
from labeling.report.wording import summary_sentence
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.visualization.frames import tile_jpeg
from tasks.browse import read_kept, write_file
from tasks.execution.context import Context
from tasks.review.summary import review_rows

STAGE_FRAMES = {"decode": "sampled", "teacher": "compared", "student": "compared", "agreement": "compared"}
"""The count that a stage's frame rate refers to; other stages have none."""


@dataclass(frozen=True, slots=True)
class HardFrame:
    """A hard frame with its image and the masks of both models."""

    line: FrameLine
    rgb: RgbImage
    teacher: list[Instance]
    student: list[Instance]


def write_report(context: Context, run_id: str | None, out: Path, *, hardest: int) -> None:
    """Write a run's HTML page, with at most `hardest` example frames."""
    with context.database.session() as session:
        data = collect_report(session, latest_run(session, run_id), context.home, hardest=hardest)
        write_file(out, render_report(data).encode())


def collect_report(session: Session, run: RunRow, home: Home, *, hardest: int) -> ReportData:
    """Collect the record of a run; its example images are read while they are iterated over."""
    summary = summarize_run(session, run)
    models = run_models(session, run)
    lines = [
        ModelLine(
            role,
            f"{models[role].kind}:{models[role].name}",
            models[role].weights_sha256,
            refiners_in(models[role].settings),
        )
        for role in ("teacher", "student")
        if role in models
    ]
    return ReportData(
        run=RunHeader(run.id, run.name, run.code_version, tuple(lines), run.started_at, run.finished_at),
        videos=summary.videos,
        images=summary.images,
        counts=FrameCounts.from_counts(summary.counts),
        histogram=agreement_histogram(session, run),
        causes=tuple(cause_counts(session, run.id).items()),
        tiles=(_example(frame) for frame in hard_frames(session, run.id, home, limit=hardest)),
        stages=_stages(summary),
        sources=(*_sources(session, run.id), *_failed_shards(summary)),
        reviews=tuple(review_rows(summarize_reviews(session, run))),
    )


def sentence_of(summary: RunSummary) -> str:
    """Summarize a run in one or two sentences."""
    counts = FrameCounts.from_counts(summary.counts)
    return summary_sentence(counts, videos=summary.videos, images=summary.images)


def agreement_histogram(session: Session, run: RunRow) -> AgreementHistogram:
    counts, both_empty = iou_histogram(session, run.id)
    hard_below = run.config.get("agreement", {}).get("hard_below", 0.5)
    return AgreementHistogram(tuple(counts), both_empty, hard_below)


def hard_frames(session: Session, run_id: str, home: Home, *, limit: int) -> Iterator[HardFrame]:
    """Yield at most `limit` frames, hardest first, reading one image at a time."""
    for line in list_frames(session, run_id, FrameQuery(hard_only=True, limit=limit)) if limit else ():
        frame = session.get_one(FrameRow, line.id)
        yield HardFrame(
            line,
            read_kept(line.id, line.image, home),
            frame_instances(session, run_id, frame, "teacher"),
            frame_instances(session, run_id, frame, "student"),
        )


def _example(frame: HardFrame) -> ExampleImage:
    line = frame.line
    return ExampleImage(
        jpeg=tile_jpeg(frame.rgb, frame.teacher, frame.student),
        frame_id=line.id,
        title=line.title,
        pts_ms=line.pts_ms,
        name=line.name,
        iou=line.iou,
        decision=line.decision,
        reasons=line.reasons,
        causes=line.causes,
    )


def _stages(summary: RunSummary) -> tuple[StageTime, ...]:
    return tuple(
        StageTime(stage, seconds, summary.counts.get(STAGE_FRAMES[stage]) if stage in STAGE_FRAMES else None)
        for stage, seconds in sorted(summary.seconds.items(), key=lambda item: -item[1])
    )


def _sources(session: Session, run_id: str) -> Iterator[SourceLine]:
    for row in run_sources(session, run_id):
        source, result, failure = row.source, row.asked, None
        if result.state == "failed":
            failure = SourceFailure(result.error_code or "", result.error_message or "")
        yield SourceLine(
            spec=source.spec,
            title=source.title,
            url=source.url,
            uploader=source.uploader,
            license=source.license,
            frames=row.sampled,
            hard=row.hard,
            failure=failure,
        )


def _failed_shards(summary: RunSummary) -> Iterator[SourceLine]:
    for failure in summary.failures:
        if failure.shard_id is not None:
            yield SourceLine(failure.what, failure=SourceFailure(failure.code, failure.message))
