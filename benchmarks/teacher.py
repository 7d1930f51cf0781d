"""How good the masks of the lite segmenter are with each of its landmark networks, beside what they cost.

    python benchmarks/teacher.py SETS.yaml --weights DIR [--every N] [--landmarks lite cascade heavy]

SETS.yaml is that of `maskmill evaluate`, masks for each person. Counted are people of at least 1 % of the image: the mean
IoU and boundary IoU of the best mask for each, and the share with an IoU above 0.8. Sets whose masks show several people
at once (CDnet) are compared by the union of all masks. The named baseline is `lite`, in the same run; all settings see
each image one after the other on one thread, so the ratio of their times holds on a busy machine too.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from configs.ground_truth import require_labeled
from configs.load import load_ground_truth
from configs.segmenters import LiteBlock
from labeling.comparison.boundary_iou import boundary_iou
from labeling.comparison.iou import union_iou
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ground_truth import read_labeled
from labeling.segmenters.lite import LiteSegmenter
from labeling.structures.frames import Frame
from labeling.structures.masks import Mask, intersect_masks, iou_matrix, union_masks
from labeling.video.images import read_image

MIN_SHARE = 0.01
"""Smaller people, as a share of the image's pixels, are not counted."""
GOOD_IOU = 0.8


@dataclass(slots=True)
class Scores:
    """Of one setting on one set."""

    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    images: int = 0

    def row(self) -> str:
        ious = np.array(self.ious)
        return (
            f"{len(ious):7d} {ious.mean():6.3f} {(ious > GOOD_IOU).mean():6.2f} {np.mean(self.boundary_ious):9.3f} "
            f"{1000 * self.cpu_s / self.images:7.0f}"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("sets", type=Path, metavar="SETS.yaml")
    arguments.add_argument("--weights", type=Path)
    arguments.add_argument("--every", type=int, default=1, help="of the images of each set")
    arguments.add_argument("--landmarks", nargs="+", default=["lite", "cascade", "heavy"])
    given = arguments.parse_args()
    segmenters = {
        name: LiteSegmenter(
            LiteBlock.model_validate({"landmarks": name}), weights_dir=given.weights, threads=1
        )
        for name in given.landmarks
    }
    print(
        f"{'set':12s} {'landmarks':9s} {'people':>7s} {'IoU':>6s} {'> 0.8':>6s} {'boundary':>9s} {'ms CPU':>7s}"
    )
    for name, labeled in require_labeled(load_ground_truth(given.sets)).items():
        scores: dict[str, Scores] = defaultdict(Scores)
        for image in read_labeled(labeled)[:: given.every]:
            measure(image, segmenters, scores)
        for landmarks, of_setting in scores.items():
            print(f"{name:12s} {landmarks:9s} {of_setting.row()}", flush=True)


def measure(image: LabeledImage, segmenters: dict[str, LiteSegmenter], scores: dict[str, Scores]) -> None:
    """Add one image to the scores of each setting."""
    frame = Frame("benchmark", image.pts_ms, read_image(image.path), name=image.name)
    for name, segmenter in segmenters.items():
        start_s = time.process_time()
        (found,) = segmenter.segment([frame])
        scores[name].cpu_s += time.process_time() - start_s
        scores[name].images += 1
        masks = [instance.mask for instance in found]
        for iou, boundary in compare(masks, image):
            scores[name].ious.append(iou)
            scores[name].boundary_ious.append(boundary)


def compare(masks: Sequence[Mask], image: LabeledImage) -> list[tuple[float, float]]:
    """Return IoU and boundary IoU of the best mask for each person, or of the unions if people are joined."""
    height, width = image.size_hw
    people = [mask for mask in image.people if mask.area_px >= MIN_SHARE * height * width]
    if image.is_joined:
        outside = Mask.from_array(~image.ignored.to_array())
        pair = [
            intersect_masks(union_masks(list(side), image.size_hw), outside) for side in (masks, image.people)
        ]
        return [(union_iou(*pair), boundary_iou(*pair))] if people else []
    ious = iou_matrix(people, list(masks))
    best = ious.argmax(axis=1) if len(masks) else np.zeros(len(people), dtype=int)
    return [
        (float(ious[n, best[n]]), boundary_iou(person, masks[best[n]])) if len(masks) else (0.0, 0.0)
        for n, person in enumerate(people)
    ]


if __name__ == "__main__":
    main()
