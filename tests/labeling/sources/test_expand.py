"""From what a user types to single origins."""

import os
from pathlib import Path

import pytest

from configs.errors import NotAVideo, SourceError, SourceNotFound, UnsupportedVideo
from configs.models import Ingest
from labeling.sources.expand import expand_sources, is_missing_path
from labeling.sources.fetching import fetch
from labeling.sources.source import FailedSource, SourceItem


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def origins(*specs: str, folder: Path) -> list[tuple[str, str]]:
    """Return (kind, spec in the folder) of the sources; none may fail."""
    found = list(expand_sources(specs, folder=folder))
    assert all(isinstance(item, SourceItem) for item in found), found
    root = f"{folder.resolve()}/"
    return [(item.kind, item.spec.removeprefix(root)) for item in found if isinstance(item, SourceItem)]


def only_failure(*specs: str, folder: Path) -> FailedSource:
    (found,) = expand_sources(specs, folder=folder)
    assert isinstance(found, FailedSource)
    return found


def test_a_folder_gives_each_video_and_each_folder_of_images(tmp_path: Path) -> None:
    fill(
        tmp_path, "b.MP4", "a b ü.mkv", "notes.txt", "list.csv", ".hidden.mp4", ".git/x.mp4", "more.zip",
        "frames/f10.png", "frames/f2.png", "frames/poster.html", "deep/er/c.webm",
    )  # fmt: skip
    assert origins(".", folder=tmp_path) == [
        ("file", "a b ü.mkv"),
        ("file", "b.MP4"),
        ("file", "deep/er/c.webm"),
        ("image_folder", "frames"),
    ]


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    fill(tmp_path, "f10.png", "f2.png", "f1.jpg", ".f0.png", "readme.md")
    (origin,) = expand_sources([str(tmp_path)])
    assert isinstance(origin, SourceItem)
    (fetched,) = fetch(origin, tmp_path / "home", Ingest())
    assert not isinstance(fetched, FailedSource)
    assert fetched.image_names == ("f1.jpg", "f2.png", "f10.png")
    assert fetched.images == tuple(tmp_path / name for name in fetched.image_names)


def test_a_link_to_a_parent_folder_does_not_loop(tmp_path: Path) -> None:
    fill(tmp_path, "in/a.mp4", "in/b/c.mp4")
    (tmp_path / "in/b/up").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in/self").symlink_to(".", target_is_directory=True)
    assert origins("in", folder=tmp_path) == [("file", "in/a.mp4"), ("file", "in/b/c.mp4")]
    assert origins("in/**/*.mp4", folder=tmp_path) == [("file", "in/a.mp4"), ("file", "in/b/c.mp4")]


def test_a_broken_link_is_a_failure_and_the_others_continue(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "gone.mp4")
    good, bad = expand_sources([str(tmp_path)])
    assert isinstance(good, SourceItem)
    assert isinstance(bad, FailedSource)
    assert isinstance(bad.error, SourceNotFound)


def test_a_folder_without_videos_names_the_archives_in_it(tmp_path: Path) -> None:
    fill(tmp_path, "a.zip", "b.tar.gz", "readme.md")
    failed = only_failure(".", folder=tmp_path)
    assert isinstance(failed.error, SourceNotFound)
    assert "2 archives" in str(failed.error)


def test_patterns_match_files_and_folders(tmp_path: Path) -> None:
    fill(
        tmp_path,
        "in/a1.mp4",
        "in/a2.mp4",
        "in/b.mp4",
        "in/sub/a3.mp4",
        "in/sub/x.txt",
        "in/.h/a4.mp4",
        "in/r.md",
    )
    assert origins("in/a*.mp4", folder=tmp_path) == [("file", "in/a1.mp4"), ("file", "in/a2.mp4")]
    assert origins("in/a[2-9].mp4", folder=tmp_path) == [("file", "in/a2.mp4")]
    everything = [("file", f"in/{name}") for name in ("a1.mp4", "a2.mp4", "b.mp4", "sub/a3.mp4")]
    assert origins("in/*", folder=tmp_path) == everything
    assert origins("in/**", folder=tmp_path) == everything
    assert origins("in/**/*.mp4", folder=tmp_path) == everything
    assert isinstance(only_failure("in/*.webm", folder=tmp_path).error, SourceNotFound)


def test_a_pattern_of_images_means_only_those(tmp_path: Path) -> None:
    fill(tmp_path, "in/a1.png", "in/a2.png", "in/b1.png")
    assert origins("in/a*.png", folder=tmp_path) == [("image_folder", "in/a*.png")]
    (origin,) = expand_sources(["in/a*.png"], folder=tmp_path)
    assert isinstance(origin, SourceItem)
    (fetched,) = fetch(origin, tmp_path / "home", Ingest())
    assert not isinstance(fetched, FailedSource)
    assert fetched.image_names == ("a1.png", "a2.png")


def test_brackets_in_an_existing_name_are_not_a_pattern(tmp_path: Path) -> None:
    fill(tmp_path, "in [1]/a*b.mp4", "in [1]/c.mp4")
    assert origins("in [1]/a*b.mp4", folder=tmp_path) == [("file", "in [1]/a*b.mp4")]
    assert origins("in [1]/c*.mp4", folder=tmp_path) == [("file", "in [1]/c.mp4")]


def test_a_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.mp4")
    monkeypatch.setenv("HOME", str(tmp_path))
    (origin,) = expand_sources(["~/a.mp4"])
    assert origin.spec == str(tmp_path / "a.mp4")
    assert isinstance(only_failure("~no-such-user/a.mp4", folder=tmp_path).error, SourceNotFound)


def test_the_same_source_named_twice_comes_once(tmp_path: Path) -> None:
    fill(tmp_path, "in/a.mp4")
    assert origins("in/a.mp4", "./in/../in/a.mp4", "in", "in/*", folder=tmp_path) == [("file", "in/a.mp4")]


def test_the_spec_of_a_source_can_be_typed_again(tmp_path: Path) -> None:
    fill(tmp_path, "in/a.mp4", "in/p/1.png", "z.zip")
    specs = ["in", "z.zip", "z.zip!a/b.mp4", "https://example.org/v", "rtsp://cam/1", "camera:http://cam/1"]
    first = list(expand_sources(specs, folder=tmp_path))
    again = list(expand_sources([item.spec for item in first]))
    assert first == again
    assert [item.kind for item in again if isinstance(item, SourceItem)] == [
        "file", "image_folder", "archive", "archive_member", "url", "camera", "camera",
    ]  # fmt: skip


def test_paths_in_a_text_list_are_relative_to_its_folder(tmp_path: Path) -> None:
    fill(tmp_path, "lists/a.mp4", "lists/b c.mp4", "d.mp4")
    lines = [
        "\ufeff# my list",
        "",
        "a.mp4",
        "  b c.mp4  ",
        "../d.mp4",
        "https://example.org/v#t=1",
        "gone.mp4",
    ]
    (tmp_path / "lists/all.txt").write_text("\r\n".join(lines), encoding="utf-8")
    *good, bad = expand_sources(["lists/all.txt"], folder=tmp_path)
    assert [Path(item.spec).name for item in good] == ["a.mp4", "b c.mp4", "d.mp4", "v#t=1"]
    assert isinstance(bad, FailedSource)
    assert "all.txt, line 7" in str(bad.error)
    assert isinstance(bad.error, SourceNotFound)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_metadata_in_a_table_is_kept_with_each_source(tmp_path: Path, delimiter: str) -> None:
    fill(tmp_path, "a.mp4", "sub/b.mp4", "sub/c.mp4")
    rows = [
        ["Title", "Path", "License", "uploader", "other"],
        ["First", "a.mp4", "CC-BY-4.0", "me", "-"],
        ['"A ""quoted"" one"', "sub", "", "", ""],
        ["", "#skipped", "", "", ""],
    ]
    text = "\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    found = [item for item in expand_sources(["t.csv"], folder=tmp_path) if isinstance(item, SourceItem)]
    assert [(Path(item.spec).name, item.title, item.license, item.uploader) for item in found] == [
        ("a.mp4", "First", "CC-BY-4.0", "me"),
        ("b.mp4", 'A "quoted" one', None, None),
        ("c.mp4", 'A "quoted" one', None, None),
    ]


def test_a_failed_row_keeps_its_metadata_and_a_spec_that_can_be_used_elsewhere(tmp_path: Path) -> None:
    fill(tmp_path, "lists/a.mp4")
    rows = [
        "path,title,license",
        "gone.mp4,Gone,CC0",
        "~no-such-user/b.mp4,,",
        "ftp://host/c.mp4,Odd,",
        "/no/d.mp4,,",
    ]
    (tmp_path / "lists/t.csv").write_text("\n".join(rows))
    found = [
        item for item in expand_sources(["lists/t.csv"], folder=tmp_path) if isinstance(item, FailedSource)
    ]
    assert [(item.spec, item.title, item.license) for item in found] == [
        (str(tmp_path / "lists/gone.mp4"), "Gone", "CC0"),
        ("~no-such-user/b.mp4", None, None),
        ("ftp://host/c.mp4", "Odd", None),
        ("/no/d.mp4", None, None),
    ]


def test_unreadable_lists_are_reported_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,size\na.mp4,3\n")
    (tmp_path / "e.txt").write_text("# nothing\n")
    (tmp_path / "b.txt").write_bytes(b"\xe9\x00a.mp4")
    (tmp_path / "loop.txt").write_text("loop.txt\n")
    errors = [only_failure(name, folder=tmp_path).error for name in ("t.csv", "e.txt", "b.txt", "loop.txt")]
    assert [type(error) for error in errors] == [
        UnsupportedVideo,
        SourceNotFound,
        NotAVideo,
        UnsupportedVideo,
    ]
    assert "name,size" in str(errors[0])
    assert "names itself" in str(errors[3])


def test_lists_within_lists_end(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp4")
    for depth in range(6):
        (tmp_path / f"{depth}.txt").write_text(f"{depth + 1}.txt\n")
    (tmp_path / "2.txt").write_text("a.mp4\n3.txt\n")
    good, bad = expand_sources(["0.txt"], folder=tmp_path)
    assert good.spec.endswith("a.mp4")
    assert isinstance(bad, FailedSource)
    assert "deep" in str(bad.error)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("file:///etc/passwd", UnsupportedVideo),
        ("ftp://host/a.mp4", UnsupportedVideo),
        ("javascript:alert(1)", UnsupportedVideo),
        ("http://169.254.169.254/latest/meta-data", UnsupportedVideo),
        ("camera:file:///etc/passwd", UnsupportedVideo),
        ("camera:concat:a|b", UnsupportedVideo),
        ("https://host/a\x1bb", UnsupportedVideo),
        ("a\x00b.mp4", SourceNotFound),
        ("", SourceNotFound),
        ("x" * 5000, SourceNotFound),
        ("gone.mp4", SourceNotFound),
        ("gone.zip!a.mp4", SourceNotFound),
    ],
)
def test_bad_specs_become_failures_of_their_own(tmp_path: Path, spec: str, error: type[SourceError]) -> None:
    fill(tmp_path, "a.mp4")
    bad, good = expand_sources([spec, "a.mp4"], folder=tmp_path)
    assert isinstance(bad, FailedSource)
    assert type(bad.error) is error
    assert isinstance(good, SourceItem)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert isinstance(only_failure("pipe.mp4", folder=tmp_path).error, UnsupportedVideo)


def test_a_single_image_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    assert isinstance(only_failure("a.png", folder=tmp_path).error, NotAVideo)


@pytest.mark.parametrize(
    ("spec", "is_missing"),
    [
        ("there.mp4", False),
        (".", False),
        ("dangling.mp4", False),  # a broken link is reported when it is opened
        ("there.zip!inside.mp4", False),
        ("nowhere.mp4", True),
        (" nowhere.mp4 ", True),
        ("nowhere/deep/video.mp4", True),
        ("~no-such-user/video.mp4", True),
        ("nowhere.zip!inside.mp4", True),
        ("", True),
        ("nul\0.mp4", True),
        ("*.mkv", False),
        ("https://example.org/nowhere.mp4", False),
        ("rtsp://camera/live", False),
        ("camera:http://camera/live", False),
        ("/dev/video97", False),
    ],
)
def test_a_missing_path_is_recognized_without_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, is_missing: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, "there.mp4", "there.zip")
    (tmp_path / "dangling.mp4").symlink_to("gone.mp4")
    assert is_missing_path(spec) == is_missing
    if is_missing:
        assert isinstance(only_failure(spec, folder=tmp_path).error, SourceNotFound)


def test_passwords_are_used_but_never_shown(tmp_path: Path) -> None:
    (tmp_path / "cams.txt").write_text("rtsp://me:$PW@cam/1\nftp://me:hunter2@cam/2\n")
    good, bad = expand_sources(["cams.txt"], folder=tmp_path, environment={"PW": "hunter2"})
    assert isinstance(good, SourceItem)
    assert isinstance(bad, FailedSource)
    assert good.connect_url == "rtsp://me:hunter2@cam/1"
    assert (good.spec, good.url) == ("rtsp://me:$PW@cam/1", "rtsp://***@cam/1")
    for shown in (repr(good), str(good), repr(bad), str(bad.error), repr(bad.error.__cause__)):
        assert "hunter2" not in shown


def test_two_passwords_for_one_address_are_two_attempts(tmp_path: Path) -> None:
    specs, environment = ["rtsp://a:$OLD@cam/1", "rtsp://a:$NEW@cam/1"], {"OLD": "same", "NEW": "same"}
    found = list(expand_sources(specs, folder=tmp_path, environment=environment))
    assert [item.spec for item in found] == specs
