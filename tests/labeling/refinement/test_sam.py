"""Segment Anything as a refiner, with tiny networks of random weights of each family."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.refinement import SamBlock
from labeling.refinement.factory import make_refiner
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, iou_matrix
from tests.fakes import transformers_models as fakes
from tests.labeling.segmenters.images import noise

pytestmark = [
    pytest.mark.requires("torch", "torch"),
    pytest.mark.requires("torchvision", "torchvision"),
    pytest.mark.requires("transformers", "transformers"),
    pytest.mark.slow,
    # of transformers, in its own code
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
SIZE_HW = (90, 160)
FAMILIES: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "sam2": (fakes.save_sam2, "Sam2Model", "Sam2Processor"),
    "sam2_video": (fakes.save_sam2_video, "Sam2Model", "Sam2Processor"),
    "edgetam": (fakes.save_edgetam, "EdgeTamModel", "Sam2Processor"),
    "sam3_tracker": (fakes.save_sam3_tracker, "Sam3TrackerModel", "Sam3TrackerProcessor"),
}
"""How a folder is written, and the classes of the network and processor."""


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.save_sam2(tmp_path_factory.mktemp("sam") / "sam2")


def person_at(x: int, *, keypoints: bool = False) -> Instance:
    inside = np.zeros(SIZE_HW, dtype=np.bool_)
    inside[10:80, x : x + 40] = True
    mask = Mask.from_array(inside)
    points = ((x + 9.0, 20.0, 0.9), (x + 20.0, 60.0, 0.8), (x + 90.0, 20.0, 1.0)) if keypoints else None
    return Instance(mask, 0.9, mask.box_xywh, keypoints=points)


@pytest.mark.parametrize(
    "family",
    [
        "sam2",
        "sam2_video",
        pytest.param("edgetam", marks=pytest.mark.requires("timm", "timm")),
        "sam3_tracker",
    ],
)
def test_each_person_is_drawn_from_its_own_box(family: str, tmp_path: Path) -> None:
    """With the library's own calls, one person at a time, as second implementation."""
    import torch
    import transformers as t

    save, network, reader = FAMILIES[family]
    folder = save(tmp_path / family)
    people = [person_at(5), person_at(60, keypoints=True)]
    refiner = make_refiner(SamBlock(model=str(folder), min_iou=0.0, min_iou_before=0.0))
    frame = Frame("v", 0, noise(*SIZE_HW))
    (together,) = refiner.refine([frame], [people])
    library: Any = t
    processor = getattr(library, reader).from_pretrained(folder)
    model = getattr(library, network).from_pretrained(folder).eval()
    for person, drawn in zip(people, together, strict=True):
        x, y, w, h = person.mask.box_xywh
        points = [[px, py] for px, py, _ in (person.keypoints or ())[:2]]  # the third is outside the box
        prompts = {"input_points": [[points]], "input_labels": [[[1, 1]]]} if points else {}
        inputs = processor(
            images=frame.rgb, input_boxes=[[[x, y, x + w, y + h]]], return_tensors="pt", **prompts
        )
        with torch.inference_mode():
            outputs = model(**inputs, multimask_output=False)
        (alone,) = processor.post_process_masks(outputs.pred_masks, inputs["original_sizes"])
        assert iou_matrix([drawn.mask], [Mask.from_array(alone[0, 0].numpy())])[0, 0] > 0.99
        expected_iou = float(outputs.iou_scores[0, 0, 0].clamp(0, 1))
        assert drawn.score == pytest.approx(0.9 * expected_iou, abs=1e-4)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_iou": 1.0}, "it expects an IoU of"),
        ({"min_iou": 0.0, "min_iou_before": 1.0}, "its IoU with the mask before is"),
    ],
)
def test_a_mask_that_is_doubted_or_elsewhere_is_not_used(
    sam: Path, limits: dict[str, float], reason: str
) -> None:
    refiner = make_refiner(SamBlock.model_validate({"model": str(sam), **limits}))
    (((person,)), none) = refiner.refine([Frame("v", 0, noise(*SIZE_HW))] * 2, [[person_at(5)], []])
    assert none == []
    assert (person.mask, person.score) == (person_at(5).mask, 0.9)
    assert reason in person.not_refined[0]
