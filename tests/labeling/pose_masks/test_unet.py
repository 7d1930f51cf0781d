"""The network: its shape, its prior, its gradient, its file, and its training."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from configs.training import PoseMaskTraining
from labeling.pose_masks.inputs import NAMES, make_pose_input
from labeling.pose_masks.losses import dice_loss, mask_losses, near_contour
from labeling.pose_masks.network import PoseMaskSession
from labeling.pose_masks.prior import draw_prior, joints_of, prior_logit
from labeling.pose_masks.samples import PoseMaskSample, PoseMaskSampler
from labeling.pose_masks.unet import SIZES, PoseMaskNetwork, count_parameters
from labeling.structures.instances import COCO_KEYPOINTS
from tests.labeling.pose_masks.test_prior import keypoints

pytestmark = [pytest.mark.slow, pytest.mark.requires("train", module="lightning")]
TINY = PoseMaskTraining(size="tiny", batch=2, steps=4, steps_per_epoch=2, workers=0, threads=1, device="cpu")


def inputs(side: int = 64) -> list[torch.Tensor]:
    made = make_pose_input(
        np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8),
        joints_of(keypoints(*COCO_KEYPOINTS)),
    )
    return [torch.from_numpy(getattr(made, name))[None] for name in NAMES]


@pytest.mark.parametrize("size", ["full", "cpu", "tiny"])
def test_the_logits_have_the_size_of_the_image(size: str) -> None:
    network = PoseMaskNetwork(SIZES[size]).eval()
    side = SIZES[size].side_px
    with torch.no_grad():
        assert network(*inputs(side)).shape == (1, 1, side, side)


def test_the_paper_s_figure_has_1_8_million_weights_and_ours_fits_into_6_mb() -> None:
    assert count_parameters(PoseMaskNetwork(SIZES["full"])) == pytest.approx(1.76e6, rel=0.02)
    assert 2 * count_parameters(PoseMaskNetwork(SIZES["cpu"])) < 6e6


def test_a_network_that_corrects_nothing_returns_the_prior() -> None:
    network = PoseMaskNetwork(SIZES["tiny"]).eval()
    torch.nn.init.zeros_(network.out.weight)
    torch.nn.init.zeros_(network.out.bias)  # type: ignore[arg-type]
    logits = network(*inputs())[0, 0].detach().numpy()
    prior = draw_prior(joints_of(keypoints(*COCO_KEYPOINTS)), 64)
    assert logits == pytest.approx(prior_logit(prior))
    assert 2 / (1 + np.exp(-logits)) - 1 == pytest.approx(np.tanh(logits / 2), abs=1e-6)


def test_the_gradient_is_not_0_far_from_the_skeleton() -> None:
    network = PoseMaskNetwork(SIZES["tiny"])
    image, pose, prior = inputs()
    logits = network(image, pose, prior)
    logits.retain_grad()
    mask_losses(logits, torch.ones_like(logits))["entropy"].backward()  # type: ignore[no-untyped-call]
    assert prior[0, 0, 0, 0] < -3.8  # no limb is near
    assert logits.grad is not None
    assert logits.grad[0, 0, 0, 0].abs() > 1e-5


def test_dice_is_0_for_a_perfect_mask_and_1_for_an_opposite_one() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :16] = 1
    perfect = (2 * mask - 1) * 20
    assert dice_loss(perfect, mask) < 0.01
    assert dice_loss(-perfect, mask) > 0.99
    assert near_contour(mask, 2)[0, 0, 0].tolist() == [0.0] * 14 + [1.0] * 4 + [0.0] * 14


def test_the_exported_file_gives_what_the_network_gives(tmp_path: Path) -> None:
    from labeling.pose_masks.export import export_pose_masks

    network = PoseMaskNetwork(SIZES["tiny"]).eval()
    digest = export_pose_masks(network, tmp_path / "network.onnx")
    session = PoseMaskSession(tmp_path / "network.onnx")
    assert (session.side_px, session.sha256) == (64, digest)
    made = make_pose_input(np.full((64, 64, 3), 90, np.uint8), joints_of(keypoints(*COCO_KEYPOINTS)))
    with torch.no_grad():
        logits = network(*(torch.from_numpy(getattr(made, name))[None] for name in NAMES))
    found = session.run([made] * 5)
    assert len(found) == 5
    for one in found:
        assert one == pytest.approx(torch.sigmoid(logits)[0, 0].numpy(), abs=2e-3)


def test_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    for path in (tmp_path / "bad.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(ConfigError, match=r"name a file that `maskmill train pose-mask` wrote"):
            PoseMaskSession(path)


def test_two_samples_are_learned(tmp_path: Path) -> None:
    from labeling.pose_masks.train import predict, train_pose_masks

    class TwoSamples:
        def __init__(self) -> None:
            source = PoseMaskSampler([], [], [], side_px=64, seed=1)
            self.samples = [source.sample(index) for index in range(2)]

        def sample(self, index: int) -> PoseMaskSample:
            return self.samples[index % 2]

    source = TwoSamples()
    settings = TINY.model_copy(update={"steps": 25, "steps_per_epoch": 25, "learning_rate": 0.01})
    network = train_pose_masks(settings, source, tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.5 * losses[0]
    batch = {
        name: torch.stack([torch.from_numpy(getattr(s.input, name)) for s in source.samples])
        for name in NAMES
    }
    masks = torch.stack([torch.from_numpy(sample.mask) for sample in source.samples]) > 0.5
    found = predict(network, batch) > 0
    assert ((found & masks).sum() / (found | masks).sum()) > 0.8
