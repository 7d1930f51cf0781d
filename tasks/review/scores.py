"""Every run beside the truth: computed once for each truth, and again when it changes."""

from itertools import groupby
from operator import itemgetter

from db.models.core import RunRow
from db.review.scores import drop_stale_scores, score_frames, unscored
from db.sql.paging import pages
from labeling.storage.home import Home
from tasks.execution.database import database_of

GROUP = 50
"""Frames per transaction."""


def score_models(home: Home) -> int:
    """Compare every run with the truths that it has no score by; returns how many frames of runs."""
    database = database_of(home)
    with database.transaction() as session:
        drop_stale_scores(session)
    with database.session() as session:
        todo = unscored(session)
    for run_id, pairs in groupby(todo, key=itemgetter(0)):
        for page in pages([frame_id for _, frame_id in pairs], GROUP):
            with database.transaction() as session:
                score_frames(session, session.get_one(RunRow, run_id), page)
    return len(todo)
