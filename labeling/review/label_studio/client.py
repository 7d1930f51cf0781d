"""Client for the parts of Label Studio that maskmill uses: projects, images, tasks and annotations."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Self

from configs.errors import LabelStudioDenied, LabelStudioError, LabelStudioRefused, LabelStudioTooOld
from labeling.review.label_studio.filters import (
    UNTOUCHED,
    Filter,
    Task,
    id_after,
    id_in,
    read_tasks,
    touched_after,
    where,
)
from labeling.review.label_studio.http import DEFAULT_RETRY_POLICY, Connection, RetryPolicy
from labeling.review.label_studio.s3_storage import Bucket, S3Keys, attach_bucket, signs_bucket
from labeling.text.figures import count_of

OLDEST_VERSION = (1, 20)
"""First version with personal access tokens and the filters that we use; tested with 1.23."""
IDS_PAGE, TASKS_PAGE = 2000, 50
"""Tasks per page: without annotations, and with them, because annotations are large."""
PROJECTS_PAGE = 100
MAX_IDS = 300
"""Task ids per request: they are part of the URL, which web servers limit to 8 kB."""
MAX_FILES = 100
"""Files per upload: Label Studio answers 500 to more (Django's DATA_UPLOAD_MAX_NUMBER_FILES)."""
_ANNOTATED = (
    "id,data,updated_at,annotations,result,was_cancelled,lead_time,created_at,completed_by,ground_truth"
)
"""Fields of tasks and annotations, without predictions, which are ten times as large."""
_WEBHOOK_ACTIONS = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"]
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts it before the name of an uploaded file."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task of a frame, without its content."""

    id: int
    frame_id: int
    is_started: bool
    """It has an annotation, a skip or a draft."""


class LabelStudioClient:
    """One Label Studio server, with the permissions of the token's user.

    Every method may raise
        LabelStudioUnreachable: no response in time, or the server is busy; check before repeating a write.
        LabelStudioDenied: the token is refused.
        LabelStudioRefused: the request is refused; `status` gives the reason.
    """

    def __init__(self, url: str, token: str, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY) -> None:
        """Check URL and token without a request. `token`: a legacy token or a personal access token.

        Raises:
            LabelStudioUnreachable: not an HTTP URL.
            LabelStudioDenied: no token, or one that has expired.
            LabelStudioMissing: label-studio-sdk is not installed.
        """
        self._connection = Connection(url, token, retry_policy)

    @property
    def url(self) -> str:
        """The server's URL, without a slash at its end."""
        return self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def check(self) -> str:
        """Return the server's version, after it has accepted the token.

        Raises:
            LabelStudioError: it is another server.
            LabelStudioTooOld: older than `OLDEST_VERSION`.
        """
        response = self._connection.get("/api/version/")
        version = str(response.get("release")) if isinstance(response, dict) else ""
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if not numbers:
            raise LabelStudioError(
                f"the server at {self.url} does not respond like Label Studio: check the URL"
            )
        if numbers < OLDEST_VERSION:
            oldest = ".".join(map(str, OLDEST_VERSION))
            raise LabelStudioTooOld(
                f"Label Studio at {self.url} is version {version}: upgrade it to {oldest} or newer"
            )
        self._connection.get("/api/current-user/whoami")
        return version

    def find_project(self, title: str) -> int | None:
        """Return the id of the oldest project with this title; None: there is none."""
        # The server returns titles that contain this one.
        projects = self._connection.get_pages(
            "/api/projects/", title=title, include="id,title", ordering="id", page_size=PROJECTS_PAGE
        )
        return next((int(project["id"]) for project in projects if project["title"] == title), None)

    def find_or_create_project(
        self, title: str, label_config: str, description: str, *, settings: Mapping[str, object] | None = None
    ) -> int:
        """Return the id of the oldest project with this title, or of a new one.

        `settings`: further fields of a new project, such as `sampling`.
        """
        if (found := self.find_project(title)) is not None:
            return found
        body = {"title": title, "label_config": label_config, "description": description, **(settings or {})}
        try:
            return int(self._connection.post("/api/projects/", body)["id"])
        except LabelStudioRefused:
            # Another process may have created it meanwhile: titles are unique per user.
            if (found := self.find_project(title)) is not None:
                return found
            raise

    def update_label_config(self, project: int, label_config: str) -> bool:
        """Set the label config; returns True if it was another one before.

        Raises:
            LabelStudioRefused: existing annotations do not fit the new one (400), or no such project (404).
        """
        if self._connection.get(f"/api/projects/{project}/")["label_config"] == label_config:
            return False
        self._connection.patch(f"/api/projects/{project}/", {"label_config": label_config})
        return True

    def fill_instructions(self, project: int, instructions: str, *, instead_of: str = "") -> bool:
        """Set the labeling instructions (HTML) of a project that has none, or still `instead_of`; returns whether it had."""
        present = (self._connection.get(f"/api/projects/{project}/").get("expert_instruction") or "").strip()
        if present not in ("", instead_of.strip()) or present == instructions.strip():
            return False
        body = {"expert_instruction": instructions, "show_instruction": True}
        self._connection.patch(f"/api/projects/{project}/", body)
        return True

    def ensure_view(self, project: int, data: Mapping[str, object]) -> int:
        """Create a tab of the Data Manager, or reset these fields of the one with its title; returns its id."""
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
        """Let the server show the images below `folder` on its own disk; can be repeated.

        Raises:
            LabelStudioRefused: not a folder there, not strictly below the server's document root, or the
                server was started without local-files serving (400).
        """
        path = "/api/storages/localfiles/"
        if any(storage["path"] == str(folder) for storage in self._connection.get(path, project=project)):
            return
        body = {"project": project, "path": str(folder), "title": "maskmill images", "use_blob_urls": True}
        self._connection.post(path, body)

    def upload_images(
        self, project: int, names: Sequence[str], read: Callable[[str], bytes]
    ) -> dict[str, str]:
        """Upload images to a server that does not share our disk; returns the path at which it shows each.

        `names` may begin with a folder. An image that was uploaded before is uploaded again: to find it
        would require a list of all uploads.
        """
        shown: dict[str, str] = {}
        unique = list(dict.fromkeys(names))
        for start in range(0, len(unique), MAX_FILES):
            batch = enumerate(unique[start : start + MAX_FILES])
            # One form field per file: of several files in one field, Label Studio reads only the last.
            files = [(f"file{i}", (_file_name(name), read(name))) for i, name in batch]
            path = f"/api/projects/{project}"
            ids = self._connection.post(f"{path}/import", files=files, commit_to_project="false")
            uploads = self._connection.get(f"{path}/file-uploads", ids=json.dumps(ids["file_upload_ids"]))
            shown |= {_UPLOAD_PREFIX.sub("", _file_name(new["file"])): new["file"] for new in uploads}
        return {name: f"/data/{shown[_file_name(name)]}" for name in names}

    def attach_bucket(self, project: int, bucket: Bucket, keys: S3Keys) -> None:
        """Let the server sign URLs of a bucket's images with these keys, which it stores; see `attach_bucket`."""
        attach_bucket(self._connection, project, bucket, keys)

    def signs_bucket(self, project: int, bucket: Bucket) -> bool:
        """Return whether any storage of the project opens the bucket's images."""
        return signs_bucket(self._connection, project, bucket)

    def import_tasks(self, project: int, tasks: Sequence[Task]) -> list[int]:
        """Create tasks; returns their ids in the same order.

        A request that is too large for the server (413) is split in halves. After any failure, check
        `list_tasks`: some of the tasks may exist.

        Raises:
            LabelStudioRefused: a single task is too large (413), no such project (404), or the format is
                not valid (400).
        """
        if not tasks:
            return []
        try:
            response = self._connection.post(
                f"/api/projects/{project}/import", list(tasks), return_task_ids="true"
            )
        except LabelStudioRefused as exc:
            if exc.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
            if len(tasks) == 1:
                frame = tasks[0].get("data", {}).get("frame_id")
                raise LabelStudioRefused(
                    f"the task of frame {frame} is too large for Label Studio at {self.url} (status 413): "
                    "raise the limit of the web server before it (nginx: client_max_body_size)",
                    status=exc.status,
                ) from exc
            middle = len(tasks) // 2
            return self.import_tasks(project, tasks[:middle]) + self.import_tasks(project, tasks[middle:])
        ids = [int(task_id) for task_id in response.get("task_ids", [])]
        if len(ids) != len(tasks):
            raise LabelStudioError(
                f"Label Studio at {self.url} accepted {count_of(len(tasks), 'task')} and returned {count_of(len(ids), 'id')}: "
                "check whether its version is supported"
            )
        return ids

    def list_tasks(self, project: int, *conditions: Filter) -> list[TaskState]:
        """Return the tasks with a `frame_id` that meet all conditions, by id; a frame may have several."""

        def read(conditions: Sequence[Filter], fields: str) -> Iterator[Task]:
            return read_tasks(self._connection, project, conditions, page_size=IDS_PAGE, include=fields)

        # The field `drafts` contains only those of our own user.
        has_draft = where("draft_exists", "equal", "Boolean", True)
        drafted = {task["id"] for task in read([*conditions, has_draft], "id")}
        counts = ("total_annotations", "cancelled_annotations")
        return [
            TaskState(
                int(task["id"]),
                int(frame_id),
                is_started=task["id"] in drafted or any(task[name] for name in counts),
            )
            for task in read(conditions, ",".join(("id", "data", *counts)))
            if (frame_id := str(task["data"].get("frame_id"))).isdecimal()
        ]

    def look_for_tasks(self, project: int, known: Collection[int], *, last: int) -> list[TaskState]:
        """Return tasks that are untouched, have an id above `last`, or are in `known`: few of a large project."""
        found = {task.id: task for task in self.list_tasks(project, *UNTOUCHED)}
        found |= {task.id: task for task in self.list_tasks(project, id_after(last))}
        found |= {task.id: task for task in self.find_tasks(project, set(known) - found.keys())}
        return sorted(found.values(), key=lambda task: task.id)

    def find_tasks(self, project: int, ids: Collection[int]) -> list[TaskState]:
        """Return those of these tasks that exist, ordered by id."""
        return [task for part in _id_filters(ids) for task in self.list_tasks(project, part)]

    def changed_tasks(self, project: int, since: datetime | None) -> Iterator[Task]:
        """Yield tasks that were changed after `since` (naive: UTC), ordered by id, without predictions.

        They contain the annotations of all users, also skipped ones (`was_cancelled`). The result is no
        snapshot: a task that changes meanwhile may appear in its old or new state. So next time, start a
        little before the time at which this read began.
        """
        return self._read_annotated(project, [] if since is None else [touched_after(since)])

    def annotated_tasks(self, project: int, ids: Collection[int]) -> Iterator[Task]:
        """Yield those of these tasks that exist, in the format of `changed_tasks`."""
        for part in _id_filters(ids):
            yield from self._read_annotated(project, [part])

    def _read_annotated(self, project: int, conditions: Sequence[Filter]) -> Iterator[Task]:
        return read_tasks(
            self._connection, project, conditions, page_size=TASKS_PAGE, fields="all", include=_ANNOTATED
        )

    def delete_tasks(self, project: int, ids: Sequence[int]) -> None:
        """Delete tasks with their annotations; ids that do not exist are ignored."""
        # Label Studio interprets an empty selection as all tasks.
        for start in range(0, len(ids), IDS_PAGE):
            selected = {"all": False, "included": list(ids[start : start + IDS_PAGE])}
            self._connection.post(
                "/api/dm/actions", {"selectedItems": selected}, id="delete_tasks", project=project
            )

    def ensure_webhook(self, project: int, url: str, headers: Mapping[str, str]) -> int:
        """Let the server call `url` with these headers when annotations or tasks change; returns its id.

        Raises:
            LabelStudioRefused: the server does not call such an address (400); to reach this machine it
                requires LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false.
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
        """Return the e-mail of each user by id (`completed_by`); empty if our user may not see them."""
        try:
            users = self._connection.get("/api/users/")
        except LabelStudioDenied:
            return {}
        return {int(user["id"]): str(user["email"]) for user in users}


def _id_filters(ids: Collection[int]) -> list[Filter]:
    ordered = sorted(ids)
    return [id_in(ordered[start : start + MAX_IDS]) for start in range(0, len(ordered), MAX_IDS)]


def _file_name(path: str) -> str:
    return str(path).rpartition("/")[2]
