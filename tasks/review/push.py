"""Send frames to review: reconcile the outbox with Label Studio, then send in batches.

An interrupted push needs no record of its own: Label Studio's tasks carry our frame ids. A task that an
annotator has started is never deleted; this is checked again before each deletion.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import chain

from more_itertools import batched

from configs.categories import order_categories
from configs.errors import LabelStudioError, LabelStudioRefused, LabelStudioUnreachable
from configs.models import Review as Settings
from db.models.core import RunRow, utc_now
from db.review.annotations import annotated_frames
from db.review.audit import queue_audit
from db.review.categories import project_categories, run_categories
from db.review.items import review_items
from db.review.outbox import (
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
from db.review.planted import count_planted
from db.review.propagation import confirmed_tasks, release_confirmed
from db.review.selection import SkippedFrames, count_waiting
from db.runs.queries import latest_run
from labeling.review.label_studio.client import TaskState
from labeling.review.label_studio.s3_storage import bucket_of
from labeling.review.label_studio.tasks import make_task, prediction_fingerprint
from labeling.review.records import ReviewItem
from labeling.storage.encode import IMAGES
from labeling.structures.frames import RgbImage
from tasks.execution.context import Context
from tasks.files import read_kept
from tasks.review.connect import KnownProject, LabelStudioConnection, Page, open_project
from tasks.review.consensus import update_consensus
from tasks.review.plant import choose_frames, take_truth

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class PushSummary:
    """What a push did, and the state afterwards."""

    run_id: str
    url: str
    """Of the project."""
    sent: int
    adopted: int
    """Frames that were there already: an earlier push was interrupted before it could record them."""
    withdrawn: int
    """Tasks that this run no longer requires."""
    confirmed: int
    """Tasks whose masks were confirmed by reviewed frames near them: they were deleted."""
    replaced: int
    """Tasks that showed other masks than this run's, or than those carried since: they are sent again."""
    deleted: int
    """Tasks that a person deleted in Label Studio since the last push."""
    refused: tuple[str, ...]
    """Frames that could not be sent, with the reason; the next push tries again."""
    open: int
    """Tasks that no annotator has started."""
    waiting: int
    """Frames that wait for room there (`review.max_open_tasks`)."""
    passed_over: SkippedFrames
    """Frames that wait and were not selected; the next push considers them again."""
    elsewhere: int
    """Frames of the run in review in another project or on another server."""
    planted: int = 0
    """Tasks of the run whose answer is known, of this push and earlier ones."""
    unused_truth: tuple[str, ...] = ()
    """Why images of `review.planted.truth` are not used."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push is going to send, and where."""

    project: tuple[int, int]
    """Id in the database, and in Label Studio."""
    batches: list[list[int]]
    """Frame ids, highest priority first."""
    summary: PushSummary
    """As far as it is known before sending."""


@dataclass(frozen=True, slots=True)
class SentBatch:
    """The result of one batch."""

    frames: int
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of one project, and the Label Studio that it is sent to."""

    context: Context
    connection: LabelStudioConnection
    settings: Settings
    project_id: int
    label_studio_id: int

    def reconcile_tasks(self) -> tuple[int, int, list[TaskState]]:
        """Return the frames adopted, the tasks deleted by people, and our unfinished tasks.

        Waits for a server that may still be executing an interrupted request. Afterwards no frame is being
        sent, and no frame has two tasks unless annotators have started both.
        """
        adopted = deleted = 0
        while True:
            tasks = self.remove_duplicate_tasks()
            with self.context.database.transaction() as session:
                found = reconcile(session, self.project_id, {task.frame_id: task.id for task in tasks})
                sending = frames_being_sent(session, self.project_id)
                age_s = (utc_now() - max(sending.values())).total_seconds() if sending else 0.0
                if age_s > self.settings.request_grace_s:
                    requeue(session, sending)
                    sending = {}
            adopted, deleted = adopted + found.adopted, deleted + found.deleted
            if not sending:
                self.delete_untouched(found.left_over)
                return adopted, deleted, [task for task in tasks if task.id not in found.left_over]
            time.sleep(_POLL_S)

    def remove_duplicate_tasks(self) -> list[TaskState]:
        """Return our unfinished tasks, one per frame, and delete the others."""
        tasks = self.find_tasks()
        kept = one_per_frame(tasks)
        keep = {task.id for task in kept.values()}
        self.delete_untouched([task.id for task in tasks if task.id not in keep])
        return list(kept.values())

    def find_tasks(self) -> list[TaskState]:
        """Return our unfinished tasks, and finished duplicates of them."""
        database, server = self.context.database, self.connection.server
        with database.session() as session:
            known = known_tasks(session, self.project_id)
        found = server.look_for_tasks(self.label_studio_id, known.unfinished.values(), last=known.last)
        with database.session() as session:
            recorded = tasks_of(session, self.project_id, [task.frame_id for task in found])
        duplicates = set(recorded.values()) - {task.id for task in found}
        return found + server.find_tasks(self.label_studio_id, duplicates)

    def delete_untouched(self, tasks: Collection[int]) -> None:
        """Delete those of these tasks that no annotator has started by now."""
        if tasks:
            server = self.connection.server
            current = server.find_tasks(self.label_studio_id, tasks)
            server.delete_tasks(self.label_studio_id, [task.id for task in current if not task.is_started])

    def withdraw(self, run_id: str, tasks: Sequence[TaskState]) -> int:
        """Take back frames that this run does not require in review, unless an annotator has started."""
        started = {task.frame_id for task in tasks if task.is_started}
        by_frame = {task.frame_id: task.id for task in tasks}
        with self.context.database.transaction() as session:
            leaving = withdraw_unwanted(session, run_id, self.project_id, started=started)
        leaving_tasks = [by_frame[frame_id] for frame_id in leaving if frame_id in by_frame]
        self.delete_untouched(leaving_tasks)
        return len(leaving_tasks)

    def release_confirmed(self) -> int:
        """Delete the tasks of frames that need no review any more, unless an annotator has started them."""
        with self.context.database.session() as session:
            tasks = confirmed_tasks(session, self.project_id)
        self.delete_untouched(list(tasks.values()))
        left = self.connection.server.find_tasks(self.label_studio_id, list(tasks.values()))
        started = {task.frame_id for task in left if tasks.get(task.frame_id) == task.id}
        released = [frame_id for frame_id in tasks if frame_id not in started]
        with self.context.database.transaction() as session:
            release_confirmed(session, released, reopen=started)
        return len(released)

    def replace_masks(self, run: RunRow, tasks: Sequence[TaskState]) -> int:
        """Requeue frames whose tasks show other masks than this run's, unless an annotator has started."""
        untouched = {task.frame_id: task.id for task in tasks if not task.is_started}
        with self.context.database.session() as session:
            shown = {row.frame_id: row for row in open_frames(session, self.project_id, run.id)}
            items = review_items(session, run, [fid for fid in shown if fid in untouched])
        outdated = [item for item in items if shown[item.frame_id].fingerprint != self._fingerprint(item)]
        with self.context.database.transaction() as session:
            send_again(session, outdated, run_id=run.id)
        self.delete_untouched([untouched[item.frame_id] for item in outdated])
        return len(outdated)

    def send(self, run: RunRow, frame_ids: Sequence[int]) -> list[str]:
        """Send the frames that still wait; return those that cannot be sent, with the reason."""
        with self.context.database.session() as session:
            states = review_states(session, frame_ids)
            items = review_items(session, run, [fid for fid in frame_ids if states[fid] == "waiting"])
        images = self.context.home.images
        gone = images.find_missing([item.image for item in items])
        refused = [
            self._set_aside(item, f"its image is gone: {images.address}/{item.image}")
            for item in items
            if item.image in gone
        ]
        return refused + self._import([item for item in items if item.image not in gone])

    def _import(self, items: Sequence[ReviewItem]) -> list[str]:
        """Import all items at once; one by one if one of them is refused, by the server or before."""
        frame_ids = [item.frame_id for item in items]
        try:
            self._import_together(items)
        except LabelStudioUnreachable:
            with self.context.database.transaction() as session:
                extend_sending(session, frame_ids)
            raise
        except LabelStudioError as exc:
            if isinstance(exc, LabelStudioRefused) and exc.status == HTTPStatus.NOT_FOUND:
                raise
            with self.context.database.transaction() as session:
                requeue(session, frame_ids)
            if len(items) == 1:
                return [self._set_aside(items[0], str(exc))]
            self.reconcile_tasks()  # some of them may have arrived
            with self.context.database.session() as session:
                states = review_states(session, frame_ids)
            left = [item for item in items if states[item.frame_id] == "waiting"]
            return list(chain.from_iterable(self._import([item]) for item in left))
        return []

    def _import_together(self, items: Sequence[ReviewItem]) -> None:
        database, urls = self.context.database, self._image_urls([item.image for item in items])
        tasks = [
            make_task(item, self.settings, urls[item.image], self._picture_source(item)) for item in items
        ]
        with database.transaction() as session:
            fingerprints = {item.frame_id: self._fingerprint(item) for item in items}
            carried = {item.frame_id: item.propagation_id for item in items}
            mark_sending(session, self.project_id, fingerprints, propagations=carried)
        task_ids = self.connection.server.import_tasks(self.label_studio_id, tasks)
        sent = dict(zip((item.frame_id for item in items), task_ids, strict=True))
        with database.transaction() as session:
            confirm_sent(session, self.project_id, sent)

    def _picture_source(self, item: ReviewItem) -> RgbImage | None:
        """Return the image, for pictures of doubtful persons; None: there is no such person."""
        if not any(person.is_doubtful for person in item.teacher):
            return None
        return read_kept(item.frame_id, item.image, self.context.home)

    def _set_aside(self, item: ReviewItem, reason: str) -> str:
        with self.context.database.transaction() as session:
            withdraw(session, [item.frame_id])
        return f"frame {item.frame_id} ({item.title}): {reason}"

    def _fingerprint(self, item: ReviewItem) -> str:
        return prediction_fingerprint(item, self.settings)

    def _image_urls(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the URLs of images for Label Studio: in a bucket, on this disk, or uploaded to it."""
        home, server = self.context.home, self.connection.server
        bucket = bucket_of(home.images.store)
        if bucket and server.signs_bucket(self.label_studio_id, bucket):
            return {name: f"{bucket.url}/{name}" for name in names}
        if self.connection.is_local and home.images.path("") == home.root / IMAGES:
            return {name: f"/data/local-files/?d={IMAGES}/{name}" for name in names}
        return server.upload_images(self.label_studio_id, names, home.images.read)


def one_per_frame(tasks: Iterable[TaskState]) -> dict[int, TaskState]:
    """Return one task per frame, by frame id: the one that an annotator has started, else the oldest."""
    kept: dict[int, TaskState] = {}
    for task in sorted(tasks, key=lambda task: (not task.is_started, task.id)):
        kept.setdefault(task.frame_id, task)
    return kept


def open_outbox(
    context: Context, connection: LabelStudioConnection, settings: Settings, run_id: str
) -> Outbox:
    """Return the outbox of the project of these settings, which is created or brought up to date for a run."""
    database = context.database
    with database.session() as session:
        row = known_project(session, connection.name, settings.project)
        before = Settings.model_validate(row.settings) if row else settings
        earlier = project_categories(session, row.id) if row else ()
        page = Page(settings, order_categories([*earlier, *run_categories(session, run_id)]))
    known = KnownProject(row.external_id, Page(before, earlier or page.categories)) if row else None
    label_studio_id = open_project(connection, page, context.home, known=known)
    with database.transaction() as session:
        project_id = remember_project(
            session, connection.name, settings.project, label_studio_id, settings.model_dump(mode="json")
        )
        if (before.consensus, before.min_agreement) != (settings.consensus, settings.min_agreement):
            update_consensus(session, annotated_frames(session, project_id), settings)
    return Outbox(context, connection, settings, project_id, label_studio_id)


def plan_push(outbox: Outbox, run_id: str | None, *, again: bool = False) -> PushPlan:
    """Reconcile outbox and Label Studio, and select what is sent: at most `max_open_tasks` are open there.

    Args:
        again: also send frames whose task a person deleted, or that are in review in another project.
    """
    database = outbox.context.database
    with database.transaction() as session:
        run = latest_run(session, run_id)
        unused_truth = take_truth(session, run.id, outbox.project_id, outbox.settings)
        fill_outbox(session, run.id, again=again)
        if outbox.settings.audit:
            queue_audit(session, run.id, outbox.settings.audit)
        if again:
            move_from_other_project(session, run.id, outbox.project_id)
    confirmed = outbox.release_confirmed()
    adopted, deleted, tasks = outbox.reconcile_tasks()
    withdrawn = outbox.withdraw(run.id, tasks)
    replaced = outbox.replace_masks(run, tasks)
    untouched = sum(not task.is_started for task in tasks) - withdrawn - replaced
    with database.transaction() as session:
        room = max(0, outbox.settings.max_open_tasks - untouched)
        choice = choose_frames(session, run.id, outbox.project_id, outbox.settings, room=room)
    summary = PushSummary(
        run_id=run.id,
        url=f"{outbox.connection.server.url}/projects/{outbox.label_studio_id}/data",
        sent=0,
        adopted=adopted,
        withdrawn=withdrawn,
        confirmed=confirmed,
        replaced=replaced,
        deleted=deleted,
        refused=(),
        open=untouched,
        waiting=0,
        passed_over=choice.passed_over,
        elsewhere=0,
        unused_truth=unused_truth,
    )
    batches = [list(batch) for batch in batched(choice.frames, outbox.settings.batch)]
    return PushPlan((outbox.project_id, outbox.label_studio_id), batches, summary)


def push_batch(outbox: Outbox, run_id: str, frame_ids: Sequence[int]) -> SentBatch:
    """Send one batch, whatever became of an earlier attempt."""
    database = outbox.context.database
    with database.session() as session:
        run = latest_run(session, run_id)
        before = review_states(session, frame_ids)
    if "sending" in before.values():
        outbox.reconcile_tasks()
    refused = outbox.send(run, frame_ids)
    with database.session() as session:
        after = review_states(session, frame_ids)
    return SentBatch(sum(before[fid] != after[fid] == "open" for fid in frame_ids), tuple(refused))


def close_push(outbox: Outbox, plan: PushPlan, sent: Sequence[SentBatch]) -> PushSummary:
    """Reconcile once more and return the summary of the push."""
    _, deleted, tasks = outbox.reconcile_tasks()
    planned = plan.summary
    with outbox.context.database.session() as session:
        waiting = count_waiting(session, planned.run_id)
        elsewhere = count_elsewhere(session, planned.run_id, outbox.project_id)
        planted = count_planted(session, planned.run_id)
    return replace(
        planned,
        sent=sum(batch.frames for batch in sent),
        deleted=planned.deleted + deleted,
        refused=tuple(chain.from_iterable(batch.refused for batch in sent)),
        open=sum(not task.is_started for task in tasks),
        waiting=max(0, waiting - planned.passed_over.frames),
        elsewhere=elsewhere,
        planted=planted,
    )
