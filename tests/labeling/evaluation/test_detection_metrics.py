"""Detection metrics of hand-drawn people, and against a second implementation."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from labeling.evaluation.detection_metrics import (
    DetectionMetrics,
    ImageMatch,
    ImageMatches,
    PersonMetrics,
    summarize_people,
)
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.matching import match_people, visible_tracks
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, BoxXywh, Mask
from tests.labeling.strategies import draw

LEFT = Mask.from_array(draw("##......", "##......", "##......"))
LEFT_TOP = Mask.from_array(draw("##......", "........", "........"))
MIDDLE = Mask.from_array(draw("...##...", "...##...", "...##..."))
RIGHT = Mask.from_array(draw("......##", "......##", "......##"))
RIGHT_HALF = Mask.from_array(draw(".......#", ".......#", ".......#"))
NOTHING = Mask.empty((3, 8))


def truth(*people: Mask, ignored: Mask = NOTHING, boxes: tuple[BoxXywh, ...] | None = None) -> LabeledImage:
    return LabeledImage(Path("a.jpg"), ignored.size_hw, people, ignored, boxes=boxes)


def seen(*masks: Mask) -> list[Instance]:
    return [Instance(mask, 1.0, mask.box_xywh) for mask in masks]


def by_masks(instances: Sequence[Instance], image: LabeledImage) -> ImageMatches:
    match = match_people(instances, image)
    assert match is not None
    assert match.masks is not None
    return match.masks


def figures(*images: ImageMatch | None) -> PersonMetrics:
    found = summarize_people([one for one in images if one])
    assert found is not None
    return found


def test_each_person_has_the_best_instance_and_pairs_are_one_to_one() -> None:
    two = truth(LEFT, RIGHT)
    assert by_masks(seen(RIGHT, LEFT), two) == ImageMatches(best_ious=(1.0, 1.0), matched=2, seen=2)
    assert by_masks(seen(LEFT_TOP, LEFT), two) == ImageMatches(best_ious=(1.0, 0.0), matched=1, seen=2)
    both = Mask.from_array(LEFT.to_array() | LEFT_TOP.to_array() | draw("...##...", "........", "........"))
    twins = truth(LEFT, both)
    assert by_masks(seen(LEFT), twins) == ImageMatches(best_ious=(1.0, 0.75), matched=1, seen=1)


def test_an_iou_of_a_half_matches_and_less_does_not() -> None:
    assert by_masks(seen(RIGHT_HALF), truth(RIGHT)) == ImageMatches(best_ious=(0.5,), matched=1, seen=1)
    assert by_masks(seen(LEFT_TOP), truth(LEFT)) == ImageMatches(best_ious=(1 / 3,), matched=0, seen=1)


def test_no_instances_and_no_labeled_people() -> None:
    assert by_masks([], truth(LEFT)) == ImageMatches(best_ious=(0.0,), matched=0, seen=0)
    assert by_masks(seen(LEFT), truth()) == ImageMatches(best_ious=(), matched=0, seen=1)
    assert figures(match_people([], truth())).boxes == DetectionMetrics(0, None, 0, None, None)
    assert by_masks(seen(NOTHING), truth(LEFT)).seen == 0


def test_an_instance_mostly_on_a_crowd_counts_neither_for_nor_against() -> None:
    crowd = Mask.from_array(draw("......##", "......##", "........"))
    half = Mask.from_array(draw(".......#", ".......#", ".......#"))
    rows = Mask.from_array(draw("....####", "........", "........"))
    assert by_masks(seen(LEFT, half), truth(LEFT, ignored=crowd)) == ImageMatches((1.0,), matched=1, seen=1)
    assert by_masks(seen(LEFT, rows), truth(LEFT, ignored=crowd)).seen == 2


def test_a_matched_instance_counts_even_in_ignored_regions() -> None:
    crowd = Mask.from_array(draw(".##.....", ".##.....", ".##....."))
    onto_the_crowd = Mask.from_array(draw("###.....", "###.....", "###....."))
    assert by_masks(seen(onto_the_crowd), truth(LEFT, ignored=crowd)) == ImageMatches(
        (1.0,), matched=1, seen=1
    )


def test_a_person_mostly_in_ignored_regions_does_not_count() -> None:
    outside = Mask.from_array(draw("......##", "......##", "........"))
    match = match_people(seen(LEFT), truth(LEFT, RIGHT, ignored=outside))
    assert match == ImageMatch(ImageMatches((1.0,), 1, 1), ImageMatches((1.0,), 1, 1))
    right_box: BoxXywh = (6, 0, 2, 3)
    of_boxes = match_people(seen(LEFT), truth(ignored=outside, boxes=((0, 0, 2, 3), right_box)))
    assert of_boxes == ImageMatch(None, ImageMatches((1.0,), 1, 1))


def test_joined_ground_truth_has_no_matches() -> None:
    assert match_people(seen(LEFT), replace(truth(LEFT), is_joined=True)) is None
    assert summarize_people([]) is None


def test_partial_ground_truth_has_no_precision() -> None:
    partial = match_people(seen(LEFT, MIDDLE), replace(truth(LEFT, RIGHT), is_partial=True))
    assert figures(partial).masks == DetectionMetrics(people=2, iou=0.5, missed=1, recall=0.5, precision=None)
    whole = match_people(seen(LEFT, MIDDLE), truth(LEFT))
    assert figures(partial, whole).masks == DetectionMetrics(
        people=3, iou=2 / 3, missed=1, recall=2 / 3, precision=0.5
    )


def test_ground_truth_of_boxes_has_only_box_metrics() -> None:
    ring = Mask.from_array(draw("###.....", "#.#.....", "###....."))
    boxed = match_people(seen(ring, RIGHT), truth(boxes=((0, 0, 3, 3), (3, 0, 2, 3))))
    assert boxed == ImageMatch(None, ImageMatches(best_ious=(1.0, 0.0), matched=1, seen=2))
    assert figures(boxed) == PersonMetrics(
        None, DetectionMetrics(people=2, iou=0.5, missed=1, recall=0.5, precision=0.5)
    )
    both = figures(boxed, match_people(seen(LEFT), truth(LEFT)))
    assert both.masks == DetectionMetrics(1, 1.0, 0, 1.0, 1.0)
    assert both.boxes.people == 3


def test_an_instance_has_its_own_box_which_may_match_where_its_mask_does_not() -> None:
    found = match_people([Instance(LEFT_TOP, 1.0, (0, 0, 2, 3))], truth(LEFT))
    assert found == ImageMatch(ImageMatches((1 / 3,), 0, 1), ImageMatches((1.0,), 1, 1))


def test_a_person_with_an_iou_below_a_tenth_is_missed() -> None:
    images = [ImageMatch(None, ImageMatches((iou,), 0, 1)) for iou in (0.0, 0.099, 0.1, 0.4)]
    assert figures(*images).boxes.missed == 2


@pytest.mark.parametrize("seed", range(60))
def test_random_images_agree_with_loops_over_pixels_and_all_pairings(seed: int) -> None:
    random = np.random.default_rng(seed)
    people, instances = ([rectangle(random) for _ in range(random.integers(0, 5))] for _ in range(2))
    instances += [shifted(random, one) for one in people if random.random() < 0.7]
    ignored = rectangle(random) if random.random() < 0.5 else np.zeros(SIZE_HW, bool)
    image = truth(*map(Mask.from_array, people), ignored=Mask.from_array(ignored))
    found = match_people(seen(*map(Mask.from_array, instances)), image)
    assert found is not None
    for match, cut, of_both in ((found.masks, ~ignored, pixel_iou), (found.boxes, ~ignored | True, box_iou)):
        assert match is not None
        visible = [one for one in people if (one & ignored).sum() <= one.sum() / 2]
        ious = np.array([[of_both(one & cut, other & cut) for other in instances] for one in visible])
        ious = ious.reshape(len(visible), len(instances))
        pairs = best_pairing(ious)
        free = [number for number in range(len(instances)) if number not in {column for _, column in pairs}]
        against = [n for n in free if (instances[n] & ignored).sum() <= instances[n].sum() / 2]
        assert match.best_ious == pytest.approx(tuple(ious.max(axis=1, initial=0)))
        assert (match.matched, match.seen) == (len(pairs), len(pairs) + len(against))


SIZE_HW = (9, 11)


def rectangle(random: np.random.Generator) -> BoolArray:
    pixels = np.zeros(SIZE_HW, bool)
    (top, left), (h, w) = random.integers(0, (6, 8)), random.integers(2, 5, 2)
    pixels[top : top + h, left : left + w] = True
    return pixels


def shifted(random: np.random.Generator, pixels: BoolArray) -> BoolArray:
    moved: BoolArray = np.roll(pixels, int(random.integers(0, 2)), axis=int(random.integers(0, 2)))
    return moved


def pixel_iou(first: BoolArray, second: BoolArray) -> float:
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 0.0


def box_iou(first: BoolArray, second: BoolArray) -> float:
    return pixel_iou(fill_tight_box(first), fill_tight_box(second))


def fill_tight_box(pixels: BoolArray) -> BoolArray:
    filled = np.zeros_like(pixels)
    rows, columns = np.nonzero(pixels)
    if len(rows):
        filled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return filled


def best_pairing(ious: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[tuple[int, int]]:
    """Return the one-to-one pairing with the largest sum of IoUs of at least 0.5."""
    rows, columns = ious.shape
    if rows > columns:
        return [(row, column) for column, row in best_pairing(ious.T)]
    eligible = np.where(ious >= 0.5, ious, 0)
    pairings = (tuple(enumerate(some)) for some in permutations(range(columns), rows))
    best = max(pairings, key=lambda pairs: sum(eligible[pair] for pair in pairs))
    return [pair for pair in best if eligible[pair] > 0]


def test_visible_tracks_are_those_of_people_half_outside_ignored_regions() -> None:
    crowd = Mask.from_array(draw("....####", "....####", "....####"))
    masked = replace(truth(LEFT, MIDDLE, RIGHT, ignored=crowd), tracks=("9", "10", "7"))
    assert visible_tracks(masked) == ("10", "9")
    boxed = replace(truth(ignored=crowd, boxes=((6, 0, 2, 3), (0, 0, 2, 3))), tracks=("7", "9"))
    assert visible_tracks(boxed) == ("9",)
    assert visible_tracks(replace(masked, tracks=("9", None, "7"))) == ("9",)
    assert visible_tracks(replace(masked, tracks=())) == ()
