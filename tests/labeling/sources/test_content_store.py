"""Files named by their content."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from configs.errors import HomeNotWritable, SourceNotFound
from configs.models import Ingest
from labeling.sources.content_store import LEFT_AFTER_S, move_into_store, remove_leftovers, sha256_of, staging
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.source import FailedSource, FetchedSource


def test_a_file_of_several_chunks_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_bytes_that_are_kept_already_keep_their_name(tmp_path: Path) -> None:
    names = []
    for suffix in (".mp4", ".mov", ""):
        (tmp_path / "new").write_bytes(b"the same")
        names.append(move_into_store(tmp_path / "new", tmp_path, suffix=suffix).name)
    assert set(names) == {f"{hashlib.sha256(b'the same').hexdigest()}.mp4"}
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [names[0]]


def test_files_are_spread_over_folders_so_that_none_is_long_to_list(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / "new").write_bytes(b"%d" % number)
        move_into_store(tmp_path / "new", tmp_path, suffix=".mp4")
    folders = list(tmp_path.iterdir())
    assert len(folders) > 100
    assert max(len(list(folder.iterdir())) for folder in folders) < 10


def test_unfinished_files_are_deleted(tmp_path: Path) -> None:
    with suppress(KeyError), staging(tmp_path / "home") as here:
        (here / "half").write_bytes(b"x")
        raise KeyError
    assert list((tmp_path / "home").iterdir()) == []


def abandon(folder: Path, *, hours_ago: float) -> None:
    """Create what a run leaves that is killed during a download."""
    deep = folder / "deep"
    deep.mkdir(parents=True)
    (deep / "half.mp4.part").write_bytes(b"x")
    then = time.time() - hours_ago * 3600
    for path in (deep / "half.mp4.part", deep, folder):
        os.utime(path, (then, then))


def test_leftovers_of_a_killed_run_are_removed_and_recent_files_stay(tmp_path: Path) -> None:
    abandon(tmp_path / ".partial-old", hours_ago=25)
    abandon(tmp_path / ".partial-new", hours_ago=1)
    abandon(tmp_path / ".partial-long", hours_ago=25)
    (tmp_path / ".partial-long/deep/half.mp4.part").write_bytes(b"and more")
    abandon(tmp_path / "kept.mp4", hours_ago=25)
    assert LEFT_AFTER_S == 24 * 3600
    assert remove_leftovers(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial-long", ".partial-new", "kept.mp4"]
    assert remove_leftovers(tmp_path / "nowhere") == 0


def test_an_unusable_home_is_not_an_error_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(HomeNotWritable), staging(tmp_path / "file" / "home"):
        pass


def test_a_local_file_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (origin,) = expand_sources(["a.mp4"], folder=tmp_path)
    assert not isinstance(origin, FailedSource)
    assert list(fetch(origin, tmp_path / "home", Ingest())) == [FetchedSource(origin, tmp_path / "a.mp4")]
    assert not (tmp_path / "home").exists()
    (tmp_path / "a.mp4").unlink()
    (failed,) = fetch(origin, tmp_path / "home", Ingest())
    assert isinstance(failed, FailedSource)
    assert isinstance(failed.error, SourceNotFound)
