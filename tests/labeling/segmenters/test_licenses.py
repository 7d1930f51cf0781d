"""Licenses of weights and the uses that a config names."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.licenses import Licenses
from configs.load import load_config
from labeling.segmenters.factory import load_models
from labeling.segmenters.licenses import (
    License,
    check_license,
    licenses_of,
    read_license,
    require_licenses,
)

USES = "licenses.use=[commercial, surveillance]"

pytestmark = pytest.mark.requires("transformers", "huggingface_hub")


def write_model(folder: Path, card: str) -> Path:
    """Write the files of a model, of which only the card is read here."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("")
    (folder / "README.md").write_text(card)
    return folder


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: Apache-2.0\n---\n# Model", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: sapiens2-license\n---\n", "sapiens2-license"),
        ("---\ntags: [x]\n---\n", None),
        ("# no front matter", None),
        ("---\nlicense: [a, b]\n---\n", None),
        ("---\n: : :\n---\n", None),
    ],
)
def test_a_card_names_its_license(tmp_path: Path, card: str, expected: str | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert read_license(tmp_path / "README.md") == expected
    assert read_license(tmp_path / "none.md") is None


@pytest.mark.parametrize("preset", ["default", "lite", "offline", "surveillance"])
def test_presets_permit_any_use(preset: str) -> None:
    config = load_config(preset, ["licenses.use=[commercial, surveillance, biometric]"])
    require_licenses(config)
    assert {one.name for one in licenses_of(config)} <= {"apache-2.0", "bsd-3-clause"}
    assert bool(list(licenses_of(config))) == (preset != "offline")


def test_the_best_preset_permits_any_use_by_the_cards_of_its_models(tmp_path: Path) -> None:
    card = "---\nlicense: apache-2.0\n---\n"
    finder, sam = write_model(tmp_path / "finder", card), write_model(tmp_path / "sam", card)
    changes = [f"teacher.model={finder}", f"teacher.refine=[sam:{sam}]"]
    config = load_config("best", [*changes, "licenses.use=[commercial, surveillance, biometric]"])
    require_licenses(config)
    assert {one.name for one in licenses_of(config)} == {"apache-2.0", "bsd-3-clause"}


@pytest.mark.parametrize("license", ["cc-by-nc-4.0", "s-lab-1.0"])
def test_noncommercial_licenses_permit_nothing_commercial(license: str) -> None:
    with pytest.raises(ConfigError, match="forbids commercial use"):
        check_license(License("somebody/model", license), Licenses(use=("commercial",)))


def test_a_forbidden_use_is_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", "---\nlicense: cc-by-nc-sa-4.0\n---\n")
    changes = [f"teacher={{kind: transformers, model: {model}}}"]
    with pytest.raises(ConfigError, match="forbids commercial use"):
        load_models(load_config("offline", [*changes, USES]))
    require_licenses(load_config("offline", changes))  # without uses, nothing is checked
    accepted = f"licenses.accepted=[{model}]"
    require_licenses(load_config("offline", [*changes, USES, accepted]))


def test_an_unknown_license_of_a_refiner_is_refused_too(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", "# Model")
    changes = [f"teacher={{kind: lite, refine: [{{kind: sam, model: {model}}}]}}", USES]
    with pytest.raises(ConfigError, match="no license that its folder names"):
        require_licenses(load_config("lite", changes))


def test_uses_change_no_result() -> None:
    assert load_config("offline", [USES]).run_id() == load_config("offline").run_id()
