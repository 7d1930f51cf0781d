"""Datasets in a bucket: complete or absent, replaced as a whole, with images from folders and buckets."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ConfigError, ExportError, StoreUnreachable
from configs.export_formats import ExportFormat
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.mask_png import write_mask_pngs
from labeling.datasets.formats.registry import WRITERS
from labeling.datasets.formats.yolo import write_yolo_seg
from labeling.datasets.object_store import export_to, export_to_store
from labeling.datasets.records import DatasetFrame, ExportSummary
from labeling.datasets.staging import ImageTarget
from labeling.storage.object_store import ObjectStore
from labeling.storage.outputs import EXPORT_MARK
from tests.labeling.datasets.frames import files_under, frame, instance, ring_and_dot
from tests.store_server import TestBucket


@pytest.fixture
def store(bucket: TestBucket) -> ObjectStore:
    return ObjectStore(f"{bucket.url}/sets/first")


@pytest.fixture
def frames(tmp_path: Path) -> list[DatasetFrame]:
    folder = tmp_path / "home"
    folder.mkdir()
    return [frame(n, folder, instance(n, ring_and_dot())) for n in (1, 2, 3)]


def in_store(frames: list[DatasetFrame], store: ObjectStore) -> list[DatasetFrame]:
    """Return the frames with their images in the store."""
    for one in frames:
        store.put(one.file_name, one.image.read_bytes())
    return [one._replace(image=Path(one.file_name), store=store) for one in frames]


def send(
    store: ObjectStore, frames: list[DatasetFrame], write: Callable[..., ExportSummary] = write_coco
) -> ExportSummary:
    def write_frames(folder: Path, images: ImageTarget | None) -> ExportSummary:
        return write(frames, folder, images=images)

    return export_to_store(store, write_frames)


def contents(bucket: TestBucket) -> dict[str, bytes]:
    prefix = "sets/first/"
    return {key.removeprefix(prefix): one for key, one in bucket.objects().items() if key.startswith(prefix)}


IN_FULL: tuple[ExportFormat, ...] = ("coco", "yolo-seg", "masks", "mots", "youtube-vis")
PLACES = [
    (name, stored) for name in IN_FULL for stored in ("on disk", "in the same bucket", "in another store")
]
"""Of formats that place images as others do, or not at all, one is tried with one place."""


@pytest.mark.parametrize(
    ("format", "stored"), [*PLACES, ("voc", "in the same bucket"), ("parquet", "on disk")]
)
def test_a_dataset_in_a_bucket_has_the_files_of_one_in_a_folder(
    format: ExportFormat,
    stored: str,
    frames: list[DatasetFrame],
    bucket: TestBucket,
    tmp_path: Path,
) -> None:
    store, write = ObjectStore(f"{bucket.url}/sets/first"), WRITERS[format]
    there = {"in the same bucket": f"{bucket.url}/kept", "in another store": f"memory://{tmp_path.name}"}
    stored_frames = in_store(frames, ObjectStore(there[stored])) if stored in there else frames
    assert send(store, stored_frames, write) == write(frames, tmp_path / "folder")
    assert contents(bucket) == files_under(tmp_path / "folder")
    write(stored_frames, tmp_path / "fetched")
    assert files_under(tmp_path / "fetched") == files_under(tmp_path / "folder")


def test_lists_are_written_after_the_images(
    store: ObjectStore, frames: list[DatasetFrame], bucket: TestBucket
) -> None:
    send(store, frames)
    written = [path.rpartition("/first/")[2] for path in bucket.gate.puts()]
    listed = written.index("annotations/instances.json")
    assert all(written.index(f"images/{one.file_name}") < listed for one in frames)
    assert written.index("annotations/person_keypoints.json") < listed
    assert written[listed + 1 :] == [EXPORT_MARK]


def test_a_failed_export_leaves_the_earlier_one_readable(
    store: ObjectStore, frames: list[DatasetFrame], bucket: TestBucket
) -> None:
    send(store, frames[:2])
    before = contents(bucket)["annotations/instances.json"]
    frames[2].image.unlink()
    with pytest.raises(ExportError, match=r"0003\.jpg is missing"):
        send(store, frames)
    assert contents(bucket)["annotations/instances.json"] == before
    send(store, frames[:1])
    assert [key for key in contents(bucket) if key.startswith("images")] == ["images/0001.jpg"]


def test_another_format_replaces_an_export_as_a_whole(
    store: ObjectStore, frames: list[DatasetFrame], bucket: TestBucket, tmp_path: Path
) -> None:
    send(store, frames)
    send(store, frames[:2], write_yolo_seg)
    write_yolo_seg(frames[:2], tmp_path / "folder")
    assert contents(bucket) == files_under(tmp_path / "folder")


def test_a_mixture_of_two_exports_is_never_listed(
    store: ObjectStore, frames: list[DatasetFrame], bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.storage.object_store.RETRY_FOR_S", 0.1)
    send(store, frames, write_yolo_seg)
    upload = ObjectStore.upload

    def fail_at_second(self: ObjectStore, file: Path, name: str) -> None:
        if name == "labels/0002.txt":
            bucket.gate.fail_with = 503
        upload(self, file, name)

    monkeypatch.setattr(ObjectStore, "upload", fail_at_second)
    with pytest.raises(StoreUnreachable):
        send(store, frames, write_yolo_seg)
    monkeypatch.setattr(ObjectStore, "upload", upload)
    assert not contents(bucket).keys() & {"data.yaml", "frames.jsonl"}
    bucket.gate.fail_with = None
    send(store, frames, write_yolo_seg)
    assert contents(bucket).keys() >= {"data.yaml", "frames.jsonl"}


def test_files_of_others_are_left_alone(
    store: ObjectStore, frames: list[DatasetFrame], bucket: TestBucket
) -> None:
    store.put("thesis.tex", b"years of work")
    with pytest.raises(ExportError, match=r"sets/first holds 'thesis\.tex', which maskmill did not write"):
        send(store, frames)
    assert contents(bucket) == {"thesis.tex": b"years of work"}
    store.remove(["thesis.tex"])
    send(store, frames)
    store.put("notes.txt", b"beside it")
    send(store, frames, write_yolo_seg)
    assert contents(bucket)["notes.txt"] == b"beside it"
    store.put("masks/mine.png", b"mine")
    with pytest.raises(ExportError, match="holds 'masks'"):
        send(store, frames, write_mask_pngs)


def test_two_frames_of_one_name_are_refused(
    store: ObjectStore, frames: list[DatasetFrame], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    twin = frame(4, tmp_path / "other", file_name=frames[0].file_name)
    with pytest.raises(ExportError, match=r"two frames have the file name '0001\.jpg'"):
        send(store, [*frames, twin])


def test_images_are_uploaded_in_parallel(
    store: ObjectStore, frames: list[DatasetFrame], bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three uploads start before the first ends; one at a time, the barrier would time out."""
    together, put = threading.Barrier(3, timeout=30), ObjectStore.put

    def meet(self: ObjectStore, name: str, content: bytes, **options: threading.Event) -> None:
        if name.startswith("images/"):
            together.wait()
        put(self, name, content, **options)

    monkeypatch.setattr(ObjectStore, "put", meet)
    assert send(store, frames).frames == 3


def test_a_path_is_a_folder_and_an_unknown_url_is_refused(frames: list[DatasetFrame], tmp_path: Path) -> None:
    def write(folder: Path, images: ImageTarget | None) -> ExportSummary:
        return write_coco(frames, folder, images=images)

    export_to(f"file://{tmp_path}/by_url", write)
    export_to(str(tmp_path / "by_path"), write)
    assert files_under(tmp_path / "by_url") == files_under(tmp_path / "by_path")
    with pytest.raises(ConfigError, match="s4://"):
        export_to("s4://bucket/set", write)
