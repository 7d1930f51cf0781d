"""Masks carried from corrected frames to those between them, against ground truth.

    python benchmarks/propagation.py --images DAVIS/JPEGImages/NAME --masks DAVIS/Annotations/NAME --weights DIR
                                     [--every 10] [--fps 24]

Every n-th frame is corrected to the ground truth; the others are measured: the teacher's mask, a copy of the nearest
corrected mask, the mask carried by flow from the nearest corrected frame, the same refined by colors and edges, and
carried from both sides without and with the teacher's mask. It fails if the gain over the teacher is below `MIN_GAIN`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.segmenters import LiteBlock
from labeling.refinement.propagation import CorrectedPerson, Gap, PropagatedMask, flow_steps, propagate
from labeling.segmenters.lite import LiteSegmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.masks import Mask, iou_matrix
from labeling.tracking.frame_strip import StripImage, shrink

MIN_GAIN = 0.08
AGREES_FROM = 0.8
ROWS = ("teacher", "copy", "flow", "flow + refinement", "both sides", "both sides + teacher")


def main() -> int:
    options = read_options()
    images = [read_rgb(path) for path in sorted(options.images.glob("*.jpg"))]
    truth = [
        Mask.from_array(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 0)
        for path in sorted(options.masks.glob("*.png"))
    ]
    teacher = read_teacher(images, options)
    ious: dict[str, list[float]] = {row: [] for row in ROWS}
    agreed: list[tuple[float, float, float, float]] = []
    started = time.process_time()
    for first in range(options.first, min(options.last, len(images)) - options.every, options.every):
        for row, position, result in measure_gap(images, truth, teacher, first, options):
            mask = result.mask if isinstance(result, PropagatedMask) else result
            iou = overlap(mask, truth[position])
            ious[row].append(iou)
            if isinstance(result, PropagatedMask) and row == ROWS[-1]:
                before = overlap(best_match(teacher[position], truth[position]), truth[position])
                agreed.append((result.confidence, result.agreement or 0.0, iou, before))
        print(first, {row: round(float(np.mean(ious[row])), 4) for row in ROWS}, flush=True)
    for row in ROWS:
        print(f"{row:24}{np.mean(ious[row]):8.4f}{len(ious[row]):6} masks")
    print(f"{time.process_time() - started:.0f} CPU seconds")
    report_agreement(np.array(agreed))
    gain = float(np.mean(ious[ROWS[-1]]) - np.mean(ious["teacher"]))
    print(f"gain {gain:+.4f}")
    return int(gain < MIN_GAIN)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG files, in order of time")
    parser.add_argument("--masks", type=Path, required=True, help="folder of PNG files, one person")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the teacher's weights")
    parser.add_argument("--every", type=int, default=10, help="one frame in this many is corrected")
    parser.add_argument("--first", type=int, default=0, help="number of the first corrected frame")
    parser.add_argument("--last", type=int, default=sys.maxsize, help="use the frames before this number")
    parser.add_argument("--fps", type=float, default=24.0)
    parser.add_argument("--step", type=int, default=1, help="use one image in this many for the flow")
    parser.add_argument("--width", type=int, default=640, help="width of the images for the flow")
    parser.add_argument("--cache", type=Path, help="file that keeps the teacher's masks")
    return parser.parse_args()


def read_rgb(path: Path) -> RgbImage:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), dtype=np.uint8)  # type: ignore[arg-type]


def read_teacher(images: Sequence[RgbImage], options: argparse.Namespace) -> list[list[Mask]]:
    """Return the lite teacher's masks of each image, from the cache if there is one."""
    if options.cache and options.cache.exists():
        cached = np.load(options.cache)
        return [[Mask.from_array(cached[f"t{index}"])] for index in range(len(images))]
    segmenter = LiteSegmenter(LiteBlock(min_box_score=0.4), weights_dir=options.weights)
    frames = [Frame("video", round(1000 * i / options.fps), rgb) for i, rgb in enumerate(images)]
    return [[person.mask for person in segmenter.segment([frame])[0]] for frame in frames]


def overlap(first: Mask, second: Mask) -> float:
    return float(iou_matrix([first], [second])[0, 0])


def best_match(masks: Sequence[Mask], truth: Mask) -> Mask:
    """Return the mask with the best IoU, an empty one if there is none."""
    return max(masks, key=lambda mask: overlap(mask, truth), default=Mask.empty(truth.size_hw))


def measure_gap(
    images: Sequence[RgbImage],
    truth: Sequence[Mask],
    teacher: Sequence[Sequence[Mask]],
    first: int,
    options: argparse.Namespace,
) -> list[tuple[str, int, Mask | PropagatedMask]]:
    """Return (row, frame, mask) for the frames between two corrected ones."""
    last = first + options.every
    used = sorted({*range(first, last + 1, options.step), last})
    strip = [StripImage(round(1000 * i / options.fps), shrink(images[i], options.width)) for i in used]
    people = [[CorrectedPerson(index, truth[index], track_id=1)] for index in (first, last)]
    targets = {position: teacher[index] for position, index in enumerate(used) if index not in (first, last)}
    gap = Gap(strip, truth[0].size_hw, people[0], people[1], targets)
    frames = {position: used[position] for position in targets}
    results: list[tuple[str, int, Mask | PropagatedMask]] = []
    for index in frames.values():
        results.append(("teacher", index, best_match(teacher[index], truth[index])))
        results.append(("copy", index, truth[first if 2 * index <= first + last else last]))
    early = {position: masks for position, masks in targets.items() if 2 * frames[position] <= first + last}
    late = {position: masks for position, masks in targets.items() if position not in early}
    steps = flow_steps(strip)
    one_sided = [replace(gap, after=None, targets=early), replace(gap, before=None, targets=late)]
    for row, gaps, method in (
        ("flow", one_sided, "flow"),
        ("flow + refinement", one_sided, "refined"),
        ("both sides", [gap], "refined"),
        ("both sides + teacher", [gap], "fused"),
    ):
        for part in gaps:
            for position, found in propagate(part, method=method, steps=steps):  # type: ignore[arg-type]
                mask = found[0] if found else Mask.empty(gap.size_hw)
                results.append((row, frames[position], mask))
    return results


def report_agreement(cases: NDArray[np.float64]) -> None:
    """Print how good the teacher's masks are where the carried mask agrees with them."""
    for confidence in (0.0, 0.3, 0.5, 0.6, 0.7):
        chosen = cases[(cases[:, 0] >= confidence) & (cases[:, 1] >= AGREES_FROM)]
        good = float((chosen[:, 3] >= AGREES_FROM).mean()) if len(chosen) else float("nan")
        mean = float(chosen[:, 3].mean()) if len(chosen) else float("nan")
        print(
            f"confidence >= {confidence}, agreement >= {AGREES_FROM}: {len(chosen)} of {len(cases)} frames, "
            f"teacher's IoU {mean:.3f}, {good:.0%} of them >= {AGREES_FROM}"
        )
    print("correlation of confidence and IoU:", round(float(np.corrcoef(cases[:, 0], cases[:, 2])[0, 1]), 3))


if __name__ == "__main__":
    sys.exit(main())
