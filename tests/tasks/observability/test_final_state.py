"""Final states of runs."""

from copy import copy
from dataclasses import replace

import pytest

from db.runs.queries import Failure, RunSummary
from tasks.observability.final_state import NOTHING_TO_DO, WITH_FAILURES, NoSourceReadable, final_state

WORKED = RunSummary("ab", "lite", 1, 0, 2, 0, {"sampled": 9}, {}, (), shards_worked=2, videos_given=1)


def failure(name: str, shard_id: int | None = None) -> Failure:
    return Failure(f"in/{name}", "unreachable", "no answer\nat all", retryable=True, shard_id=shard_id)


def test_a_run_without_failures_is_completed() -> None:
    state = final_state(WORKED, sources=1)
    assert state.name == "Completed"
    assert str(state.message).startswith("Of 9 frames sampled from 1 video, ")


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (2, "nothing to do: all 2 shards of this run were done before"),
        (0, "nothing to do: these sources gave no video"),
    ],
)
def test_a_run_with_nothing_to_do_has_its_own_name(done: int, message: str) -> None:
    state = final_state(replace(WORKED, shards_worked=0, shards_done=done), sources=1)
    assert (state.name, state.message) == (NOTHING_TO_DO, message)


def test_failures_are_counted_and_the_first_are_named() -> None:
    failures = (
        *map(failure, ("a.mp4", "b.mp4")),
        failure("c.mp4 from 60 s", 7),
        failure("d.mp4 from 0 s", 8),
    )
    state = final_state(replace(WORKED, failures=failures, shards_worked=3), sources=5)
    assert state.name == WITH_FAILURES
    assert state.is_completed()
    assert state.message == (
        "2 of 5 sources and 2 shards failed: a.mp4: unreachable: no answer?at all; "
        "b.mp4: unreachable: no answer?at all; c.mp4 from 60 s: unreachable: no answer?at all; and 1 more"
    )


@pytest.mark.parametrize(
    "summary",
    [
        replace(
            WORKED, failures=(failure("a"),), shards_worked=0, videos_given=0
        ),  # what was done, was before
        replace(WORKED, failures=(failure("a"), failure("b", 7)), shards_worked=1, videos_given=0),
        replace(WORKED, failures=(failure("a", 7), failure("b", 8)), shards_done=0),
        replace(WORKED, failures=(failure("a", 7), failure("b", 8)), shards_done=100),
    ],
)
def test_a_run_is_failed_if_everything_failed_and_its_error_has_the_summary(summary: RunSummary) -> None:
    state = final_state(summary, sources=1)
    assert state.is_failed()
    assert "failed: a: unreachable" in str(state.message)
    with pytest.raises(NoSourceReadable) as caught:
        state.result()
    assert caught.value.summary is summary
    elsewhere = copy(caught.value)  # as a process pool does
    assert (str(elsewhere), elsewhere.summary) == (str(caught.value), summary)


@pytest.mark.parametrize(
    "summary",
    [
        replace(WORKED, failures=(failure("a"),), shards_worked=0),  # the other source was done earlier
        replace(WORKED, failures=(failure("a"),), videos_given=0),  # shards that an earlier time left
        replace(WORKED, failures=(failure("a", 7),)),  # the other shard was done
    ],
)
def test_a_run_is_completed_if_anything_was_read(summary: RunSummary) -> None:
    assert final_state(summary, sources=2).name == WITH_FAILURES


def test_a_caller_gets_the_summary() -> None:
    for summary in (WORKED, replace(WORKED, shards_worked=0), replace(WORKED, failures=(failure("a"),))):
        assert final_state(summary, sources=1).data is summary
