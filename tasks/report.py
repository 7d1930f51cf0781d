"""Collect the report of a run; the CLI, the HTML page and Prefect's artifacts render it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.frames.histograms import cause_counts, iou_histogram
from db.frames.listing import FrameLine, FrameQuery, frame_instances, list_frames
from db.models.core import FrameRow, ModelRow, RunRow
from db.review.summary import summarize_reviews
from db.runs.queries import RunSummary, SourceOfRun, latest_run, run_models, run_sources, summarize_run
from labeling.refinement.protocol import refiners_in
from labeling.report.charts import AgreementHistogram, funnel_rows, histogram_chart
from labeling.report.page import render_page
from labeling.report.wording import doubt_about_student, summary_sentence
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.text.figures import count_of
from labeling.visualization.frames import tile_jpeg
from tasks.browse import read_kept, write_file
from tasks.execution.context import Context
from tasks.review.summary import review_rows
from tasks.strips import PersonStrip, strip_jpeg, strips_of_frames

MAX_STRIPS = 6
"""People of a report."""
STAGE_FRAMES = {"decode": "sampled", "teacher": "compared", "student": "compared", "agreement": "compared"}
"""The count that a stage's frame rate refers to; other stages have none."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """The figures of a run."""

    run: RunRow
    models: dict[str, ModelRow]
    """By role."""
    summary: RunSummary
    histogram: AgreementHistogram
    causes: dict[str, int]
    """Mismatches in hard frames."""
    sources: tuple[SourceOfRun, ...]
    reviews: tuple[tuple[str, str], ...]
    """(what, value); empty: no frame was sent for review."""

    def refiners(self, role: str) -> tuple[str, ...]:
        """Return the refiners of a model's masks, in order."""
        return refiners_in(self.models[role].settings)

    @property
    def stage_frames(self) -> dict[str, int | None]:
        """Frames that passed through a stage, where they are counted."""
        return {stage: self.summary.counts.get(name) for stage, name in STAGE_FRAMES.items()}


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
        page = render_run(session, latest_run(session, run_id), context.home, hardest=hardest)
    write_file(out, page.encode())


def render_run(session: Session, run: RunRow, home: Home, *, hardest: int) -> str:
    """Return a run's HTML page, with at most `hardest` example frames."""
    frames = hard_frames(session, run.id, home, limit=hardest)
    tiles = ((frame.line, tile_jpeg(frame.rgb, frame.teacher, frame.student)) for frame in frames)
    lines = list_frames(session, run.id, FrameQuery(hard_only=True, limit=hardest)) if hardest else ()
    ids = [line.id for line in lines]
    strips = strips_of_frames(session, run.id, ids, home, limit=MAX_STRIPS)
    people = ((strip, strip_jpeg(strip)) for strip in strips)
    return render_report(collect_report(session, run), tiles, people)


def collect_report(session: Session, run: RunRow) -> RunReport:
    """Read the figures of a run."""
    return RunReport(
        run=run,
        models=run_models(session, run),
        summary=summarize_run(session, run),
        histogram=agreement_histogram(session, run),
        causes=cause_counts(session, run.id),
        sources=tuple(run_sources(session, run.id)),
        reviews=tuple(review_rows(summarize_reviews(session, run))),
    )


def render_report(
    report: RunReport,
    tiles: Iterable[tuple[FrameLine, bytes]],
    people: Iterable[tuple[PersonStrip, bytes]] = (),
) -> str:
    """Render the HTML page.

    Args:
        report: the figures.
        tiles: example frames and their JPEGs, hardest first; iterated once, so a generator holds one at a time.
        people: strips of people in these frames and their JPEGs; iterated once, too.
    """
    summary, sentence = report.summary, sentence_of(report.summary)
    if summary.failures and not summary.counts.get("sampled"):
        sentence += f" {count_of(len(summary.failures), 'source')} failed: see below."
    return render_page(
        "report.html.j2",
        report=report,
        counts=Counter(summary.counts),
        sentence=sentence,
        funnel=funnel_rows(summary.counts),
        histogram=histogram_chart(report.histogram),
        tiles=tiles,
        people=people,
    )


def sentence_of(summary: RunSummary) -> str:
    """Summarize a run in one or two sentences."""
    sentence = summary_sentence(summary.counts, videos=summary.videos, images=summary.images)
    doubt = doubt_about_student(summary.counts, sees_people=summary.student_sees_people)
    return f"{sentence} {doubt}" if doubt else sentence


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
