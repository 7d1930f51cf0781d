"""`maskmill decide`: another threshold without another inference."""

import typer

from flows.cli.console import DEFAULT_HOME, HomeOption, JsonOption, RunOption, SetOption, print_json


def decide(
    run: RunOption = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Decide about a run's frames again with other settings, as a new run. Kept predictions are not made again."""
    from flows.cli.next_steps import next_after_run, print_next
    from flows.cli.summary import print_near_identical, print_summary
    from flows.home import existing_context
    from tasks.decide import decide_again

    def show(done: int, total: int) -> None:
        if not as_json:
            typer.echo(f"{done} of {total} parts decided", err=True)

    decided = decide_again(existing_context(home), run, changes or [], show)
    if as_json:
        print_json(decided)
        return
    print_summary(decided.summary, as_json=False)
    typer.echo(f"\npredictions: {decided.known} kept from earlier runs, {decided.computed} made now")
    print_near_identical(home, decided.summary)
    print_next(*next_after_run(decided.summary.counts, home))
