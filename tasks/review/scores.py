"""Scores of every run against the consensus: computed once per consensus, and again when it changes."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from more_itertools import batched
from sqlalchemy.orm import Session

from configs.categories import stored_categories
from configs.models import Agreement
from db.frames.instances import role_instances, to_instance
from db.models.core import RunRow
from db.review.scores import consensus_instances, delete_stale_scores, store_scores, unscored
from db.runs.queries import run_models
from labeling.comparison.agreement import compare_instances
from labeling.review.records import ReviewedInstance
from labeling.structures.instances import Instance
from tasks.execution.context import Context

GROUP = 50
"""Frames per transaction."""
ROLES = ("teacher", "student")


def score_models(context: Context) -> int:
    """Score all runs where a consensus is new or has changed; return how many frames of runs were scored."""
    database = context.database
    with database.transaction() as session:
        delete_stale_scores(session)
    with database.session() as session:
        todo = unscored(session)
    for run_id, pairs in groupby(todo, key=itemgetter(0)):
        for frame_ids in batched((frame_id for _, frame_id in pairs), GROUP):
            with database.transaction() as session:
                _score_frames(session, session.get_one(RunRow, run_id), frame_ids)
    return len(todo)


def _score_frames(session: Session, run: RunRow, frame_ids: Sequence[int]) -> None:
    """Compare both roles of a run with the consensus about frames, with the settings of the run."""
    settings = Agreement.model_validate(run.config["agreement"])
    models, categories = run_models(session, run), stored_categories(run.config)
    reviewed = [
        (frame, consensus, [_to_instance(one) for one in people if one.mask and one.category in categories])
        for frame, consensus, people in consensus_instances(session, frame_ids)
    ]
    for role in ROLES:
        is_semantic = role in models and models[role].gives_instances is False
        predicted: dict[int, list[Instance]] = {}
        for row, frame in role_instances(session, run.id, frame_ids, role):
            predicted.setdefault(frame.id, []).append(to_instance(row, frame))
        scores = [
            (
                consensus,
                compare_instances(
                    people,
                    predicted.get(frame.id, []),
                    frame.size_hw,
                    settings,
                    student_is_semantic=is_semantic,
                ),
            )
            for frame, consensus, people in reviewed
        ]
        store_scores(session, run.id, role, scores)


def _to_instance(reviewed: ReviewedInstance) -> Instance:
    mask = reviewed.mask
    return Instance(mask, 1.0, mask.box_xywh, category=reviewed.category)
