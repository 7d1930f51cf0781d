"""Networks in the whole pipeline: torchvision's with random weights, the lite ones on real video."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from prefect.flows import Flow, load_flow_from_entrypoint
from sqlalchemy import func, select

from configs.load import load_config, validate_config
from db.frames.listing import FrameQuery, list_frames
from db.models.core import InstanceRow, ModelRow
from db.runs.queries import RunSummary
from flows.generate import generate_dataset
from labeling.storage.home import Home
from tasks.execution.context import close_databases, database_of
from tests.conftest import ROOT
from tests.fakes.videos import write_numbered_video

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture(autouse=True)
def closed_databases() -> Iterator[None]:
    yield
    close_databases()


def test_the_flow_loads_as_a_deployment_entrypoint() -> None:
    flow: Flow[..., RunSummary] = load_flow_from_entrypoint(
        f"{ROOT / 'flows' / 'generate.py'}:generate_dataset"
    )
    assert flow.name == "generate-dataset"
    properties = flow.parameters.properties
    assert set(properties) == {"sources", "config", "name", "home", "retry_failed"}


@pytest.mark.slow
@pytest.mark.long
def test_three_torchvision_networks_run_in_the_whole_pipeline(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    write_numbered_video(video, fps=Fraction(4), frames=4, size_hw=(96, 128))

    def block(model: str) -> dict[str, object]:
        small = {} if "lraspp" in model else {"min_size": 96}
        return {"kind": "torchvision", "model": model, "weights": "random", "min_score": 0.0} | small

    tree = {
        "teacher": block("maskrcnn_resnet50_fpn_v2"),
        "student": block("lraspp_mobilenet_v3_large"),
        "pose_filter": {
            "segmenter": block("keypointrcnn_resnet50_fpn"),
            "min_box_iou": 0.0,
            "min_keypoints_inside": 0.0,
            "min_person_score": 1.0,
            "min_second_person_score": 1.0,
        },
        "device": "cpu",
    }
    home = Home((tmp_path / "home").resolve())
    summary = generate_dataset([str(video)], validate_config(tree, "test"), name="test", home=home.root)
    assert summary.failures == ()
    assert summary.counts["sampled"] == 2
    assert {"pose", "teacher", "student"} <= set(summary.seconds)
    with database_of(home).session() as session:
        names = set(session.scalars(select(ModelRow.name)))
    assert "maskrcnn_resnet50_fpn_v2" in " ".join(names)


@pytest.mark.shared
@pytest.mark.long
def test_the_lite_networks_find_people_in_a_surveillance_video(shared: Path, tmp_path: Path) -> None:
    config = load_config("lite", [f"weights_dir={shared / 'weights'}", "sampling.every_s=8"])
    home = Home((tmp_path / "home").resolve())
    video = shared / "data" / "pets2009_s2l1" / "vtest.avi"
    summary = generate_dataset([str(video)], config, name="lite", home=home.root)
    assert summary.counts["compared"] == 10
    with database_of(home).session() as session:
        by_role = dict(
            session.execute(select(InstanceRow.role, func.count()).group_by(InstanceRow.role)).tuples().all()
        )
        hard = list(list_frames(session, summary.run_id, FrameQuery(hard_only=True)))
    assert by_role["teacher"] >= 30  # five to six people a frame are there
    assert len(hard) >= 7  # the student finds only people near the camera


@pytest.mark.shared
def test_images_without_people_have_no_hard_frame(shared: Path, tmp_path: Path) -> None:
    """Cars on a highway: a folder of images is a source."""
    folder = tmp_path / "highway"
    folder.mkdir()
    source = shared / "data" / "cdnet_highway_negative" / "input"
    for path in sorted(source.iterdir())[::10]:
        (folder / path.name).symlink_to(path)
    config = load_config("lite", [f"weights_dir={shared / 'weights'}"])
    summary = generate_dataset([str(folder)], config, name="lite", home=tmp_path / "home")
    assert summary.images == 15
    assert summary.counts["rejected:no_people"] == 15
    assert summary.counts.get("hard", 0) == 0


def test_a_user_s_own_python_segmenter_that_breaks_the_protocol_is_named(tmp_path: Path) -> None:
    from configs.errors import ConfigError

    image = tmp_path / "p.png"
    cv2.imwrite(str(image), np.zeros((64, 64, 3), np.uint8))
    tree = {"teacher": "python:tests.fakes.segmenters:no_such_factory", "student": "background:mog2"}
    with pytest.raises(ConfigError, match="no_such_factory"):
        generate_dataset([str(tmp_path)], validate_config(tree, "test"), home=tmp_path / "home")
