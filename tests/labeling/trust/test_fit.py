"""Fitting, on examples drawn from known probabilities."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from configs.calibration import Calibration
from configs.errors import ConfigError
from labeling.evaluation.cross_validation import summarize_predictions
from labeling.evaluation.metrics import auroc
from labeling.trust.evidence import Evidence, InstanceEvidence
from labeling.trust.examples import Example
from labeling.trust.fit import fit_calibration
from labeling.trust.scores import predict_trust
from labeling.trust.unseen import predict_unseen


def drawn(groups: str = "abc", frames: int = 150, seed: int = 0) -> list[Example]:
    """Return frames of one mask that is good with the probability given by its score and its flip IoU."""
    rng = np.random.default_rng(seed)
    examples = []
    for group in groups:
        for score, flip in rng.uniform(0.02, 0.98, (frames, 2)):
            mask = InstanceEvidence(score, 1000, flip_iou=flip)
            one = Example(group, Evidence((mask,), flip), (None,), None)
            is_good = bool(rng.random() < chance(one))
            examples.append(replace(one, good_masks=(is_good,), is_good=is_good))
    return examples


def chance(example: Example) -> float:
    """Return the probability with which an example was drawn."""
    (mask,) = example.evidence.instances
    flip = example.evidence.flip_iou or 0.0
    return mask.score * flip / (mask.score * flip + (1 - mask.score) * (1 - flip))


def fitted(examples: list[Example]) -> Calibration:
    return fit_calibration(examples, teacher="kind:name", good_from=0.8)


@pytest.mark.slow
def test_predictions_are_calibrated_on_unseen_groups() -> None:
    examples = drawn(frames=400)
    unseen = summarize_predictions(predict_unseen(examples, accept_risk=0.05))["all"]
    best = auroc([chance(one) for one in examples], [bool(one.is_good) for one in examples])
    assert unseen.masks.auroc == pytest.approx(best, abs=0.01)
    assert unseen.masks.error == pytest.approx(0.0, abs=0.03)
    assert unseen.frames.error == pytest.approx(0.0, abs=0.03)
    assert unseen.every.precision == pytest.approx(0.95, abs=0.02)
    assert unseen.every.accepted > 200


@pytest.mark.slow
def test_uninformative_evidence_has_almost_no_weight() -> None:
    rng = np.random.default_rng(1)
    blind = [shuffled(one, float(rng.uniform(0.02, 0.98))) for one in drawn(frames=400)]
    calibration = fitted(blind)
    assert calibration.full is not None
    for part in (calibration.full.instance, calibration.full.frame):
        assert abs(part.weights["flip_iou"]) < 0.1
        assert part.weights["score"] > 0.5


@pytest.mark.slow
def test_stability_is_weighted_where_the_teacher_gives_it_for_each_mask() -> None:
    stable = [with_stability(one, 0.9 if one.is_good else 0.6) for one in drawn()]
    calibration = fitted(stable)
    assert calibration.full is not None
    for stage in (calibration.cheap, calibration.full):
        assert stage.instance.weights["decided"] > 1.0
        assert "decided" not in stage.frame.weights
    unseen = summarize_predictions(predict_unseen(stable, accept_risk=0.05))["all"]
    assert (unseen.masks.auroc or 0) > 0.99
    assert fitted([*stable[:-1], with_stability(stable[-1], None)]) == fitted(drawn())


def with_stability(example: Example, stability: float | None) -> Example:
    (mask,) = example.evidence.instances
    evidence = replace(example.evidence, instances=(replace(mask, stability=stability),))
    return replace(example, evidence=evidence)


def shuffled(example: Example, flip: float) -> Example:
    """Return the example with an uninformative flip IoU."""
    (mask,) = example.evidence.instances
    return replace(example, evidence=Evidence((replace(mask, flip_iou=flip),), flip))


def test_a_larger_risk_accepts_from_a_lower_trust() -> None:
    thresholds = fitted(drawn()).thresholds
    assert len(thresholds) > 3
    assert all(a.risk < b.risk and a.trust >= b.trust for a, b in itertools.pairwise(thresholds))


def test_no_acceptable_frame_is_lost_by_skipping_its_mirrored_image() -> None:
    examples = drawn()
    calibration = fitted(examples)
    for risk in (0.05, 0.2):
        threshold = calibration.threshold(risk)
        assert threshold is not None
        accepted = [one for one in examples if full_trust(one, calibration) >= threshold.trust]
        lost = [one for one in accepted if cheap_trust(one, calibration) < threshold.ask_from]
        assert not lost
        assert 0.0 < threshold.ask_from < threshold.trust


def full_trust(example: Example, calibration: Calibration) -> float:
    trust = predict_trust(example.evidence, calibration)
    assert trust is not None
    return trust.frame


def cheap_trust(example: Example, calibration: Calibration) -> float:
    return full_trust(example, calibration.model_copy(update={"full": None}))


@pytest.mark.slow
def test_a_single_group_is_judged_by_its_parts() -> None:
    predictions = predict_unseen(drawn("a"), accept_risk=0.05)
    assert len(predictions) == 150
    assert any(one.accepted for one in predictions)


@pytest.mark.slow
def test_groups_without_which_the_rest_does_not_suffice_are_judged_by_their_parts() -> None:
    known, unknown = drawn("a"), [replace(one, good_masks=(None,), is_good=None) for one in drawn("b")]
    predictions = predict_unseen(known + unknown, accept_risk=0.05)
    assert len(predictions) == 300
    assert fitted(known + unknown).thresholds


@pytest.mark.slow
def test_examples_without_a_label_do_not_change_the_fit() -> None:
    known = drawn()
    unknown = [Example("d", one.evidence, (None,), None) for one in known[:150]]
    alone, together = fitted(known), fitted(known + unknown)
    assert (alone.cheap, alone.full, alone.thresholds) == (together.cheap, together.full, together.thresholds)
    assert together.fitted_on == {"a": 150, "b": 150, "c": 150, "d": 150}


def test_a_teacher_that_cannot_see_mirrored_images_has_one_stage_with_thresholds() -> None:
    plain = [
        Example(one.group, Evidence((InstanceEvidence(mask.score, 5),)), one.good_masks, one.is_good)
        for one in drawn()
        for mask in one.evidence.instances
    ]
    calibration = fitted(plain)
    assert calibration.full is None
    assert calibration.thresholds


def test_fitting_twice_gives_the_same_file() -> None:
    assert fitted(drawn()).model_dump_json() == fitted(drawn()).model_dump_json()


@pytest.mark.parametrize("is_good", [True, False])
def test_examples_that_are_all_good_or_all_bad_are_refused(is_good: bool) -> None:
    alike = [one for one in drawn() if one.is_good == is_good]
    with pytest.raises(ConfigError, match="good and bad"):
        fitted(alike)


def test_composites_count_for_thresholds_of_persons_and_promise_nothing() -> None:
    real = [beside(one, unit=f"r{n}") for n, one in enumerate(drawn("ab", frames=40))]
    composites = [
        replace(beside(one, unit=f"c{n}"), is_synthetic=True, good_masks=(True,))
        for n, one in enumerate(drawn("c", frames=40))
    ]
    alone, both = fitted(real), fitted([*real, *composites])
    assert alone.persons is not None
    assert both.persons is not None
    assert (both.full, both.thresholds) == (alone.full, alone.thresholds)
    of_all, of_real = both.persons.easy[-1], alone.persons.easy[-1]
    assert of_all.trust == of_real.trust == 0.5
    assert of_all.persons > of_real.persons
    assert of_all.units <= of_real.units
    counted = fit_calibration([*real, *composites], teacher="", good_from=0.8, promise_on_composites=True)
    assert counted.persons is not None
    assert counted.persons.easy[-1].units == of_all.persons


def beside(example: Example, *, unit: str) -> Example:
    """Return an example whose person the student sees."""
    (mask,) = example.evidence.instances
    evidence = replace(example.evidence, instances=(replace(mask, student_iou=0.9),))
    return replace(example, evidence=evidence, unit=unit)
