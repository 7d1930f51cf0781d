"""A run in a table and in words and images, as artifacts on its page in Prefect's UI."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from more_itertools import batched
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from sqlalchemy.orm import Session

from db.frames.histograms import iou_histogram
from db.frames.listing import FrameLine, FrameQuery, frame_instances, list_frames
from db.models.core import FrameRow, RunRow
from db.runs.overview import VideoWork, title_of
from db.runs.queries import Failure, RunSummary
from labeling.sources.titles import source_title
from labeling.storage.home import Home
from labeling.text.figures import caption_of, clock, count_of, spaced
from labeling.text.titles import printable, shorten_middle
from labeling.visualization.contact_sheet import SheetTile, contact_sheet
from labeling.visualization.frames import draw_tile
from tasks.observability.best_effort import log_prefect_errors
from tasks.observability.markdown import bar_lines, code, plain
from tasks.observability.report import read_kept

MOST_ROWS = 200
"""Of the table: its page draws them all at once."""

LONGEST_TITLE = 32
"""With longer ones, the failures would be out of sight on a page of 1,200 px."""

MOST_FAILURES = 20
HARDEST = 9
"""Frames on the contact sheet: about 100 kB, which Prefect keeps in its database."""

STAGES = ("prepare", "decode", "pose", "teacher", "student", "agreement", "flip", "store")
BESIDE = ("decode", "store")
"""Stages that run in threads of their own, beside the models."""

FUNNEL = ("looked_at", "compared", "easy", "hard", "accepted", "review")
"""Between the first two, what filters rejected."""

LEAST_S = 0.05
"""A stage that took less altogether has no column: it would say 0."""

_COUNTS = {
    "looked at": "looked_at",
    "compared": "compared",
    "hard": "hard",
    "accepted": "accepted",
    "to review": "review",
}


def show_run(
    session: Session, summary: RunSummary, works: Sequence[VideoWork], sentence: str, home: Home
) -> None:
    """A table of the run's videos, and a page of its numbers, agreement and hardest frames."""
    run_id = summary.run_id
    with log_prefect_errors(f"run {run_id} has no table of its videos"):
        titles = {work.video_id: title_of(session, work.video_id) for work in works[:MOST_ROWS]}
        create_table_artifact(
            key=f"videos-{run_id}",
            table=list(table_rows(works, titles, summary.failures)),
            description=table_words(len(works)),
        )
    image = b""
    with log_prefect_errors(f"run {run_id} has no image of its hardest frames"):
        image = hardest_frames(session, run_id, home)
    with log_prefect_errors(f"run {run_id} has no artifact"):
        page = "\n\n".join(run_sections(session, summary, image))
        create_markdown_artifact(key=f"run-{run_id}", markdown=page, description=plain(sentence))


def table_words(videos: int) -> str:
    """What the table shows, and what it leaves out.

    >>> table_words(1), table_words(257)
    ('1 video. Seconds are wall time by stage; decoding and storing run beside the models.', '200 of 257 videos, failures first, then most hard frames; the last row counts all. Seconds are wall time by stage; decoding and storing run beside the models.')
    """
    shown = count_of(videos, "video")
    if videos > MOST_ROWS:
        shown = f"{MOST_ROWS} of {shown}, failures first, then most hard frames; the last row counts all"
    return f"{shown}. Seconds are wall time by stage; decoding and storing run beside the models."


def table_rows(
    works: Sequence[VideoWork], titles: Mapping[str, str], failures: Sequence[Failure] = ()
) -> Iterator[dict[str, Any]]:
    """A row per source that failed, a row per video, and their sums where there are several.

    Args:
        works: in the order in which they are shown, at most MOST_ROWS of them.
        titles: of these videos, by id.
        failures: of the run; only those of sources are taken, shards count with their video.
    """
    total = _sum(works)
    stages = [stage for stage in STAGES if total.seconds.get(stage, 0.0) >= LEAST_S]
    for failure in [f for f in failures if f.shard_id is None][:MOST_FAILURES]:
        nothing = dict.fromkeys(_row("", VideoWork(""), stages, ""), "")
        yield nothing | {"video": source_title(failure.what), "failures": failure.code}
    for work in works[:MOST_ROWS]:
        codes = ", ".join(f"{number} x {code}" for code, number in sorted(work.failures.items()))
        yield _row(titles[work.video_id], work, stages, codes)
    if len(works) > 1:
        failed = sum(sum(work.failures.values()) for work in works)
        words = count_of(failed, "shard") if failed else ""
        yield _row(f"all {len(works):,} videos", total, stages, words)


def _row(title: str, work: VideoWork, stages: Sequence[str], failures: str) -> dict[str, Any]:
    return {
        "video": shorten_middle(title, LONGEST_TITLE),
        **{column: work.counts.get(name, 0) for column, name in _COUNTS.items()},
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
    """Frames looked at per second of whichever was the busiest: decoder, models or writer.

    >>> frames_per_s({"looked_at": 100}, {"decode": 4, "teacher": 15, "student": 5, "store": 2})
    5.0
    """
    models = sum(wall_s for stage, wall_s in seconds.items() if stage not in BESIDE)
    busiest = max(models, *(seconds.get(stage, 0.0) for stage in BESIDE))
    return round(counts.get("looked_at", 0) / busiest, 1) if busiest else None


def run_sections(session: Session, summary: RunSummary, image: bytes) -> Iterator[str]:
    """The page: what failed comes first."""
    yield f"# Run {summary.run_id} ({plain(summary.name)})"
    if summary.failures:
        yield "\n".join(["## Failed", "", *_failure_lines(summary.failures)])
    yield _counts_table(summary.counts)
    yield from _agreement(session, summary.run_id)
    if image:
        data = base64.b64encode(image).decode()
        yield "## Hardest frames"
        yield "Blue, whole line: the teacher. Orange, dashed: the student. Tinted: only one of the two. "
        yield "Whom the teacher is not sure of weighs less in their order."
        yield f"![The hardest frames](data:image/jpeg;base64,{data})"
    yield f"More: `maskmill frames --run {summary.run_id}`, `maskmill report report.html --run {summary.run_id}`"


def _counts_table(counts: Mapping[str, int]) -> str:
    """In the order in which frames pass."""
    rules = sorted(name for name in counts if name not in FUNNEL)
    names = [name for name in (*FUNNEL[:1], *rules, *FUNNEL[1:]) if name in counts or name in FUNNEL]
    heads = " | ".join(spaced(name.replace(":", ": ")) for name in names)
    values = " | ".join(f"{counts.get(name, 0):,}" for name in names)
    return f"| {heads} |\n|{'---:|' * len(names)}\n| {values} |"


def _failure_lines(failures: Sequence[Failure]) -> Iterator[str]:
    for failure in failures[:MOST_FAILURES]:
        yield f"- {code(failure.what)}: **{failure.code}**: {plain(failure.message)}"
    if len(failures) > MOST_FAILURES:
        yield f"- and {len(failures) - MOST_FAILURES} more"


def _agreement(session: Session, run_id: str) -> Iterator[str]:
    fine, both_empty = iou_histogram(session, run_id)
    histogram = [sum(pair) for pair in batched(fine, 2)]  # ten lines are read at a glance
    if not sum(histogram) + both_empty:
        return
    hard_below = session.get_one(RunRow, run_id).config.get("agreement", {}).get("hard_below", 0.5)
    yield "## Agreement of student and teacher"
    yield f"Frames by the IoU of all masks of the one with all masks of the other; hard below {hard_below:g}."
    yield "\n".join(["```text", *bar_lines(histogram), "```"])
    if both_empty:
        yield f"In {count_of(both_empty, 'more frame')} neither saw anybody."


def hardest_frames(session: Session, run_id: str, home: Home) -> bytes:
    """A contact sheet of the hardest frames; empty where none is hard."""
    rows = list(list_frames(session, run_id, FrameQuery(hard_only=True, limit=HARDEST)))
    tiles = [_tile(session, run_id, row, home) for row in rows]
    return contact_sheet(tiles) if tiles else b""


def _tile(session: Session, run_id: str, row: FrameLine, home: Home) -> SheetTile:
    frame = session.get_one(FrameRow, row.id)
    rgb = draw_tile(
        read_kept(row.id, row.image, home),
        frame_instances(session, run_id, frame, "teacher"),
        frame_instances(session, run_id, frame, "student"),
        width=300,
    )
    where = printable(row.name or f"{clock(row.t_ms)} {row.title}")
    return SheetTile(rgb, (where, caption_of(row.decision, row.iou, row.causes)))
