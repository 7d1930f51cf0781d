"""Frames to people: the outbox is brought in line with Label Studio, then sent in batches.

Whatever was interrupted is healed by looking: Label Studio's tasks carry our frame ids.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from configs.models import Review as Settings
from db.models import Run, utc_now
from db.paging import pages
from db.queries import latest_run
from db.review_items import review_items
from db.review_outbox import (
    Placed,
    Reconciled,
    confirm_sent,
    count_waiting,
    fill_outbox,
    frames_being_sent,
    mark_sending,
    open_frames,
    put_back,
    reconcile,
    remember_project,
    review_states,
    send_again,
    waiting_frames,
    withdraw,
    withdraw_unwanted,
)
from labeling.storage import Home
from labeling.studio.review import ReviewItem
from labeling.studio.server import StudioServer, TaskState
from labeling.studio.tasks import make_task, prediction_fingerprint
from tasks.ledger import ledger_of
from tasks.studio import Place, open_project

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
    lost: int
    """Frames whose picture is gone from the home."""
    open: int
    """Tasks that nobody has touched."""
    waiting: int
    """Frames that wait for room there (`review.open_tasks`)."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """One project's outbox and the server that it goes to."""

    server: StudioServer
    place: Place
    settings: Settings
    home: Home
    project_id: int
    number: int

    def heal(self) -> Reconciled:
        """Learn what is there, waiting for a server that may still be at an interrupted request.

        Afterwards no frame is being sent, and no frame has two tasks unless people have begun both.
        """
        adopted = deleted = 0
        while True:
            tasks = self.drop_doubles()
            with ledger_of(self.home).transaction() as session:
                found = reconcile(session, self.project_id, {one.frame_id: one.id for one in tasks})
                sending = frames_being_sent(session, self.project_id)
                age_s = (utc_now() - max(sending.values())).total_seconds() if sending else 0.0
                if age_s > self.settings.settle_s:
                    put_back(session, sending)
                    sending = {}
            adopted, deleted = adopted + found.adopted, deleted + found.deleted
            if not sending:
                self._delete_unstarted(found.left_over, tasks)
                return Reconciled(adopted, deleted, found.left_over)
            time.sleep(_LOOK_EVERY_S)

    def drop_doubles(self) -> list[TaskState]:
        """Our tasks, one a frame: the one that somebody began, else the oldest; others are deleted."""
        by_frame: dict[int, list[TaskState]] = {}
        for task in self.server.list_tasks(self.number):
            by_frame.setdefault(task.frame_id, []).append(task)
        kept = [min(tasks, key=lambda task: (not task.is_started, task.id)) for tasks in by_frame.values()]
        keep = {task.id for task in kept}
        doubles = [
            task.id
            for task in chain.from_iterable(by_frame.values())
            if task.id not in keep and not task.is_started
        ]
        self.server.delete_tasks(self.number, doubles)
        return kept

    def withdraw(self, run_id: str, tasks: Sequence[TaskState]) -> int:
        """Take back frames that this run does not want reviewed, unless somebody has begun."""
        started = {task.frame_id for task in tasks if task.is_started}
        with ledger_of(self.home).transaction() as session:
            unwanted = withdraw_unwanted(session, run_id, started=started)
        self.server.delete_tasks(self.number, [one.task for one in unwanted])
        return len(unwanted)

    def replace_masks(self, run: Run, tasks: Sequence[TaskState]) -> int:
        """Take back frames that show other masks than this run's, unless somebody has begun; they go
        out again with this run's."""
        untouched = {task.frame_id: task.id for task in tasks if not task.is_started}
        with ledger_of(self.home).session() as session:
            shown = {row.frame_id: row for row in open_frames(session, self.project_id, run.id)}
            items = review_items(session, run, [fid for fid in shown if fid in untouched])
        outdated = [one for one in items if shown[one.frame_id].fingerprint != prediction_fingerprint(one)]
        with ledger_of(self.home).transaction() as session:
            send_again(session, outdated, run_id=run.id)
        self.server.delete_tasks(self.number, [untouched[item.frame_id] for item in outdated])
        return len(outdated)

    def send(self, run: Run, frame_ids: Sequence[int]) -> int:
        """Send the frames that still wait; returns how many cannot be, because their picture is gone.

        Raises:
            StudioError: nobody knows what arrived: `heal` finds out.
        """
        ledger = ledger_of(self.home)
        with ledger.session() as session:
            states = review_states(session, frame_ids)
            items = review_items(session, run, [fid for fid in frame_ids if states[fid] == "waiting"])
        present = [item for item in items if self._picture(item).is_file()]
        lost = [item.frame_id for item in items if not self._picture(item).is_file()]
        urls = self._picture_urls(present)
        tasks = [make_task(item, self.settings, urls[item.picture]) for item in present]
        fingerprints = {item.frame_id: prediction_fingerprint(item) for item in present}
        with ledger.transaction() as session:
            withdraw(session, lost)
            mark_sending(session, self.project_id, fingerprints)
        numbers = self.server.import_tasks(self.number, tasks)
        placed = [Placed(item.frame_id, number) for item, number in zip(present, numbers, strict=True)]
        with ledger.transaction() as session:
            confirm_sent(session, self.project_id, placed)
        return len(lost)

    def _picture(self, item: ReviewItem) -> Path:
        return self.home.root / "pictures" / item.picture

    def _picture_urls(self, items: Sequence[ReviewItem]) -> Mapping[str, str]:
        """Where Label Studio shows pictures: from our disk, or sent to the team's server."""
        if self.place.access.local:
            return {item.picture: f"/data/local-files/?d=pictures/{item.picture}" for item in items}
        urls = self.server.upload_pictures(self.number, [self._picture(item) for item in items])
        return {item.picture: urls[self._picture(item)] for item in items}

    def _delete_unstarted(self, placed: Sequence[Placed], tasks: Sequence[TaskState]) -> None:
        started = {task.id for task in tasks if task.is_started}
        self.server.delete_tasks(self.number, [one.task for one in placed if one.task not in started])


def open_outbox(server: StudioServer, place: Place, settings: Settings, home: Home) -> Outbox:
    """The project of these settings, made or brought up to date, with its outbox."""
    number = open_project(server, place, settings, home)
    with ledger_of(home).transaction() as session:
        project_id = remember_project(
            session, place.name, settings.project, number, settings.model_dump(mode="json")
        )
    return Outbox(server, place, settings, home, project_id, number)


def plan_push(outbox: Outbox, run_id: str | None, *, again: bool = False) -> tuple[PushPlan, list[list[int]]]:
    """Bring outbox and Label Studio in line and choose what is sent, in batches of frame ids, hardest
    first: at most `open_tasks` wait there.

    Raises:
        ConfigError: no such run.
        StudioError: Label Studio does not answer as it should.
    """
    ledger = ledger_of(outbox.home)
    with ledger.transaction() as session:
        run = latest_run(session, run_id)
        fill_outbox(session, run.id, again=again)
    healed = outbox.heal()
    tasks = outbox.drop_doubles()
    withdrawn = outbox.withdraw(run.id, tasks)
    replaced = outbox.replace_masks(run, tasks)
    untouched = sum(not task.is_started for task in tasks) - withdrawn - replaced
    with ledger.session() as session:
        frames = waiting_frames(session, run.id, max(0, outbox.settings.open_tasks - untouched))
    plan = PushPlan(
        project_id=outbox.project_id,
        number=outbox.number,
        url=f"{outbox.server.url}/projects/{outbox.number}/data",
        run_id=run.id,
        adopted=healed.adopted,
        withdrawn=withdrawn,
        replaced=replaced,
        deleted=healed.deleted,
    )
    return plan, [list(batch) for batch in pages(frames, outbox.settings.batch)]


def push_batch(outbox: Outbox, run_id: str, frame_ids: Sequence[int]) -> tuple[int, int]:
    """Send one batch, however an earlier try at it ended; (sent, lost)."""
    ledger = ledger_of(outbox.home)
    with ledger.session() as session:
        run = latest_run(session, run_id)
        before = review_states(session, frame_ids)
    if "sending" in before.values():
        outbox.heal()
    lost = outbox.send(run, frame_ids)
    with ledger.session() as session:
        after = review_states(session, frame_ids)
    return sum(before[fid] != after[fid] == "open" for fid in frame_ids), lost


def close_push(outbox: Outbox, plan: PushPlan, *, sent: int, lost: int) -> PushSummary:
    """Look once more, and say what was done."""
    tasks = outbox.drop_doubles()
    with ledger_of(outbox.home).session() as session:
        waiting = count_waiting(session, plan.run_id)
    return PushSummary(
        run_id=plan.run_id,
        url=plan.url,
        sent=sent,
        adopted=plan.adopted,
        withdrawn=plan.withdrawn,
        replaced=plan.replaced,
        deleted=plan.deleted,
        lost=lost,
        open=sum(not task.is_started for task in tasks),
        waiting=waiting,
    )
