"""Where each person of a video is expected in a frame, also shortly before and after the annotations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from labeling.background.plate import Plate
from labeling.structures.masks import BoxXywh
from labeling.tracking.anchors import Projection, anchor_points
from labeling.tracking.body_size import BodySize
from labeling.tracking.kalman import KalmanState
from labeling.tracking.trajectories import FloatArray, Trajectory

POSITION_STD, ACCELERATION_STD = 0.1, 0.5
"""Of a person's anchor, in body heights, and per second squared."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What all frames of a video share."""

    trajectories: Mapping[int, Trajectory]
    projection: Projection
    bodies: BodySize
    plate: Plate | None
    """The empty scene of a static camera, in the size of the frames; None: not used."""
    beyond_s: float = 0.0
    """How long people are followed before their first and after their last annotation."""
    frame_s: float = 0.04
    """Mean time between two frames."""


@dataclass(slots=True, eq=False)
class PeopleLocator:
    """Expected boxes of people: from the trajectory, and after its end from a Kalman filter of the masks."""

    scene: Scene
    people: tuple[int, ...]
    _beyond: dict[int, KalmanState] = field(default_factory=dict)

    def expect(self, frame: float, size_hw: tuple[int, int]) -> dict[int, BoxXywh]:
        """Return the expected box of each person in the image, in a frame of the video."""
        boxes: dict[int, BoxXywh] = {}
        for person in self.people:
            point = self._locate(person, frame)
            if point is None or not np.isfinite(point).all():
                continue
            box = self.scene.bodies.box(point)
            if _is_inside(box, size_hw):
                boxes[person] = box
        return boxes

    def observe(self, boxes: Mapping[int, BoxXywh], dt_s: float) -> None:
        """Take in the boxes of the masks of a frame, and go on by `dt_s`; only after the annotations."""
        for person, state in self._beyond.items():
            height = self.scene.bodies.height(float(state.position[1]))
            if person in boxes:
                seen = anchor_points([boxes[person]], self.scene.bodies.anchor)[0]
                state = state.update(seen, position_std=POSITION_STD * height)  # noqa: PLW2901
            self._beyond[person] = state.predict(dt_s=dt_s, acceleration_std=ACCELERATION_STD * height)

    def _locate(self, person: int, frame: float) -> FloatArray | None:
        scene, trajectory = self.scene, self.scene.trajectories[person]
        point = scene.projection.locate(trajectory, frame)
        if point is not None:
            self._beyond.pop(person, None)
            return point
        first, last = scene.projection.video_frames(trajectory)[[0, -1]]
        away_s = float(first - frame if frame < first else frame - last) * scene.frame_s
        if not 0 < away_s <= scene.beyond_s:
            return None
        if frame < first or person not in self._beyond:
            return self._extrapolate(person, frame, is_after=bool(frame > last))
        return self._beyond[person].position

    def _extrapolate(self, person: int, frame: float, *, is_after: bool) -> FloatArray:
        """Return the point at the velocity of the annotations; after them, start a filter from there."""
        scene, trajectory = self.scene, self.scene.trajectories[person]
        number = (frame - scene.projection.frame_offset) / scene.projection.frame_step
        velocity = trajectory.speed(at_end=is_after)
        end = -1 if is_after else 0
        world = trajectory.points[end] + velocity * (number - trajectory.frames[end])
        point: FloatArray = scene.projection.map(world[None])[0]
        if is_after:
            height = scene.bodies.height(float(point[1]))
            ahead = scene.projection.map((world + velocity)[None])[0]
            state = KalmanState.start(point, position_std=POSITION_STD * height, velocity_std=height)
            per_s = (ahead - point) / (scene.projection.frame_step * scene.frame_s)
            self._beyond[person] = replace(state, velocity=per_s)
        return point


def is_annotated(scene: Scene, people: Iterable[int], frame: float) -> bool:
    """Return whether a person is annotated in a frame of the video."""
    return any(
        bool(np.isclose(scene.projection.video_frames(scene.trajectories[person]), frame, atol=0.5).any())
        for person in people
    )


def _is_inside(box_xywh: BoxXywh, size_hw: tuple[int, int]) -> bool:
    """Return whether the middle of a box is in the image, or at most half a box above or below it."""
    x, y, w, h = box_xywh
    return 0 <= x + w / 2 < size_hw[1] and -h / 4 <= y + h / 2 < size_hw[0] + h / 4
