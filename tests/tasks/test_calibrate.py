"""Calibration on images with known ground truth, with a teacher whose score drops when it is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.calibration import Calibration
from configs.errors import ConfigError
from configs.load import change_config, load_config, load_labeled_sets
from configs.models import RunConfig
from labeling.segmenters.models import calibration_warning, settings_of
from labeling.structures.instances import ModelCard
from labeling.trust.evidence import Evidence, InstanceEvidence
from labeling.trust.promise import find_likely
from labeling.trust.scores import predict_trust
from tasks.calibrate import calibrate_on_sets
from tasks.evaluate import evaluate

SIZE_HW = (64, 96)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write two sets of bright squares; every third is striped, and its ground truth is elsewhere."""
    rng = np.random.default_rng(1)
    for name in ("yards", "streets"):
        for folder in ("images", "masks"):
            (tmp_path / name / folder).mkdir(parents=True)
        for number in range(36):
            x, y = (int(v) for v in rng.integers(2, 30, 2))
            image, truth = np.zeros((*SIZE_HW, 3), np.uint8), np.zeros(SIZE_HW, np.uint8)
            image[y : y + 24, x : x + 24] = 255
            if number % 3:
                truth[y : y + 24, x : x + 24] = 1
            else:
                image[y : y + 24 : 2, x : x + 24] = 200
                truth[:, 70:] = 1
            Image.fromarray(image).save(tmp_path / name / "images" / f"{number:02}.png")
            Image.fromarray(truth).save(tmp_path / name / "masks" / f"{number:02}.png")
    return tmp_path


def config(*changes: str) -> RunConfig:
    tree = {
        "teacher": {"kind": "python", "factory": "tests.fakes.segmenters:bright"},
        "student": {"kind": "python", "factory": "tests.fakes.segmenters:scripted"},
    }
    return change_config(tree, changes, "test")


def sets_of(images: Path) -> dict[str, object]:
    return {
        name: {"images": str(images / name / "images"), "masks": str(images / name / "masks")}
        for name in ("yards", "streets")
    }


@pytest.mark.slow
def test_a_calibration_learns_from_the_score_and_a_run_uses_it(images: Path) -> None:
    sets = load_labeled_sets(sets_of(images))
    fit = calibrate_on_sets(sets, config())
    assert (fit.calibration.teacher, fit.calibration.settings) == ("python:bright", {"dark": False})
    assert fit.calibration.fitted_on == {"yards": 36, "streets": 36}
    unseen = fit.unseen["all"]
    assert (unseen.hard.frames, unseen.hard.accepted) == (72, 48)
    assert (unseen.hard.precision, unseen.hard.recall) == (1.0, 1.0)
    assert unseen.hard.good == pytest.approx(2 / 3)
    path = images / "mine.json"
    path.write_text(fit.calibration.model_dump_json())
    plain, calibrated = config("trust.min_score=0.1"), config(f"trust.calibration={path}")
    assert evaluate(sets, plain).sets["all"].accepting.precision == pytest.approx(2 / 3)
    found = evaluate(sets, calibrated)
    assert found.sets["all"].accepting.precision == 1.0
    assert found.sets["all"].accepting.accepted == 48
    doubtful = next(frame for frame in found.frames if frame.decision == "review")
    assert str(doubtful.reasons[0]).startswith("the teacher is right with a probability of ")
    assert doubtful.trust is not None
    assert doubtful.trust < 0.5


def test_a_calibration_is_part_of_the_run_id(images: Path) -> None:
    fit = calibrate_on_sets(load_labeled_sets(sets_of(images)), config())
    path = images / "mine.json"
    path.write_text(fit.calibration.model_dump_json())
    first = config(f"trust.calibration={path}")
    assert first.trust.calibration == fit.calibration
    assert RunConfig.model_validate(first.model_dump(mode="json")).run_id() == first.run_id()
    path.write_text(fit.calibration.model_copy(update={"good_from": 0.7}).model_dump_json())
    assert config(f"trust.calibration={path}").run_id() != first.run_id() != config().run_id()


def test_a_calibration_is_refused_for_another_teacher(images: Path) -> None:
    sets = load_labeled_sets(sets_of(images))
    with pytest.raises(
        ConfigError, match=r"was fitted to lite:.*but the teacher is python:bright.*maskmill calibrate"
    ):
        evaluate(sets, config("trust.calibration=lite"))


@pytest.mark.slow
def test_a_calibration_is_refused_for_other_weights(images: Path) -> None:
    sets = load_labeled_sets(sets_of(images))
    calibration = calibrate_on_sets(sets, config()).calibration.model_copy(update={"weights_sha256": "ab"})
    path = images / "old.json"
    path.write_text(calibration.model_dump_json())
    with pytest.raises(ConfigError, match=r"the teacher now has other weights: python:bright"):
        evaluate(sets, config(f"trust.calibration={path}"))


@pytest.mark.parametrize("preset", ["lite", "lite-heavy", "surveillance"])
def test_a_preset_has_the_settings_of_its_calibration(preset: str) -> None:
    config = load_config(preset)
    assert config.trust.calibration
    assert config.trust.calibration.settings == config.teacher.model_dump(
        mode="json", exclude={"kind", "refine"}
    )


@pytest.mark.parametrize("preset", ["lite", "lite-heavy", "surveillance"])
def test_the_calibration_of_a_preset_can_decide_about_persons(preset: str) -> None:
    trust = load_config(preset, ["trust.unit=person"]).trust
    assert trust.calibration
    assert trust.calibration.persons
    for steps in (trust.calibration.persons.hard, trust.calibration.persons.easy):
        step = find_likely(steps, trust.accept_risk)
        assert step
        assert step.bad <= trust.accept_risk * step.persons


def test_settings_that_differ_from_the_calibration_are_warned_of() -> None:
    config = load_config("surveillance", ["trust.calibration=lite"])
    settings = json.dumps(config.teacher.model_dump(mode="json", exclude={"kind", "refine"}))
    warning = calibration_warning(config, ModelCard("lite", "both", "", settings))
    assert "(min_box_score is 0.5, was 0.4, tiles is 2, was auto)" in warning
    same = json.dumps(load_config("lite").teacher.model_dump(mode="json", exclude={"kind", "refine"}))
    assert calibration_warning(config, ModelCard("lite", "both", "", same)) == ""


def test_refiners_that_the_calibration_did_not_have_are_warned_of() -> None:
    config = load_config("lite", ["teacher.refine=[guided_filter]"])
    plain = config.teacher.model_dump(mode="json", exclude={"kind", "refine"})
    refiner = {"kind": "matting", "name": "own.onnx", "weights_sha256": "1f0c22ab93"}
    guided = {"kind": "guided_filter", "name": "color", "weights_sha256": ""}
    card = ModelCard("lite", "both", "", json.dumps({**plain, "refine": [refiner, guided]}))
    assert "(refine is matting 1f0c22ab + guided_filter, was None)" in calibration_warning(config, card)


def test_unknown_settings_are_not_warned_of() -> None:
    plain = config()
    card = ModelCard("python", "own", "", "words of its own")
    assert calibration_warning(plain, card) == ""
    assert settings_of(card) == {}


@pytest.mark.slow
def test_an_unreadable_image_is_skipped(images: Path) -> None:
    (images / "yards" / "images" / "05.png").write_bytes(b"no image")
    fit = calibrate_on_sets(load_labeled_sets(sets_of(images)), config())
    assert fit.calibration.fitted_on == {"yards": 35, "streets": 36}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "neither shipped .lite, lite-heavy, surveillance. nor a readable file of `maskmill calibrate`",
        ),
        ("{", "nor a readable file"),
        ("null", "is not a file of `maskmill calibrate`"),
        ('{"teacher": "a"}', "trust.calibration.cheap: Field required"),
        ('{"teachr": "a"}', "unknown key 'trust.calibration.teachr'; did you mean 'teacher'"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        config(f"trust.calibration={path}")


def test_the_shipped_calibration_trusts_only_confident_stable_masks() -> None:
    calibration = load_config("lite").trust.calibration
    assert calibration is not None

    def trust(score: float, flip: float, known: Calibration = calibration) -> float:
        one = InstanceEvidence(score=score, area_px=9000, flip_iou=flip)
        found = predict_trust(Evidence((one,), flip), known)
        assert found is not None
        return found.frame

    threshold = calibration.threshold(0.05)
    assert threshold is not None
    assert trust(0.97, 0.97) >= threshold.trust
    assert trust(0.97, 0.3) < threshold.trust
    assert trust(0.7, 0.97) < threshold.trust
    assert trust(0.6, 0.2) < threshold.ask_from


def test_the_shipped_calibration_trusts_a_sharp_mask_more() -> None:
    calibration = load_config("lite").trust.calibration
    assert calibration is not None
    blurred, sharp = (
        predict_trust(
            Evidence((InstanceEvidence(0.9, 9000, stability=share, flip_iou=0.9),), 0.9), calibration
        )
        for share in (0.8, 0.95)
    )
    assert blurred is not None
    assert sharp is not None
    assert blurred.instances[0] < 0.5
    assert sharp.instances[0] > 0.8
    assert blurred.frame == sharp.frame


@pytest.mark.slow
def test_figures_are_plain_json(images: Path) -> None:
    fit = calibrate_on_sets(load_labeled_sets(sets_of(images)), config())
    figures = json.loads(json.dumps(fit.figures()))
    assert figures["teacher"] == "python:bright"
    assert set(figures["unseen"]) == {"yards", "streets", "all"}
    assert figures["unseen"]["all"]["frames"]["curve"]


def test_a_set_with_only_boxes_is_refused(images: Path) -> None:
    yards = images / "yards"
    person = {"image_id": 1, "category_id": 1, "bbox": [2, 2, 24, 24]}
    record = {"id": 1, "file_name": "00.png", "height": SIZE_HW[0], "width": SIZE_HW[1]}
    (yards / "boxes.json").write_text(json.dumps({"images": [record], "annotations": [person]}))
    sets = load_labeled_sets({"yards": {"images": yards / "images", "coco": yards / "boxes.json"}})
    with pytest.raises(ConfigError, match="labeled set yards: its ground truth has only boxes"):
        calibrate_on_sets(sets, config())
