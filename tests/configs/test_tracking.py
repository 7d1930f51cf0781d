"""Trackers in a config: short forms, off, and part of the run's identity."""

import pytest

from configs.errors import ConfigError, ExtraMissing
from configs.load import load_config, validate_config
from configs.tracking import ByteTrackBlock, MaskTrackingBlock
from labeling.tracking.factory import make_tracker


def test_tracking_is_on_and_has_short_forms() -> None:
    assert load_config("lite").tracking == MaskTrackingBlock()
    assert load_config("lite", ["tracking=bytetrack"]).tracking == ByteTrackBlock()
    assert load_config("lite", ["tracking.lost_s=5"]).tracking == MaskTrackingBlock(lost_s=5)
    assert load_config("lite", ["tracking={kind: bytetrack, min_iou: 0.3}"]).tracking == ByteTrackBlock(
        min_iou=0.3
    )
    changed = load_config("lite", ["tracking=bytetrack", "tracking.lost_s=1"])
    assert changed.tracking == ByteTrackBlock(lost_s=1)


@pytest.mark.parametrize("off", ["none", None])
def test_tracking_can_be_turned_off(off: object) -> None:
    config = validate_config({"teacher": "lite", "student": "selfie", "tracking": off}, "test")
    assert config.tracking is None
    assert type(config).model_validate_json(config.model_dump_json()) == config


def test_another_tracking_is_another_run() -> None:
    ids = {load_config("lite", [f"tracking={text}"]).run_id() for text in ("mask", "bytetrack", "none")}
    assert len(ids) == 3
    assert load_config("lite").run_id() in ids


@pytest.mark.parametrize("wrong", ["tracking=masks", "tracking.lost=3", "tracking.lost_s=0"])
def test_wrong_settings_are_errors(wrong: str) -> None:
    with pytest.raises(ConfigError, match="tracking"):
        load_config("lite", [wrong])


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ExtraMissing, match="trackers"):
        make_tracker(ByteTrackBlock())
