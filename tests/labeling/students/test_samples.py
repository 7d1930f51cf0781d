"""Frames on disk, and the samples that are drawn from them."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.segmenters import CustomNetworkBlock
from labeling.segmenters.custom_network import prepare_input
from labeling.structures.frames import RgbImage
from labeling.students.frame_store import UNKNOWN, FrameStore, Labels, labels_of, write_frames
from labeling.students.samples import MEAN, STD, StudentSampler, make_sample, vary

SIZE_HW = (40, 64)


def frame(number: int, size_hw: tuple[int, int] = SIZE_HW) -> tuple[RgbImage, Labels]:
    rgb = np.full((*size_hw, 3), 10 * number, dtype=np.uint8)
    person = np.zeros(size_hw, dtype=bool)
    person[8:32, 10:30] = True
    rgb[person] = 250
    return rgb, labels_of(person)


def store(folder: Path, numbers: range, key: str = "a") -> FrameStore:
    return write_frames(folder, key, (frame(number) for number in numbers), SIZE_HW)


def test_frames_are_read_in_any_order_and_are_not_written_twice(tmp_path: Path) -> None:
    found = store(tmp_path, range(4))
    for number in (3, 0, 2):
        rgb, labels = found.read(number)
        assert np.array_equal(rgb, frame(number)[0])
        assert np.array_equal(labels, frame(number)[1])
    assert write_frames(tmp_path, "a", iter(()), SIZE_HW) == found
    assert store(tmp_path, range(2), key="b").count == 2


def test_a_store_whose_writer_was_killed_is_written_again(tmp_path: Path) -> None:
    def killed() -> object:
        yield frame(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_frames(tmp_path, "a", killed(), SIZE_HW)  # type: ignore[arg-type]
    assert store(tmp_path, range(3)).count == 3


def test_training_sees_an_image_as_the_exported_network_does(tmp_path: Path) -> None:
    rgb, labels = (
        np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8),
        frame(0, (60, 90))[1],
    )
    found = write_frames(tmp_path, "a", [(rgb, labels)], SIZE_HW)
    block = CustomNetworkBlock(kind="onnx", path=Path("n.onnx"), input_hw=SIZE_HW, mean=MEAN, std=STD)
    np.testing.assert_allclose(
        make_sample(*found.read(0)).image, prepare_input(rgb, block)[0], rtol=0, atol=1e-6
    )


def test_a_sample_depends_on_the_seed_and_its_index_alone(tmp_path: Path) -> None:
    frames = store(tmp_path / "a", range(5))
    first, again = StudentSampler(frames, 1), StudentSampler(frames, 1)
    assert np.array_equal(first.sample(7).image, again.sample(7).image)
    assert not np.array_equal(first.sample(7).image, StudentSampler(frames, 2).sample(7).image)


def test_image_and_labels_are_moved_alike_and_what_comes_from_outside_is_not_known() -> None:
    rgb, labels = frame(2)
    unknown = 0
    for seed in range(40):
        moved, known = vary(rgb, labels, np.random.default_rng(seed))
        bright = moved[..., 0].astype(int) > 150
        inside = known != UNKNOWN
        unknown += int((~inside).sum())
        assert np.mean(bright[inside] != (known[inside] == 1)) < 0.06  # edges are interpolated
    assert unknown


def test_the_base_dataset_has_its_share_of_the_samples(tmp_path: Path) -> None:
    frames, base = store(tmp_path / "a", range(1)), store(tmp_path / "b", range(20, 21))
    sampler = StudentSampler(frames, 1, base, base_share=0.3)
    dark = [sampler.sample(index).image.min() < 0 for index in range(300)]
    assert 0.6 < np.mean(dark) < 0.8
    with pytest.raises(ConfigError, match="at least one frame"):
        StudentSampler(write_frames(tmp_path / "c", "none", (), SIZE_HW), 1)
