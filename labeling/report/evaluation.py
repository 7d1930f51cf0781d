"""The HTML page of an evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labeling.evaluation.detection_metrics import MATCH_IOU, MISSED_BELOW
from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.summary import BAD_BELOW, GOOD_FROM, POOLED, SetSummary
from labeling.report.charts import Dot, line_chart, scatter_chart
from labeling.report.page import render_page
from labeling.text.figures import count, count_of, percent


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """The content of the page."""

    run_id: str
    config_name: str
    hard_below: float
    sets: Mapping[str, SetSummary]
    """Metrics by set name, and `POOLED`."""
    frames: Sequence[EvaluatedFrame]
    false_accepts: Iterable[tuple[EvaluatedFrame, bytes]]
    """Frames and JPEGs of ground truth beside the teacher's masks."""
    missed_failures: Iterable[tuple[EvaluatedFrame, bytes]]
    """Frames and JPEGs of ground truth beside the student's masks."""


def render_evaluation(data: EvaluationPage) -> str:
    """Render the page; the same data gives the same text. All values are escaped."""
    judged = [frame for frame in data.frames if frame.teacher_iou is not None]
    teacher, student = (
        scatter_chart(
            [
                Dot(
                    x=frame.agreement or 0,
                    y=getattr(frame, f"{role}_iou") or 0,
                    css_class=frame.decision,
                    title=f"{frame.dataset}: {frame.name}",
                )
                for frame in judged
            ],
            split_x=data.hard_below,
            split_y=split_y,
            what=f"agreement and the {role}'s IoU with ground truth",
        )
        for role, split_y in (("teacher", GOOD_FROM), ("student", BAD_BELOW))
    )
    trusting = data.sets[POOLED].trusting
    return render_page(
        "evaluation.html.j2",
        data=data,
        calibration_chart=line_chart(
            [(point.predicted, point.observed) for point in trusting.curve],
            diagonal=True,
            what="predicted probability and observed share of good masks",
        ),
        risk_chart=line_chart(
            [(point.coverage, point.risk) for point in trusting.risk_coverage],
            what="share of frames accepted and share of bad masks among them",
        ),
        sentence=_summarize(data),
        knows_masks=_knows_masks(data.sets[POOLED]),
        teacher_chart=teacher,
        student_chart=student,
        good_from=GOOD_FROM,
        bad_below=BAD_BELOW,
        match_iou=MATCH_IOU,
        missed_below=MISSED_BELOW,
        figure=_figure,
        number=lambda value: "-" if value is None else count(value),
        share=lambda value: "-" if value is None else percent(value, 1),
        times=lambda value: "-" if value is None else f"{value:.2f} x",
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _knows_masks(pooled: SetSummary) -> bool:
    """Return whether some compared frames have masks as ground truth."""
    return not pooled.without_masks or pooled.without_masks < pooled.frames - pooled.rejected


def _summarize(data: EvaluationPage) -> str:
    pooled = data.sets[POOLED]
    accepting = pooled.accepting
    if not _knows_masks(pooled):
        return f"{count_of(pooled.frames, 'labeled image')} with boxes only."
    frames, hard = count_of(pooled.frames, "labeled image"), count_of(accepting.hard, "hard frame")
    if accepting.good_among_hard is None:
        return f"{frames}, none of them hard."
    good = percent(accepting.good_among_hard, 1)
    begin = f"{frames}, {hard}. The teacher's mask is good in {good} of the hard frames"
    if accepting.precision is None:
        return f"{begin}; none would be accepted without review."
    precision = percent(accepting.precision, 1)
    return f"{begin}, and in {precision} of the {accepting.accepted} that would be accepted without review."
