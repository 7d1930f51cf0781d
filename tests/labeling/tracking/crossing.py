"""A rendered scene: two people cross in a room, with their trajectories on the ground and exact masks."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoolArray, Mask
from labeling.synthetic.canvas import paint, visible_part
from labeling.synthetic.figure import Clothes, PlacedFigure, Stance, draw_figure
from labeling.synthetic.room import draw_room
from labeling.tracking.homography import GroundHomography
from labeling.visualization.overlay_video import OverlayVideo

SIZE_HW = (144, 256)
COUNT, FPS, EVERY = 32, 10, 4
TO_WORLD = GroundHomography(np.array([[0.02, 0.001, -1.0], [0.0, -0.03, 5.0], [0.0, 0.001, 1.0]]))
CLOTHES = {
    1: Clothes((205, 40, 45), None, (40, 45, 60), (30, 30, 30), (225, 180, 150), (60, 40, 30)),
    2: Clothes((50, 90, 210), (230, 230, 230), (190, 180, 150), (90, 60, 40), (150, 105, 80), (20, 20, 20)),
}


def feet(person: int, frame: float) -> tuple[float, float]:
    """Return x and y in pixels: 1 walks to the right in front, 2 to the left behind."""
    share = frame / (COUNT - 1)
    return (35 + 186 * share, 136.0) if person == 1 else (221 - 186 * share, 122.0)


def draw_frame(number: int) -> tuple[RgbImage, dict[int, BoolArray]]:
    """Return an image and the visible pixels of each person."""
    image = draw_room(SIZE_HW, 5).backdrop.copy()
    fabric = np.ones((16, 16), dtype=np.float32)
    owner = np.zeros(SIZE_HW, dtype=np.uint8)
    for person in (2, 1):
        x, y = feet(person, number)
        stance = Stance(gait=0.6 * number, stride=0.7, crouch=0.0, facing=1.0 if person == 1 else -1.0)
        layer = draw_figure(
            stance, PlacedFigure(x, y, 0.5 * y), CLOTHES[person], fabric=fabric, ground_y=y / SIZE_HW[0]
        )
        paint(image, layer)
        inside, part = visible_part(layer, SIZE_HW)
        owner[inside][layer.coverage[part] > 0.5] = person
    image += np.random.default_rng(number).normal(0, 1.5, image.shape)
    rgb = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    return rgb, {person: owner == person for person in (1, 2)}


def write_scene(folder: Path) -> dict[int, dict[int, BoolArray]]:
    """Write `video.mp4`, `people.txt` in metres and `H.txt`; return the visible pixels by frame and person."""
    masks: dict[int, dict[int, BoolArray]] = {}
    with OverlayVideo(folder / "video.mp4", SIZE_HW) as video:
        for number in range(COUNT):
            rgb, masks[number] = draw_frame(number)
            video.write(rgb, {}, Fraction(number, FPS))
    lines = ["# frame pID x y"]
    for number in range(0, COUNT, EVERY):
        for person in (1, 2):
            x, y = TO_WORLD.to_world(np.array([feet(person, number)]))[0]
            lines.append(f"{number}\t{person}\t{x:.5f}\t{y:.5f}")
    (folder / "people.txt").write_text("\n".join(lines) + "\n")
    np.savetxt(folder / "H.txt", TO_WORLD.matrix)
    return masks


class KnownPeople(StatelessSegmenter):
    """Finds the people of the scene by the number of a frame, and counts the frames that it saw."""

    card = ModelCard(kind="python", name="known_people", weights_sha256="", settings="{}")

    def __init__(self, masks: dict[int, dict[int, BoolArray]], *, smallest_px: int = 300) -> None:
        self._masks, self._smallest_px = masks, smallest_px
        self.seen: list[int] = []

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        self.seen += [frame.key for frame in frames]
        return [self._find(frame.key) for frame in frames]

    def _find(self, number: int) -> list[Instance]:
        found = [Mask.from_array(mask) for mask in self._masks[number].values()]
        return [Instance(mask, 0.9, mask.box_xywh) for mask in found if mask.area_px >= self._smallest_px]


def known_people() -> KnownPeople:
    """Return the teacher of the whole scene, for a config: `python:tests.labeling.tracking.crossing:known_people`."""
    return KnownPeople({number: draw_frame(number)[1] for number in range(COUNT)})
