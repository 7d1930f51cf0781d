"""Figures and hard frames of a run, for its report and for Prefect."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from configs.constants import HARD_BELOW
from db.frames.histograms import iou_histogram
from db.frames.listing import FrameLine, FrameQuery, list_frames
from db.models.core import FrameRow, RunRow
from db.runs.queries import RunSummary
from labeling.report.charts import AgreementHistogram
from labeling.report.wording import doubt_about_student, summary_sentence
from labeling.storage.home import Home

if TYPE_CHECKING:
    from labeling.structures.frames import RgbImage
    from labeling.structures.instances import Instance


@dataclass(frozen=True, slots=True)
class HardFrame:
    """A hard frame with its image and the masks of both models."""

    line: FrameLine
    rgb: "RgbImage"
    teacher: "list[Instance]"
    student: "list[Instance]"


def sentence_of(summary: RunSummary) -> str:
    """Summarize a run in one or two sentences."""
    sentence = summary_sentence(summary.counts, videos=summary.videos, images=summary.images)
    doubt = doubt_about_student(summary.counts, sees_people=summary.student_sees_people)
    return f"{sentence} {doubt}" if doubt else sentence


def agreement_histogram(session: Session, run: RunRow) -> AgreementHistogram:
    counts, both_empty = iou_histogram(session, run.id)
    hard_below = run.config.get("agreement", {}).get("hard_below", HARD_BELOW)
    return AgreementHistogram(tuple(counts), both_empty, hard_below)


def hard_frames(session: Session, run_id: str, home: Home, *, limit: int) -> Iterator[HardFrame]:
    """Yield at most `limit` frames, hardest first, reading one image at a time."""
    from db.frames.instances import (
        frame_instances,  # only here: `maskmill status` needs neither masks nor OpenCV
    )
    from tasks.files import read_kept

    for line in list_frames(session, run_id, FrameQuery(hard_only=True, limit=limit)) if limit else ():
        frame = session.get_one(FrameRow, line.id)
        yield HardFrame(
            line,
            read_kept(line.id, line.image, home),
            frame_instances(session, run_id, frame, "teacher"),
            frame_instances(session, run_id, frame, "student"),
        )
