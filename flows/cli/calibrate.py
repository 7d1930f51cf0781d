"""`maskmill calibrate`: fit, on labeled images or reviews, how likely a teacher's mask is right."""

import json
from dataclasses import astuple
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import (
    DEFAULT_HOME,
    FiguresOption,
    HomeOption,
    JsonOption,
    RunOption,
    SetOption,
    chosen_config,
    emit,
    format_cell,
    print_table,
)
from flows.cli.labeled_sets import (
    CocoOption,
    EncodingOption,
    EveryOption,
    ImagesOption,
    MaskEncoding,
    MasksOption,
    PartialOption,
    RoiOption,
    SetsArgument,
    read_sets,
)

if TYPE_CHECKING:
    from labeling.evaluation.cross_validation import CrossValidation
    from tasks.calibrate import Fit


class ImageOrigin(StrEnum):
    reviews = "reviews"


def calibrate(
    sets: SetsArgument = None,
    origin: Annotated[
        ImageOrigin | None, typer.Option("--from", help="Fit on the corrected frames of a run.")
    ] = None,
    images: ImagesOption = None,
    coco: CocoOption = None,
    masks: MasksOption = None,
    mask_encoding: EncodingOption = MaskEncoding.instances,
    roi: RoiOption = None,
    partial: PartialOption = False,
    every: EveryOption = 1,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="NAME|FILE", help="Default: `default`, or the run's own with --from reviews."
        ),
    ] = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    to: Annotated[Path, typer.Option(metavar="FILE", help="Calibration file to write.")] = Path(
        "calibration.json"
    ),
    figures: FiguresOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the probability that the teacher's masks are right, cross-validated by labeled set or video."""
    from configs.ground_truth import require_labeled
    from configs.load import load_config
    from tasks.calibrate import calibrate_on_sets
    from tasks.files import write_file

    for path in filter(None, (to, figures)):
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: name a file in an existing folder")
    changes = [*(changes or []), "trust.calibration=null", "trust.unit=frame", "trust.accept=null"]
    if origin:
        if sets or images or coco or masks:
            raise ConfigError("--from reviews uses the run's own images: leave out SETS.yaml and --images")
        fit = _fit_on_reviews(home, run, config, changes)
    else:
        run_config = load_config(chosen_config(config), changes)
        files = {
            "images": images,
            "coco": coco,
            "masks": masks,
            "mask_encoding": mask_encoding.value,
            "roi": roi,
        }
        labeled = read_sets(sets, files | {"partial": partial, "every": every})
        fit = calibrate_on_sets(require_labeled(labeled), run_config)
    all_figures = fit.figures()
    emit(all_figures, lambda: _print(fit.unseen, fit.accept_risk), as_json=as_json)
    write_file(to, fit.calibration.model_dump_json(indent=1).encode() + b"\n")
    if figures:
        write_file(figures, json.dumps(all_figures, indent=1).encode() + b"\n")
    if not as_json:
        typer.echo(f"{to}: use it with --set trust.calibration={to}")


def _fit_on_reviews(home: Path, run: str | None, config: str | None, changes: list[str]) -> "Fit":
    """Fit on the reviewed frames of a run, with its own config unless another is named."""
    from configs.load import change_config, load_config
    from flows.home import existing_context
    from tasks.calibrate import calibrate_on_reviews, config_of_run

    context = existing_context(home)
    if config:
        run_config = load_config(config, changes)
    else:
        run_config = change_config(config_of_run(context, run), changes, "of the run")
    return calibrate_on_reviews(context, run, run_config)


def _print(unseen: "dict[str, CrossValidation]", accept_risk: float) -> None:
    for of in ("masks", "frames"):
        judged = ((name, getattr(one, of)) for name, one in unseen.items())
        print_table(
            (f"{of}, left out", "count", "good", "AUROC", "calibration error"),
            ((name, *map(format_cell, (one.count, one.good, one.auroc, one.error))) for name, one in judged),
        )
    found = ((name, one.found) for name, one in unseen.items())
    print_table(
        ("every person found, left out", "frames", "found", "AUROC", "calibration error"),
        ((name, *map(format_cell, (one.count, one.good, one.auroc, one.error))) for name, one in found),
    )
    for title, of in (("hard", "hard_persons"), ("hard", "hard_persons_of_frames"), ("easy", "easy_persons")):
        by = "frame" if of.endswith("frames") else "person"
        persons = ((name, getattr(one, of)) for name, one in unseen.items())
        print_table(
            (f"{title} persons, by {by}", "persons", "good", "accepted", "precision", "at least", "recall"),
            ((name, *map(format_cell, astuple(one))) for name, one in persons),
        )
    for title, of in (("hard", "hard"), ("all", "every")):
        rows = ((name, getattr(one, of)) for name, one in unseen.items())
        print_table(
            (f"{title} frames, risk {accept_risk:g}", "frames", "good", "accepted", "precision", "recall"),
            (
                (name, *map(format_cell, (one.frames, one.good, one.accepted, one.precision, one.recall)))
                for name, one in rows
            ),
        )
