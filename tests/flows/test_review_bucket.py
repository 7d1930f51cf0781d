"""Label Studio reads images from a bucket itself, or they are uploaded to it."""

import base64
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest

from configs.environment import IMAGE_STORE
from configs.errors import LabelStudioRefused
from labeling.review.label_studio.s3_storage import KEY_VARIABLE, SECRET_VARIABLE
from tests.flows.test_review import Desk, desk
from tests.planted_reviews import PlantedFrame, box_mask, plant_run
from tests.store_server import TestBucket
from tests.studio_browser import annotate
from tests.studio_server import LABEL_CONFIG

__all__ = ["desk"]

pytestmark = [pytest.mark.labelstudio, pytest.mark.usefixtures("prefect")]

SIZE = (360, 480)
TALL = box_mask(60, 60, 60, 240, SIZE)
KEY_ID, SECRET = "AKIAREADER", "only-reads-images"


@pytest.fixture
def kept_in_bucket(bucket: TestBucket, monkeypatch: pytest.MonkeyPatch) -> TestBucket:
    monkeypatch.setenv(IMAGE_STORE.name, f"{bucket.url}/kept")
    for name in (KEY_VARIABLE, SECRET_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return bucket


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY_ID)
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)


def push_one(desk: Desk) -> dict[str, str]:
    """Push a planted frame; return its task's data."""
    run = plant_run(desk.home, [PlantedFrame([TALL], size_hw=SIZE)])
    pushed = desk.push(run)
    assert (pushed.sent, pushed.refused) == (1, ())
    data: dict[str, str] = desk.task(run.frames[0])["data"]
    return data


def signed_address(desk: Desk, frame_id: int, uri: str) -> str:
    """Return the URL to which Label Studio redirects a browser for the task's image."""
    task = desk.task(frame_id)["id"]
    asked = base64.b64encode(uri.encode()).decode()
    answer = desk.http.get(f"/tasks/{task}/resolve/", params={"fileuri": asked}, follow_redirects=False)
    assert answer.is_redirect, (answer.status_code, answer.text[:500])
    return answer.headers["location"]


def test_a_task_names_its_object_and_label_studio_signs_the_url_on_request(
    desk: Desk, kept_in_bucket: TestBucket, keys: None
) -> None:
    data = push_one(desk)
    [(key, content)] = [(k, c) for k, c in kept_in_bucket.objects().items() if k.endswith(".jpg")]
    uri = f"{kept_in_bucket.url}/{key}"
    signed = signed_address(desk, int(data["frame_id"]), uri)
    assert signed.startswith(f"{kept_in_bucket.gate.url}/")
    assert KEY_ID in parse_qs(urlsplit(signed).query)["X-Amz-Credential"][0]
    assert httpx.get(signed, trust_env=False).content == content
    assert uri in data["image"] or base64.b64encode(uri.encode()).decode() in data["image"]


@pytest.mark.long
def test_changed_keys_are_updated_and_our_own_keys_are_not_sent(
    desk: Desk, kept_in_bucket: TestBucket, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_one(desk)
    monkeypatch.setenv(KEY_VARIABLE, "AKIAOTHER")
    desk.push()
    storages = desk.http.get("/api/storages/s3", params={"project": desk.number}).json()
    assert len(storages) == 1
    data = desk.tasks()[0]["data"]
    [key] = [key for key in kept_in_bucket.objects() if key.endswith(".jpg")]
    signed = signed_address(desk, int(data["frame_id"]), f"{kept_in_bucket.url}/{key}")
    assert parse_qs(urlsplit(signed).query)["X-Amz-Credential"][0].startswith("AKIAOTHER/")


@pytest.mark.long
def test_a_storage_created_in_label_studio_is_used(desk: Desk, kept_in_bucket: TestBucket) -> None:
    number = desk.studio.server.find_or_create_project(desk.settings.project, LABEL_CONFIG, "")
    made = {
        "project": number,
        "title": "made by an administrator",
        "bucket": kept_in_bucket.name,
        "s3_endpoint": kept_in_bucket.gate.url,
        "aws_access_key_id": KEY_ID,
        "aws_secret_access_key": SECRET,
        "presign": True,
    }
    desk.http.post("/api/storages/s3", json=made).raise_for_status()
    data = push_one(desk)
    [key] = [key for key in kept_in_bucket.objects() if key.endswith(".jpg")]
    signed = signed_address(desk, int(data["frame_id"]), f"{kept_in_bucket.url}/{key}")
    assert parse_qs(urlsplit(signed).query)["X-Amz-Credential"][0].startswith(f"{KEY_ID}/")


def test_without_keys_images_are_uploaded_to_label_studio(desk: Desk, kept_in_bucket: TestBucket) -> None:
    data = push_one(desk)
    [content] = [content for key, content in kept_in_bucket.objects().items() if key.endswith(".jpg")]
    assert data["image"].startswith("/data/upload/")
    assert desk.http.get(data["image"]).content == content


def test_an_image_missing_in_the_bucket_is_reported(desk: Desk, kept_in_bucket: TestBucket) -> None:
    run = plant_run(desk.home, [PlantedFrame([TALL], size_hw=SIZE)])
    [key] = [key for key in kept_in_bucket.objects() if key.endswith(".jpg")]
    kept_in_bucket.server.client().delete_object(Bucket=kept_in_bucket.name, Key=key)
    pushed = desk.push(run)
    assert pushed.sent == 0
    assert f"its image is gone: {kept_in_bucket.url}/{key}" in pushed.refused[0]


@pytest.mark.long
def test_a_bucket_that_label_studio_cannot_read_is_reported(
    desk: Desk, kept_in_bucket: TestBucket, keys: None
) -> None:
    plant_run(desk.home, [PlantedFrame([TALL], size_hw=SIZE)])
    client = kept_in_bucket.server.client()
    for key in kept_in_bucket.objects():
        client.delete_object(Bucket=kept_in_bucket.name, Key=key)
    with pytest.raises(LabelStudioRefused, match=rf"cannot open {kept_in_bucket.url}/kept .*{KEY_VARIABLE}"):
        desk.push()


@pytest.mark.slow
def test_the_image_is_on_the_annotators_screen(desk: Desk, kept_in_bucket: TestBucket, keys: None) -> None:
    data = push_one(desk)
    kept_in_bucket.gate.seen.clear()
    with annotate(desk.studio) as annotator:
        annotator.open(desk.number, desk.task(int(data["frame_id"]))["id"])
        box = annotator.find_image()
        screen = annotator.screenshot()
    [key] = [key for key in kept_in_bucket.objects() if key.endswith(".jpg")]
    assert f"GET /{kept_in_bucket.name}/{key}" in kept_in_bucket.gate.seen
    where_nobody_is = screen[int(box.y + box.height / 2), int(box.x + 0.75 * box.width)]
    assert np.abs(where_nobody_is.astype(int) - 200).max() < 6
