"""How well the lite teacher's boxes match people in a surveillance video (PETS 2009 S2.L1).

    python benchmarks/teacher_boxes.py --shared ../shared [--every 5] [--tiles 1 2] [--min-score 0.7]
    python benchmarks/teacher_boxes.py --shared ../shared [--every 10] --to-coco FOLDER

Every n-th frame of vtest.avi is segmented; boxes are matched one to one with the annotated ones at
IoU 0.5 (as many pairs as possible). Both boxes of an instance are tried: the detector's, and its mask's.
The first `--tiles` is the baseline.

`--to-coco` measures nothing: it writes those frames and boxes as a labeled set, with each person's number
as `track_id`. Of it `maskmill evaluate --images FOLDER/images --coco FOLDER/boxes.json --config lite` gives the
precision and recall that are measured here. (JPEG of quality 95 would cost 0.02 of the precision.)
"""

import argparse
import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from configs.segmenters import LiteBlock
from labeling.segmenters.lite import LiteSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh

VIDEO_PX_OF_ANNOTATED = 0.625
"""The annotation is in pixels of 768x576, the video has 480x360."""
MATCH_IOU = 0.5

Boxes = Sequence[BoxXywh]


def read_annotation(xml: Path) -> dict[int, list[BoxXywh]]:
    """Boxes in the video's pixels by frame number."""
    return {number: [box for _, box in people] for number, people in read_people(xml).items()}


def read_people(xml: Path) -> dict[int, list[tuple[int, BoxXywh]]]:
    """Everybody's number and box by frame number."""
    frames = ET.parse(xml).getroot().iter("frame")  # noqa: S314 - our own annotation file
    return {
        int(frame.attrib["number"]): [
            (int(person.attrib["id"]), _scale_box(box))
            for person in frame.iter("object")
            for box in person.iter("box")
        ]
        for frame in frames
    }


def _scale_box(box: "ET.Element") -> BoxXywh:
    xc, yc, w, h = (float(box.attrib[key]) * VIDEO_PX_OF_ANNOTATED for key in ("xc", "yc", "w", "h"))
    return xc - w / 2, yc - h / 2, w, h


def read_frames(video: Path, every: int) -> Iterator[tuple[int, Frame]]:
    with av.open(str(video)) as container:
        for number, image in enumerate(container.decode(video=0)):
            if number % every == 0:
                rgb = image.to_ndarray(format="rgb24").astype(np.uint8)
                yield number, Frame(video_id="vtest", pts_ms=number * 100, pixels=rgb)


def count_matches(found: Boxes, truth: Boxes) -> int:
    """The largest number of pairs, one to one, with IoU of at least `MATCH_IOU`."""
    if not found or not truth:
        return 0
    ious: NDArray[np.float64] = coco_mask.iou(np.array(found), np.array(truth), [0] * len(truth))
    is_pair = ious >= MATCH_IOU
    return int(is_pair[linear_sum_assignment(is_pair, maximize=True)].sum())


def report(found: Sequence[Boxes], truth: Sequence[Boxes], name: str) -> str:
    matched = sum(count_matches(*pair) for pair in zip(found, truth, strict=True))
    precision = matched / max(sum(map(len, found)), 1)
    recall = matched / max(sum(map(len, truth)), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return f"{name:<22} precision {precision:.3f}  recall {recall:.3f}  F1 {f1:.3f}"


def write_coco(people: dict[int, list[tuple[int, BoxXywh]]], video: Path, folder: Path, every: int) -> None:
    """Write frames to `folder/images` and their boxes to `folder/boxes.json`."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images").mkdir(parents=True)
    for number, frame in read_frames(video, every):
        name, (height, width) = f"{number:06}.png", frame.size_hw
        Image.fromarray(frame.rgb).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for track, box in people.get(number, []):
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box}
            annotations.append({**annotation, "track_id": track, "iscrowd": 0})
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (folder / "boxes.json").write_text(json.dumps(tree))


def main() -> None:
    options = _read_options()
    data = options.shared / "data" / "pets2009_s2l1"
    if options.to_coco:
        people = read_people(data / "PETS2009-S2L1.xml")
        write_coco(people, data / "vtest.avi", options.to_coco, options.every)
        return
    annotation = read_annotation(data / "PETS2009-S2L1.xml")
    numbers, frames = zip(*read_frames(data / "vtest.avi", options.every), strict=True)
    truth = [annotation.get(number, []) for number in numbers]
    kinds: dict[str, Callable[[Instance], BoxXywh]] = {
        "detector box": lambda instance: instance.box_xywh,
        "mask box": lambda instance: instance.mask.box_xywh,
    }
    for tiles in options.tiles:
        block = LiteBlock(tiles=tiles, min_score=options.min_score)
        segmenter = LiteSegmenter(block, weights_dir=options.shared / "weights")
        segmenter.segment(frames[:1])  # warm up
        start = time.perf_counter()
        found = segmenter.segment(frames)
        ms = (time.perf_counter() - start) * 1000 / len(frames)
        for kind, box_of in kinds.items():
            boxes = [[box_of(instance) for instance in instances] for instances in found]
            print(f"{report(boxes, truth, f'tiles {tiles}, {kind}')}  {ms:.0f} ms an image")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument("--every", type=int, default=5, help="look at every n-th frame")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 2], help="baseline first")
    parser.add_argument("--to-coco", type=Path, metavar="FOLDER", help="write a labeled set instead")
    default_score = LiteBlock.model_fields["min_score"].default
    parser.add_argument("--min-score", type=float, default=default_score, help="of an instance")
    return parser.parse_args()


if __name__ == "__main__":
    main()
