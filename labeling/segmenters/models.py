"""The segmenters of a run, by role."""

from dataclasses import dataclass

from labeling.segmenters.protocol import Segmenter
from labeling.structures.frames import Clip


@dataclass(frozen=True, slots=True)
class Models:
    """The loaded segmenters of a run; `pose` and `verifier` only if they are configured."""

    teacher: Segmenter
    student: Segmenter
    pose: Segmenter | None = None
    verifier: Segmenter | None = None

    def prepare(self, clip: Clip) -> "Models":
        pose, verifier = (model.prepare(clip) if model else None for model in (self.pose, self.verifier))
        return Models(self.teacher.prepare(clip), self.student.prepare(clip), pose, verifier)
