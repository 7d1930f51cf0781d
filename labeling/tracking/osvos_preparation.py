"""What is learned of a video before its people are segmented, kept as files so that no work is repeated.

    frames.npy            presentation time of each frame of the video, in ms
    instances/N.json      the teacher's instances in frame N
    scene.json            the conventions that were found, and the size of people
    patches/P/N.npz       surroundings of person P in frame N, to learn from
    parent.pt             a head trained on all people of the video
    person_P.pt           the head of person P; person_P.json if too few masks were found

A folder belongs to one video, one file of trajectories and one set of settings; its name is their digest. Files are
written whole, so a killed process, or another shard of the video, continues where the files end.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from more_itertools import batched

from configs.errors import InsufficientMasks, SourceError, TrajectoriesInvalid
from configs.segmenters import OsvosBlock
from labeling.background.plate import Plate, learn_plate
from labeling.background.samples import gather_samples
from labeling.background.subtraction import clean_mask, subtract_plate
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.structures.frames import Clip, Frame
from labeling.structures.images import resize_image
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.tracking.anchors import Conventions, Projection
from labeling.tracking.body_size import BodySize
from labeling.tracking.conventions import DetectedVideo, find_projection, trial_frames
from labeling.tracking.homography import GroundHomography
from labeling.tracking.osvos_crops import TrainingPatch, difference_image
from labeling.tracking.osvos_fine_tuning import FineTuning, TrainedHead, fine_tune, restore, state_of
from labeling.tracking.osvos_network import Backbone, PersonHead
from labeling.tracking.osvos_prediction import MIN_DIFFERENCE
from labeling.tracking.proportional import proportional_homography, refine_homography
from labeling.tracking.training_masks import (
    AnnotatedFrame,
    PersonMatches,
    is_filled,
    label_pixels,
    match_frame,
    match_person,
    measure_bodies,
    spread,
)
from labeling.tracking.trajectories import Trajectory
from labeling.video.decode import decode_clip

Segment = Callable[[Sequence[Frame]], list[list[Instance]]]
BATCH = 4
"""Frames per call of the teacher."""
MIN_MASKS = 3
"""Fewer masks are not enough to learn a person from."""
MASKS_PER_PERSON = 24
"""Masks of one person to learn from, at most, spread over the annotated frames."""
FRAMES_PER_PERSON = 40
"""Annotated frames of one person in which the teacher runs, at most."""
PARENT_PATCHES = 72
PARENT_EPOCHS = 12
PLATE_SAMPLES = 60
PLATE_CLOSE = 0.02
"""Gaps up to this share of the image's height are closed."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """The trajectories of one video, and how they become pixels."""

    trajectories: Mapping[int, Trajectory]
    homography: GroundHomography | None
    """None: a proportional map is fitted to the detected people."""
    fixed: Conventions


@dataclass(eq=False)
class OsvosPreparation:
    """The files of one video, each made when it is first needed."""

    folder: Path
    clip: Clip
    """The whole video."""
    annotation: Annotation
    block: OsvosBlock
    segment: Segment
    backbone: Backbone

    def lock(self) -> FileLock:
        """Keep other processes from doing the same work; the file stays."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    @cached_property
    def pts_ms(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the time of each frame of the video, in ms; positions of the images of a folder."""
        path = self.folder / "frames.npy"
        if not path.is_file():
            if self.clip.path is None:
                numbers = [image.position for image in self.clip.images]
            else:
                numbers = [one.pts_ms or 0 for one in decode_clip(self.clip)]
            self._write_array(path, np.array(numbers, dtype=np.int64))
        return np.asarray(np.load(path), dtype=np.int64)

    @property
    def frame_s(self) -> float:
        """Return the mean time between two frames, in seconds."""
        times = self.pts_ms
        return float(times[-1] - times[0]) / 1000 / max(len(times) - 1, 1) or 0.04

    def frame_number(self, frame: Frame) -> int:
        """Return the number of a frame in its video."""
        key = frame.index if frame.index is not None else frame.pts_ms or 0
        return int(np.searchsorted(self.pts_ms, key))

    def read_frames(self, numbers: Iterable[int]) -> Iterator[Frame]:
        """Yield the frames with these numbers, decoding the video once."""
        wanted = set(numbers)
        last = max(wanted, default=-1)
        for number, decoded in enumerate(decode_clip(self.clip)):
            if number > last:
                return
            if number in wanted:
                yield Frame(self.clip.video_id, decoded.pts_ms, decoded.to_rgb(), t=decoded.t, index=number)

    def instances(self, numbers: Sequence[int]) -> dict[int, list[Instance]]:
        """Return the teacher's instances in frames, running it where it has not run yet."""
        missing = [number for number in numbers if not self._instances_file(number).is_file()]
        for batch in batched(self.read_frames(missing), BATCH):
            for frame, found in zip(batch, self.segment(list(batch)), strict=True):
                self._write_json(self._instances_file(frame.key), [_to_json(one) for one in found])
        return {number: self._read_instances(number) for number in numbers}

    def known_instances(self, number: int) -> list[Instance]:
        """Return the teacher's instances in a frame in which it has run, else none."""
        return self._read_instances(number) if self._instances_file(number).is_file() else []

    def _instances_file(self, number: int) -> Path:
        return self.folder / "instances" / f"{number}.json"

    def _read_instances(self, number: int) -> list[Instance]:
        return [_from_json(one) for one in json.loads(self._instances_file(number).read_bytes())]

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        frame = next(self.read_frames([0]), None)
        if frame is None:
            raise SourceError(f"{self.clip.path or self.clip.video_id[:12]} has no frame that can be decoded")
        return frame.size_hw

    @cached_property
    def projection(self) -> Projection:
        """Return how annotated points become pixels, by trial where the block leaves it open."""
        path = self.folder / "projection.json"
        if not path.is_file():
            found = self._find_projection()
            log.info("trajectories: %s", found.describe())
            self._write_json(path, {**asdict(found), "to_pixels": found.to_pixels.tolist()})
        stored = json.loads(path.read_bytes())
        known = stored.pop("conventions")
        known["homography_hw"] = tuple(known["homography_hw"])
        matrix = np.array(stored.pop("to_pixels"))
        return Projection(matrix, conventions=Conventions(**known), **stored)

    def _find_projection(self) -> Projection:
        count = len(self.pts_ms)
        frames = trial_frames(self.annotation.trajectories, count)
        boxes = {number: [one.box_xywh for one in found] for number, found in self.instances(frames).items()}
        given, fixed = self.annotation, self.annotation.fixed
        homography = given.homography
        if homography is None:
            homography = refine_homography(
                proportional_homography(given.trajectories, self.size_hw), given.trajectories, boxes, fixed
            )
        return find_projection(
            given.trajectories, homography, DetectedVideo(boxes, self.size_hw, count), fixed
        )

    @cached_property
    def annotated(self) -> dict[int, AnnotatedFrame]:
        """Return the annotated frames in which the teacher runs, with their people matched."""
        numbers: set[int] = set()
        for trajectory in self.annotation.trajectories.values():
            frames = np.unique(self.projection.video_frames(trajectory).round().astype(int))
            inside = [int(one) for one in frames if 0 <= one < len(self.pts_ms)]
            numbers |= set(spread(inside, FRAMES_PER_PERSON))
        if not numbers:
            raise TrajectoriesInvalid(
                f"no annotated frame is in the video of {len(self.pts_ms)} frames: check frame_step and frame_offset"
            )
        return {
            number: match_frame(
                number,
                found,
                self.annotation.trajectories,
                self.projection,
                max_distance_px=self.max_distance_px,
            )
            for number, found in sorted(self.instances(sorted(numbers)).items())
        }

    @property
    def max_distance_px(self) -> float:
        """Return the largest distance of a box, from the block's pixels or share of the diagonal."""
        if self.block.max_distance is not None:
            return float(self.block.max_distance * np.hypot(*self.size_hw))
        return self.block.max_distance_px

    @cached_property
    def bodies(self) -> BodySize:
        return measure_bodies(list(self.annotated.values()), self.projection, size_hw=self.size_hw)

    @cached_property
    def plate(self) -> Plate | None:
        """Return the empty scene in the size of the frames; None if the block does not use it."""
        if not self.block.uses_plate:
            return None
        samples = gather_samples(self.clip, PLATE_SAMPLES)
        close_px = max(1, round(PLATE_CLOSE * samples.images.shape[1]))
        plate = learn_plate(samples.images, min_difference=MIN_DIFFERENCE, close_px=close_px)
        if plate.rgb.shape[:2] == samples.size_hw:
            return plate
        return Plate(*(_enlarge(one, samples.size_hw) for one in (plate.rgb, plate.noise)))

    def matches(self, person: int) -> PersonMatches:
        """Return the frames from which a person can be learned."""
        return match_person(
            person,
            list(self.annotated.values()),
            self.bodies,
            self.projection,
            max_distance_px=self.max_distance_px,
        )

    def learned_frames(self, person: int) -> list[int]:
        """Return the frames of a person's patches."""
        return spread(self.matches(person).frames, MASKS_PER_PERSON)

    def patches(self, people: Sequence[int]) -> None:
        """Write the patches of people that are not there yet, decoding the video once."""
        wanted: dict[int, list[int]] = {}
        for person in people:
            for number in self.learned_frames(person):
                if not self._patch_file(person, number).is_file():
                    wanted.setdefault(number, []).append(person)
        for frame in self.read_frames(wanted):
            self._write_patches(frame, wanted[frame.key])

    def _write_patches(self, frame: Frame, people: Sequence[int]) -> None:
        annotated, difference, foreground = self.annotated[frame.key], None, None
        if self.plate is not None:
            change = subtract_plate(frame.rgb, self.plate, min_difference=MIN_DIFFERENCE)
            difference = difference_image(change.ratio)
            if self.block.mask_source == "background":
                foreground = clean_mask(change, close_px=max(1, round(PLATE_CLOSE * self.size_hw[0])))
        for person in people:
            labels = label_pixels(annotated, person, self.size_hw, foreground)
            box = self.bodies.box(np.array(annotated.points[person]))
            instance = annotated.instances[annotated.matched[person]]
            patch = TrainingPatch.cut(frame.key, frame.rgb, labels, difference, box)
            self._write_patch(person, patch, is_usable=is_filled(labels, instance))

    def _patch_file(self, person: int, number: int) -> Path:
        return self.folder / "patches" / str(person) / f"{number}.npz"

    def _write_patch(self, person: int, patch: TrainingPatch, *, is_usable: bool) -> None:
        content = BytesIO()
        none = np.zeros((0, 0), dtype=np.uint8)
        np.savez_compressed(
            content,
            rgb=patch.rgb,
            labels=patch.labels,
            difference=none if patch.difference is None else patch.difference,
            box=np.array(patch.box_xywh),
            usable=np.array(is_usable),
        )
        self._write(self._patch_file(person, patch.frame), content.getvalue())

    def read_patches(self, person: int, *, limit: int = MASKS_PER_PERSON) -> list[TrainingPatch]:
        """Return the usable patches of a person."""
        self.patches([person])
        read: list[TrainingPatch] = []
        for number in spread(self.learned_frames(person), limit):
            with np.load(self._patch_file(person, number)) as stored:
                if stored["usable"]:
                    x, y, w, h = stored["box"].tolist()
                    difference = stored["difference"] if stored["difference"].size else None
                    read.append(
                        TrainingPatch(number, stored["rgb"], stored["labels"], difference, (x, y, w, h))
                    )
        return read

    @cached_property
    def parent(self) -> TrainedHead:
        """Return a head trained on all people of the video, from which each person's head starts."""
        path = self.folder / "parent.pt"
        if not path.is_file():
            people = list(self.annotation.trajectories)
            self.patches(people)
            share = max(2, PARENT_PATCHES // len(people))
            chosen = [patch for one in people for patch in self.read_patches(one, limit=share)][
                :PARENT_PATCHES
            ]
            if not chosen:
                raise InsufficientMasks(
                    f"no person of {self.clip.path or 'the folder'} has a mask near their trajectory, "
                    f"{len(people)} people: {self.projection.describe()}"
                )
            torch.manual_seed(self.block.seed)
            start = self._start_head()
            trained = fine_tune(
                self.backbone, start, chosen, self.fine_tuning(samples=2 * len(chosen), epochs=PARENT_EPOCHS)
            )
            log.info("trajectories: parent of %d crops, IoU %.2f", len(chosen), trained.iou)
            self._write_head(path, trained)
        return self._read_head(path)

    def _start_head(self) -> PersonHead:
        torch.manual_seed(self.block.seed)
        return PersonHead(self.backbone.channels)

    def fine_tuning(self, *, samples: int | None = None, epochs: int | None = None) -> FineTuning:
        block = self.block
        return FineTuning(
            samples=samples or block.samples,
            epochs=epochs or block.epochs,
            cpu_cap_s=block.cpu_cap_s,
            seed=block.seed,
        )

    def head(self, person: int) -> TrainedHead:
        """Return the head of a person, trained now unless it is there.

        Raises:
            InsufficientMasks: fewer than three usable masks; the message lists the distances.
        """
        path = self.folder / f"person_{person}.pt"
        if not path.is_file():
            patches = self.read_patches(person)
            if len(patches) < MIN_MASKS:
                raise InsufficientMasks(
                    f"person {person}: {len(patches)} masks to learn from, at least {MIN_MASKS} are required; "
                    f"{self.matches(person).describe()}"
                )
            trained = fine_tune(self.backbone, self.parent.head, patches, self.fine_tuning())
            log.info(
                "trajectories: person %d, %d masks, IoU %.2f after %d epochs, %.1f s of the processor",
                *(person, len(patches), trained.iou, trained.epochs, trained.seconds),
            )
            self._write_head(path, trained)
        return self._read_head(path)

    def _write_head(self, path: Path, trained: TrainedHead) -> None:
        content = BytesIO()
        torch.save(state_of(trained), content)
        self._write(path, content.getvalue())

    def _read_head(self, path: Path) -> TrainedHead:
        return restore(self.backbone, torch.load(path, map_location="cpu", weights_only=True))

    def _write_array(self, path: Path, array: np.ndarray[Any, Any]) -> None:
        content = BytesIO()
        np.save(content, array)
        self._write(path, content.getvalue())

    def _write_json(self, path: Path, tree: Any) -> None:
        self._write(path, json.dumps(tree).encode())

    def _write(self, path: Path, content: bytes) -> None:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)


def _to_json(instance: Instance) -> dict[str, Any]:
    return {
        "size": instance.mask.size_hw,
        "counts": instance.mask.counts.decode(),
        "score": instance.score,
        "box": instance.box_xywh,
    }


def _from_json(tree: Mapping[str, Any]) -> Instance:
    height, width = tree["size"]
    x, y, w, h = tree["box"]
    return Instance(Mask((height, width), tree["counts"].encode()), tree["score"], (x, y, w, h))


def _enlarge(image: Any, size_hw: tuple[int, int]) -> Any:
    return resize_image(image, size_hw)
