"""Fit a teacher's calibration to labeled images, or to the reviewed frames of a run."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from more_itertools import batched

from configs.calibration import Calibration
from configs.categories import PERSON, categories_of, require_people
from configs.errors import ConfigError, SourceError
from configs.ground_truth import LabeledSet
from configs.models import RunConfig
from db.frames.dataset import REVIEWED, dataset_frames
from db.runs.queries import latest_run
from labeling.datasets.records import DatasetFrame
from labeling.evaluation.all_found import finds_all_people, unit_of
from labeling.evaluation.cross_validation import CrossValidation, summarize_predictions
from labeling.evaluation.evaluate import iou_outside, iou_with_ground_truth
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ground_truth import read_labeled
from labeling.evaluation.ignore_regions import find_known, judge_masks, leave_out_unlabeled
from labeling.evaluation.summary import GOOD_FROM, POOLED
from labeling.segmenters.factory import load_models
from labeling.segmenters.models import settings_of
from labeling.structures.frames import Clip, Frame, ImageFile
from labeling.structures.instances import Instance
from labeling.structures.masks import union_masks
from labeling.trust.checks import gather_evidence
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE
from labeling.trust.examples import Example
from labeling.trust.fit import fit_calibration
from labeling.trust.regression import check_scikit_learn
from labeling.trust.unseen import predict_unseen
from labeling.video.images import read_image
from tasks.execution.context import Context

TEMPORARY_PREFIX = "maskmill-reviews-"


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration, and the cross-validated scores of its kind on labeled sets left out of the fit."""

    calibration: Calibration
    accept_risk: float
    unseen: dict[str, CrossValidation]

    def figures(self) -> dict[str, Any]:
        """Return what `maskmill calibrate --json` writes, with the fields of `CrossValidation`."""
        sets = {name: asdict(scores) for name, scores in self.unseen.items()}
        return {"teacher": self.calibration.teacher, "accept_risk": self.accept_risk, "unseen": sets}


def calibrate_on_sets(sets: Mapping[str, LabeledSet], config: RunConfig) -> Fit:
    """Fit to labeled images; each set is left out once for validation.

    Raises:
        ConfigError: ground truth cannot be read, or there is too little of it.
        ModelError: a segmenter cannot be loaded, or ground truth and image differ in size.
        ExtraMissing: scikit-learn is not installed.
    """
    check_scikit_learn()
    return _fit(examples_of_sets(sets, config), config)


def examples_of_sets(sets: Mapping[str, LabeledSet], config: RunConfig) -> list[Example]:
    """Run both models on labeled images, and compare with ground truth; raises as `calibrate_on_sets` does."""
    require_people(categories_of(config), "calibrate")
    if POOLED in sets:
        raise ConfigError(
            f"a labeled set cannot be called {POOLED!r}, the name of all sets pooled: rename it"
        )
    labeled = {name: _with_masks(name, one) for name, one in sets.items()}  # fails before models are loaded
    return [x for name, images in labeled.items() for x in _examples(name, images, config)]


def _with_masks(name: str, labeled: LabeledSet) -> list[LabeledImage]:
    images = [image for image in read_labeled(labeled) if image.boxes is None]
    if not images:
        raise ConfigError(f"labeled set {name}: its ground truth has only boxes; calibration requires masks")
    return images


def config_of_run(context: Context, run_id: str | None) -> dict[str, Any]:
    """Return the config of a run as a plain tree."""
    with context.database.session() as session:
        return dict(latest_run(session, run_id).config)


def calibrate_on_reviews(context: Context, run_id: str | None, config: RunConfig) -> Fit:
    """Fit to the reviewed frames of a run; each video is left out once for validation.

    These frames were selected because they are hard, so the fitted trust is rather too low than too high.

    Raises:
        ConfigError: no such run, or too few reviews.
        StorageError: an image is gone.
        ExtraMissing: scikit-learn is not installed.
    """
    check_scikit_learn()
    require_people(categories_of(config), "calibrate")
    examples: list[Example] = []
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder:
        with context.database.session() as session:
            run = latest_run(session, run_id)
            by_video: dict[str, list[LabeledImage]] = {}
            for frame in dataset_frames(session, run.id, context.home, decisions=[REVIEWED]):
                by_video.setdefault(frame.video_id, []).append(_reviewed_image(frame, Path(folder)))
        for video_id, images in by_video.items():
            examples += _examples(video_id, images, config)
    if not examples:
        raise ConfigError(f"run {run.id} has no reviewed frames: fetch reviews with `maskmill review pull`")
    return _fit(examples, config)


def _fit(examples: list[Example], config: RunConfig) -> Fit:
    card = load_models(config).teacher.card
    calibration = fit_calibration(
        examples,
        teacher=f"{card.kind}:{card.name}",
        weights_sha256=card.weights_sha256,
        settings=settings_of(card),
        good_from=GOOD_FROM,
        hard_below=config.agreement.hard_below,
    )
    risk = config.trust.accept_risk
    unseen = predict_unseen(examples, accept_risk=risk, accept=config.trust.accept)
    return Fit(calibration, risk, summarize_predictions(unseen))


def _reviewed_image(frame: DatasetFrame, folder: Path) -> LabeledImage:
    """Return a reviewed frame, fetching its image into `folder` if it is in an object store."""
    path = frame.image
    if frame.store is not None:
        path = folder / frame.file_name
        path.write_bytes(frame.store.get(str(frame.image)))
    persons = [one for one in frame.instances if one.category == PERSON]
    people = tuple(one.mask for one in persons if not one.is_doubtful)
    left_out = union_masks([one.mask for one in persons if one.is_doubtful], frame.size_hw)
    moment = None if frame.pts_ms is None else ("", frame.pts_ms)  # frames of one video are not independent
    return LabeledImage(path, frame.size_hw, people, left_out, moment=moment)


def _examples(group: str, images: list[LabeledImage], config: RunConfig) -> Iterator[Example]:
    """Run both models on each image, the teacher also on its mirror image, and compare with ground truth."""
    clip = Clip(
        group,
        images=tuple(ImageFile(position, one.path, pts_ms=one.pts_ms) for position, one in enumerate(images)),
    )
    models = load_models(config)
    teacher, student = models.teacher.prepare(clip), models.student.prepare(clip)
    for batch in batched(_read(group, images), config.batch):
        frames = [frame for frame, _ in batch]
        teacher_masks, student_masks = teacher.segment(frames), student.segment(frames)
        mirrored: Iterable[list[Instance] | None] = [None] * len(frames)
        if teacher.card.sees_mirrored:
            mirrored = teacher.segment([frame.mirror() for frame in frames])
        predictions = map(_Predictions, teacher_masks, student_masks, mirrored)
        for (_, labeled), predicted in zip(batch, predictions, strict=True):
            yield _example(group, labeled, predicted, config)


def _read(group: str, images: Iterable[LabeledImage]) -> Iterator[tuple[Frame, LabeledImage]]:
    """Decode the images as a run would, skipping those that cannot be read."""
    for position, labeled in enumerate(images):
        try:
            frame = Frame(group, labeled.pts_ms, read_image(labeled.path), name=labeled.name, index=position)
        except SourceError:
            continue
        labeled.check_size(frame.size_hw)
        yield frame, labeled


@dataclass(frozen=True, slots=True)
class _Predictions:
    """The instances that the models found in one image."""

    teacher: Sequence[Instance]
    student: Sequence[Instance]
    mirrored: Sequence[Instance] | None
    """The teacher's in the mirror image; None: it does not support mirror images."""


def _example(group: str, labeled: LabeledImage, predicted: _Predictions, config: RunConfig) -> Example:
    """Compare predictions with ground truth; where labels are partial, unlabeled people do not count."""
    masks = [instance.mask for instance in predicted.teacher]
    known = find_known(masks, labeled)
    counts = known if labeled.is_partial else [True] * len(known)
    people = [
        instance
        for instance, is_one in zip(predicted.teacher, counts, strict=True)
        if is_one and instance.mask
    ]
    truth, flipped = leave_out_unlabeled(labeled, masks), predicted.mirrored
    masks, others = [instance.mask for instance in people], [instance.mask for instance in predicted.student]
    return Example(
        group=group,
        evidence=gather_evidence(
            people,
            labeled.size_hw,
            min_keypoint_score=DEFAULT_KEYPOINT_SCORE,
            mirrored=None if flipped is None else [instance.mask for instance in flipped],
            student=others,
        ),
        good_masks=tuple(None if iou is None else iou >= GOOD_FROM for iou in judge_masks(masks, labeled)),
        is_good=iou_with_ground_truth(masks, truth) >= GOOD_FROM,
        is_hard=iou_outside(masks, others, truth.ignored) < config.agreement.hard_below,
        unit=unit_of(labeled),
        all_found=finds_all_people(masks, labeled),
        is_synthetic=labeled.is_synthetic,
    )
