"""A segmenter of the people whose trajectories are known: one fine-tuned head per person."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

from configs.errors import InsufficientMasks, ModelError, TrajectoriesInvalid
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
from labeling.tracking.osvos_network import Backbone, read_parent
from labeling.tracking.osvos_prediction import PeoplePredictor, Scene
from labeling.tracking.osvos_preparation import Annotation, OsvosPreparation
from labeling.tracking.trajectories import read_trajectories, select_people

VERSION = 1
"""Raised when the same settings give other results."""
SHA256_DIGITS = 64
"""Length of the id of a video that was ingested: it is the digest of the file."""
log = logging.getLogger(__name__)


class OsvosSegmenter:
    """Instances of the people of a file of trajectories; their `track_id` is the person's id there."""

    def __init__(
        self, block: OsvosBlock, teacher: Segmenter, *, predictor: PeoplePredictor | None = None
    ) -> None:
        self._block, self._teacher, self._predictor = block, teacher, predictor
        self._backbone = predictor.backbone if predictor else Backbone(block.backbone, block.weights)
        self._parent = read_parent(block.parent, self._backbone) if block.parent and not predictor else None
        self._backbone.eval()
        self._preparation: OsvosPreparation | None = None

    @property
    def card(self) -> ModelCard:
        files = {"trajectories", "homography", "weights", "parent", "cache"}
        settings = self._block.model_dump(mode="json", exclude={"kind", "refine", "teacher", *files})
        settings["teacher"] = f"{self._teacher.card.kind}:{self._teacher.card.name}"
        return ModelCard(
            kind=self._block.kind,
            name=self._block.backbone,
            weights_sha256="+".join([self._backbone.sha256, *self._parent_sha256()]),
            settings=json.dumps(settings, sort_keys=True, separators=(",", ":")),
            sees_mirrored=False,
        )

    def _parent_sha256(self) -> list[str]:
        path = self._block.parent
        return [sha256(path.read_bytes()).hexdigest()] if path else []

    def prepare(self, clip: Clip) -> "OsvosSegmenter":
        """Learn the people who are in this clip, from the whole video.

        What is learned is kept in the cache folder. People with too few masks are left out and logged.

        Raises:
            TrajectoriesInvalid, HomographyInvalid, UnknownPerson: the block's files do not fit.
            InsufficientMasks: no person of the clip can be learned.
        """
        preparation = self.open(clip)
        wanted = self.people_of(preparation)
        with preparation.files.lock():
            heads = self._heads(preparation, clip, wanted)
        scene = Scene(
            preparation.annotation.trajectories,
            preparation.projection,
            preparation.bodies,
            preparation.plate,
            beyond_s=self._block.beyond_s,
            frame_s=preparation.frame_s,
        )
        predictor = PeoplePredictor(scene, self._backbone, heads)
        prepared = OsvosSegmenter(self._block, self._teacher, predictor=predictor)
        prepared._preparation = preparation
        return prepared

    def open(self, clip: Clip) -> OsvosPreparation:
        """Return what is known of a clip's video; nothing is computed yet."""
        block = self._block
        trajectories = file_of_clip(block.trajectories, clip, ".txt")
        annotation = Annotation(
            trajectories=read_trajectories(trajectories),
            homography=read_homography(file_of_clip(block.homography, clip, ".homography.txt"))
            if block.homography
            else None,
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
        folder = (block.cache or cache_dir() / "osvos") / self._key(clip, trajectories)[:24]
        prepared = self._teacher.prepare(whole)
        return OsvosPreparation(
            OsvosFiles(folder), whole, annotation, block, prepared.segment, self._backbone
        )

    def people_of(self, preparation: OsvosPreparation) -> list[int]:
        """Return the ids of the people to segment."""
        return select_people(preparation.annotation.trajectories, self._block.people)

    def _key(self, clip: Clip, trajectories: Path) -> str:
        """Return a digest of all that determines what is learned."""
        block = self._block
        settings = block.model_dump(
            mode="json",
            exclude={
                "people",
                "beyond_s",
                "trajectories",
                "homography",
                "weights",
                "parent",
                "cache",
                "refine",
            },
        )
        homography = file_of_clip(block.homography, clip, ".homography.txt") if block.homography else None
        files = [one.read_bytes() for one in (trajectories, homography, block.parent) if one]
        digests = [sha256(content).hexdigest() for content in files]
        video = clip.video_id if len(clip.video_id) == SHA256_DIGITS else f"{clip.video_id} {clip.path}"
        tree = [VERSION, video, settings, digests, self._backbone.sha256]
        tree.append(str(self._teacher.card))
        return sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()

    def _heads(
        self, preparation: OsvosPreparation, clip: Clip, wanted: Sequence[int]
    ) -> dict[int, TrainedHead]:
        heads: dict[int, TrainedHead] = {}
        failures: list[InsufficientMasks] = []
        for person in wanted:
            if not _is_in_clip(preparation, clip, person, self._block.beyond_s):
                continue
            try:
                heads[person] = preparation.head(person)
            except InsufficientMasks as error:
                log.warning("trajectories: %s", error)
                failures.append(error)
        if failures and not heads:
            raise InsufficientMasks("; ".join(map(str, failures)))
        return heads

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame, by id of the person; the confidence is the instance's score."""
        if self._predictor is None or self._preparation is None:
            raise ModelError(
                "osvos: no person is learned yet; call prepare(clip) and use the segmenter it returns"
            )
        return [self._segment_frame(frame, self._predictor, self._preparation) for frame in frames]

    def _segment_frame(
        self, frame: Frame, predictor: PeoplePredictor, preparation: OsvosPreparation
    ) -> list[Instance]:
        number = preparation.frame_number(frame)
        t_s = float(frame.t) if frame.index is None else number * preparation.frame_s
        annotated = preparation.annotated.get(number)
        matched: dict[int, Mask] = {}
        if annotated:
            matched = {person: annotated.instances[index].mask for person, index in annotated.matched.items()}
        return predictor.predict(frame.rgb, frame=number, t_s=t_s, matched=matched)


def file_of_clip(path: Path, clip: Clip, suffix: str) -> Path:
    """Return the file for a clip's video: `path` itself, or the video's name with `suffix` in that folder."""
    if not path.is_dir():
        return path
    stem = clip.path.stem if clip.path else clip.video_id
    found = path / f"{stem}{suffix}"
    if not found.is_file():
        raise TrajectoriesInvalid(f"folder {path} has no {stem}{suffix} for this video: add it")
    return found


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
