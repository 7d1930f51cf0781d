"""What a pose-mask training reads: people with keypoints, cut-outs, backgrounds, and what is refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import ConfigError
from configs.segmenters import PythonBlock
from configs.training import PoseMaskTraining
from labeling.pose_masks.network import PoseMaskSession
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.training.inpainting import remove_people
from tasks.train_pose_masks import (
    PoseMaskData,
    PoseMaskOrder,
    label_people,
    read_pose_mask_data,
    train_pose_mask_network,
)
from tests.labeling.pose_masks.test_prior import keypoints
from tests.tasks.test_train import make_mask_export, person_mask

SHOULDERS = keypoints("left_shoulder", "right_shoulder")


class OnePose(StatelessSegmenter):
    """Finds the labeled person in each image."""

    card = ModelCard("python", "one_pose", "", "{}")

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        mask = Mask.from_array(person_mask())
        return [[Instance(mask, 0.9, mask.box_xywh, SHOULDERS)] for _ in frames]


def read(tmp_path: Path, *datasets: object, backgrounds: tuple[Path, ...] = ()) -> PoseMaskData:
    data = PoseMaskData()
    order = PoseMaskOrder(tuple(map(str, datasets)), tmp_path / "out", PoseMaskTraining(), backgrounds)
    read_pose_mask_data(order, data, OnePose())
    return data


def test_labeled_people_get_the_keypoints_of_the_pose_model(tmp_path: Path) -> None:
    data = read(tmp_path, make_mask_export(tmp_path / "masks"))
    assert [image.keypoints for image in data.people] == [(SHOULDERS,)] * 3
    assert all((image.labels == person_mask()).all() for image in data.people)
    assert len(data.cutouts) == len(data.backgrounds) == 3
    assert read(tmp_path, tmp_path / "masks").fingerprints == data.fingerprints


def test_bad_data_sets_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    masks, empty = make_mask_export(tmp_path / "masks"), tmp_path / "empty"
    empty.mkdir()
    (masks / "images" / "1.jpg").write_bytes(b"no image")
    data = read(tmp_path, empty, masks, tmp_path / "missing.yaml")
    assert len(data.people) == 2
    assert len(data.backgrounds) == 2
    names = [failure.name for failure in data.failures]
    assert names == [str(empty), str(masks / "images" / "1.jpg"), str(tmp_path / "missing.yaml")]
    with pytest.raises(ConfigError, match=r"no data set can be read: .*neither an export of maskmill"):
        read(tmp_path, empty)


@pytest.mark.slow
@pytest.mark.requires("train", module="lightning")
def test_a_training_writes_a_network_and_what_repeats_it(tmp_path: Path) -> None:
    settings = PoseMaskTraining(
        size="tiny", batch=1, steps=2, steps_per_epoch=2, workers=0, threads=1, device="cpu",
        teacher=PythonBlock(factory="tests.fakes.segmenters:scripted"),
    )  # fmt: skip
    order = PoseMaskOrder((str(make_mask_export(tmp_path / "masks")),), tmp_path / "out", settings)
    summary = train_pose_mask_network(order)
    assert (summary.images, summary.people, summary.with_keypoints) == (3, 3, 0)
    assert PoseMaskSession(Path(summary.network)).sha256 == summary.sha256
    changed = replace(order, settings=settings.model_copy(update={"seed": 9}))
    with pytest.raises(ConfigError, match=r"settings\.seed was 1, is 9"):
        train_pose_mask_network(changed)


def test_a_large_image_is_reduced_with_its_labels_and_keypoints() -> None:
    pixels = np.zeros((600, 2048), np.uint8)
    pixels[100:500, 1000:1400] = 1
    image = label_people(np.zeros((600, 2048, 3), np.uint8), [Mask.from_array(pixels)], [SHOULDERS])
    assert image.rgb.shape == (300, 1024, 3)
    assert (image.labels == cv2.resize(pixels, (1024, 300), interpolation=cv2.INTER_NEAREST)).all()
    assert image.keypoints[0][5] == (73.0, 36.0, 1.0)


def test_people_are_replaced_by_what_is_around_them() -> None:
    rgb = np.full((120, 90, 3), 70, np.uint8)
    rgb[30:90, 30:60] = 255
    assert np.abs(remove_people(rgb, rgb[..., 0] == 255).astype(int) - 70).max() < 10
