"""Uploads that are too large, hostile or broken."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.web.conftest import LIMITS, client_of, problems, upload


def zip_of(*members: tuple[str, bytes], level: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", level) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def tar_of(*members: tuple[str, bytes], mode: str = "w:gz", link: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return file.getvalue()


def names(job: dict[str, Any]) -> list[str]:
    return [video["name"] for video in job["videos"] if not video["error"]]


def all_files(home: Path) -> set[str]:
    return {path.name for path in home.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("pack", ["clips.zip", "clips.tar", "clips.tar.gz", "clips.tgz", "clips.tar.xz"])
def test_the_videos_of_an_archive_are_processed(
    idle: httpx.Client, video: bytes, tmp_path: Path, pack: str
) -> None:
    modes = {"tar": "w", "gz": "w:gz", "tgz": "w:gz", "xz": "w:xz"}
    clips = (("day 1/a.mp4", video), ("day 2/a.mp4", video + b"\0"))
    content = zip_of(*clips) if pack.endswith("zip") else tar_of(*clips, mode=modes[pack.rpartition(".")[2]])
    job = upload(idle, (pack, content)).json()
    assert names(job) == [f"{pack}: a.mp4", f"{pack}: a.mp4"]
    assert {path.name for path in (tmp_path / "home/jobs" / job["id"]).glob("uploads/*")} == {
        "a.mp4",
        "a-2.mp4",
    }


def test_members_that_could_leave_the_archive_are_refused_by_name(
    idle: httpx.Client, video: bytes, tmp_path: Path
) -> None:
    hostile = zip_of(("../../evil.mp4", video), ("/etc/evil.mp4", video), ("good.mp4", video))
    linked = tar_of(("fine.mp4", video + b"\0"), link="passwd.mp4")
    job = upload(idle, ("hostile.zip", hostile), ("linked.tar.gz", linked)).json()
    assert names(job) == ["hostile.zip: good.mp4", "linked.tar.gz: fine.mp4"]
    assert problems(job) == {
        "hostile.zip: ../../evil.mp4": "unsafe_archive",
        "hostile.zip: /etc/evil.mp4": "unsafe_archive",
        "linked.tar.gz: passwd.mp4": "unsafe_archive",
    }
    messages = {video["error"]["message"] for video in job["videos"] if video["error"]}
    assert messages == {
        "Not unpacked: its name points out of the archive.",
        "Not unpacked: a link, which could point anywhere.",
    }
    assert not any("evil" in name for name in all_files(tmp_path))


def test_a_bomb_is_refused_and_nothing_of_it_is_kept(
    idle: httpx.Client, video: bytes, tmp_path: Path
) -> None:
    bomb = zip_of(("first.mp4", video), ("bomb.mp4", bytes(20_000_000)))
    assert len(bomb) < 100_000
    job = upload(idle, ("bomb.zip", bomb), ("good.mp4", video)).json()
    assert names(job) == ["good.mp4"]
    assert problems(job) == {"bomb.zip": "unsafe_archive"}
    assert not any(name.startswith(("first", "bomb", "archive")) for name in all_files(tmp_path))


def test_archives_count_towards_the_limit_of_the_job(idle: httpx.Client, video: bytes) -> None:
    noise = bytes(range(256)) * 4000  # stored without compression: no bomb
    large = zip_of(
        *((f"{number}.mp4", noise + bytes([number])) for number in range(4)), level=zipfile.ZIP_STORED
    )
    assert upload(idle, ("large.zip", large), ("good.mp4", video)).status_code == 400


@pytest.mark.parametrize("content", [b"PK\x03\x04 damaged", b"no archive", zip_of(("notes.txt", b"text"))])
def test_an_archive_without_videos_is_refused_in_words(
    idle: httpx.Client, video: bytes, content: bytes
) -> None:
    job = upload(idle, ("a.zip", content), ("good.mp4", video)).json()
    assert names(job) == ["good.mp4"]
    assert [video["name"] for video in job["videos"] if video["error"]] == ["a.zip"]


def test_a_file_above_the_limit_is_refused_and_deleted_alone(
    idle: httpx.Client, video: bytes, tmp_path: Path
) -> None:
    job = upload(idle, ("huge.mp4", bytes(1_000_001)), ("good.mp4", video)).json()
    assert problems(job) == {"huge.mp4": "too_large"}
    assert "huge.mp4" not in all_files(tmp_path)


def test_an_upload_above_the_limit_of_a_job_is_refused_while_it_is_received(
    idle: httpx.Client, tmp_path: Path
) -> None:
    answer = upload(idle, *((f"{number}.mp4", bytes(900_000)) for number in range(4)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "upload_refused")
    assert all_files(tmp_path) == {".lock"}


def test_more_files_than_the_limit_are_refused_by_name(idle: httpx.Client, video: bytes) -> None:
    job = upload(idle, *((f"{number}.mp4", video) for number in range(7))).json()
    assert problems(job) == {"5.mp4": "too_many_files", "6.mp4": "too_many_files"}


def test_many_more_files_than_the_limit_end_the_upload(idle: httpx.Client) -> None:
    assert upload(idle, *((f"{number}.txt", b"x") for number in range(11))).status_code == 400


def test_the_disk_is_not_filled(tmp_path: Path, video: bytes) -> None:
    with client_of(tmp_path, limits=replace(LIMITS, free_bytes=10**18)) as client:
        answer = upload(client, ("clip.mp4", video))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "upload_refused")
        assert "no space left" in answer.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/cron.mp4", "cron.mp4"),
        ("C:\\Users\\me\\clip.mp4", "clip.mp4"),
        (".hidden.mp4", ".hidden.mp4"),
        ("-rf.mp4", "-rf.mp4"),
        ("<img src=x>.mp4", "<img src=x>.mp4"),
        ("x" * 400 + ".mp4", None),
    ],
)
def test_hostile_names_stay_in_the_folder_of_the_job(
    idle: httpx.Client, video: bytes, tmp_path: Path, name: str, shown: str | None
) -> None:
    job = upload(idle, (name, video)).json()
    if shown:
        assert job["videos"][0]["name"] == shown
    folder = tmp_path / "home" / "jobs" / job["id"]
    (stored,) = (folder / "uploads").iterdir()
    assert stored.read_bytes() == video
    assert not stored.name.startswith((".", "-"))
    assert len(stored.name) < 120


def test_two_files_of_one_name_are_both_kept(idle: httpx.Client, video: bytes, tmp_path: Path) -> None:
    job = upload(idle, ("a.mp4", video), ("A.MP4", video)).json()
    assert {path.name for path in (tmp_path / "home/jobs" / job["id"]).glob("uploads/*")} == {
        "a.mp4",
        "A-2.mp4",
    }


def test_a_job_of_refused_files_only_says_why(idle: httpx.Client) -> None:
    job = upload(idle, ("notes.txt", b"text"), ("empty.mp4", b"")).json()
    assert job["state"] == "failed"
    assert problems(job) == {"notes.txt": "not_a_video", "empty.mp4": "empty"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"background": "red; rm -rf"}, "background"),
        ({"background": "/etc/passwd"}, "background"),
        ({"background": "#12345"}, "background"),
        ({"format": "exe"}, "format"),
        ({"background": "x" * 2000}, "too long"),
    ],
)
def test_wrong_settings_are_refused(
    idle: httpx.Client, video: bytes, values: dict[str, str], words: str, tmp_path: Path
) -> None:
    answer = upload(idle, ("clip.mp4", video), **values)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"].lower()
    assert all_files(tmp_path) == {".lock"}


def test_backgrounds_are_a_color_blur_or_a_file(idle: httpx.Client, video: bytes) -> None:
    chosen = [
        upload(idle, ("a.mp4", video), background="#FFAA00").json()["background"],
        upload(idle, ("a.mp4", video), background="blur").json()["background"],
        upload(idle, ("a.mp4", video)).json()["background"],
    ]
    assert [(one["kind"], one["value"]) for one in chosen] == [
        ("color", "#ffaa00"),
        ("blur", "blur"),
        ("color", "#00b140"),
    ]
    parts = [("files", ("a.mp4", video)), ("background_file", ("../beach.png", b"\x89PNG"))]
    job = idle.post("/api/jobs", files=parts).json()
    assert job["background"] == {"kind": "image", "value": "beach.png", "stored": "background.png"}
    wrong = [("files", ("a.mp4", video)), ("background_file", ("beach.exe", b"MZ"))]
    assert idle.post("/api/jobs", files=wrong).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=files; filename=a.mp4\r\n\r\nxx",
        ),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 20_000),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
    ],
)
def test_a_request_that_is_no_complete_form_is_refused(
    idle: httpx.Client, tmp_path: Path, kind: str, body: bytes
) -> None:
    answer = idle.post("/api/jobs", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "upload_refused")
    assert all_files(tmp_path) == {".lock"}


def test_an_upload_that_breaks_off_leaves_nothing(idle: httpx.Client, tmp_path: Path) -> None:
    begun = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"--b\r\nContent-Disposition: form-data; name=files; filename=a.mp4\r\n\r\n" + bytes(100_000)
        begun.set()
        raise ConnectionError("the browser was closed")

    with pytest.raises(ConnectionError):
        idle.post("/api/jobs", content=body(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert begun.is_set()
    assert idle.get("/api/jobs").json() == {"jobs": []}
    for _ in range(50):
        if all_files(tmp_path) == {".lock"}:
            break
        threading.Event().wait(0.1)
    assert all_files(tmp_path) == {".lock"}
