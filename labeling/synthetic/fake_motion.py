"""Fake motion: people cut out of images, set in motion before moving backgrounds, with exact alpha and flow.

After Molodetskikh, Erofeev, Moskalenko, Vatolin: Temporally coherent person matting trained on fake-motion dataset,
Digital Signal Processing 126, 2022. Clip `index` depends on the seed, the index and the data alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.synthesis import FakeMotionBlock
from labeling.structures.cutouts import Cutout
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray, Mask
from labeling.synthetic.moving_backgrounds import Background, Pan
from labeling.synthetic.moving_people import MovedPerson, PlannedPerson, Sprite, follow_people, visible_shares
from labeling.synthetic.random_motion import Wobble, half_out_shift
from labeling.video.optical_flow import Flow

RNG = np.random.Generator
FloatImage = NDArray[np.float32]
MASK_FROM = 0.5
"""A pixel belongs to the mask of a person who covers at least this share of it."""
MAX_ENLARGED = 2.5
"""Largest enlargement of a cut-out; more shows its pixels."""
_OPEN_SHARE = 0.05
"""A cut-out ends at a border of its image if more than this share of the border is covered."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipPlan:
    """All random decisions of a clip."""

    index: int
    people: tuple[PlannedPerson, ...]
    """Back to front. The track of `people[i]` is i + 1."""
    background: int
    pan: Pan


@dataclass(frozen=True, slots=True, eq=False)
class FakeFrame:
    """One frame of a clip with its exact ground truth."""

    rgb: RgbImage
    alpha: FloatImage
    """HxW in [0, 1], of all people."""
    foreground: FloatImage
    """Color of the people, HxWx3 from 0 to 255; behind them, and where there is no person, without meaning."""
    background: FloatImage
    """HxWx3 from 0 to 255."""
    shares: FloatImage
    """Share of each pixel that shows person i, NxHxW; they add up to alpha."""
    flow: Flow | None
    """Motion of the people's pixels to the next frame, HxWx2 (x, y) in pixels, 0 where there is no person; None: last
    frame."""
    is_known: BoolArray | None
    """Pixels, soft ones included, whose alpha the next frame shows again at the end of the flow, HxW."""
    is_exact: BoolArray | None
    """Those among them that show only the person, in both frames: their color is the same too."""

    def masks(self) -> list[Mask]:
        """Return the visible pixels of each person, disjoint; empty for a hidden one."""
        return Mask.from_stack(self.shares >= MASK_FROM)


class FakeMotion:
    """Makes clips.

    >>> from labeling.synthetic.moving_backgrounds import DrawnBackground
    >>> gray = np.full((80, 80, 3), 128, np.uint8)
    >>> cutout = Cutout(gray, np.pad(np.ones((60, 40), np.float32), ((10, 10), (20, 20))))
    >>> clips = FakeMotion([cutout], [DrawnBackground("gray", gray)], FakeMotionBlock(width=64, height=64))
    >>> next(clips.frames(clips.plan(0))).rgb.shape
    (64, 64, 3)
    """

    def __init__(
        self, cutouts: Sequence[Cutout], backgrounds: Sequence[Background], settings: FakeMotionBlock
    ) -> None:
        if not cutouts or not backgrounds:
            raise ValueError("fake motion requires at least one cut-out and one background")
        self._cutouts, self._backgrounds, self.settings = cutouts, backgrounds, settings
        self._rests = [_Rest.of(cutout.alpha) for cutout in cutouts]

    def plan(self, index: int) -> ClipPlan:
        """Draw the decisions of clip `index`, without rendering."""
        rng = np.random.default_rng([self.settings.seed, index])
        count = 2 if rng.random() < self.settings.second_person else 1
        leaving = int(rng.integers(count)) if rng.random() < self.settings.half_out else None
        people = [self._place(rng, is_main=i == 0, leaves=i == leaving) for i in range(count)]
        if rng.random() < 0.5:  # noqa: PLR2004 - either one is in front
            people.reverse()
        return ClipPlan(
            index,
            tuple(people),
            int(rng.integers(len(self._backgrounds))),
            Pan.random(rng, self.settings.pan),
        )

    def background_of(self, plan: ClipPlan) -> Background:
        return self._backgrounds[plan.background]

    def frames(self, plan: ClipPlan, *, start: int = 0, stop: int | None = None) -> Iterator[FakeFrame]:
        """Render the frames of a clip from `start` to before `stop`, one after another. The last has no flow.

        Raises:
            SourceError: the background can no longer be read.
        """
        count, fps = self.settings.frames, Fraction(self.settings.fps).limit_denominator(1001)
        stop, times_s = count if stop is None else stop, [i / fps for i in range(count)]
        rng = np.random.default_rng([self.settings.seed, plan.index, 1])
        sprites = [Sprite.of(self._cutouts[person.cutout], person) for person in plan.people]
        moved = [
            sprite.at(person.displacement(start)) for sprite, person in zip(sprites, plan.people, strict=True)
        ]
        images = enumerate(self._backgrounds[plan.background].images(rng, times_s))
        for i, rgb in islice(images, start, stop):
            later = None
            if i + 1 < stop:
                later = [
                    sprite.at(person.displacement(i + 1))
                    for sprite, person in zip(sprites, plan.people, strict=True)
                ]
            behind = plan.pan.show(rgb, self.settings.size_hw, i / (count - 1))
            yield self._compose(moved, later, behind, rng)
            moved = later or moved

    def _compose(
        self, people: Sequence[MovedPerson], later: Sequence[MovedPerson] | None, behind: FloatImage, rng: RNG
    ) -> FakeFrame:
        image, foreground, shares = behind.copy(), people[0].color, visible_shares(people)
        for person in people:
            image += person.alpha[..., None] * (person.color - image)
        alpha = shares.sum(axis=0)
        if len(people) > 1:
            weighted = sum(
                share[..., None] * person.color for share, person in zip(shares, people, strict=True)
            )
            foreground = np.where(
                alpha[..., None] > 0, weighted / np.maximum(alpha, 1e-6)[..., None], foreground
            )
        if self.settings.noise:
            image += self.settings.noise * rng.standard_normal(image.shape, dtype=np.float32)
        rgb = np.clip(image + 0.5, 0, 255).astype(np.uint8)
        motion = follow_people(people, later, shares) if later else (None, None, None)
        return FakeFrame(rgb, alpha, foreground, behind, shares, *motion)

    def _place(self, rng: RNG, *, is_main: bool, leaves: bool) -> PlannedPerson:
        """Scale and place a person; a side where the cut-out was cut off lies outside of the image."""
        settings, (height, width) = self.settings, self.settings.size_hw
        chosen = int(rng.integers(len(self._cutouts)))
        rest, margin_px = (
            self._rests[chosen],
            round(1.2 * sum(settings.amplitudes) * min(settings.size_hw)) + 2,
        )
        tall = rng.uniform(0.6, 0.95) if is_main else rng.uniform(0.45, 0.85)
        scale = min(MAX_ENLARGED, tall * height / rest.height, 0.9 * width / rest.width)
        if rest.is_open_above and rest.is_open_below:
            scale = max(scale, (height + 2 * margin_px) / rest.height)
        middle_x, low = rng.uniform(0.25, 0.75) * width, rng.uniform(0.0, 1.0)
        left = middle_x - scale * rest.width / 2
        top = low * max(0.0, height - scale * rest.height)
        if rest.is_open_below:
            top = height + margin_px - scale * rest.height
        elif rest.is_open_above:
            top = -float(margin_px)
        is_mirrored = bool(rng.random() < 0.5)  # noqa: PLR2004
        edge = float(width) if rng.random() < 0.5 else 0.0  # noqa: PLR2004
        size_hw, offset_x = rest.scaled(scale, is_mirrored=is_mirrored)
        left_px, top_px = round(left - offset_x), round(top - scale * rest.top)
        box = (left_px + offset_x, top_px + scale * rest.top, scale * rest.width, scale * rest.height)
        shift = half_out_shift(box[0] + box[2] / 2, edge, settings.frames)
        wobble = Wobble.random(
            rng,
            settings.size_hw,
            frames=settings.frames,
            key_every=max(1.0, settings.key_every_s * settings.fps),
            amplitudes=settings.amplitudes,
        )
        gain = rng.uniform(0.7, 1.2) * rng.normal(1, 0.03, 3)
        return PlannedPerson(
            cutout=chosen,
            is_mirrored=is_mirrored,
            left_px=left_px,
            top_px=top_px,
            size_hw=size_hw,
            box_xywh=box,
            wobble=wobble,
            shift_px=shift if leaves else np.zeros_like(shift),
            tint=(float(gain[0]), float(gain[1]), float(gain[2])),
        )


@dataclass(frozen=True, slots=True)
class _Rest:
    """A cut-out's size and tight box in its own pixels, and where its image ended."""

    size_hw: tuple[int, int]
    left: int
    top: int
    width: int
    height: int
    is_open_above: bool
    is_open_below: bool

    @classmethod
    def of(cls, alpha: FloatImage) -> "_Rest":
        inside = (alpha >= MASK_FROM).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(inside) if inside.any() else (0, 0, *alpha.shape[::-1])
        ends = [bool(row.mean() > _OPEN_SHARE) for row in (inside[0], inside[-1])]
        return cls((alpha.shape[0], alpha.shape[1]), left, top, width, height, *ends)

    def scaled(self, scale: float, *, is_mirrored: bool) -> tuple[tuple[int, int], float]:
        """Return the size of the scaled cut-out, and the left side of its box in it."""
        size_hw = (max(8, round(scale * self.size_hw[0])), max(8, round(scale * self.size_hw[1])))
        left = self.size_hw[1] - self.left - self.width if is_mirrored else self.left
        return size_hw, scale * left
