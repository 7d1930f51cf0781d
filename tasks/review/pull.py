"""People's words back: what was annotated since the last time, and what is true since."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.models import Review as Settings
from db.models.core import FrameRow
from db.models.review import LabelStudioProjectRow
from db.review.annotations import (
    FrameAnnotations,
    SentFrame,
    find_sent_frames,
    store_annotations,
)
from db.review.items import proposed_instances
from db.review.outbox import finished_frames, forget_project, known_tasks, reconcile, unanswered_frames
from labeling.errors import LabelStudioError
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.client import LabelStudioClient, TaskState
from labeling.review.label_studio.filters import Task
from labeling.review.records import ProposedInstance, ReviewedFrame
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.review.consensus import update_consensus
from tasks.review.push import choose_task

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
    server: LabelStudioClient, project: LabelStudioProjectRow, home: Home, settings: Settings | None = None
) -> PullSummary:
    """Take over what changed in one project; again from the same state changes nothing.

    `settings`: None takes those of the last push.
    """
    settings = settings or Settings.model_validate(project.settings)
    database = database_of(home)
    if not server.project_exists(project.external_id):
        with database.transaction() as session:
            taken_back = forget_project(session, project.id)
        return PullSummary(1, 0, (), 0, (project.title,), taken_back)
    pull = _Pull(server, project, settings, home, server.user_emails())
    unread, deleted = pull.reconcile()
    changed, problems = pull.take_changes(unread)
    return PullSummary(1, changed, tuple(dict.fromkeys(problems)), deleted, (), 0)


@dataclass(frozen=True, slots=True)
class _Pull:
    server: LabelStudioClient
    project: LabelStudioProjectRow
    settings: Settings
    home: Home
    users: Mapping[int, str]

    def reconcile(self) -> tuple[list[int], int]:
        """Learn which tasks are ours, before anything is read of them: (tasks that somebody has begun and
        of which we know no word, however long ago that was; frames whose task was deleted)."""
        database = database_of(self.home)
        with database.session() as session:
            known = known_tasks(session, self.project.id)
        found = self.server.look_for_tasks(
            self.project.external_id, known.unfinished.values(), last=known.last
        )
        by_frame: dict[int, list[TaskState]] = {}
        for task in found:
            by_frame.setdefault(task.frame_id, []).append(task)
        ours = {frame_id: choose_task(tasks) for frame_id, tasks in by_frame.items()}
        with database.transaction() as session:
            finished = finished_frames(session, self.project.id, list(ours))
            tasks = {frame_id: task.id for frame_id, task in ours.items() if frame_id not in finished}
            reconciled = reconcile(session, self.project.id, tasks)
            silent = unanswered_frames(session, self.project.id)
        begun = [ours[fid].id for fid in silent if fid in ours and ours[fid].is_started]
        return begun, reconciled.deleted

    def take_changes(self, unread: Collection[int]) -> tuple[int, list[str]]:
        """Frames with news, and what was not understood; remembers until when everything was seen."""
        began, until = time.monotonic(), self.project.pulled_until
        since = until - timedelta(seconds=OVERLAP_S) if until else None
        changed, latest = 0, None
        problems: list[str] = []
        number = self.project.external_id
        seen: set[int] = set()
        for group in _groups(self.server.changed_tasks(number, since)):
            frames, said = self._take(group)
            changed, problems = changed + frames, problems + said
            latest = max([_updated_at(task) for task in group] + ([latest] if latest else []))
            seen.update(task["id"] for task in group)
        for group in _groups(self.server.annotated_tasks(number, set(unread) - seen)):
            frames, said = self._take(group)
            changed, problems = changed + frames, problems + said
        if latest:
            # by the server's clock; a task may have changed after its page was read
            latest -= timedelta(seconds=time.monotonic() - began)
            with database_of(self.home).transaction() as session:
                row = session.get_one(LabelStudioProjectRow, self.project.id)
                row.pulled_until = max(until or latest, latest)
        return changed, problems

    def _take(self, group: Sequence[Task]) -> tuple[int, list[str]]:
        """Keep the annotations of some tasks, at once: frames with news, and problems."""
        with database_of(self.home).transaction() as session:
            sent = find_sent_frames(session, self.project.id, _frame_ids(group))
            # of two tasks of one frame, the other was never ours
            tasks = {
                fid: task
                for task in group
                if (fid := _frame_id(task)) in sent and sent[fid].task_id == task["id"]
            }
            frames = session.scalars(select(FrameRow).where(FrameRow.id.in_(tasks))).all()
            shown = _shown_masks(session, {fid: sent[fid] for fid in tasks})
            answers, problems = {}, []
            for frame in frames:
                proposed = shown.get(frame.id, [])
                try:
                    said = self._read(tasks[frame.id], frame, proposed)
                except LabelStudioError as exc:
                    problems.append(f"frame {frame.id}: {exc}")
                    continue
                problems += [
                    f"frame {frame.id}, {one.annotator}: {what}" for one in said for what in one.problems
                ]
                answers[frame.id] = FrameAnnotations(sent[frame.id], said, proposed)
            changed = store_annotations(session, answers)
            update_consensus(session, changed, self.settings)
        return len(changed), problems

    def _read(self, task: Task, frame: FrameRow, proposed: Sequence[ProposedInstance]) -> list[ReviewedFrame]:
        size_hw = (frame.height or 0, frame.width or 0)
        return read_annotations(
            task, settings=self.settings, proposed=proposed, size_hw=size_hw, users=self.users
        )


def _groups(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    waiting = iter(tasks)
    while group := list(islice(waiting, GROUP)):
        yield group


def _frame_ids(tasks: Iterable[Task]) -> list[int]:
    return [frame_id for task in tasks if (frame_id := _frame_id(task)) is not None]


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
