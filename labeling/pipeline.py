"""One shard through all stages: decode, sample, filter, teacher, tracks, student, agreement, decision.

Frames flow through generators one after another, so that only the rows grow with the shard. Each model
gets full batches, however many frames the filters before it remove. Decoding and writing images run in
threads beside the models.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from more_itertools import batched

from configs.categories import PERSON
from configs.errors import ModelOutputWrong
from configs.models import PoseFilter, RunConfig
from labeling.comparison.agreement import compare_instances
from labeling.review.queue import review_priority
from labeling.runtime.prefetch import Stage, Stopwatch, prefetch
from labeling.sampling.pose_filter import Rejection, attach_keypoints, check_people
from labeling.sampling.select import MinGap, ShotBounds, SkippedFrame
from labeling.segmenters.models import Models
from labeling.segmenters.protocol import Segmenter
from labeling.segmenters.refined import describe_unrefined
from labeling.storage.encode import encode_image, image_key
from labeling.storage.home import Home
from labeling.structures.agreement import FrameAgreement
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.reasons import Reason
from labeling.structures.records import LabeledFrame, LabeledShard
from labeling.structures.tracks import ShardTrack
from labeling.tracking.shard import ShardTracker
from labeling.trust.checks import ComparedFrame, EvidenceCollector
from labeling.trust.decide import decide
from labeling.trust.evidence import Evidence
from labeling.trust.recheck import recheck_people
from labeling.trust.scores import predict_trust, with_decisions, with_trust
from labeling.trust.shard_record import ShardRecord
from labeling.trust.track_gaps import find_track_gaps
from labeling.video.decode import DecodeStats
from labeling.video.lazy import PixelReader, open_pixels

OUTPUT_RULE = "model_output"
"""Rule of a frame whose masks, made elsewhere, cannot be read."""
_ONE_RECORD_PER_FRAME = frozenset({"masks_folder", "http"})
"""Kinds of segmenters in which one frame's masks can be wrong by themselves."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A frame between two stages, with the instances found so far."""

    frame: Frame
    poses: tuple[Instance, ...] | None = None
    teacher: tuple[Instance, ...] = ()
    student: tuple[Instance, ...] = ()


@dataclass(slots=True)
class _Shard:
    """What the stages of one shard share."""

    config: RunConfig
    models: Models
    clip: Clip
    watch: Stopwatch
    check: Callable[[], None]
    evidence: EvidenceCollector
    gap: MinGap | None
    """Applied after the pose filter; without one, sampling applies it."""
    tracker: ShardTracker | None
    record: ShardRecord
    pixels: PixelReader
    rows: list[LabeledFrame] = field(default_factory=list)
    stats: DecodeStats = field(default_factory=DecodeStats)
    bounds: ShotBounds = field(default_factory=ShotBounds)


def _continue() -> None:
    """Do nothing: the default check never stops."""


def label_shard(  # noqa: PLR0913 - its work, and two ways to follow it
    clip: Clip,
    models: Models,
    config: RunConfig,
    home: Home,
    check: Callable[[], None] = _continue,
    *,
    report: Callable[[int, int], None] | None = None,
    record: ShardRecord | None = None,
) -> LabeledShard:
    """Label one clip; the images of kept frames are stored when this returns.

    `check` is called at each frame; an exception from it ends the work. `report` is called after each batch with the
    number of frames that are done, and of hard ones. What `record` knows of the clip is not measured again; what is new
    is added to it.

    Raises:
        SourceError: the video can no longer be read.
        ModelError: a segmenter failed.
        StorageError: an image could not be written.
    """
    with open_pixels(clip, held=2 * config.batch) as pixels:
        shard = _open_shard(clip, models, config, check, record=record or ShardRecord(), pixels=pixels)
        return _label(shard, home, report)


def _label(shard: _Shard, home: Home, report: Callable[[int, int], None] | None) -> LabeledShard:
    pending = _label_frames(shard, home, report)
    gaps = find_track_gaps([row for row, _ in pending])
    shard.rows += [
        replace(_recheck(shard, row, gaps.get(row.key, ())), image=image) for row, image in pending
    ]
    notes = shard.evidence.notes()
    shard.rows.sort(key=lambda row: row.key)
    cards = {"teacher": shard.models.teacher.card, "student": shard.models.student.card}
    counts, seconds = _count(shard.rows, shard.stats), shard.watch.seconds
    tracks = _tracks(shard)
    shard.record.save()
    return LabeledShard(shard.rows, cards, counts, seconds, tracks, notes)


def _open_shard(  # noqa: PLR0913 - its parts
    clip: Clip,
    models: Models,
    config: RunConfig,
    check: Callable[[], None],
    *,
    record: ShardRecord,
    pixels: PixelReader,
) -> _Shard:
    watch = Stopwatch()
    with watch.time("prepare"):
        prepared = models.prepare(clip)
    gap = MinGap.of(config.sampling) if config.pose_filter and clip.is_temporal else None
    evidence = EvidenceCollector(
        prepared.teacher, prepared.verifier, config, watch, record.regions, record.flows
    )
    fill_below = _fill_below(config.pose_filter)
    tracker = ShardTracker.of(config.tracking, clip, fill_below=fill_below, kept=record.tracks)
    return _Shard(config, prepared, clip, watch, check, evidence, gap, tracker, record, pixels)


def _label_frames(
    shard: _Shard, home: Home, report: Callable[[int, int], None] | None
) -> list[tuple[LabeledFrame, str]]:
    """Return the compared frames, each with its stored image."""
    originals = {image.position: image.path for image in shard.clip.images}
    pending: list[tuple[LabeledFrame, Future[str]]] = []
    hard = 0
    with (
        home.images.saving() as keep,
        ThreadPoolExecutor(1, thread_name_prefix="store") as storing,
        prefetch(_decode(shard), depth=2 * shard.config.batch) as sampled,
    ):

        def save(frame: Frame) -> str:
            with shard.watch.time("store"):
                stored = shard.record.images.get(frame.key)
                if stored and home.images.keeps(image_key(stored)):
                    return stored
                original = originals.get(frame.key)
                image = encode_image(frame.rgb, quality=shard.config.jpeg_quality, original=original)
                keep(image.name, image.content)
                shard.record.images[frame.key] = image.stored
                return image.stored

        for batch in _run_student(
            shard, _run_teacher(shard, _filter_poses(shard, _candidates(shard, sampled)))
        ):
            saved = [storing.submit(save, candidate.frame) for candidate in batch]
            compared = _compare(shard, batch)
            pending += zip(compared, saved, strict=True)
            # Encoding ran beside the comparison. Waiting here bounds memory and reports a full disk at
            # once; uploads to an object store go on.
            for future in saved:
                future.result()
            hard += sum(row.agreement is not None and row.agreement.is_hard for row in compared)
            if report:
                report(len(shard.rows) + len(pending), hard)
    return [(row, future.result()) for row, future in pending]


def _tracks(shard: _Shard) -> tuple[ShardTrack, ...]:
    if shard.tracker is None:
        return ()
    bounds = shard.bounds
    return shard.tracker.tracks(
        shard.rows, starts_with_cut=bounds.starts_with_cut, last_shot=bounds.last_shot
    )


def _decode(shard: _Shard) -> Iterator[Frame | SkippedFrame]:
    sampled = shard.record.sample(shard.clip, shard.config, shard.pixels, shard.bounds, shard.stats)
    return shard.watch.time_items("decode", sampled)


def _candidates(shard: _Shard, sampled: Iterable[Frame | SkippedFrame]) -> Iterator[_Candidate]:
    for item in sampled:
        shard.check()
        if isinstance(item, SkippedFrame):
            shard.rows.append(_rejected_row(item, item.rule))
        else:
            shard.evidence.observe(item)
            yield _Candidate(item)


def _segment(
    shard: _Shard, stage: Stage, model: Segmenter, candidates: Iterable[_Candidate]
) -> Iterator[list[tuple[_Candidate, list[Instance]]]]:
    """Run a model on full batches of candidates.

    A frame whose own masks cannot be read is rejected, unless that happens to all of them.
    """
    first_error: ModelOutputWrong | None = None
    has_output = False
    for batch in batched(candidates, shard.config.batch):
        try:
            with shard.watch.time(stage):
                found = model.segment([candidate.frame for candidate in batch])
            pairs = list(zip(batch, found, strict=True))
        except ModelOutputWrong as error:
            if model.card.kind not in _ONE_RECORD_PER_FRAME:
                raise
            first_error = first_error or error
            pairs = _segment_singly(shard, stage, model, batch)
        has_output = has_output or bool(pairs)
        if pairs:
            yield pairs
    if first_error and not has_output:
        raise first_error


def _segment_singly(
    shard: _Shard, stage: Stage, model: Segmenter, batch: Sequence[_Candidate]
) -> list[tuple[_Candidate, list[Instance]]]:
    """Run a model frame by frame; reject those whose output is wrong, with the reason."""
    pairs = []
    for candidate in batch:
        try:
            with shard.watch.time(stage):
                (found,) = model.segment([candidate.frame])
            pairs.append((candidate, found))
        except ModelOutputWrong as error:
            shard.rows.append(_rejected_row(candidate.frame, OUTPUT_RULE, f"{stage}: {error}"))
    return pairs


def _filter_poses(shard: _Shard, candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """Apply a separate pose model before the teacher runs."""
    pose, settings = shard.models.pose, shard.config.pose_filter
    if pose is None or settings is None:
        yield from candidates
        return
    for batch in _segment(shard, "pose", pose, candidates):
        for candidate, poses in batch:
            rejection = check_people(poses, None, candidate.frame.size_hw, settings)
            if _passes(shard, candidate.frame, rejection):
                yield replace(candidate, poses=tuple(poses))


def _run_teacher(shard: _Shard, candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """Run the teacher, and the part of the pose filter that requires it."""
    settings = shard.config.pose_filter
    for batch in _segment(shard, "teacher", shard.models.teacher, candidates):
        for candidate, found in batch:
            frame, poses = candidate.frame, candidate.poses
            teacher = _track(shard, frame, found)
            if settings is None:
                yield replace(candidate, teacher=teacher)
            elif poses is None:
                filled = _fill_keypoints(shard, frame, teacher)
                if _passes(shard, frame, check_people(_people(filled), None, frame.size_hw, settings)):
                    yield replace(candidate, teacher=teacher)
            elif rejection := check_people(poses, teacher, frame.size_hw, settings):
                shard.rows.append(_rejected_row(frame, rejection.rule, rejection.reason))
            else:
                yield replace(candidate, teacher=tuple(attach_keypoints(teacher, poses, settings)))


def _people(instances: Sequence[Instance]) -> list[Instance]:
    """Return the instances to which the rules about people apply."""
    return [one for one in instances if one.category == PERSON]


def _track(shard: _Shard, frame: Frame, instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Give instances their tracks, in every frame that the teacher saw: frames rejected later keep tracks alive."""
    if shard.tracker is None:
        return tuple(instances)
    with shard.watch.time("track"):
        tracked = iter(shard.tracker.update(frame, _people(instances)))
    return tuple(next(tracked) if one.category == PERSON else one for one in instances)


def _fill_below(settings: PoseFilter | None) -> float | None:
    """Return the confidence below which keypoints are filled: only the rules of whole bodies require that.

    What is stored, and what trust is computed from, are the teacher's own keypoints.
    """
    is_used = settings is not None and settings.full_body and settings.segmenter is None
    return settings.min_keypoint_score if settings is not None and is_used else None


def _fill_keypoints(shard: _Shard, frame: Frame, teacher: tuple[Instance, ...]) -> tuple[Instance, ...]:
    if shard.tracker is None:
        return teacher
    with shard.watch.time("track"):
        return shard.tracker.fill_keypoints(frame, teacher)


def _passes(shard: _Shard, frame: Frame, rejection: Rejection | None) -> bool:
    """Store a rejection; otherwise return whether the frame keeps the gap, and start the next one."""
    if rejection:
        shard.rows.append(_rejected_row(frame, rejection.rule, rejection.reason))
        return False
    if shard.gap and not shard.gap.allows(frame):
        return False
    if shard.gap:
        shard.gap.keep(frame)
    return True


def _run_student(shard: _Shard, candidates: Iterable[_Candidate]) -> Iterator[list[_Candidate]]:
    for batch in _segment(shard, "student", shard.models.student, candidates):
        yield [replace(candidate, student=tuple(student)) for candidate, student in batch]


def _compare(shard: _Shard, batch: Sequence[_Candidate]) -> list[LabeledFrame]:
    """Compute agreement, evidence and decision of a batch."""
    is_semantic = not shard.models.student.card.gives_instances
    with shard.watch.time("agreement"):
        agreements = [
            compare_instances(
                *(c.teacher, c.student, c.frame.size_hw, shard.config.agreement),
                student_is_semantic=is_semantic,
            )
            for c in batch
        ]
    compared = [
        ComparedFrame(c.frame, c.teacher, a, c.student) for c, a in zip(batch, agreements, strict=True)
    ]
    evidence = shard.evidence.collect(compared)
    return [_decide(shard, *of_frame) for of_frame in zip(batch, agreements, evidence, strict=True)]


def _decide(
    shard: _Shard, candidate: _Candidate, agreement: FrameAgreement, evidence: Evidence
) -> LabeledFrame:
    settings = shard.config.trust
    trust = predict_trust(evidence, settings.calibration) if settings.calibration else None
    frame_trust = trust.frame if trust else None
    decision = decide(agreement, evidence, settings)
    priority = review_priority(
        trust=None if decision.is_objected else frame_trust,
        symmetric_difference_share=agreement.symmetric_difference_share,
    )
    frame = candidate.frame
    return LabeledFrame(
        pts_ms=frame.pts_ms,
        index=frame.index,
        shot_start_ms=frame.shot,
        sharpness=frame.sharpness,
        name=frame.name,
        size_hw=frame.size_hw,
        decision=decision.decision,
        reasons=(*decision.reasons, *describe_unrefined(candidate.teacher)),
        agreement=agreement,
        trust=frame_trust,
        priority=priority if agreement.is_hard else None,
        teacher=with_decisions(with_trust(candidate.teacher, trust), decision.people),
        student=candidate.student,
        found=decision.found,
        accepted_people=decision.accepted_people,
        doubtful_people=decision.doubtful_people,
    )


def _recheck(shard: _Shard, row: LabeledFrame, missing_tracks: Sequence[int]) -> LabeledFrame:
    """Check a frame with accepted masks again, against the whole clip."""
    if row.agreement is None or not (row.decision == "accepted" or row.accepted_people):
        return row
    if row.accepted_people is not None:
        return recheck_people(shard.evidence, row, missing_tracks)
    objections = shard.evidence.check_shot(row.pts_ms, row.teacher)
    if not objections:
        return row
    share = row.agreement.symmetric_difference_share
    priority = review_priority(trust=None, symmetric_difference_share=share)
    return replace(row, decision="review", priority=priority, reasons=(*objections, *row.reasons))


def _rejected_row(frame: Frame | SkippedFrame, rule: str, *reasons: str) -> LabeledFrame:
    return LabeledFrame(
        pts_ms=frame.pts_ms,
        index=frame.index,
        shot_start_ms=frame.shot,
        sharpness=frame.sharpness,
        name=frame.name,
        size_hw=frame.size_hw if isinstance(frame, Frame) else None,
        decision="rejected",
        rule=rule,
        reasons=tuple(Reason.of("text", text=reason) for reason in reasons),
    )


def _count(rows: Sequence[LabeledFrame], stats: DecodeStats) -> dict[str, int]:
    counts = Counter({"sampled": len(rows)})
    if stats.damaged:
        counts["damaged_packets"] = stats.damaged
    for row in rows:
        counts[row.decision if row.rule is None else f"rejected:{row.rule}"] += 1
        if row.agreement:
            counts["compared"] += 1
            counts["hard"] += row.agreement.is_hard
    return {name: count for name, count in sorted(counts.items()) if count or name == "sampled"}
