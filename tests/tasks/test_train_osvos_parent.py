"""Training of the parent network: what is read, what is written, and that a segmenter starts from it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError, WeightsCorrupt
from configs.training import OsvosParentTraining
from tasks.train_osvos_parent import OsvosParentOrder, read_parent_data, train_osvos_parent_network
from tasks.training_records import TrainingData
from tests.labeling.tracking.crossing import draw_frame

pytestmark = [pytest.mark.requires("train", "lightning"), pytest.mark.requires("timm", "timm")]
TINY = OsvosParentTraining(
    backbone="test_efficientnet", batch=2, steps=4, steps_per_epoch=2, workers=0, device="cpu", threads=1
)


def save_dataset(folder: Path) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in (0, 14):
        rgb, masks = draw_frame(number)
        labels = sum(person * mask.astype(np.uint8) for person, mask in masks.items())
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.ascontiguousarray(rgb[..., ::-1]))
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), np.asarray(labels, dtype=np.uint8))
    return folder


def order_of(*datasets: Path, to: Path) -> OsvosParentOrder:
    return OsvosParentOrder(tuple(str(one) for one in datasets), to, TINY)


@pytest.mark.slow
def test_the_result_starts_a_segmenter_and_belongs_to_its_backbone(tmp_path: Path) -> None:
    from labeling.tracking.osvos_network import Backbone, read_parent

    data = save_dataset(tmp_path / "data")
    summary = train_osvos_parent_network(order_of(data, tmp_path / "gone", to=tmp_path / "to"))
    assert summary.people == 4
    assert [failure.name for failure in summary.failures] == [str(tmp_path / "gone")]
    assert len((tmp_path / "to" / "metrics.csv").read_text().splitlines()) == 1 + 4
    assert json.loads((tmp_path / "to" / "training.json").read_text())["result"]["sha256"] == summary.sha256
    head = read_parent(Path(summary.network), Backbone(TINY.backbone))
    assert all(one.isfinite().all() for one in head.fuse.parameters())
    with pytest.raises(WeightsCorrupt, match="does not fit the backbone test_resnet"):
        read_parent(Path(summary.network), Backbone("test_resnet"))
    with pytest.raises(ConfigError, match="other settings or data"):
        train_osvos_parent_network(order_of(data, to=tmp_path / "to"))


def test_other_people_are_negatives_and_tall_people_are_reduced(tmp_path: Path) -> None:
    data = TrainingData()
    patches = read_parent_data(order_of(save_dataset(tmp_path / "data"), to=tmp_path), data)
    assert all(patch.box_xywh[3] <= 96 for patch in patches)
    crossing = [patch for patch in patches if patch.frame == 1]
    assert all(set(np.unique(patch.labels)) == {0, 1, 2} for patch in crossing)
    with pytest.raises(ConfigError, match="no data set can be read"):
        read_parent_data(order_of(tmp_path / "gone", to=tmp_path), TrainingData())
