"""People who cross in the rendered scene keep their numbers, at any sampling rate."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from configs.tracking import MaskTrackingBlock
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, fill_box
from labeling.synthetic.choreography import CYCLE_S, cast_actors, place_actor
from labeling.synthetic.scene import Scene
from labeling.tracking.edges import EdgeRecorder
from labeling.tracking.mask_tracker import MaskTracker

FPS = Fraction(10)
FROM, TO = 68, 145
"""A child passes two people in the first half, an adult passes in front of another one in the second."""
Seen = tuple[Frame, list[int], list[Instance]]
"""A frame, with the actor of each instance."""


@pytest.fixture(scope="module")
def crossing() -> list[Seen]:
    scene = Scene(fps=FPS, size_hw=(180, 320))
    return [_see(scene, index) for index in range(FROM, TO)]


def _see(scene: Scene, index: int) -> Seen:
    image, masks = scene.frame(index)
    t = Fraction(index) / FPS
    moments = [place_actor(actor, float(t) / CYCLE_S, 1.0) for actor in cast_actors(scene.seed, 0)]
    order = sorted((moment.y, number) for number, moment in enumerate(moments) if moment)
    frame = Frame("scene", round(1000 * t), image, t=t)
    people = [
        (number, Instance(mask, 0.9, mask.box_xywh)) for (_, number), mask in zip(order, masks, strict=False)
    ]
    whole = people if len(order) == len(masks) else []  # a person is hidden: which one is not known
    return frame, [number for number, _ in whole], [one for _, one in whole]


def numbers_of(seen: Iterable[Seen], tracker: MaskTracker | None = None) -> list[dict[int, int]]:
    """Return the track of each actor, by frame."""
    tracker = tracker or MaskTracker(MaskTrackingBlock())
    found = []
    for frame, actors, instances in seen:
        tracked = tracker.update(frame, instances)
        assert [replace(one, track_id=None) for one in tracked] == instances
        found.append({actor: one.track_id or 0 for actor, one in zip(actors, tracked, strict=True)})
    return found


def pairs(found: Iterable[dict[int, int]]) -> set[tuple[int, int]]:
    return {pair for numbers in found for pair in numbers.items()}


def variable_rate(seen: Sequence[Seen]) -> Iterator[Seen]:
    """Take the next frame, or the second, third ... fifth."""
    rng, position = np.random.default_rng(4), 0
    while position < len(seen):
        yield seen[position]
        position += int(rng.integers(1, 6))


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 5, 0])
def test_three_people_who_cross_keep_their_numbers(crossing: list[Seen], step: int) -> None:
    found = numbers_of(crossing[::step] if step else variable_rate(crossing))
    assert len(found) > 12
    assert len(pairs(found)) == len({actor for actor, _ in pairs(found)}) == 3


def test_people_who_are_missed_in_some_frames_keep_their_numbers(crossing: list[Seen]) -> None:
    rng = np.random.default_rng(8)
    shaky = []
    for frame, actors, instances in crossing[::2]:
        kept = [n for n in range(len(actors)) if rng.random() < 0.7]
        shaky.append((frame, [actors[n] for n in kept], [instances[n] for n in kept]))
    assert len(pairs(numbers_of(shaky))) == 3


def test_numbers_start_anew_after_a_cut_and_are_the_same_in_every_run(crossing: list[Seen]) -> None:
    cut = [(replace(frame, shot=900 * (n >= 20)), *rest) for n, (frame, *rest) in enumerate(crossing[:40])]
    found = numbers_of(cut)  # type: ignore[arg-type]  # mypy joins the rest to a list
    first, second = pairs(found[:20]), pairs(found[20:])
    assert not {number for _, number in first} & {number for _, number in second}
    assert found == numbers_of(cut)  # type: ignore[arg-type]


def test_a_person_who_returns_late_is_a_new_one(crossing: list[Seen]) -> None:
    frame, _, instances = crossing[-1]
    tracker = MaskTracker(MaskTrackingBlock(lost_s=1.0, unconfirmed_s=0.5))

    def at(seconds: float) -> int | None:
        return tracker.update(replace(frame, t=Fraction(seconds)), instances[:1])[0].track_id

    assert [at(0), at(0.25)] == [1, 1]
    assert at(1.25) == 1
    assert at(2.5) == 2  # unconfirmed: lost after half a second
    assert at(3.25) == 3


def test_given_numbers_are_kept_and_not_used_again(crossing: list[Seen]) -> None:
    frame, _, instances = crossing[-1]
    given = [replace(instances[0], track_id=7), *instances[1:]]
    tracked = MaskTracker(MaskTrackingBlock()).update(frame, given)
    assert [one.track_id for one in tracked] == [7, *range(8, 7 + len(instances))]


def test_an_empty_mask_has_no_track_and_a_strip_no_flow() -> None:
    rgb = np.zeros((20, 60, 3), dtype=np.uint8)
    frames = [Frame("strip", 100 * n, rgb, t=Fraction(n, 10)) for n in range(3)]
    pixels = np.zeros((20, 60), dtype=np.bool_)
    pixels[4:16, 20:26] = True
    people = [Instance(mask, 0.9, (0, 0, 1, 1)) for mask in (Mask.empty((20, 60)), Mask.from_array(pixels))]
    tracker = MaskTracker(MaskTrackingBlock())
    found = [[one.track_id for one in tracker.update(frame, people)] for frame in frames]
    assert found == [[None, 1]] * 3
    assert tracker.update(frames[0], []) == ()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_people() -> None:
    """Someone new appears in every second frame and stays for one more."""
    tracker, edges = MaskTracker(MaskTrackingBlock()), EdgeRecorder(0.0, None)
    rng, rgb = np.random.default_rng(2), np.zeros((40, 60, 3), dtype=np.uint8)
    most = 0
    for step in range(400):
        if step % 2 == 0:
            x, y = int(rng.integers(0, 50)), int(rng.integers(0, 24))
            rgb = np.full_like(rgb, rng.integers(0, 255))
        mask = fill_box((x, y, 8, 16), (40, 60))
        frame = Frame("v", 200 * step, rgb, t=Fraction(step, 5))
        tracked = tracker.update(frame, [Instance(mask, 0.9, mask.box_xywh)])
        edges.observe(frame, [], tracked)
        most = max(most, len(tracker._tracks), len(edges._paths))
    assert most < 50
    assert tracked[0].track_id is not None
    assert tracked[0].track_id > 60
