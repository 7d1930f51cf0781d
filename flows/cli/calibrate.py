"""`maskmill calibrate`: learn from labeled images, or from reviews, when a teacher is right."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import HomeOption, RunOption, SetOption, format_cell, print_table
from flows.cli.labeled_sets import (
    CocoOption,
    Codes,
    CodesOption,
    EveryOption,
    ImagesOption,
    MasksOption,
    PartialOption,
    RoiOption,
    SetsArgument,
    read_sets,
)

if TYPE_CHECKING:
    from labeling.evaluation.cross_validation import CrossValidation


DEFAULT_HOME = Path(".maskmill")


class ImageOrigin(StrEnum):
    reviews = "reviews"


def calibrate(
    sets: SetsArgument = None,
    origin: Annotated[
        ImageOrigin | None, typer.Option("--from", help="Learn from what people said of a run's frames.")
    ] = None,
    images: ImagesOption = None,
    coco: CocoOption = None,
    masks: MasksOption = None,
    codes: CodesOption = Codes.instances,
    roi: RoiOption = None,
    partial: PartialOption = False,
    every: EveryOption = 1,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="NAME|FILE", help="default; with --from reviews, the run's own."),
    ] = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    to: Annotated[Path, typer.Option(metavar="FILE", help="The calibration.")] = Path("calibration.json"),
    figures: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures.")] = None,
) -> None:
    """Fit the probability that the teacher's masks are right; each labeled set, or video, is left out once
    to see how right that is."""
    from configs.load import change_config, load_config
    from flows.home import existing_context
    from tasks.browse import write_file
    from tasks.calibrate import calibrate_on_reviews, calibrate_on_sets, config_of_run

    for path in filter(None, (to, figures)):
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: name a file in a folder that is there")
    changes = [*(changes or []), "trust.calibration=null"]
    if origin:
        if sets or images or coco or masks:
            raise ConfigError("--from reviews brings its own images: leave SETS.yaml and --images away")
        context = existing_context(home)
        if config:
            run_config = load_config(config, changes)
        else:
            run_config = change_config(config_of_run(context, run), changes, "of the run")
        fit = calibrate_on_reviews(context, run, run_config)
    else:
        run_config = load_config(config or "default", changes)
        one = {"images": images, "coco": coco, "masks": masks, "codes": codes.value, "roi": roi}
        fit = calibrate_on_sets(read_sets(sets, {**one, "partial": partial, "every": every}), run_config)
    _print(fit.unseen, fit.accept_risk)
    write_file(to, fit.calibration.model_dump_json(indent=1).encode() + b"\n")
    if figures:
        write_file(figures, json.dumps(fit.figures(), indent=1).encode() + b"\n")
    typer.echo(f"{to}: use it with --set trust.calibration={to}")


def _print(unseen: "dict[str, CrossValidation]", accept_risk: float) -> None:
    for of in ("masks", "frames"):
        judged = ((name, getattr(one, of)) for name, one in unseen.items())
        print_table(
            (f"{of}, not seen", "judged", "good", "AUROC", "calibration error"),
            ((name, *map(format_cell, (one.count, one.good, one.auroc, one.error))) for name, one in judged),
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
