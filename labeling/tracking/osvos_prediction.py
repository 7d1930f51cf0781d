"""Masks of people through a video: from their trajectories, trained heads, and the previous frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from labeling.background.subtraction import subtract_plate
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, BoxXywh, Mask, box_iou_matrix
from labeling.structures.probability_maps import stability_share
from labeling.tracking.osvos_crops import CropFrame, FloatMap, difference_image
from labeling.tracking.osvos_fine_tuning import TrainedHead, compute_maps, cut_input, predict_maps
from labeling.tracking.osvos_network import Backbone
from labeling.tracking.people_locator import PeopleLocator, Scene
from labeling.tracking.trajectories import FloatArray
from labeling.video.optical_flow import SMALLEST_PX, backward_flow_with_consistency

MIN_DIFFERENCE = 30.0
"""Color distance from which a pixel differs from the background, as of the `background` segmenter."""
MAX_STEP_S = 0.5
"""Longest time over which the previous frame's masks are moved by optical flow."""
MIN_PART = 0.1
"""Smallest component, as a share of the largest one."""
MIN_AREA = 0.1
"""Smallest mask, as a share of the expected box."""
CORE = 0.8
"""Components must reach into this share of the expected box's width and height, or the moved mask before."""
HISTOGRAM_BINS = 8
MIN_APPEARANCE = 0.05


@dataclass(slots=True, eq=False)
class _Before:
    """The previous frame."""

    t_s: float
    luma: NDArray[np.uint8]
    masks: dict[int, BoolArray]


@dataclass(frozen=True, slots=True, eq=False)
class FoundPerson:
    """A person in a frame, before overlaps are resolved."""

    person: int
    box_xywh: BoxXywh
    rows: slice
    columns: slice
    probability: FloatMap
    threshold: float


@dataclass(slots=True, eq=False)
class PeoplePredictor:
    """Segments people frame by frame, in order of time."""

    scene: Scene
    backbone: Backbone
    heads: Mapping[int, TrainedHead]
    _before: _Before | None = None
    _locator: PeopleLocator = field(init=False)
    _appearance: dict[int, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._locator = PeopleLocator(self.scene, tuple(self.heads))

    def predict(
        self, rgb: RgbImage, *, frame: float, t_s: float, matched: Mapping[int, Mask] | None = None
    ) -> list[Instance]:
        """Return an instance of each person with a mask in this frame, by id.

        `frame` is its number in the video. `matched` are masks that a teacher has found for people here; they help
        to choose components. A person outside the image has no instance.
        """
        size_hw = (rgb.shape[0], rgb.shape[1])
        moved = self._move_masks(rgb, t_s)
        boxes = self._locator.expect(frame, size_hw)
        found = self._run_heads(rgb, boxes)
        seen = matched or {}
        pixels = {
            person: self._clean(one, self._seeds(one, moved.get(person), seen.get(person)))
            for person, one in found.items()
        }
        instances = [
            self._instance(rgb, found[person], mask)
            for person, mask in resolve_overlaps(found, pixels, size_hw).items()
        ]
        kept = [one for one in instances if one is not None]
        self._remember(rgb, t_s, kept)
        return kept

    def _run_heads(self, rgb: RgbImage, boxes: Mapping[int, BoxXywh]) -> dict[int, FoundPerson]:
        """Run the backbone on all crops at once, and each person's head on its own."""
        if not boxes:
            return {}
        size_hw = (rgb.shape[0], rgb.shape[1])
        difference = self._difference(rgb)
        crops = {person: CropFrame.around(box) for person, box in boxes.items()}
        maps = compute_maps(self.backbone, [cut_input(crop, rgb) for crop in crops.values()])
        found: dict[int, FoundPerson] = {}
        for index, (person, crop) in enumerate(crops.items()):
            guides = crop.guides(None if difference is None else crop.cut(difference))
            of_person = [one[index : index + 1] for one in maps]
            head = self.heads[person]
            values = predict_maps(head.head, of_person, torch.from_numpy(guides)[None], crop.side_px)[0]
            rows, columns, pasted = crop.paste(values.numpy(), size_hw)
            if pasted.size and rows.stop > rows.start and columns.stop > columns.start:
                found[person] = FoundPerson(person, boxes[person], rows, columns, pasted, head.threshold)
        return found

    def _difference(self, rgb: RgbImage) -> NDArray[np.uint8] | None:
        if self.scene.plate is None:
            return None
        return difference_image(subtract_plate(rgb, self.scene.plate, min_difference=MIN_DIFFERENCE).ratio)

    def _move_masks(self, rgb: RgbImage, t_s: float) -> dict[int, BoolArray]:
        """Return the previous frame's masks, moved by optical flow to this one."""
        before = self._before
        is_near = before is not None and 0 < t_s - before.t_s <= MAX_STEP_S
        if before is None or not is_near or not before.masks or min(rgb.shape[:2]) < SMALLEST_PX:
            return {}
        positions, is_consistent = backward_flow_with_consistency(_luma(rgb), before.luma)
        moved = {}
        for person, mask in before.masks.items():
            values = cv2.remap(mask.view(np.uint8), positions[..., 0], positions[..., 1], cv2.INTER_NEAREST)
            moved[person] = (values > 0) & is_consistent
        return moved

    def _seeds(self, found: FoundPerson, moved: BoolArray | None, matched: Mask | None) -> BoolArray:
        """Return the pixels that a component must reach, in the crop's part of the image."""
        here = found.rows, found.columns
        x, y, w, h = found.box_xywh
        seeds = np.zeros(found.probability.shape, dtype=np.bool_)
        left, right = (round(x + w * (1 + side * CORE) / 2) - found.columns.start for side in (-1, 1))
        top, bottom = (round(y + h * (1 + side * CORE) / 2) - found.rows.start for side in (-1, 1))
        seeds[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        if moved is not None:
            seeds |= moved[here]
        if matched is not None:
            seeds |= matched.to_array()[here]
        return seeds

    def _clean(self, found: FoundPerson, seeds: BoolArray) -> BoolArray:
        """Return the components of the probable pixels that reach the seeds, without specks."""
        probable = (found.probability > found.threshold).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(probable, connectivity=8)
        reached = np.bincount(labels[seeds], minlength=count)[:count] > 0
        reached[0] = False
        areas = np.where(reached, stats[:, cv2.CC_STAT_AREA], 0)
        kept = reached & (areas >= MIN_PART * areas.max(initial=0))
        return np.asarray(kept[labels])

    def _instance(self, rgb: RgbImage, found: FoundPerson, pixels: BoolArray) -> Instance | None:
        """Make an instance with its confidence; None for a mask that is too small for the person."""
        _, _, w, h = found.box_xywh
        if pixels.sum() < MIN_AREA * w * h:
            return None
        mask = Mask.from_array(pixels)
        within = found.probability[pixels[found.rows, found.columns]]
        expected = float(box_iou_matrix([found.box_xywh], [mask.box_xywh])[0, 0])
        seen = histogram(rgb[pixels])
        known = self._appearance.setdefault(found.person, seen)
        similar = max(MIN_APPEARANCE, float(np.sqrt(known * seen).sum()))
        self._appearance[found.person] = 0.95 * known + 0.05 * seen
        score = (float(within.mean()) * max(expected, MIN_APPEARANCE) * similar) ** (1 / 3)
        return Instance(
            mask,
            score=min(max(score, 0.0), 1.0),
            box_xywh=mask.box_xywh,
            stability=stability_share(within, mask_threshold=found.threshold),
            track_id=found.person,
        )

    def _remember(self, rgb: RgbImage, t_s: float, instances: Sequence[Instance]) -> None:
        masks = {one.track_id: one.mask.to_array() for one in instances if one.track_id is not None}
        dt_s = t_s - self._before.t_s if self._before else self.scene.frame_s
        self._before = _Before(t_s, _luma(rgb), masks)
        boxes = {one.track_id: one.box_xywh for one in instances if one.track_id is not None}
        self._locator.observe(boxes, dt_s)


def _luma(rgb: RgbImage) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def resolve_overlaps(
    found: Mapping[int, FoundPerson], pixels: Mapping[int, BoolArray], size_hw: tuple[int, int]
) -> dict[int, BoolArray]:
    """Give each pixel to the person with the highest odds over that person's threshold."""
    best = np.zeros(size_hw, dtype=np.float32)
    owner = np.zeros(size_hw, dtype=np.int64)
    for person, mask in pixels.items():
        one = found[person]
        here = one.rows, one.columns
        over = np.where(mask, one.probability / one.threshold, 0)
        is_better = over > best[here]
        owner[here][is_better] = person
        best[here][is_better] = over[is_better]
    return {person: owner == person for person in pixels}


def histogram(colors: NDArray[np.uint8]) -> FloatArray:
    """Return the normalized histogram of (n, 3) colors.

    >>> float(histogram(np.zeros((5, 3), dtype=np.uint8)).sum())
    1.0
    """
    bins = (colors // (256 // HISTOGRAM_BINS)).astype(np.int64)
    index = (bins[:, 0] * HISTOGRAM_BINS + bins[:, 1]) * HISTOGRAM_BINS + bins[:, 2]
    counts = np.bincount(index, minlength=HISTOGRAM_BINS**3).astype(np.float64)
    return np.asarray(counts / max(counts.sum(), 1))
