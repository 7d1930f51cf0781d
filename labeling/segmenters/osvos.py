"""A segmenter of the people whose trajectories are known: a fine-tuned head per person, or SAM 2."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

from configs.errors import ConfigError, InsufficientMasks, ModelError, TrajectoriesInvalid
from configs.segmenters import OsvosBlock
from labeling.segmenters.protocol import Segmenter
from labeling.storage.home import cache_dir
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask
from labeling.tracking.anchors import Conventions
from labeling.tracking.homography import read_homography
from labeling.tracking.osvos_files import OsvosFiles
from labeling.tracking.osvos_fine_tuning import TrainedHead
from labeling.tracking.osvos_network import Backbone, PersonHead, read_parent
from labeling.tracking.osvos_prediction import PeoplePredictor
from labeling.tracking.osvos_preparation import Annotation, OsvosPreparation
from labeling.tracking.people_locator import Scene
from labeling.tracking.sam2_people import Sam2Predictor, load_sam2
from labeling.tracking.trajectories import read_trajectories, select_people

VERSION = 1
"""Raised when the same settings give other results."""
SHA256_DIGITS = 64
"""Length of the id of a video that was ingested: it is the digest of the file."""
HOMOGRAPHY_SUFFIX = ".homography.txt"
log = logging.getLogger(__name__)


class OsvosSegmenter:
    """Learns the people of a file of trajectories; `prepare` returns the segmenter of a clip."""

    def __init__(self, block: OsvosBlock, teacher: Segmenter) -> None:
        self._block, self._teacher = block, teacher
        self._sam2 = load_sam2(_sam2_folder(block)) if block.method == "sam2" else None
        self._backbone = None if self._sam2 else Backbone(block.backbone, block.weights).eval()
        self._parent: PersonHead | None = None
        if block.parent and self._backbone:
            self._parent = read_parent(block.parent, self._backbone).eval()
        self._weights = self._sam2.sha256 if self._sam2 else self._digest_weights()

    def _digest_weights(self) -> str:
        parent = self._block.parent
        digests = [self._backbone.sha256 if self._backbone else ""]
        return "+".join(digests + ([sha256(parent.read_bytes()).hexdigest()] if parent else []))

    @property
    def card(self) -> ModelCard:
        files = {"trajectories", "homography", "weights", "parent", "sam2", "cache"}
        settings = self._block.model_dump(mode="json", exclude={"kind", "refine", "teacher", *files})
        settings["teacher"] = f"{self._teacher.card.kind}:{self._teacher.card.name}"
        return ModelCard(
            kind=self._block.kind,
            name="sam2" if self._sam2 else self._block.backbone,
            weights_sha256=self._weights,
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            sees_mirrored=False,
        )

    def prepare(self, clip: Clip) -> "PreparedOsvosSegmenter":
        """Learn the people who are in this clip, from the whole video.

        What is learned is kept in the cache folder. People with too few masks are left out and logged.

        Raises:
            TrajectoriesInvalid, HomographyInvalid, UnknownPerson: the block's files do not fit.
            InsufficientMasks: no person of the clip can be learned.
        """
        preparation = self.open(clip)
        beyond_s = self._block.beyond_s
        wanted = self.people_of(preparation)
        with preparation.files.lock():
            present = [one for one in wanted if _is_in_clip(preparation, clip, one, beyond_s)]
            scene = Scene(
                preparation.annotation.trajectories,
                preparation.projection,
                preparation.bodies,
                None if self._sam2 else preparation.plate,
                beyond_s=beyond_s,
                frame_s=preparation.frame_s,
            )
            return PreparedOsvosSegmenter(self, preparation, self._predictor(scene, preparation, present))

    def _predictor(
        self, scene: Scene, preparation: OsvosPreparation, people: Sequence[int]
    ) -> PeoplePredictor | Sam2Predictor:
        if self._sam2 is not None:
            return Sam2Predictor(scene, self._sam2, tuple(people))
        if self._backbone is None:
            raise TypeError("the method osvos has a backbone")
        return PeoplePredictor(scene, self._backbone, learn_people(preparation, people))

    def open(self, clip: Clip) -> OsvosPreparation:
        """Return what is known of a clip's video; nothing is computed yet."""
        block = self._block
        trajectories = file_of_clip(block.trajectories, clip, ".txt")
        homography = file_of_clip(block.homography, clip, HOMOGRAPHY_SUFFIX) if block.homography else None
        annotation = Annotation(
            trajectories=read_trajectories(trajectories),
            homography=read_homography(homography) if homography else None,
            fixed=Conventions(
                order=block.order,
                is_inverse=block.inverse,
                anchor=block.anchor,
                homography_hw=block.homography_hw,
                frame_step=block.frame_step,
                frame_offset=block.frame_offset,
            ),
        )
        whole = replace(clip, start_s=Fraction(0), end_s=None)
        key = self._key(clip, [one for one in (trajectories, homography) if one])
        files = OsvosFiles((block.cache or cache_dir() / "osvos") / key[:24])
        prepared = self._teacher.prepare(whole)
        return OsvosPreparation(
            files, whole, annotation, block, prepared.segment, self._backbone, self._parent
        )

    def people_of(self, preparation: OsvosPreparation) -> list[int]:
        """Return the ids of the people to segment.

        Raises:
            UnknownPerson: an id that the file does not have.
        """
        return select_people(preparation.annotation.trajectories, self._block.people)

    def _key(self, clip: Clip, files: Sequence[Path]) -> str:
        """Return a digest of all that determines what is learned."""
        left_out = {"people", "beyond_s", "trajectories", "homography", "weights", "parent", "sam2", "cache"}
        settings = self._block.model_dump(mode="json", exclude=left_out | {"refine", "version"})
        digests = [sha256(one.read_bytes()).hexdigest() for one in files]
        video = clip.video_id if len(clip.video_id) == SHA256_DIGITS else f"{clip.video_id} {clip.path}"
        tree = [VERSION, video, settings, digests, self._weights, str(self._teacher.card)]
        return sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Raise `ModelError`: only what `prepare` returns can segment."""
        raise ModelError(
            "osvos: no person is learned yet; call prepare(clip) and use the segmenter it returns"
        )


class PreparedOsvosSegmenter:
    """Segments the people of one clip; the `track_id` of an instance is the person's id in the trajectories."""

    def __init__(
        self,
        segmenter: OsvosSegmenter,
        preparation: OsvosPreparation,
        predictor: PeoplePredictor | Sam2Predictor,
    ) -> None:
        self._segmenter, self._preparation, self._predictor = segmenter, preparation, predictor

    @property
    def card(self) -> ModelCard:
        return self._segmenter.card

    def prepare(self, clip: Clip) -> "PreparedOsvosSegmenter":
        return self._segmenter.prepare(clip)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame, by id of the person; the confidence is the instance's score."""
        return [self._segment_frame(frame) for frame in frames]

    def _segment_frame(self, frame: Frame) -> list[Instance]:
        preparation = self._preparation
        number = preparation.frame_number(frame)
        t_s = float(frame.t) if frame.index is None else number * preparation.frame_s
        annotated = preparation.annotated.get(number)
        matched: dict[int, Mask] = {}
        if annotated:
            matched = {person: annotated.instances[index].mask for person, index in annotated.matched.items()}
        return self._predictor.predict(frame.rgb, frame=number, t_s=t_s, matched=matched)


def learn_people(preparation: OsvosPreparation, people: Sequence[int]) -> dict[int, TrainedHead]:
    """Return the head of each person who can be learned; the others are logged.

    Raises:
        InsufficientMasks: none can.
    """
    heads: dict[int, TrainedHead] = {}
    failures: list[InsufficientMasks] = []
    for person in people:
        try:
            heads[person] = preparation.head(person)
        except InsufficientMasks as error:
            log.warning("trajectories: %s", error)
            failures.append(error)
    if failures and not heads:
        raise InsufficientMasks("; ".join(map(str, failures)))
    return heads


def file_of_clip(path: Path, clip: Clip, suffix: str) -> Path:
    """Return the file for a clip's video: `path` itself, or the video's name with `suffix` in that folder."""
    if not path.is_dir():
        return path
    stem = clip.path.stem if clip.path else clip.video_id
    found = path / f"{stem}{suffix}"
    if not found.is_file():
        raise TrajectoriesInvalid(f"folder {path} has no {stem}{suffix} for this video: add it")
    return found


def _sam2_folder(block: OsvosBlock) -> Path:
    if block.sam2 is None:
        raise ConfigError("method: sam2 requires the folder of a model: set sam2")
    return block.sam2


def _is_in_clip(preparation: OsvosPreparation, clip: Clip, person: int, beyond_s: float) -> bool:
    """Return whether the annotated span of a person overlaps the clip."""
    trajectory = preparation.annotation.trajectories[person]
    first, last = preparation.projection.video_frames(trajectory)[[0, -1]]
    times = preparation.pts_ms
    if last < 0 or first >= len(times):
        return False
    if not clip.is_temporal:
        return True
    begins = times[max(int(first), 0)] / 1000 - beyond_s
    ends = times[min(int(last + 0.999), len(times) - 1)] / 1000 + beyond_s
    return bool(ends >= clip.start_s and (clip.end_s is None or begins < clip.end_s))
