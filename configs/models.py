"""The whole of a run's configuration."""

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.calibration import Calibration
from configs.schedules import Schedules
from configs.segmenters import Block, Fraction01, SegmenterBlock

ExportFormat = Literal["coco", "yolo-seg", "masks"]
ExportedDecision = Literal["accepted", "reviewed", "review", "easy"]

RUN_ID_LENGTH = 16
"""Hexadecimal digits."""


class Ingest(Block):
    """How sources become files. None of it changes what a run produces."""

    retries: int = Field(4, ge=0)
    backoff_s: float = Field(1.0, ge=0)
    """First pause before a retry; doubled each time."""
    timeout_s: float = Field(20.0, gt=0)
    rate_limit_bytes: int | None = Field(None, gt=0)
    """Bytes per second at most, per download."""
    pause_s: float = Field(0.0, ge=0)
    """Between two requests to a site."""
    cookies_file: Path | None = None
    """Netscape format; read, never copied or logged."""
    max_height: int = Field(1080, gt=0)
    """The tallest format that is asked for, in pixels."""
    max_items: int | None = Field(None, gt=0)
    """Newest entries taken of a playlist or channel."""
    max_archive_bytes: int = Field(20_000_000_000, gt=0)
    """An archive that unpacks to more is a bomb."""
    max_archive_ratio: float = Field(200.0, gt=1)
    """A member that unpacks to more than this times its packed size is a bomb."""
    record_s: float = Field(60.0, gt=0)
    """How long a camera is recorded."""
    segment_s: float = Field(20.0, gt=0)
    """Length of one recorded file."""
    reconnects: int = Field(5, ge=0)


class Sampling(Block):
    """Which frames are looked at."""

    every_s: float = Field(0.5, ge=0)
    """A frame is looked at every so often; 0: every frame."""
    min_gap_s: float = Field(0.5, ge=0)
    """After a kept frame, the next is at least this much later; up to `every_s` the grid sees to it."""
    shard_s: float = Field(60.0, gt=0)
    """Length of one unit of work."""
    shard_images: int = Field(64, gt=0)
    """Images in one unit of work, for folders of images."""
    min_sharpness: float = Field(0.0, ge=0)
    """Variance of the Laplacian of the luma, scaled to 640 px width; 0: blurred frames too."""
    max_hash_distance: int | None = Field(None, ge=0, le=256)
    """A frame whose 256-bit perceptual hash differs from a kept one's in at most so many bits is a
    duplicate; None: none is."""
    shot_threshold: float = Field(30.0, gt=0)
    """Mean absolute difference of luma (0 to 255) between frames from which a new shot begins."""


class PoseFilter(Block):
    """Which frames show people as wanted. Rules are in labeling/sampling/pose_filter.py."""

    segmenter: SegmenterBlock | None = None
    """A model that gives keypoints, run before the teacher; None: the teacher's own instances. A frame in which it and the
    teacher see different people is rejected; as `trust.verifier` it sends such a frame to review instead."""
    people: Literal["single", "any", "at_least_one"] = "any"
    full_body: bool = False
    min_person_score: Fraction01 = 0.5
    min_second_person_score: Fraction01 = 0.2
    """A second person is looked for from this score on."""
    min_keypoint_score: Fraction01 = 0.5
    min_keypoints_inside: Fraction01 = 0.9
    """Share of confident joints that must lie inside the dilated teacher mask."""
    min_box_iou: Fraction01 = 0.5
    """From which a pose's box and a teacher's box are the same person."""


class Agreement(Block):
    """How student and teacher are compared."""

    hard_below: Fraction01 = 0.5
    """A frame whose union IoU is below this is hard."""
    match_iou: Fraction01 = 0.5
    """From which two instances are the same person."""
    boundary_below: Fraction01 = 0.5
    """A matched pair whose boundary IoU is below this has the cause `boundary`."""


class Trust(Block):
    """When a hard frame's teacher is believed without review."""

    calibration: Calibration | None = None
    """Fitted by `maskmill calibrate`: a file, or `lite`, which is shipped. It becomes part of the config.
    None: the thresholds below decide; with one they only tell why a teacher may be wrong."""
    accept_risk: Fraction01 = 0.05
    """Frames are accepted that are as trusted as those of which, hard or not, the calibration found at most this
    share bad (IoU below 0.8)."""
    min_moving_fraction: Fraction01 = 0.05
    """Share of each mask's pixels that must belong to something that moves, as far as a shard shows its shot
    for 15 s or more; 0: what never moves is believed too. Folders of images have no shots."""
    min_missed_person_size: Fraction01 = 0.5
    """Share of the smallest mask's pixels from which what moves upright outside of all masks is somebody whom the
    teacher missed, as far as a shard shows its shot for 15 s or more and the camera stands; 0: it is not looked for."""
    min_score: Fraction01 = 0.7
    """Lowest instance score."""
    min_flip_iou: Fraction01 = 0.8
    """IoU of the teacher's union mask with that of the mirrored image, mirrored back."""
    min_keypoints_inside: Fraction01 = 0.9
    """Share of confident joints inside the mask, where there are keypoints."""
    min_flow_iou: Fraction01 = 0.5
    """IoU of the teacher's union mask with that of the frame before, moved along by optical flow, where that is
    of the same shot and at most a second older; 0: it is not measured. Of 142 good masks of CDnet's office and
    DAVIS none has less, of 53 worse ones 4."""
    verifier: SegmenterBlock | None = None
    """Another segmenter, asked about frames that would be accepted; None: nobody. It must see the same people (boxes that
    match by `agreement.match_iou`; those that the teacher missed count from `min_score`), the same union of masks, and
    its joints in their masks (`min_keypoints_inside`), each as far as it gives such."""
    min_verifier_iou: Fraction01 = 0.7
    """IoU of the teacher's union mask with that of `second`, where that gives outlines."""

    @property
    def watches_shots(self) -> bool:
        """Whether whole shots are asked about a frame's masks."""
        return self.min_moving_fraction > 0 or self.min_missed_person_size > 0


class Review(Block):
    """How people are asked about frames. None of it changes what a run produces."""

    project: str = Field("maskmill", min_length=3, max_length=50)
    """Title of the project in Label Studio; it is made when there is none."""
    label: str = Field("person", min_length=1)
    """What a region is called there."""
    max_open_tasks: int = Field(500, ge=1)
    """Tasks that wait for a person at most; more frames wait in the database."""
    budget: int | None = Field(None, ge=1)
    """Frames of a run that people are asked about at most, ever; None: no end."""
    max_per_shot: int | None = Field(None, ge=1)
    """Frames of one shot that people are asked about at most; None: as many as differ."""
    batch: int = Field(250, ge=1)
    """Tasks per request."""
    request_grace_s: float = Field(20.0, ge=0)
    """How long Label Studio may still be at a request whose sender was killed or gave up."""
    show_student: bool = True
    """The student's mask as a second prediction, to compare."""
    show_keypoints: bool = True
    """The teacher's keypoints as points, where there are any."""
    consensus: Literal["latest", "agreement"] = "latest"
    """Several annotators on one frame: the annotation that was changed last, or the one that agrees
    best with the others, once their mean IoU reaches `min_agreement`."""
    min_agreement: Fraction01 = 0.8
    """Mean union IoU of annotators from which `agreement` picks one; below, the frame stays open."""


class Export(Block):
    """What a scheduled export writes, and where. None of it changes what a run produces."""

    folder: str = Field("export", min_length=1)
    """Folder or URL (`s3://bucket/dataset`) to write; in the home unless its whole path is named. An earlier
    export in it is replaced."""
    format: ExportFormat = "coco"
    decisions: tuple[ExportedDecision, ...] = Field(("accepted", "reviewed"), min_length=1)
    """Which frames."""


_NOT_IN_THE_OUTCOME = {
    "review",
    "schedules",
    "export",
    "ingest",
    "weights_dir",
    "device",
    "batch",
    "workers",
    "runner",
    "address",
    "gpu_slots",
}


class RunConfig(Block):
    """One run: everything that decides which frames come out, and how they are made."""

    sampling: Sampling = Sampling()
    pose_filter: PoseFilter | None = None
    teacher: SegmenterBlock
    student: SegmenterBlock
    agreement: Agreement = Agreement()
    trust: Trust = Trust()
    review: Review = Review()
    schedules: Schedules = Schedules()
    """When `maskmill serve` or `maskmill deploy` lets what start."""
    export: Export = Export()
    ingest: Ingest = Ingest()
    jpeg_quality: int = Field(95, ge=1, le=100)
    """JPEG quality of kept frames."""
    weights_dir: Path | None = None
    """Folder with weights; None: the cache, filled from the network."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch: int = Field(8, ge=1)
    """Frames per call of a model."""
    workers: int = Field(1, ge=1)
    """Shards worked on at once."""
    runner: Literal["threads", "processes", "dask", "ray"] = "threads"
    """Who works on them: threads of the run's process, processes beside it, or a cluster's workers."""
    address: str | None = None
    """Of a cluster that is there: `tcp://host:8786` (Dask), `ray://host:10001` (Ray); None: one of
    `workers` processes on this machine, for as long as the run lasts."""

    @model_validator(mode="after")
    def _want_a_cluster_at_the_address(self) -> Self:
        if self.address and self.runner not in ("dask", "ray"):
            raise PydanticCustomError(
                "address_of_nothing", "address: is a cluster's, so it wants runner: dask or runner: ray"
            )
        return self

    gpu_slots: int | None = Field(None, ge=1)
    """Shards worked on at once on all machines of a Prefect server together: `maskmill deploy` sets
    its concurrency limit `maskmill-gpu`; None: it is not asked. With `device: cpu` it never is."""

    def segmenters(self) -> dict[str, SegmenterBlock]:
        """By role, in the order in which they are asked."""
        pose = self.pose_filter.segmenter if self.pose_filter else None
        blocks = {
            "pose": pose,
            "teacher": self.teacher,
            "student": self.student,
            "verifier": self.trust.verifier,
        }
        return {role: block for role, block in blocks.items() if block}

    def identity(self) -> str:
        """Canonical JSON of everything that can change the result: where weights lie, how sources
        are fetched, how people are asked, when it starts, what is exported, and on how many workers is
        left out."""
        outcome = self.model_dump(mode="json", exclude=_NOT_IN_THE_OUTCOME)
        return json.dumps(outcome, sort_keys=True, separators=(",", ":"))

    def run_id(self) -> str:
        """`RUN_ID_LENGTH` digits that name this run: the same config is the same run."""
        return hashlib.sha256(self.identity().encode()).hexdigest()[:RUN_ID_LENGTH]
