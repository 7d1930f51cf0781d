"""The scene as images with exact masks, and as a video."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from configs.errors import ConfigError
from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask
from labeling.synthetic.canvas import FloatImage, Layer, paint, value_noise, visible_part
from labeling.synthetic.choreography import CYCLE_S, Actor, cast_actors, light_at, place_actor
from labeling.synthetic.figure import Keypoints2d, PlacedFigure, Stance, draw_figure, place_keypoints
from labeling.synthetic.room import HORIZON_Y, draw_room
from labeling.video.encode import VideoWriter

ADULT = 1.12
"""Body height over the distance from feet to horizon: 1.75 m seen from a camera at 1.56 m."""
MASK_THRESHOLD = 0.5
"""A pixel belongs to a person who covers more than this share of it."""
NOISE_LEVELS = 2.0
"""Standard deviation of the sensor's noise, 0 to 255."""
SHADOW_DEPTH = 0.42
"""Share of the light that the darkest part of a shadow takes away."""
SHADOW_SHEAR = np.array([[1.0, -0.38], [0.0, 0.20]])
"""Maps a point of a body (x right, y down from the feet) to its shadow on the floor."""
LAMP_TINT = np.array([1.03, 1.0, 0.94], dtype=np.float32)
SHORTEST_SIDE = 48
_NOISE_MARGIN = 64


class Scene:
    """A furnished room under a static camera, with up to three people; empty at the start and end.

    A frame depends only on the arguments and its index.

    Raises:
        ConfigError: length or frame rate is 0, or a side of the image is odd or below 48 pixels.
    """

    def __init__(
        self,
        *,
        seconds: float = 20.0,
        fps: Fraction = Fraction(25),
        size_hw: tuple[int, int] = (360, 640),
        seed: int = 7,
    ) -> None:
        height, width = size_hw
        if seconds <= 0 or fps <= 0:
            raise ConfigError(f"scene: {seconds} s at {fps} frames/s: set both above 0")
        if min(size_hw) < SHORTEST_SIDE or height % 2 or width % 2:
            raise ConfigError(f"scene: {width}x{height} px: set even sides of at least {SHORTEST_SIDE}")
        self.seconds, self.fps, self.size_hw, self.seed = seconds, fps, size_hw, seed
        self._room = draw_room(size_hw, seed)
        rng = np.random.default_rng([seed, 2])
        self._fabric = np.asarray(1 + 0.07 * value_noise(rng, (160, 128), cell_px=12), dtype=np.float32)
        larger = (height + _NOISE_MARGIN, width + _NOISE_MARGIN, 3)
        self._noise = NOISE_LEVELS * rng.standard_normal(larger, dtype=np.float32)
        self._lamp = _lamp_on_walls(size_hw)

    @property
    def frame_count(self) -> int:
        return max(1, round(self.seconds * self.fps))

    def frame(self, index: int) -> tuple[RgbImage, list[Mask]]:
        """Return the image, HxWx3, and a mask of each visible person, disjoint, back to front."""
        t, actors = self._cast(index)
        people = [self._draw(actor, t) for actor in actors]
        visible = [person for person in people if person is not None]
        return self._expose(visible, t, index), self._masks(visible)

    def keypoints(self, index: int) -> list[Keypoints2d | None]:
        """Return each actor's keypoints in pixels right and down; None for one who is not in the scene.

        Keypoints that something hides, or that lie outside the image, are among them.

        >>> scene = Scene(seconds=4, size_hw=(90, 160))
        >>> [person is None for person in scene.keypoints(40)]
        [False, False, False]
        """
        t, actors = self._cast(index)
        placed = [self._place(actor, t) for actor in actors]
        return [None if person is None else place_keypoints(*person) for person in placed]

    def _cast(self, index: int) -> tuple[float, tuple[Actor, ...]]:
        """Return the share of the cycle at a frame, and the cycle's actors."""
        if not 0 <= index < self.frame_count:
            raise IndexError(f"scene: there is no frame {index}, only {self.frame_count} frames")
        cycle, t = divmod(float(index / self.fps) / min(CYCLE_S, self.seconds), 1.0)
        return t, cast_actors(self.seed, int(cycle))

    def _place(self, actor: Actor, t: float) -> tuple[Stance, PlacedFigure] | None:
        height, width = self.size_hw
        standing_row = actor.marks[0].y
        moment = place_actor(actor, t, ADULT * actor.height * (standing_row - HORIZON_Y) * height / width)
        if moment is None:
            return None
        tall = ADULT * actor.height * (moment.y - HORIZON_Y) * height
        return moment.stance, PlacedFigure(moment.x * width, moment.y * height, tall)

    def _draw(self, actor: Actor, t: float) -> Layer | None:
        person = self._place(actor, t)
        if person is None:
            return None
        stance, placed = person
        ground_y = placed.feet_y / self.size_hw[0]
        return draw_figure(stance, placed, actor.clothes, fabric=self._fabric, ground_y=ground_y)

    def _expose(self, people: list[Layer], t: float, index: int) -> RgbImage:
        """Paint shadows, layers from back to front, light, and the sensor's noise."""
        image = self._room.backdrop.copy()
        for person in people:
            _cast_shadow(image, person)
        for layer in self._back_to_front(people):
            paint(image, layer)
        daylight, lamp = light_at(t)
        if lamp:
            image *= 1 + lamp * self._lamp
        image *= daylight
        down, right = np.random.default_rng([self.seed, 3, index]).integers(0, _NOISE_MARGIN, 2)
        image += self._noise[down:, right:][: image.shape[0], : image.shape[1]]
        return np.clip(image + 0.5, 0, 255).astype(np.uint8)

    def _masks(self, people: list[Layer]) -> list[Mask]:
        labels = np.zeros(self.size_hw, dtype=np.uint8)
        order = [layer for layer in self._back_to_front(people) if layer in people]
        for layer in self._back_to_front(people):
            inside, part = visible_part(layer, self.size_hw)
            value = order.index(layer) + 1 if layer in people else 0
            labels[inside][layer.coverage[part] > MASK_THRESHOLD] = value
        masks = [Mask.from_array(labels == value) for value in range(1, len(order) + 1)]
        return [mask for mask in masks if mask]

    def _back_to_front(self, people: list[Layer]) -> list[Layer]:
        return sorted([*people, *self._room.furniture], key=lambda layer: layer.ground_y)


def _lamp_on_walls(size_hw: tuple[int, int]) -> FloatImage:
    """Return the lamp's light per pixel, a little more below it; HxWx3, around 1."""
    rows, columns = np.mgrid[0 : size_hw[0], 0 : size_hw[1]].astype(np.float32)
    away = np.hypot(columns / size_hw[1] - 0.5, 0.6 * rows / size_hw[0])
    return np.asarray((1.06 - 0.16 * away)[..., None] * LAMP_TINT, dtype=np.float32)


def _cast_shadow(image: FloatImage, person: Layer) -> None:
    """Darken the floor beside a person: a blurred shadow, sheared around the feet."""
    height, width = person.coverage.shape
    feet = np.array([width / 2, person.ground_y * image.shape[0] - person.top])
    blur_px = max(1.0, 0.012 * height)
    top = int(feet[1] * (1 - SHADOW_SHEAR[1, 1]) - 4 * blur_px)
    offset = feet - SHADOW_SHEAR @ feet - np.array([0, top])
    size_wh = (width + int(-SHADOW_SHEAR[0, 1] * height), height - top + int(4 * blur_px))
    cast = cv2.warpAffine(person.coverage, np.column_stack([SHADOW_SHEAR, offset]), size_wh)
    shadow = cv2.GaussianBlur(cast, (0, 0), blur_px).astype(np.float32)
    inside, part = visible_part(replace(person, coverage=shadow, top=person.top + top), image.shape[:2])
    image[inside] *= (1 - SHADOW_DEPTH * shadow[part])[..., None]


def render_scene(
    path: Path,
    *,
    seconds: float = 20.0,
    fps: Fraction = Fraction(25),
    size_hw: tuple[int, int] = (360, 640),
    seed: int = 7,
) -> Path:
    """Write the scene as a video (H.264, or MPEG-4 without an encoder for it) and return its path."""
    scene = Scene(seconds=seconds, fps=fps, size_hw=size_hw, seed=seed)
    with VideoWriter(path, fps=fps, size_hw=size_hw) as writer:
        for index in range(scene.frame_count):
            writer.write(scene.frame(index)[0])
    return path
