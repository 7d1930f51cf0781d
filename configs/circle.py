"""The scheduled round: mine, pull reviews, make a dataset version, train, and wait for an approval."""

from pydantic import Field

from configs.block import Block
from configs.export_formats import ExportedDecision
from configs.student_training import StudentTraining


class Circle(Block):
    """What a scheduled round makes from the run's frames. Does not change the result of a run."""

    dataset: str = Field(min_length=1)
    """Dataset that gets a version in each round, from all runs with this config's name."""
    frozen: str = Field(min_length=1)
    """Frozen evaluation set on which each new student is compared with the current one."""
    against: str | None = None
    """Preset, config file (`*.yaml`, relative to the file with this key) or student to compare with until the first promotion."""
    decisions: tuple[ExportedDecision, ...] = Field(("accepted", "reviewed"), min_length=1)
    """Decisions of the frames to learn from."""
    split: str = "80/10/10"
    """Percentages of train, val and test."""
    training: StudentTraining = StudentTraining()
    """A round trains from the current student, if one was promoted."""
