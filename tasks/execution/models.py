"""The segmenters of this process: loaded once, shared by the shards that run here."""

import gc
import json
import sys
import threading
from typing import Any

from configs.errors import ConfigError
from configs.models import RunConfig
from configs.segmenters import SegmenterBlock
from labeling.pipeline import Models
from labeling.runtime.memory import bound_heaps
from labeling.runtime.threads import bound_image_threads
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.shared import SerializedSegmenter
from labeling.structures.instances import ModelCard

_loaded: dict[str, Models] = {}
_loading = threading.Lock()


def load_models(config: RunConfig) -> Models:
    """The models of this config, from this process's memory when they are there.

    Raises:
        ModelError: weights or a library are missing.
        ConfigError: the calibration was fitted to another teacher.
    """
    key = f"{config.identity()}|{config.weights_dir}|{config.device}|{config.batch}"
    with _loading:
        if key not in _loaded:
            _loaded[key] = _load(config)
            bound_heaps()
            bound_image_threads()
            gc.freeze()  # libraries and networks stay: collecting after each shard need not visit them
        return _loaded[key]


def forget_models() -> None:
    """Load models anew when they are wanted again: their files may have changed, or their room is needed."""
    with _loading:
        _loaded.clear()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()


def _load(config: RunConfig) -> Models:
    turn = threading.Lock()

    def make(block: SegmenterBlock) -> SerializedSegmenter:
        made = make_segmenter(block, weights_dir=config.weights_dir, device=config.device, batch=config.batch)
        return SerializedSegmenter(made, turn)

    models = Models(**{role: make(block) for role, block in config.segmenters().items()})
    check_calibration(config, models.teacher.card)
    return models


def check_calibration(config: RunConfig, card: ModelCard) -> None:
    """See to it that the calibration, if there is one, is this teacher's.

    Raises:
        ConfigError: it was fitted to another teacher, or to other weights.
    """
    calibration, name = config.trust.calibration, f"{card.kind}:{card.name}"
    if calibration is None:
        return
    is_other = "is" if calibration.teacher != name else "has other weights than then:"
    if (calibration.teacher, calibration.weights_sha256) != (name, card.weights_sha256):
        raise ConfigError(
            f"trust.calibration was fitted to {calibration.teacher}, the teacher {is_other} {name}: fit one to it "
            "with `maskmill calibrate`, or set trust.calibration to null"
        )


def doubt_calibration(config: RunConfig, card: ModelCard) -> str:
    """With which settings the teacher was another one when the calibration was fitted; empty: with none."""
    then = config.trust.calibration.settings if config.trust.calibration else {}
    now = settings_of(card)
    others = [
        f"{key} {now.get(key)} instead of {then[key]}" for key in sorted(then) if now.get(key) != then[key]
    ]
    if not others:
        return ""
    return (
        f"trust.calibration was fitted to {card.kind}:{card.name} with other settings ({', '.join(others)} now): "
        "what it says may be off; `maskmill calibrate` fits one to these"
    )


def settings_of(card: ModelCard) -> dict[str, Any]:
    """What changes a model's output; empty where a user's own factory says it in words of its own."""
    try:
        settings = json.loads(card.settings)
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}
