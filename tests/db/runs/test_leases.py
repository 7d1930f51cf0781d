"""Who works on which shard."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from math import inf

import pytest
from sqlalchemy import func, select, update

from db.connection.database import Database, open_database
from db.models.core import LeaseRow, ShardRow
from db.runs.leases import (
    LEASE_S,
    claim_shard,
    database_uptime_s,
    expire_lease,
    holds_shard,
    leased_by_others,
    record_heartbeat,
    register_lease,
    release_lease,
    release_shard,
    stale_leases,
)
from db.runs.writes import ShardRange, plan_shards, record_video, upsert_run


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A run with a video of three shards and a later one of one; `ann` and `bob` are at work."""
    opened = open_database(database_url)
    with opened.transaction() as session:
        upsert_run(session, "run", name="offline", config={}, code_version="0")
    for video, shards in (("long", 3), ("late", 1)):
        with opened.transaction() as session:
            facts = dict.fromkeys(("duration_ms", "width", "height", "fps", "codec"), None)
            record_video(session, facts | {"id": video, "kind": "video", "path": f"{video}.mp4"})
            ranges = [ShardRange(start, start + 1000) for start in range(0, 1000 * shards, 1000)]
            plan_shards(session, "run", video, ranges)
    for name in ("ann", "bob"):
        with opened.transaction() as session:
            register_lease(session, name, flow="generate-dataset", host=f"{name}'s machine")
    yield opened
    opened.close()


def claim(database: Database, who: str) -> tuple[str, int] | None:
    with database.transaction() as session:
        shard = claim_shard(session, "run", who)
        return (shard.video_id, shard.start_ms) if shard else None


def claim_id(database: Database, who: str) -> int:
    with database.transaction() as session:
        shard = claim_shard(session, "run", who)
        assert shard
        return shard.id


def test_shards_are_claimed_as_they_came_and_each_by_one(database: Database) -> None:
    claimed = [claim(database, who) for who in ("ann", "bob", "ann", "bob", "ann")]
    assert claimed == [("long", 0), ("long", 1000), ("long", 2000), ("late", 0), None]


def test_what_is_done_or_failed_is_claimed_by_nobody(database: Database) -> None:
    with database.transaction() as session:
        session.execute(update(ShardRow).where(ShardRow.start_ms == 0).values(state="done"))
        session.execute(update(ShardRow).where(ShardRow.start_ms == 1000).values(state="failed"))
    assert [claim(database, "ann"), claim(database, "ann")] == [("long", 2000), None]


def test_a_shard_of_the_dead_is_free_again_and_comes_last(database: Database) -> None:
    first = claim_id(database, "ann")
    with database.transaction() as session:
        assert expire_lease(session, "ann") == 1
        assert not holds_shard(session, first, "ann")
    rest = [claim_id(database, "bob") for _ in range(4)]
    assert rest[-1] == first


def test_who_leaves_on_purpose_frees_what_it_has_without_blame(database: Database) -> None:
    first = claim_id(database, "ann")
    with database.transaction() as session:
        release_lease(session, "ann")
    assert claim_id(database, "bob") == first
    with database.session() as session:
        assert session.get_one(ShardRow, first).attempts_lost == 0
        assert session.scalars(select(LeaseRow.id)).all() == ["bob"]


def test_who_comes_back_under_the_same_id_has_nothing(database: Database) -> None:
    first = claim_id(database, "ann")
    with database.transaction() as session:
        register_lease(session, "ann", flow="generate-dataset", host="elsewhere")
        assert not holds_shard(session, first, "ann")


def test_a_released_shard_counts_its_dead(database: Database) -> None:
    shard = claim_id(database, "ann")
    again = update(ShardRow).where(ShardRow.id == shard).values(leased_by="ann")
    for worker_lost, attempts_lost in ((True, 1), (False, 1), (True, 2)):
        with database.transaction() as session:
            session.execute(again)
            assert release_shard(session, shard, "ann", worker_lost=worker_lost) == attempts_lost


def test_a_shard_that_another_execution_holds_is_not_released(database: Database) -> None:
    shard = claim_id(database, "bob")
    with database.transaction() as session:
        assert release_shard(session, shard, "ann", worker_lost=True) == 0
        assert holds_shard(session, shard, "bob")


def test_a_lease_that_was_renewed_or_taken_again_since_it_was_read_does_not_expire(
    database: Database,
) -> None:
    shard = claim_id(database, "ann")
    with database.session() as session:
        read = {one.id: one.heartbeat_at for one in stale_leases(session, age_s=0)}
    with database.transaction() as session:
        record_heartbeat(session, "ann", flow="generate-dataset", host="ann's machine")
    with database.transaction() as session:
        assert expire_lease(session, "ann", heartbeat_at=read["ann"]) is None
        assert holds_shard(session, shard, "ann")
        assert expire_lease(session, "bob", heartbeat_at=read["bob"]) == 0
        assert expire_lease(session, "bob", heartbeat_at=read["bob"]) is None


def test_a_process_is_kept_with_its_lease_and_with_one_that_is_made_again(database: Database) -> None:
    facts = {"flow": "generate-dataset", "host": "here", "process": "machine 1 2"}
    with database.transaction() as session:
        register_lease(session, "eve", **facts)
        expire_lease(session, "bob")
        record_heartbeat(session, "bob", **facts)
    with database.session() as session:
        kept = {one.id: one.process for one in stale_leases(session, age_s=0)}
    assert kept == {"ann": None, "bob": "machine 1 2", "eve": "machine 1 2"}


def test_others_are_those_who_hold_what_is_not_done(database: Database) -> None:
    claim(database, "ann")
    mine = claim_id(database, "bob")
    with database.transaction() as session:
        assert leased_by_others(session, "run", "bob") == 1
        assert leased_by_others(session, "run", "ann") == 1
        session.execute(update(ShardRow).where(ShardRow.id == mine).values(state="done"))
        assert leased_by_others(session, "run", "ann") == 0


def test_only_who_gave_no_sign_of_life_for_long_is_silent(database: Database) -> None:
    with database.transaction() as session:
        for execution in session.scalars(select(LeaseRow)):
            execution.heartbeat_at -= timedelta(seconds=2 * LEASE_S)
    with database.transaction() as session:
        record_heartbeat(session, "bob", flow="generate-dataset", host="bob's machine")
    with database.session() as session:
        (silent,) = stale_leases(session, age_s=LEASE_S)
        assert len(stale_leases(session, age_s=0)) == 2
    assert (silent.id, silent.host) == ("ann", "ann's machine")
    assert 2 * LEASE_S <= silent.age_s < 2 * LEASE_S + 10


def test_who_was_taken_for_dead_is_at_work_again_with_its_next_sign_of_life(database: Database) -> None:
    with database.transaction() as session:
        expire_lease(session, "ann")
    for _ in range(2):
        with database.transaction() as session:
            record_heartbeat(session, "ann", flow="generate-dataset", host="ann's machine")
    with database.session() as session:
        assert set(session.scalars(select(LeaseRow.id))) == {"ann", "bob"}
        assert {one.id for one in stale_leases(session, age_s=0)} == {"ann", "bob"}
        assert stale_leases(session, age_s=LEASE_S) == []


def test_a_database_that_was_away_has_heard_nobody(database: Database) -> None:
    """Of PostgreSQL it is known since when it has been there; a file always was."""
    with database.session() as session:
        first, second = database_uptime_s(session), database_uptime_s(session)
    if database.engine.dialect.name == "postgresql":
        assert 0 < first < second < 86400
    else:
        assert first == second == inf


def test_a_claim_waits_for_no_other_that_is_being_made(database: Database) -> None:
    if database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    with database.transaction() as slow:
        first = claim_shard(slow, "run", "ann")
        with database.transaction() as quick:
            quick.execute(select(func.set_config("lock_timeout", "2s", True)))
            second = claim_shard(quick, "run", "bob")
    assert first
    assert second
    assert first.id != second.id


def test_many_that_race_get_each_shard_once(database: Database) -> None:
    with database.transaction() as session:
        plan_shards(session, "run", "late", [ShardRange(start, None) for start in range(1, 61)])
    claimed: list[tuple[str, int]] = []

    def race(who: str) -> None:
        while shard := claim(database, who):
            claimed.append(shard)

    racers = [threading.Thread(target=race, args=(who,)) for who in ("ann", "bob") * 3]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(claimed) == len(set(claimed)) == 64
