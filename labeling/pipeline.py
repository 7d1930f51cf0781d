"""One shard through all stages: decode, sample, filter, teacher, student, agreement, decision.

Frames flow one after another through generators, so that nothing grows with the shard but its
rows; each model sees full batches, whatever the filters before it took out. Decoding and writing
images run in threads beside the models.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from more_itertools import batched

from configs.models import RunConfig
from labeling.comparison.agreement import compare_instances
from labeling.review.queue import review_priority
from labeling.runtime.prefetch import Stopwatch, prefetch
from labeling.sampling.pose_filter import Rejection, attach_keypoints, check_people
from labeling.sampling.select import MinGap, SkippedFrame, select_frames
from labeling.segmenters.protocol import Segmenter
from labeling.storage.encode import encode_image
from labeling.storage.home import Home
from labeling.structures.agreement import FrameAgreement
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.records import LabeledFrame, LabeledShard
from labeling.trust.checks import ComparedFrame, EvidenceCollector
from labeling.trust.decide import decide
from labeling.trust.evidence import Evidence
from labeling.trust.scores import predict_trust, with_trust
from labeling.video.decode import DecodeStats


@dataclass(frozen=True, slots=True)
class Models:
    """The loaded segmenters of a run; `pose` and `second` only where they are configured."""

    teacher: Segmenter
    student: Segmenter
    pose: Segmenter | None = None
    verifier: Segmenter | None = None

    def prepare(self, clip: Clip) -> "Models":
        pose, verifier = (one.prepare(clip) if one else None for one in (self.pose, self.verifier))
        return Models(self.teacher.prepare(clip), self.student.prepare(clip), pose, verifier)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A frame on its way; `rejection` ends it."""

    frame: Frame
    poses: tuple[Instance, ...] | None = None
    teacher: tuple[Instance, ...] = ()
    student: tuple[Instance, ...] = ()
    rejection: Rejection | None = None


@dataclass(slots=True)
class _Shard:
    """The work on one shard: the stages share its models, watch and rows."""

    config: RunConfig
    models: Models
    clip: Clip
    watch: Stopwatch
    check: Callable[[], None]
    evidence_collector: EvidenceCollector
    rows: list[LabeledFrame] = field(default_factory=list)
    stats: DecodeStats = field(default_factory=DecodeStats)
    gap: MinGap | None = None

    def candidates(self) -> Iterator[_Candidate]:
        gap_here = self.config.pose_filter is None
        selected = select_frames(self.clip, self.config.sampling, gap_here=gap_here, stats=self.stats)
        timed = self.watch.time_items("decode", selected)
        for item in prefetch(timed, depth=2 * self.config.batch):
            self.check()
            if isinstance(item, SkippedFrame):
                self.rows.append(_skipped_row(item))
                continue
            self.evidence_collector.see(item)
            yield _Candidate(item)

    def with_poses(self, candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
        """The pose model's word, before the teacher is asked."""
        pose, settings = self.models.pose, self.config.pose_filter
        if pose is None or settings is None:
            yield from candidates
            return
        for batch in batched(candidates, self.config.batch):
            with self.watch.time("pose"):
                found = pose.segment([c.frame for c in batch])
            for candidate, poses in zip(batch, found, strict=True):
                rejection = check_people(poses, None, candidate.frame.size_hw, settings)
                yield from self.kept(replace(candidate, poses=tuple(poses), rejection=rejection))

    def with_teacher(self, candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
        settings = self.config.pose_filter
        for batch in batched(candidates, self.config.batch):
            with self.watch.time("teacher"):
                found = self.models.teacher.segment([c.frame for c in batch])
            for candidate, teacher in zip(batch, found, strict=True):
                seen = replace(candidate, teacher=tuple(teacher))
                if settings is None:
                    yield seen
                elif candidate.poses is None:
                    rejection = check_people(teacher, None, candidate.frame.size_hw, settings)
                    yield from self.kept(replace(seen, rejection=rejection))
                else:
                    yield from self.agreed(seen, candidate.poses)

    def kept(self, candidate: _Candidate) -> Iterator[_Candidate]:
        """Pass a candidate on, unless it is rejected or too soon after the last one."""
        if candidate.rejection:
            self.reject(candidate, candidate.rejection)
        elif self.gap is None or self.gap.allows(candidate.frame):
            if self.gap:
                self.gap.keep(candidate.frame)
            yield candidate

    def agreed(self, candidate: _Candidate, poses: Sequence[Instance]) -> Iterator[_Candidate]:
        """Pass a candidate on if teacher and pose model mean the same people."""
        settings = self.config.pose_filter
        if settings is None:
            return
        rejection = check_people(poses, candidate.teacher, candidate.frame.size_hw, settings)
        if rejection:
            self.reject(candidate, rejection)
        else:
            teacher = attach_keypoints(candidate.teacher, poses, settings)
            yield replace(candidate, teacher=tuple(teacher))

    def with_student(self, candidates: Iterable[_Candidate]) -> Iterator[list[_Candidate]]:
        for batch in batched(candidates, self.config.batch):
            with self.watch.time("student"):
                found = self.models.student.segment([c.frame for c in batch])
            yield [replace(c, student=tuple(s)) for c, s in zip(batch, found, strict=True)]

    def compared(self, batch: Sequence[_Candidate]) -> list[LabeledFrame]:
        """Agreement and decision of a batch."""
        semantic = not self.models.student.card.gives_instances
        with self.watch.time("agreement"):
            cases = [
                ComparedFrame(
                    c.frame,
                    c.teacher,
                    compare_instances(
                        *(c.teacher, c.student, c.frame.size_hw, self.config.agreement),
                        student_is_semantic=semantic,
                    ),
                )
                for c in batch
            ]
        known = self.evidence_collector.question(cases)
        return [
            self.decided(candidate, case.agreement, evidence)
            for candidate, case, evidence in zip(batch, cases, known, strict=True)
        ]

    def decided(self, candidate: _Candidate, agreement: FrameAgreement, evidence: Evidence) -> LabeledFrame:
        settings = self.config.trust
        trust = predict_trust(evidence, settings.calibration) if settings.calibration else None
        known = trust.frame if trust else None
        decision = decide(agreement, evidence, settings)
        believed = None if decision.is_objected else known
        frame = candidate.frame
        if decision.decision == "accepted":
            self.evidence_collector.keep(frame)
        return LabeledFrame(
            t_ms=frame.t_ms,
            shot_start_ms=frame.shot,
            sharpness=frame.sharpness,
            name=frame.name,
            size_hw=frame.size_hw,
            decision=decision.decision,
            reasons=decision.reasons,
            agreement=agreement,
            trust=known,
            priority=review_priority(
                trust=believed, symmetric_difference_share=agreement.symmetric_difference_share
            )
            if agreement.is_hard
            else None,
            teacher=with_trust(candidate.teacher, trust),
            student=candidate.student,
        )

    def doubted(self, row: LabeledFrame) -> LabeledFrame:
        """An accepted frame, after the whole clip was heard."""
        if row.decision != "accepted" or row.agreement is None:
            return row
        doubt = self.evidence_collector.check_shot(row.t_ms, row.teacher)
        if not doubt:
            return row
        priority = review_priority(
            trust=None, symmetric_difference_share=row.agreement.symmetric_difference_share
        )
        return replace(row, decision="review", priority=priority, reasons=(*doubt, *row.reasons))

    def reject(self, candidate: _Candidate, rejection: Rejection) -> None:
        frame = candidate.frame
        self.rows.append(
            LabeledFrame(
                t_ms=frame.t_ms,
                shot_start_ms=frame.shot,
                sharpness=frame.sharpness,
                name=frame.name,
                size_hw=frame.size_hw,
                decision="rejected",
                rule=rejection.rule,
                reasons=(rejection.reason,),
            )
        )


def _go_on() -> None:
    """Nobody wants this to end early."""


def label_shard(
    clip: Clip, models: Models, config: RunConfig, home: Home, check: Callable[[], None] = _go_on
) -> LabeledShard:
    """Label one clip; kept frames' images are where they are kept when this returns.

    `check` is called at each frame, so between the batches: what it raises ends the work.

    Raises:
        SourceError: the video can no longer be read.
        ModelError: a segmenter failed.
        StorageError: an image could not be written.
    """
    watch = Stopwatch()
    with watch.time("prepare"):
        prepared = models.prepare(clip)
    gap = MinGap.of(config.sampling) if config.pose_filter and clip.is_temporal else None
    evidence_collector = EvidenceCollector(prepared.teacher, prepared.verifier, clip, config, watch)
    shard = _Shard(config, prepared, clip, watch, check, evidence_collector, gap=gap)
    originals = {image.position: image.path for image in clip.images}
    pending: list[tuple[LabeledFrame, Future[str]]] = []
    with home.images.saving() as keep, ThreadPoolExecutor(1, thread_name_prefix="store") as storing:

        def save(frame: Frame) -> str:
            with watch.time("store"):
                original = originals.get(frame.t_ms)
                image = encode_image(frame.rgb, quality=config.jpeg_quality, original=original)
                keep(image.name, image.content)
                return image.stored

        stages = shard.with_student(shard.with_teacher(shard.with_poses(shard.candidates())))
        for batch in stages:
            saved = [storing.submit(save, candidate.frame) for candidate in batch]
            pending += zip(shard.compared(batch), saved, strict=True)
            _bound_backlog(saved)
        shard.rows += [replace(shard.doubted(row), image=future.result()) for row, future in pending]
    shard.rows.sort(key=lambda row: row.t_ms)
    cards = {"teacher": prepared.teacher.card, "student": prepared.student.card}
    return LabeledShard(shard.rows, cards, _count(shard.rows, shard.stats), watch.seconds)


def _bound_backlog(saved: Sequence[Future[str]]) -> None:
    """Wait until this batch's images are coded, which was done while it was compared: full images
    never pile up, and a full disk is known at once. An object store's are on their way then."""
    for future in saved:
        future.result()


def _skipped_row(skipped: SkippedFrame) -> LabeledFrame:
    return LabeledFrame(
        t_ms=skipped.t_ms,
        shot_start_ms=skipped.shot,
        sharpness=skipped.sharpness,
        name=skipped.name,
        decision="rejected",
        rule=skipped.rule,
    )


def _count(rows: Sequence[LabeledFrame], stats: DecodeStats) -> dict[str, int]:
    counts: dict[str, int] = {"looked_at": len(rows)}
    if stats.damaged:
        counts["damaged_packets"] = stats.damaged
    for row in rows:
        names = [row.decision if row.rule is None else f"rejected:{row.rule}"]
        if row.agreement:
            names += ["compared"] + (["hard"] if row.agreement.is_hard else [])
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
