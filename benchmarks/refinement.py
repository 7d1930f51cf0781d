"""Teacher masks before and after refinement, against ground truth: IoU and boundary IoU.

    python benchmarks/refinement.py --office SHARED/data/cdnet_office --weights DIR [--matting FILE.onnx]

The sets are CDnet's office (every fifth frame of 570 to 1100) and the rendered scene. Each is evaluated
as `maskmill evaluate` does, without refinement and with each list of refiners. It fails if a set gets worse by
more than `MAX_LOSS`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.block import expand_shorthand
from configs.ground_truth import LabeledSet
from configs.models import RunConfig
from labeling.synthetic.scene import Scene
from tasks.evaluate import evaluate

FIRST, LAST = 570, 1100
"""Frames of CDnet's office: the person enters after 570."""
OFFICE_FPS = 25.0
SCENE_FPS = Fraction(5)
MAX_LOSS = 0.005
"""A set may get worse by this much in IoU or boundary IoU."""


def main() -> int:
    options = read_options()
    matting: dict[str, Any] = {"kind": "matting", "weights": options.matting}
    rows: Mapping[str, list[Any]] = {
        "teacher": [],
        "matting": [matting],
        "guided_filter": ["guided_filter"],
        "matting + guided_filter": [matting, "guided_filter"],
    }
    with tempfile.TemporaryDirectory() as folder:
        sets = {}
        if options.office:
            sets["office"] = office_set(options.office, Path(folder) / "office", options.every)
        sets["scene"] = render_set(Path(folder) / "scene", options.seconds)
        print(f"{'':26}{'set':10}{'IoU':>8}{'boundary':>10}{'refined':>9}{'s':>8}")
        results = {name: evaluate_row(name, refine, sets, options) for name, refine in rows.items()}
    worse = [
        f"{name}, {one}: {before - after:.4f}"
        for name, result in results.items()
        for one, figures in result.items()
        for before, after in zip(results["teacher"][one], figures, strict=True)
        if before - after > MAX_LOSS
    ]
    print("worse than the teacher: " + "; ".join(worse) if worse else "no set got worse")
    return int(bool(worse))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--office", type=Path, help="folder of CDnet's office, with input and groundtruth")
    parser.add_argument("--weights", type=Path, help="folder of the teacher's weights")
    parser.add_argument("--matting", type=Path, help="ONNX file; default: the network of the package")
    parser.add_argument("--every", type=int, default=5, help="use one in this many frames of the office")
    parser.add_argument("--teacher", default="lite")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the rendered scene")
    return parser.parse_args()


def render_set(folder: Path, seconds: float) -> LabeledSet:
    """Write the rendered scene as images with instance masks."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    scene = Scene(seconds=seconds, fps=SCENE_FPS)
    for index in range(scene.frame_count):
        rgb, masks = scene.frame(index)
        labels = np.zeros(scene.size_hw, dtype=np.uint8)
        for number, mask in enumerate(masks, start=1):
            labels[mask.to_array()] = number
        cv2.imwrite(str(folder / "images" / f"{index:05}.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / "masks" / f"{index:05}.png"), labels)
    return LabeledSet(images=folder / "images", masks=folder / "masks", fps=float(SCENE_FPS))


def office_set(office: Path, folder: Path, every: int) -> LabeledSet:
    """Link the measured frames into a folder."""
    folder.mkdir()
    for number in range(FIRST, LAST + 1, every):
        (folder / f"in{number:06}.jpg").symlink_to((office / "input" / f"in{number:06}.jpg").resolve())
    return LabeledSet(
        images=folder,
        masks=office / "groundtruth",
        mask_encoding="cdnet",
        roi=office / "ROI.bmp",
        fps=OFFICE_FPS / every,
    )


def evaluate_row(
    name: str, refine: list[Any], sets: Mapping[str, LabeledSet], options: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """Evaluate one list of refiners, and print a line per set."""
    config = RunConfig.model_validate(
        {
            "teacher": {**expand_shorthand(options.teacher), "refine": refine},
            "student": "background",
            "weights_dir": options.weights,
            "trust": {"min_flip_iou": 0, "min_moving_fraction": 0, "min_missed_person_size": 0},
        }
    )
    figures = {}
    for one, labeled in sets.items():
        started = time.monotonic()
        evaluation = evaluate({one: labeled}, config)
        summary = evaluation.sets[one]
        people = [person for case in evaluation.cases for person in case.predicted.teacher]
        refined = sum(person.refined_by is not None for person in people)
        figures[one] = (summary.teacher_iou or 0.0, summary.teacher_boundary_iou or 0.0)
        iou, boundary = figures[one]
        seconds = time.monotonic() - started
        share = refined / max(1, len(people))
        print(f"{name:26}{one:10}{iou:8.4f}{boundary:10.4f}{share:9.0%}{seconds:8.1f}", flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
