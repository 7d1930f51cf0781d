"""What folders, patterns, lists and archives hold beside sources is counted; system folders are left alone."""

import gzip
from pathlib import Path
from zipfile import ZipFile

import av
import pytest
from PIL import Image

from configs.errors import NotAVideo, SourceNotFound, UnsupportedVideo
from configs.models import Ingest
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.file_types import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural_order, why_passed_over
from labeling.sources.folders import ENVIRONMENT, HOME, LINK_OUT, OUTPUT, find_matches
from labeling.sources.lists import NO_SPEC, read_list
from labeling.sources.passed_over import PassedOver, PassedOverCounter
from labeling.sources.source import FailedSource, SourceItem
from labeling.storage.outputs import EXPORT_MARK, OUTPUT_MARK
from labeling.structures.images import IMAGE_FORMATS
from labeling.video.containers import FORMATS
from tests.fakes.videos import encode_numbers
from tests.labeling.sources.test_expand import fill

SOUND_ONLY = {".m4a", ".m4b", ".mka", ".mks", ".isma"}


def search(folder: Path, *specs: str) -> tuple[list[str], list[PassedOver]]:
    counter = PassedOverCounter()
    found = list(expand_sources(specs or [str(folder)], folder=folder, passed_over=counter))
    return [item.spec.removeprefix(f"{folder.resolve()}/") for item in found], counter.found()


def test_every_suffix_of_the_formats_that_are_read_is_known() -> None:
    of_formats = {
        f".{suffix}"
        for name in FORMATS
        for suffix in av.format.ContainerFormat(name, "r").extensions
        if not {".avif", ".heic", ".heif", ".mpo"} & {f".{suffix}"}  # images
    }
    assert of_formats - SOUND_ONLY <= VIDEO_SUFFIXES
    Image.init()
    formats = Image.registered_extensions()
    assert {formats[suffix] for suffix in IMAGE_SUFFIXES} <= set(IMAGE_FORMATS)
    assert set(Image.OPEN) >= set(IMAGE_FORMATS)


def test_files_of_other_types_are_counted_by_type(tmp_path: Path) -> None:
    fill(
        tmp_path,
        "a.mp4",
        "p/1.HEIC",
        "p/2.heic",
        "p/3.heic",
        "p/4.heic",
        "notes.doc",
        "more.zip",
        "x",
        "l.csv",
    )
    found, passed_over = search(tmp_path)
    assert found == ["a.mp4"]
    assert {(one.reason.split(",")[0].split(":")[0], one.count) for one in passed_over} == {
        ("images of type .heic", 4),
        ("files of type .doc", 1),
        ("archives", 1),
        ("files without a suffix", 1),
        ("lists (.csv)", 1),
    }
    (heic,) = [one for one in passed_over if "heic" in one.reason]
    assert heic.examples == ("1.HEIC", "2.heic", "3.heic")


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@Recycle"]
)
def test_system_folders_are_skipped_unless_they_are_named(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "cam/a.mp4", f"cam/{name}/deep/b.mp4", f"cam/{name}/t.jpg")
    found, passed_over = search(tmp_path)
    assert found == ["cam/a.mp4"]
    assert [(one.count, one.examples) for one in passed_over] == [(1, (f"cam/{name}",))]
    assert search(tmp_path, "**/*.mp4")[0] == ["cam/a.mp4"]
    assert sorted(search(tmp_path, str(tmp_path / "cam" / name))[0]) == [
        f"cam/{name}",
        f"cam/{name}/deep/b.mp4",
    ]


def test_frames_of_earlier_runs_are_not_mined_again_unless_their_home_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp4", "work/maskmill.db", "work/images/f.jpg", "work/videos/b.mp4")
    found, passed_over = search(tmp_path)
    assert found == ["a.mp4"]
    assert [(one.reason, one.count, one.examples) for one in passed_over] == [(HOME, 1, ("work",))]
    assert search(tmp_path, "**/*.mp4")[0] == ["a.mp4"]
    assert search(tmp_path, "work/**/*.mp4")[0] == ["work/videos/b.mp4"]
    assert sorted(search(tmp_path, str(tmp_path / "work"))[0]) == ["work/images", "work/videos/b.mp4"]


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        (EXPORT_MARK, OUTPUT),
        (OUTPUT_MARK, OUTPUT),
        ("pyvenv.cfg", ENVIRONMENT),
        ("conda-meta/history", ENVIRONMENT),
    ],
)
def test_results_and_environments_are_left_out_unless_they_are_named(
    tmp_path: Path, mark: str, reason: str
) -> None:
    fill(tmp_path, "a.mp4", f"out/{mark}", "out/deep/f.jpg", "out/b.mp4")
    found, passed_over = search(tmp_path)
    assert found == ["a.mp4"]
    assert [(one.reason, one.count, one.examples) for one in passed_over] == [(reason, 1, ("out",))]
    assert search(tmp_path, "**/*.mp4")[0] == ["a.mp4"]
    with pytest.raises(SourceNotFound, match=r"lies in out, which is left out unless it is named"):
        find_matches(tmp_path / "**" / "*.jpg")
    assert sorted(search(tmp_path, str(tmp_path / "out"))[0]) == ["out/b.mp4", "out/deep"]


def test_the_rarest_of_many_types_are_told_together(tmp_path: Path) -> None:
    names = [f"{i}.type{kind}" for kind in range(9) for i in range(kind + 1)]
    fill(tmp_path, "a.mp4", "b.heic", *names)
    _, passed_over = search(tmp_path)
    told = {one.reason.split(",")[0]: one for one in passed_over}
    assert {reason: one.count for reason, one in told.items()} == {
        "images of type .heic": 1,
        "files of other types": 1 + 2 + 3 + 4,
        **{f"files of type .type{kind}": kind + 1 for kind in range(4, 9)},
    }
    assert told["files of other types"].examples == ("0.type0", "0.type1", "0.type2")
    fill(tmp_path / "few", "a.mp4", *(f"b.t{kind}" for kind in range(6)))
    assert len(search(tmp_path / "few")[1]) == 6  # one line more is no gain


def test_what_an_archive_holds_beside_media_is_counted(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/v.mp4", encode_numbers([1]))
        for name in ("in/readme.md", "in/p.heic", "__MACOSX/in/v.mp4", ".hidden"):
            archive.writestr(name, b"x")
    counter = PassedOverCounter()
    item = SourceItem(str(tmp_path / "a.zip"), "archive")
    (video,) = fetch(item, tmp_path, Ingest(), passed_over=counter)
    assert video
    assert [one.examples for one in counter.found()] == [("in/readme.md",), ("in/p.heic",)]


def rows_of(path: Path, text: str) -> tuple[list[str], list[PassedOver]]:
    path.write_text(text)
    counter = PassedOverCounter()
    return [row.spec for row in read_list(path, counter)], counter.found()


def test_a_row_names_its_source_in_the_first_column_that_it_fills(tmp_path: Path) -> None:
    table = (
        "url,path,title\nhttps://a.example/v,a.mp4,both\n,b.mp4,a file\n,,only a title\n# a comment,,\n,,\n"
    )
    specs, passed_over = rows_of(tmp_path / "l.csv", table)
    assert specs == ["https://a.example/v", "b.mp4"]
    assert passed_over == [PassedOver(str(tmp_path / "l.csv"), NO_SPEC, 1, ("line 4",))]


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "\n\n", "\nSEP=;\n", ""])
def test_lines_before_the_header_are_understood(tmp_path: Path, first: str) -> None:
    specs, _ = rows_of(tmp_path / "l.csv", f"{first}URL;Title\na.mp4;one, two\nb.mp4;three\n")
    assert specs == ["a.mp4", "b.mp4"]


def test_a_table_may_be_separated_by_tabs(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "l.tsv", "title\tpath\none, two\ta.mp4\n")[0] == ["a.mp4"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "l.csv"
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    path.write_bytes(f"{mark}path;title\nstraße.mp4;a\n".encode(encoding))
    assert [row.spec for row in read_list(path)] == ["straße.mp4"]


@pytest.mark.parametrize("content", ["path\n\xe9.mp4\n".encode("latin-1"), b"\xff\xfep\0a\0t"])
def test_text_in_another_encoding_is_no_list(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(content)
    with pytest.raises((NotAVideo, UnsupportedVideo)):
        list(read_list(path))


def test_digits_of_other_kinds_are_letters_in_the_order_of_names() -> None:
    names = ["v10", "v9", "3①2.mp4", "2002³", "٣", "v²"]
    assert sorted(names, key=natural_order)  # raised before
    assert natural_order("v9") < natural_order("v10")


def test_a_reason_says_what_to_do() -> None:
    for name in ("a.heic", "a.zip", "a.txt", "a.xyz", "a"):
        assert ":" in why_passed_over(name)


def test_links_out_of_a_folder_are_followed_and_counted(tmp_path: Path) -> None:
    fill(tmp_path / "outside", "b.mp4")
    fill(tmp_path / "clips", "a.mp4")
    (tmp_path / "clips" / "file.mp4").symlink_to(tmp_path / "outside" / "b.mp4")
    (tmp_path / "clips" / "inside.mp4").symlink_to(tmp_path / "clips" / "a.mp4")
    (tmp_path / "clips" / "folder").symlink_to(tmp_path / "outside")
    found, passed_over = search(tmp_path / "clips")
    assert {Path(spec).name for spec in found} == {"a.mp4", "b.mp4", "file.mp4", "inside.mp4"}
    assert [(one.reason, one.count) for one in passed_over] == [(LINK_OUT, 2)]


@pytest.mark.parametrize("suffix", [".m3u", ".m3u8"])
def test_a_playlist_of_files_is_a_list(tmp_path: Path, suffix: str) -> None:
    fill(tmp_path, "a.mp4", "b.mp4")
    playlist = tmp_path / f"mine{suffix}"
    playlist.write_text("#EXTM3U\n#EXTINF:8,first\na.mp4\n#EXTINF:9,second\nb.mp4\n")
    assert search(tmp_path, str(playlist))[0] == ["a.mp4", "b.mp4"]
    assert "name them to have their sources read" in search(tmp_path)[1][0].reason


def test_the_playlist_of_a_stream_is_no_list(tmp_path: Path) -> None:
    playlist = tmp_path / "stream.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n0.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnsupportedVideo, match="playlist of one stream"):
        list(read_list(playlist))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04xl/workbook.xml", "an Excel workbook or"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
        (gzip.compress(b"path\na.mp4\n", mtime=0), "compressed with gzip"),
    ],
)
def test_another_file_named_as_a_list_says_what_it_is(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_bytes(content)
    with pytest.raises(NotAVideo, match=kind):
        list(read_list(tmp_path / "videos.csv"))


def test_lists_of_other_kinds_are_refused_with_those_that_are_read(tmp_path: Path) -> None:
    for name in ("a.pls", "a.json", "a.xlsx"):
        fill(tmp_path, name)
        (failed,) = expand_sources([str(tmp_path / name)])
        assert "write the sources into a .txt file" in str(
            failed.error if isinstance(failed, FailedSource) else ""
        )


def test_lines_may_be_quoted_and_cells_separated_by_bars(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\"my video.mp4\"\n'b.mp4'\nit's.mp4\n")
    assert [row.spec for row in read_list(tmp_path / "a.txt")] == ["my video.mp4", "b.mp4", "it's.mp4"]
    (tmp_path / "a.csv").write_text("id|path\n1|a.mp4\n")
    assert [row.spec for row in read_list(tmp_path / "a.csv")] == ["a.mp4"]


def test_a_file_url_says_the_path_to_write(tmp_path: Path) -> None:
    (failed,) = expand_sources(["file:///videos/my%20video.mp4"])
    assert isinstance(failed, FailedSource)
    assert str(failed.error).endswith("write the path /videos/my video.mp4")


def test_a_table_without_a_header_shows_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("\n/videos/a.mp4\n/videos/b.mp4\n")
    with pytest.raises(UnsupportedVideo, match=r"line 2 should name the columns.*is '/videos/a\.mp4'"):
        list(read_list(tmp_path / "videos.csv"))
    (tmp_path / "videos.csv").write_text("")
    with pytest.raises(SourceNotFound, match="the list is empty"):
        list(read_list(tmp_path / "videos.csv"))
