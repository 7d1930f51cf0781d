"""Titles: short, on one line, without secrets."""

import subprocess
import sys

import pytest

from labeling.sources.titles import run_title, source_title
from labeling.text.titles import LONGEST, shard_title


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        ("/nights/monday/vtest.avi", "vtest.avi"),
        ("videos/", "videos"),
        (".", "."),
        ("/", "/"),
        ("nights/*.mp4", "*.mp4"),
        ("clips.zip!day/one.mp4", "one.mp4"),
        ("https://example.org/a/b.mp4?token=hush#t=3", "example.org/b.mp4"),
        ("https://example.org", "example.org"),
        ("rtsp://admin:hush@10.0.0.7:554/live?pwd=hush", "10.0.0.7/live"),
        ("rtsp://admin:hu/sh@10.0.0.7/live", "admin"),
        ("camera:http://me:$HUSH@10.0.0.7/video", "10.0.0.7/video"),
        ("http://[broken/x", "a URL"),
        ("two\nlines\u202e.mp4", "two?lines?.mp4"),
        ("{shard_id}%s.mp4", "{shard_id}%s.mp4"),
    ],
)
def test_a_source_has_a_short_title_without_secrets(spec: str, title: str) -> None:
    assert source_title(spec) == title
    assert "hush" not in source_title(spec)


def test_a_name_that_is_not_utf8_can_be_encoded() -> None:
    name = source_title(b"caf\xe9.mp4".decode(errors="surrogateescape"))
    assert name == "caf?.mp4"
    name.encode()


def test_long_names_keep_both_ends() -> None:
    title = shard_title("camera-entrance-" + "x" * 200 + "-monday.mp4", 0, 60_000)
    assert title.startswith("camera-entrance-")
    assert title.endswith("-monday.mp4 0-60 s")
    assert len(title) == LONGEST + len(" 0-60 s")


def test_a_run_is_named_by_preset_and_first_source() -> None:
    assert run_title(["a.mp4"], "lite") == "lite: a.mp4"
    assert run_title(["a.mp4", "b.mp4", "c"], "lite") == "lite: a.mp4 and 2 more"


@pytest.mark.parametrize(
    "module",
    ["labeling.sources.titles", "labeling.text.titles", "labeling.text.figures", "labeling.text.phrases"],
)
def test_importing_a_text_module_loads_no_heavy_library(module: str) -> None:
    heavy = "{'av', 'cv2', 'numpy', 'prefect', 'yt_dlp', 'fsspec', 'sqlalchemy'}"
    program = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
