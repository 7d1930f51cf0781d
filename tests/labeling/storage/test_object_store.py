"""Objects below a URL, on an S3 protocol server and on other file systems of fsspec."""

import threading
import time
from pathlib import Path

import fsspec
import httpx
import pytest
from fsspec.implementations.local import LocalFileSystem

from configs.errors import ConfigError, StorageError, StoreDenied, StoreUnreachable
from labeling.storage import object_store
from labeling.storage.object_store import ObjectStore, known_store, local_path
from tests.store_server import TestBucket


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "RETRY_FOR_S", 2.0)


@pytest.fixture(params=["s3", "memory", "non-atomic"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        bucket: TestBucket = request.getfixturevalue("bucket")
        return ObjectStore(f"{bucket.url}/below/here")
    if request.param == "memory":
        return ObjectStore(f"memory://{tmp_path.name}/here")
    fsspec.register_implementation("farfile", FarFileSystem, clobber=True)
    return ObjectStore(f"farfile://{tmp_path}/here")


class FarFileSystem(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A protocol that, like SFTP, shows a file while it is written."""

    protocol = ("farfile",)


def test_objects_can_be_written_read_listed_and_removed(store: ObjectStore) -> None:
    assert store.entries() == set()
    assert list(store.names("images")) == []
    assert not store.has("images/a.jpg")
    store.put("images/a.jpg", b"first")
    store.put("images/a.jpg", b"second")
    store.put("top.json", b"{}")
    assert store.has("images/a.jpg")
    assert store.get("images/a.jpg") == b"second"
    assert store.entries() == {"images", "top.json"}
    assert list(store.names("images")) == ["images/a.jpg"]
    assert list(store.names("top.json")) == ["top.json"]
    store.remove(["images/a.jpg", "top.json"])
    assert not store.has("images/a.jpg")
    with pytest.raises(FileNotFoundError):
        store.get("images/a.jpg")
    store.check()
    assert list(store.names("")) == []


def test_files_are_uploaded_in_parts(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "_PART_BYTES", 5 << 20)
    large = tmp_path / "large.json"
    large.write_bytes(bytes(range(256)) * 50_000)
    store.upload(large, "large.json")
    assert store.get("large.json") == large.read_bytes()


def test_objects_are_copied_within_a_store(store: ObjectStore) -> None:
    store.put("a.jpg", b"image")
    store.copy(store, "a.jpg", "images/b.jpg")
    assert store.get("images/b.jpg") == b"image"
    with pytest.raises(FileNotFoundError):
        store.copy(store, "gone.jpg", "images/c.jpg")


def test_a_copy_within_a_bucket_is_done_by_the_server(bucket: TestBucket) -> None:
    store = ObjectStore(bucket.url)
    store.put("a.jpg", b"image")
    bucket.gate.seen.clear()
    store.copy(ObjectStore(bucket.url), "a.jpg", "b.jpg")
    assert not [line for line in bucket.gate.seen if line.startswith("GET")]
    assert bucket.objects() == {"a.jpg": b"image", "b.jpg": b"image"}


def test_without_atomic_writes_a_temporary_object_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("farfile", FarFileSystem, clobber=True)
    store, seen = ObjectStore(f"farfile://{tmp_path}/here"), []

    def cut_off(self: FarFileSystem, path: str, content: bytes) -> None:
        seen.append(path)
        Path(path).write_bytes(content[:3])
        raise PermissionError("cut off")

    monkeypatch.setattr(FarFileSystem, "pipe_file", cut_off)
    with pytest.raises(StoreDenied):
        store.put("a.jpg", b"image")
    assert len(seen) == 1
    assert not (tmp_path / "here" / "a.jpg").exists()


@pytest.mark.parametrize("status", [500, 503, 429, 0])
def test_server_errors_and_dropped_connections_are_retried(
    bucket: TestBucket, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "RETRY_FOR_S", 60.0)
    bucket.gate.answer_with = [status, status]
    ObjectStore(bucket.url).put("a.jpg", b"image")
    assert bucket.gate.failed == 2
    assert bucket.objects() == {"a.jpg": b"image"}


def test_an_unreachable_store_is_reported_with_its_url_and_advice(
    bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(
        StoreUnreachable, match=rf"{bucket.url} .* for 2 s .*127\.0\.0\.1:1.*AWS_ENDPOINT_URL"
    ):
        ObjectStore(bucket.url).get("a.jpg")
    assert 1.5 < time.monotonic() - started < 15


def test_abandoning_ends_the_retries(bucket: TestBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "RETRY_FOR_S", 60.0)
    bucket.gate.fail_with, abandoned = 503, threading.Event()
    threading.Timer(0.5, abandoned.set).start()
    started = time.monotonic()
    with pytest.raises(StoreUnreachable):
        ObjectStore(bucket.url).put("a.jpg", b"image", abandoned=abandoned)
    assert time.monotonic() - started < 10


def test_wrong_keys_are_reported_without_retries(bucket: TestBucket) -> None:
    httpx.post(f"{bucket.server.url}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        with pytest.raises(StoreDenied, match=r"refuses our keys .*does not exist in our records") as denied:
            ObjectStore(bucket.url).put("a.jpg", b"image")
    finally:
        httpx.post(f"{bucket.server.url}/moto-api/reset-auth", content=b"Infinity").raise_for_status()
    assert "AWS_SECRET_ACCESS_KEY" in str(denied.value)
    assert bucket.objects() == {}


def test_missing_keys_are_reported_without_retries(
    bucket: TestBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreDenied, match=r"no keys for it .*set AWS_ACCESS_KEY_ID"):
        ObjectStore(bucket.url).put("a.jpg", b"image")


def test_a_missing_bucket_is_reported_without_retries(bucket: TestBucket) -> None:
    with pytest.raises(StoreDenied, match="s3://no-such-bucket: there is no such bucket"):
        ObjectStore("s3://no-such-bucket").put("a.jpg", b"image")


def test_a_url_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError, match="password") as refused:
        ObjectStore("s3://AKIA123:geheim@bucket/prefix")
    assert "geheim" not in str(refused.value)
    assert "AKIA123" not in str(refused.value)


@pytest.mark.parametrize("url", ["s4://bucket", "gs://bucket"])
def test_an_unsupported_protocol_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match=url):
        ObjectStore(url)


def test_a_process_has_one_connection_to_a_store() -> None:
    assert known_store("memory://once") is known_store("memory://once")


def test_paths_and_file_urls_are_folders_of_this_machine(tmp_path: Path) -> None:
    assert local_path(f"file://{tmp_path}") == tmp_path
    assert local_path(str(tmp_path)) == tmp_path
    assert local_path("dataset/coco") == Path.cwd() / "dataset/coco"
    assert local_path("s3://bucket") is None


def test_unexpected_errors_are_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = ObjectStore("memory://broken"), []

    def fail(path: str, content: bytes) -> None:
        calls.append(path)
        raise ValueError("a bug")

    monkeypatch.setattr(store._fs, "pipe_file", fail)
    with pytest.raises(StorageError, match="ValueError: a bug"):
        store.put("a.jpg", b"image")
    assert len(calls) == 1
