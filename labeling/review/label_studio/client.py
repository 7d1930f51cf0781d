"""A Label Studio as we use it: projects, images, tasks out, annotations back."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Self

from labeling.errors import LabelStudioDenied, LabelStudioError, LabelStudioRefused, LabelStudioTooOld
from labeling.review.label_studio.filters import (
    UNTOUCHED,
    Filter,
    Task,
    count_tasks,
    later_than,
    one_of,
    read_tasks,
    touched_after,
    where,
)
from labeling.review.label_studio.http import DEFAULT_RETRY_POLICY, Connection, RetryPolicy
from labeling.review.label_studio.s3_storage import Bucket, S3Keys, attach_bucket, signs_bucket
from labeling.review.label_studio.uploads import upload_images

OLDEST_VERSION = (1, 20)
"""Personal access tokens and the filters that we use work from here on; tested with 1.23."""
IDS_PAGE, TASKS_PAGE = 2000, 50
"""Tasks per page: of ids alone, and with their annotations, which are large."""
PROJECTS_PAGE = 100
_ANNOTATED = "id,data,updated_at,annotations,result,was_cancelled,lead_time,created_at,completed_by"
"""Fields of a task and of its annotations: predictions, ten times as large, stay where they are."""
ASKED_IDS = 300
"""By number in one request: they stand in its address, which web servers cut at 8 kB."""
_WEBHOOK_ACTIONS = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"]


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task of ours in Label Studio, without what it shows."""

    id: int
    frame_id: int
    is_started: bool
    """Somebody has annotated or skipped it, or left a draft."""


class LabelStudioClient:
    """One Label Studio, seen by the user whose token it is.

    Every method may raise
        LabelStudioUnreachable: no answer in time, or one that says "later"; after writing, look before
            writing again.
        LabelStudioDenied: the token is refused.
        LabelStudioRefused: the request is (`status` says how).
    """

    def __init__(self, url: str, token: str, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY) -> None:
        """Check both; nothing is sent. `token`: a legacy token or a personal access token.

        Raises:
            LabelStudioUnreachable: not an HTTP URL.
            LabelStudioDenied: no token, or one that has expired.
            LabelStudioMissing: label-studio-sdk is not installed.
        """
        self._connection = Connection(url, token, retry_policy)
        self._sdk = self._connection.sdk

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return self._connection.url

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> str:
        """Version of the server, once it has accepted our token.

        Raises:
            LabelStudioTooOld: older than `OLDEST_VERSION`.
        """
        version = str(self._connection.read(self._sdk.versions.get).release)
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if numbers < OLDEST_VERSION:
            wanted = ".".join(map(str, OLDEST_VERSION))
            raise LabelStudioTooOld(
                f"Label Studio at {self.url} is version {version}, wants {wanted} or newer: upgrade it"
            )
        self._connection.read(self._sdk.users.whoami)
        return version

    def find_project(self, title: str) -> int | None:
        """Id of the oldest project of that title; None: there is none."""
        # The server finds titles that contain this one.
        projects = self._connection.get_pages(
            "/api/projects/", title=title, include="id,title", ordering="id", page_size=PROJECTS_PAGE
        )
        return next((int(project["id"]) for project in projects if project["title"] == title), None)

    def find_or_create_project(
        self, title: str, label_config: str, description: str, *, settings: Mapping[str, object] | None = None
    ) -> int:
        """Id of the oldest project of that title; it is made when there is none.

        `settings` are further fields of a new project, such as `sampling`.
        """
        if (found := self.find_project(title)) is not None:
            return found
        body = {"title": title, "label_config": label_config, "description": description, **(settings or {})}
        try:
            return int(self._connection.post("/api/projects/", body)["id"])
        except LabelStudioRefused:
            # Somebody else made it meanwhile: titles are unique per user.
            if (found := self.find_project(title)) is not None:
                return found
            raise

    def update_label_config(self, project: int, label_config: str) -> bool:
        """Whether it had another one before.

        Raises:
            LabelStudioRefused: annotations that are there do not fit the new one (400), or no such project (404).
        """
        if self._connection.get(f"/api/projects/{project}/")["label_config"] == label_config:
            return False
        self._connection.patch(f"/api/projects/{project}/", {"label_config": label_config})
        return True

    def ensure_view(self, project: int, data: Mapping[str, object]) -> int:
        """Have a tab of that title in the Data Manager; its id.

        Of a tab that is there, the fields of `data` are set back to these, and others stay as people
        left them.
        """
        for view in self._connection.get("/api/dm/views/", project=project):
            if view["data"].get("title") == data["title"]:
                if not data.items() <= view["data"].items():
                    changed = {"project": project, "data": {**view["data"], **data}}
                    self._connection.patch(f"/api/dm/views/{view['id']}/", changed)
                return int(view["id"])
        return int(self._connection.post("/api/dm/views/", {"project": project, "data": dict(data)})["id"])

    def project_exists(self, project: int) -> bool:
        try:
            self._connection.get(f"/api/projects/{project}/")
        except LabelStudioRefused as exc:
            if exc.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def attach_images(self, project: int, folder: Path) -> None:
        """Let the server show the images below `folder`, on its own disk; again changes nothing.

        Raises:
            LabelStudioRefused: not a folder there, not strictly below the server's document root, or it was
                started without local-files serving (400).
        """
        local = self._sdk.import_storage.local
        storages = self._connection.read(lambda: local.list(project=project))
        if not any(storage.path == str(folder) for storage in storages):
            self._connection.write(
                lambda: local.create(
                    project=project, path=str(folder), title="maskmill images", use_blob_urls=True
                )
            )

    def upload_images(
        self, project: int, names: Sequence[str], read: Callable[[str], bytes]
    ) -> dict[str, str]:
        """Send images to a server that does not share our disk; where it shows each."""
        return upload_images(self._connection, project, names, read)

    def attach_bucket(self, project: int, bucket: Bucket, keys: S3Keys) -> None:
        """Let the server sign URLs of the images in a bucket with these keys, which it keeps.

        Raises:
            LabelStudioRefused: it cannot open the bucket with them (400).
        """
        attach_bucket(self._connection, project, bucket, keys)

    def signs_bucket(self, project: int, bucket: Bucket) -> bool:
        """Whether the project has a storage, made by whomever, that opens the bucket's images."""
        return signs_bucket(self._connection, project, bucket)

    def import_tasks(self, project: int, tasks: Sequence[Task]) -> list[int]:
        """Ids of the new tasks, in the same order.

        A body that is too large for the server (413) goes in two halves. After any failure, look at
        `task_ids`: some of the tasks may be there.

        Raises:
            LabelStudioRefused: 413 for one task alone; no such project (404); not as it wants them (400).
        """
        if not tasks:
            return []
        try:
            answer = self._connection.post(
                f"/api/projects/{project}/import", list(tasks), return_task_ids="true"
            )
        except LabelStudioRefused as exc:
            if exc.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
            return self._import_halves(project, tasks, exc)
        ids = [int(number) for number in answer.get("task_ids", [])]
        if len(ids) != len(tasks):
            raise LabelStudioError(
                f"Label Studio at {self.url} took {len(tasks)} tasks and named {len(ids)} ids"
            )
        return ids

    def task_ids(self, project: int) -> dict[int, int]:
        """Task by frame id: whose data has a `frame_id`, the oldest where there are several."""
        return {task.frame_id: task.id for task in reversed(self.list_tasks(project))}

    def list_tasks(self, project: int, *conditions: Filter) -> list[TaskState]:
        """Tasks whose data has a `frame_id` and that meet all conditions, in order of id; a frame may have
        several."""
        # Drafts themselves are told of our own user only.
        has_draft = where("draft_exists", "equal", "Boolean", True)
        drafted = read_tasks(
            self._connection, project, [*conditions, has_draft], page_size=IDS_PAGE, include="id"
        )
        begun = {task["id"] for task in drafted}
        told = "id,data,total_annotations,cancelled_annotations"
        tasks = read_tasks(self._connection, project, conditions, page_size=IDS_PAGE, include=told)
        return [
            TaskState(int(task["id"]), int(frame_id), is_started=task["id"] in begun or _is_answered(task))
            for task in tasks
            if (frame_id := str(task["data"].get("frame_id"))).isdecimal()
        ]

    def look_for_tasks(self, project: int, known: Collection[int], *, last: int) -> list[TaskState]:
        """The tasks that nobody has annotated or skipped, those after the id `last`, and those of `known`
        that are there: a few, in a project that may hold years of finished ones."""
        found = {task.id: task for task in self.list_tasks(project, *UNTOUCHED)}
        found |= {task.id: task for task in self.list_tasks(project, later_than(last))}
        found |= {task.id: task for task in self.find_tasks(project, set(known) - found.keys())}
        return sorted(found.values(), key=lambda task: task.id)

    def find_tasks(self, project: int, ids: Collection[int]) -> list[TaskState]:
        """Those of these tasks that are there, in order of id."""
        wanted = sorted(ids)
        parts = (wanted[start : start + ASKED_IDS] for start in range(0, len(wanted), ASKED_IDS))
        return [task for part in parts for task in self.list_tasks(project, one_of(part))]

    def max_open_tasks(self, project: int) -> int:
        """How many tasks nobody has annotated or skipped."""
        return count_tasks(self._connection, project, UNTOUCHED)

    def changed_tasks(self, project: int, since: datetime | None) -> Iterator[Task]:
        """Tasks that were touched after `since` (UTC where it is naive), with everybody's annotations,
        skipped ones (`was_cancelled`) included, and without predictions; in order of id.

        Reading is not of one moment: a task that changes meanwhile may come in its old or new state,
        so ask again from a little before the time at which this began.
        """
        touched = [] if since is None else [touched_after(since)]
        yield from self._read_annotated(project, touched)

    def annotated_tasks(self, project: int, ids: Collection[int]) -> Iterator[Task]:
        """Those of these tasks that are there, as `changed_tasks` gives them."""
        wanted = sorted(ids)
        for start in range(0, len(wanted), ASKED_IDS):
            yield from self._read_annotated(project, [one_of(wanted[start : start + ASKED_IDS])])

    def _read_annotated(self, project: int, conditions: Sequence[Filter]) -> Iterator[Task]:
        return read_tasks(
            self._connection, project, conditions, page_size=TASKS_PAGE, fields="all", include=_ANNOTATED
        )

    def delete_tasks(self, project: int, ids: Sequence[int]) -> None:
        """Delete tasks with all that was annotated; ids that are not there are passed over."""
        # Label Studio takes an empty selection for "all of them".
        for begin in range(0, len(ids), IDS_PAGE):
            selected = {"all": False, "included": list(ids[begin : begin + IDS_PAGE])}
            self._connection.post(
                "/api/dm/actions", {"selectedItems": selected}, id="delete_tasks", project=project
            )

    def ensure_webhook(self, project: int, url: str, headers: Mapping[str, str]) -> int:
        """Have the server call `url` with these headers when an annotation or a task changes; its id.

        Raises:
            LabelStudioRefused: the server calls no such address (400): to reach this machine it wants
                LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false.
        """
        body = {
            "project": project,
            "url": url,
            "headers": dict(headers),
            "send_payload": True,
            "send_for_all_actions": False,
            "actions": _WEBHOOK_ACTIONS,
            "is_active": True,
        }
        for webhook in self._connection.get("/api/webhooks/", project=project):
            if webhook["url"] == url:
                return int(self._connection.patch(f"/api/webhooks/{webhook['id']}/", body)["id"])
        return int(self._connection.post("/api/webhooks/", body)["id"])

    def remove_webhook(self, webhook: int) -> None:
        self._connection.delete(f"/api/webhooks/{webhook}/")

    def user_emails(self) -> dict[int, str]:
        """E-mail of each user by id (`completed_by`); empty where our user may not see the others."""
        try:
            users = self._connection.read(self._sdk.users.list)
        except LabelStudioDenied:
            return {}
        return {int(user.id): str(user.email) for user in users}

    def _import_halves(self, project: int, tasks: Sequence[Task], refusal: LabelStudioRefused) -> list[int]:
        if len(tasks) == 1:
            frame = tasks[0].get("data", {}).get("frame_id")
            raise LabelStudioRefused(
                f"the task of frame {frame} is too large for Label Studio at {self.url} (status 413): "
                "raise the limit of the web server before it (nginx: client_max_body_size)",
                status=refusal.status,
            ) from refusal
        middle = len(tasks) // 2
        return self.import_tasks(project, tasks[:middle]) + self.import_tasks(project, tasks[middle:])


def _is_answered(task: Task) -> bool:
    return bool(task["total_annotations"] or task["cancelled_annotations"])
