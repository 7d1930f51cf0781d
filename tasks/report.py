"""Collect the report of a run; the CLI, the HTML page and Prefect's artifacts render it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.frames.histograms import cause_counts
from db.frames.listing import FrameLine, FrameQuery, list_frames
from db.models.core import ModelRow, RunRow
from db.review.summary import summarize_reviews
from db.runs.queries import RunSummary, SourceOfRun, latest_run, run_models, run_sources, summarize_run
from db.students.rounds import list_rounds
from labeling.refinement.protocol import refiners_in
from labeling.report.charts import AgreementHistogram, funnel_rows, histogram_chart
from labeling.report.page import render_page
from labeling.storage.home import Home
from labeling.text.figures import count_of
from labeling.visualization.frames import tile_jpeg
from tasks.execution.context import Context
from tasks.files import write_file
from tasks.review.summary import review_rows
from tasks.run_figures import agreement_histogram, hard_frames, sentence_of
from tasks.strips import PersonStrip, strip_jpeg, strips_of_frames
from tasks.students.rounds import ROUND_COLUMNS, round_rows

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
    rounds: tuple[tuple[str, ...], ...]
    """Of the home, with the columns `ROUND_COLUMNS`; empty: no student was promoted."""

    def refiners(self, role: str) -> tuple[str, ...]:
        """Return the refiners of a model's masks, in order."""
        return refiners_in(self.models[role].settings)

    @property
    def student_is_semantic(self) -> bool:
        """Return whether the student gives one mask for all people."""
        return "student" in self.models and self.models["student"].gives_instances is False

    @property
    def stage_frames(self) -> dict[str, int | None]:
        """Frames that passed through a stage, where they are counted."""
        return {stage: self.summary.counts.get(name) for stage, name in STAGE_FRAMES.items()}


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
        rounds=tuple(round_rows(list_rounds(session))),
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
        round_columns=ROUND_COLUMNS,
        counts=Counter(summary.counts),
        sentence=sentence,
        funnel=funnel_rows(summary.counts),
        histogram=histogram_chart(report.histogram),
        tiles=tiles,
        people=people,
    )
