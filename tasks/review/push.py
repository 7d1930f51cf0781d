"""Frames to people: the outbox is brought in line with Label Studio, then sent in batches.

Whatever was interrupted is healed by looking: Label Studio's tasks carry our frame ids. Nothing that
somebody has begun is ever deleted: that is asked anew before each deletion.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain

from more_itertools import batched

from configs.models import Review as Settings
from db.models.core import RunRow, utc_now
from db.review.annotations import annotated_frames
from db.review.items import review_items
from db.review.outbox import (
    FrameTask,
    confirm_sent,
    count_elsewhere,
    extend_sending,
    fill_outbox,
    frames_being_sent,
    known_project,
    known_tasks,
    mark_sending,
    move_from_other_project,
    open_frames,
    reconcile,
    remember_project,
    requeue,
    review_states,
    send_again,
    tasks_of,
    withdraw,
    withdraw_unwanted,
)
from db.review.selection import SkippedFrames, choose_waiting, count_waiting
from db.runs.queries import latest_run
from labeling.errors import LabelStudioError, LabelStudioRefused, LabelStudioUnreachable
from labeling.review.label_studio.client import LabelStudioClient, TaskState
from labeling.review.label_studio.s3_storage import bucket_of
from labeling.review.label_studio.tasks import make_task, prediction_fingerprint
from labeling.review.records import ReviewItem
from labeling.storage.encode import IMAGES
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.review.connect import Place, open_project
from tasks.review.consensus import update_consensus

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push is to send, and what it found."""

    project_id: int
    number: int
    """Label Studio's id of the project."""
    url: str
    run_id: str
    adopted: int
    """Frames that were there already: an earlier push was interrupted before it knew."""
    withdrawn: int
    """Tasks that this run does not want any more."""
    replaced: int
    """Tasks that showed other masks than this run's: they are sent anew."""
    deleted: int
    """Tasks that somebody deleted in Label Studio since the last time."""
    passed_over: SkippedFrames
    """Frames that it does not send although they wait."""


@dataclass(frozen=True, slots=True)
class PushSummary:
    """What a push did, and where things stand."""

    run_id: str
    url: str
    """Of the project."""
    sent: int
    adopted: int
    withdrawn: int
    replaced: int
    deleted: int
    refused: tuple[str, ...]
    """Frames that could not be sent, and why; the next push tries again."""
    open: int
    """Tasks that nobody has touched."""
    waiting: int
    """Frames that wait for room there (`review.max_open_tasks`)."""
    passed_over: SkippedFrames
    """Frames that wait and were not chosen; the next push weighs them again."""
    elsewhere: int
    """Frames of the run that wait for people in another project or on another server."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch."""

    frames: int
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutboxReconciliation:
    """What looking at Label Studio has shown."""

    adopted: int
    deleted: int
    tasks: Sequence[TaskState]
    """Our unfinished tasks, one a frame, with finished twins of them."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """One project's outbox and the server that it goes to."""

    server: LabelStudioClient
    place: Place
    settings: Settings
    home: Home
    project_id: int
    number: int

    def reconcile_tasks(self) -> OutboxReconciliation:
        """Learn what is there, waiting for a server that may still be at an interrupted request.

        Afterwards no frame is being sent, and no frame has two tasks unless people have begun both.
        """
        adopted = deleted = 0
        while True:
            tasks = self.remove_duplicate_tasks()
            with database_of(self.home).transaction() as session:
                found = reconcile(session, self.project_id, {one.frame_id: one.id for one in tasks})
                sending = frames_being_sent(session, self.project_id)
                age_s = (utc_now() - max(sending.values())).total_seconds() if sending else 0.0
                if age_s > self.settings.request_grace_s:
                    requeue(session, sending)
                    sending = {}
            adopted, deleted = adopted + found.adopted, deleted + found.deleted
            if not sending:
                left_over = {one.task_id for one in found.left_over}
                self.delete_untouched(left_over)
                return OutboxReconciliation(
                    adopted, deleted, [one for one in tasks if one.id not in left_over]
                )
            time.sleep(_LOOK_EVERY_S)

    def remove_duplicate_tasks(self) -> list[TaskState]:
        """Our unfinished tasks, one a frame: the one that somebody began, else the oldest; others are
        deleted."""
        by_frame: dict[int, list[TaskState]] = {}
        for task in self.look():
            by_frame.setdefault(task.frame_id, []).append(task)
        kept = [choose_task(tasks) for tasks in by_frame.values()]
        keep = {task.id for task in kept}
        others = (task.id for task in chain.from_iterable(by_frame.values()) if task.id not in keep)
        self.delete_untouched(list(others))
        return kept

    def look(self) -> list[TaskState]:
        """What is there of ours that is not finished, with finished twins of it."""
        database = database_of(self.home)
        with database.session() as session:
            known = known_tasks(session, self.project_id)
        found = self.server.look_for_tasks(self.number, known.unfinished.values(), last=known.last)
        with database.session() as session:
            ours = tasks_of(session, self.project_id, [task.frame_id for task in found])
        twins = set(ours.values()) - {task.id for task in found}
        return found + self.server.find_tasks(self.number, twins)

    def delete_untouched(self, tasks: Collection[int]) -> None:
        """Delete those of these tasks that nobody has begun by now."""
        if tasks:
            now = self.server.find_tasks(self.number, tasks)
            self.server.delete_tasks(self.number, [task.id for task in now if not task.is_started])

    def withdraw(self, run_id: str, tasks: Sequence[TaskState]) -> int:
        """Take back frames that this run does not want reviewed, unless somebody has begun."""
        started = {task.frame_id for task in tasks if task.is_started}
        there = {task.frame_id: task.id for task in tasks}
        with database_of(self.home).transaction() as session:
            leaving = withdraw_unwanted(session, run_id, self.project_id, started=started)
        leaving_tasks = [there[frame_id] for frame_id in leaving if frame_id in there]
        self.delete_untouched(leaving_tasks)
        return len(leaving_tasks)

    def replace_masks(self, run: RunRow, tasks: Sequence[TaskState]) -> int:
        """Take back frames that show other masks than this run's, unless somebody has begun; they go
        out again with this run's."""
        untouched = {task.frame_id: task.id for task in tasks if not task.is_started}
        with database_of(self.home).session() as session:
            shown = {row.frame_id: row for row in open_frames(session, self.project_id, run.id)}
            items = review_items(session, run, [fid for fid in shown if fid in untouched])
        outdated = [one for one in items if shown[one.frame_id].fingerprint != self._fingerprint(one)]
        with database_of(self.home).transaction() as session:
            send_again(session, outdated, run_id=run.id)
        self.delete_untouched([untouched[item.frame_id] for item in outdated])
        return len(outdated)

    def send(self, run: RunRow, frame_ids: Sequence[int]) -> list[str]:
        """Send the frames that still wait; returns those that cannot be sent, with the reason.

        Raises:
            LabelStudioUnreachable: nobody knows what arrived: `heal` finds out.
        """
        with database_of(self.home).session() as session:
            states = review_states(session, frame_ids)
            items = review_items(session, run, [fid for fid in frame_ids if states[fid] == "waiting"])
        images = self.home.images
        gone = images.find_missing([item.image for item in items])
        refused = [
            self._set_aside(item, f"its image is gone: {images.address}/{item.image}")
            for item in items
            if item.image in gone
        ]
        return refused + self._import([item for item in items if item.image not in gone])

    def _import(self, items: Sequence[ReviewItem]) -> list[str]:
        """All at once; or one by one, where the server, or we ourselves, refuse one of them."""
        try:
            self._hand_over(items)
        except LabelStudioUnreachable:
            with database_of(self.home).transaction() as session:
                extend_sending(session, [item.frame_id for item in items])
            raise
        except LabelStudioError as exc:
            if isinstance(exc, LabelStudioRefused) and exc.status == HTTPStatus.NOT_FOUND:
                raise
            self._forget_sending(items)
            if len(items) == 1:
                return [self._set_aside(items[0], str(exc))]
            self.reconcile_tasks()  # some of them may have arrived
            with database_of(self.home).session() as session:
                states = review_states(session, [item.frame_id for item in items])
            left = [item for item in items if states[item.frame_id] == "waiting"]
            return list(chain.from_iterable(self._import([item]) for item in left))
        return []

    def _hand_over(self, items: Sequence[ReviewItem]) -> None:
        database, urls = database_of(self.home), self._image_urls([item.image for item in items])
        tasks = [make_task(item, self.settings, urls[item.image]) for item in items]
        with database.transaction() as session:
            mark_sending(session, self.project_id, {one.frame_id: self._fingerprint(one) for one in items})
        numbers = self.server.import_tasks(self.number, tasks)
        placed = [FrameTask(item.frame_id, number) for item, number in zip(items, numbers, strict=True)]
        with database.transaction() as session:
            confirm_sent(session, self.project_id, placed)

    def _forget_sending(self, items: Sequence[ReviewItem]) -> None:
        with database_of(self.home).transaction() as session:
            requeue(session, [item.frame_id for item in items])

    def _set_aside(self, item: ReviewItem, why: str) -> str:
        with database_of(self.home).transaction() as session:
            withdraw(session, [item.frame_id])
        return f"frame {item.frame_id} ({item.title}): {why}"

    def _fingerprint(self, item: ReviewItem) -> str:
        return prediction_fingerprint(item, self.settings)

    def _image_urls(self, names: Sequence[str]) -> Mapping[str, str]:
        """Where Label Studio shows images: on our disk, in a bucket that it can open, or sent to it."""
        images = self.home.images
        bucket = bucket_of(images.store)
        if bucket and self.server.signs_bucket(self.number, bucket):
            return {name: f"{bucket.url}/{name}" for name in names}
        if self.place.is_local and images.path("") == self.home.root / IMAGES:
            return {name: f"/data/local-files/?d={IMAGES}/{name}" for name in names}
        return self.server.upload_images(self.number, names, images.read)


def choose_task(tasks: Sequence[TaskState]) -> TaskState:
    """Of several tasks of one frame: the one that somebody began, else the oldest."""
    return min(tasks, key=lambda task: (not task.is_started, task.id))


def open_outbox(server: LabelStudioClient, place: Place, settings: Settings, home: Home) -> Outbox:
    """The project of these settings, made or brought up to date, with its outbox."""
    database = database_of(home)
    with database.session() as session:
        known = known_project(session, place.name, settings.project)
    number = open_project(server, place, settings, home, known=known.external_id if known else None)
    with database.transaction() as session:
        before = Settings.model_validate(known.settings) if known else settings
        project_id = remember_project(
            session, place.name, settings.project, number, settings.model_dump(mode="json")
        )
        if (before.consensus, before.min_agreement) != (settings.consensus, settings.min_agreement):
            update_consensus(session, annotated_frames(session, project_id), settings)
    return Outbox(server, place, settings, home, project_id, number)


def plan_push(outbox: Outbox, run_id: str | None, *, again: bool = False) -> tuple[PushPlan, list[list[int]]]:
    """Bring outbox and Label Studio in line and choose what is sent, in batches of frame ids, best first:
    at most `max_open_tasks` wait there.

    `again`: also frames whose task somebody deleted, or that wait in another project.

    Raises:
        ConfigError: no such run.
        LabelStudioError: Label Studio does not answer as it should.
    """
    database = database_of(outbox.home)
    with database.transaction() as session:
        run = latest_run(session, run_id)
        fill_outbox(session, run.id, again=again)
        if again:
            move_from_other_project(session, run.id, outbox.project_id)
    reconciled = outbox.reconcile_tasks()
    tasks = reconciled.tasks
    withdrawn = outbox.withdraw(run.id, tasks)
    replaced = outbox.replace_masks(run, tasks)
    untouched = sum(not task.is_started for task in tasks) - withdrawn - replaced
    with database.session() as session:
        room = max(0, outbox.settings.max_open_tasks - untouched)
        choice = choose_waiting(session, run.id, outbox.settings, room=room)
    plan = PushPlan(
        project_id=outbox.project_id,
        number=outbox.number,
        url=f"{outbox.server.url}/projects/{outbox.number}/data",
        run_id=run.id,
        adopted=reconciled.adopted,
        withdrawn=withdrawn,
        replaced=replaced,
        deleted=reconciled.deleted,
        passed_over=choice.passed_over,
    )
    return plan, [list(batch) for batch in batched(choice.frames, outbox.settings.batch)]


def push_batch(outbox: Outbox, run_id: str, frame_ids: Sequence[int]) -> Sent:
    """Send one batch, however an earlier try at it ended.

    Raises:
        LabelStudioUnreachable: nobody knows what arrived: the same call again finds out.
    """
    database = database_of(outbox.home)
    with database.session() as session:
        run = latest_run(session, run_id)
        before = review_states(session, frame_ids)
    if "sending" in before.values():
        outbox.reconcile_tasks()
    refused = outbox.send(run, frame_ids)
    with database.session() as session:
        after = review_states(session, frame_ids)
    return Sent(sum(before[fid] != after[fid] == "open" for fid in frame_ids), tuple(refused))


def close_push(outbox: Outbox, plan: PushPlan, sent: Sequence[Sent]) -> PushSummary:
    """Look once more, and say what was done."""
    reconciled = outbox.reconcile_tasks()
    with database_of(outbox.home).session() as session:
        waiting = count_waiting(session, plan.run_id)
        elsewhere = count_elsewhere(session, plan.run_id, plan.project_id)
    return PushSummary(
        run_id=plan.run_id,
        url=plan.url,
        sent=sum(batch.frames for batch in sent),
        adopted=plan.adopted,
        withdrawn=plan.withdrawn,
        replaced=plan.replaced,
        deleted=plan.deleted + reconciled.deleted,
        refused=tuple(chain.from_iterable(batch.refused for batch in sent)),
        open=sum(not task.is_started for task in reconciled.tasks),
        waiting=max(0, waiting - plan.passed_over.frames),
        passed_over=plan.passed_over,
        elsewhere=elsewhere,
    )
