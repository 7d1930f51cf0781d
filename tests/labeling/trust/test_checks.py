"""What the mirrored image costs: only what is near a person in question is segmented again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from configs.calibration import Calibration
from configs.load import load_config
from labeling.comparison.agreement import compare_instances
from labeling.runtime.prefetch import Stopwatch
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import BoxXywh, fill_box
from labeling.trust.checks import ComparedFrame, EvidenceCollector
from labeling.trust.decide import decide
from tests.labeling.trust.test_persons import calibration

SIZE = (60, 100)
SURE, UNSURE = (5.0, 10.0, 20.0, 40.0), (60.0, 10.0, 20.0, 40.0)


@dataclass
class TwoPeople(StatelessSegmenter):
    """Sees the same two people in each image, mirrored or not, and remembers what it was asked for."""

    card: ModelCard = field(default_factory=lambda: ModelCard("python", "two", "", "{}"))
    whole: int = 0
    near: list[list[BoxXywh]] = field(default_factory=list)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        self.whole += len(frames)
        return [self._people(frame) for frame in frames]

    def _people(self, frame: Frame) -> list[Instance]:
        people = [Instance(fill_box(box, SIZE), score, box) for box, score in ((SURE, 0.9), (UNSURE, 0.1))]
        return [one.mirror(SIZE[1]) for one in people] if frame.is_mirrored else people


class TwoPeopleNear(TwoPeople):
    def segment_near(
        self, frames: Sequence[Frame], boxes_xywh: Sequence[Sequence[BoxXywh]]
    ) -> list[list[Instance]]:
        self.near += [list(boxes) for boxes in boxes_xywh]
        return [
            [one for one in self._people(frame) if one.mask.box_xywh in boxes]
            for frame, boxes in zip(frames, boxes_xywh, strict=True)
        ]


def collect(teacher: TwoPeople, fitted: Calibration) -> tuple[object, ...]:
    """Return the decisions about the two people and the trust in them."""
    config = load_config("offline", [])
    trust = config.trust.model_copy(
        update={
            "unit": "person",
            "calibration": fitted,
            "min_moving_fraction": 0,
            "min_missed_person_size": 0,
        }
    )
    config = config.model_copy(update={"trust": trust})
    frame = Frame("clip", None, np.zeros((*SIZE, 3), np.uint8))
    [people] = TwoPeople().segment([frame])
    agreement = compare_instances(people, [], SIZE, config.agreement)
    [evidence] = EvidenceCollector(teacher, None, config, Stopwatch()).collect(
        [ComparedFrame(frame, people, agreement)]
    )
    return (
        decide(agreement, evidence, trust).people,
        evidence.instances[0].flip_iou,
        evidence.instances[1].flip_iou,
    )


def test_only_the_person_in_question_is_segmented_again_and_decisions_stay() -> None:
    near, whole = TwoPeopleNear(), TwoPeople()
    people, *flips = collect(near, calibration())
    people_of_whole, *flips_of_whole = collect(whole, calibration())
    assert people == people_of_whole == ("accepted", "review")
    assert (flips, flips_of_whole) == ([1.0, None], [1.0, 1.0])
    assert (near.whole, near.near) == (0, [[(75.0, 10.0, 20.0, 40.0)]])
    assert (whole.whole, whole.near) == (1, [])
