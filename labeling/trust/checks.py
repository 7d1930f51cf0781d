"""Evidence about a batch's masks. An expensive check runs only where its result can change the decision:
the mirrored image where it can make a frame acceptable, the others where they can prevent acceptance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from configs.categories import PERSON
from configs.models import RunConfig, Trust
from labeling.comparison.iou import union_iou
from labeling.comparison.student_beside import compare_around
from labeling.runtime.prefetch import Stopwatch
from labeling.segmenters.protocol import NearSegmenter, Segmenter
from labeling.structures.agreement import FrameAgreement
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.keypoints import share_inside
from labeling.structures.masks import Mask, flip_mask, iou_matrix, mask_areas, union_masks
from labeling.structures.reasons import Reason
from labeling.structures.records import ShardNote
from labeling.trust.decide import find_still_masks, moves_outside, needs_flip, would_accept
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE, Evidence, InstanceEvidence
from labeling.trust.flow_consistency import KeptFlows
from labeling.trust.persons import could_accept_each
from labeling.trust.second_opinion import SecondOpinionComparer
from labeling.trust.static_regions import StaticRegionDetector

OVERLAYS = (
    "places where the image changes all the time in the same few shapes, such as a clock: they are taken neither for people "
    "nor for motion"
)
LOOKS = "looks of the camera (day, infrared, lamps, image sizes): each has its own background and statistics"

_Condition = Callable[[FrameAgreement, Evidence, Trust], bool]


@dataclass(frozen=True, slots=True)
class ComparedFrame:
    """A frame with the teacher's instances and their agreement with the student's."""

    frame: Frame
    teacher: Sequence[Instance]
    agreement: FrameAgreement
    student: Sequence[Instance] = ()


@dataclass(slots=True)
class EvidenceCollector:
    """Collects the evidence about one clip; its frames must come in order."""

    teacher: Segmenter
    verifier: Segmenter | None
    config: RunConfig
    watch: Stopwatch
    static_regions: StaticRegionDetector = field(default_factory=StaticRegionDetector)
    flows: KeptFlows = field(default_factory=KeptFlows)
    before: ComparedFrame | None = None
    """The last one."""

    def observe(self, frame: Frame) -> None:
        """Add a sampled frame to the statistics of its shot, whether it is kept or rejected later."""
        if self.config.trust.watches_shots:
            with self.watch.time("evidence"):
                self.static_regions.observe(frame)

    def collect(self, frames: Sequence[ComparedFrame]) -> list[Evidence]:
        """Return the evidence about each frame of a batch."""
        with self.watch.time("evidence"):
            known = [self._measure(frame) for frame in frames]
        known = self._add_flip(frames, known)
        with self.watch.time("evidence"):
            known = self._add_flow(frames, known)
        return self._add_second_opinion(frames, known)

    def check_shot(self, pts_ms: int | None, people: Sequence[Instance]) -> tuple[Reason, ...]:
        """Return the doubts that the whole shot raises about an observed frame; call it at the clip's end.

        If some masks of people do not move, missed people are not searched: such masks are no measure of a person's size.
        Without a time, there are no doubts.
        """
        settings = self.config.trust
        if pts_ms is None or not settings.watches_shots:
            return ()
        masks = [instance.mask for instance in people if instance.mask]
        with self.watch.time("evidence"):
            shares = [
                self.static_regions.moving_fraction(instance.mask, pts_ms)
                for instance in people
                if instance.mask and instance.category == PERSON
            ]
            still = find_still_masks(shares, settings)
            if still or not settings.min_missed_person_size:
                return still
            return moves_outside(
                self.static_regions.find_missed(masks, pts_ms, min_share=settings.min_missed_person_size)
            )

    def moving_fractions(self, pts_ms: int, people: Sequence[Instance]) -> list[float | None]:
        """Return the share of each mask's pixels that move in its shot; None: not known. Call it at the clip's end."""
        with self.watch.time("evidence"):
            return [self.static_regions.moving_fraction(one.mask, pts_ms) for one in people]

    def find_missed(self, pts_ms: int, people: Sequence[Instance]) -> tuple[Reason, ...]:
        """Return the doubt about an observed frame in which something moves outside these masks; call it at the clip's end."""
        minimum = self.config.trust.min_missed_person_size
        if not minimum:
            return ()
        with self.watch.time("evidence"):
            masks = [one.mask for one in people]
            return moves_outside(self.static_regions.find_missed(masks, pts_ms, min_share=minimum))

    def notes(self) -> tuple[ShardNote, ...]:
        """Return what was found out about the clip's camera; call it at the clip's end."""
        with self.watch.time("evidence"):
            overlays, looks = self.static_regions.most_overlays(), self.static_regions.most_looks()
        found = [ShardNote(OVERLAYS, len(overlays), overlays)] if overlays else []
        return (*found, ShardNote(LOOKS, looks)) if looks > 1 else tuple(found)

    def _measure(self, compared: ComparedFrame, mirrored: Sequence[Instance] | None = None) -> Evidence:
        pose = self.config.pose_filter
        return gather_evidence(
            compared.teacher,
            compared.frame.size_hw,
            min_keypoint_score=pose.min_keypoint_score if pose else DEFAULT_KEYPOINT_SCORE,
            mirrored=None if mirrored is None else [instance.mask for instance in mirrored],
            student=self._student_masks(compared),
        )

    def _student_masks(self, compared: ComparedFrame) -> list[Mask] | None:
        """Return the masks that persons are compared with; None: only frames are decided, or this one is easy."""
        if not self._is_by_person or not compared.agreement.is_hard:
            return None
        return [instance.mask for instance in compared.student]

    def _add_flip(self, frames: Sequence[ComparedFrame], known: Sequence[Evidence]) -> list[Evidence]:
        """Run the teacher on the mirrored images, as one more batch."""
        result = list(known)
        if not self.teacher.card.sees_mirrored:
            return result
        selected = self._select(frames, known, needs_flip)
        if not selected:
            return result
        asked = (
            [could_accept_each(known[i], self.config.trust) for i in selected] if self._is_by_person else []
        )
        with self.watch.time("flip"):
            near = self._segment_near([frames[i] for i in selected], asked)
            found = near or self.teacher.segment([frames[i].frame.mirror() for i in selected])
        with self.watch.time("evidence"):
            for position, (i, instances) in enumerate(zip(selected, found, strict=True)):
                measured = self._measure(frames[i], instances)
                result[i] = with_flips(known[i], measured, asked[position]) if near else measured
        return result

    @property
    def _is_by_person(self) -> bool:
        return self.config.trust.unit == "person"

    def _segment_near(
        self, frames: Sequence[ComparedFrame], asked: Sequence[Sequence[bool]]
    ) -> list[list[Instance]] | None:
        """Run the teacher on the mirrored images near the persons in question; None: it always sees whole images."""
        if not asked or not isinstance(self.teacher, NearSegmenter):
            return None
        boxes = [
            [
                one.mask.mirrored_box_xywh
                for one, is_asked in zip((one for one in frame.teacher if one.mask), of_frame, strict=True)
                if is_asked
            ]
            for frame, of_frame in zip(frames, asked, strict=True)
        ]
        return self.teacher.segment_near([frame.frame.mirror() for frame in frames], boxes)

    def _add_flow(self, frames: Sequence[ComparedFrame], known: Sequence[Evidence]) -> list[Evidence]:
        """Compare each frame with the one before it."""
        if not (self.config.trust.min_flow_iou or self.config.trust.min_coherence):
            return list(known)
        return [
            self._compare_with_previous(frame, evidence)
            for frame, evidence in zip(frames, known, strict=True)
        ]

    def _compare_with_previous(self, compared: ComparedFrame, known: Evidence) -> Evidence:
        """Measure the consistency along the motion. Call it for every frame in order: each is the next one's previous frame."""
        if compared.frame.pts_ms is None:
            return known
        before, self.before = self.before, compared
        if before is None or not would_accept(compared.agreement, known, self.config.trust):
            return known
        found = self.flows.compare((compared.frame, compared.teacher), (before.frame, before.teacher))
        return with_coherence(replace(known, flow_iou=found.iou), found.coherence) if found else known

    def _add_second_opinion(
        self, frames: Sequence[ComparedFrame], known: Sequence[Evidence]
    ) -> list[Evidence]:
        """Run the verifier, as one batch."""
        result = list(known)
        selected = self._select(frames, known, would_accept) if self.verifier else []
        if self.verifier and selected:
            comparer = SecondOpinionComparer.of(self.config, self.teacher.card, self.verifier.card)
            with self.watch.time("verifier"):
                found = self.verifier.segment([frames[i].frame for i in selected])
            with self.watch.time("evidence"):
                for i, instances in zip(selected, found, strict=True):
                    opinion = comparer.compare(frames[i].teacher, instances, frames[i].frame.size_hw)
                    result[i] = replace(known[i], verifier=opinion)
        return result

    def _select(
        self, frames: Sequence[ComparedFrame], known: Sequence[Evidence], condition: _Condition
    ) -> list[int]:
        """Return the positions of the frames that fulfill the condition."""
        pairs = enumerate(zip(frames, known, strict=True))
        return [
            i for i, (frame, evidence) in pairs if condition(frame.agreement, evidence, self.config.trust)
        ]


def with_flips(known: Evidence, measured: Evidence, asked: Sequence[bool]) -> Evidence:
    """Return the evidence with the mirrored image's of the persons in question alone: only near them was it segmented."""
    pairs = zip(known.instances, measured.instances, asked, strict=True)
    return replace(
        known,
        instances=tuple(
            replace(one, flip_iou=new.flip_iou) if is_asked else one for one, new, is_asked in pairs
        ),
    )


def with_coherence(evidence: Evidence, coherence: Sequence[float | None]) -> Evidence:
    """Return the evidence with the coherence of each mask, in order; empty masks have neither."""
    pairs = zip(evidence.instances, coherence, strict=True)
    return replace(evidence, instances=tuple(replace(one, coherence=value) for one, value in pairs))


def gather_evidence(
    teacher: Sequence[Instance],
    size_hw: tuple[int, int],
    *,
    min_keypoint_score: float,
    mirrored: Sequence[Mask] | None = None,
    student: Sequence[Mask] | None = None,
) -> Evidence:
    """Measure a frame's masks; `mirrored` are the mirrored image's masks, not yet mirrored back.

    Without `student`, its masks, nothing is measured of it.
    """
    masks = [instance.mask for instance in teacher]
    flips: Sequence[float | None] = [None] * len(masks)
    union_flip = None
    if mirrored is not None:
        back = [flip_mask(mask) for mask in mirrored]
        union_flip = union_iou(union_masks(masks, size_hw), union_masks(back, size_hw))
        flips = iou_matrix(masks, back).max(axis=1, initial=0.0).tolist()
    beside = None if student is None else compare_around(masks, student, size_hw)
    instances = tuple(
        InstanceEvidence(
            score=instance.score,
            area_px=int(area),
            stability=instance.stability,
            keypoints_inside=None
            if instance.keypoints is None
            else share_inside(instance.keypoints, instance.mask, min_keypoint_score=min_keypoint_score),
            flip_iou=flip,
            refined_iou=instance.iou_before,
            networks_iou=instance.networks_iou,
            category=instance.category,
            student_iou=None if beside is None else beside.ious[position],
        )
        for position, (instance, area, flip) in enumerate(zip(teacher, mask_areas(masks), flips, strict=True))
        if area
    )
    return Evidence(instances, union_flip, student_outside=None if beside is None else beside.outside)
