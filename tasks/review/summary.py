"""The results of reviews as table rows, for the CLI, the HTML report and Prefect's artifact."""

from collections.abc import Iterator

from db.review.annotators import AnnotatorScore
from db.review.audit import AuditSummary
from db.review.summary import PropagationCounts, ReviewSummary
from labeling.text.figures import count, count_of, duration, percent


def review_rows(summary: ReviewSummary) -> Iterator[tuple[str, str]]:
    """Yield the rows (what, value) that apply."""
    masks, scores = summary.masks, summary.scores
    for state, frames in summary.frames.items():
        yield f"frames {state}", count(frames)
    for verdict, frames in summary.verdicts.items():
        yield f"verdict {verdict}", count(frames)
    if masks.shown or masks.added:
        iou = masks.corrected_iou
        mean = "" if iou is None else f" (mean IoU before and after: {iou:.3f})"
        yield f"masks of {summary.teacher} reviewed", count(masks.shown)
        yield "unchanged", f"{count(masks.untouched)} ({percent(masks.untouched, masks.shown)})"
        yield "corrected", f"{count(masks.corrected)}{mean}"
        if masks.other_category:
            yield "given another category", count(masks.other_category)
        yield "removed", count(masks.removed)
        yield "people added", count(masks.added)
    if scores.frames:
        yield "IoU of teacher and consensus", f"{scores.teacher_iou:.3f}"
        yield "IoU of student and consensus", f"{scores.student_iou:.3f}"
        yield "IoU of student and teacher, same frames", f"{scores.student_iou_before:.3f}"
        for role, causes in (("teacher", scores.teacher_causes), ("student", scores.student_causes)):
            for cause, number in causes.items():
                yield f"errors of the {role}: {cause}", count(number)
    if summary.seconds_per_mask is not None:
        yield "annotation time", duration(summary.seconds)
        yield "annotation time per mask", duration(summary.seconds_per_mask)
    yield from _propagation_rows(summary.propagation)
    if summary.audit:
        yield "audit of accepted persons", audit_sentence(summary.audit)
    for score in summary.annotators:
        yield f"tasks with a known answer, {score.annotator}", annotator_sentence(score)


def audit_sentence(audit: AuditSummary) -> str:
    """Return what the audit found, such as `1 of 20 bad: 5 % (95 % confidence: 0.1 % to 24.9 %)`."""
    if audit.error is None or audit.between is None:
        return f"0 of {count(audit.persons)} judged so far"
    low, high = audit.between
    waiting = f"; {count(audit.persons - audit.judged)} not judged" if audit.persons > audit.judged else ""
    return (
        f"{count(audit.bad)} of {count(audit.judged)} bad: {100 * audit.error:.1f} % "
        f"(95 % confidence: {100 * low:.1f} % to {100 * high:.1f} %){waiting}"
    )


def annotator_sentence(score: AnnotatorScore) -> str:
    """Return how well an annotator answers, such as `19 of 20 people right: 95.0 % (95 % confidence: ...) in 8 tasks`."""
    tasks = f" in {count_of(score.tasks, 'task')}"
    if score.share_right is None or score.between is None:
        return f"no people{tasks}"
    low, high = score.between
    faults = (("missed", score.missed), ("added where there is no person", score.added))
    told = "".join(f"; {count(number)} {what}" for what, number in faults if number)
    iou = "" if score.mean_iou is None else f"; mean IoU {score.mean_iou:.3f}"
    return (
        f"{count(score.right)} of {count(score.judged)} people right: {100 * score.share_right:.1f} % "
        f"(95 % confidence: {100 * low:.1f} % to {100 * high:.1f} %){tasks}{told}{iou}"
    )


def _propagation_rows(counts: PropagationCounts) -> Iterator[tuple[str, str]]:
    """Yield what carrying masks to other frames saves, if any was used."""
    if not counts.frames and not counts.confirmed_masks:
        return
    yield "frames reviewed with carried masks", count(counts.frames)
    yield "masks that need no review", count(counts.confirmed_masks)
    for what, seconds in (
        ("teacher's masks shown", counts.seconds_per_mask_before),
        ("carried masks shown", counts.seconds_per_mask_carried),
        ("all work and all accepted masks", counts.seconds_per_mask_after),
    ):
        if seconds is not None:
            yield f"seconds per accepted mask, {what}", duration(seconds)
