"""One image of a COCO file: its labels compared with the people whom a teacher finds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from configs.calibration import Calibration
from configs.categories import PERSON
from configs.errors import ModelOutputWrong
from labeling.audit.edges import EdgeMap
from labeling.audit.parts import large_parts
from labeling.audit.ranking import FoundBySize, RankedSuspect, area_share, suspicion_of
from labeling.audit.records import AuditCounts, MaskFile, SuspectRecord
from labeling.audit.suspects import MATCH_IOU, Suspect, TrustedMask, find_suspects
from labeling.datasets.readers.coco import CocoImage
from labeling.segmenters.protocol import BoxSegmenter, Segmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, fill_box, iou_matrix
from labeling.trust.checks import gather_evidence
from labeling.trust.evidence import DEFAULT_KEYPOINT_SCORE
from labeling.trust.scores import predict_trust

_GROUPS = ("merged", "split")
"""Labels whose outline lies on edges although they are wrong."""
MOST_RATIO = 4.0
"""Of the areas of a label without a person and of a person without a label in its image, which may belong together."""
MIN_SUSPICION = 0.02
"""Weaker suspects are not listed."""


@dataclass(slots=True)
class Auditor:
    """Compares the images of all files, and then ranks their suspects; keeps a small record of each suspect."""

    calibration: Calibration | None
    masks: MaskFile
    counts: dict[str, AuditCounts] = field(default_factory=dict)
    """By split."""
    _records: list[SuspectRecord] = field(default_factory=list)
    _found: FoundBySize = field(default_factory=FoundBySize)

    def compare(
        self, split: str, image: CocoImage, frame: Frame, instances: Sequence[Instance], teacher: Segmenter
    ) -> None:
        """Compare the labels of an image with the teacher's instances, and with what it sees in the labels' boxes."""
        labels, people = image.people, self._trust(instances, image.size_hw)
        if image.boxes is None:
            people += self._find_in_boxes(labels, people, image, frame, teacher)
        else:  # the labels have no outline
            labels = tuple(fill_box(box, image.size_hw) for box in image.boxes)
            people = [TrustedMask(fill_box(one.mask.box_xywh, image.size_hw), one.trust) for one in people]
        suspects, is_found = find_suspects(labels, people, image.ignored)
        for label, was_found in zip(labels, is_found, strict=True):
            self._found.add(area_share([label.area_px], image.size_hw), was_found)
        counts = self.counts.get(split, AuditCounts())
        self.counts[split] = counts.plus(images=1, labels=len(labels), people=len(people))
        weighed = _weigh(suspects, labels, people, None if image.boxes else EdgeMap.of(frame.rgb))
        self._records += [self._record(split, image, one, labels, people) for one in weighed]

    def rank(self) -> list[RankedSuspect]:
        """Return the suspects of all images, most suspicious first."""
        ranked = [
            RankedSuspect(
                one,
                suspicion_of(one.suspect, area_share=one.area_share, area_px=one.area_px, found=self._found),
            )
            for one in self._records
        ]
        kept = [one for one in ranked if one.suspicion >= MIN_SUSPICION]
        return sorted(kept, key=lambda one: (-one.suspicion, one.record.masks_at))

    def _trust(self, instances: Sequence[Instance], size_hw: tuple[int, int]) -> list[TrustedMask]:
        """Return the people with their calibrated trust; without a calibration, with the teacher's scores."""
        people = [one for one in instances if one.mask and one.category == PERSON]
        trusts = tuple(one.score for one in people)
        if wrong := next((one.mask.size_hw for one in people if one.mask.size_hw != size_hw), None):
            raise ModelOutputWrong(f"the teacher's mask is {wrong}, the image {size_hw} (height, width)")
        if self.calibration and people:
            evidence = gather_evidence(people, size_hw, min_keypoint_score=DEFAULT_KEYPOINT_SCORE)
            predicted = predict_trust(evidence, self.calibration)
            trusts = predicted.instances if predicted else trusts
        return [TrustedMask(one.mask, trust) for one, trust in zip(people, trusts, strict=True)]

    def _find_in_boxes(
        self,
        labels: Sequence[Mask],
        people: Sequence[TrustedMask],
        image: CocoImage,
        frame: Frame,
        teacher: Segmenter,
    ) -> list[TrustedMask]:
        """Look for people where the teacher found none: in the boxes of labels, and of the parts of a label.

        Its detector misses heads and people behind others, whom its second network sees if it is shown where. Returned
        are those who fit their label or part; that parts are different people is how merged labels are found.
        """
        suspects, _ = find_suspects(labels, people, image.ignored)
        places = [labels[one.labels[0]] for one in suspects if one.kind == "unseen"]
        places += [part for mask in labels for part in large_parts(mask)]
        boxes = [mask.box_xywh for mask in places]
        found = teacher.segment_boxes(frame, boxes) if boxes and isinstance(teacher, BoxSegmenter) else None
        known = [person.mask for person in people]
        added: list[Instance] = []
        for place, one in zip(places, found or (), strict=False):
            fits = one is not None and iou_matrix([place], [one.mask])[0, 0] >= MATCH_IOU
            if one and fits and iou_matrix([one.mask], known).max(initial=0.0) < MATCH_IOU:
                known.append(one.mask)
                added.append(one)
        return self._trust(added, image.size_hw)

    def _record(
        self,
        split: str,
        image: CocoImage,
        suspect: Suspect,
        labels: Sequence[Mask],
        people: Sequence[TrustedMask],
    ) -> SuspectRecord:
        own, others = [labels[n] for n in suspect.labels], [people[n].mask for n in suspect.people]
        return SuspectRecord(
            suspect=suspect,
            split=split,
            image=image.file_name,
            image_id=image.image_id,
            annotations=tuple(image.annotations[n] for n in suspect.labels),
            box_xywh=_box_around(own or others),
            area_share=area_share([mask.area_px for mask in own], image.size_hw),
            area_px=sum(mask.area_px for mask in own),
            masks_at=self.masks.add(own, others),
        )


def _weigh(
    suspects: Sequence[Suspect], labels: Sequence[Mask], people: Sequence[TrustedMask], edges: EdgeMap | None
) -> list[Suspect]:
    """Return the suspects with the evidence beside the teacher's masks; boxes have no outline on edges."""
    missing = [one for one in suspects if one.kind == "missing"]
    weighed = []
    for one in suspects:
        own = [labels[number] for number in one.labels]
        is_compared = edges is not None and one.kind not in _GROUPS
        fits = [edges.fit(mask) for mask in own] if edges and is_compared else []
        fit = min((value for value in fits if value is not None), default=None)
        beside = [
            other.disagreement * (other.trust or 0.0)
            for other in missing
            if one.kind == "unseen" and _are_alike(own[0], people[other.people[0]].mask)
        ]
        weighed.append(replace(one, edge_fit=fit, beside_missing=max(beside, default=0.0)))
    return weighed


def _are_alike(first: Mask, second: Mask) -> bool:
    """Return whether two masks may be the same person's in two places, by their areas."""
    return 1 / MOST_RATIO <= first.area_px / max(1, second.area_px) <= MOST_RATIO


def _box_around(masks: Sequence[Mask]) -> BoxXywh:
    boxes = [mask.box_xywh for mask in masks]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return left, top, right - left, bottom - top
