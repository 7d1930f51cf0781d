"""What a calibration decides about frames of a set that it has not seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from configs.calibration import Calibration
from configs.models import Promise, Trust
from labeling.trust.examples import Example
from labeling.trust.fit import FOLDS_OF_ONE, fit_calibration, leave_groups_out, without_mirror
from labeling.trust.persons import PeopleDecision, decide_people
from labeling.trust.scores import MaskTrust, predict_trust


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for an example by a calibration that has not seen its group."""

    example: Example
    trust: MaskTrust
    accepted: bool
    """The frame, at the configured risk; only hard frames are accepted."""
    people: PeopleDecision | None = None
    """The decision about each mask; None: the student was not measured."""


def predict_unseen(
    examples: Sequence[Example], *, accept_risk: float, accept: Promise | None = None
) -> list[Prediction]:
    """Return predictions for each group by a calibration, thresholds included, fitted to the other groups.

    Frames without masks are left out. Composites count in every fit; a fifth of their units is predicted with the others and
    all other groups.
    """
    known = [example for example in examples if example.evidence.instances]
    real = [example for example in known if not example.is_synthetic]
    composites = [example for example in known if example.is_synthetic]
    predictions: list[Prediction] = []
    for seen, unseen in leave_groups_out(real):
        predictions += _predict(_fit([*seen, *composites]), unseen, accept_risk, accept)
    for seen, unseen in _fifths(composites):
        predictions += _predict(_fit([*real, *seen]), unseen, accept_risk, accept)
    return predictions


def _fifths(composites: Sequence[Example]) -> Iterator[tuple[list[Example], list[Example]]]:
    """Yield four fifths of the units, and the rest."""
    units = {unit: number for number, unit in enumerate(dict.fromkeys(one.unit for one in composites))}
    for fifth in range(min(FOLDS_OF_ONE, len(units))):
        is_unseen = [units[one.unit] % FOLDS_OF_ONE == fifth for one in composites]
        yield (
            [one for one, unseen in zip(composites, is_unseen, strict=True) if not unseen],
            [one for one, unseen in zip(composites, is_unseen, strict=True) if unseen],
        )


def _fit(examples: Sequence[Example]) -> Calibration:
    return fit_calibration(examples, teacher="", good_from=0.0)


def _predict(
    calibration: Calibration, examples: Sequence[Example], accept_risk: float, accept: Promise | None
) -> Iterator[Prediction]:
    threshold = calibration.threshold(accept_risk)
    settings = None
    if calibration.persons:
        settings = Trust(unit="person", calibration=calibration, accept_risk=accept_risk, accept=accept)
    for example in examples:
        cheap = predict_trust(without_mirror(example).evidence, calibration)
        trust = predict_trust(example.evidence, calibration)
        if trust is None or cheap is None:
            continue
        is_asked = threshold is not None and cheap.frame >= threshold.ask_from
        accepted = is_asked and threshold is not None and trust.frame >= threshold.trust
        people = decide_people(example.evidence, settings) if settings else None
        yield Prediction(example, trust, accepted, people)
