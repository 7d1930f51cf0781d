"""The configuration of a run."""

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block, Fraction01
from configs.calibration import Calibration
from configs.categories import PERSON
from configs.circle import Circle
from configs.constants import HARD_BELOW, RUN_ID_LENGTH
from configs.export_formats import ExportedDecision, ExportFormat
from configs.licenses import Licenses
from configs.schedules import Schedules
from configs.segmenters import SegmenterBlock
from configs.tracking import MaskTrackingBlock, TrackingBlock


class Ingest(Block):
    """How sources become files. Does not change the result of a run."""

    retries: int = Field(4, ge=0)
    backoff_s: float = Field(1.0, ge=0)
    """Pause before the first retry; doubled each time."""
    timeout_s: float = Field(20.0, gt=0)
    rate_limit_bytes: int | None = Field(None, gt=0)
    """Bytes per second at most, per download."""
    pause_s: float = Field(0.0, ge=0)
    """Pause between two requests to a site."""
    cookies_file: Path | None = None
    """Cookies file in Netscape format; it is read, never copied or logged."""
    max_height: int = Field(1080, gt=0)
    """Shorter side in pixels of the largest format to download."""
    max_items: int | None = Field(None, gt=0)
    """Newest entries of a playlist or channel to download."""
    max_archive_bytes: int = Field(20_000_000_000, gt=0)
    """An archive that unpacks to more is refused."""
    max_archive_ratio: float = Field(200.0, gt=1)
    """An archive member that unpacks to more than this times its packed size is refused."""
    max_pixels: int = Field(120_000_000, gt=0)
    """An image or a video with larger frames is refused: the default, 360 MB as RGB, is above medium-format cameras
    (102 million) and below Pillow's own limit (179 million)."""
    record_s: float = Field(60.0, gt=0)
    """Duration of a camera's recording."""
    segment_s: float = Field(20.0, gt=0)
    """Duration of one recorded file."""
    reconnects: int = Field(5, ge=0)


class Sampling(Block):
    """Which frames are sampled."""

    every_s: float = Field(0.5, ge=0)
    """Time between sampled frames; 0: every frame."""
    min_gap_s: float = Field(0.0, ge=0)
    """Smallest time between a frame that passed the pose filter and the next one: sampling every 0.2 s with a gap of 1 s
    finds the first good frame of each second. Values up to `every_s` have no effect."""
    shard_s: float = Field(60.0, gt=0)
    """Duration of video in one unit of work."""
    shard_images: int = Field(64, gt=0)
    """Images in one unit of work, for folders of images."""
    min_sharpness: float = Field(0.0, ge=0)
    """Smallest variance of the Laplacian of the luma, scaled to 640 px width; 0: blurred frames are kept too."""
    max_hash_distance: int | None = Field(None, ge=0, le=256)
    """A frame whose 256-bit perceptual hash differs from a kept frame's in at most this many bits is a
    duplicate; None: duplicates are kept."""
    shot_threshold: float = Field(30.0, gt=0)
    """Mean absolute difference of luma (0 to 255) between two frames from which a new shot begins."""


class PoseFilter(Block):
    """Which frames are kept, by the poses of the people in them (labeling/sampling/pose_filter.py)."""

    segmenter: SegmenterBlock | None = None
    """A model with keypoints that runs before the teacher; None: the teacher's own instances. A frame in which it
    and the teacher find different people is rejected; as `trust.verifier` it sends such a frame to review instead."""
    people: Literal["single", "any", "at_least_one"] = "any"
    full_body: bool = False
    min_person_score: Fraction01 = 0.5
    min_second_person_score: Fraction01 = 0.2
    """Score from which a second person counts."""
    min_keypoint_score: Fraction01 = 0.5
    min_keypoints_inside: Fraction01 = 0.9
    """Smallest share of confident keypoints inside the dilated teacher mask."""
    min_box_iou: Fraction01 = 0.5
    """IoU from which the boxes of a pose and of the teacher are the same person."""


class Agreement(Block):
    """How student and teacher are compared."""

    hard_below: Fraction01 = HARD_BELOW
    """A frame whose union IoU is below this is hard."""
    match_iou: Fraction01 = 0.5
    """IoU from which two instances are the same person."""
    boundary_below: Fraction01 = 0.5
    """A matched pair whose boundary IoU is below this has the cause `boundary`."""


class Promise(Block):
    """With probability `confidence`, at most `max_bad` of the accepted persons are bad, of hard ones and of easy ones."""

    max_bad: Fraction01 = 0.05
    """Largest share of masks with an IoU below 0.8."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Probability, over the videos that the calibration could have had, that this holds (labeling/trust/promise.py)."""


class Trust(Block):
    """When a hard frame's teacher masks are accepted without review."""

    unit: Literal["frame", "person"] = "frame"
    """What is accepted: a frame with all of its masks, or each person for itself. `person` requires a calibration."""
    accept: Promise | None = None
    """For `unit: person`, instead of `accept_risk`: a promise about the accepted persons. Where the calibration has seen too few
    videos for it, no person is accepted, and the number of missing ones is reported. None: `accept_risk`, which is no promise."""
    min_found: Fraction01 = 0.8
    """For `unit: person`: smallest probability that the teacher found every person of a frame; in other frames no person is
    accepted."""

    calibration: Calibration | None = None
    """A file of `maskmill calibrate`, or `lite`, `lite-heavy` or `surveillance`, which are shipped; its content becomes
    part of the config. None: the thresholds below decide. With a calibration they only explain why a teacher may be wrong."""
    accept_risk: Fraction01 = 0.05
    """Accept frames from the trust above which the calibration found at most this share of bad masks (IoU below 0.8)
    among all frames, hard or not."""
    min_moving_fraction: Fraction01 = 0.05
    """Smallest share of a mask's pixels that must move; checked in shots of which a shard has 15 s or more. 0: off.
    Folders of images have no shots."""
    min_missed_person_size: Fraction01 = 0.5
    """Smallest size, as a share of the smallest mask's pixels, of an upright moving region outside all masks that
    counts as a missed person; checked for a static camera in shots of which a shard has 15 s or more. 0: off."""
    min_score: Fraction01 = 0.7
    """Smallest score of an instance."""
    min_flip_iou: Fraction01 = 0.8
    """Smallest IoU of the teacher's union mask with that of the mirrored image, mirrored back."""
    min_keypoints_inside: Fraction01 = 0.9
    """Smallest share of confident keypoints inside the mask, where there are keypoints."""
    min_flow_iou: Fraction01 = 0.5
    """Smallest IoU of the teacher's union mask with the previous frame's, moved by optical flow, if that frame is of
    the same shot and at most a second older. 0: off. In CDnet's office and DAVIS, 0 of 142 good masks and 4 of 53
    worse ones have less."""
    min_coherence: Fraction01 = 0.0
    """Smallest IoU of each of the teacher's masks with the same person's mask in the previous frame, moved by optical flow;
    known as for `min_flow_iou`. A person who has just come into the image has 0. 0: off."""
    verifier: SegmenterBlock | None = None
    """A second segmenter that checks frames about to be accepted; None: off. It must find the same people (boxes that
    match by `agreement.match_iou`; people that the teacher missed count from `min_score`), the same union of masks, and
    its keypoints must lie in the teacher's masks (`min_keypoints_inside`). Only what it gives is compared."""
    min_verifier_iou: Fraction01 = 0.7
    """Smallest IoU of the teacher's union mask with the verifier's, if the verifier gives masks."""

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        if self.unit == "person" and (self.calibration is None or self.calibration.persons is None):
            raise PydanticCustomError(
                "not_calibrated",
                "unit: person requires a calibration of persons: set trust.calibration to lite, or fit one with "
                "`maskmill calibrate`",
            )
        if self.accept and self.unit == "frame":
            raise PydanticCustomError(
                "promise_of_frames", "accept is a promise about persons: set trust.unit to person"
            )
        return self

    @property
    def watches_shots(self) -> bool:
        """Return whether a check uses whole shots."""
        return self.min_moving_fraction > 0 or self.min_missed_person_size > 0


class PlantedTruth(Block):
    """Tasks whose answer is known, among the others: they show how well each annotator works."""

    truth: Path
    """COCO file with the masks of all people in some of the run's frames, such as one that `maskmill export coco` wrote and an
    expert corrected. Its masks count in the dataset, the annotators' answers do not."""
    share: float = Field(0.05, gt=0, le=0.5)
    """Share of the tasks sent, on top of `budget`."""


class Review(Block):
    """How frames are reviewed in Label Studio. Does not change the result of a run."""

    project: str = Field("maskmill", min_length=3, max_length=50)
    """Title of the project in Label Studio, which is created if it does not exist."""
    label: str = Field("person", min_length=1)
    """Word for a person in Label Studio; other categories have their own names."""
    audit: int = Field(0, ge=0, le=500)
    """Accepted persons of a run, chosen at random, whose frames are reviewed like the doubtful ones: their share of bad masks is
    an unbiased estimate for all accepted persons. They come on top of `budget`. 0: no audit."""
    planted: PlantedTruth | None = None
    """Tasks whose answer is known; None: none."""
    max_open_tasks: int = Field(500, ge=1)
    """Tasks that wait for review at most; further frames wait in the database."""
    budget: int | None = Field(None, ge=1)
    """Frames of a run to review at most; None: no limit."""
    max_per_shot: int | None = Field(None, ge=1)
    """Frames of one shot to review at most; None: as many as differ."""
    batch: int = Field(250, ge=1)
    """Tasks per request."""
    request_grace_s: float = Field(20.0, ge=0)
    """How long Label Studio may still process a request whose sender was killed or gave up."""
    show_student: bool = True
    """Show the student's mask as a second prediction."""
    show_keypoints: bool = False
    """Show the teacher's keypoints, if it has any: 17 points per person, which cover small people."""
    min_keypoint_score: Fraction01 = 0.5
    """Confidence of a keypoint that is shown; others stay as the teacher gave them."""
    consensus: Literal["latest", "agreement"] = "latest"
    """Which of several annotations of a frame counts: the one changed last, or the one that agrees best with the
    others, once their mean IoU reaches `min_agreement`."""
    min_agreement: Fraction01 = 0.8
    """Mean union IoU of the annotators from which `agreement` chooses; below it the frame stays open."""
    propagate_s: float = Field(2.0, ge=0, le=5)
    """Reviewed masks are carried to open frames of the same shot at most this far away. 0: off."""
    confirm_iou: Fraction01 = 0.8
    """A frame needs no review if each carried mask has this IoU with the teacher's mask of the person, no person is
    in only one of both, and every confidence reaches `confirm_confidence`."""
    confirm_confidence: Fraction01 = 0.25
    """Smallest confidence of a carried mask in such a frame, in [0, 1]; 1: every frame is reviewed. Of the masks that reach
    it, 3 of 68 carried from both sides and 4 of 46 from one have an IoU below 0.8 in DAVIS' dance-twirl."""


class Export(Block):
    """What a scheduled export writes, and where. Does not change the result of a run."""

    folder: str = Field("export", min_length=1)
    """Folder or URL (`s3://bucket/dataset`) to write; a relative path is in the home. An earlier export in it is
    replaced."""
    format: ExportFormat = "coco"
    decisions: tuple[ExportedDecision, ...] = Field(("accepted", "reviewed", "partial"), min_length=1)
    """Decisions of the frames to write. `partial`: frames for review in which some persons are accepted already
    (`trust.unit: person`); only COCO can hold them."""
    only_complete: bool = False
    """Only frames in which each person is accepted or reviewed."""
    license_allow: tuple[str, ...] = ()
    """Patterns of licenses, such as `cc-by*`, compared in any case; frames of other videos, and of videos whose license is
    not stated, are left out. Empty: all frames."""
    blur_faces: bool = False
    """Blur faces in the exported images, by stored keypoints; all people must have them."""


class Retention(Block):
    """What a scheduled `gc` deletes. Does not change the result of a run."""

    files_days: float = Field(1.0, ge=0)
    """Minimum age of files that no run needs."""
    superseded_runs_days: float = Field(30.0, ge=0)
    """Idle time after which a run loses its predictions if a later run of its name has finished."""
    runs_days: float | None = Field(None, ge=0)
    """Idle time after which every run loses its predictions and images; None: never. Reviewed runs stay, and so do the
    images of dataset versions."""


_NOT_IN_THE_OUTCOME = {
    *("review", "schedules", "export", "retention", "circle", "ingest", "weights_dir", "device", "batch"),
    *("workers", "runner", "address", "gpu_slots", "camera", "licenses"),
}


class RunConfig(Block):
    """The configuration of one run. Runs with the same outcome settings are the same run."""

    sampling: Sampling = Sampling()
    pose_filter: PoseFilter | None = None
    teacher: SegmenterBlock
    student: SegmenterBlock
    tracking: TrackingBlock = MaskTrackingBlock()
    """How the teacher's instances get the track of their person in a video; None (`none`): they do not. Folders of
    images have no tracks."""
    agreement: Agreement = Agreement()
    trust: Trust = Trust()
    review: Review = Review()
    schedules: Schedules = Schedules()
    """When flows start, once `maskmill serve` or `maskmill deploy` registered them."""
    camera: Literal["static", "moving"] = "static"
    """For `maskmill matte`: static: people are compared with the empty scene; moving: a recurrent network follows them."""
    export: Export = Export()
    retention: Retention = Retention()
    circle: Circle | None = None
    """What `schedules.circle` makes; None: nothing is trained."""
    ingest: Ingest = Ingest()
    jpeg_quality: int = Field(95, ge=1, le=100)
    """JPEG quality of kept frames."""
    weights_dir: Path | None = None
    """Folder with weights; None: the cache, to which missing weights are downloaded."""
    licenses: Licenses = Licenses()
    """What the licenses of weights must permit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch: int = Field(8, ge=1)
    """Frames per call of a model."""
    workers: int = Field(1, ge=1)
    """Shards labeled at the same time."""
    runner: Literal["threads", "processes", "dask", "ray"] = "threads"
    """Where shards are labeled: threads of the run's process, processes of this machine, or a cluster."""
    address: str | None = None
    """Address of a running cluster: `tcp://host:8786` (Dask), `ray://host:10001` (Ray); None: a cluster of
    `workers` processes is started on this machine for the run."""
    gpu_slots: int | None = Field(None, ge=1)
    """Shards labeled at the same time on all machines of a Prefect server together: `maskmill deploy` sets
    its concurrency limit `maskmill-gpu`. None: no limit. Not used with `device: cpu`."""

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        if self.address and self.runner not in ("dask", "ray"):
            raise PydanticCustomError(
                "address_of_nothing", "address names a cluster: set runner to dask or ray"
            )
        return self

    @model_validator(mode="after")
    def _check_circle(self) -> Self:
        if self.schedules.circle and self.circle is None:
            raise PydanticCustomError(
                "circle_of_nothing",
                "schedules.circle requires circle: name its dataset and the frozen set, circle: {dataset: NAME, frozen: NAME}",
            )
        return self

    @model_validator(mode="after")
    def _check_categories(self) -> Self:
        """Refuse what knows people only, and models whose categories differ: each frame would be hard."""
        teacher, student = (
            set(getattr(block, "classes", {}).values()) or {PERSON} for block in (self.teacher, self.student)
        )
        if teacher != student:
            raise PydanticCustomError(
                "categories_differ",
                "the teacher's categories are {teacher}, the student's {student}: map the classes of both to the same",
                {"teacher": ", ".join(sorted(teacher)), "student": ", ".join(sorted(student))},
            )
        if teacher != {PERSON} and (self.trust.verifier or (self.pose_filter and self.pose_filter.segmenter)):
            raise PydanticCustomError(
                "people_only",
                "trust.verifier and pose_filter.segmenter know people only: remove them or the other classes",
            )
        return self

    def segmenters(self) -> dict[str, SegmenterBlock]:
        """Return the configured segmenters by role, in the order in which they run."""
        pose = self.pose_filter.segmenter if self.pose_filter else None
        blocks = {
            "pose": pose,
            "teacher": self.teacher,
            "student": self.student,
            "verifier": self.trust.verifier,
        }
        return {role: block for role, block in blocks.items() if block}

    def identity(self) -> str:
        """Return canonical JSON of all settings that can change the result of a run."""
        outcome = self.model_dump(mode="json", exclude=_NOT_IN_THE_OUTCOME)
        return json.dumps(outcome, sort_keys=True, separators=(",", ":"))

    def run_id(self) -> str:
        """Return the run's id: the same config has the same id."""
        return hashlib.sha256(self.identity().encode()).hexdigest()[:RUN_ID_LENGTH]
