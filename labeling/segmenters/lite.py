"""The lite segmenter: FastestDet's boxes, then MediaPipe's landmark network on two crops of each.

Measured on PennFudan (74 pictures, mean best IoU of each person): one crop of 1.25 times the box 0.816,
two of 1.15 and 1.35 with their mask logits averaged 0.838. That the two agree is, beside a decided mask,
the best sign of a good one: it is part of the score.
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
from labeling.instances import Frame, Instance, Keypoints, ModelCard, RgbPicture
from labeling.masks import BoolArray, BoxXywh, Mask, iou_matrix
from labeling.segmenters.person_boxes import PersonDetector
from labeling.segmenters.pose_landmarks import Crop, FloatArray, LandmarkNetwork, Landmarks
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.segmenters.weights import KNOWN_WEIGHTS, find_weights
from labeling.threads import available_cores, thread_limit

CROP_SCALES = (1.15, 1.35)
"""Sides of the two crops, in longer sides of the box."""
SAME_PERSON_IOU = 0.55
"""Two masks that overlap more than this show one person, whom the detector boxed twice."""
MAX_THREADS = 8
"""Pictures looked at beside each other, each on one thread: networks this small gain little from more."""
_COCO_SIGMAS: NDArray[np.float64] = Params("keypoints").kpt_oks_sigmas
"""Spread of human annotations of each keypoint, in square roots of the person's area (COCO's OKS)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A box and what the landmark network saw in its two crops."""

    box_xywh: BoxXywh
    box_score: float
    close: Landmarks
    wide: Landmarks

    @property
    def presence(self) -> float:
        return (self.close.presence + self.wide.presence) / 2


class LiteSegmenter(StatelessSegmenter):
    """Instances with a mask, 17 keypoints, the detector's box, and a score of four parts.

    score = (box x presence x decidedness x agreement)^(1/4), in which decidedness is the mean
    probability within the mask and agreement the IoU of the two crops' masks. On PennFudan's masks it
    ranks IoU > 0.8 above the rest with AUROC 0.94; the box's score alone has 0.87.
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
            gives_keypoints=True,
        )

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """One list per frame, best score first."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="lite") as pool:
            return list(pool.map(self._segment_picture, (frame.rgb for frame in frames)))

    def _segment_picture(self, rgb: RgbPicture) -> list[Instance]:
        block = self._block
        boxes = self._detector.detect(
            rgb, min_score=block.min_box_score, max_iou=block.box_iou, tiles=block.tiles
        )
        found = [
            self._look(rgb, (x0, y0, x1 - x0, y1 - y0), score)
            for (x0, y0, x1, y1), score in zip(boxes.corners.tolist(), boxes.scores.tolist(), strict=True)
        ]
        size_hw = rgb.shape[0], rgb.shape[1]
        made = [_make_instance(one, size_hw, block.mask_above) for one in found if one is not None]
        return merge_duplicates([one for one in made if one is not None and one.score >= block.min_score])

    def _look(self, rgb: RgbPicture, box_xywh: BoxXywh, score: float) -> _Candidate | None:
        """None where the close crop shows nobody: the wide one is then not looked at (14 % saved)."""
        close = self._network.look(rgb, Crop.around(box_xywh, CROP_SCALES[0]))
        if close.presence < self._block.min_presence:
            return None
        return _Candidate(
            box_xywh, score, close, self._network.look(rgb, Crop.around(box_xywh, CROP_SCALES[1]))
        )


def merge_duplicates(instances: Sequence[Instance]) -> list[Instance]:
    """Of masks that overlap by more than `SAME_PERSON_IOU`, the best score's; best first."""
    ranked = sorted(instances, key=lambda instance: -instance.score)
    masks = [instance.mask for instance in ranked]
    ious = iou_matrix(masks, masks)
    kept: list[int] = []
    for number in range(len(ranked)):
        if not (ious[number, kept] > SAME_PERSON_IOU).any():
            kept.append(number)
    return [ranked[number] for number in kept]


def _make_instance(found: _Candidate, size_hw: tuple[int, int], mask_above: float) -> Instance | None:
    """None where the mask has no pixel within the picture."""
    left, top, right, bottom = region = found.wide.crop.clip_to(size_hw)
    if right <= left or bottom <= top:
        return None
    close, wide = found.close.logits_in(region), found.wide.logits_in(region)
    mean = (close + wide) / 2
    threshold = logit(mask_above)
    inside: BoolArray = mean > threshold
    if not inside.any():
        return None
    decided = float(expit(mean[inside]).mean())
    parts = (found.box_score, found.presence, decided, _iou(close > threshold, wide > threshold))
    pixels = np.zeros(size_hw, dtype=np.bool_)
    pixels[top:bottom, left:right] = inside
    return Instance(
        mask=Mask.from_array(pixels),
        score=float(np.clip(np.prod(parts), 0.0, 1.0) ** (1 / len(parts))),
        box_xywh=found.box_xywh,
        keypoints=join_keypoints(found.close.keypoints, found.wide.keypoints, float(inside.sum())),
    )


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
