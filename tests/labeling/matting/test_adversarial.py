"""The adversarial stage, on stored crops of a planted scene."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import StorageError
from configs.training import AdversarialTraining, MattingTraining
from labeling.background.coverage import Coverage, MaskedPlate
from labeling.matting.frame import CropImages
from labeling.matting.real_crops import RealSamples, read_crop, store_crops, write_crop
from labeling.structures.frames import Clip
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from tests.fakes.videos import encode_numbers

SIDE = 64
needs_lightning = pytest.mark.requires("train", module="lightning")


def image_files(folder: Path, count: int = 6) -> list[Path]:
    """Crops of a striped room with a square person who moves."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    plate = rng.integers(90, 110, (SIDE, SIDE, 3), dtype=np.uint8)
    paths = []
    for number in range(count):
        mask = np.zeros((SIDE, SIDE), bool)
        mask[16:56, 10 + 4 * number : 26 + 4 * number] = True
        image = np.where(mask[..., None], np.uint8(200), plate)
        crop = CropImages(image, plate, np.ones_like(mask), mask, None, [((20.0, 30.0, 1.0),) * 17])
        paths.append(folder / f"{number}.npz")
        write_crop(paths[-1], crop)
    return paths


def samples(tmp_path: Path) -> RealSamples:
    return RealSamples(image_files(tmp_path / "crops"), [], side_px=SIDE, seed=3)


def test_a_stored_crop_is_read_as_it_was(tmp_path: Path) -> None:
    crop = read_crop(image_files(tmp_path / "crops")[2])
    assert crop.image.shape == (SIDE, SIDE, 3)
    assert crop.mask.sum() == 40 * 16
    assert crop.motion is None
    assert crop.people == [((20.0, 30.0, 1.0),) * 17]


def test_a_damaged_crop_is_an_error_that_names_its_folder(tmp_path: Path) -> None:
    (tmp_path / "0.npz").write_bytes(b"half a file")
    with pytest.raises(StorageError, match=rf"0\.npz cannot be read: .*delete the folder {tmp_path}"):
        read_crop(tmp_path / "0.npz")


def test_real_samples_depend_on_their_index_and_people_stay_inside(tmp_path: Path) -> None:
    source = samples(tmp_path)
    for index in range(8):
        sample, again = source.sample(index), source.sample(index)
        np.testing.assert_array_equal(sample.input.prior, again.input.prior)
        assert sample.shift_px == again.shift_px
        columns = np.flatnonzero(sample.input.image[0].max(axis=0) > 0.5)
        assert columns[0] + sample.shift_px >= 0
        assert columns[-1] + sample.shift_px < SIDE
        assert sample.other_background.shape == (3, SIDE, SIDE)


def test_crops_of_a_video_are_stored_with_plate_motion_and_mask(tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(encode_numbers(range(12)))
    mask = np.zeros((64, 160), bool)
    mask[8:60, 60:90] = True
    person = Instance(Mask.from_array(mask), 0.9, Mask.from_array(mask).box_xywh)
    plate = MaskedPlate(
        np.full((64, 160, 3), 120, np.uint8),
        np.full((64, 160), Coverage.SEEN, np.uint8),
        AdversarialTraining().plate,
    )
    paths = store_crops(
        Clip("clip", video),
        lambda frames: [[person] for _ in frames],
        plate,
        tmp_path / "crops",
        side_px=SIDE,
        every=5,
        seed=1,
    )
    assert [path.name for path in paths] == ["00000.npz", "00001.npz", "00002.npz"]
    crop = read_crop(paths[1])
    assert crop.image.shape == (SIDE, SIDE, 3)
    assert crop.motion is not None
    assert len(crop.motion) == 4
    assert 0.1 < crop.mask.mean() < 0.4


@needs_lightning
def test_people_are_shifted_and_composed_onto_the_other_background() -> None:
    from labeling.matting.adversarial import compose_on_other, shift_right

    row = torch.arange(1.0, 5.0)[None, None]
    assert shift_right(row, 1).flatten().tolist() == [0, 1, 2, 3]
    assert shift_right(row, -1).flatten().tolist() == [2, 3, 4, 0]
    alpha = torch.tensor([1.0, 0.5, 0.0, 0.0]).reshape(1, 1, 1, 4)
    batch = {
        "image": torch.full((1, 3, 1, 4), 0.9),
        "other_background": torch.full((1, 3, 1, 4), -1.0),
        "shift_px": torch.tensor([2]),
    }
    fake = compose_on_other(alpha, torch.full((1, 3, 1, 4), 0.2), batch)
    np.testing.assert_allclose(fake[0, 0, 0].numpy(), [-1, -1, 0.9, 0.5 * 0.2 - 0.5], atol=1e-6)


@pytest.mark.slow
@needs_lightning
def test_the_stage_trains_both_networks_keeps_the_teacher_and_repeats(tmp_path: Path) -> None:
    from labeling.matting.adversarial import train_adversarial
    from labeling.matting.background_matting import SIZES, BackgroundMattingNetwork

    settings = MattingTraining(
        size="tiny",
        batch=2,
        workers=0,
        threads=1,
        device="cpu",
        adversarial=AdversarialTraining(epochs=2, steps_per_epoch=4, discriminator_every=2),
    )
    source = samples(tmp_path)

    def start_network() -> BackgroundMattingNetwork:
        torch.manual_seed(5)
        return BackgroundMattingNetwork(SIZES["tiny"])

    before = start_network().state_dict()
    train_adversarial(settings, source, start_network(), tmp_path / "whole")
    checkpoint = torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)["state_dict"]
    for name, weight in before.items():
        torch.testing.assert_close(checkpoint[f"teacher.{name}"], weight, rtol=0, atol=0)
    changed = [name for name in before if not torch.equal(checkpoint[f"network.{name}"], before[name])]
    assert any(name.startswith("alpha_head") for name in changed)

    with (tmp_path / "whole" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    discriminator = [row["discriminator"] for row in rows]  # a value stays until the next one
    assert discriminator[0] == discriminator[1] != discriminator[2] == discriminator[3]

    shorter = settings.adversarial.model_copy(update={"epochs": 1})
    train_adversarial(
        settings.model_copy(update={"adversarial": shorter}), source, start_network(), tmp_path / "parts"
    )
    train_adversarial(settings, source, start_network(), tmp_path / "parts")
    with (tmp_path / "parts" / "metrics.csv").open(newline="") as file:
        repeated = [float(row["loss"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(repeated, [float(row["loss"]) for row in rows], atol=1e-6, rtol=0)
