"""Masks from keypoints, on the labeled people of a COCO file: mean IoU of each method.

    python benchmarks/pose_masks.py --coco FILE.json --images DIR --weights DIR [--network FILE.onnx] [--png DIR]

The people are those above 5 % of the image with at least 10 visible keypoints, as the target says, and, for a
larger sample, those above 1 % with at least 5 labeled ones. The keypoints are the labeled ones, or those of lite.
It fails if the network with the CRF is below the target.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.refinement import DenseCrfBlock, GuidedFilterBlock
from configs.segmenters import LiteBlock, PoseGuidedBlock
from labeling.datasets.readers.coco import read_coco_records
from labeling.pose_masks.crop import PersonCrop
from labeling.pose_masks.inputs import in_prior_units
from labeling.pose_masks.prior import draw_prior, joints_of
from labeling.refinement.factory import make_refiner
from labeling.segmenters.factory import make_segmenter
from labeling.segmenters.pose_guided import PoseGuidedSegmenter
from labeling.segmenters.protocol import Segmenter, StatelessSegmenter
from labeling.segmenters.refined import RefinedSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask, iou_matrix
from labeling.video.images import read_image

TARGET = 0.75
VISIBLE = 2
MIN_PRIOR = 0.5
METHODS: Mapping[str, dict[str, Any]] = {
    "graph cut": {"method": "graph_cut"},
    "graph cut, max-flow": {"method": "graph_cut", "solver": "max_flow"},
    "graph cut, cooperative": {"method": "graph_cut", "solver": "cooperative"},
    "network": {"method": "network"},
}
REFINERS: Mapping[str, list[Any]] = {
    "": [],
    "+ CRF": [DenseCrfBlock()],
    "+ CRF (published constants)": [
        DenseCrfBlock(
            appearance_weight=10, appearance_sigma_px=80, color_sigma=13, radius_px=160, dilation=16
        )
    ],
    "+ guided filter": [GuidedFilterBlock()],
}


@dataclass(frozen=True)
class Image:
    """An image with its labeled people."""

    frame: Frame
    people: list[Instance]
    is_large: list[bool]
    """Above 5 % of the image, with at least 10 visible keypoints."""
    is_counted: list[bool]
    """Above 1 % of the image, with at least 5 labeled keypoints."""


class LabeledPoses(StatelessSegmenter):
    """Returns the labeled keypoints, without masks."""

    card = ModelCard("python", "labeled", "", "{}")

    def __init__(self, images: Sequence[Image]) -> None:
        self._people = {image.frame.key: image.people for image in images}

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [
            [
                Instance(Mask.empty(frame.size_hw), 1.0, (0.0, 0.0, 0.0, 0.0), p.keypoints)
                for p in self._people[frame.key]
            ]
            for frame in frames
        ]


class PriorSegmenter(StatelessSegmenter):
    """Returns the pixels whose prior is above a half."""

    card = ModelCard("python", "prior", "", "{}")

    def __init__(self, pose: Segmenter) -> None:
        self._pose = pose

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        found = self._pose.segment(frames)
        return [
            [self._mask(frame, one) for one in people] for frame, people in zip(frames, found, strict=True)
        ]

    def _mask(self, frame: Frame, person: Instance) -> Instance:
        joints = joints_of(person.keypoints or ())
        crop = PersonCrop.around(joints)
        prior = draw_prior(in_prior_units(crop.to_grid(joints), crop.grid_px))
        mask = Mask.from_array(crop.paste(prior, frame.size_hw) > MIN_PRIOR)
        return Instance(mask, 1.0, mask.box_xywh, person.keypoints)


def main() -> int:
    options = read_options()
    images = read_coco(options.coco, options.images)
    large, counted = (sum(sum(getattr(i, name)) for i in images) for name in ("is_large", "is_counted"))
    print(
        f"{len(images)} images; {large} people above 5 % with 10 visible keypoints, {counted} above 1 % with 5"
    )
    print(f"{'':44}{'>= 5 %':>8}{'>= 1 %':>8}{'s/image':>9}")
    truth, lite = (
        LabeledPoses(images),
        make_segmenter(LiteBlock(), weights_dir=options.weights, device="cpu", batch=1),
    )
    show("lite's landmark mask", images, lite, by_keypoints=False)
    show("prior, labeled keypoints", images, PriorSegmenter(truth))
    results = {}
    for source, pose in (("labeled", truth), ("lite's", lite)):
        for method, settings in METHODS.items():
            block = PoseGuidedBlock(path=options.network, **settings)
            for refiner, blocks in REFINERS.items():
                if "published" in refiner + source and method != "network":
                    continue
                segmenter: Segmenter = PoseGuidedSegmenter(block, pose)
                if blocks:
                    segmenter = RefinedSegmenter(segmenter, [make_refiner(one) for one in blocks])
                name = f"{method} {refiner}, {source} keypoints"
                png = options.png if (method, refiner, source) == ("network", "+ CRF", "labeled") else None
                results[name] = show(name, images, segmenter, by_keypoints=pose is truth, png=png)
    reached = results["network + CRF, labeled keypoints"]
    print(f"network + CRF: {reached:.3f}, target {TARGET}")
    return int(reached < TARGET)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--coco", type=Path, required=True, help="COCO file with keypoints and segmentations")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="folder of lite's weights")
    parser.add_argument("--network", type=Path, help="ONNX file; default: the network of the package")
    parser.add_argument("--png", type=Path, help="folder for images of the network's masks, worst first")
    return parser.parse_args()


def read_coco(file: Path, folder: Path) -> list[Image]:
    """Return the images with a person that is counted; people without labeled keypoints are left out."""
    tree = json.loads(file.read_bytes())
    images = []
    for number, record in enumerate(tree["images"]):
        size_hw = (record["height"], record["width"])
        annotations = [a for a in tree["annotations"] if a["image_id"] == record["id"] and a["num_keypoints"]]
        people, large, counted = [], [], []
        for annotation in annotations:
            for person in read_coco_records([annotation], size_hw, origin=str(file)):
                visible = sum(value == VISIBLE for value in annotation["keypoints"][2::3])
                share = person.mask.area_px / (size_hw[0] * size_hw[1])
                people.append(person)
                large.append(share > 0.05 and visible >= 10)
                counted.append(share > 0.01 and annotation["num_keypoints"] >= 5)
        if any(large) or any(counted):
            rgb = read_image(folder / record["file_name"])
            images.append(Image(Frame("", None, rgb, index=number), people, large, counted))
    return images


def show(
    name: str,
    images: Sequence[Image],
    segmenter: Segmenter,
    *,
    by_keypoints: bool = True,
    png: Path | None = None,
) -> float:
    """Print the mean IoUs of a row, and return that of the large people."""
    started = time.process_time()
    found = [segmenter.segment([image.frame])[0] for image in images]
    seconds = (time.process_time() - started) / len(images)
    match = _same_keypoints if by_keypoints else _best
    ious = [
        [match(person, instances) for person in image.people]
        for image, instances in zip(images, found, strict=True)
    ]

    def mean(select: Callable[[Image], list[bool]]) -> float:
        chosen = [
            v
            for image, row in zip(images, ious, strict=True)
            for v, on in zip(row, select(image), strict=True)
            if on
        ]
        return float(np.mean(chosen))

    large = mean(lambda image: image.is_large)
    print(f"{name:44}{large:8.3f}{mean(lambda image: image.is_counted):8.3f}{seconds:9.2f}", flush=True)
    if png:
        draw(png, images, found, ious)
    return large


def _same_keypoints(person: Instance, instances: Sequence[Instance]) -> float:
    """Return the IoU of the instance with the person's keypoints; 0 without one."""
    same = [one for one in instances if one.keypoints == person.keypoints]
    return _best(person, same)


def _best(person: Instance, instances: Sequence[Instance]) -> float:
    if not instances:
        return 0.0
    return float(iou_matrix([person.mask], [one.mask for one in instances]).max())


def draw(
    folder: Path,
    images: Sequence[Image],
    found: Sequence[Sequence[Instance]],
    ious: Sequence[Sequence[float]],
) -> None:
    """Write one image per person that is counted, with the labeled contour in red."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, instances, row in zip(images, found, ious, strict=True):
        for number, (person, iou, on) in enumerate(zip(image.people, row, image.is_counted, strict=True)):
            if on:
                canvas = image.frame.rgb.copy()
                for one in instances:
                    if one.keypoints == person.keypoints:
                        canvas[one.mask.to_array() > 0] //= 2
                contours, _ = cv2.findContours(
                    person.mask.to_array().astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
                )
                cv2.drawContours(canvas, contours, -1, (255, 0, 0), 2)
                path = folder / f"{iou:.2f}_{image.frame.index}_{number}.png"
                cv2.imwrite(str(path), canvas[..., ::-1])


if __name__ == "__main__":
    sys.exit(main())
