"""People whom the teacher loses are looked for where they must be, and only there, and only as long as they were found."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from labeling.matting.lost_people import find_lost
from labeling.matting.motion_average import Step, find_step
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, iou_matrix

HEIGHT, WIDTH, PAN_PX = 96, 144, 2


def draw(at: int) -> RgbImage:
    """Draw a wall that moves to the left."""
    noise = np.random.default_rng(4).standard_normal((HEIGHT, WIDTH + 100, 3)).astype(np.float32)
    wall = np.clip(128 + 150 * cv2.GaussianBlur(noise, (0, 0), 2), 0, 255).astype(np.uint8)
    return wall[:, PAN_PX * at : PAN_PX * at + WIDTH]


def person_at(at: int, x: int = 100) -> Instance:
    """Return the person who stands before the wall."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[20:76, x - PAN_PX * at : x + 24 - PAN_PX * at] = 1
    mask = Mask.from_array(pixels)
    return Instance(mask, 0.95, mask.box_xywh)


@dataclass
class Looker:
    """Draws the person in each box that holds one, and remembers where it looked."""

    score: float = 0.95
    networks_iou: float | None = None
    shift_px: int = 0
    places: list[tuple[int, BoxXywh]] = field(default_factory=list)

    def __call__(self, frame: Frame, boxes_xywh: Sequence[BoxXywh]) -> list[Instance | None]:
        assert frame.index is not None
        self.places += [(frame.index, box) for box in boxes_xywh]
        person = person_at(frame.index, 100 + self.shift_px)
        return [replace(person, score=self.score, networks_iou=self.networks_iou) for _ in boxes_xywh]


def look_for(found: str, looker: Looker, *, cut: int | None = None) -> str:
    """Return who is found again, frame by frame, where the teacher finds the person in frames marked `p`."""
    images = [draw(at) for at in range(len(found))]
    frames = [Frame("", None, image, t=Fraction(at, 24), index=at) for at, image in enumerate(images)]
    lumas = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8) for image in images]
    steps: list[Step | None] = [find_step(one, other, dt_s=1 / 24) for one, other in pairwise(lumas)]
    if cut is not None:
        steps[cut] = None
    people = [[person_at(at)] if letter == "p" else [] for at, letter in enumerate(found)]
    again = find_lost(frames, people, steps, looker)
    for at, group in enumerate(again):
        assert len(group) <= 1
        assert all(iou_matrix([one.mask], [person_at(at).mask])[0, 0] > 0.5 for one in group)
    return "".join("+" if group else letter for group, letter in zip(again, found, strict=True))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("pppp--pppp", "pppp++pppp"),
        ("ppp------", "ppp+++---"),
        ("------ppp", "---+++ppp"),
        ("---p-----", "--+p+----"),
        ("pp------pp", "pp++--++pp"),
        ("pp-pp-----", "pp+pp+++--"),
        ("---------", "---------"),
    ],
)
def test_a_person_may_be_missing_for_as_long_as_they_were_found(found: str, expected: str) -> None:
    assert look_for(found, Looker()) == expected


def test_the_place_moves_with_the_image() -> None:
    looker = Looker()
    look_for("pppp--pppp", looker)
    assert {at for at, _ in looker.places} == {4, 5}
    for at, box in looker.places:
        assert box == pytest.approx(person_at(at).box_xywh, abs=2.5)


@pytest.mark.parametrize(
    ("looker", "is_taken"),
    [
        (Looker(score=0.8), False),
        (Looker(networks_iou=0.5), False),
        (Looker(networks_iou=0.7), True),
        (Looker(shift_px=16), False),
    ],
)
def test_only_what_is_sure_and_in_its_place_is_taken(looker: Looker, *, is_taken: bool) -> None:
    assert look_for("ppp-ppp", looker) == ("ppp+ppp" if is_taken else "ppp-ppp")


def test_nobody_is_followed_beyond_a_cut() -> None:
    assert look_for("ppp---", Looker(), cut=2) == "ppp---"


def test_a_teacher_that_cannot_look_into_boxes_finds_nobody() -> None:
    images = [draw(at) for at in range(3)]
    frames = [Frame("", None, image, index=at) for at, image in enumerate(images)]
    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8) for image in images]
    steps = [find_step(one, other, dt_s=0.04) for one, other in pairwise(gray)]
    people = [[person_at(0)], [person_at(1)], []]
    assert find_lost(frames, people, steps, lambda *_: None) == [[], [], []]


def test_somebody_who_is_found_twice_is_there_once() -> None:
    """Both directions of time find the person in the frame between."""
    looker = Looker()
    assert look_for("pp-pp", looker) == "pp+pp"
    assert len(looker.places) == 2
