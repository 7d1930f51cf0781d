"""The segmenters of this process: loaded once, shared by all its shards."""

import gc
import json
import sys
import threading
from typing import Any

from configs.errors import ConfigError
from configs.models import RunConfig
from configs.segmenters import SegmenterBlock
from labeling.runtime.memory import bound_heaps
from labeling.runtime.threads import bound_image_threads
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.models import Models
from labeling.segmenters.shared import SerializedSegmenter
from labeling.structures.instances import ModelCard

_loaded: dict[str, Models] = {}
_loading = threading.Lock()


def load_models(config: RunConfig) -> Models:
    """Return the models of a config, loading them unless this process has them."""
    key = f"{config.identity()}|{config.weights_dir}|{config.device}|{config.batch}"
    with _loading:
        if key not in _loaded:
            _loaded[key] = _load(config)
            bound_heaps()
            bound_image_threads()
            gc.freeze()  # libraries and networks stay: later collections need not visit them
        return _loaded[key]


def forget_models() -> None:
    """Free all loaded models; the next use loads them again, from files that may have changed."""
    with _loading:
        _loaded.clear()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()


def _load(config: RunConfig) -> Models:
    turn = threading.Lock()

    def make(block: SegmenterBlock) -> SerializedSegmenter:
        segmenter = make_segmenter(
            block, weights_dir=config.weights_dir, device=config.device, batch=config.batch
        )
        return SerializedSegmenter(segmenter, turn)

    models = Models(**{role: make(block) for role, block in config.segmenters().items()})
    check_calibration(config, models.teacher.card)
    return models


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
    changed = [
        f"{key} is {current.get(key)}, was {fitted[key]}"
        for key in sorted(fitted)
        if current.get(key) != fitted[key]
    ]
    if not changed:
        return ""
    return (
        f"trust.calibration was fitted to {teacher.kind}:{teacher.name} with other settings ({', '.join(changed)}): "
        "its probabilities may be wrong; `maskmill calibrate` fits one to the current settings"
    )


def settings_of(card: ModelCard) -> dict[str, Any]:
    """Return the settings that change a model's output; empty if a user's factory describes them as free text."""
    try:
        settings = json.loads(card.settings)
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}
