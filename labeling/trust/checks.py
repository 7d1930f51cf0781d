"""Who is asked whether a batch's masks are right, each where its word can change a decision: the mirrored image
where it can make a frame acceptable, the others where they can keep it from being accepted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from configs.models import RunConfig, Trust
from labeling.runtime.prefetch import Stopwatch
from labeling.segmenters.protocol import Segmenter
from labeling.structures.agreement import FrameAgreement
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.trust.decide import find_still_masks, format_missed, needs_flip, would_accept
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE, Evidence, gather_evidence
from labeling.trust.flow_consistency import PreviousFrame, measure_flow_iou
from labeling.trust.second_opinion import SecondOpinionComparer
from labeling.trust.static_regions import StaticRegionDetector

_IsWanted = Callable[[FrameAgreement, Evidence, Trust], bool]


@dataclass(frozen=True, slots=True)
class ComparedFrame:
    """A compared frame."""

    frame: Frame
    teacher: Sequence[Instance]
    agreement: FrameAgreement


@dataclass(slots=True)
class EvidenceCollector:
    """Those of one clip, told of its frames in order."""

    teacher: Segmenter
    verifier: Segmenter | None
    clip: Clip
    config: RunConfig
    watch: Stopwatch
    static_regions: StaticRegionDetector = field(default_factory=StaticRegionDetector)
    before: PreviousFrame | None = None
    """The frame that was compared last."""
    times: dict[int, int] = field(init=False)
    """In ms, of the images that have one, by position."""

    def __post_init__(self) -> None:
        self.times = {one.position: one.t_ms for one in self.clip.images if one.t_ms is not None}

    def see(self, frame: Frame) -> None:
        """Take notice of a frame that is looked at, whatever becomes of it."""
        timed = self._in_time(frame)
        if timed and self.config.trust.watches_shots:
            with self.watch.time("evidence"):
                self.static_regions.watch(timed)

    def question(self, cases: Sequence[ComparedFrame]) -> list[Evidence]:
        """What there is to know about each of a batch's frames."""
        with self.watch.time("evidence"):
            known = [self._measure(one) for one in cases]
        known = self._with_mirrored(cases, known)
        with self.watch.time("evidence"):
            known = self._with_motion(cases, known)
        return self._with_second(cases, known)

    def keep(self, frame: Frame) -> None:
        """Remember an accepted frame, about whose masks the whole clip will be asked."""
        timed = self._in_time(frame)
        if timed and self.config.trust.watches_shots:
            self.static_regions.keep(timed)

    def check_shot(self, place: int, people: Sequence[Instance]) -> tuple[str, ...]:
        """At the clip's end, of a frame that was kept: what a whole shot has to say against its masks.

        Once some are of what does not move, nobody else is looked for: they are no measure of people.

        Args:
            place: its time in ms, or its position among images.
        """
        time_ms = place if self.clip.is_temporal else self.times.get(place)
        settings = self.config.trust
        if time_ms is None or not settings.watches_shots:
            return ()
        masks = [one.mask for one in people if one.mask]
        with self.watch.time("evidence"):
            shares = [self.static_regions.moving_fraction(mask, time_ms) for mask in masks]
            still = find_still_masks(shares, settings)
            if still or not settings.min_missed_person_size:
                return still
            return format_missed(
                self.static_regions.find_missed(masks, time_ms, min_share=settings.min_missed_person_size)
            )

    def _in_time(self, frame: Frame) -> Frame | None:
        """The frame with its time and shot: images that have times are of one shot. None: it has no time."""
        if self.clip.is_temporal:
            return frame
        t_ms = self.times.get(frame.t_ms)
        return None if t_ms is None else replace(frame, t_ms=t_ms, shot=0)

    def _measure(self, case: ComparedFrame, mirrored: Sequence[Instance] | None = None) -> Evidence:
        pose = self.config.pose_filter
        return gather_evidence(
            case.teacher,
            case.frame.size_hw,
            min_keypoint_score=pose.min_keypoint_score if pose else DEFAULT_KEYPOINT_SCORE,
            mirrored=None if mirrored is None else [one.mask for one in mirrored],
        )

    def _with_mirrored(self, cases: Sequence[ComparedFrame], known: Sequence[Evidence]) -> list[Evidence]:
        """The teacher's word on the mirrored images, as one more batch."""
        result = list(known)
        if not self.teacher.card.sees_mirrored:
            return result
        wanted = self._select(cases, known, needs_flip)
        if wanted:
            with self.watch.time("flip"):
                found = self.teacher.segment([cases[i].frame.mirror() for i in wanted])
            with self.watch.time("evidence"):
                for i, instances in zip(wanted, found, strict=True):
                    result[i] = self._measure(cases[i], instances)
        return result

    def _with_motion(self, cases: Sequence[ComparedFrame], known: Sequence[Evidence]) -> list[Evidence]:
        """The word of the frame before each."""
        if not self.config.trust.min_flow_iou:
            return list(known)
        return [self._compare_with_before(case, one) for case, one in zip(cases, known, strict=True)]

    def _compare_with_before(self, case: ComparedFrame, known: Evidence) -> Evidence:
        """To be called of every frame, in order: each is the next one's."""
        timed, before = self._in_time(case.frame), self.before
        if timed is None:
            return known
        self.before = now = PreviousFrame.of(timed, case.teacher)
        if before is None or not would_accept(case.agreement, known, self.config.trust):
            return known
        return replace(known, flow_iou=measure_flow_iou(now, before))

    def _with_second(self, cases: Sequence[ComparedFrame], known: Sequence[Evidence]) -> list[Evidence]:
        """Another segmenter's word, as one batch."""
        result = list(known)
        wanted = self._select(cases, known, would_accept) if self.verifier else []
        if self.verifier and wanted:
            comparison = SecondOpinionComparer.of(self.config, self.teacher.card, self.verifier.card)
            with self.watch.time("verifier"):
                found = self.verifier.segment([cases[i].frame for i in wanted])
            with self.watch.time("evidence"):
                for i, others in zip(wanted, found, strict=True):
                    opinion = comparison.compare(cases[i].teacher, others, cases[i].frame.size_hw)
                    result[i] = replace(known[i], verifier=opinion)
        return result

    def _select(
        self, cases: Sequence[ComparedFrame], known: Sequence[Evidence], is_wanted: _IsWanted
    ) -> list[int]:
        """Positions of the cases for which it matters."""
        pairs = enumerate(zip(cases, known, strict=True))
        return [i for i, (one, evidence) in pairs if is_wanted(one.agreement, evidence, self.config.trust)]
