"""What a run found, printed."""

from typing import TYPE_CHECKING

import typer

from flows.cli.console import print_failures, print_json, print_passed_over, print_table

if TYPE_CHECKING:
    from db.runs.queries import RunSummary


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
            f"\nrunning: {left}"
            if summary.shards_leased
            else f"\nnot finished ({left}): run the same command again"
        )
    if summary.passed_over:
        typer.echo("")
    print_passed_over(summary.passed_over)
    if summary.failures:
        typer.echo("")
    print_failures(summary.failures)
