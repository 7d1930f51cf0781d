"""Kept images in a folder and in a bucket."""

import hashlib
import threading
import time
from pathlib import Path

import pytest

from configs.environment import IMAGE_STORE
from configs.errors import ConfigError, StorageError, StoreUnreachable
from labeling.runtime.thread_pool import BoundedThreadPool
from labeling.storage.home import Home
from labeling.storage.image_store import MARKER, FolderImages, ImageStore, StoredImages, open_images
from labeling.storage.object_store import ObjectStore
from tests.store_server import TestBucket


@pytest.fixture(params=["folder", "bucket"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    if request.param == "folder":
        return FolderImages(tmp_path / "kept")
    bucket: TestBucket = request.getfixturevalue("bucket")
    return StoredImages(ObjectStore(f"{bucket.url}/kept"))


def made(count: int) -> dict[str, bytes]:
    contents = [f"image {number}".encode() for number in range(count)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return {f"{digest[:2]}/{digest}.jpg": content for digest, content in zip(digests, contents, strict=True)}


def test_all_images_are_there_when_the_block_ends(images: ImageStore) -> None:
    images.create()
    expected = made(40)
    assert images.find_missing(expected) == set(expected)
    with images.saving() as save:
        for name, content in expected.items():
            save(name, content)
    assert images.find_missing(expected) == set()
    assert {name: images.read(name) for name in expected} == expected


def test_a_missing_image_is_named(images: ImageStore) -> None:
    with pytest.raises(StorageError, match=r"ab/gone\.jpg"):
        images.read("ab/gone.jpg")


def test_an_existing_image_stays(images: ImageStore) -> None:
    images.save("ab/abc.jpg", b"first")
    images.save("ab/abc.jpg", b"different content")
    assert images.read("ab/abc.jpg") == b"first"


@pytest.mark.slow
def test_uploads_run_in_parallel(bucket: TestBucket) -> None:
    images, expected = StoredImages(ObjectStore(bucket.url)), made(32)
    images.create()
    bucket.gate.latency_s = 0.5
    started = time.monotonic()
    with images.saving() as save:
        for name, content in expected.items():
            save(name, content)
    assert time.monotonic() - started < 32 * 2 * 0.5 / 3
    assert bucket.objects().keys() - {MARKER} == expected.keys()


def test_a_failed_upload_is_raised_and_ends_the_others(
    bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.storage.object_store.RETRY_FOR_S", 1.0)
    images = StoredImages(ObjectStore(bucket.url))
    bucket.gate.fail_with = 503
    sent: list[str] = []

    def save_all() -> None:
        with images.saving() as save:
            for name, content in made(1000).items():
                save(name, content)
                sent.append(name)

    with pytest.raises(StoreUnreachable):
        save_all()
    assert len(sent) < 200


def test_at_most_twice_as_many_calls_are_pending_as_run() -> None:
    gate, begun = threading.Event(), threading.Semaphore(0)

    def call() -> None:
        begun.release()
        gate.wait(30)

    with BoundedThreadPool(at_once=2) as thread_pool:
        for _ in range(4):
            thread_pool.send(call)
        fifth = threading.Thread(target=thread_pool.send, args=(call,))
        fifth.start()
        fifth.join(0.3)
        assert fifth.is_alive()
        gate.set()
        fifth.join(30)
    assert sum(begun.acquire(blocking=False) for _ in range(9)) == 5


def test_an_error_in_the_block_cancels_pending_calls() -> None:
    gate, done = threading.Event(), list[str]()
    thread_pool = BoundedThreadPool(at_once=1)

    def wait() -> None:
        gate.wait(30)

    def fail() -> None:
        with thread_pool:
            thread_pool.send(wait)
            thread_pool.send(lambda: done.append("second"))
            threading.Timer(0.2, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert thread_pool.abandoned.is_set()
    assert done == []


def test_the_environment_sets_the_image_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.delenv(IMAGE_STORE.name, raising=False)
    assert home.images.address == str(tmp_path / "home" / "images")
    for address in (str(tmp_path / "elsewhere"), f"file://{tmp_path}/elsewhere"):
        monkeypatch.setenv(IMAGE_STORE.name, address)
        assert open_images(tmp_path).path("ab/c.jpg") == tmp_path / "elsewhere/ab/c.jpg"
    monkeypatch.setenv(IMAGE_STORE.name, "memory://kept")
    assert open_images(tmp_path).store is not None
    monkeypatch.setenv(IMAGE_STORE.name, "s4://kept")
    with pytest.raises(ConfigError, match="s4://kept"):
        home.create()
