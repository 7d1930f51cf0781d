"""Dropped keypoints of rendered people, filled from the frames before: error in pixels, and share filled.

    python benchmarks/keypoints.py [--seconds 20] [--fps 25 12.5 5] [--jitter 2] [--dropped 0.3]

People of known keypoints walk, stand and crouch in the rendered scene. A pose model is imitated: keypoints with
Gaussian jitter, of which a share is dropped, in runs of 1 to 5 frames. An entry is a dropped keypoint that no
furniture and no other person hides (its position lies in its own person's mask). It counts as recovered if it is
filled within `RECOVERED` of its person's height.

Methods: `none` (dropped keypoints stay dropped), `hold` (the last measured position), `orb` (the paper's first attempt:
the nearest ORB descriptor within a radius), `kalman` (the filter without flow, however uncertain), `flow + kalman`
(the product's; it fills no keypoint whose position is uncertain).
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.synthetic.scene import Scene
from labeling.tracking.keypoint_tracks import KeypointTracker, KeypointTracking

SIZE_HW = (360, 640)
CONFIDENCE = 0.9
RECOVERED = 0.05
"""Share of the person's height: half of what OKS allows a wrist (2 x 0.062 x scale) at about 0.6."""
LONGEST_RUN = 5
ORB_RADIUS_PX = 30.0
ORB_PATCH_PX = 31.0

Update = Callable[[Frame, Sequence[Instance]], tuple[Instance, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class TestFrame:
    """One frame with true keypoints (PxKx2), what the imitated model gives, and which entries count."""

    frame: Frame
    people: tuple[Instance, ...]
    positions: dict[int, NDArray[np.float64]]
    counted: dict[int, NDArray[np.bool_]]
    """True: dropped and visible."""


def main() -> int:
    options = read_options()
    print(f"jitter {options.jitter} px, {options.dropped:.0%} dropped in runs of 1 to {LONGEST_RUN} frames")
    print(
        f"{'fps':>6} {'method':16}{'dropped':>9}{'filled':>8}{'median px':>11}{'90 % px':>9}{'recovered':>11}{'ms/frame':>10}"
    )
    for fps in options.fps:
        frames = list(render(options, fps))
        for name, make in METHODS.items():
            print(f"{float(fps):6.1f} {name:16}" + describe(measure(frames, make())))
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the scene")
    parser.add_argument(
        "--fps", type=Fraction, nargs="+", default=[Fraction(25), Fraction(25, 2), Fraction(5)]
    )
    parser.add_argument("--jitter", type=float, default=2.0, help="standard deviation in pixels")
    parser.add_argument("--dropped", type=float, default=0.3, help="share of the keypoints")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def render(options: argparse.Namespace, fps: Fraction) -> Iterator[TestFrame]:
    """Render the scene; each actor of a cycle is one track."""
    scene = Scene(seconds=options.seconds, fps=fps, size_hw=SIZE_HW, seed=options.seed)
    rng = np.random.default_rng(options.seed)
    left: dict[int, NDArray[np.int64]] = {}
    for index in range(scene.frame_count):
        rgb, masks = scene.frame(index)
        t = index / fps
        frame = Frame("scene", round(1000 * t), rgb, t=t)
        positions, counted, people = {}, {}, []
        for actor, keypoints in enumerate(scene.keypoints(index)):
            if keypoints is None:
                continue
            track_id, true = actor + 1, np.array(list(keypoints.values()))
            dropped = left[track_id] = drop(left.get(track_id), len(true), rng, options.dropped)
            mask = own_mask(masks, true)
            positions[track_id] = true
            counted[track_id] = (dropped > 0) & is_inside(mask, true)
            people.append(
                imitate(true, dropped > 0, mask, track_id, rng.normal(0, options.jitter, true.shape))
            )
        yield TestFrame(frame, tuple(people), positions, counted)


def drop(
    left: NDArray[np.int64] | None, count: int, rng: np.random.Generator, share: float
) -> NDArray[np.int64]:
    """Return for how many more frames each keypoint is dropped, the next frame's counts."""
    left = np.zeros(count, dtype=np.int64) if left is None else np.maximum(left - 1, 0)
    mean_run = (1 + LONGEST_RUN) / 2
    starts = (left == 0) & (rng.random(count) < share / (mean_run * (1 - share) + share))
    return np.where(starts, rng.integers(1, LONGEST_RUN + 1, count), left)


def own_mask(masks: Sequence[Mask], true: NDArray[np.float64]) -> Mask:
    """Return the mask with most of a person's keypoints; empty if there is none."""
    empty = Mask.from_array(np.zeros(SIZE_HW, dtype=bool))
    return max([empty, *masks], key=lambda mask: int(is_inside(mask, true).sum()))


def is_inside(mask: Mask, positions: NDArray[np.float64]) -> NDArray[np.bool_]:
    columns, rows = np.floor(positions).astype(int).T
    inside = (columns >= 0) & (columns < SIZE_HW[1]) & (rows >= 0) & (rows < SIZE_HW[0])
    pixels = mask.to_array()
    is_person = pixels[rows.clip(0, SIZE_HW[0] - 1), columns.clip(0, SIZE_HW[1] - 1)].astype(bool)
    return np.asarray(inside & is_person)


def imitate(
    true: NDArray[np.float64],
    is_dropped: NDArray[np.bool_],
    mask: Mask,
    track_id: int,
    jitter: NDArray[np.float64],
) -> Instance:
    """Return what a pose model would give; a dropped keypoint has confidence 0 at a wrong position."""
    found = np.where(is_dropped[:, None], 0.0, true + jitter)
    confidence = np.where(is_dropped, 0.0, CONFIDENCE)
    x, y = true.min(axis=0)
    w, h = np.ptp(true, axis=0)
    keypoints = tuple((float(a), float(b), float(c)) for (a, b), c in zip(found, confidence, strict=True))
    return Instance(
        mask, 0.9, (float(x), float(y), float(w), float(h)), keypoints=keypoints, track_id=track_id
    )


@dataclass(slots=True)
class Result:
    errors_px: list[float] = field(default_factory=list)
    dropped: int = 0
    recovered: int = 0
    seconds: float = 0.0
    frames: int = 0


def measure(frames: Sequence[TestFrame], update: Update) -> Result:
    result = Result(frames=len(frames))
    for one in frames:
        began = time.process_time()
        people = update(one.frame, one.people)
        result.seconds += time.process_time() - began
        for person in people:
            track_id = person.track_id or 0
            found = np.array(person.keypoints)
            counted = one.counted[track_id]
            errors = np.linalg.norm(found[:, :2] - one.positions[track_id], axis=1)
            filled = errors[counted & (found[:, 2] > 0)]
            result.errors_px += filled.tolist()
            result.dropped += int(counted.sum())
            result.recovered += int((filled <= RECOVERED * person.box_xywh[3]).sum())
    return result


def describe(result: Result) -> str:
    median, high = np.percentile(result.errors_px, [50, 90]) if result.errors_px else (np.nan, np.nan)
    dropped = max(1, result.dropped)
    return (
        f"{result.dropped:9}{len(result.errors_px) / dropped:8.1%}{median:11.2f}{high:9.2f}"
        f"{result.recovered / dropped:11.1%}{1000 * result.seconds / result.frames:10.1f}"
    )


class Hold:
    """Fills the last measured position."""

    def __init__(self) -> None:
        self._last: dict[int, NDArray[np.float64]] = {}
        self._age: dict[int, NDArray[np.int64]] = {}

    def __call__(self, frame: Frame, people: Sequence[Instance]) -> tuple[Instance, ...]:
        return tuple(self._fill(frame, person) for person in people)

    def _fill(self, frame: Frame, person: Instance) -> Instance:
        track_id = person.track_id or 0
        found = np.array(person.keypoints)
        last = self._last.get(track_id, found)
        age = self._age.get(track_id, np.zeros(len(found), dtype=np.int64))
        is_seen = found[:, 2] > 0
        age = np.where(is_seen, 0, age + 1)
        kept = np.where(is_seen[:, None], found, self._carry(frame, last, ~is_seen))
        kept[age > LONGEST_RUN] = 0
        self._last[track_id], self._age[track_id] = kept, age
        return replace(person, keypoints=tuple((float(x), float(y), float(c)) for x, y, c in kept))

    def _carry(
        self, frame: Frame, last: NDArray[np.float64], is_missing: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return last


class Orb(Hold):
    """Moves a keypoint to the nearest ORB descriptor within a radius, as the paper's first attempt does."""

    def __init__(self) -> None:
        super().__init__()
        self._orb = cv2.ORB.create(nfeatures=3000, fastThreshold=5)
        self._gray: dict[str, NDArray[np.uint8]] = {}
        self._found: tuple[int, NDArray[np.float32], NDArray[np.uint8]] | None = None

    def __call__(self, frame: Frame, people: Sequence[Instance]) -> tuple[Instance, ...]:
        self._gray["now"] = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
        filled = super().__call__(frame, people)
        self._gray["before"] = self._gray["now"]
        return filled

    def _carry(
        self, frame: Frame, last: NDArray[np.float64], is_missing: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        moved = last.copy()
        rows = np.flatnonzero(is_missing & (last[:, 2] > 0))
        points = [
            cv2.KeyPoint(float(x), float(y), ORB_PATCH_PX, class_id=int(i))
            for i, (x, y, _) in zip(rows, last[rows], strict=True)
        ]
        if not points or "before" not in self._gray:
            return moved
        described, own = self._orb.compute(self._gray["before"], points)
        positions, others = self._detect(frame)
        for point, descriptor in zip(described, own if described else (), strict=True):
            near = np.flatnonzero(np.linalg.norm(positions - point.pt, axis=1) < ORB_RADIUS_PX)
            if len(near):
                distances = np.unpackbits(
                    np.bitwise_xor(others[near], descriptor).astype(np.uint8), axis=1
                ).sum(axis=1)
                moved[point.class_id, :2] = positions[near[distances.argmin()]]
        return moved

    def _detect(self, frame: Frame) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        if self._found is None or self._found[0] != frame.key:
            points, found = self._orb.detectAndCompute(self._gray["now"], None)  # type: ignore[call-overload]
            self._found = frame.key, np.array([point.pt for point in points], dtype=np.float32), found
        return self._found[1:]


def fill_nothing(frame: Frame, people: Sequence[Instance]) -> tuple[Instance, ...]:
    return tuple(people)


METHODS: dict[str, Callable[[], Update]] = {
    "none": lambda: fill_nothing,
    "hold": Hold,
    "orb": Orb,
    "kalman": lambda: KeypointTracker(KeypointTracking(uses_flow=False, max_std=np.inf)).update,
    "flow + kalman": lambda: KeypointTracker().update,
}

if __name__ == "__main__":
    sys.exit(main())
