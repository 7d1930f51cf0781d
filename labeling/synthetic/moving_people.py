"""People in motion: cut-outs at their place, sampled where a motion says, and their exact optical flow."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.cutouts import Cutout
from labeling.structures.masks import BoolArray, BoxXywh
from labeling.synthetic.random_motion import Wobble, flow_between, pixel_grid
from labeling.video.optical_flow import Flow, bilinear_sample

FloatImage = NDArray[np.float32]
OPAQUE = 0.995
"""Share from which a pixel shows one person and nothing else."""
VISIBLE = 0.5 / 255
"""Alpha above which a pixel is not 0 when it is stored in 8 bits."""
SOFTNESS_PX = 0.7
"""Standard deviation of the Gaussian over a placed person: the contour of a mask becomes soft, and color is sampled
with little error at any position."""
_PAD_PX = 4


@dataclass(frozen=True, slots=True, eq=False)
class PlannedPerson:
    """Where a person is, and how the person moves."""

    cutout: int
    """Position of the cut-out in its list."""
    is_mirrored: bool
    left_px: int
    top_px: int
    size_hw: tuple[int, int]
    """Size of the scaled cut-out."""
    box_xywh: BoxXywh
    """Tight box of the undeformed person in the image, without the shift."""
    wobble: Wobble
    shift_px: NDArray[np.float64]
    """Horizontal shift of each frame; zeros for a person who stays inside."""
    tint: tuple[float, float, float]

    @property
    def leaves(self) -> bool:
        return bool(self.shift_px.any())

    def displacement(self, frame: int) -> Flow:
        """Return D of the frame, HxWx2; see `random_motion`."""
        return self.wobble.at(frame) - np.array([self.shift_px[frame], 0], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class MovedPerson:
    """A person in one frame: color (HxWx3, 0 to 255), alpha (HxW in [0, 1]), and D (HxWx2)."""

    color: FloatImage
    alpha: FloatImage
    displacement: Flow


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A scaled cut-out at its place in the image."""

    color: FloatImage
    alpha: FloatImage
    corner_xy: NDArray[np.float32]

    @classmethod
    def of(cls, cutout: Cutout, person: PlannedPerson) -> "Sprite":
        shrinks = person.size_hw[0] < cutout.alpha.shape[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        rgba = np.dstack([cutout.rgb.astype(np.float32), cutout.alpha])
        rgba = cv2.resize(rgba, person.size_hw[::-1], interpolation=interpolation).astype(np.float32)
        rgba = rgba[:, ::-1] if person.is_mirrored else rgba
        rgba = np.pad(rgba, ((_PAD_PX, _PAD_PX), (_PAD_PX, _PAD_PX), (0, 0)), mode="edge")
        soft = cv2.GaussianBlur(rgba, (0, 0), SOFTNESS_PX).astype(np.float32)
        soft[[0, -1], :, 3] = 0
        soft[:, [0, -1], 3] = 0
        color = np.clip(soft[..., :3] * np.array(person.tint, dtype=np.float32), 0, 255)
        corner = np.array([person.left_px - _PAD_PX, person.top_px - _PAD_PX], dtype=np.float32)
        return cls(color.astype(np.float32), np.clip(soft[..., 3], 0, 1).astype(np.float32), corner)

    def at(self, displacement: Flow) -> MovedPerson:
        """Sample the person at x + D(x)."""
        sources = pixel_grid((displacement.shape[0], displacement.shape[1])) + displacement - self.corner_xy
        x, y = sources[..., 0], sources[..., 1]
        color = cv2.remap(self.color, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.remap(self.alpha, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return MovedPerson(np.asarray(color, np.float32), np.asarray(alpha, np.float32), displacement)


def visible_shares(people: Sequence[MovedPerson]) -> FloatImage:
    """Return the share of each pixel that shows each person, NxHxW: people in front, at the end, hide those behind."""
    shares = np.stack([person.alpha for person in people])
    free = np.ones_like(shares[0])
    for i in range(len(people) - 1, -1, -1):
        shares[i] *= free
        free = free * (1 - people[i].alpha)
    return shares


def follow_people(
    people: Sequence[MovedPerson], later: Sequence[MovedPerson], shares: FloatImage
) -> tuple[Flow, BoolArray, BoolArray]:
    """Return the flow of the person who covers most of each pixel, where alpha is known, and where color is.

    `later` are the people in the next frame; see `FakeFrame`.
    """
    next_shares, owner, alpha = visible_shares(later), shares.argmax(axis=0), shares.sum(axis=0)
    next_alpha = next_shares.sum(axis=0)
    flow = np.zeros((*alpha.shape, 2), np.float32)
    is_known, is_exact = np.zeros(alpha.shape, np.bool_), np.zeros(alpha.shape, np.bool_)
    for i, (now, then) in enumerate(zip(people, later, strict=True)):
        is_mine = (owner == i) & (alpha > VISIBLE)
        window = _window(is_mine)
        mine, share = is_mine[window], shares[i][window]
        own, ends = flow_between(now.displacement, then.displacement, window)
        is_inside = ((ends >= 0) & (ends <= np.array(alpha.shape[::-1]) - 1)).all(axis=2)
        shown, others = bilinear_sample(next_shares[i], ends), bilinear_sample(next_alpha, ends)
        unmixed = (alpha[window] - share < 1 - OPAQUE) & (others - shown < 1 - OPAQUE)
        flow[window][mine] = own[mine]
        is_known[window] |= mine & is_inside & unmixed
        is_exact[window] |= mine & is_inside & (share >= OPAQUE) & (shown >= OPAQUE)
    return flow, is_known, is_exact


def _window(pixels: BoolArray) -> tuple[slice, slice]:
    """Return the rows and columns of the tight box; one pixel for no pixels."""
    left, top, width, height = cv2.boundingRect(pixels.view(np.uint8))
    return slice(top, top + max(1, height)), slice(left, left + max(1, width))
