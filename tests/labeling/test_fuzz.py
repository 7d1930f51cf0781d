"""Bytes and values of strangers at each boundary: an error of ours or a result, and nothing else.

`make fuzz` tries a thousand times as many.
"""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from configs.errors import MaskmillError
from configs.load import load_config
from labeling.datasets.readers.coco import read_coco_file, read_coco_records
from labeling.datasets.readers.masks import read_label_png, read_probability_png
from labeling.sources.archive_reader import Budget, open_members
from labeling.sources.hls import absolute_playlist
from labeling.sources.lists import read_list
from labeling.sources.url_policy import check_url, fill_secrets, redact_text, redact_url
from labeling.structures.masks import Mask
from labeling.tracking.homography import read_homography
from labeling.tracking.trajectories import read_trajectories
from labeling.video.images import read_image
from labeling.video.probe import probe_video
from tests.fakes.videos import encode_numbers

EXAMPLES = int(os.environ.get("MASKMILL_FUZZ_EXAMPLES", "25"))
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES <= 25,
    suppress_health_check=list(HealthCheck),
)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.integers(0, 40)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
COUNTS = st.lists(NUMBERS, max_size=12) | st.text(max_size=30) | st.binary(max_size=30) | VALUES
RLES = st.fixed_dictionaries({"size": st.just([4, 5]) | VALUES, "counts": COUNTS})


def survives(read: Callable[[], object]) -> None:
    with suppress(MaskmillError):
        read()


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """The same bytes with some replaced, and cut."""
    changes = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=12)

    def damage(parts: tuple[list[tuple[int, int]], int]) -> bytes:
        content = bytearray(whole)
        for place, value in parts[0]:
            content[place] = value
        return bytes(content[: parts[1]])

    return st.tuples(changes, st.just(len(whole)) | st.integers(0, len(whole))).map(damage)


def png(mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).convert(mode).save(file, "PNG")
    return file.getvalue()


def packed(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a/1.jpg", b"12345")
            archive.writestr("b.mp4", b"12345" * 20, zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(fileobj=file, mode="w:gz" if kind == "tar.gz" else "w") as archive:
            for name in ("a/1.jpg", "b.mp4"):
                info = tarfile.TarInfo(name)
                info.size = 5
                archive.addfile(info, io.BytesIO(b"12345"))
    return file.getvalue()


@bounded
@given(RLES)
@example({"size": [4, 5], "counts": [0, 0, *[2**32 - 1, 2**32 - 1, 0, 0] * 100]})
@example({"size": None, "counts": []})
@example({"size": [4, 5], "counts": "\ud800"})
@example({"size": [4, 5], "counts": [True, float("nan")]})
def test_masks(rle: dict[str, Any]) -> None:
    survives(lambda: Mask.from_coco(rle).to_array())


RECORDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "segmentation": RLES | st.lists(st.lists(NUMBERS, max_size=8), max_size=3) | VALUES,
            "category_id": st.just(1) | VALUES,
            "score": VALUES,
            "bbox": st.lists(NUMBERS, max_size=5) | VALUES,
            "area": VALUES,
            "iscrowd": VALUES,
            "keypoints": VALUES,
            "image_id": st.just(1) | VALUES,
            "id": VALUES,
        },
    )
    | VALUES,
    max_size=3,
)


@bounded
@given(RECORDS)
def test_answers_of_mask_services(records: list[Any]) -> None:
    survives(lambda: read_coco_records(records, (4, 5), origin="service"))


@bounded
@given(VALUES | st.fixed_dictionaries({"images": VALUES | st.just([{"id": 1, "file_name": "a.png", "height": 4, "width": 5}]), "annotations": RECORDS, "categories": VALUES | st.just([{"id": 1, "name": "person"}])}))  # fmt: skip
def test_coco_files(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "coco.json"
    path.write_text(json.dumps(tree))
    survives(lambda: list(read_coco_file(path)))


@bounded
@given(damaged(png()) | damaged(png("RGBA")) | damaged(png("P")) | st.binary(max_size=60))
def test_mask_images(content: bytes) -> None:
    survives(lambda: read_label_png(content, (4, 5), origin="service"))
    survives(lambda: read_probability_png(content, (4, 5), origin="service", mask_threshold=0.5))


def read_members(path: Path) -> None:
    with open_members(path, Budget(path, max_bytes=10**6, max_ratio=200.0)) as members:
        for _ in members:
            """Only that it ends."""


TABLE = b"path,title,license\na.mp4,Street,CC0\nhttp://h/x.mp4,,\n"
LIST = b"#EXTM3U\n#EXTINF:1,x\na.mp4\nrtsp://h/live\n"
YAML = b"student: {kind: selfie}\nsampling: {every_s: 0.5}\n"
TRACKS = b"0.0 1 1.5 2.5\n0.4 1 1.6 2.6\n"
MATRIX = b"1 0 0\n0 1 0\n0 0 1\n"
READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "table": ("l.csv", TABLE, lambda path: list(read_list(path))),
    "list": ("l.m3u8", LIST, lambda path: list(read_list(path))),
    "text": ("l.txt", LIST, lambda path: list(read_list(path))),
    "zip": ("a.zip", packed("zip"), read_members),
    "tar": ("a.tar", packed("tar"), read_members),
    "tar.gz": ("a.tar.gz", packed("tar.gz"), read_members),
    "config": ("c.yaml", YAML, lambda path: load_config(str(path))),
    "trajectories": ("t.txt", TRACKS, read_trajectories),
    "homography": ("h.txt", MATRIX, read_homography),
    "image": ("i.png", png("RGB"), read_image),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_files(tmp_path: Path, kind: str) -> None:
    name, whole, read = READERS[kind]
    path = tmp_path / name

    @bounded
    @given(damaged(whole) | st.binary(max_size=100))
    @example(b"\xff\xfe\x00")
    @example(b"")
    @example(b"{" * 1000)
    @example(b"a: 2026-99-99")
    def try_content(content: bytes) -> None:
        path.write_bytes(content)
        survives(lambda: read(path))
        assert list(tmp_path.iterdir()) == [path]

    try_content()


@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts", "avi"])
def test_videos(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"v.{form}"

    @settings(bounded, max_examples=max(EXAMPLES // 3, 3))
    @given(damaged(encode_numbers(range(3), form=form)))
    def try_content(content: bytes) -> None:
        path.write_bytes(content)
        survives(lambda: probe_video(path))

    try_content()


@bounded
@given(st.text(max_size=60) | st.text(max_size=30).map("http://{}".format))
@example("http://[")
@example("rtsp://a:b@[::1/x")
def test_addresses(text: str) -> None:
    survives(lambda: check_url(text))
    survives(lambda: fill_secrets(text, {}))
    redact_text(redact_url(text), url=text)


@bounded
@given(st.binary(max_size=80))
@example(b"#EXTM3U\n//[")
def test_redirected_playlists(text: bytes) -> None:
    survives(lambda: absolute_playlist(text, "http://h/x"))
