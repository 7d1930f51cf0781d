"""What `maskmill calibrate` learns: from evidence about a teacher's masks to the probability that they are right."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from configs.segmenters import Block, Fraction01

Feature = Literal["score", "decided", "flip_iou"]


class Threshold(Block):
    """Of the frames whose trust is at least `trust`, hard or not, at most `risk` had bad masks."""

    risk: Fraction01
    trust: Fraction01
    ask_from: Fraction01 = 0.0
    """Cheap trust below which the mirrored image hardly ever made a frame acceptable: it is not asked for."""


class Logistic(Block):
    """Logistic regression: P = 1 / (1 + exp(-(bias + sum of weight x feature)))."""

    bias: float
    weights: dict[Feature, float]


class Stage(Block):
    """What is known at one point: without the mirrored image, or with it."""

    instance: Logistic
    """For one mask."""
    frame: Logistic
    """For all masks of a frame together."""


class Calibration(Block):
    """A teacher's calibration. Features are named and measured in labeling/trust."""

    teacher: str
    """`kind:name` of the model that it was fitted to, and holds for."""
    weights_sha256: str = ""
    """Of that model's weights; empty: it has none."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of that model, which change its masks and scores; empty: nobody noted them."""
    good_from: Fraction01 = 0.8
    """IoU with the truth from which a mask is good."""
    cheap: Stage
    """Before the mirrored image."""
    full: Stage | None = None
    """With it; None: the teacher cannot see mirrored images, and the cheap stage decides."""
    thresholds: tuple[Threshold, ...]
    """In order of risk; a risk below the first was never reached."""
    fitted_on: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Frames of each labeled set."""

    @model_validator(mode="after")
    def _want_cheap_features(self) -> Self:
        weighed = {*self.cheap.instance.weights, *self.cheap.frame.weights}
        if "flip_iou" in weighed:
            raise PydanticCustomError(
                "not_cheap",
                "cheap weighs flip_iou, which only full knows: fit it anew with `maskmill calibrate`",
            )
        return self

    def threshold(self, risk: float) -> Threshold | None:
        """From which trust a frame is accepted; None: so low a risk was never reached."""
        reached = [one for one in self.thresholds if one.risk <= risk]
        return min(reached, key=lambda one: one.trust, default=None)
