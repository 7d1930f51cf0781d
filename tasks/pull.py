"""People's words back: what was annotated since the last time, and what is true since."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.models import Review as Settings
from db.models import Frame
from db.review_annotations import Answered, SentFrame, find_sent_frames, settle_truths, store_annotations
from db.review_items import proposed_instances
from db.review_models import StudioProject
from db.review_outbox import forget_project, reconcile
from labeling.errors import StudioError
from labeling.storage import Home
from labeling.studio.annotations import read_annotations
from labeling.studio.listing import Task
from labeling.studio.review import ProposedInstance, ReviewedFrame
from labeling.studio.server import StudioServer
from tasks.ledger import ledger_of

OVERLAP_S = 60.0
"""Asked for again each time: a change may be seen later than its time stamp says."""
GROUP = 50
"""Tasks per transaction."""


@dataclass(frozen=True, slots=True)
class PullSummary:
    """What a pull brought, summed over projects."""

    projects: int
    changed: int
    """Frames about which anything is new."""
    problems: tuple[str, ...]
    """What could not be understood, by frame."""
    deleted: int
    """Frames whose task somebody deleted in Label Studio."""
    lost: tuple[str, ...]
    """Titles of projects that were deleted in Label Studio."""
    taken_back: int
    """Frames of those, which wait for a push again."""


def add_up(pulled: Sequence[PullSummary]) -> PullSummary:
    """The sum over projects."""
    return PullSummary(
        projects=len(pulled),
        changed=sum(one.changed for one in pulled),
        problems=tuple(chain.from_iterable(one.problems for one in pulled)),
        deleted=sum(one.deleted for one in pulled),
        lost=tuple(chain.from_iterable(one.lost for one in pulled)),
        taken_back=sum(one.taken_back for one in pulled),
    )


def pull_project(
    server: StudioServer, project: StudioProject, home: Home, settings: Settings | None = None
) -> PullSummary:
    """Take over what changed in one project; again from the same state changes nothing.

    `settings`: None takes those of the last push.
    """
    settings = settings or Settings.model_validate(project.settings)
    ledger = ledger_of(home)
    if not server.project_exists(project.number):
        with ledger.transaction() as session:
            taken_back = forget_project(session, project.id)
        return PullSummary(1, 0, (), 0, (project.title,), taken_back)
    pull = _Pull(server, project, settings, home, server.user_emails())
    changed, problems = pull.take_changes()
    with ledger.transaction() as session:
        tasks = {task.frame_id: task.id for task in reversed(server.list_tasks(project.number))}
        deleted = reconcile(session, project.id, tasks).deleted
    return PullSummary(1, changed, tuple(problems), deleted, (), 0)


@dataclass(frozen=True, slots=True)
class _Pull:
    server: StudioServer
    project: StudioProject
    settings: Settings
    home: Home
    users: Mapping[int, str]

    def take_changes(self) -> tuple[int, list[str]]:
        """Frames with news, and what was not understood; remembers until when everything was seen."""
        began, until = time.monotonic(), self.project.pulled_until
        since = until - timedelta(seconds=OVERLAP_S) if until else None
        changed, latest = 0, None
        problems: list[str] = []
        for group in _groups(self.server.changed_tasks(self.project.number, since)):
            with ledger_of(self.home).transaction() as session:
                frames, said = self._take(session, group)
            changed, problems = changed + len(frames), problems + said
            latest = max([_updated_at(task) for task in group] + ([latest] if latest else []))
        if latest:
            # by the server's clock; a task may have changed after its page was read
            latest -= timedelta(seconds=time.monotonic() - began)
            with ledger_of(self.home).transaction() as session:
                row = session.get_one(StudioProject, self.project.id)
                row.pulled_until = max(until or latest, latest)
        return changed, problems

    def _take(self, session: Session, group: Sequence[Task]) -> tuple[list[int], list[str]]:
        """Keep the annotations of some tasks; frames with news, and problems."""
        tasks = {frame_id: task for task in group if (frame_id := _frame_id(task)) is not None}
        sent = find_sent_frames(session, self.project.id, list(tasks))
        # of two tasks of one frame, the other was never ours
        ours = {fid: one for fid, one in sent.items() if one.task in (0, tasks[fid]["id"])}
        frames = session.scalars(select(Frame).where(Frame.id.in_(ours)))
        shown = _shown_masks(session, ours)
        answers, problems = {}, []
        for frame in frames:
            task, proposed = tasks[frame.id], shown.get(frame.id, [])
            try:
                said = self._read(task, frame, proposed)
            except StudioError as exc:
                problems.append(f"frame {frame.id}: {exc}")
                continue
            problems += [
                f"frame {frame.id}, {one.annotator}: {what}" for one in said for what in one.problems
            ]
            answers[frame.id] = Answered(replace(ours[frame.id], task=task["id"]), said, proposed)
        changed = store_annotations(session, answers)
        settle_truths(session, changed, self.settings)
        return changed, problems

    def _read(self, task: Task, frame: Frame, proposed: Sequence[ProposedInstance]) -> list[ReviewedFrame]:
        size_hw = (frame.height or 0, frame.width or 0)
        return read_annotations(
            task, settings=self.settings, proposed=proposed, size_hw=size_hw, users=self.users
        )


def _groups(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    waiting = iter(tasks)
    while group := list(islice(waiting, GROUP)):
        yield group


def _frame_id(task: Task) -> int | None:
    text = str(task["data"].get("frame_id"))
    return int(text) if text.isdecimal() else None


def _updated_at(task: Task) -> datetime:
    return datetime.fromisoformat(task["updated_at"]).astimezone(UTC).replace(tzinfo=None)


def _shown_masks(session: Session, sent: Mapping[int, SentFrame]) -> dict[int, list[ProposedInstance]]:
    """The masks that people were shown, by frame."""
    found: dict[int, list[ProposedInstance]] = {}
    for run_id in {place.run_id for place in sent.values()}:
        frames = [frame_id for frame_id, place in sent.items() if place.run_id == run_id]
        found |= proposed_instances(session, run_id, frames)
    return found
