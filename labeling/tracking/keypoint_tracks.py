"""Keypoint tracking: keypoints that a pose model drops for a few frames are filled from the frames before.

A dropped keypoint moves with the optical flow around its last position (the median of the consistent flow
within a radius). A Kalman filter with time in seconds joins these measurements with the pose model's, and
continues alone where the flow is not consistent. After "Pose-guided masks", III-A, with dense optical flow
in the place of deep matching.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray
from labeling.tracking.kalman import CHI2_99, FloatArray, KalmanState
from labeling.tracking.keypoint_flow import FLOW_STD_PX, FlowFrame, KeypointFlow

KEYPOINT_STD = 0.01
"""Standard deviation of a pose model's keypoint, in heights of the person's box; at least `MIN_STD_PX`."""
MIN_STD_PX = 1.0
SPEED_STD = 1.0
"""Speed of a keypoint seen for the first time, in heights per second: a walking person's ankle has up to two."""
ACCELERATION_STD = 6.0
"""Heights per second squared: a wrist that swings by 0.15 heights once a second (0.15 x (2 pi)^2)."""
LIMB_TIME_S = 0.05
"""Time constant with which a limb's own velocity decays. Of 0.05, 0.1, 0.15 s and never, the best on rendered people at
5 and 12.5 frames a second (benchmarks/keypoints.py)."""
HALF_LIFE_S = 1.0
"""Time in which the confidence of a keypoint halves while the pose model does not find it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointTracking:
    """Settings of `KeypointTracker`."""

    min_confidence: float = 0.5
    """A keypoint below this confidence counts as dropped."""
    max_coast_frames: int = 5
    """Frames in a row for which a keypoint is filled; then it is lost."""
    max_coast_s: float = 1.0
    """Time for which a keypoint is filled; then it is lost."""
    max_std: float = 0.05
    """Largest standard deviation of a filled keypoint by the filter, in heights of the person's box."""
    gate: float = CHI2_99[2]
    """Squared Mahalanobis distance from which a measurement is an outlier, which the filter ignores."""
    uses_flow: bool = True
    """Without flow, a dropped keypoint keeps its velocity."""


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """One person's K keypoints in one frame, as the pose model gives them."""

    positions: FloatArray
    """Kx2 pixels; NaN where the keypoint is dropped."""
    confidence: FloatArray
    height_px: float
    """Of the person's box, the unit of the filter's noise."""

    @classmethod
    def of(cls, person: Instance, min_confidence: float) -> Self:
        values = np.array(person.keypoints, dtype=np.float64)
        is_seen = (values[:, 2] >= min_confidence) & np.isfinite(values).all(axis=1)
        positions = np.where(is_seen[:, None], values[:, :2], np.nan)
        return cls(positions, np.where(is_seen, values[:, 2], 0.0), max(1.0, person.box_xywh[3]))

    @property
    def std_px(self) -> float:
        return max(MIN_STD_PX, KEYPOINT_STD * self.height_px)


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """One person's K keypoints at the time of the last frame."""

    state: KalmanState
    """Of Kx2 coordinates."""
    confidence: FloatArray
    """Of the last measurement; 0: lost, or never seen."""
    coasted_frames: FloatArray
    """Frames since the last measurement."""
    coasted_s: FloatArray
    height_px: float

    @classmethod
    def start(cls, measured: _Measured) -> Self:
        state = KalmanState.start(
            np.nan_to_num(measured.positions),
            position_std=measured.std_px,
            velocity_std=SPEED_STD * measured.height_px,
        )
        zeros = np.zeros_like(measured.confidence)
        return cls(state, measured.confidence, zeros, zeros, measured.height_px)

    @property
    def is_alive(self) -> BoolArray:
        return self.confidence > 0

    def decayed_confidence(self, max_std: float) -> FloatArray:
        """Return the confidence at this time; 0 where the position is less certain than `max_std` heights."""
        variance = self.state.position_variance.max(axis=1)
        is_certain = variance <= max(MIN_STD_PX, max_std * self.height_px) ** 2
        return np.where(is_certain, self.confidence * 0.5 ** (self.coasted_s / HALF_LIFE_S), 0.0)

    def advance(
        self, measured: _Measured | None, flow: KeypointFlow | None, dt_s: float, settings: KeypointTracking
    ) -> "_Track":
        """Return the track `dt_s` later; `measured` is None in a frame without the person."""
        state = self._damp(dt_s).predict(dt_s=dt_s, acceleration_std=ACCELERATION_STD * self.height_px)
        is_seen: BoolArray = np.zeros_like(self.is_alive)
        if measured is not None:
            distance = state.distance(measured.positions, position_std=measured.std_px)
            is_seen = self.is_alive & (distance < settings.gate)
            accepted = np.where(is_seen[:, None], measured.positions, np.nan)
            state = state.update(accepted, position_std=measured.std_px)
        is_missing = self.is_alive & ~is_seen
        if flow is not None and is_missing.any():
            state = _follow(state, self.state, flow, is_missing, gate=settings.gate)
        coasted_frames = np.where(is_seen, 0.0, self.coasted_frames + 1)
        coasted_s = np.where(is_seen, 0.0, self.coasted_s + dt_s)
        is_lost = (coasted_frames > settings.max_coast_frames) | (coasted_s > settings.max_coast_s)
        confidence = np.where(is_lost, 0.0, self.confidence)
        moved = _Track(state, confidence, coasted_frames, coasted_s, self.height_px)
        return moved if measured is None else moved._renew(measured, is_seen)

    def _damp(self, dt_s: float) -> KalmanState:
        """Let each velocity return to the person's own, the median of the keypoints', by its mean over `dt_s`.

        A limb swings, a body goes on: the mean of v exp(-t / T) over dt is v T / dt (1 - exp(-dt / T)).
        """
        ratio = dt_s / LIMB_TIME_S
        share = (1 - np.exp(-ratio)) / ratio
        body = np.median(self.state.velocity[self.is_alive], axis=0) if self.is_alive.any() else 0.0
        return replace(self.state, velocity=body + share * (self.state.velocity - body))

    def _renew(self, measured: _Measured, is_seen: BoolArray) -> "_Track":
        """Take over the confidence of what was seen, and start keypoints that were lost, or never seen."""
        started = _Track.start(measured)
        starts = ~self.is_alive & (measured.confidence > 0)
        return _Track(
            _choose(starts, started.state, self.state),
            np.where(starts | is_seen, measured.confidence, self.confidence),
            np.where(starts, 0.0, self.coasted_frames),
            np.where(starts, 0.0, self.coasted_s),
            measured.height_px,
        )


class KeypointTracker:
    """Fills the dropped keypoints of the people of one clip, frame after frame.

    People are known by `track_id`; an instance without one, or without keypoints, is returned as it is. A new
    shot, another image size, an image without a time, and a time that does not increase start anew.

    >>> from fractions import Fraction
    >>> from labeling.structures.masks import Mask
    >>> mask = Mask.from_array(np.ones((64, 64), dtype=bool))
    >>> def person(confidence):
    ...     keypoints = ((30.0, 20.0, confidence),)
    ...     return Instance(mask, 0.9, (0.0, 0.0, 64.0, 64.0), keypoints=keypoints, track_id=1)
    >>> rgb = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    >>> tracker = KeypointTracker()
    >>> seen = tracker.update(Frame("1f0c", 0, rgb, t=Fraction(0)), [person(0.8)])
    >>> filled = tracker.update(Frame("1f0c", 250, rgb, t=Fraction(1, 4)), [person(0.1)])
    >>> [round(value, 2) for value in filled[0].keypoints[0]]
    [30.0, 20.0, 0.67]
    """

    def __init__(self, settings: KeypointTracking | None = None) -> None:
        self._settings = settings or KeypointTracking()
        self._tracks: dict[int, _Track] = {}
        self._previous: FlowFrame | None = None

    def update(self, frame: Frame, people: Sequence[Instance]) -> tuple[Instance, ...]:
        """Return the people of the next frame with dropped keypoints filled; all else stays as it is.

        A filled keypoint has the tracked position, and the confidence of its last measurement, halved each
        `HALF_LIFE_S`. Where the pose model's own confidence is higher than that, its keypoint stays.
        """
        has_keypoints = self._tracks or any(person.keypoints for person in people)
        now = FlowFrame.of(frame) if has_keypoints else None
        flow = KeypointFlow.between(self._previous, now)
        self._previous = now
        if now is None:
            self._tracks = {}
            return tuple(people)
        measured = {
            person.track_id: _Measured.of(person, self._settings.min_confidence)
            for person in people
            if person.track_id is not None and person.keypoints
        }
        self._tracks = self._advance(measured, flow)
        return tuple(self._fill(person) for person in people)

    def _advance(self, measured: dict[int, _Measured], flow: KeypointFlow | None) -> dict[int, _Track]:
        advanced = {}
        used = flow if self._settings.uses_flow else None
        for track_id in measured.keys() | self._tracks.keys():
            before, person = self._tracks.get(track_id), measured.get(track_id)
            if flow and before and (person is None or len(person.confidence) == len(before.confidence)):
                track = before.advance(person, used, flow.dt_s, self._settings)
            elif person is not None:
                track = _Track.start(person)
            else:
                continue
            if track.is_alive.any():
                advanced[track_id] = track
        return advanced

    def _fill(self, person: Instance) -> Instance:
        if person.track_id is None or not person.keypoints or person.track_id not in self._tracks:
            return person
        track = self._tracks[person.track_id]
        confidence = track.decayed_confidence(self._settings.max_std)
        filled = zip(*track.state.position.T.tolist(), confidence.tolist(), strict=True)
        threshold = self._settings.min_confidence
        keypoints = tuple(
            own if own[2] >= threshold or own[2] >= tracked[2] or not tracked[2] else tracked
            for own, tracked in zip(person.keypoints, filled, strict=True)
        )
        return replace(person, keypoints=keypoints)


def _follow(
    predicted: KalmanState, before: KalmanState, flow: KeypointFlow, is_missing: BoolArray, *, gate: float
) -> KalmanState:
    """Update the missing keypoints by the flow at their last position, as uncertain as that position was."""
    moved = np.full_like(before.position, np.nan)
    moved[is_missing] = flow.move(before.position[is_missing])
    std_px = np.sqrt(before.position_variance + (FLOW_STD_PX * flow.px_per_flow_px) ** 2)
    is_near = predicted.distance(moved, position_std=std_px) < gate
    return predicted.update(np.where(is_near[:, None], moved, np.nan), position_std=std_px)


def _choose(condition: BoolArray, first: KalmanState, second: KalmanState) -> KalmanState:
    """Return the first state's keypoints where the condition holds, else the second's."""
    rows = condition[:, None]
    values = (np.where(rows, getattr(first, f.name), getattr(second, f.name)) for f in fields(KalmanState))
    return KalmanState(*values)
