"""The sources of videos, and their state in each run."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from configs.errors import NotAVideo, SourceNotFound
from db.connection.database import open_database
from db.frames.listing import source_of
from db.runs.queries import failed_specs, known_source, run_failures, run_sources
from db.runs.writes import clear_failure, record_failed_source, record_source, record_video, upsert_run
from labeling.sources.source import FailedSource, SourceItem

CLIP = SourceItem("/clip.mp4", "file", title="Clip", uploader="Ann", license="CC0")
PLAIN = SourceItem("/clip.mp4", "file")
GONE = FailedSource("/clip.mp4", SourceNotFound("it is gone"))


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    database = open_database(database_url)
    with database.transaction() as session:
        for run_id in ("one", "two"):
            upsert_run(session, run_id, name="test", config={}, code_version="test")
        for video_id in "abc":
            record_video(session, {"id": video_id, "kind": "video", "path": f"{video_id}.mp4"})
        yield session
    database.close()


def test_a_source_is_credited_with_every_video_it_ever_gave(session: Session) -> None:
    record_source(session, "one", CLIP, video_ids=["a"])
    record_source(session, "one", CLIP, video_ids=["a", "b"])
    record_source(session, "two", CLIP, video_ids=["c"])
    credits = [source_of(session, video_id) for video_id in "abc"]
    assert [source.license for source in credits if source] == ["CC0"] * 3


def test_a_video_of_several_sources_is_credited_to_the_first_by_spec(session: Session) -> None:
    for spec in ("/m.mp4", "/b.mp4", "/z.mp4"):
        record_source(session, "one", SourceItem(spec, "file"), video_ids=["a"])
    source = source_of(session, "a")
    assert source is not None
    assert source.spec == "/b.mp4"
    assert source_of(session, "b") is None


def test_the_state_of_a_source_belongs_to_a_run(session: Session) -> None:
    record_source(session, "one", CLIP, video_ids=["a"])
    record_failed_source(session, "two", GONE)
    assert failed_specs(session, "one") == []
    assert [failure.code for failure in run_failures(session, "two")] == ["not_found"]
    record_source(session, "two", CLIP, video_ids=["a"])
    record_failed_source(session, "one", GONE)
    assert failed_specs(session, "one") == ["/clip.mp4"]
    assert run_failures(session, "two") == ()
    assert [row.asked.state for row in run_sources(session, "one")] == ["failed"]


def test_a_failure_is_cleared_in_one_run_only(session: Session) -> None:
    for run_id in ("one", "two"):
        record_failed_source(session, run_id, FailedSource("/folder", NotAVideo("empty")))
    clear_failure(session, "one", {"/folder", "elsewhere"})
    assert (failed_specs(session, "one"), failed_specs(session, "two")) == ([], ["/folder"])


def test_metadata_from_a_list_is_kept_by_a_fetch_without_the_list(session: Session) -> None:
    from_list = FailedSource(CLIP.spec, SourceNotFound("it is gone"), "Clip", "Ann", "CC0")
    record_failed_source(session, "one", from_list)
    record_failed_source(session, "one", GONE)
    record_source(session, "one", PLAIN, video_ids=["a"])
    source = known_source(session, "/clip.mp4")
    assert source is not None
    assert (source.title, source.uploader, source.license) == ("Clip", "Ann", "CC0")
    assert (source.kind, source.attempts) == ("file", 3)


def test_metadata_from_a_later_list_replaces_earlier_metadata(session: Session) -> None:
    record_source(session, "one", CLIP, video_ids=["a"])
    record_source(session, "one", SourceItem(CLIP.spec, "file", license="CC BY 4.0"), video_ids=["a"])
    source = known_source(session, "/clip.mp4")
    assert source is not None
    assert (source.title, source.license) == ("Clip", "CC BY 4.0")
