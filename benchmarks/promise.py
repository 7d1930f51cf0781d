"""How often the promise about accepted persons holds, and what is accepted of hard persons, beside today's rule.

    python benchmarks/promise.py SETS.yaml --keep EXAMPLES.json [--config lite] [--set weights_dir=DIR]

Both models run on all labeled images, which takes most of the time; `--keep` stores the evidence, and the same command again
reads it. Sets with `synthetic: true` are composites: no probability is fitted to them.

The first table is about hard persons (the student does not see them as the teacher does) of sets left out: how many
are good, how many the rule of persons accepts, and the rule of frames, each with the exact lower bound of its precision.

The second part divides the videos (and images without a video) 200 times at random into halves. One half calibrates, as
`maskmill calibrate` does; the promise is tested on the other: on one person of each video, drawn at random, which is
what is promised, and on all its persons. It holds if at most `--max-bad` are bad, or no person is accepted. Composites
count as videos here; `maskmill calibrate` promises nothing from them.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from configs.calibration import PersonCalibration
from configs.ground_truth import require_labeled
from configs.load import load_config, load_ground_truth
from configs.models import Promise
from labeling.evaluation.cross_validation import AcceptedPersons, summarize_predictions
from labeling.trust.examples import Example
from labeling.trust.fit import fit_calibration
from labeling.trust.person_steps import JudgedPerson, judged_persons
from labeling.trust.promise import find_promised
from labeling.trust.scores import measure_by_stage
from labeling.trust.unseen import predict_unseen
from tasks.calibrate import examples_of_sets

EXAMPLES = TypeAdapter(list[Example])
GROUPS = ("hard", "easy")


@dataclass(frozen=True, slots=True)
class Replay:
    """One random division: what was accepted of one group in the unseen half."""

    group: str
    promise: Promise
    persons: int
    bad: int
    drawn: int
    drawn_bad: int

    def holds(self, *, of_all: bool) -> bool:
        bad, count = (self.bad, self.persons) if of_all else (self.drawn_bad, self.drawn)
        return bad <= self.promise.max_bad * count


def main() -> None:
    options = _read_options()
    examples = _read_examples(options)
    promises = [Promise(max_bad=one, confidence=options.confidence) for one in options.max_bad]
    _print_items(examples, options.accept_risk)
    rng = np.random.default_rng(options.seed)
    replays = [one for _ in range(options.replays) for one in _replay(examples, promises, rng)]
    for promise in promises:
        for group in GROUPS:
            of_group = [one for one in replays if (one.group, one.promise) == (group, promise)]
            _print_replays(group, of_group, promise)


def _read_examples(options: argparse.Namespace) -> list[Example]:
    if options.keep and options.keep.is_file():
        return EXAMPLES.validate_json(options.keep.read_bytes())
    config = load_config(options.config, [*options.changes, "trust.calibration=null"])
    examples = examples_of_sets(require_labeled(load_ground_truth(options.sets)), config)
    if options.keep:
        options.keep.write_bytes(EXAMPLES.dump_json(examples))
    return examples


def _print_items(examples: Sequence[Example], accept_risk: float) -> None:
    print(f"hard persons of sets left out, risk {accept_risk:g}: by person | by frame")
    real = [example for example in examples if not example.is_synthetic]
    summaries = summarize_predictions(predict_unseen(examples, accept_risk=accept_risk))
    names = list(dict.fromkeys(example.group for example in real))
    for name in (
        *names,
        *dict.fromkeys(example.group for example in examples if example.is_synthetic),
        "all",
    ):
        one = summaries[name]
        print(f"  {name:12} {_words(one.hard_persons)} | {_words(one.hard_persons_of_frames)}")
    pooled = [
        one for one in predict_unseen(examples, accept_risk=accept_risk) if not one.example.is_synthetic
    ]
    one = summarize_predictions(pooled)["all"]
    print(f"  {'all real':12} {_words(one.hard_persons)} | {_words(one.hard_persons_of_frames)}")
    print(f"  easy, all real {_words(one.easy_persons)}")
    print(f"  calibration error, real: persons {one.masks.error:.3f}, frames {one.frames.error:.3f}", end="")
    print(f", every person found {one.found.error:.3f} (AUROC {one.found.auroc or 0:.3f})")


def _words(persons: AcceptedPersons) -> str:
    precision, recall = ("-" if one is None else f"{one:.3f}" for one in (persons.precision, persons.recall))
    return (
        f"{persons.persons:4} persons, {persons.good:3} good, {persons.accepted:3} accepted, precision {precision} "
        f"(at least {persons.at_least:.3f}), recall {recall}"
    )


def _replay(
    examples: Sequence[Example], promises: Sequence[Promise], rng: np.random.Generator
) -> Iterator[Replay]:
    """Calibrate on a random half of the units, and test on the other."""
    units = sorted({(example.group, example.unit) for example in examples})
    seen_units = {units[number] for number in rng.permutation(len(units))[: len(units) // 2]}
    seen = [example for example in examples if (example.group, example.unit) in seen_units]
    unseen = [example for example in examples if (example.group, example.unit) not in seen_units]
    calibration = fit_calibration(seen, teacher="", good_from=0.0, promise_on_composites=True)
    persons = calibration.persons
    if persons is None:
        return
    full = calibration.full or calibration.cheap
    judged = [
        person
        for example in unseen
        if example.evidence.instances
        for person in judged_persons(
            example,
            measure_by_stage(example.evidence, calibration.cheap),
            measure_by_stage(example.evidence, full),
        )
    ]
    for promise in promises:
        for group in GROUPS:
            yield _test(group, persons, judged, promise, rng)


def _test(
    group: str,
    calibration: PersonCalibration,
    judged: Sequence[JudgedPerson],
    promise: Promise,
    rng: np.random.Generator,
) -> Replay:
    step = find_promised(getattr(calibration, group), promise)
    if step is None:
        return Replay(group, promise, 0, 0, 0, 0)
    accepted = [
        one
        for one in judged
        if (one.student_iou < calibration.hard_below) == (group == "hard")
        and one.trust >= step.trust
        and one.cheap_trust >= step.ask_from
    ]
    drawn = {accepted[number].unit: accepted[number] for number in rng.permutation(len(accepted))}
    return Replay(
        group,
        promise,
        len(accepted),
        sum(not one.is_good for one in accepted),
        len(drawn),
        sum(not one.is_good for one in drawn.values()),
    )


def _print_replays(group: str, replays: Sequence[Replay], promise: Promise) -> None:
    given = [one for one in replays if one.persons]
    held, held_of_all = (
        sum(one.holds(of_all=of_all) for one in replays) / len(replays) for of_all in (False, True)
    )
    print(
        f"{group} persons, at most {promise.max_bad:g} bad with confidence {promise.confidence:g}: {len(replays)} replays, "
        f"promised in {len(given)}; held in {held:.3f} of all (one person of each video), {held_of_all:.3f} (all persons)"
    )
    if given:
        bad = sum(one.bad for one in given) / sum(one.persons for one in given)
        broken = sum(not one.holds(of_all=False) for one in given)
        print(
            f"  where promised: {np.mean([one.persons for one in given]):.0f} persons accepted on average, {bad:.3f} of them "
            f"bad; broken in {broken} of {len(given)}"
        )


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", type=Path, metavar="SETS.yaml")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="evidence, written once and read again")
    parser.add_argument("--config", default="lite")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    parser.add_argument("--accept-risk", type=float, default=0.05)
    parser.add_argument("--max-bad", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--replays", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
