"""Fitting a teacher's calibration to labeled images, or to what people said of a run's frames."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from more_itertools import batched

from configs.calibration import Calibration
from configs.errors import ConfigError
from configs.ground_truth import LabeledSet
from configs.models import RunConfig
from db.frames.dataset import REVIEWED, dataset_frames
from db.runs.queries import latest_run
from labeling.datasets.records import DatasetFrame
from labeling.errors import SourceError
from labeling.evaluation.cross_validation import CrossValidation, summarize_predictions
from labeling.evaluation.frames import iou_outside, iou_with_truth
from labeling.evaluation.ground_truth import LabeledImage, read_labeled
from labeling.evaluation.ignore_regions import find_known, judge_masks, leave_out_unlabeled
from labeling.evaluation.summary import GOOD_FROM, POOLED
from labeling.storage.home import Home
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE, gather_evidence
from labeling.trust.fit import Example, check_scikit_learn, fit_calibration, predict_unseen
from labeling.video.images import read_image
from tasks.execution.database import database_of
from tasks.execution.models import load_models, settings_of

FOLDER_OF_REVIEWS = "maskmill-reviews-"


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration, and how right such ones were about labeled sets that they had not seen."""

    calibration: Calibration
    accept_risk: float
    unseen: dict[str, CrossValidation]

    def figures(self) -> dict[str, Any]:
        """What `maskmill calibrate --json` writes: keys as the fields of `Trusting` say."""
        sets = {name: asdict(one) for name, one in self.unseen.items()}
        return {"teacher": self.calibration.teacher, "accept_risk": self.accept_risk, "unseen": sets}


def calibrate_on_sets(sets: Mapping[str, LabeledSet], config: RunConfig) -> Fit:
    """Fit to labeled images; each set is left out once to judge the fit.

    Raises:
        ConfigError: ground truth cannot be read, or there is too little of it.
        ModelError: a segmenter cannot be loaded, or the truth has another size than its image.
        ExtraMissing: scikit-learn is not installed.
    """
    check_scikit_learn()
    if POOLED in sets:
        raise ConfigError(f"a labeled set cannot be called {POOLED!r}: that is all of them together")
    labeled = {name: _with_masks(name, one) for name, one in sets.items()}  # told before models are loaded
    return _fit([one for name, some in labeled.items() for one in _examples(name, some, config)], config)


def _with_masks(name: str, labeled: LabeledSet) -> list[LabeledImage]:
    """The images that say which masks are right: those whose truth has more than boxes."""
    images = [one for one in read_labeled(labeled) if one.boxes is None]
    if not images:
        raise ConfigError(
            f"labeled set {name}: its truth has only boxes, which do not say how good a mask is"
        )
    return images


def config_of_run(home: Home, run_id: str | None) -> dict[str, Any]:
    """The config that a run was made with, as a plain tree.

    Raises:
        ConfigError: no such run.
    """
    with database_of(home).session() as session:
        return dict(latest_run(session, run_id).config)


def calibrate_on_reviews(home: Home, run_id: str | None, config: RunConfig) -> Fit:
    """Fit to the frames of a run that people have reviewed; each video is left out once.

    Those were chosen because they were hard, so trust will be low rather than high.

    Raises:
        ConfigError: no such run, or too few reviews.
        StorageError: an image is gone.
        ExtraMissing: scikit-learn is not installed.
    """
    check_scikit_learn()
    examples: list[Example] = []
    with tempfile.TemporaryDirectory(prefix=FOLDER_OF_REVIEWS) as folder:
        with database_of(home).session() as session:
            run = latest_run(session, run_id)
            by_video: dict[str, list[LabeledImage]] = {}
            for frame in dataset_frames(session, run.id, home, decisions=[REVIEWED]):
                by_video.setdefault(frame.video_id, []).append(_reviewed_image(frame, Path(folder)))
        for video_id, images in by_video.items():
            examples += _examples(video_id, images, config)
    if not examples:
        raise ConfigError(f"run {run.id} has no reviewed frames: `maskmill review pull` takes them back")
    return _fit(examples, config)


def _fit(examples: list[Example], config: RunConfig) -> Fit:
    card = load_models(config).teacher.card
    calibration = fit_calibration(
        examples,
        teacher=f"{card.kind}:{card.name}",
        weights_sha256=card.weights_sha256,
        settings=settings_of(card),
        good_from=GOOD_FROM,
    )
    risk = config.trust.accept_risk
    return Fit(calibration, risk, summarize_predictions(predict_unseen(examples, accept_risk=risk)))


def _reviewed_image(frame: DatasetFrame, folder: Path) -> LabeledImage:
    """A reviewed frame with its image on this machine's disk."""
    path = frame.image
    if frame.store is not None:
        path = folder / frame.file_name
        path.write_bytes(frame.store.get(str(frame.image)))
    people = tuple(one.mask for one in frame.instances)
    return LabeledImage(path, frame.size_hw, people, Mask.empty(frame.size_hw))


def _examples(group: str, images: list[LabeledImage], config: RunConfig) -> Iterator[Example]:
    """What the teacher says of each image and of its mirror image, beside the truth."""
    files = tuple(ImageFile(position, one.path) for position, one in enumerate(images))
    models = load_models(config)
    teaching, learning = (one.prepare(Clip(group, images=files)) for one in (models.teacher, models.student))
    for batch in batched(_read(group, images), config.batch):
        frames = [frame for frame, _ in batch]
        teacher, student = teaching.segment(frames), learning.segment(frames)
        mirrored: Iterable[list[Instance] | None] = [None] * len(frames)
        if teaching.card.sees_mirrored:
            mirrored = teaching.segment([frame.mirror() for frame in frames])
        for (_, truth), seen, others, flipped in zip(batch, teacher, student, mirrored, strict=True):
            yield _example(group, truth, Seen(seen, others, flipped), config)


def _read(group: str, images: Iterable[LabeledImage]) -> Iterator[tuple[Frame, LabeledImage]]:
    """Those that can be read, as a run would take them."""
    for position, truth in enumerate(images):
        try:
            frame = Frame(group, position, read_image(truth.path), name=truth.name)
        except SourceError:
            continue
        truth.check_size(frame.size_hw)
        yield frame, truth


@dataclass(frozen=True, slots=True)
class Seen:
    """What models said of one image."""

    teacher: Sequence[Instance]
    student: Sequence[Instance]
    mirrored: Sequence[Instance] | None
    """Of the mirrored image; None: the teacher cannot see it."""


def _example(group: str, truth: LabeledImage, seen: Seen, config: RunConfig) -> Example:
    """An image as an example; of people whom nobody labeled, where there may be such, nothing is said."""
    known = find_known([one.mask for one in seen.teacher], truth)
    counts = known if truth.is_partial else [True] * len(known)
    people = [one for one, is_one in zip(seen.teacher, counts, strict=True) if is_one and one.mask]
    labeled = leave_out_unlabeled(truth, [one.mask for one in seen.teacher])
    masks, others = [one.mask for one in people], [one.mask for one in seen.student]
    return Example(
        group=group,
        evidence=gather_evidence(
            people,
            truth.size_hw,
            min_keypoint_score=DEFAULT_KEYPOINT_SCORE,
            mirrored=None if seen.mirrored is None else [one.mask for one in seen.mirrored],
        ),
        good_masks=tuple(None if iou is None else iou >= GOOD_FROM for iou in judge_masks(masks, truth)),
        is_good=iou_with_truth(masks, labeled) >= GOOD_FROM,
        is_hard=iou_outside(masks, others, labeled.ignored) < config.agreement.hard_below,
    )
