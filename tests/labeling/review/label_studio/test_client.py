"""The client with a real Label Studio."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.errors import LabelStudioRefused, LabelStudioUnreachable
from configs.models import Review
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.filters import UNTOUCHED
from labeling.review.label_studio.project import BEST_FIRST, label_config
from tests.studio_server import LABEL_CONFIG, RunningStudio, gate_before

pytestmark = pytest.mark.labelstudio

Task = dict[str, Any]


@pytest.fixture
def project(studio: RunningStudio, request: pytest.FixtureRequest) -> int:
    """An empty project for this test."""
    return studio.server.find_or_create_project(request.node.name[:50], LABEL_CONFIG, "")


def make_task(frame_id: int, *, padding: int = 0) -> Task:
    return {"data": {"image": "/data/x.jpg", "frame_id": str(frame_id), "padding": "x" * padding}}


def tasks_by_frame(studio: RunningStudio, project: int) -> dict[int, int]:
    return {task.frame_id: task.id for task in studio.server.list_tasks(project)}


def test_a_project_is_created_once(studio: RunningStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeling.review.label_studio.client.PROJECTS_PAGE", 1)
    studio.server.find_or_create_project("not made once", LABEL_CONFIG, "")
    first = studio.server.find_or_create_project("made once", LABEL_CONFIG, "why")
    studio.server.find_or_create_project("made once more", LABEL_CONFIG, "")
    assert studio.server.find_or_create_project("made once", LABEL_CONFIG, "") == first


def test_settings_reach_a_new_project(studio: RunningStudio) -> None:
    settings = {"sampling": "Uncertainty sampling"}
    made = studio.server.find_or_create_project("with settings", LABEL_CONFIG, "", settings=settings)
    with studio.http() as http:
        assert http.get(f"/api/projects/{made}/").json()["sampling"] == "Uncertainty sampling"


def test_a_deleted_project_does_not_exist(studio: RunningStudio, project: int) -> None:
    assert studio.server.project_exists(project)
    with studio.http() as http:
        http.delete(f"/api/projects/{project}/").raise_for_status()
    assert not studio.server.project_exists(project)
    with pytest.raises(LabelStudioRefused) as refused:
        studio.server.import_tasks(project, [make_task(1)])
    assert refused.value.status == 404


def test_a_label_config_is_sent_when_it_differs(studio: RunningStudio, project: int) -> None:
    other = label_config(Review())
    assert not studio.server.update_label_config(project, LABEL_CONFIG)
    assert studio.server.update_label_config(project, other)
    assert not studio.server.update_label_config(project, other)


def test_attached_images_are_served_and_nothing_else_of_the_home(studio: RunningStudio, project: int) -> None:
    image = studio.home_root / "images" / "ab" / "attached.jpg"
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(b"\xff\xd8 an image")
    studio.server.attach_images(project, studio.home_root / "images")
    studio.server.attach_images(project, studio.home_root / "images")
    with studio.http() as http:
        assert http.get("/data/local-files/?d=images/ab/attached.jpg").content == image.read_bytes()
        assert http.get("/data/local-files/?d=studio/credentials.json").status_code in {403, 404}
        assert http.get("/data/local-files/?d=images/../studio/credentials.json").status_code in {403, 404}
        assert len(http.get("/api/storages/localfiles", params={"project": project}).json()) == 1


def test_a_folder_outside_the_document_root_is_refused(studio: RunningStudio, project: int) -> None:
    with pytest.raises(LabelStudioRefused, match="must be a subdirectory"):
        studio.server.attach_images(project, Path("/etc"))


def test_uploaded_images_are_served_and_make_no_tasks(studio: RunningStudio, project: int) -> None:
    images = {f"{n % 16:02x}/{n:064x}.png": b"\x89PNG " + str(n).encode() for n in range(205)}
    names = list(images)
    shown = studio.server.upload_images(project, names, images.__getitem__)
    assert list(shown) == names
    with studio.http() as http:
        for name in (names[0], names[149], names[204]):
            assert shown[name].startswith("/data/upload/")
            assert http.get(shown[name]).content == images[name]
    assert tasks_by_frame(studio, project) == {}


def test_imported_tasks_are_listed_with_their_frames(studio: RunningStudio, project: int) -> None:
    ids = studio.server.import_tasks(project, [make_task(frame) for frame in (70, 30, 50)])
    assert tasks_by_frame(studio, project) == {70: ids[0], 30: ids[1], 50: ids[2]}
    assert studio.server.import_tasks(project, []) == []


def test_a_listing_reads_all_pages(
    studio: RunningStudio, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.review.label_studio.client.IDS_PAGE", 3)
    frames = list(range(100, 107))
    ids = studio.server.import_tasks(project, [make_task(frame) for frame in frames])
    assert tasks_by_frame(studio, project) == dict(zip(frames, ids, strict=True))
    monkeypatch.setattr("labeling.review.label_studio.client.IDS_PAGE", 7)
    assert len(tasks_by_frame(studio, project)) == 7


def test_a_frame_may_have_two_tasks_and_other_tasks_are_not_listed(
    studio: RunningStudio, project: int
) -> None:
    first, second, _ = studio.server.import_tasks(
        project, [make_task(1), make_task(1), {"data": {"image": "by hand"}}]
    )
    listed = studio.server.list_tasks(project)
    assert [(task.id, task.frame_id) for task in listed] == [(first, 1), (second, 1)]


def test_tasks_that_are_too_large_together_are_sent_in_halves(studio: RunningStudio, project: int) -> None:
    with gate_before(studio.access.url) as gate, LabelStudioClient(gate.url, studio.access.token) as server:
        gate.largest_body = 25_000
        ids = server.import_tasks(project, [make_task(frame, padding=10_000) for frame in range(7)])
    assert tasks_by_frame(studio, project) == dict(enumerate(ids))


def test_a_task_that_is_too_large_alone_is_refused_with_its_frame(
    studio: RunningStudio, project: int
) -> None:
    with gate_before(studio.access.url) as gate, LabelStudioClient(gate.url, studio.access.token) as server:
        gate.largest_body = 25_000
        tasks = [make_task(4), make_task(5, padding=30_000)]
        with pytest.raises(LabelStudioRefused, match="frame 5 is too large") as refused:
            server.import_tasks(project, tasks)
    assert refused.value.status == 413


def test_an_import_whose_response_is_lost_is_not_repeated(studio: RunningStudio, project: int) -> None:
    with gate_before(studio.access.url) as gate, LabelStudioClient(gate.url, studio.access.token) as server:
        gate.hang_up_after = ["POST"]
        with pytest.raises(LabelStudioUnreachable):
            server.import_tasks(project, [make_task(8)])
    assert list(tasks_by_frame(studio, project)) == [8]
    with studio.http() as http:
        assert http.get(f"/api/projects/{project}/").json()["task_number"] == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_an_import_to_a_failing_server_is_not_repeated(
    studio: RunningStudio, project: int, status: int
) -> None:
    with gate_before(studio.access.url) as gate, LabelStudioClient(gate.url, studio.access.token) as server:
        gate.answer_with = [status]
        with pytest.raises(LabelStudioUnreachable, match=f"status {status}"):
            server.import_tasks(project, [make_task(8)])
    assert gate.seen == [f"POST /api/projects/{project}/import"]


def submit(http: httpx.Client, task: int, **fields: object) -> int:
    answer = http.post(f"/api/tasks/{task}/annotations/", json={"result": [], **fields})
    return int(answer.raise_for_status().json()["id"])


def test_every_action_of_an_annotator_marks_the_task_as_changed(studio: RunningStudio, project: int) -> None:
    task, _ = studio.server.import_tasks(project, [make_task(1), make_task(2)])

    def changed_since(moment: datetime) -> list[int]:
        return [int(changed["id"]) for changed in studio.server.changed_tasks(project, moment)]

    with studio.http() as http:
        before = datetime.now(UTC)
        number = submit(http, task, lead_time=3.5)
        assert changed_since(before) == [task], "submitted"
        before = datetime.now(UTC)
        http.patch(f"/api/annotations/{number}/", json={"result": []}).raise_for_status()
        assert changed_since(before) == [task], "updated"
        before = datetime.now(UTC)
        http.delete(f"/api/annotations/{number}/").raise_for_status()
        assert changed_since(before) == [task], "deleted"
        before = datetime.now(UTC)
        submit(http, task, was_cancelled=True)
        assert changed_since(before) == [task], "skipped"
    assert changed_since(datetime.now(UTC)) == []


def test_changed_tasks_contain_all_annotations_and_no_predictions(
    studio: RunningStudio, project: int
) -> None:
    prediction = {"model_version": "teacher", "score": 0.5, "result": []}
    task = studio.server.import_tasks(project, [{**make_task(1), "predictions": [prediction]}])[0]
    with studio.http() as http:
        drawn, skipped = submit(http, task, lead_time=3.5), submit(http, task, was_cancelled=True)
    [changed] = studio.server.changed_tasks(project, None)
    annotations = {annotation["id"]: annotation for annotation in changed["annotations"]}
    assert annotations[drawn]["lead_time"] == 3.5
    assert annotations[skipped]["was_cancelled"]
    assert "predictions" not in changed
    emails = studio.server.user_emails()
    assert emails[annotations[drawn]["completed_by"]] == studio.access.email


def test_since_is_strict_to_the_microsecond_and_utc_where_naive(studio: RunningStudio, project: int) -> None:
    studio.server.import_tasks(project, [make_task(1)])
    [task] = studio.server.changed_tasks(project, None)
    moment = datetime.fromisoformat(task["updated_at"])
    assert list(studio.server.changed_tasks(project, moment)) == []
    earlier = moment.replace(microsecond=0)
    assert [changed["id"] for changed in studio.server.changed_tasks(project, earlier)] == [task["id"]]
    naive = earlier.astimezone(UTC).replace(tzinfo=None)
    assert [changed["id"] for changed in studio.server.changed_tasks(project, naive)] == [task["id"]]


def test_open_tasks_are_neither_annotated_nor_skipped(studio: RunningStudio, project: int) -> None:
    tasks = studio.server.import_tasks(project, [make_task(frame) for frame in range(5)])
    with studio.http() as http:
        submit(http, tasks[0])
        submit(http, tasks[1], was_cancelled=True)
    assert [task.id for task in studio.server.list_tasks(project, *UNTOUCHED)] == tasks[2:]


def test_a_task_is_started_by_an_annotation_a_skip_or_a_draft(studio: RunningStudio, project: int) -> None:
    ids = studio.server.import_tasks(project, [make_task(frame) for frame in range(4)])
    with studio.http() as http:
        submit(http, ids[0])
        submit(http, ids[1], was_cancelled=True)
        draft = {"result": [], "lead_time": 1.0}
        http.post(f"/api/tasks/{ids[2]}/drafts", params={"project": project}, json=draft).raise_for_status()
    states = studio.server.list_tasks(project)
    assert [(state.id, state.frame_id) for state in states] == list(zip(ids, range(4), strict=True))
    assert [state.is_started for state in states] == [True, True, True, False]


def test_a_tab_is_created_once_and_reset_except_for_the_users_own_fields(
    studio: RunningStudio, project: int
) -> None:
    number = studio.server.ensure_view(project, BEST_FIRST)
    assert studio.server.ensure_view(project, BEST_FIRST) == number
    with studio.http() as http:
        [view] = http.get("/api/dm/views/", params={"project": project}).json()
        assert view["data"]["ordering"] == BEST_FIRST["ordering"]
        data = {**view["data"], "ordering": ["tasks:id"], "gridWidth": 7}
        http.patch(f"/api/dm/views/{number}/", json={"project": project, "data": data}).raise_for_status()
        assert studio.server.ensure_view(project, BEST_FIRST) == number
        [view] = http.get("/api/dm/views/", params={"project": project}).json()
    assert view["data"]["ordering"] == BEST_FIRST["ordering"]
    assert view["data"]["gridWidth"] == 7


def test_the_tab_shows_the_most_valuable_first(studio: RunningStudio, project: int) -> None:
    values = ["0.250000", "1.000000", "0.500000", "0.000012"]
    tasks = [{"data": {"image": "x", "frame_id": str(i), "value": value}} for i, value in enumerate(values)]
    ids = studio.server.import_tasks(project, tasks)
    view = studio.server.ensure_view(project, BEST_FIRST)
    with studio.http() as http:
        listed = http.get("/api/tasks/", params={"project": project, "view": view}).json()["tasks"]
    assert [task["id"] for task in listed] == [ids[1], ids[2], ids[0], ids[3]]


def test_deleting_tasks_deletes_only_those(studio: RunningStudio, project: int) -> None:
    ids = studio.server.import_tasks(project, [make_task(frame) for frame in range(4)])
    studio.server.delete_tasks(project, [])
    assert len(tasks_by_frame(studio, project)) == 4
    studio.server.delete_tasks(project, ids[:2])
    studio.server.delete_tasks(project, ids[:2])
    assert tasks_by_frame(studio, project) == {2: ids[2], 3: ids[3]}


def test_a_webhook_is_registered_once_and_called_with_its_secret(studio: RunningStudio, project: int) -> None:
    with gate_before(studio.access.url) as listener:
        listener.answer_with = [200]
        number = studio.server.ensure_webhook(project, f"{listener.url}/hook", {"X-Secret": "old"})
        assert studio.server.ensure_webhook(project, f"{listener.url}/hook", {"X-Secret": "new"}) == number
        task = studio.server.import_tasks(project, [make_task(1)])[0]
        with studio.http() as http:
            submit(http, task)
            [webhook] = http.get("/api/webhooks/", params={"project": project}).json()
        assert webhook["headers"] == {"X-Secret": "new"}
        assert listener.seen == ["POST /hook"]
