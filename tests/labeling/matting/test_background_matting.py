"""The network: gradients, inputs that matter, the ONNX file, the discriminator."""

from pathlib import Path

import numpy as np
import pytest
import torch

from labeling.matting.background_matting import SIZES, BackgroundMattingNetwork
from labeling.matting.discriminator import PatchDiscriminator
from labeling.matting.export import export_network
from labeling.matting.inputs import NAMES, NetworkInput
from labeling.matting.network import MattingNetwork

CHANNELS = {"image": 3, "plate": 3, "coverage": 1, "prior": 1, "motion": 4, "keypoints": 55}
SIDE = SIZES["tiny"].side_px


def random_inputs(batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = {name: SIDE // 4 if name == "keypoints" else SIDE for name in NAMES}
    return {
        name: torch.rand(batch, CHANNELS[name], sides[name], sides[name], generator=generator) * 2 - 1
        for name in NAMES
    }


@pytest.fixture
def network() -> BackgroundMattingNetwork:
    torch.manual_seed(1)
    return BackgroundMattingNetwork(SIZES["tiny"])


def test_alpha_and_foreground_have_the_size_of_the_image(network: BackgroundMattingNetwork) -> None:
    alpha, foreground = network(**random_inputs())
    assert alpha.shape == (2, 1, SIDE, SIDE)
    assert foreground.shape == (2, 3, SIDE, SIDE)
    assert alpha.min() >= 0
    assert alpha.max() <= 1


def test_gradients_reach_every_encoder_selector_and_head(network: BackgroundMattingNetwork) -> None:
    alpha, foreground = network(**random_inputs())
    (alpha.sum() + foreground.sum()).backward()
    parts = dict(network.named_children()) | {
        f"selector {number}": selector for number, selector in enumerate(network.selectors)
    }
    assert len(parts) == 14
    for name, part in parts.items():
        gradients = [weight.grad for weight in part.parameters()]
        assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients), name


@pytest.mark.parametrize("name", NAMES)
def test_each_input_changes_alpha(network: BackgroundMattingNetwork, name: str) -> None:
    inputs = random_inputs()
    with torch.no_grad():
        before, _ = network(**inputs)
        after, _ = network(**inputs | {name: -inputs[name]})
    assert (before - after).abs().max() > 1e-4


@pytest.mark.slow
def test_the_onnx_file_gives_the_same_result_as_torch(
    network: BackgroundMattingNetwork, tmp_path: Path
) -> None:
    for _ in range(3):  # so that the running means of the normalization are not those of the start
        network(**random_inputs())
    digest = export_network(network, tmp_path / "network.onnx")
    inputs = random_inputs(3)
    with torch.no_grad():
        alpha, foreground = network.eval()(**inputs)
    loaded = MattingNetwork(tmp_path / "network.onnx")
    assert (loaded.sha256, loaded.side_px) == (digest, SIDE)
    samples = [NetworkInput(**{name: inputs[name][i].numpy() for name in NAMES}) for i in range(3)]
    for number, matte in enumerate(loaded.run(samples)):
        np.testing.assert_allclose(matte.alpha, alpha[number, 0].numpy(), atol=1e-3)
        expected = np.clip((foreground[number].numpy().transpose(1, 2, 0) + 1) * 127.5, 0, 255)
        np.testing.assert_allclose(matte.foreground, expected, atol=0.13)


@pytest.mark.parametrize(("side", "scores"), [(64, 6), (256, 30)])
def test_the_discriminator_scores_overlapping_patches(side: int, scores: int) -> None:
    discriminator = PatchDiscriminator(base=4)
    assert discriminator(torch.zeros(2, 3, side, side)).shape == (2, 1, scores, scores)
