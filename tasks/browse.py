"""List runs and draw frames, for `maskmill runs` and `maskmill show`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.changes import changes_between
from configs.constants import HARD_BELOW
from configs.errors import ConfigError
from db.frames.people import count_people
from db.models.core import AgreementRow, DecisionRow, FrameRow, RunRow
from db.runs.queries import first_of_name, latest_run, run_models, runs_with_frames, summarize_run
from labeling.structures.reasons import reason_texts
from labeling.text.figures import caption_of
from tasks.execution.context import Context

MOST_OTHERS = 5
"""Runs that are named where a list is empty."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run that tell it from others: its models and thresholds."""

    teacher: str
    """Kind and name."""
    student: str
    hard_below: float
    """Frames whose union IoU is below this are hard."""
    unit: str
    """What is accepted: `frame` or `person`."""
    student_is_semantic: bool = False
    """The student gives one mask for all people."""

    def __str__(self) -> str:
        joint = " (one mask for all people)" if self.student_is_semantic else ""
        return f"teacher {self.teacher}, student {self.student}{joint}, hard below IoU {self.hard_below:g}, accepts each {self.unit}"


@dataclass(frozen=True, slots=True)
class RunLine:
    """A line of `maskmill runs`. Times are in UTC."""

    id: str
    name: str
    started_at: datetime
    worked_at: datetime
    """When it was last worked on."""
    finished: bool
    """Nothing is left to do for its sources so far."""
    changes: tuple[str, ...]
    """Settings in which it differs from the first run of its name."""
    sampled: int
    """Sampled frames."""
    hard: int
    accepted: int
    """Frames with an accepted mask."""
    people: int
    """People with a track of at least two frames; one who is lost and found again counts twice."""
    settings: RunSettings


def list_runs(session: Session) -> list[RunLine]:
    """Return all runs, last worked on first."""
    runs = session.scalars(select(RunRow).order_by(RunRow.worked_at.desc(), RunRow.id))
    return [_run_line(session, run) for run in runs.all()]


def run_settings(session: Session, run: RunRow) -> RunSettings:
    """Return what tells a run from others. A run that has not begun names the models of its config by their kinds."""
    rows = run_models(session, run)
    models = {role: f"{model.kind}:{model.name}" for role, model in rows.items()}
    kinds = {role: str(run.config.get(role, {}).get("kind", "-")) for role in ("teacher", "student")}
    agreement, trust = (run.config.get(name, {}) for name in ("agreement", "trust"))
    return RunSettings(
        **(kinds | models),
        hard_below=agreement.get("hard_below", HARD_BELOW),
        unit=trust.get("unit", "frame"),
        student_is_semantic="student" in rows and rows["student"].gives_instances is False,
    )


def _run_line(session: Session, run: RunRow) -> RunLine:
    summary = summarize_run(session, run)
    return RunLine(
        id=run.id,
        name=run.name,
        started_at=run.started_at.replace(tzinfo=UTC),
        worked_at=run.worked_at.replace(tzinfo=UTC),
        finished=run.finished_at is not None and not summary.shards_pending,
        changes=tuple(changes_between(first_of_name(session, run.name).config, run.config)),
        sampled=summary.counts.get("sampled", 0),
        hard=summary.counts.get("hard", 0),
        accepted=summary.counts.get("accepted", 0),
        people=count_people(session, run.id),
        settings=run_settings(session, run),
    )


def explain_no_frames(session: Session, run: RunRow, decisions: Sequence[str]) -> str:
    """Say why a list of a run's frames is empty, and which other runs have frames."""
    summary = summarize_run(session, run)
    others = [f"{other.id[:6]} ({other.name})" for other in runs_with_frames(session) if other.id != run.id]
    if summary.counts.get("sampled"):
        why = f"run {run.id} ({run.name}) has no such frame: {_named_counts(summary.counts)}"
    elif summary.shards_pending:
        why = f"run {run.id} ({run.name}) has no frame yet: run its command again to continue it"
    else:
        first = f": {summary.failures[0].message}" if summary.failures else ""
        why = f"run {run.id} ({run.name}) has no frame, because nothing was read{first}"
    return why + (f"; other runs, for --run: {', '.join(others[:MOST_OTHERS])}" if others else "")


def _named_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def remove_runs(context: Context, run_ids: Sequence[str]) -> list[str]:
    """Delete these runs, all or none, and return their ids. Images stay for `maskmill gc`.

    Raises:
        ConfigError: no such run, it was reviewed, or a run is executing.
    """
    from db.runs.garbage import delete_run

    with context.database.transaction() as session:
        ids = [latest_run(session, run_id).id for run_id in run_ids]
        for run_id in dict.fromkeys(ids):
            delete_run(session, run_id)
    return list(dict.fromkeys(ids))


def draw_frame(context: Context, run_id: str, frame_id: int, out: Path) -> str:
    """Draw teacher, student and difference of a frame into a PNG; return the caption.

    Raises:
        ConfigError: the run has no such frame, or rejected it and kept no image.
    """
    from db.frames.instances import frame_instances
    from labeling.storage.outputs import encode_drawing
    from labeling.visualization.frames import draw_comparison
    from tasks.files import read_kept, write_file

    with context.database.session() as session:
        frame = session.get(FrameRow, frame_id)
        decision = session.get(DecisionRow, (run_id, frame_id))
        if frame is None or decision is None:
            raise ConfigError(
                f"no frame {frame_id} in run {run_id}: `maskmill frames` lists them; --run names another run"
            )
        if decision.decision == "rejected":
            reason = "; ".join(reason_texts(decision.reasons)) or decision.rule
            raise ConfigError(f"frame {frame_id} was rejected ({reason}): it has no masks to show")
        agreement = session.get_one(AgreementRow, (run_id, frame_id))
        caption = caption_of(decision.decision, agreement.iou, [m[0] for m in agreement.mismatches])
        drawn = draw_comparison(
            read_kept(frame_id, decision.image, context.home),
            frame_instances(session, run_id, frame, "teacher"),
            frame_instances(session, run_id, frame, "student"),
            caption=caption,
        )
    write_file(out, encode_drawing(drawn))
    return caption
