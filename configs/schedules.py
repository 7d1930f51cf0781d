"""When flows start by themselves, once `maskmill serve` or `maskmill deploy` registered them."""

from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from configs.segmenters import Block


class FlowSchedule(Block):
    """Either a line of cron or a pause between two starts."""

    cron: str | None = None
    """Minute, hour, day of month, month, day of week: `0 2 * * mon-fri`."""
    interval_s: float | None = Field(None, ge=1)
    """From one start to the next, counted from the midnight that began 2020: a restart moves none."""
    timezone: str = "UTC"
    """Whose clock is meant, as the IANA writes it: `Europe/Berlin`."""

    @field_validator("cron")
    @classmethod
    def _refuse_what_cron_cannot_read(cls, cron: str | None) -> str | None:
        if cron is None:
            return None
        from prefect.client.schemas.schedules import CronSchedule  # it will be the one that reads it

        try:
            CronSchedule(cron=cron)
        except ValueError as exc:
            raise PydanticCustomError(
                "not_cron", "wants minute, hour, day, month and weekday, as in '0 2 * * mon-fri'"
            ) from exc
        return cron

    @field_validator("timezone")
    @classmethod
    def _refuse_unknown_zones(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as exc:  # OSError: a folder of zones, as `Europe`
            raise PydanticCustomError(
                "unknown_zone", "no time zone of the IANA; wants one as 'Europe/Berlin'"
            ) from exc
        return timezone

    @model_validator(mode="after")
    def _want_one_of_two(self) -> Self:
        if (self.cron is None) == (self.interval_s is None):
            raise PydanticCustomError("one_schedule", "wants either cron or interval_s")
        return self


class Schedules(Block):
    """One schedule per flow; a flow without one is started by people."""

    generate: FlowSchedule | None = None
    """The work of `maskmill run`."""
    label: FlowSchedule | None = None
    """Help with the run's shards, beside whoever is at them: `label-shards`."""
    push: FlowSchedule | None = None
    """The work of `maskmill review push`."""
    pull: FlowSchedule | None = None
    """The work of `maskmill review pull`."""
    export: FlowSchedule | None = None
    """The work of `maskmill export`, as `export` says."""
    recover: FlowSchedule | None = None
    """The work of `maskmill recover`, for runs of other machines; every 600 s is often enough."""
    gc: FlowSchedule | None = None
    """The work of `maskmill gc --delete`."""
