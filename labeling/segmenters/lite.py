"""The lite segmenter: FastestDet's boxes, then MediaPipe's landmark network on crops of each.

Two crops of the box, the wider one mirrored, their mask logits averaged; whoever is not surely seen then is
looked at in two more that the landmarks place and turn, and the better result stays. That two looks agree is,
beside a decided mask, the best sign of a good one: it is part of the score.

Measured beside one another: mean best IoU of each person for PennFudan (all 74), DAVIS dance-twirl (every 2nd)
and COCO (those over 1 % of 80 images), union IoU for CDnet's office (every 10th), recall and precision of
boxes at IoU 0.5 for PETS (every 10th). Each row has all above it:

                                          PennFudan  DAVIS  COCO   office  PETS
    crops of 1.15 and 1.35, floor 0.65       0.825   0.761  0.472   0.713  0.809 0.719
    the wider crop mirrored                  0.834   0.758  0.471   0.711  0.809 0.734
    second pass, parts dropped               0.837   0.776  0.484   0.687  0.827 0.707
    floor of the score 0.7                   0.824   0.776  0.455   0.722  0.818 0.769
    2 x 2 tiles where people are small       0.829   0.776  0.497   0.722  0.874 0.720
    second pass only for who is left         0.829   0.782  0.476   0.722  0.869 0.729

The code as it is, one run: 0.828 0.775 0.488 0.717, PETS 0.863 0.706 (the rows come from a trial that was
written before it); no false person in 50 images of a road. An image with one person takes 1.1 to 1.6 times
as long as with the first row (office 52, PennFudan 65 ms on one busy core, before 40 and 43).

Not taken: landmark crops for everybody (PennFudan 0.807: in a crowd they go over to the neighbor), a
guided filter (+0.002), pixels of two masks given to the better one alone (PennFudan 0.826), boxes of
MediaPipe's pose detection (DAVIS +0.02, one more network for every image), more parts of the score
(joints, visibility: no gain in AUROC), 3 x 3 tiles (PETS 0.861 0.744).

Of PETS's 168 false boxes 132 are a bin, a tripod and cones, which never move: a run doubts them
(`trust.min_moving_fraction`); without them precision is 0.918. The detector's boxes alone, with any mask or none,
reach 0.906 at a precision of 0.530, or 0.867 at 0.830.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import Params
from scipy.special import expit, logit

from configs.segmenters import LiteBlock
from labeling.runtime.threads import available_cores, thread_limit
from labeling.segmenters.blazepose import Crop, FloatArray, LandmarkNetwork, Landmarks
from labeling.segmenters.fastestdet import PersonDetector
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.weights import KNOWN_WEIGHTS, find_weights
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance, Keypoints, ModelCard
from labeling.structures.masks import BoolArray, BoxXywh, Mask, intersection_areas, iou_matrix, mask_areas
from labeling.structures.probability_maps import stability_share

CROP_SCALES = (1.15, 1.35)
"""Sides of the first two crops, in longer sides of the box; the wider is mirrored."""
SURE = 0.9
"""A person whose score is lower is looked at twice more, in crops that the landmarks place and turn."""
MIN_FIRST_SCORE = 0.5
"""With a lower one, there is nobody whom to look at again."""
SAME_PERSON_IOU = 0.55
"""Two masks that overlap more than this show one person, whom the detector boxed twice."""
PART_OF_PERSON = 0.8
"""So does a mask of which a larger share lies within a better one: it is a part of him."""
MAX_THREADS = 8
"""Images looked at beside each other, each on one thread: networks this small gain little from more."""
_COCO_SIGMAS: NDArray[np.float64] = Params("keypoints").kpt_oks_sigmas
"""Spread of human annotations of each keypoint, in square roots of the person's area (COCO's OKS)."""


_TwoLooks = tuple[Landmarks, Landmarks]
"""What the landmark network saw of one person in two crops, of which the second is mirrored."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An instance, and what a second pass needs."""

    instance: Instance
    box_score: float
    body: Crop


class LiteSegmenter(StatelessSegmenter):
    """Instances with a mask, its box, 17 keypoints, and a score of four parts.

    score = (box x presence x probability x agreement)^(1/4), in which probability is the mean within
    the mask and agreement the IoU of both looks' masks. On PennFudan's masks it ranks IoU > 0.8 above
    the rest with AUROC 0.93.
    """

    def __init__(self, block: LiteBlock, *, weights_dir: Path | None, threads: int = MAX_THREADS) -> None:
        self._threads = min(threads, thread_limit() or available_cores())
        self._block = block
        self._detector = PersonDetector(find_weights("fastestdet", weights_dir))
        self._network = LandmarkNetwork(
            find_weights("pose_landmark_lite", weights_dir), interpreters=self._threads
        )

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind"})
        return ModelCard(
            kind=self._block.kind,
            name="fastestdet+pose_landmark_lite",
            weights_sha256="+".join(
                KNOWN_WEIGHTS[name].sha256 for name in ("fastestdet", "pose_landmark_lite")
            ),
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """One list per frame, best score first."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="lite") as pool:
            return list(pool.map(self._segment_image, (frame.rgb for frame in frames)))

    def _segment_image(self, rgb: RgbImage) -> list[Instance]:
        block = self._block
        boxes = self._detector.detect(
            rgb, min_score=block.min_box_score, max_iou=block.box_iou, tiles=block.tiles
        )
        found: list[_Found] = []
        for (x0, y0, x1, y1), score in zip(boxes.corners.tolist(), boxes.scores.tolist(), strict=True):
            found += self._find(self._look_at_box(rgb, (x0, y0, x1 - x0, y1 - y0)), score)
        first = [found[number] for number in rank_people([one.instance for one in found])]
        again = [
            better
            for one in first
            if MIN_FIRST_SCORE <= one.instance.score < SURE
            for better in self._find(self._look_at_body(rgb, one.body), one.box_score)
        ]
        people = [one.instance for one in (*first, *again) if one.instance.score >= block.min_score]
        return [people[number] for number in rank_people(people)]

    def _find(self, looks: _TwoLooks | None, box_score: float) -> list[_Found]:
        """One, or none."""
        made = looks and _make_instance(looks, box_score, self._block.mask_threshold)
        return [_Found(made, box_score, looks[1].body)] if looks and made else []

    def _look_at_box(self, rgb: RgbImage, box_xywh: BoxXywh) -> _TwoLooks | None:
        """None where the close crop shows nobody: the wide one is then not looked at (14 % saved)."""
        close = self._network.look(rgb, Crop.around(box_xywh, CROP_SCALES[0]))
        if close.presence < self._block.min_presence:
            return None
        return close, self._network.look(rgb, Crop.around(box_xywh, CROP_SCALES[1]).mirror())

    def _look_at_body(self, rgb: RgbImage, body: Crop) -> _TwoLooks | None:
        """The second crop is placed by what the first one showed."""
        first = self._network.look(rgb, body)
        if first.presence < self._block.min_presence:
            return None
        return first, self._network.look(rgb, first.body.mirror())


def rank_people(instances: Sequence[Instance]) -> list[int]:
    """Numbers of the instances that show different people, best score first.

    Of several that show one person (`SAME_PERSON_IOU`, `PART_OF_PERSON`), the best.
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


def _make_instance(looks: _TwoLooks, box_score: float, mask_threshold: float) -> Instance | None:
    """None where the mask has no pixel within the image."""
    left, top, right, bottom = region = _join_regions(looks)
    if right <= left or bottom <= top:
        return None
    first, second = (look.logits_in(region) for look in looks)
    threshold = logit(mask_threshold)
    mean = (first + second) / 2
    inside: BoolArray = mean > threshold
    if not inside.any():
        return None
    presence = (looks[0].presence + looks[1].presence) / 2
    within = expit(mean[inside])
    parts = (box_score, presence, float(within.mean()), _iou(first > threshold, second > threshold))
    pixels = np.zeros(looks[0].size_hw, dtype=np.bool_)
    pixels[top:bottom, left:right] = inside
    mask = Mask.from_array(pixels)
    return Instance(
        mask=mask,
        score=float(np.clip(np.prod(parts), 0.0, 1.0) ** (1 / len(parts))),
        box_xywh=mask.box_xywh,
        keypoints=join_keypoints(looks[0].keypoints, looks[1].keypoints, float(inside.sum())),
        stability=stability_share(within, mask_threshold=mask_threshold),
    )


def _join_regions(looks: _TwoLooks) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the smallest rectangle with both crops' pixels."""
    regions = np.array([look.crop.clip_to(look.size_hw) for look in looks])
    (left, top), (right, bottom) = regions[:, :2].min(axis=0).tolist(), regions[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def _iou(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def join_keypoints(close: FloatArray, wide: FloatArray, area_px: float) -> Keypoints:
    """The mean of both readings; confidence is lowered by the distance between them.

    The factor is COCO's object keypoint similarity of the two, exp(-d^2 / (2 area (2 sigma)^2)). On
    COCO's people it tells good keypoints (similarity to the truth above 0.5) from others with AUROC
    0.80; the network's visibility and in-frame probabilities alone have 0.67.
    """
    distance2 = ((close[:, :2] - wide[:, :2]) ** 2).sum(axis=1)
    similarity = np.exp(-distance2 / (2 * area_px * (2 * _COCO_SIGMAS) ** 2))
    joined = (close + wide) / 2
    joined[:, 2] *= similarity
    return tuple((x, y, confidence) for x, y, confidence in joined.tolist())
