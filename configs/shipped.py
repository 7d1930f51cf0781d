"""Calibrations of the package, and configs that leave theirs unused."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from configs.models import RunConfig
from configs.trees import CALIBRATIONS


@cache
def shipped_calibration(name: str) -> Any:
    """Return the content of a calibration's file."""
    return json.loads((files("configs") / "calibrations" / f"{name}.json").read_text("utf-8"))


def unused_calibration(config: RunConfig) -> str:
    """Return a warning if a shipped calibration fits the teacher and the config has none; else an empty text."""
    if config.trust.calibration is not None or config.teacher.refine:
        return ""
    settings = config.teacher.model_dump(mode="json")
    for name in CALIBRATIONS:
        fitted = shipped_calibration(name)
        of_kind = fitted["teacher"].partition(":")[0] == config.teacher.kind
        if of_kind and all(settings.get(key) == value for key, value in fitted["settings"].items()):
            return (
                f"the teacher {config.teacher.kind} has a shipped calibration that this config does not use, so the "
                f"student's mistakes count against the teacher: add `base: {name}` to the config, or set "
                f"trust.calibration={name}"
            )
    return ""
