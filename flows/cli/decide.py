"""`maskmill decide`: another threshold without another inference."""

from typing import TYPE_CHECKING

import typer

from flows.cli.console import DEFAULT_HOME, HomeOption, JsonOption, RunOption, SetOption, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.decide import DecisionPlan


def decide(
    run: RunOption = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Decide about a run's frames again with other settings, as a new run.

    Kept predictions are not made again, unless you change the settings of the model that made them.
    """
    from flows.cli.next_steps import next_after_run, print_next
    from flows.cli.progress import watch_progress
    from flows.cli.summary import print_near_identical, print_summary
    from flows.cli.working import working
    from flows.home import existing_context
    from tasks.decide import decide_again, plan_decision

    context = existing_context(home)
    plan = plan_decision(context, run, changes or [])
    if not as_json:
        typer.echo(_describe(plan, changes or []), err=True)
    with (
        working("deciding", enabled=not as_json) as update,
        watch_progress(home, plan.config.run_id(), update),
    ):
        decided = decide_again(context, plan)
    if as_json:
        print_json(decided)
        return
    print_summary(decided.summary, as_json=False)
    typer.echo(f"\npredictions: {decided.known} kept from earlier runs, {decided.computed} made now")
    print_near_identical(home, decided.summary)
    print_next(*next_after_run(decided.summary.counts, home))


def _describe(plan: "DecisionPlan", changes: "Sequence[str]") -> str:
    """Return what is decided again, from which settings on, and what that costs."""
    from labeling.text.figures import count_of, duration

    inherited = f" with its {', '.join(plan.old_changes)}" if plan.old_changes else ""
    text = f"from run {plan.old.id} ({plan.old.name}){inherited}, changed: {', '.join(changes)}"
    if plan.changed_models:
        models = " and ".join(plan.changed_models)
        text += (
            f"\nother settings of the {models}: {count_of(plan.frames, 'frame')} must be looked at again unless an earlier "
            f"run did so; that took {duration(round(plan.seconds))} then"
        )
    return text
