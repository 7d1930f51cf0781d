"""The final state of a run in Prefect, which tells a run that did nothing or only a part from a success."""

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from configs.errors import MaskmillError
from db.runs.queries import Failure, RunSummary
from labeling.sources.titles import source_title
from labeling.text.figures import count_of
from labeling.text.titles import printable, shorten_middle
from tasks.run_figures import sentence_of

NOTHING_TO_DO = "NothingToDo"
WITH_FAILURES = "CompletedWithFailures"

MAX_NAMED = 3
"""Failures in a message; the run's artifact has the others."""

_MAX_LENGTH = 200


class NoSourceReadable(MaskmillError):
    """Every source of a run failed, or every shard."""

    code = "nothing_read"

    def __init__(self, message: str, summary: RunSummary) -> None:
        super().__init__(message, summary)  # both, so that it can be pickled
        self.summary = summary

    def __str__(self) -> str:
        return str(self.args[0])


def final_state(summary: RunSummary, *, sources: int) -> State[RunSummary]:
    """Return the state in which a run ends.

    It is completed, with a name of its own after failures or if there was nothing to do; or failed if
    nothing succeeded. The caller of the flow gets its data, the summary, or `NoSourceReadable` is raised.

    Args:
        summary: of this execution.
        sources: number of sources of this execution, for `2 of 5`.
    """
    if summary.nothing_was_read:
        text = failure_text(summary.failures, sources)
        return Failed(message=text, data=NoSourceReadable(text, summary))
    if summary.failures:
        return Completed(name=WITH_FAILURES, message=failure_text(summary.failures, sources), data=summary)
    if summary.shards_worked:
        return Completed(message=sentence_of(summary), data=summary)
    reason = "these sources gave no video"
    if summary.shards_done:
        reason = f"all {count_of(summary.shards_done, 'shard')} of this run were done before"
    return Completed(name=NOTHING_TO_DO, message=f"nothing to do: {reason}", data=summary)


def failure_text(failures: tuple[Failure, ...], sources: int) -> str:
    """Count the failures, and give the reasons of the first ones.

    >>> gone = Failure("a/b.mp4", "not_found", "no file a/b.mp4", retryable=False)
    >>> failure_text((gone,), 5)
    '1 of 5 sources failed: b.mp4: not_found: no file a/b.mp4'
    """
    of_sources = sum(failure.shard_id is None for failure in failures)
    parts = []
    if of_sources:
        parts.append(f"{of_sources} of {count_of(max(sources, of_sources), 'source')}")
    of_frames = sum(bool(failure.frame) for failure in failures)
    if len(failures) > of_sources + of_frames:
        parts.append(count_of(len(failures) - of_sources - of_frames, "shard"))
    if of_frames:
        parts.append(count_of(of_frames, "frame"))
    named = [
        f"{source_title(f.what)}: {f.code}: {shorten_middle(printable(f.message), _MAX_LENGTH)}"
        for f in failures[:MAX_NAMED]
    ]
    if len(failures) > MAX_NAMED:
        named.append(f"and {len(failures) - MAX_NAMED} more")
    return f"{' and '.join(parts)} failed: {'; '.join(named)}"
