"""The HTML page of an evaluation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from labeling.evaluation.detection_metrics import MATCH_IOU, MISSED_BELOW
from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.matte_summary import MatteSummary
from labeling.evaluation.plate_metrics import PlateMetrics
from labeling.evaluation.summary import BAD_BELOW, GOOD_FROM, POOLED, SetSummary
from labeling.report.charts import Dot, line_chart, scatter_chart
from labeling.report.mattes import MatteTile, matte_tables
from labeling.report.over_time import over_time_tables
from labeling.report.page import render_page
from labeling.text.figures import count, count_of, percent


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """The content of the page."""

    run_id: str
    config_name: str
    hard_below: float
    sets: Mapping[str, SetSummary]
    """Metrics by set name, and `POOLED`; empty without labeled images."""
    frames: Sequence[EvaluatedFrame]
    false_accepts: Iterable[tuple[EvaluatedFrame, bytes]]
    """Frames and JPEGs of ground truth beside the teacher's masks."""
    missed_failures: Iterable[tuple[EvaluatedFrame, bytes]]
    """Frames and JPEGs of ground truth beside the student's masks."""
    mattes: Mapping[str, MatteSummary]
    """Metrics by name of the video, and `POOLED`."""
    plates: Mapping[str, PlateMetrics]
    worst_mattes: Iterable[MatteTile]
    """Mattes beside ground truth."""


def render_evaluation(data: EvaluationPage) -> str:
    """Render the page; the same data gives the same text. All values are escaped."""
    return render_page(
        "evaluation.html.j2",
        data=data,
        sentence=" ".join(_summarize(data)),
        matte_tables=list(matte_tables(data.mattes, data.plates)),
        figure=_figure,
        number=lambda value: "-" if value is None else count(value),
        share=lambda value: "-" if value is None else percent(value, 1),
        times=lambda value: "-" if value is None else f"{value:.2f} x",
        **(_model_sections(data) if data.sets else {}),
    )


def _model_sections(data: EvaluationPage) -> dict[str, object]:
    """Return what the sections about models and decisions show."""
    trusting = data.sets[POOLED].trusting
    return {
        "calibration_chart": line_chart(
            [(point.predicted, point.observed) for point in trusting.curve],
            diagonal=True,
            what="predicted probability and observed share of good masks",
        ),
        "risk_chart": line_chart(
            [(point.coverage, point.risk) for point in trusting.risk_coverage],
            what="share of frames accepted and share of bad masks among them",
        ),
        "knows_masks": _knows_masks(data.sets[POOLED]),
        "teacher_chart": _model_chart(data, "teacher", GOOD_FROM),
        "student_chart": _model_chart(data, "student", BAD_BELOW),
        "over_time_tables": list(over_time_tables(data.sets)),
        "good_from": GOOD_FROM,
        "bad_below": BAD_BELOW,
        "match_iou": MATCH_IOU,
        "missed_below": MISSED_BELOW,
    }


def _model_chart(data: EvaluationPage, role: str, split_y: float) -> Markup:
    dots = [
        Dot(
            x=frame.agreement or 0,
            y=getattr(frame, f"{role}_iou") or 0,
            css_class=frame.decision,
            title=f"{frame.dataset}: {frame.name}",
        )
        for frame in data.frames
        if frame.teacher_iou is not None
    ]
    what = f"agreement and the {role}'s IoU with ground truth"
    return scatter_chart(dots, split_x=data.hard_below, split_y=split_y, what=what)


def _figure(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _knows_masks(pooled: SetSummary) -> bool:
    """Return whether some compared frames have masks as ground truth."""
    return not pooled.without_masks or pooled.without_masks < pooled.frames - pooled.rejected


def _summarize(data: EvaluationPage) -> Iterator[str]:
    if data.sets:
        yield _summarize_models(data.sets[POOLED])
    videos = ((data.mattes, "matte"), (data.plates, "background plate"))
    counts = [count_of(len(some) - 1, noun) for some, noun in videos if some]  # without their mean
    if counts:
        yield f"{' and '.join(counts)} compared with ground truth."


def _summarize_models(pooled: SetSummary) -> str:
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
