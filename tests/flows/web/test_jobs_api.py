"""The REST interface: from an upload to its results, with crashes, restarts and cancelled jobs between."""

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.errors import AlreadyRunning
from flows.web.jobs import JobStore
from tasks.execution.process_identity import ProcessIdentity
from tests.flows.web.conftest import FRAMES, client_of, fake_command, is_finished, problems, upload, wait_for

pytestmark = pytest.mark.slow  # most start processes that load the video libraries


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def is_running(job: dict[str, Any]) -> bool:
    return any(video["state"] == "running" and video["frames_done"] > 1 for video in job["videos"])


def job_files(home: Path, job_id: str) -> Path:
    return home / "jobs" / job_id


def test_an_upload_becomes_results_and_a_broken_file_does_not_fail_the_others(
    client: httpx.Client, video: bytes
) -> None:
    answer = upload(client, ("one.mp4", video), ("broken.mp4", b"no video" * 50), ("Two ü.mp4", video))
    assert answer.status_code == 201
    job = wait_for(client, answer.json()["id"], is_finished)
    assert job["state"] == "done"
    assert [video["state"] for video in job["videos"]] == ["done", "failed", "done"]
    assert problems(job) == {"broken.mp4": "not_a_video"}
    assert "/" not in job["videos"][1]["error"]["message"]
    assert job["videos"][0]["frames_done"] == job["videos"][0]["frames_total"] == FRAMES
    packed = members(client.get(job["result"]).content)
    assert {"one/composite.mp4", "Two ü/composite.mp4", "one/alpha/00000.png"} <= packed.keys()
    assert b"broken.mp4" in packed["not processed.txt"]
    assert not any(name.endswith((".json", "latest.jpg")) for name in packed)
    alone = members(client.get(job["videos"][2]["result"]).content)
    assert alone["Two ü/composite.mp4"] == packed["Two ü/composite.mp4"]


def test_a_finished_video_can_be_played_in_parts_and_compared_before_and_after(
    client: httpx.Client, video: bytes
) -> None:
    job = wait_for(client, upload(client, ("clip.mp4", video)).json()["id"], is_finished)
    (shown,) = job["videos"]
    part = client.get(shown["video"], headers={"range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    assert client.get(shown["preview"]).headers["content-type"] == "image/webp"
    assert shown["moments"] == FRAMES
    sides = [client.get(f"{shown['comparison']}/{side}-11.jpg").content for side in ("before", "after")]
    assert sides[0] != sides[1]
    assert all(content.startswith(b"\xff\xd8") for content in sides)
    assert client.get(f"{shown['comparison']}/after-12.jpg").status_code == 404
    assert client.get(f"{shown['comparison']}/../../x-1.jpg").status_code == 404


def test_jobs_run_one_after_another_and_a_running_one_shows_its_latest_image(
    tmp_path: Path, video: bytes
) -> None:
    with client_of(tmp_path, command=fake_command(0.25)) as client:
        first = upload(client, ("first.mp4", video)).json()["id"]
        second = upload(client, ("second.mp4", video)).json()
        assert second["jobs_ahead"] == 1
        job = wait_for(client, first, lambda job: bool(is_running(job) and job["videos"][0]["preview"]))
        assert client.get(job["videos"][0]["preview"]).content.startswith(b"\xff\xd8")
        assert client.get(f"/api/jobs/{first}/result.zip").status_code == 404
        paced = wait_for(client, first, lambda job: job["videos"][0]["seconds_left"] is not None)
        assert 0 <= paced["videos"][0]["seconds_left"] < 10
        listed = client.get("/api/jobs").json()["jobs"]
        assert [(job["id"], job["state"]) for job in listed] == [(second["id"], "queued"), (first, "running")]
        assert wait_for(client, second["id"], is_finished)["state"] == "done"


def test_a_running_job_is_stopped_and_deleted_with_its_files(tmp_path: Path, video: bytes) -> None:
    with client_of(tmp_path, command=fake_command(1)) as client:
        job_id = upload(client, ("clip.mp4", video)).json()["id"]
        wait_for(client, job_id, lambda job: job["state"] == "running")
        process = ProcessIdentity.parse(JobStore(tmp_path / "jobs").read(job_id).process)
        assert process
        assert not process.is_gone()
        assert client.delete(f"/api/jobs/{job_id}").status_code == 204
        assert process.is_gone()
        assert client.get(f"/api/jobs/{job_id}").status_code == 404
        assert client.delete(f"/api/jobs/{job_id}").status_code == 404
        assert not [path for path in (tmp_path / "jobs").iterdir() if path.name != ".lock"]
        later = upload(client, ("other.mp4", video)).json()["id"]
        wait_for(client, later, lambda job: job["state"] == "running")


def test_a_video_that_crashes_the_process_twice_fails_alone(client: httpx.Client, video: bytes) -> None:
    answer = upload(client, ("good.mp4", video), ("crash.mp4", video), ("fine.mp4", video))
    job = wait_for(client, answer.json()["id"], is_finished)
    assert job["state"] == "done"
    assert [video["state"] for video in job["videos"]] == ["done", "failed", "done"]
    assert problems(job) == {"crash.mp4": "crashed"}


def test_an_error_that_is_the_same_for_all_videos_fails_the_job(client: httpx.Client, video: bytes) -> None:
    job = wait_for(client, upload(client, ("no-weights.mp4", video)).json()["id"], is_finished)
    assert (job["state"], job["error"]["code"]) == ("failed", "weights_missing")
    assert job["result"] is None


def test_a_server_that_is_stopped_continues_its_jobs_at_the_next_start(tmp_path: Path, video: bytes) -> None:
    with client_of(tmp_path, command=fake_command(0.3)) as client:
        job_id = upload(client, ("one.mp4", video), ("two.mp4", video)).json()["id"]
        wait_for(client, job_id, lambda job: is_running(job) and job["videos"][0]["state"] == "done")
    assert JobStore(tmp_path / "jobs").read(job_id).state == "queued"
    with client_of(tmp_path) as client:
        assert wait_for(client, job_id, is_finished)["state"] == "done"
    worked = Counter((job_files(tmp_path, job_id) / "work.txt").read_text().split("\n"))
    assert all(worked[f"one {number}"] == 1 for number in range(FRAMES))


def test_jobs_of_a_killed_server_wait_for_its_process_to_end_before_they_continue(
    tmp_path: Path, video: bytes
) -> None:
    with client_of(tmp_path) as client:
        job_id = upload(client, ("one.mp4", video)).json()["id"]
        wait_for(client, job_id, is_finished)
    path = job_files(tmp_path, job_id) / "job.json"
    stored = json.loads(path.read_text()) | {"state": "running", "process": "other-boot 1 1"}
    path.write_text(json.dumps(stored))
    with client_of(tmp_path) as client:
        assert wait_for(client, job_id, is_finished)["state"] == "done"


def test_leftovers_of_interrupted_uploads_and_deletions_are_removed_at_the_start(tmp_path: Path) -> None:
    for name in (".uploading-0123456789abcdef-1", ".deleting-0123456789abcdef-1"):
        (tmp_path / "jobs" / name / "uploads").mkdir(parents=True)
    with client_of(tmp_path) as client:
        assert client.get("/api/jobs").json() == {"jobs": []}
        assert [path.name for path in (tmp_path / "jobs").iterdir()] == [".lock"]


def test_the_same_upload_sent_again_is_the_same_job(idle: httpx.Client, video: bytes) -> None:
    parts = [("files", ("clip.mp4", video))]
    first, again = (
        idle.post("/api/jobs", files=parts, headers={"idempotency-key": "a" * 32}).json()["id"]
        for _ in range(2)
    )
    assert first == again
    assert len(idle.get("/api/jobs").json()["jobs"]) == 1


def test_two_servers_do_not_share_a_home(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    with client_of(tmp_path), pytest.raises(AlreadyRunning, match="maskmill web"), store.opened():
        pass


@pytest.mark.parametrize("job_id", ["0" * 16, "..", "%2e%2e", "a/../b", "Z" * 16, "0" * 15])
def test_an_unknown_id_is_answered_with_404(idle: httpx.Client, job_id: str) -> None:
    assert idle.get(f"/api/jobs/{job_id}").status_code == 404
    assert idle.get(f"/api/jobs/{job_id}/result.zip").status_code == 404
    assert idle.delete(f"/api/jobs/{job_id}").status_code in (404, 405)


def test_the_interface_describes_itself(idle: httpx.Client) -> None:
    paths = idle.get("/api/openapi.json").json()["paths"]
    assert set(paths["/api/jobs"]) == {"post", "get"}
    assert set(paths["/api/jobs/{job_id}"]) == {"get", "delete"}
    assert "multipart/form-data" in paths["/api/jobs"]["post"]["requestBody"]["content"]
    assert "/api/jobs/{job_id}/result.zip" in paths
