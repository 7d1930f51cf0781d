"""Score every run against the consensus of annotators."""

from itertools import groupby
from operator import itemgetter

from db.models.core import RunRow
from db.review.scores import drop_stale_scores, score_frames, unscored
from db.sql.paging import pages
from tasks.execution.context import Context

GROUP = 50
"""Frames per transaction."""


def score_models(context: Context) -> int:
    """Score all runs where a consensus is new or has changed; return how many frames of runs were scored."""
    database = context.database
    with database.transaction() as session:
        drop_stale_scores(session)
    with database.session() as session:
        pending = unscored(session)
    for run_id, pairs in groupby(pending, key=itemgetter(0)):
        for page in pages([frame_id for _, frame_id in pairs], GROUP):
            with database.transaction() as session:
                score_frames(session, session.get_one(RunRow, run_id), page)
    return len(pending)
