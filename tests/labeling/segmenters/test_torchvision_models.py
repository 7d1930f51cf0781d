"""torchvision's networks with random weights: what comes out fits the frames, whatever it shows.

Importing torchvision takes seconds, so only the tests that need it import it.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from configs.errors import ConfigError, WeightsCorrupt
from configs.segmenters import TorchvisionBlock
from labeling.segmenters.torchvision_models import RANDOM_SEED, TorchvisionSegmenter, load_state
from labeling.segmenters.torchvision_outputs import InstanceNetwork, cover_box
from labeling.structures.instances import Instance
from tests.labeling.segmenters.images import make_frame, noise

pytestmark = pytest.mark.slow

SIZES_HW = ((48, 64), (60, 40))


def make(model: str, **options: object) -> TorchvisionSegmenter:
    block = TorchvisionBlock.model_validate({"model": model, "weights": "random", "min_size": 32, **options})
    return TorchvisionSegmenter(block, weights_dir=None, device="cpu", batch=2)


def check_instances(found: list[list[Instance]], min_score: float) -> None:
    for (height, width), instances in zip(SIZES_HW, found, strict=True):
        assert instances
        for one in instances:
            x, y, w, h = one.box_xywh
            assert min(x, y, w, h) >= 0
            assert x + w <= width + 0.01
            assert y + h <= height + 0.01
            assert one.mask.size_hw == (height, width)
            assert one.mask.area_px > 0
            assert min_score <= one.score <= 1
        assert [one.score for one in instances] == sorted((one.score for one in instances), reverse=True)


def test_mask_rcnn_gives_masks_in_the_frames_sizes() -> None:
    segmenter = make("maskrcnn_resnet50_fpn_v2", min_score=0.015)
    found = segmenter.segment([make_frame(noise(*hw)) for hw in SIZES_HW])
    check_instances(found, 0.015)
    assert all(one.keypoints is None for instances in found for one in instances)
    assert all(
        one.stability is not None and 0 <= one.stability <= 1 for instances in found for one in instances
    )
    assert segmenter.card.gives_instances
    assert segmenter.card.gives_masks
    assert segmenter.card.weights_sha256 == "random"
    assert json.loads(segmenter.card.settings)["min_size"] == 32


def test_keypoint_rcnn_gives_filled_boxes_and_seventeen_keypoints() -> None:
    segmenter = make("keypointrcnn_resnet50_fpn", min_score=0.05)
    found = segmenter.segment([make_frame(noise(*hw)) for hw in SIZES_HW])
    check_instances(found, 0.05)
    for instances, hw in zip(found, SIZES_HW, strict=True):
        for one in instances:
            assert one.mask == cover_box(one.box_xywh, hw)
            assert one.stability is None
            keypoints = np.array(one.keypoints)
            assert keypoints.shape == (17, 3)
            assert ((keypoints[:, 2] >= 0) & (keypoints[:, 2] <= 1)).all()
    assert not segmenter.card.gives_masks


class Sees(torch.nn.Module):
    """A detector that gives these probabilities, NxHxW, with scores of 0.9, 0.8, 0.1 and so on."""

    def __init__(self, probability: NDArray[np.float32]) -> None:
        super().__init__()
        self.roi_heads = SimpleNamespace(postprocess_detections=None)
        count = len(probability)
        self._found = {
            "scores": torch.tensor([0.9, 0.8, 0.1])[:count],
            "boxes": torch.tensor([[0.0, 0.0, 4.0, 3.0]]).repeat(count, 1),
            "masks": torch.from_numpy(probability)[:, None],
        }

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        return [self._found for _ in images]


def test_the_stability_of_a_mask_is_that_of_its_probabilities() -> None:
    probability = np.random.default_rng(0).random((3, 3, 4), dtype=np.float32)
    block = TorchvisionBlock(min_score=0.5)
    network = InstanceNetwork(Sees(probability), person=1, device="cpu", block=block, transforms=None)
    (found,) = network.infer([noise(3, 4)])
    assert [one.mask.to_array().tolist() for one in found] == (probability[:2] > 0.5).tolist()
    assert [one.stability for one in found] == [
        pytest.approx((one > 0.75).sum() / (one > 0.5).sum()) for one in probability[:2]
    ]
    (found,) = InstanceNetwork(
        Sees(probability * 0.4), person=1, device="cpu", block=block, transforms=None
    ).infer([noise(3, 4)])
    assert found == []


def test_people_are_those_that_plain_torchvision_finds() -> None:
    """Only people go through suppression and the heads; their scores and boxes stay what they are."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

    image = noise(48, 64)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(RANDOM_SEED)
        plain = maskrcnn_resnet50_fpn_v2(
            weights=None,
            weights_backbone=None,
            min_size=32,
            box_score_thresh=0.015,
            box_detections_per_img=10_000,
        ).eval()
    plain.roi_heads.mask_head = None
    with torch.inference_mode():
        (expected,) = plain([torch.from_numpy(image).permute(2, 0, 1) / 255])
    people = expected["labels"] == 1
    (found,) = make("maskrcnn_resnet50_fpn_v2", min_score=0.015).segment([make_frame(image)])
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in (one.box_xywh for one in found)])
    assert 0 < len(found) <= people.sum() < len(people)
    scores = expected["scores"][people].numpy()
    for one, box in zip(found, corners, strict=True):
        near = np.abs(expected["boxes"][people].numpy() - box).max(axis=1) < 0.01
        assert scores[near] == pytest.approx([one.score], abs=1e-5)


@pytest.mark.parametrize("model", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_semantic_networks_give_one_mask_at_most(model: str) -> None:
    segmenter = make(model, mask_threshold=0.04)
    found = segmenter.segment([make_frame(noise(*hw)) for hw in ((40, 40), (50, 40))])
    for instances, hw in zip(found, ((40, 40), (50, 40)), strict=True):
        assert [one.mask.size_hw for one in instances] == [hw]
        assert 0.04 < instances[0].score < 0.2
        assert instances[0].box_xywh == instances[0].mask.box_xywh
    assert not segmenter.card.gives_instances


def test_the_batch_size_changes_nothing() -> None:
    frames = [make_frame(noise(20, 20, seed)) for seed in range(3)]
    segmenter = make("lraspp_mobilenet_v3_large", mask_threshold=0.04)
    together = segmenter.segment(frames)
    alone = [segmenter.segment([frame])[0] for frame in frames]
    for (first,), (second,) in zip(together, alone, strict=True):
        assert first.score == pytest.approx(second.score, abs=1e-4)
        assert (first.mask.to_array() != second.mask.to_array()).mean() < 0.01


def test_no_person_is_found_below_the_threshold() -> None:
    assert make("lraspp_mobilenet_v3_large", mask_threshold=0.9).segment([make_frame(noise(20, 20))]) == [[]]


def test_random_weights_are_reproducible_and_keep_torchs_global_state() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = make("lraspp_mobilenet_v3_large"), make("lraspp_mobilenet_v3_large")
    assert torch.equal(torch.get_rng_state(), before)
    frame = make_frame(noise(20, 30))
    assert first.segment([frame]) == second.segment([frame])


def test_frozen_batch_norm_of_published_detectors_gives_the_same_result() -> None:
    """Weights trained with frozen batch norm of epsilon 0, as torchvision builds that network."""
    from torchvision.models import resnet50
    from torchvision.models.detection import maskrcnn_resnet50_fpn
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
    from torchvision.models.detection.mask_rcnn import MaskRCNN
    from torchvision.ops import FrozenBatchNorm2d

    torch.default_generator.manual_seed(1)
    backbone = _resnet_fpn_extractor(resnet50(weights=None, norm_layer=FrozenBatchNorm2d), 3)
    published = MaskRCNN(backbone, 91).eval()
    for module in published.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
            module.running_var.uniform_(1e-5, 1e-3)
    ours = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    load_state(ours, published.state_dict(), "maskrcnn_resnet50_fpn", "COCO_V1")
    values = torch.rand(1, 64, 8, 8)
    theirs, here = published.backbone.body.layer1[0].bn1, ours.backbone.body.layer1[0].bn1
    with torch.inference_mode():
        assert torch.allclose(here(values), theirs(values), rtol=1e-5)
    assert {module.eps for module in ours.modules() if isinstance(module, torch.nn.BatchNorm2d)} == {0.0}


def test_weights_of_another_network_are_refused() -> None:
    from torchvision.models import resnet50

    net = resnet50(weights=None)
    state = net.state_dict()
    del state["fc.weight"]
    with pytest.raises(WeightsCorrupt, match=r"1 wrong keys, such as 'fc\.weight'"):
        load_state(net, state, "resnet50", "V1")
    with pytest.raises(WeightsCorrupt, match="do not fit"):
        load_state(net, {"fc.weight": torch.zeros(2, 2)}, "resnet50", "V1")


def test_unknown_weights_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"COCO_V2.*DEFAULT, COCO_V1, random"):
        make("maskrcnn_resnet50_fpn_v2", weights="COCO_V2")


def test_a_filled_box_stays_within_the_image() -> None:
    mask = cover_box((-3.0, 1.5, 5.2, 100.0), (10, 8))
    expected = np.zeros((10, 8), dtype=bool)
    expected[1:, :3] = True
    assert (mask.to_array() == expected).all()
