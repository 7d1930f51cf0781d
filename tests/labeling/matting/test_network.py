"""The matting network as a file."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError
from labeling.matting.inputs import make_input
from labeling.matting.network import SAMPLES_PER_RUN, MattingNetwork
from tests.fakes.mattes import SIDE_PX, write_network
from tests.labeling.segmenters.tiny_networks import save_onnx


def test_the_network_returns_alpha_and_colors_of_each_sample_in_order(tmp_path: Path) -> None:
    network = MattingNetwork(write_network(tmp_path / "tiny.onnx"))
    inside = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
    inside[8:24, 8:24] = 1
    image = np.full((SIDE_PX, SIDE_PX, 3), (10, 127, 250), dtype=np.uint8)
    samples = [
        make_input(image, image, np.ones_like(inside, dtype=bool), mask, motion=None, people=[])
        for mask in (inside, np.zeros_like(inside))
    ]
    person, empty = network.run(samples)
    assert person.alpha.shape == (SIDE_PX, SIDE_PX)
    assert person.alpha[16, 16] > 0.9
    assert person.alpha[1, 1] < 0.01
    assert empty.alpha.max() == 0
    np.testing.assert_allclose(person.foreground, image, atol=0.01)
    assert network.run([]) == []


def test_a_missing_file_and_another_network_are_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        MattingNetwork(tmp_path / "missing.onnx")
    from onnx import TensorProto, helper

    other = save_onnx(
        tmp_path / "other.onnx",
        [helper.make_node("Identity", ["image"], ["alpha"])],
        input_shape=[1, 3, 8, 8],
        outputs=[("alpha", TensorProto.FLOAT)],
    )
    with pytest.raises(ConfigError, match="train matting"):
        MattingNetwork(other)


def test_a_crowd_is_run_in_parts_with_equal_results(tmp_path: Path) -> None:
    network = MattingNetwork(write_network(tmp_path / "tiny.onnx"))
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    samples = []
    for row in range(11):
        mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
        mask[row : row + 18] = 1
        samples.append(make_input(image, image, mask > 0, mask, motion=None, people=[]))
    together, alone = network.run(samples), [network.run([sample])[0] for sample in samples]
    assert len(together) == 11 > SAMPLES_PER_RUN
    assert all(np.array_equal(a.alpha, b.alpha) for a, b in zip(together, alone, strict=True))
    assert len({float(matte.alpha.sum()) for matte in together}) > 1
