"""When flows start by themselves, and what is said about schedules that cannot be."""

import pytest

from configs.errors import ConfigError
from configs.load import load_config
from configs.schedules import FlowSchedule


def test_without_a_word_about_it_nothing_starts_by_itself() -> None:
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


def test_when_a_run_starts_makes_no_other_run_of_it() -> None:
    scheduled = load_config("offline", ["schedules.generate.interval_s=60"])
    assert scheduled.run_id() == load_config("offline").run_id()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("generate.cron=61 * * * *", r"schedules\.generate\.cron: wants minute, .*61"),
        ("generate.cron=every night", r"schedules\.generate\.cron: wants minute"),
        ("generate.interval_s=0", r"schedules\.generate\.interval_s: .*greater"),
        ("push={}", r"schedules\.push: wants either cron or interval_s"),
        ("push={interval_s: 5, cron: '* * * * *'}", r"schedules\.push: wants either cron or interval_s"),
        ("pull={interval_s: 5, timezone: Europe}", r"schedules\.pull\.timezone: no time zone.*'Europe'"),
        ("pull={interval_s: 5, timezone: ../etc/passwd}", r"schedules\.pull\.timezone: no time zone"),
        ("pull.intervall_s=5", r"did you mean 'interval_s'"),
        ("pulll.interval_s=5", r"did you mean 'pull'"),
    ],
)
def test_a_wrong_schedule_names_its_key(change: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config("offline", [f"schedules.{change}"])
