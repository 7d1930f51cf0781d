"""What a run's end is called in Prefect: success is not said of a run that did nothing, nor half of it."""

from typing import Self

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from configs.errors import MaskmillError
from db.runs.queries import Failure, RunSummary
from labeling.sources.titles import source_title
from labeling.text.figures import count_of
from labeling.text.titles import printable, shorten_middle

NOTHING_TO_DO = "NothingToDo"
WITH_FAILURES = "CompletedWithFailures"

MOST_NAMED = 3
"""Failures in a message: the rest are in the run's artifact."""

_LONGEST = 200


class NoSourceReadable(MaskmillError):
    """Every source of a run failed, or every shard."""

    code = "nothing_read"

    def __init__(self, message: str, summary: RunSummary) -> None:
        super().__init__(message)
        self.summary = summary

    def __reduce__(self) -> tuple[type[Self], tuple[str, RunSummary]]:
        return type(self), (str(self), self.summary)


def final_state(summary: RunSummary, sentence: str, *, sources: int) -> State[RunSummary]:
    """The state in which a run ends: completed, with a name of its own where not all went well, or failed where
    nothing did.

    Whoever calls the flow gets its data, the summary, or has `NoSourceReadable` raised.

    Args:
        summary: of this time.
        sentence: the summary in words.
        sources: that were asked for this time, for `2 of 5`.
    """
    if summary.nothing_was_read:
        words = failure_words(summary.failures, sources)
        return Failed(message=words, data=NoSourceReadable(words, summary))
    if summary.failures:
        return Completed(name=WITH_FAILURES, message=failure_words(summary.failures, sources), data=summary)
    if not summary.shards_worked:
        return Completed(name=NOTHING_TO_DO, message=_nothing(summary), data=summary)
    return Completed(message=sentence, data=summary)


def _nothing(summary: RunSummary) -> str:
    if not summary.shards_done:
        return "nothing to do: these sources gave no video"
    return f"nothing to do: all {count_of(summary.shards_done, 'shard')} of this run were done before"


def failure_words(failures: tuple[Failure, ...], sources: int) -> str:
    """How much failed, and the first failures with their reasons.

    >>> gone = Failure("a/b.mp4", "not_found", "no file a/b.mp4", retryable=False)
    >>> failure_words((gone,), 5)
    '1 of 5 sources failed: b.mp4: not_found: no file a/b.mp4'
    """
    of_sources = sum(failure.shard_id is None for failure in failures)
    parts = []
    if of_sources:
        parts.append(f"{of_sources} of {count_of(max(sources, of_sources), 'source')}")
    if len(failures) > of_sources:
        parts.append(count_of(len(failures) - of_sources, "shard"))
    named = [_named(failure) for failure in failures[:MOST_NAMED]]
    if len(failures) > MOST_NAMED:
        named.append(f"and {len(failures) - MOST_NAMED} more")
    return f"{' and '.join(parts)} failed: {'; '.join(named)}"


def _named(failure: Failure) -> str:
    message = shorten_middle(printable(failure.message), _LONGEST)
    return f"{source_title(failure.what)}: {failure.code}: {message}"
