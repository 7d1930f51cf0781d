"""Refiners in a config: short forms, defaults, paths, and the errors for wrong ones."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.load import load_config
from configs.matting import PlateBlock
from configs.refinement import FlowSmoothingBlock, GuidedFilterBlock, MattingRefineBlock
from configs.segmenters import LiteBlock

MATTING = "teacher.refine=[matting, {kind: guided_filter, radius: 0.03}]"


def test_refiners_have_a_short_form() -> None:
    teacher = load_config("lite", [MATTING]).teacher
    assert teacher.refine == (MattingRefineBlock(), GuidedFilterBlock(radius=0.03))
    assert load_config("lite", ["teacher.refine=['guided_filter:0.03']"]).teacher.refine == (
        GuidedFilterBlock(radius=0.03),
    )

    assert load_config("lite", ["teacher.refine=['flow_smoothing:3']"]).teacher.refine == (
        FlowSmoothingBlock(neighbors=3),
    )


def test_a_plate_for_refinement_runs_the_segmenter_less_often() -> None:
    [matting] = load_config(
        "lite", ["teacher.refine=[{kind: matting, plate: {statistic: mean}}]"]
    ).teacher.refine
    assert isinstance(matting, MattingRefineBlock)
    assert matting.plate.samples < PlateBlock().samples
    assert matting.plate.search_frames == 0


def test_refinement_is_another_run_and_comes_back_from_json() -> None:
    plain, refined = load_config("lite"), load_config("lite", [MATTING])
    assert plain.run_id() != refined.run_id()
    assert type(refined).model_validate_json(refined.model_dump_json()) == refined


def test_weights_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("teacher: {kind: lite, refine: ['matting:nets/own.onnx']}\nstudent: selfie\n")
    teacher = load_config(str(file)).teacher
    assert isinstance(teacher, LiteBlock)
    assert teacher.refine == (MattingRefineBlock(weights=tmp_path / "nets" / "own.onnx"),)


@pytest.mark.parametrize(
    ("refine", "message"),
    [
        ("[{kind: matting, wieghts: a.onnx}]", "did you mean 'weights'"),
        ("[{kind: matting, plate: {sample: 3}}]", "did you mean 'samples'"),
        ("[{kind: guided_filter, radius: 2}]", "less than or equal to 0.5"),
        ("[crf]", "did you mean 'dense_crf'"),
        ("[xyz]", "choose one of matting"),
        ("[{kind: flow_smoothing, causale: true}]", "did you mean 'causal'"),
        ("matting", "valid tuple"),
    ],
)
def test_wrong_refiners_are_refused(refine: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("lite", [f"teacher.refine={refine}"])
    assert message in str(error.value)
    assert "teacher" in str(error.value)
