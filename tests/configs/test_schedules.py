"""Schedules of flows, and the errors for wrong ones."""

import pytest

from configs.errors import ConfigError
from configs.load import load_config
from configs.schedules import FlowSchedule


def test_without_a_schedule_no_flow_starts_by_itself() -> None:
    schedules = load_config("offline").schedules
    assert (schedules.generate, schedules.push, schedules.pull) == (None, None, None)


def test_each_flow_has_a_schedule_of_its_own() -> None:
    changes = [
        "schedules.generate.interval_s=3600",
        "schedules.pull={cron: '*/5 8-18 * * 1-5', timezone: Asia/Tokyo}",
    ]
    schedules = load_config("offline", changes).schedules
    assert schedules.generate == FlowSchedule(interval_s=3600)
    assert schedules.push is None
    assert schedules.pull == FlowSchedule(cron="*/5 8-18 * * 1-5", timezone="Asia/Tokyo")


def test_a_schedule_does_not_change_the_run() -> None:
    scheduled = load_config("offline", ["schedules.generate.interval_s=60"])
    assert scheduled.run_id() == load_config("offline").run_id()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("generate.cron=61 * * * *", r"schedules\.generate\.cron: write minute, .*61"),
        ("generate.cron=every night", r"schedules\.generate\.cron: write minute"),
        ("generate.interval_s=0", r"schedules\.generate\.interval_s: .*greater"),
        ("push={}", r"schedules\.push: set either cron or interval_s"),
        ("push={interval_s: 5, cron: '* * * * *'}", r"schedules\.push: set either cron or interval_s"),
        ("pull={interval_s: 5, timezone: Europe}", r"schedules\.pull\.timezone: not a time zone.*'Europe'"),
        ("pull={interval_s: 5, timezone: ../etc/passwd}", r"schedules\.pull\.timezone: not a time zone"),
        ("pull.intervall_s=5", r"did you mean 'interval_s'"),
        ("pulll.interval_s=5", r"did you mean 'pull'"),
    ],
)
def test_a_wrong_schedule_names_its_key(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("offline", [f"schedules.{change}"])
