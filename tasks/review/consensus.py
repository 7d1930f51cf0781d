"""Updates the consensus about frames after their annotations, or the rule, have changed."""

from collections.abc import Collection, Sequence

from sqlalchemy.orm import Session

from configs.models import Review
from db.review.annotations import current_annotations, store_consensus
from db.review.truth import find_truths
from labeling.review.consensus import Consensus, choose_annotation
from labeling.review.records import ReviewedFrame


def update_consensus(session: Session, frame_ids: Sequence[int], settings: Review) -> None:
    """Choose the consensus of frames among their current annotations, and set their review states.

    A truth that is known is the consensus: annotators' answers beside it only change the state.
    """
    annotations = current_annotations(session, frame_ids)
    truths = find_truths(session, frame_ids)
    rows, states = [], {}
    for frame_id in frame_ids:
        of_frame = annotations.get(frame_id, {})
        truth = truths.get(frame_id)
        counting = of_frame if truth is None else {truth: of_frame[truth]}
        consensus = choose_annotation(list(counting.values()), settings)
        if consensus is not None:
            rows.append(_consensus_row(counting, consensus))
        if truth is None or len(of_frame) > 1:
            answers = [one for key, one in of_frame.items() if key != truth]
            states[frame_id] = _state(answers, consensus)
    store_consensus(session, rows, states)


def _consensus_row(annotations: dict[int, ReviewedFrame], consensus: Consensus) -> dict[str, object]:
    chosen = consensus.frame
    return {
        "frame_id": chosen.frame_id,
        "annotation_id": next(key for key, annotation in annotations.items() if annotation is chosen),
        "verdict": chosen.verdict,
        "rule": consensus.rule,
        "annotators": list(consensus.annotators),
        "agreement": consensus.agreement,
    }


def _state(annotations: Collection[ReviewedFrame], consensus: Consensus | None) -> str:
    if consensus is not None:
        return "reviewed"
    if not annotations:
        return "open"
    return "skipped" if all(one.verdict == "skipped" for one in annotations) else "unresolved"
