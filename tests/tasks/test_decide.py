"""Other settings for the same frames: the same result as a run, without inference."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from configs.errors import ConfigError
from configs.models import RunConfig
from db.frames.listing import FrameQuery, list_frames
from flows.cli.main import app
from labeling.segmenters.factory import forget_models
from labeling.storage.home import Home
from tasks.browse import list_runs
from tasks.decide import Decided, decide_again, plan_decision
from tasks.execution.context import Context, close_databases, open_context
from tests.fakes.videos import write_numbered_video
from tests.flows.test_first_hour import make_run
from tests.labeling.segmenters.tiny_networks import save_onnx

LOWER = "agreement.hard_below=0"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    write_numbered_video(tmp_path / "video.mp4", fps=Fraction(10), frames=20, size_hw=(64, 64))
    for name, operation in (("bright", "ReduceMax"), ("dark", "ReduceMin")):
        node = helper.make_node(operation, ["image"], ["map"], axes=[1], keepdims=1)
        outputs = [("map", TensorProto.FLOAT)]
        save_onnx(tmp_path / f"{name}.onnx", [node], input_shape=[1, 3, 64, 64], outputs=outputs)
    home = Home(tmp_path / "home")
    home.create()
    yield open_context(home)
    close_databases()
    forget_models()


def config_of(folder: Path, **agreement: float) -> RunConfig:
    models: dict[str, dict[str, Any]] = {
        role: {"kind": "onnx", "path": folder / f"{name}.onnx", "input_hw": [64, 64]}
        for role, name in (("teacher", "bright"), ("student", "dark"))
    }
    models["student"]["mask_threshold"] = 0.9  # it misses what is gray
    settings = {"hard_below": 0.99} | agreement
    return RunConfig.model_validate(models | {"agreement": settings, "trust": {"min_score": 0}})


def decide(context: Context, run_id: str, *changes: str) -> Decided:
    return decide_again(context, plan_decision(context, run_id, changes))


def lines(context: Context, run_id: str) -> list[object]:
    with context.database.session() as session:
        return list(list_frames(session, run_id, FrameQuery(order="time")))


@pytest.mark.slow
def test_another_threshold_gives_what_a_run_gives_without_inference(context: Context, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    old = make_run(context, config_of(tmp_path), source=str(video))
    video.rename(tmp_path / "away.mp4")
    decided = decide(context, old, LOWER)
    assert (decided.known > 0, decided.computed) == (True, 0)
    assert decided.summary.counts["sampled"] == 4
    nothing_single = decide(context, old, "pose_filter.people=single")
    assert nothing_single.summary.shards_done == 1, "a rule about people needs no pixels either"
    (tmp_path / "away.mp4").rename(video)
    Home(tmp_path / "fresh").create()
    fresh = open_context(Home(tmp_path / "fresh"))
    whole = make_run(fresh, config_of(tmp_path, hard_below=0), source=str(tmp_path / "video.mp4"))
    assert whole == decided.summary.run_id
    assert lines(fresh, whole) == lines(context, whole) != lines(context, old)


@pytest.mark.slow
def test_a_new_run_infers_only_what_is_new_and_a_broken_file_is_made_again(
    context: Context, tmp_path: Path
) -> None:
    old = make_run(context, config_of(tmp_path), source=str(tmp_path / "video.mp4"))
    files = sorted(context.home.predictions.rglob("*.json.gz"), key=lambda file: file.stat().st_size)
    assert len(files) == 2
    files[0].write_bytes(b"\x1f\x8bhalf")  # the student's: the teacher's has the mirrored images too
    decided = decide(context, old, LOWER)
    assert decided.computed == 4
    assert decide(context, old, "agreement.hard_below=0.1").computed == 0
    mirrored = decide(context, decided.summary.run_id, "agreement.hard_below=0.995")
    assert mirrored.computed == 0, "of the first run, whose frames were hard"
    denser = decide(context, old, "sampling.every_s=0.2", "sampling.min_gap_s=0")
    assert denser.known >= 4
    assert denser.computed > 0


def test_what_decides_nothing_is_refused(context: Context, tmp_path: Path) -> None:
    old = make_run(context, config_of(tmp_path), source=str(tmp_path / "video.mp4"))
    with pytest.raises(ConfigError, match="leave run"):
        plan_decision(context, old, ["batch=2"])
    with pytest.raises(ConfigError, match="shard_s cannot be changed"):
        plan_decision(context, old, ["sampling.shard_s=10"])


def test_other_settings_of_a_model_are_told_before_its_network_runs(context: Context, tmp_path: Path) -> None:
    old = make_run(context, config_of(tmp_path), source=str(tmp_path / "video.mp4"))
    plan = plan_decision(context, old, ["teacher.mask_threshold=0.6"])
    assert (plan.changed_models, plan.frames) == (("teacher",), 4)
    assert plan.seconds > 0
    assert plan_decision(context, old, [LOWER]).changed_models == ()


def test_settings_that_a_run_has_from_an_earlier_decision_are_told(context: Context, tmp_path: Path) -> None:
    old = make_run(context, config_of(tmp_path), source=str(tmp_path / "video.mp4"))
    plan = plan_decision(context, old, [LOWER])
    assert plan.old_changes == ()
    lower = decide_again(context, plan).summary.run_id
    assert plan_decision(context, lower, ["jpeg_quality=80"]).old_changes == (f"{LOWER}.0",)
    with context.database.session() as session:
        assert {row.id: row.changes for row in list_runs(session)} == {old: (), lower: (f"{LOWER}.0",)}


@pytest.mark.slow
def test_the_command_prints_the_new_run(context: Context, tmp_path: Path) -> None:
    old = make_run(context, config_of(tmp_path), source=str(tmp_path / "video.mp4"))
    words = ["decide", "--run", old[:6], "--set", LOWER, "--home", str(context.home.root)]
    done = CliRunner().invoke(app, words)
    assert "kept from earlier runs, 0 made now" in done.stdout, done.output
    assert f"from run {old} (" in done.stderr
    assert f"changed: {LOWER}" in done.stderr
    assert "looked at again" not in done.stderr
    again = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(again.stdout)["summary"]["counts"]["sampled"] == 4
