"""Schedules of flows, which `maskmill serve` and `maskmill deploy` register."""

from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block


class FlowSchedule(Block):
    """Either a cron line or an interval."""

    cron: str | None = None
    """Minute, hour, day of month, month, day of week: `0 2 * * mon-fri`."""
    interval_s: float | None = Field(None, ge=1)
    """Seconds from one start to the next, counted from 2020-01-01 00:00, so that a restart does not shift them."""
    timezone: str = "UTC"
    """IANA name: `Europe/Berlin`."""

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, cron: str | None) -> str | None:
        if cron is None:
            return None
        from prefect.client.schemas.schedules import CronSchedule  # the class that reads it later

        try:
            CronSchedule(cron=cron)
        except ValueError as exc:
            raise PydanticCustomError(
                "not_cron", "write minute, hour, day, month and weekday, as in '0 2 * * mon-fri'"
            ) from exc
        return cron

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as exc:  # OSError: a folder of zones, as `Europe`
            raise PydanticCustomError(
                "unknown_zone", "not a time zone of the IANA; write one such as 'Europe/Berlin'"
            ) from exc
        return timezone

    @model_validator(mode="after")
    def _check_one_kind(self) -> Self:
        if (self.cron is None) == (self.interval_s is None):
            raise PydanticCustomError("one_schedule", "set either cron or interval_s")
        return self


class Schedules(Block):
    """One schedule per flow; a flow without one does not start by itself."""

    generate: FlowSchedule | None = None
    """Run `maskmill run`."""
    label: FlowSchedule | None = None
    """Help to label the run's shards, beside other workers (`label-shards`)."""
    push: FlowSchedule | None = None
    """Run `maskmill review push`."""
    pull: FlowSchedule | None = None
    """Run `maskmill review pull`."""
    export: FlowSchedule | None = None
    """Run `maskmill export` with the settings of `export`."""
    circle: FlowSchedule | None = None
    """Run a whole round with the settings of `circle`: mine, pull reviews, make a dataset version, train, and wait for an
    approval. It does what `generate` does, and is scheduled in its place."""
    recover: FlowSchedule | None = None
    """Run `maskmill recover`, for runs of other machines; every 600 s is often enough."""
    gc: FlowSchedule | None = None
    """Run `maskmill gc --delete`."""
