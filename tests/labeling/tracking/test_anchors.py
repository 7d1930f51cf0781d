"""Conventions of trajectory files: each planted one is recovered from detected people."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from configs.errors import TrajectoriesInvalid
from labeling.structures.masks import BoxXywh
from labeling.tracking.anchors import Anchor, Conventions, Order, assign_boxes, nearest_box
from labeling.tracking.conventions import DetectedVideo, find_projection, trial_frames
from labeling.tracking.homography import GroundHomography, read_homography
from labeling.tracking.proportional import fit_projection, proportional_homography, refine_homography
from labeling.tracking.trajectories import FloatArray, Trajectory, read_trajectories

SIZE_HW = (360, 480)
COUNT = 200
PETS = np.array([
    [5.16357062e-02, -5.83087406e-01, 8.46652082e01],
    [-1.34475784e-01, -3.85863966e-01, 1.15437278e02],
    [8.83589822e-04, 1.89331459e-02, 1.0],
])  # fmt: skip
"""From pixels of 768x576 to metres."""
TO_VIDEO = np.diag([0.625, 0.625, 1.0])


def walk_pixels(person: int, frames: FloatArray) -> FloatArray:
    """Return feet, (n, 2), of a person who walks across the lower part of a 480x360 image."""
    rng = np.random.default_rng(person)
    start, end = rng.uniform((40, 150), (440, 340), (2, 2))
    return np.asarray(start + (end - start) * (frames / COUNT)[:, None])


def box_at(feet: FloatArray, person: int) -> BoxXywh:
    height = 0.2 * float(feet[1]) + 10
    noise = np.random.default_rng([person, round(float(feet[0]))]).normal(0, 1, 2)
    return (
        float(feet[0]) - 0.2 * height + float(noise[0]),
        float(feet[1]) - height + float(noise[1]),
        0.4 * height,
        height,
    )


def video(boxes: dict[int, list[BoxXywh]]) -> DetectedVideo:
    return DetectedVideo(boxes, SIZE_HW, COUNT)


def plant(
    order: Order, *, inverse: bool, anchor: Anchor, step: float = 1.0
) -> tuple[dict[int, Trajectory], GroundHomography, dict[int, list[BoxXywh]]]:
    """Return trajectories with a planted convention, the matrix of their file, and detections."""
    people = range(1, 7)
    numbers = np.arange(0, COUNT / step, 10 / step if step > 1 else 10, dtype=np.float64)
    to_world = PETS @ np.linalg.inv(TO_VIDEO) if step > 1 else PETS
    swap = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    matrix = to_world @ swap if order == "row_col" else to_world
    trajectories = {}
    for person in people:
        pixels = walk_pixels(person, numbers * step)
        tops = np.array([box_at(one, person)[1] for one in pixels])
        heights = 0.2 * pixels[:, 1] + 10
        below = {"bottom": 1.0, "center": 0.5, "top": 0.0}[anchor]
        at = np.column_stack([pixels[:, 0], tops + below * heights])
        scaled = at if step > 1 else at / 0.625
        world = np.column_stack([scaled, np.ones(len(at))]) @ to_world.T
        trajectories[person] = Trajectory(person, numbers, world[:, :2] / world[:, 2:])
    frames = trial_frames(trajectories, COUNT)
    boxes = {
        frame: [box_at(walk_pixels(person, np.array([float(frame)]))[0], person) for person in people]
        for frame in frames
    }
    homography = GroundHomography(np.linalg.inv(matrix) if inverse else matrix)
    return trajectories, homography, boxes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "inverse", "anchor"),
    list(itertools.product(("xy", "row_col"), (False, True), ("top", "center", "bottom"))),
)
def test_each_planted_convention_is_recovered(order: Order, inverse: bool, anchor: Anchor) -> None:
    trajectories, homography, boxes = plant(order, inverse=inverse, anchor=anchor)
    is_all_open = (order, inverse, anchor) == ("row_col", True, "top")
    fixed = Conventions() if is_all_open else Conventions(homography_hw=(576, 768), frame_step=1.0)
    found = find_projection(trajectories, homography, video(boxes), fixed)
    known = found.conventions
    assert (known.order, known.is_inverse, known.anchor) == (order, inverse, anchor)
    assert known.homography_hw == (576, 768)
    assert found.distance_px < 5
    assert found.inside == 1


@pytest.mark.slow
def test_frame_numbers_of_another_rate_are_recovered() -> None:
    trajectories, homography, boxes = plant("xy", inverse=False, anchor="bottom", step=2.5)
    found = find_projection(trajectories, homography, video(boxes), Conventions())
    assert found.frame_step == 2.5
    assert found.distance_px < 5
    assert found.video_frames(trajectories[1]).tolist()[:2] == [0, 10]


def test_a_given_convention_is_not_tried_and_a_wrong_one_is_refused() -> None:
    trajectories, homography, boxes = plant("xy", inverse=False, anchor="bottom")
    fixed = Conventions(anchor="top", order="xy")
    found = find_projection(trajectories, homography, video(boxes), fixed)
    assert found.anchor == "top"
    wrong = Conventions(homography_hw=(57, 76), is_inverse=False)
    with pytest.raises(TrajectoriesInvalid, match="no convention puts 95% of the annotated points"):
        find_projection(trajectories, homography, video(boxes), wrong)


def test_boxes_are_taken_below_40_pixels() -> None:
    boxes: list[BoxXywh] = [(90.0, 0.0, 20.0, 50.0)]
    for away, index in ((39.9, 0), (40.1, None)):
        found = nearest_box(np.array([100.0, 50 + away]), boxes, anchor="bottom", max_distance_px=40)
        assert (found.index, round(found.distance_px, 1)) == (index, away)
    none = nearest_box(np.array([1.0, 1.0]), [], anchor="bottom", max_distance_px=40)
    assert (none.index, none.distance_px) == (None, float("inf"))


def test_two_people_do_not_share_a_box() -> None:
    boxes: list[BoxXywh] = [(0, 0, 20, 50), (30, 0, 20, 50)]
    points = np.array([[12.0, 50], [18, 50]])
    assert assign_boxes(points, boxes, anchor="bottom", max_distance_px=40) == [0, 1]
    assert assign_boxes(points, boxes[:1], anchor="bottom", max_distance_px=40) == [0, None]


@pytest.mark.slow
def test_without_a_homography_the_proportional_map_is_fitted_to_the_people() -> None:
    trajectories, _, boxes = plant("xy", inverse=False, anchor="bottom")
    flat = {
        person: Trajectory(person, one.frames, walk_pixels(person, one.frames) * (0.05, -0.05) + (3, 40))
        for person, one in trajectories.items()
    }
    start = proportional_homography(flat, SIZE_HW)
    found = refine_homography(start, flat, boxes, Conventions())
    rough, fine = (find_projection(flat, one, video(boxes), Conventions()) for one in (start, found))
    assert fine.distance_px < 4
    assert fine.distance_px < 0.5 * rough.distance_px


@pytest.mark.slow
@pytest.mark.parametrize("turn", [((0, 1), (1, 0)), ((-1, 0), (0, 1)), ((0, -1), (1, 0))])
def test_without_a_homography_the_axes_of_the_world_may_point_anywhere(
    turn: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    trajectories, _, boxes = plant("xy", inverse=False, anchor="bottom")
    turned = {
        person: Trajectory(person, one.frames, 0.05 * walk_pixels(person, one.frames) @ np.array(turn))
        for person, one in trajectories.items()
    }
    found = fit_projection(turned, video(boxes), Conventions())
    assert (found.anchor, found.distance_px < 4) == ("bottom", True)
    errors = [
        np.linalg.norm(found.map(one.points) - walk_pixels(person, one.frames), axis=1)
        for person, one in turned.items()
    ]
    assert np.median(np.concatenate(errors)) < 3


def test_points_on_a_line_cannot_be_placed_without_a_homography() -> None:
    line = {1: Trajectory(1, np.array([0.0, 1]), np.array([[0.0, 5], [3, 5]]))}
    with pytest.raises(TrajectoriesInvalid, match="on one line"):
        proportional_homography(line, SIZE_HW)


@pytest.mark.parametrize(("scene", "order"), [("seq_hotel", "row_col"), ("zara01", "row_col")])
def test_published_files_fall_into_their_image(shared: Path, scene: str, order: str) -> None:
    """Both matrices map (row, column); people are planted where the right convention puts them."""
    folder = shared / "data" / "ethucy" / scene
    trajectories = read_trajectories(folder / "obsmat.txt")
    homography = read_homography(folder / "H.txt")
    some = {person: trajectories[person] for person in list(trajectories)[:40]}
    size_hw, right = (576, 720), Conventions(order=order, is_inverse=False, homography_hw=(576, 720))  # type: ignore[arg-type]
    count = 1 + int(max(one.frames[-1] for one in some.values()))
    matrix = np.linalg.inv(homography.matrix)
    if order == "row_col":
        matrix = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]) @ matrix
    boxes: dict[int, list[BoxXywh]] = {}
    for frame in trial_frames(some, count):
        points = np.array([p for one in some.values() if (p := one.at(frame)) is not None]).reshape(-1, 2)
        mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
        boxes[frame] = [(x - 9, y, 18.0, 45.0) for x, y in mapped[:, :2] / mapped[:, 2:]]
    fixed = Conventions(frame_step=1.0, homography_hw=right.homography_hw)
    found = find_projection(some, homography, DetectedVideo(boxes, size_hw, count), fixed)
    assert (found.conventions.order, found.anchor, found.conventions.is_inverse) == (order, "top", False)
