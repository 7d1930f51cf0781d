"""`base` in a config file: merged with a preset or another file; and configs written as YAML."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
import yaml
from typer.testing import CliRunner

from configs.document import config_schema, render_config
from configs.errors import ConfigError
from configs.load import load_config, load_tree, validate_config
from configs.shipped import unused_calibration
from configs.trees import PRESETS
from flows.cli.main import app
from flows.cli.services import _specify
from labeling.segmenters import requirements
from maskmill import _config_of

ONNX_STUDENT = "student: {kind: onnx, path: student.onnx, input_hw: [256, 256]}\n"


def write(file: Path, text: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(file)


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    config = load_config(write(tmp_path / "mine.yaml", "base: lite\n" + ONNX_STUDENT))
    lite = load_config("lite")
    assert config.student.kind == "onnx"
    assert config == lite.model_copy(update={"student": config.student})


def test_how_a_config_is_written_does_not_change_its_run(tmp_path: Path) -> None:
    short = load_config(write(tmp_path / "short.yaml", "base: lite\nteacher: {tiles: 2}\n"))
    text = (Path(requirements.__file__).parents[2] / "configs" / "lite.yaml").read_text()
    whole = load_config(write(tmp_path / "whole.yaml", text.replace("kind: lite", "kind: lite\n  tiles: 2")))
    assert short.run_id() == whole.run_id() != load_config("lite").run_id()


def test_bases_form_a_chain_and_paths_start_at_the_file_that_has_them(tmp_path: Path) -> None:
    write(tmp_path / "team" / "team.yaml", "base: lite\n" + ONNX_STUDENT + "agreement: {hard_below: 0.7}\n")
    mine = write(tmp_path / "mine.yaml", "base: team/team.yaml\nstudent: {input_hw: [128, 64]}\n")
    config = load_config(mine, ["agreement.match_iou=0.4"])
    student = config.student.model_dump(mode="json")
    assert (student["path"], student["input_hw"]) == (str(tmp_path / "team" / "student.onnx"), [128, 64])
    assert (config.agreement.hard_below, config.agreement.match_iou) == (0.7, 0.4)
    assert config.trust.calibration == load_config("lite").trust.calibration


def test_a_segmenter_of_another_kind_replaces_the_one_of_the_base(tmp_path: Path) -> None:
    mine = write(
        tmp_path / "mine.yaml", "base: surveillance\nteacher: background\ntrust: {calibration: null}\n"
    )
    assert load_config(mine).teacher.model_dump()["kind"] == "background"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: lit\n", "did you mean the preset 'lite'?"),
        ("base: gone.yaml\n", "no config 'gone.yaml'"),
        ("base: [lite]\n", "base: name a preset"),
        ("base: mine.yaml\n", "circle"),
        ("base: other.yaml\n", "other.yaml -> "),
    ],
)
def test_a_wrong_base_is_an_error_that_names_it(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path / "other.yaml", "base: mine.yaml\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml") as failed:
        load_config(write(tmp_path / "mine.yaml", text))
    assert words in str(failed.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_a_shown_config_is_a_file_of_the_same_run_and_fits_the_schema(name: str, tmp_path: Path) -> None:
    tree = load_tree(name)
    text = render_config(validate_config(tree, name), tree, title=name)
    assert load_config(write(tmp_path / "shown.yaml", text)) == load_config(name)
    jsonschema.validate(yaml.safe_load(text), config_schema())
    if name == "lite":
        assert "calibration: lite" in text
        assert "  # Time between sampled frames; 0: every frame.\n  every_s: 0.5" in text


@pytest.mark.parametrize(
    ("tree", "fits"),
    [
        ({"base": "lite", "student": "selfie"}, True),
        ({"base": "lite", "teacher": {"tiles": 2}, "trust": {"calibration": "lite"}}, True),
        ({"base": "lite", "agreement": {"hardbelow": 0.5}}, False),
        ({"agreement": {"hard_below": 2}}, False),
    ],
)
def test_the_schema_knows_bases_short_forms_and_wrong_keys(tree: object, fits: bool) -> None:
    is_valid = jsonschema.Draft202012Validator(config_schema()).is_valid(tree)
    assert is_valid is fits


def test_a_calibration_that_fits_and_is_not_used_is_a_warning(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.yaml", "teacher: lite\nstudent: selfie\n")
    assert "base: lite" in unused_calibration(load_config(bare))
    based = write(tmp_path / "based.yaml", "base: lite\nstudent: background\n")
    for name in (based, "offline", "surveillance"):
        assert not unused_calibration(load_config(name))
    assert not unused_calibration(load_config(bare, ["teacher.tiles=3"])), "it fits no other settings"


@pytest.mark.slow  # imports the flows
@pytest.mark.parametrize(
    ("installed", "gpu", "chosen"),
    [
        (("torch", "torchvision", "onnxruntime", "ai_edge_litert"), True, "default"),
        (("torch", "torchvision", "onnxruntime", "ai_edge_litert"), False, "lite"),
        (("torch", "torchvision"), False, "default"),
        ((), True, "offline"),
    ],
)
def test_the_best_installed_preset_is_chosen(
    installed: tuple[str, ...], gpu: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "_is_installed", installed.__contains__)
    monkeypatch.setattr(requirements, "_has_gpu", lambda: gpu)
    assert requirements.choose_preset().name == chosen
    assert _config_of(None) == load_config(chosen)
    assert _specify(["a.mp4"], None, None, name=None, home=Path()).name == chosen


@pytest.mark.slow
def test_init_writes_a_config_that_works_and_replaces_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def maskmill(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["config", *words])
        assert done.exit_code == code, done.output
        return done.output

    maskmill("init", "--base", "lite")
    assert load_config("mine.yaml") == load_config("lite")
    first = Path("mine.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=maskmill-schema.json"
    assert json.loads(Path("maskmill-schema.json").read_text()) == config_schema()
    assert "mine.yaml exists" in maskmill("init", code=2)
    maskmill("init", "own.yaml", "--base", "lite", "--student", "deployed.tflite")
    student = load_config("own.yaml").student
    assert (student.kind, getattr(student, "path", None)) == ("litert", tmp_path / "deployed.tflite")
    assert "a file that ends with .onnx" in maskmill("init", "b.yaml", "--student", "net.h5", code=2)
    assert "# A frame whose union IoU is below this is hard.\n  hard_below: 0.5" in maskmill(
        "show", "own.yaml"
    )
    assert json.loads(maskmill("schema"))["properties"]["base"]
