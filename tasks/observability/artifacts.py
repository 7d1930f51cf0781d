"""Render a run as Prefect artifacts: tables of its videos and reviews, and a Markdown page of its results."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from more_itertools import batched
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import RunRow
from db.models.review import AnnotationRow
from db.review.summary import summarize_reviews
from db.runs.overview import VideoWork, title_of
from db.runs.queries import Failure, RunSummary
from labeling.report.charts import AgreementHistogram
from labeling.report.wording import count_name
from labeling.runtime.prefetch import PARALLEL_STAGES, STAGES
from labeling.sources.titles import source_title
from labeling.storage.home import Home
from labeling.text.figures import caption_of, clock, count_of
from labeling.text.titles import printable, shorten_middle
from labeling.visualization.contact_sheet import SheetTile, contact_sheet
from labeling.visualization.frames import draw_tile
from tasks.execution.context import Context
from tasks.observability.best_effort import log_prefect_errors
from tasks.review.summary import review_rows
from tasks.run_figures import HardFrame, agreement_histogram, hard_frames, sentence_of

MAX_ROWS = 200
"""Rows of the table, which Prefect's page renders all at once."""

MAX_TITLE_LENGTH = 32
"""With longer titles, the failures would be off screen on a page 1,200 px wide."""

MAX_FAILURES = 20
MAX_TEXT_LENGTH = 400
HARDEST = 9
"""Frames on the contact sheet: about 100 kB, which Prefect keeps in its database."""

FUNNEL = ("sampled", "compared", "easy", "hard", "accepted", "review")
"""Counts in the order in which frames pass; the filters' rejections come after the first."""

MIN_STAGE_S = 0.05
"""A stage with less time in total has no column: it would show 0."""

_COLUMNS = {
    "sampled": "sampled",
    "compared": "compared",
    "hard": "hard",
    "accepted": "accepted",
    "to review": "review",
}
_BAR_LENGTH = 48
"""Characters of the longest bar."""
_SPECIAL = re.compile(r"([\\\[\]!*_#|~])")


def show_run(session: Session, summary: RunSummary, works: Sequence[VideoWork], home: Home) -> None:
    """Create a table of the run's videos, and a page with its counts, agreement and hardest frames."""
    run_id = summary.run_id
    with log_prefect_errors(f"run {run_id} has no table of its videos"):
        shown = count_of(len(works), "video")
        if len(works) > MAX_ROWS:
            shown = f"{MAX_ROWS} of {shown}, failures first, then most hard frames; the last row counts all"
        titles = {work.video_id: title_of(session, work.video_id) for work in works[:MAX_ROWS]}
        create_table_artifact(
            key=f"videos-{run_id}",
            table=list(table_rows(works, titles, summary.failures)),
            description=f"{shown}. Seconds are wall time by stage; decoding and storing run beside the models.",
        )
    image = b""
    with log_prefect_errors(f"run {run_id} has no image of its hardest frames"):
        tiles = [_tile(frame) for frame in hard_frames(session, run_id, home, limit=HARDEST)]
        image = contact_sheet(tiles) if tiles else b""
    with log_prefect_errors(f"run {run_id} has no artifact"):
        page = "\n\n".join(run_sections(session, summary, image))
        create_markdown_artifact(key=f"run-{run_id}", markdown=page, description=plain(sentence_of(summary)))


def show_reviews(context: Context) -> None:
    """Create a table artifact for every run that has annotations."""
    with context.database.session() as session:
        reviewed = session.scalars(select(RunRow).where(RunRow.id.in_(select(AnnotationRow.run_id)))).all()
        tables = {run.id: list(review_rows(summarize_reviews(session, run))) for run in reviewed}
    for run_id, rows in tables.items():
        create_table_artifact(
            key=f"reviews-{run_id}",
            table=[{"what": what, "value": value} for what, value in rows],
            description=f"Review results of run {run_id}, and the scores of its models",
        )


def table_rows(
    works: Sequence[VideoWork], titles: Mapping[str, str], failures: Sequence[Failure] = ()
) -> Iterator[dict[str, Any]]:
    """Yield a row per failed source, a row per video, and the sum if there are several videos.

    Args:
        works: in the order of display; at most MAX_ROWS of them are shown.
        titles: of these videos, by id.
        failures: of the run; those of shards are counted with their video instead.
    """
    total = _sum(works)
    stages = [stage for stage in STAGES if total.seconds.get(stage, 0.0) >= MIN_STAGE_S]
    for failure in [f for f in failures if f.shard_id is None][:MAX_FAILURES]:
        empty = dict.fromkeys(_row("", VideoWork(""), stages, ""), "")
        yield empty | {"video": source_title(failure.what), "failures": failure.code}
    for work in works[:MAX_ROWS]:
        codes = ", ".join(f"{number} x {code}" for code, number in sorted(work.failures.items()))
        yield _row(titles[work.video_id], work, stages, codes)
    if len(works) > 1:
        failed = sum(sum(work.failures.values()) for work in works)
        failed_shards = count_of(failed, "shard") if failed else ""
        yield _row(f"all {count_of(len(works), 'video')}", total, stages, failed_shards)


def _row(title: str, work: VideoWork, stages: Sequence[str], failures: str) -> dict[str, Any]:
    return {
        "video": shorten_middle(title, MAX_TITLE_LENGTH),
        **{column: work.counts.get(name, 0) for column, name in _COLUMNS.items()},
        "frames/s": frames_per_s(work.counts, work.seconds),
        "failures": failures,
        **{f"{stage} s": round(work.seconds.get(stage, 0.0), 1) for stage in stages},
    }


def _sum(works: Sequence[VideoWork]) -> VideoWork:
    total = VideoWork("")
    for work in works:
        total.add("done", None, work.counts, work.seconds)
    return total


def frames_per_s(counts: Mapping[str, int], seconds: Mapping[str, float]) -> float | None:
    """Return sampled frames per second of the slowest part: decoder, models or writer.

    >>> frames_per_s({"sampled": 100}, {"decode": 4, "teacher": 15, "student": 5, "store": 2})
    5.0
    """
    models = sum(wall_s for stage, wall_s in seconds.items() if stage not in PARALLEL_STAGES)
    slowest = max(models, *(seconds.get(stage, 0.0) for stage in PARALLEL_STAGES))
    return round(counts.get("sampled", 0) / slowest, 1) if slowest else None


def run_sections(session: Session, summary: RunSummary, image: bytes) -> Iterator[str]:
    """Yield the sections of the page, failures first."""
    yield f"# Run {summary.run_id} ({plain(summary.name)})"
    if summary.failures:
        yield "\n".join(["## Failed", "", *_failure_lines(summary.failures)])
    yield _counts_table(summary.counts)
    yield from _agreement(agreement_histogram(session, session.get_one(RunRow, summary.run_id)))
    if image:
        data = base64.b64encode(image).decode()
        yield "## Hardest frames"
        yield "Teacher: blue, solid line. Student: orange, dashed line. Tinted: pixels of only one of them. "
        yield "A person of whom the teacher is not certain counts less in the order."
        yield f"![The hardest frames](data:image/jpeg;base64,{data})"
    yield f"More: `maskmill frames --run {summary.run_id}`, `maskmill report report.html --run {summary.run_id}`"


def _counts_table(counts: Mapping[str, int]) -> str:
    rules = sorted(name for name in counts if name not in FUNNEL)
    names = [*FUNNEL[:1], *rules, *FUNNEL[1:]]
    heads = " | ".join(map(count_name, names))
    values = " | ".join(f"{counts.get(name, 0):,}" for name in names)
    return f"| {heads} |\n|{'---:|' * len(names)}\n| {values} |"


def _failure_lines(failures: Sequence[Failure]) -> Iterator[str]:
    for failure in failures[:MAX_FAILURES]:
        yield f"- {code(failure.what)}: **{failure.code}**: {plain(failure.message)}"
    if len(failures) > MAX_FAILURES:
        yield f"- and {len(failures) - MAX_FAILURES} more"


def _agreement(histogram: AgreementHistogram) -> Iterator[str]:
    counts = [sum(pair) for pair in batched(histogram.counts, 2)]  # ten lines are easy to read
    if not sum(counts) + histogram.both_empty:
        return
    yield "## Agreement of student and teacher"
    yield f"Frames by union IoU of student and teacher; hard below {histogram.hard_below:g}."
    yield "\n".join(["```text", *bar_lines(counts), "```"])
    if histogram.both_empty:
        yield f"In {count_of(histogram.both_empty, 'more frame')} neither found a person."


def _tile(frame: HardFrame) -> SheetTile:
    line = frame.line
    rgb = draw_tile(frame.rgb, frame.teacher, frame.student, width=300)
    title = printable(line.name if line.pts_ms is None else f"{clock(line.pts_ms)} {line.title}")
    return SheetTile(rgb, (title, caption_of(line.decision, line.iou, line.causes)))


def plain(text: str) -> str:
    """Escape foreign text on one line of Markdown: a site's error message must not become an image or a link.

    >>> plain("no <b>such</b> ![file](http://x)")
    'no &lt;b&gt;such&lt;/b&gt; \\\\!\\\\[file\\\\](http://x)'
    """
    line = shorten_middle(printable(" ".join(text.split())), MAX_TEXT_LENGTH)
    escaped = _SPECIAL.sub(r"\\\1", line.replace("`", "'"))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Format a foreign name as inline code.

    >>> code("a`b.mp4")
    "`a'b.mp4`"
    """
    return f"`{shorten_middle(printable(text), MAX_TEXT_LENGTH).replace('`', chr(39))}`"


def bar_lines(counts: Sequence[int]) -> Iterator[str]:
    """Draw a histogram over [0, 1] as text; a count above 0 always has a bar.

    >>> print(*bar_lines([96, 1]), sep="|")
    0.0-0.5     96 ████████████████████████████████████████████████|0.5-1.0      1 █
    """
    most = max(counts, default=0)
    for number, frames in enumerate(counts):
        low, high = number / len(counts), (number + 1) / len(counts)
        bar = "█" * max(round(_BAR_LENGTH * frames / most), 1) if frames else ""
        yield f"{low:.1f}-{high:.1f} {frames:>6,} {bar}".rstrip()
