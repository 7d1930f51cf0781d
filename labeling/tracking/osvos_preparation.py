"""What is learned of a video before its people are segmented; see `osvos_files` for how it is kept."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from more_itertools import batched
from numpy.typing import NDArray

from configs.errors import EmptyVideo, InsufficientMasks, TrajectoriesInvalid
from configs.segmenters import OsvosBlock
from labeling.background.plate import Plate, learn_plate
from labeling.background.samples import gather_samples
from labeling.background.subtraction import clean_mask, subtract_plate
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.probability_maps import resize_map
from labeling.text.figures import count_of
from labeling.tracking.anchors import Conventions, Projection
from labeling.tracking.body_size import BodySize
from labeling.tracking.conventions import DetectedVideo, find_projection, trial_frames
from labeling.tracking.homography import GroundHomography
from labeling.tracking.osvos_crops import TrainingPatch, difference_image
from labeling.tracking.osvos_files import OsvosFiles
from labeling.tracking.osvos_fine_tuning import FineTuning, TrainedHead, fine_tune
from labeling.tracking.osvos_network import Backbone, PersonHead
from labeling.tracking.osvos_prediction import MIN_DIFFERENCE
from labeling.tracking.proportional import fit_projection
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
USUAL_FRAME_S = 0.04
MIN_MASKS = 3
"""Fewer masks are not enough to learn a person from."""
MASKS_PER_PERSON = 24
"""Masks of one person to learn from, at most, spread over the annotated frames."""
FRAMES_PER_PERSON = 40
"""Annotated frames of one person in which the teacher runs, at most."""
PARENT_PATCHES, PARENT_EPOCHS = 72, 12
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
    """What is known of one video, each part computed when it is first needed."""

    files: OsvosFiles
    clip: Clip
    """The whole video."""
    annotation: Annotation
    block: OsvosBlock
    segment: Segment
    backbone: Backbone | None
    """None: no head is trained."""
    given_parent: PersonHead | None = None
    """The head of the block's parent network, whose backbone is loaded already."""

    @cached_property
    def pts_ms(self) -> NDArray[np.int64]:
        """Return the time of each frame of the video, in ms; positions of the images of a folder."""
        if self.clip.path is None:
            return np.array([image.position for image in self.clip.images], dtype=np.int64)
        return self.files.times(lambda: [one.pts_ms or 0 for one in decode_clip(self.clip)])

    @property
    def frame_s(self) -> float:
        """Return the mean time between two frames, in seconds; a usual one for images without times."""
        times = self.pts_ms
        if self.clip.path is None or times[-1] == times[0]:
            return USUAL_FRAME_S
        return float(times[-1] - times[0]) / 1000 / (len(times) - 1)

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
        missing = [number for number in numbers if not self.files.has_instances(number)]
        for batch in batched(self.read_frames(missing), BATCH):
            for frame, found in zip(batch, self.segment(list(batch)), strict=True):
                self.files.write_instances(frame.key, found)
        return {number: self.files.read_instances(number) for number in numbers}

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        frame = next(self.read_frames([0]), None)
        if frame is None:
            raise EmptyVideo(f"{self.clip.path or self.clip.video_id[:12]} has no frame that can be decoded")
        return frame.size_hw

    @cached_property
    def projection(self) -> Projection:
        """Return how annotated points become pixels, by trial where the block leaves it open."""
        return self.files.projection(self._find_projection)

    def _find_projection(self) -> Projection:
        given, count = self.annotation, len(self.pts_ms)
        found = self.instances(trial_frames(given.trajectories, count))
        boxes = {number: [one.box_xywh for one in people] for number, people in found.items()}
        video = DetectedVideo(boxes, self.size_hw, count)
        if given.homography is None:
            projection = fit_projection(given.trajectories, video, given.fixed)
        else:
            projection = find_projection(given.trajectories, given.homography, video, given.fixed)
        is_near = projection.distance_px < self.max_distance_px
        log.log(logging.INFO if is_near else logging.WARNING, "trajectories: %s", projection.describe())
        return projection

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
                f"no annotated frame is in the video of {count_of(len(self.pts_ms), 'frame')}: check frame_step and frame_offset"
            )
        return {
            number: match_frame(
                *(number, found, self.annotation.trajectories, self.projection),
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
        return Plate(resize_map(plate.rgb, samples.size_hw), resize_map(plate.noise, samples.size_hw))

    def matches(self, person: int) -> PersonMatches:
        """Return the frames from which a person can be learned."""
        return match_person(
            *(person, list(self.annotated.values()), self.bodies, self.projection),
            max_distance_px=self.max_distance_px,
        )

    def learned_frames(self, person: int) -> list[int]:
        """Return the frames of a person's patches."""
        return spread(self.matches(person).frames, MASKS_PER_PERSON)

    def write_patches(self, people: Sequence[int]) -> None:
        """Write the patches of people that are not there yet, decoding the video once."""
        wanted: dict[int, list[int]] = {}
        for person in people:
            for number in self.learned_frames(person):
                if not self.files.has_patch(person, number):
                    wanted.setdefault(number, []).append(person)
        for frame in self.read_frames(wanted):
            self._write_patches_of(frame, wanted[frame.key])

    def _write_patches_of(self, frame: Frame, people: Sequence[int]) -> None:
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
            self.files.write_patch(person, patch, is_usable=is_filled(labels, instance))

    def read_patches(self, person: int, *, limit: int = MASKS_PER_PERSON) -> list[TrainingPatch]:
        """Return the usable patches of a person."""
        self.write_patches([person])
        chosen = spread(self.learned_frames(person), limit)
        patches = (self.files.read_patch(person, number) for number in chosen)
        return [patch for patch in patches if patch is not None]

    @property
    def trained_backbone(self) -> Backbone:
        if self.backbone is None:
            raise TypeError("heads require a backbone")
        return self.backbone

    @cached_property
    def parent(self) -> PersonHead:
        """Return the head from which each person's head starts.

        It is that of the block's file, or one trained on all people of the video.
        """
        if self.given_parent is not None:
            return self.given_parent
        return self.files.head("parent", self.trained_backbone, self._train_parent).head

    def _train_parent(self) -> TrainedHead:
        people = list(self.annotation.trajectories)
        self.write_patches(people)
        share = max(2, PARENT_PATCHES // len(people))
        patches = [patch for one in people for patch in self.read_patches(one, limit=share)]
        if not patches:
            raise InsufficientMasks(
                f"none of {len(people)} people has a mask near the trajectory: {self.projection.describe()}"
            )
        torch.manual_seed(self.block.seed)
        chosen = patches[:PARENT_PATCHES]
        settings = self.fine_tuning(samples=2 * len(chosen), epochs=PARENT_EPOCHS)
        trained = fine_tune(
            self.trained_backbone, PersonHead(self.trained_backbone.channels), chosen, settings
        )
        log.info("trajectories: parent of %d crops, IoU %.2f", len(chosen), trained.iou)
        return trained

    def fine_tuning(self, *, samples: int | None = None, epochs: int | None = None) -> FineTuning:
        """Return the settings of a training, the block's where none are given."""
        block = self.block
        return FineTuning(
            samples=samples or block.samples,
            batch=block.batch,
            epochs=epochs or block.epochs,
            cpu_cap_s=block.cpu_cap_s,
            seed=block.seed,
        )

    def head(self, person: int) -> TrainedHead:
        """Return the head of a person, trained now unless it is there.

        Raises:
            InsufficientMasks: fewer than three usable masks; the message lists the distances.
        """
        return self.files.head(f"person_{person}", self.trained_backbone, lambda: self._train_person(person))

    def _train_person(self, person: int) -> TrainedHead:
        patches = self.read_patches(person)
        if len(patches) < MIN_MASKS:
            raise InsufficientMasks(
                f"person {person}: {count_of(len(patches), 'mask')} to learn from, at least {MIN_MASKS} are required; "
                f"{self.matches(person).describe()}"
            )
        trained = fine_tune(self.trained_backbone, self.parent, patches, self.fine_tuning())
        log.info(
            "trajectories: person %d, %d masks, IoU %.2f after %d epochs, %.1f s of the processor",
            *(person, len(patches), trained.iou, trained.epochs, trained.seconds),
        )
        return trained
