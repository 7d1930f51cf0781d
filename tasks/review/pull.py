"""Take over annotations: what changed in Label Studio since the last pull, and the consensus it leads to."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain

from more_itertools import batched
from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.errors import LabelStudioError
from configs.models import Review as Settings
from db.models.core import FrameRow
from db.models.review import LabelStudioProjectRow
from db.review.annotations import FrameAnnotations, SentFrame, find_sent_frames, store_annotations
from db.review.categories import run_categories
from db.review.items import shown_instances
from db.review.outbox import finished_frames, forget_project, known_tasks, reconcile, unanswered_frames
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.filters import Task
from labeling.review.records import ProposedInstance, ReviewedFrame
from tasks.execution.context import Context
from tasks.review.consensus import update_consensus
from tasks.review.propagate import PropagationSummary
from tasks.review.push import one_per_frame

OVERLAP_S = 60.0
"""Overlap of consecutive queries: a change may become visible later than its time stamp says."""
GROUP = 50
"""Tasks per transaction."""


@dataclass(frozen=True, slots=True)
class PullSummary:
    """The result of a pull, summed over projects."""

    projects: int
    changed: int
    """Frames with new or changed annotations."""
    problems: tuple[str, ...]
    """Annotations that could not be read, by frame."""
    deleted: int
    """Frames whose task a person deleted in Label Studio."""
    lost: tuple[str, ...]
    """Titles of projects that were deleted in Label Studio."""
    taken_back: int
    """Frames of deleted projects, which wait for the next push."""
    propagation: PropagationSummary = field(default_factory=PropagationSummary)
    """What was carried to other frames afterwards."""


def sum_pulls(pulls: Sequence[PullSummary]) -> PullSummary:
    return PullSummary(
        projects=len(pulls),
        changed=sum(pull.changed for pull in pulls),
        problems=tuple(chain.from_iterable(pull.problems for pull in pulls)),
        deleted=sum(pull.deleted for pull in pulls),
        lost=tuple(chain.from_iterable(pull.lost for pull in pulls)),
        taken_back=sum(pull.taken_back for pull in pulls),
    )


def pull_project(context: Context, server: LabelStudioClient, project: LabelStudioProjectRow) -> PullSummary:
    """Take over what changed in one project; a second call without changes in between does nothing."""
    if not server.project_exists(project.external_id):
        with context.database.transaction() as session:
            taken_back = forget_project(session, project.id)
        return PullSummary(1, 0, (), 0, (project.title,), taken_back)
    settings = Settings.model_validate(project.settings)
    pull = _Pull(context, server, project, settings, server.user_emails())
    unread, deleted = pull.reconcile()
    changed, problems = pull.take_changes(unread)
    return PullSummary(1, changed, tuple(dict.fromkeys(problems)), deleted, (), 0)


@dataclass(frozen=True, slots=True)
class _Pull:
    context: Context
    server: LabelStudioClient
    project: LabelStudioProjectRow
    settings: Settings
    """Of the last push."""
    users: Mapping[int, str]
    """Email addresses by user id."""

    def reconcile(self) -> tuple[list[int], int]:
        """Learn which tasks are ours before reading any of them.

        Returns:
            Ids of started tasks of which no annotation is stored, however old; number of frames whose task
            was deleted.
        """
        database, project = self.context.database, self.project
        with database.session() as session:
            known = known_tasks(session, project.id)
        found = self.server.look_for_tasks(project.external_id, known.unfinished.values(), last=known.last)
        ours = one_per_frame(found)
        with database.transaction() as session:
            finished = finished_frames(session, project.id, list(ours))
            tasks = {frame_id: task.id for frame_id, task in ours.items() if frame_id not in finished}
            reconciled = reconcile(session, project.id, tasks)
            unanswered = unanswered_frames(session, project.id)
        unread = [ours[fid].id for fid in unanswered if fid in ours and ours[fid].is_started]
        return unread, reconciled.deleted

    def take_changes(self, unread: Collection[int]) -> tuple[int, list[str]]:
        """Store all changes, and remember the time up to which they were read.

        Returns:
            Number of changed frames; problems.
        """
        start, until = time.monotonic(), self.project.pulled_until
        since = until - timedelta(seconds=OVERLAP_S) if until else None
        changed, latest = 0, None
        problems: list[str] = []
        seen: set[int] = set()
        for group in batched(self.server.changed_tasks(self.project.external_id, since), GROUP):
            frames, unclear = self._take(group)
            changed, problems = changed + frames, problems + unclear
            latest = max([_updated_at(task) for task in group] + ([latest] if latest else []))
            seen.update(task["id"] for task in group)
        for group in batched(
            self.server.annotated_tasks(self.project.external_id, set(unread) - seen), GROUP
        ):
            frames, unclear = self._take(group)
            changed, problems = changed + frames, problems + unclear
        if latest:
            # by the server's clock; a task may have changed after its page was read
            latest -= timedelta(seconds=time.monotonic() - start)
            with self.context.database.transaction() as session:
                row = session.get_one(LabelStudioProjectRow, self.project.id)
                row.pulled_until = max(until or latest, latest)
        return changed, problems

    def _take(self, group: Sequence[Task]) -> tuple[int, list[str]]:
        """Store the annotations of some tasks in one transaction; return the changed frames and problems."""
        with self.context.database.transaction() as session:
            frame_ids = [frame_id for task in group if (frame_id := _frame_id(task)) is not None]
            sent = find_sent_frames(session, self.project.id, frame_ids)
            # of two tasks of one frame, only the recorded one counts
            tasks = {
                fid: task
                for task in group
                if (fid := _frame_id(task)) in sent and sent[fid].task_id == task["id"]
            }
            frames = session.scalars(select(FrameRow).where(FrameRow.id.in_(tasks))).all()
            shown = _shown_masks(session, {fid: sent[fid] for fid in tasks})
            categories = {fid: run_categories(session, sent[fid].run_id) for fid in tasks}
            annotations, problems = {}, []
            for frame in frames:
                proposed = shown.get(frame.id, [])
                try:
                    reviewed = self._read(tasks[frame.id], frame, proposed, categories[frame.id])
                except LabelStudioError as exc:
                    problems.append(f"frame {frame.id}: {exc}")
                    continue
                problems += [
                    f"frame {frame.id}, {one.annotator}: {problem}"
                    for one in reviewed
                    for problem in one.problems
                ]
                annotations[frame.id] = FrameAnnotations(sent[frame.id], reviewed, proposed)
            changed = store_annotations(session, annotations)
            update_consensus(session, changed, self.settings)
        return len(changed), problems

    def _read(
        self,
        task: Task,
        frame: FrameRow,
        proposed: Sequence[ProposedInstance],
        categories: Sequence[str],
    ) -> list[ReviewedFrame]:
        return read_annotations(
            task,
            settings=self.settings,
            proposed=proposed,
            size_hw=frame.size_hw,
            users=self.users,
            categories=categories,
        )


def _frame_id(task: Task) -> int | None:
    text = str(task["data"].get("frame_id"))
    return int(text) if text.isdecimal() else None


def _updated_at(task: Task) -> datetime:
    return datetime.fromisoformat(task["updated_at"]).astimezone(UTC).replace(tzinfo=None)


def _shown_masks(session: Session, sent: Mapping[int, SentFrame]) -> dict[int, list[ProposedInstance]]:
    """Return the masks that annotators were shown, by frame."""
    found: dict[int, list[ProposedInstance]] = {}
    for run_id in {frame.run_id for frame in sent.values()}:
        frames = {frame_id: frame for frame_id, frame in sent.items() if frame.run_id == run_id}
        carried = {frame_id: frame.propagation_id for frame_id, frame in frames.items()}
        known = {frame_id: key for frame_id, key in carried.items() if key is not None}
        found |= shown_instances(session, run_id, list(frames), known)
    return found
