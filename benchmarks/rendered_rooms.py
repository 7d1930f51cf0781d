"""Rendered rooms as videos, the rendered truth as a teacher, and people who stand as a COCO file.

All rooms have the same furniture. So that they are different places, also for the search for near-duplicates, each is seen
by a camera of its own: another part of the scene, mirrored or not.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame, RgbImage
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask, flip_mask
from labeling.synthetic.figure import Stance
from labeling.synthetic.scene import Scene
from labeling.video.encode import VideoWriter

SCENE_HW = (288, 512)
SIZE_HW = (180, 320)
FPS = Fraction(4)
CLIP_S = 20
"""A video is one cycle of a scene, with its own clothes."""
LONGEST_S = 100 * CLIP_S


@dataclass(frozen=True, slots=True)
class Room:
    """A room, its camera, and how many videos there are."""

    seed: int
    top: int
    left: int
    is_mirrored: bool
    videos: int

    def scene(self) -> Scene:
        """Return a scene longer than any: a frame depends on its index alone."""
        return Scene(seconds=LONGEST_S, fps=FPS, size_hw=SCENE_HW, seed=self.seed)

    def first_frame(self, video: int) -> int:
        """Return where a video begins; the first cycle is the same in all scenes, and is left out."""
        return (1 + video) * CLIP_S * int(FPS)

    def look(self, scene: Scene, index: int) -> tuple[RgbImage, list[Mask]]:
        """Return what the camera sees of a frame, and the people in it."""
        rgb, masks = scene.frame(index)
        rows, columns = slice(self.top, self.top + SIZE_HW[0]), slice(self.left, self.left + SIZE_HW[1])
        image = rgb[rows, columns]
        seen = [Mask.from_array(mask.to_array()[rows, columns]) for mask in masks]
        if self.is_mirrored:
            image, seen = image[:, ::-1], [flip_mask(mask) for mask in seen]
        return np.ascontiguousarray(image), [mask for mask in seen if mask]


ROOMS = {
    room.seed: room
    for room in (
        Room(11, 60, 0, False, 3),
        Room(12, 108, 192, True, 3),
        Room(13, 40, 96, False, 3),
        Room(21, 90, 150, False, 3),
    )
}
MINED, FROZEN = tuple(ROOMS[seed] for seed in (11, 12, 13)), ROOMS[21]
EMPTY_EVERY = 8
"""Without empty rooms, a student that learns from hard frames alone soon finds people in each empty frame."""
STANDING_VIDEOS = 16
"""Cycles of each mined room, after those that are mined, from which images of people who stand still are taken."""


UNUSUAL_EVERY = 31
"""Of the frames in which somebody walks or crouches, a quiet room keeps one in so many: a tenth of its frames."""


def render_room(room: Room, folder: Path, *, quiet: bool = False) -> list[Path]:
    """Write the videos, and beside each the masks of its frames; what is there already stays.

    A quiet room is as a camera sees it that runs all night: in most frames people stand still, or there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scene, paths = room.scene(), []
    frames = quiet_frames(room, scene) if quiet else count(room.first_frame(0))
    for number in range(room.videos):
        path, indices = folder / f"room{room.seed}-{number}.mp4", list(islice(frames, CLIP_S * int(FPS)))
        paths.append(path)
        if path.with_suffix(".json").exists():
            continue
        masks = []
        with VideoWriter(path, fps=FPS, size_hw=SIZE_HW) as writer:
            for index in indices:
                rgb, people = room.look(scene, index)
                writer.write(rgb)
                masks.append([mask.to_coco() for mask in people])
        path.with_suffix(".json").write_text(json.dumps(masks, default=lambda value: value.decode()))
    return paths


class RenderedTruth(StatelessSegmenter):
    """Knows where all people are: the masks that the scene was drawn with."""

    card = ModelCard("python", "rendered-truth", "", "{}", sees_mirrored=False)

    def __init__(self, folder: str) -> None:
        self._masks = {
            hashlib.sha256(path.read_bytes()).hexdigest(): json.loads(path.with_suffix(".json").read_text())
            for path in sorted(Path(folder).glob("*.mp4"))
        }

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        return [self._find(frame) for frame in frames]

    def _find(self, frame: Frame) -> list[Instance]:
        index = round(float((frame.pts_ms or 0) * FPS / 1000))
        masks = [Mask.from_coco(rle) for rle in self._masks[frame.video_id][index]]
        return [Instance(mask, 1.0, mask.box_xywh) for mask in masks]


def rendered_truth(folder: str) -> RenderedTruth:
    """Return the teacher of a config; `folder` has the videos and their masks."""
    return RenderedTruth(folder)


def quiet_frames(room: Room, scene: Scene) -> Iterator[int]:
    """Yield frames that no other video or image shows: those in which all people stand still, and few others."""
    unusual = count()
    for index in range(room.first_frame(room.videos + STANDING_VIDEOS), scene.frame_count):
        if is_usual(scene, index) or next(unusual) % UNUSUAL_EVERY == 0:
            yield index


def is_usual(scene: Scene, index: int) -> bool:
    """Return whether all people of a frame stand still, upright; or there are none."""
    return all(stance.stride == 0 and stance.crouch == 0 for stance in stances(scene, index))


def stances(scene: Scene, index: int) -> list[Stance]:
    t, actors = scene._cast(index)
    return [found[0] for actor in actors if (found := scene._place(actor, t)) is not None]


def standing_frames(room: Room, scene: Scene) -> Iterator[int]:
    """Yield the frames in which all people stand still, upright; of those without people, one in `EMPTY_EVERY`."""
    for index in range(room.first_frame(room.videos), room.first_frame(room.videos + STANDING_VIDEOS)):
        if is_usual(scene, index) and (stances(scene, index) or index % EMPTY_EVERY == 0):
            yield index


def write_standing(rooms: Sequence[Room], folder: Path) -> tuple[Path, int]:
    """Write a COCO file of people who stand still, and its images; return the file and the number of images."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for room in rooms:
        scene = room.scene()
        for index in standing_frames(room, scene):
            rgb, masks = room.look(scene, index)
            name = f"{room.seed}-{index:05d}.png"
            images.append(
                {"id": len(images) + 1, "file_name": name, "height": SIZE_HW[0], "width": SIZE_HW[1]}
            )
            cv2.imwrite(str(folder / "images" / name), np.ascontiguousarray(rgb[:, :, ::-1]))
            for mask in masks:
                about = {"id": len(annotations) + 1, "image_id": len(images), "category_id": 1, "iscrowd": 0}
                annotations.append(about | {"segmentation": mask.to_coco()})
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    path = folder / "standing.json"
    path.write_text(json.dumps(tree, default=lambda value: value.decode()))
    return path, len(images)
