"""The segmenters of a run, by role, and the calibration that fits its teacher."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configs.errors import ConfigError
from configs.models import RunConfig
from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip
from labeling.structures.instances import ModelCard


@dataclass(frozen=True, slots=True)
class Models:
    """The loaded segmenters of a run; `pose` and `verifier` only if they are configured."""

    teacher: Segmenter
    student: Segmenter
    pose: Segmenter | None = None
    verifier: Segmenter | None = None

    def prepare(self, clip: Clip) -> "Models":
        pose, verifier = (model.prepare(clip) if model else None for model in (self.pose, self.verifier))
        return Models(self.teacher.prepare(clip), self.student.prepare(clip), pose, verifier)


def check_calibration(config: RunConfig, teacher: ModelCard) -> None:
    """Raise ConfigError if the calibration was fitted to another teacher, or to other weights of it."""
    calibration, name = config.trust.calibration, f"{teacher.kind}:{teacher.name}"
    if calibration is None:
        return
    fitted = (calibration.teacher, calibration.weights_sha256)
    if fitted == (name, teacher.weights_sha256):
        return
    difference = "is" if calibration.teacher != name else "now has other weights:"
    raise ConfigError(
        f"trust.calibration was fitted to {calibration.teacher}, but the teacher {difference} {name}: fit one to it "
        "with `maskmill calibrate`, or set trust.calibration to null"
    )


def calibration_warning(config: RunConfig, teacher: ModelCard) -> str:
    """Return which settings of the teacher differ from those it was calibrated with; empty if none do."""
    fitted = config.trust.calibration.settings if config.trust.calibration else {}
    current = settings_of(teacher)
    compared = sorted(fitted.keys() | ({"refine"} & current.keys())) if config.trust.calibration else []
    changed = [
        f"{key} is {_format(current.get(key))}, was {_format(fitted.get(key))}"
        for key in compared
        if current.get(key) != fitted.get(key)
    ]
    if not changed:
        return ""
    return (
        f"trust.calibration was fitted to {teacher.kind}:{teacher.name} with other settings ({', '.join(changed)}): "
        "its probabilities may be wrong; `maskmill calibrate` fits one to the current settings"
    )


def _format(setting: Any) -> str:
    """Return a setting as text; of refiners, their kinds and the start of their weights' SHA-256."""
    if not isinstance(setting, list):
        return str(setting)
    return " + ".join(
        " ".join(str(part) for part in (one.get("kind"), str(one.get("weights_sha256", ""))[:8]) if part)
        if isinstance(one, Mapping)
        else str(one)
        for one in setting
    )


def settings_of(card: ModelCard) -> dict[str, Any]:
    """Return the settings that change a model's output; empty if a user's factory describes them as free text."""
    try:
        settings = json.loads(card.settings)
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}
