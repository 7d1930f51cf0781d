"""The result of `maskmill calibrate`: from evidence about a teacher's masks to the probability that they are right."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.block import Block, Fraction01

Feature = Literal["score", "decided", "flip_iou", "student_outside"]


class Threshold(Block):
    """At most `risk` of the frames with a trust of at least `trust`, hard or not, had bad masks."""

    risk: Fraction01
    trust: Fraction01
    ask_from: Fraction01 = 0.0
    """Trust of the cheap stage below which the mirrored image is not measured, because it rarely leads to acceptance."""


class Logistic(Block):
    """Logistic regression: P = 1 / (1 + exp(-(bias + sum of weight x feature)))."""

    bias: float
    weights: dict[Feature, float]


class Stage(Block):
    """Regressions on the evidence known at one stage: without the mirrored image, or with it."""

    instance: Logistic
    """For one mask."""
    frame: Logistic
    """For all masks of a frame together."""


class PersonStep(Block):
    """A threshold, and how the persons of the calibration with at least this trust were; no fit has seen their videos."""

    trust: Fraction01
    ask_from: Fraction01 = 0.0
    """Trust of the cheap stage below which a person is not accepted, and the mirrored image not measured."""
    persons: int = Field(ge=0)
    bad: int = Field(ge=0)
    """Of `persons`."""
    units: int = Field(ge=0)
    """Independent ones: videos, and images that belong to no video; no composites. One person is drawn of each."""
    bad_units: int = Field(ge=0)
    """Units whose drawn person is bad."""


class PersonCalibration(Block):
    """Which persons are believed, and when a frame has no others."""

    hard: tuple[PersonStep, ...]
    """Persons whom the student does not see as the teacher does, from the highest threshold to the lowest."""
    easy: tuple[PersonStep, ...]
    """All other persons."""
    hard_below: Fraction01 = 0.5
    """IoU with the student around a person below which the person is hard."""
    found: Logistic | None = None
    """The probability that the teacher found every person of a frame; None: the labeled sets have no frame with a missed
    person."""


class Calibration(Block):
    """A teacher's calibration. The features are measured in labeling/trust."""

    teacher: str
    """`kind:name` of the model that it was fitted to."""
    weights_sha256: str = ""
    """SHA-256 of the model's weights; empty: it has none."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The model's settings that change its masks and scores; empty: not recorded."""
    good_from: Fraction01 = 0.8
    """IoU with ground truth from which a mask is good."""
    cheap: Stage
    """Without the mirrored image."""
    full: Stage | None = None
    """With it; None: the teacher cannot see mirrored images, and the cheap stage decides."""
    thresholds: tuple[Threshold, ...]
    """In order of risk; a risk below the first was not reached."""
    persons: PersonCalibration | None = None
    """For `trust.unit: person`; None: it was fitted by an earlier version."""
    fitted_on: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Number of frames of each labeled set."""

    @model_validator(mode="after")
    def _check_cheap_features(self) -> Self:
        if "flip_iou" in {*self.cheap.instance.weights, *self.cheap.frame.weights}:
            raise PydanticCustomError(
                "not_cheap",
                "cheap weighs flip_iou, which is known only in full; fit again with `maskmill calibrate`",
            )
        return self

    def threshold(self, risk: float) -> Threshold | None:
        """Return the threshold of the lowest trust for this risk; None: the risk was not reached."""
        reached = [entry for entry in self.thresholds if entry.risk <= risk]
        return min(reached, key=lambda entry: entry.trust, default=None)
