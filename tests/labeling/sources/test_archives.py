"""Archives, harmless and hostile."""

import gzip
import hashlib
import io
import os
import random
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import (
    NotAVideo,
    SourceError,
    SourceNotFound,
    TruncatedVideo,
    UnsafeArchive,
    UnsupportedVideo,
)
from configs.models import Ingest
from labeling.sources.content_store import sha256_of
from labeling.sources.fetching import fetch
from labeling.sources.source import FailedSource, FetchedSource, SourceItem

NOISE = os.urandom(300_000)
INGEST = Ingest()


def make_zip(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def unpack(
    archive: Path, home: Path, ingest: Ingest = INGEST
) -> tuple[dict[str, bytes], dict[str, SourceError]]:
    """Contents of good members and errors of bad ones, by name."""
    good: dict[str, bytes] = {}
    bad: dict[str, SourceError] = {}
    for item in fetch(SourceItem(str(archive), "archive"), home, ingest):
        if isinstance(item, FailedSource):
            bad[item.spec.removeprefix(str(archive)).removeprefix("!")] = item.error
        elif item.path:
            good[item.origin.spec.removeprefix(f"{archive}!")] = item.path.read_bytes()
        else:
            good |= {
                name: path.read_bytes() for name, path in zip(item.image_names, item.images, strict=True)
            }
    return good, bad


def all_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "a.zip": make_zip,
    "a.tar": make_tar,
    "a.tar.gz": lambda path, members: make_tar(path, members, "w:gz"),
    "a.tgz": lambda path, members: make_tar(path, members, "w:gz"),
    "a.tar.bz2": lambda path, members: make_tar(path, members, "w:bz2"),
    "a.tar.xz": lambda path, members: make_tar(path, members, "w:xz"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_videos_and_images_come_out_named_by_their_content(tmp_path: Path, name: str) -> None:
    members = {
        "one.mp4": NOISE, "sub/zwei ü 視.MKV": NOISE[:5000], "p/f10.png": b"ten", "p/f2.png": b"two",
        "readme.md": b"-", "__MACOSX/._one.mp4": b"-", ".hidden.mp4": b"-",
    }  # fmt: skip
    archive = MAKERS[name](tmp_path / name, members)
    found = list(fetch(SourceItem(str(archive), "archive", license="CC0"), tmp_path / "home", INGEST))
    videos = [item for item in found if isinstance(item, FetchedSource) and item.path]
    (images,) = (item for item in found if isinstance(item, FetchedSource) and item.images)
    assert len(found) == 3
    assert [item.origin.spec for item in videos] == [f"{archive}!one.mp4", f"{archive}!sub/zwei ü 視.MKV"]
    assert [item.path.name for item in videos if item.path] == [
        f"{hashlib.sha256(NOISE).hexdigest()}.mp4",
        f"{hashlib.sha256(NOISE[:5000]).hexdigest()}.mkv",
    ]
    assert images.origin.spec == f"{archive}!p/"
    assert images.image_names == ("f2.png", "f10.png")
    assert [path.read_bytes() for path in images.images] == [b"two", b"ten"]
    assert {(item.origin.kind, item.origin.license) for item in (*videos, images)} == {
        ("archive_member", "CC0")
    }
    assert len(all_files(tmp_path / "home")) == 4


def test_the_same_bytes_twice_are_one_file(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"one.mp4": NOISE, "two.mov": NOISE})
    for _ in range(2):
        good, bad = unpack(archive, tmp_path / "home")
        assert good == {"one.mp4": NOISE, "two.mov": NOISE}
        assert not bad
    (kept,) = (path for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert sha256_of(kept) == kept.stem


def test_one_member_can_be_named(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", {"x/one.mp4": b"1", "x/two.mp4": b"2", "p/1.png": b"3"})
    (item,) = fetch(SourceItem(f"{archive}!x/two.mp4", "archive_member"), tmp_path / "home", INGEST)
    assert isinstance(item, FetchedSource)
    assert item.path is not None
    assert item.path.read_bytes() == b"2"
    assert item.origin.spec == f"{archive}!x/two.mp4"
    (images,) = fetch(SourceItem(f"{archive}!p/", "archive_member"), tmp_path / "home", INGEST)
    assert isinstance(images, FetchedSource)
    assert images.image_names == ("1.png",)
    (failed,) = fetch(SourceItem(f"{archive}!gone.mp4", "archive_member"), tmp_path / "home", INGEST)
    assert isinstance(failed, FailedSource)
    assert isinstance(failed.error, SourceNotFound)


BAD_NAMES = ["../evil.mp4", "a/../../evil.mp4", "/etc/evil.mp4", "C:\\evil.mp4", "c:evil.mp4", "..\\evil.mp4",
             "\\\\host\\evil.mp4", "a\nb.mp4", "a\x1b[2J.mp4"]  # fmt: skip


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("evil", BAD_NAMES)
def test_a_member_name_that_escapes_is_refused_and_the_others_are_extracted(
    tmp_path: Path, name: str, evil: str
) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    archive = MAKERS[name](inner / name, {"good.mp4": b"1", evil: b"evil", "also.mp4": b"2"})
    good, bad = unpack(archive, inner / "home")
    assert good == {"good.mp4": b"1", "also.mp4": b"2"}
    assert [type(error) for error in bad.values()] == [UnsafeArchive]
    assert not any(path.read_bytes() == b"evil" for path in tmp_path.rglob("*") if path.is_file())


def test_a_member_that_fails_keeps_the_license_of_its_archive(tmp_path: Path) -> None:
    refused = make_zip(tmp_path / "refused.zip", {"../evil.mp4": b"evil", "good.mp4": b"1"})
    damaged = make_tar(tmp_path / "damaged.tar.gz", {"a.mp4": b"1", "b.mp4": NOISE}, "w:gz")
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    for archive in (refused, damaged, tmp_path / "missing.zip"):
        found = fetch(SourceItem(str(archive), "archive", license="CC0"), tmp_path / "home", INGEST)
        failed = [item for item in found if isinstance(item, FailedSource)]
        assert [item.license for item in failed] == ["CC0"]


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for kind, name in [
            (tarfile.SYMTYPE, "sym.mp4"), (tarfile.LNKTYPE, "hard.mp4"), (tarfile.CHRTYPE, "dev.mp4"),
            (tarfile.FIFOTYPE, "pipe.mp4"),
        ]:  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
        entry = tarfile.TarInfo("good.mp4")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"yes"))
    good, bad = unpack(archive, tmp_path / "home")
    assert good == {"good.mp4": b"yes"}
    assert set(bad) == {"sym.mp4", "hard.mp4", "dev.mp4", "pipe.mp4"}
    assert {type(error) for error in bad.values()} == {UnsafeArchive}


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        entry = zipfile.ZipInfo("link.mp4")
        entry.external_attr = 0o120777 << 16
        opened.writestr(entry, "/etc/passwd")
    _, bad = unpack(archive, tmp_path / "home")
    assert isinstance(bad["link.mp4"], UnsafeArchive)


def test_a_second_member_of_the_same_name_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the duplicate is intended
        opened.writestr("one.mp4", b"first")
        opened.writestr("one.mp4", b"second")
    good, bad = unpack(archive, tmp_path / "home")
    assert good == {"one.mp4": b"first"}
    assert isinstance(bad["one.mp4"], UnsafeArchive)


def test_archives_within_archives_are_not_opened(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"x.mp4": b"1"}).read_bytes()
    good, bad = unpack(make_zip(tmp_path / "a.zip", {"inner.zip": inner, "y.mp4": b"2"}), tmp_path / "home")
    assert good == {"y.mp4": b"2"}
    assert "within an archive" in str(bad["inner.zip"])


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"one.mp4": NOISE[:100]})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag in the member's own header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    archive.write_bytes(content)
    _, bad = unpack(archive, tmp_path / "home")
    assert "encrypted" in str(bad["one.mp4"])


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_a_bomb_refuses_the_archive_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, {"good.mp4": b"1", "bomb.mp4": bytes(60_000_000)})
    if name != "a.tar":
        assert archive.stat().st_size < 100_000
        good, bad = unpack(archive, tmp_path / "home")
        assert not good
        assert isinstance(bad[""], UnsafeArchive)
        assert "max_archive_ratio" in str(bad[""])
        assert all_files(tmp_path / "home") == []
    good, bad = unpack(archive, tmp_path / "home", Ingest(max_archive_bytes=1_000_000))
    assert not good
    assert "unpacks to more than 1000000 bytes" in str(bad[""])
    assert all_files(tmp_path / "home") == []


def test_a_bomb_in_a_skipped_member_of_a_compressed_tar_is_detected(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tgz", {"filler.bin": bytes(60_000_000), "good.mp4": b"1"}, "w:gz")
    _, bad = unpack(archive, tmp_path / "home")
    assert isinstance(bad[""], UnsafeArchive)


def test_sizes_in_headers_are_not_trusted(tmp_path: Path) -> None:
    """A zip that states a small size for its bomb, in the header and in the directory."""
    archive = make_zip(tmp_path / "a.zip", {"bomb.mp4": bytes(60_000_000)})
    content = archive.read_bytes().replace(struct.pack("<L", 60_000_000), struct.pack("<L", 1000))
    archive.write_bytes(content)
    good, bad = unpack(archive, tmp_path / "home")
    assert not good
    assert isinstance(bad[""], UnsafeArchive | TruncatedVideo)


def test_a_small_file_of_zeros_is_not_a_bomb(tmp_path: Path) -> None:
    good, bad = unpack(make_zip(tmp_path / "a.zip", {"black.mp4": bytes(5_000_000)}), tmp_path / "home")
    assert len(good["black.mp4"]) == 5_000_000
    assert not bad


def test_a_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 3_000_000_000
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + bytes(20_000_000)))
    bad: dict[str, SourceError] = {}
    assert peak_bytes(lambda: bad.update(unpack(archive, tmp_path / "home")[1])) < 20e6
    assert isinstance(bad[""], UnsafeArchive)


def peak_bytes(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_memory_does_not_grow_with_the_unpacked_size(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, {"big.mp4": bytes(60_000_000)})
    found: list[FetchedSource | FailedSource] = []
    trusting = Ingest(max_archive_ratio=1e9)
    assert (
        peak_bytes(lambda: found.extend(fetch(SourceItem(str(archive), "archive"), tmp_path, trusting)))
        < 20e6
    )
    (fetched,) = found
    assert isinstance(fetched, FetchedSource)
    assert fetched.path is not None
    assert fetched.path.stat().st_size == 60_000_000


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_members_that_unpack_into_memory_are_refused(tmp_path: Path, method: int) -> None:
    archive = make_zip(tmp_path / "a.zip", {"big.mp4": bytes(50_000_000), "notes.md": b"-"}, method=method)
    found: list[FetchedSource | FailedSource] = []
    assert (
        peak_bytes(lambda: found.extend(fetch(SourceItem(str(archive), "archive"), tmp_path, INGEST))) < 20e6
    )
    (failed,) = found
    assert isinstance(failed, FailedSource)
    assert isinstance(failed.error, UnsafeArchive)
    assert failed.spec == f"{archive}!big.mp4"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_tar_keeps_its_complete_members(tmp_path: Path, name: str, share: float) -> None:
    members = {f"{i}.mp4": NOISE[i * 50_000 : (i + 1) * 50_000] for i in range(5)}
    archive = MAKERS[name](tmp_path / name, members)
    content = archive.read_bytes()
    packed = len(content) if name != "a.tar" else 5 * 50_688
    archive.write_bytes(content[: int(packed * share)])
    good, bad = unpack(archive, tmp_path / "home")
    assert good.items() <= members.items()
    if name in ("a.tar", "a.tar.gz"):  # the others unpack in blocks larger than these members
        assert len(good) >= int(5 * share) - 1
    assert isinstance(bad[""], TruncatedVideo)
    assert len(all_files(tmp_path / "home")) == len(good)


def test_a_tar_cut_between_two_members_is_reported(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", {"1.mp4": bytes(1024), "2.mp4": bytes(1024)})
    archive.write_bytes(archive.read_bytes()[: 512 + 1024])
    good, bad = unpack(archive, tmp_path / "home")
    assert set(good) == {"1.mp4"}
    assert isinstance(bad[""], TruncatedVideo)


def test_a_tar_with_a_broken_header_in_the_middle_is_reported(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", {"1.mp4": bytes(1024), "2.mp4": bytes(1024), "3.mp4": b"3"})
    content = bytearray(archive.read_bytes())
    content[1536:1600] = b"\xff" * 64
    archive.write_bytes(content)
    good, bad = unpack(archive, tmp_path / "home")
    assert set(good) == {"1.mp4"}
    assert isinstance(bad[""], TruncatedVideo)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.zip", b"<html>not found</html>", NotAVideo),
        ("a.zip", b"", NotAVideo),
        ("a.zip", b"PK\x03\x04" + bytes(100), TruncatedVideo),
        ("a.tar", b"<html>not found</html>" * 50, NotAVideo),
        ("a.tar.gz", b"<html>not found</html>" * 50, NotAVideo),
        ("a.tar.xz", b"<html>not found</html>" * 50, NotAVideo),
        ("a.tar.bz2", b"<html>not found</html>" * 50, NotAVideo),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd" + bytes(50), UnsupportedVideo),
    ],
)
def test_a_file_that_is_not_an_archive_is_reported(
    tmp_path: Path, name: str, content: bytes, error: type[SourceError]
) -> None:
    archive = tmp_path / name
    archive.write_bytes(content)
    good, bad = unpack(archive, tmp_path / "home")
    assert not good
    assert type(bad[""]) is error


def test_a_damaged_zip_member_is_detected_by_its_checksum(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"1.mp4": NOISE, "2.mp4": NOISE[:1000]}, method=zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    content[150_000] ^= 0xFF
    archive.write_bytes(content)
    good, bad = unpack(archive, tmp_path / "home")
    assert not good
    assert isinstance(bad[""], TruncatedVideo)


def test_an_archive_without_a_video_is_reported(tmp_path: Path) -> None:
    _, bad = unpack(make_zip(tmp_path / "a.zip", {"readme.md": b"-"}), tmp_path / "home")
    assert isinstance(bad[""], SourceNotFound)


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_escapes_as_another_error(tmp_path: Path, seed: int) -> None:
    """Bytes flipped anywhere: every archive gives failures or members, never a crash."""
    dice = random.Random(seed)  # noqa: S311  # not for secrets
    name = dice.choice(list(MAKERS))
    archive = MAKERS[name](
        tmp_path / name, {"1.mp4": NOISE[:2000], "p/2.png": NOISE[:100], "3.mp4": b"x" * 3000}
    )
    content = bytearray(archive.read_bytes())
    for _ in range(dice.randrange(1, 12)):
        content[dice.randrange(len(content))] = dice.randrange(256)
    archive.write_bytes(content)
    found = list(fetch(SourceItem(str(archive), "archive"), tmp_path / "home", INGEST))
    assert found


def test_a_chain_of_headers_is_refused(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 10
    header = long_name.tobuf(tarfile.USTAR_FORMAT) + b"x" * 10 + b"\0" * 502
    (tmp_path / "chain.tar").write_bytes(header * 3000 + b"\0" * 1024)
    (failed,) = fetch(SourceItem(str(tmp_path / "chain.tar"), "archive"), tmp_path / "home", INGEST)
    assert isinstance(failed, FailedSource)
    assert failed.error.code == "unsafe_archive"
