"""Presets, files, changes, and the errors for wrong ones."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from configs.errors import ConfigError, UnknownModel
from configs.load import load_config, load_labeled_sets
from configs.matting import MatteSettings
from configs.models import RunConfig
from configs.segmenters import BackgroundBlock, LiteBlock, PythonBlock, SelfieBlock, TorchvisionBlock
from configs.trees import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_loads_and_comes_back_the_same_from_json(preset: str) -> None:
    config = load_config(preset)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_the_default_preset_names_the_three_torchvision_networks() -> None:
    config = load_config("default")
    assert config.teacher == TorchvisionBlock(model="maskrcnn_resnet50_fpn_v2")
    assert config.student == TorchvisionBlock(model="lraspp_mobilenet_v3_large")
    assert config.pose_filter is not None
    assert config.pose_filter.segmenter == TorchvisionBlock(model="keypointrcnn_resnet50_fpn")


def test_a_change_reaches_its_key_and_nothing_else() -> None:
    changed = load_config("lite", ["agreement.hard_below=0.7", "teacher.tiles=2"])
    plain = load_config("lite")
    assert changed.agreement.hard_below == 0.7
    assert isinstance(changed.teacher, LiteBlock)
    assert changed.teacher.tiles == 2
    assert changed.student == plain.student
    assert changed.sampling == plain.sampling


@pytest.mark.parametrize(
    ("short", "block"),
    [
        ("lite", LiteBlock()),
        ("background:knn", BackgroundBlock(method="knn")),
        ("python:pkg.module:make", PythonBlock(factory="pkg.module:make")),
    ],
)
def test_a_segmenter_has_a_short_form(short: str, block: object) -> None:
    assert load_config("lite", [f"student={short}"]).student == block


def test_keys_of_a_block_in_short_form_can_be_changed() -> None:
    student = load_config("lite", ["student.mask_threshold=0.7"]).student
    assert student == SelfieBlock(mask_threshold=0.7)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("agreement.hard_bellow=0.4", "hard_below"),
        ("hard_below=0.4", r"agreement\.hard_below"),
        ("samplng.every_s=1", "sampling"),
        ("teacher.min_boxscore=0.1", "min_box_score"),
        ("pose_filter.poeple=any", "people"),
        ("trust.verifier={kind: background, min_aera: 1}", "min_area"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(change: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{key}'"):
        load_config("lite", [change])


def test_an_unknown_kind_of_model_names_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match=r"'lit'.*'lite'"):
        load_config("lite", ["teacher=lit"])


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ("{kind: tflite, path: own.tflite}", "no kind 'tflite'; did you mean 'litert'"),
        ("{path: own.tflite}", "add `kind: litert`"),
        ("{path: own.onnx}", "add `kind: onnx`"),
        ("{min_area: 0.1}", "add `kind: KIND`"),
    ],
)
def test_a_network_without_its_kind_is_told_which_it_is(student: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("lite", [f"student={student}"])


def test_a_network_beside_the_base_s_own_kind_is_told_which_it_is(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("base: lite\nstudent: {path: own.tflite}\n")
    with pytest.raises(ConfigError, match="add `kind: litert`"):
        load_config(str(tmp_path / "own.yaml"))


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "base: lite\nagreement: {hard_below: 0.6}\nbatch: 2\nagreement: {match_iou: 0.5}\n"
    )
    with pytest.raises(ConfigError, match="'agreement' is there twice, in the lines 2 and 4"):
        load_config(str(tmp_path / "own.yaml"))


def test_a_config_that_is_not_utf_8_says_so(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes("base: lite  # cam\xe9ra".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        load_config(str(tmp_path / "own.yaml"))


def test_yes_is_no_number() -> None:
    with pytest.raises(ConfigError, match="hard_below requires a number, not yes or no"):
        load_config("lite", ["agreement.hard_below=yes"])
    with pytest.raises(ValidationError, match="end_s requires a number"):
        MatteSettings.model_validate({"end_s": True})


def test_an_unknown_torchvision_model_names_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match="'maskrcnn_resnet50_fpn_v2'"):
        load_config("default", ["teacher=torchvision:maskrcn"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("agreement.hard_below=1.5", "less than or equal to 1"),
        ("agreement.hard_below=lots", "valid number"),
        ("agreement.hard_below=0,6", r"write 0\.6, with a point"),
        ("agreement.hard_below=60 %", r"'60 %' is no number: write 0\.6"),
        ("agreement={hard_below: 0,6}", "',6' is read as another key"),
        ("agreement.hard_below", "write key=value"),
        ("=3", "write key=value"),
        ("teacher.min_box_score.x=3", "has no keys"),
        ("agreement.hard_below=[1", "not a YAML value"),
        (
            "schedules.generate=0 2 * * *",
            r"schedules.generate: must be a block of keys \(known: cron, .*is '0 2",
        ),
        ("trust=", r"trust: must be a block of keys \(known: accept, accept_risk, .*is None"),
        ("batch.size=3", "valid integer"),
        ("trust.calibration.bias=1", "calibration is 'lite' and has no keys"),
        (
            "trust.calibration={teacher: t, thresholds: [], cheap: {instance: {bias: 0, weights: {flip_iou: 1}}, "
            "frame: {bias: 0, weights: {}}}}",
            "cheap weighs flip_iou",
        ),
    ],
)
def test_a_wrong_change_is_explained(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("lite", [change])


def test_an_unknown_preset_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean the preset 'surveillance'"):
        load_config("surveilance")


@pytest.mark.parametrize("text", ["- a\n- b\n", "teacher: [", "\x00", "just words"])
def test_a_file_that_is_not_a_config_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_config(str(file))


PATHS = """
weights_dir: weights
ingest: {cookies_file: ../cookies.txt}
teacher: {kind: onnx, path: teacher.onnx, input_hw: [8, 8]}
student: masks_folder:seen
pose_filter: {segmenter: {kind: masks_folder, path: /poses}}
trust: {calibration: fitted.json, verifier: {kind: python, factory: "a:b", options: {path: theirs}}}
export: {folder: out}
"""


def test_relative_paths_in_a_file_start_at_its_folder_wherever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "mine.yaml").write_text(PATHS)
    fitted = load_config("lite").trust.calibration
    assert fitted
    (folder / "fitted.json").write_text(fitted.model_dump_json())
    monkeypatch.chdir(tmp_path)
    config = load_config("configs/mine.yaml")
    dumped = config.model_dump(mode="json")
    assert dumped["weights_dir"] == f"{folder}/weights"
    assert dumped["ingest"]["cookies_file"] == f"{tmp_path}/cookies.txt"
    assert (dumped["teacher"]["path"], dumped["student"]["path"]) == (
        f"{folder}/teacher.onnx",
        f"{folder}/seen",
    )
    assert dumped["pose_filter"]["segmenter"]["path"] == "/poses"
    assert (dumped["trust"]["verifier"]["options"], dumped["export"]["folder"]) == ({"path": "theirs"}, "out")
    assert config.trust.calibration == fitted
    monkeypatch.chdir(folder)
    assert load_config("mine.yaml") == load_config("../configs/mine.yaml") == config


@pytest.mark.parametrize(
    ("against", "resolved"),
    [
        ("deployed.yaml", "configs/deployed.yaml"),
        ("../deployed", "deployed"),
        ("lite", None),
        ("current:int8", None),
        ("0123abcd", None),
    ],
)
def test_a_student_to_compare_with_is_a_path_if_it_names_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, against: str, resolved: str | None
) -> None:
    (tmp_path / "configs").mkdir()
    file = tmp_path / "configs" / "mine.yaml"
    file.write_text(f"base: offline\ncircle: {{dataset: night, frozen: exam, against: '{against}'}}\n")
    monkeypatch.chdir("/")
    stored = load_config(str(file)).model_dump(mode="json")
    assert stored["circle"]["against"] == (f"{tmp_path}/{resolved}" if resolved else against)


def test_a_labeled_set_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"line: images: must be a block of keys \(known: coco, .*, is 'x'"):
        load_labeled_sets({"images": "x", "masks": "y"})


def test_relative_paths_in_a_change_start_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.yaml").write_text("teacher: background\nstudent: masks_folder:seen\n")
    monkeypatch.chdir(tmp_path)
    changed = load_config("configs/mine.yaml", ["student=masks_folder:here", "weights_dir=~/weights"])
    assert changed.model_dump(mode="json")["student"]["path"] == f"{tmp_path}/here"
    assert changed.weights_dir == Path.home() / "weights"
    with pytest.raises(ConfigError, match=f"'{tmp_path}/mine.json' is neither shipped"):
        load_config("lite", ["trust.calibration=mine.json"])


def test_yaml_cannot_make_python_objects(tmp_path: Path) -> None:
    file = tmp_path / "evil.yaml"
    file.write_text("teacher: !!python/object/apply:os.getcwd []\nstudent: selfie\n")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(str(file))


def test_a_config_cannot_be_changed_after_it_was_made() -> None:
    with pytest.raises(Exception, match="frozen"):
        load_config("lite").agreement.hard_below = 0.9  # type: ignore[misc]  # the assignment must fail


def test_only_what_changes_the_result_changes_the_run() -> None:
    plain = load_config("lite").run_id()
    assert load_config("lite", ["weights_dir=/elsewhere", "workers=3", "ingest.retries=9"]).run_id() == plain
    assert load_config("lite", ["agreement.hard_below=0.51"]).run_id() != plain


@pytest.mark.parametrize("change", ["runner=dask", "workers=7"])
def test_the_runner_does_not_change_the_run(change: str) -> None:
    assert load_config("lite", [change]).run_id() == load_config("lite").run_id()


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_an_address_requires_a_cluster(runner: str) -> None:
    with pytest.raises(ConfigError, match="set runner to dask or ray"):
        load_config("lite", [f"runner={runner}", "address=tcp://127.0.0.1:8786"])


def test_aliases_of_aliases_are_refused_before_they_are_followed(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="more than 100,000 values, by its aliases"):
        load_config(str(tmp_path / "bomb.yaml"))
