"""What a run found, printed."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from flows.cli.console import print_failures, print_json, print_passed_over, print_table

if TYPE_CHECKING:
    from db.runs.queries import RunSummary

WORTH_SAYING = 0.1
"""Smallest share of near-identical frames that is reported."""


def print_near_identical(home: Path, summary: "RunSummary") -> None:
    """Say how many of a run's hard frames repeat the one before, and what thins them out; nothing for few of them."""
    from db.frames.near_identical import count_near_identical
    from flows.home import existing_context

    hard = summary.counts.get("hard", 0)
    if not hard:
        return
    with existing_context(home).database.session() as session:
        count = count_near_identical(session, summary.run_id)
    if count >= WORTH_SAYING * hard:
        typer.echo(
            f"\n{count} of {hard} hard frames show people where the hard frame before shows them: reviews skip such frames; "
            "to leave them out of the dataset too, sample less (--set sampling.every_s=2) or drop near-duplicates "
            "(--set sampling.max_hash_distance=4)"
        )


def print_nothing_read(summary: "RunSummary") -> None:
    """Print why nothing was read, and not what the same run found in earlier sources."""
    typer.echo(f"nothing was read: no frame was added to run {summary.run_id} ({summary.name})")
    if summary.counts.get("sampled"):
        typer.echo("what it found earlier is as it was: see it with `maskmill status`")
    if summary.passed_over:
        typer.echo("")
    print_passed_over(summary.passed_over)
    typer.echo("")
    print_failures(summary.failures)


def print_latest(summary: "RunSummary", before: str | None) -> None:
    """Say that an earlier run is the latest again; `before` was it until now."""
    if summary.counts and before not in (None, summary.run_id):
        typer.echo(f"\ncommands without --run mean run {summary.run_id} again, no longer {before}")


def print_summary(summary: "RunSummary", *, as_json: bool, settings: str = "") -> None:
    """Print what a run found; for people, its settings too."""
    if as_json:
        print_json(summary)
        return
    from labeling.text.figures import count_of
    from tasks.run_figures import sentence_of

    typer.echo(f"run {summary.run_id} ({summary.name})" + (f": {settings}" if settings else ""))
    if summary.counts:
        typer.echo(sentence_of(summary) + "\n")
        print_table(("frames", ""), summary.counts.items())
        typer.echo("")
        print_table(("stage", "seconds"), ((name, f"{s:.1f}") for name, s in summary.seconds.items()))
    else:
        typer.echo(sentence_of(summary))
    if summary.shards_pending:
        left = f"{count_of(summary.shards_pending, 'part')} of the videos left"
        typer.echo(
            f"\nrunning, or stopped less than a minute ago: {left}"
            if summary.shards_leased
            else f"\nnot finished ({left}): run the same command again"
        )
    if summary.passed_over:
        typer.echo("")
    print_passed_over(summary.passed_over)
    if summary.failures:
        typer.echo("")
    print_failures(summary.failures)
