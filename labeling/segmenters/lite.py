"""The lite segmenter: FastestDet's boxes, then MediaPipe's landmark network on crops of each.

Each box is cropped twice, the wider crop mirrored, and the mask logits are averaged. A person with a low
score is cropped twice more, placed and turned by the landmarks; the better result is kept. The agreement of
the two crops is, next to a stable mask, the best sign of a good mask: it is part of the score.

Measured one after the other: mean best IoU per person for PennFudan (all 74), DAVIS dance-twirl (every
2nd) and COCO (people above 1 % of 80 images), union IoU for CDnet's office (every 10th), recall and
precision of boxes at IoU 0.5 for PETS (every 10th). Each row includes all rows above it:

                                          PennFudan  DAVIS  COCO   office  PETS
    crops of 1.15 and 1.35, min_score 0.65   0.825   0.761  0.472   0.713  0.809 0.719
    the wider crop mirrored                  0.834   0.758  0.471   0.711  0.809 0.734
    second pass, parts of people dropped     0.837   0.776  0.484   0.687  0.827 0.707
    min_score 0.7                            0.824   0.776  0.455   0.722  0.818 0.769
    2 x 2 tiles where people are small       0.829   0.776  0.497   0.722  0.874 0.720
    second pass only for remaining people    0.829   0.782  0.476   0.722  0.869 0.729

This code in one run: 0.828 0.775 0.488 0.717, PETS 0.863 0.706, and no false person in 50 images of a road.
An image with one person takes 1.1 to 1.6 times as long as with the first row (office 52 instead of 40 ms,
PennFudan 65 instead of 43 ms on one busy core). Of PETS's 168 false boxes 132 are a bin, a tripod and cones,
which never move: runs reject them (`trust.min_moving_fraction`); without them precision is 0.918.

Tried and rejected: landmark crops for all people (PennFudan 0.807: in a crowd they move to the neighbor), a
guided filter (+0.002), giving shared pixels to the better mask only (PennFudan 0.826), boxes of MediaPipe's
pose detection (DAVIS +0.02, but one more network per image), more parts of the score (keypoints,
visibility: no gain in AUROC), 3 x 3 tiles (PETS 0.861 0.744).
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from configs.segmenters import LiteBlock
from labeling.runtime.threads import available_cores, thread_limit
from labeling.segmenters.blazepose import Crop, LandmarkNetwork
from labeling.segmenters.crop_pairs import CropPair, make_instance
from labeling.segmenters.fastestdet import PersonDetector
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.weights import KNOWN_WEIGHTS, find_weights, weights_of_lite
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoxXywh, intersection_areas, iou_matrix, mask_areas

CROP_SCALES = (1.15, 1.35)
"""Sides of the first two crops, relative to the longer side of the box; the wider is mirrored."""
CONFIDENT = 0.9
"""Below this score a person gets a second pass, in crops placed and turned by the landmarks."""
MIN_FIRST_SCORE = 0.5
"""Below this score there is no second pass: the box shows no person."""
SAME_PERSON_IOU = 0.55
"""Two masks with a larger IoU show one person with two boxes."""
PART_OF_PERSON = 0.8
"""A mask with a larger share inside a better one is a part of the same person."""
MAX_THREADS = 8
"""Images processed in parallel, each on one thread: networks this small gain little from more."""
MIN_NETWORKS_IOU = 0.6
"""The heavy network's mask is taken if its IoU with that of the lite one is at least this; otherwise it may be another
person's."""


@dataclass(frozen=True, slots=True)
class _Detection:
    """An instance, and the input of a second pass."""

    instance: Instance
    box_score: float
    body: Crop
    crops: tuple[Crop, Crop]


class LiteSegmenter(StatelessSegmenter):
    """Instances with a mask, its box, 17 keypoints, and a score of four parts.

    score = (box x presence x probability x agreement)^(1/4), where probability is the mean within the
    mask and agreement the IoU of both crops' masks. It separates PennFudan's masks with IoU > 0.8 from
    the others with AUROC 0.93.
    """

    def __init__(self, block: LiteBlock, *, weights_dir: Path | None, threads: int = MAX_THREADS) -> None:
        self._threads = min(threads, thread_limit() or available_cores())
        self._block = block
        self._detector = PersonDetector(find_weights("fastestdet", weights_dir))
        self._network, *second = (
            LandmarkNetwork(find_weights(name, weights_dir), interpreters=self._threads)
            for name in weights_of_lite(block)[1:]
        )
        self._second_network = second[0] if second else None

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "refine"})
        weights = weights_of_lite(self._block)
        return ModelCard(
            kind=self._block.kind,
            name="+".join(weights),
            weights_sha256="+".join(KNOWN_WEIGHTS[name].sha256 for name in weights),
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame, best score first."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="lite") as pool:
            return list(pool.map(self._segment_image, (frame.rgb for frame in frames)))

    def segment_near(
        self, frames: Sequence[Frame], boxes_xywh: Sequence[Sequence[BoxXywh]]
    ) -> list[list[Instance]]:
        """Segment each frame, but only people whose widest crop touches one of its boxes."""
        images = [frame.rgb for frame in frames]
        with ThreadPoolExecutor(self._threads, thread_name_prefix="lite") as pool:
            return list(pool.map(self._segment_image, images, boxes_xywh))

    def segment_boxes(self, frame: Frame, boxes_xywh: Sequence[BoxXywh]) -> list[Instance | None]:
        """Return the person in each box, with the box taken for certain; None: no person is in it."""
        return [self._segment_box(frame.rgb, box) for box in boxes_xywh]

    def _segment_box(self, rgb: RgbImage, box_xywh: BoxXywh) -> Instance | None:
        found = self._find(self._run_on_box(rgb, box_xywh), 1.0)
        again = [second for first in found for second in self._find(self._run_on_body(rgb, first.body), 1.0)]
        best = max([*found, *again], key=lambda one: one.instance.score, default=None)
        return self._draw_again(rgb, best) if best else None

    def _segment_image(self, rgb: RgbImage, near_xywh: Sequence[BoxXywh] | None = None) -> list[Instance]:
        """Segment an image, or what is near some boxes of it."""
        block = self._block
        boxes = self._detector.detect(
            rgb, min_score=block.min_box_score, max_iou=block.box_iou, tiles=block.tiles
        )
        found: list[_Detection] = []
        for (x0, y0, x1, y1), score in zip(boxes.corners.tolist(), boxes.scores.tolist(), strict=True):
            box = (x0, y0, x1 - x0, y1 - y0)
            if near_xywh is None or _reaches(box, near_xywh):
                found += self._find(self._run_on_box(rgb, box), score)
        first = [found[number] for number in distinct_people([item.instance for item in found])]
        second = [
            detection
            for item in first
            if MIN_FIRST_SCORE <= item.instance.score < CONFIDENT
            for detection in self._find(self._run_on_body(rgb, item.body), item.box_score)
        ]
        people = [item for item in (*first, *second) if item.instance.score >= block.min_score]
        kept = [people[number] for number in distinct_people([item.instance for item in people])]
        return [self._draw_again(rgb, item) for item in kept]

    def _draw_again(self, rgb: RgbImage, found: _Detection) -> Instance:
        """Return the person as the second network draws them where both networks agree, otherwise as they are."""
        if self._second_network is None:
            return found.instance
        close, wide = (self._second_network.run(rgb, crop) for crop in found.crops)
        again = make_instance((close, wide), found.box_score, self._block.mask_threshold)
        iou = float(iou_matrix([again.mask], [found.instance.mask])[0, 0]) if again else 0.0
        chosen = again if again and iou >= MIN_NETWORKS_IOU else found.instance
        return replace(chosen, score=found.instance.score, networks_iou=iou)

    def _find(self, pair: CropPair | None, box_score: float) -> list[_Detection]:
        """Return one detection, or none."""
        instance = pair and make_instance(pair, box_score, self._block.mask_threshold)
        if not pair or not instance:
            return []
        return [_Detection(instance, box_score, pair[1].body, (pair[0].crop, pair[1].crop))]

    def _run_on_box(self, rgb: RgbImage, box_xywh: BoxXywh) -> CropPair | None:
        """Run both crops; None if the close crop shows no person (saves 14 % of the time)."""
        close = self._network.run(rgb, Crop.around(box_xywh, CROP_SCALES[0]))
        if close.presence < self._block.min_presence:
            return None
        return close, self._network.run(rgb, Crop.around(box_xywh, CROP_SCALES[1]).mirror())

    def _run_on_body(self, rgb: RgbImage, body: Crop) -> CropPair | None:
        """Run two crops; the second is placed by the landmarks of the first."""
        first = self._network.run(rgb, body)
        if first.presence < self._block.min_presence:
            return None
        return first, self._network.run(rgb, first.body.mirror())


def _reaches(box_xywh: BoxXywh, others_xywh: Sequence[BoxXywh]) -> bool:
    """Return whether the widest crop of a box touches another box."""
    crop = Crop.around(box_xywh, CROP_SCALES[1])
    return any(
        x < crop.x0 + crop.side and crop.x0 < x + w and y < crop.y0 + crop.side and crop.y0 < y + h
        for x, y, w, h in others_xywh
    )


def distinct_people(instances: Sequence[Instance]) -> list[int]:
    """Return the positions of instances of different people, best score first.

    Of several instances of one person (`SAME_PERSON_IOU`, `PART_OF_PERSON`), only the best is kept.
    """
    ranked = sorted(range(len(instances)), key=lambda number: -instances[number].score)
    masks = [instance.mask for instance in instances]
    repeats = iou_matrix(masks, masks) > SAME_PERSON_IOU
    repeats |= intersection_areas(masks, masks) > PART_OF_PERSON * mask_areas(masks)[:, None]
    kept: list[int] = []
    for number in ranked:
        if not repeats[number, kept].any():
            kept.append(number)
    return kept
