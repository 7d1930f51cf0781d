"""The network of one person: its loss against numpy, crops and their way back, fine-tuning to few frames."""

import numpy as np
import pytest

from labeling.structures.masks import BoxXywh
from labeling.tracking.body_size import fit_body_size
from tests.labeling.tracking.crossing import draw_frame

pytestmark = [pytest.mark.requires("torch", "torch")]


def test_the_loss_is_that_of_the_paper_with_weights() -> None:
    import torch

    from labeling.tracking.osvos_network import balanced_loss

    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (2, 1, 6, 5))
    target = (rng.random((2, 1, 6, 5)) > 0.7).astype(float)
    weight = rng.choice([0.0, 1.0, 3.0], (2, 1, 6, 5))
    expected = []
    for z, y, w in zip(logits, target, weight, strict=True):
        probability = 1 / (1 + np.exp(-z))
        total, positive = w.sum(), (w * y).sum()
        of_person = -(w * y * np.log(probability)).sum() / total
        of_rest = -(w * (1 - y) * np.log(1 - probability)).sum() / total
        expected.append((1 - positive / total) * of_person + positive / total * of_rest)
    found = balanced_loss(*(torch.from_numpy(one) for one in (logits, target, weight)))
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-9)


def test_a_crop_returns_to_its_place() -> None:
    from labeling.tracking.osvos_crops import Augmentation, CropFrame

    rgb, masks = draw_frame(10)
    x, y, w, h = box = (60.0, 60.0, 26.0, 68.0)
    turned = Augmentation(is_mirrored=True, degrees=20, scale=1.1, shift=(0.05, -0.05))
    for change in (Augmentation(), turned):
        crop = CropFrame.around(box, change)
        there = crop.cut(masks[1].astype(np.uint8) * 255)
        rows, columns, back = crop.paste((there / 255).astype(np.float32), (144, 256))
        pasted = np.zeros((144, 256), dtype=bool)
        pasted[rows, columns] = back > 0.5
        both = (pasted & masks[1]).sum() / (pasted | masks[1]).sum()
        assert both > 0.9
    guides = CropFrame.around(box).guides(None)
    assert guides.shape == (6, 64, 64)
    assert abs(float(guides[0, 32, 32])) < 0.2
    outside = CropFrame.around((-900.0, 20.0, w, h))
    rows, columns = outside.region((144, 256))
    assert columns.stop - columns.start == 0
    assert rgb.shape == (144, 256, 3)
    assert (x, y) == (60, 60)


def test_bodies_are_taller_further_down() -> None:
    rng = np.random.default_rng(1)
    points = [np.array([rng.uniform(0, 400), row]) for row in np.linspace(100, 300, 40)]
    boxes: list[BoxXywh] = []
    for number, (x, y) in enumerate(points):
        height = 0.3 * y + 5 if number % 9 else 300.0  # some boxes hold two people
        boxes.append((x - 0.2 * height, y - height, 0.4 * height, height))
    bodies = fit_body_size(points, boxes, anchor="bottom", size_hw=(360, 480))
    assert bodies.height(200) == pytest.approx(65, abs=2)
    assert bodies.box(np.array([50.0, 200.0])) == pytest.approx((37, 135, 26, 65), abs=2)
    without = fit_body_size([], [], anchor="top", size_hw=(360, 480))
    assert without.box(np.array([50.0, 20.0])) == pytest.approx((35.6, 20, 28.8, 72))


@pytest.mark.slow
@pytest.mark.requires("timm", "timm")
def test_three_frames_are_learned_well() -> None:
    import torch

    from labeling.tracking.osvos_crops import OTHERS, PERSON, TrainingPatch
    from labeling.tracking.osvos_fine_tuning import FineTuning, fine_tune
    from labeling.tracking.osvos_network import Backbone, PersonHead

    patches = []
    for number in (0, 12, 24):
        rgb, masks = draw_frame(number)
        labels = np.zeros((144, 256), dtype=np.uint8)
        labels[masks[2]], labels[masks[1]] = OTHERS, PERSON
        columns, rows = np.flatnonzero(masks[1].any(0)), np.flatnonzero(masks[1].any(1))
        box = (float(columns[0]), float(rows[0]), float(np.ptp(columns) + 1), float(np.ptp(rows) + 1))
        patches.append(TrainingPatch.cut(number, rgb, labels, None, box))
    backbone = Backbone("test_efficientnet").eval()
    torch.manual_seed(0)
    settings = FineTuning(samples=3, batch=3, epochs=60, patience=60, learning_rate=1e-2)
    trained = fine_tune(backbone, PersonHead(backbone.channels), patches, settings)
    assert trained.iou > 0.9
    assert trained.losses[-1] < 0.2 * trained.losses[0]
