"""Tables of mattes and background plates, for the terminal and the page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from labeling.evaluation.matte_summary import MatteSummary
from labeling.evaluation.plate_metrics import ERROR_LEVELS, PlateMetrics
from labeling.evaluation.summary import POOLED
from labeling.report.tables import Cell, FigureTable
from labeling.text.figures import thousandfold

_MEAN = "The last row is the mean over the videos."


@dataclass(frozen=True, slots=True)
class MatteTile:
    """One frame of a matte beside its ground truth."""

    jpeg: bytes
    title: str
    video: str
    iou: float | None
    mad: float | None
    """None without exact alpha."""


def matte_tables(
    mattes: Mapping[str, MatteSummary], plates: Mapping[str, PlateMetrics]
) -> Iterator[FigureTable]:
    """Yield the tables that are not empty."""
    tables = (_matched(mattes), _masks(mattes), _exact(mattes), _plates(plates))
    yield from (table for table in tables if table.rows)


def _matched(mattes: Mapping[str, MatteSummary]) -> FigureTable:
    return FigureTable(
        title="matte, frames",
        columns=("compared", "missing", "offset"),
        rows=tuple(
            (name, (one.frames, one.missing, _offset(one))) for name, one in mattes.items() if name != POOLED
        ),
        note="Missing: frames of the ground truth that the matte lacks. Offset: number of a frame in the ground truth "
        "minus its number in the matte.",
    )


def _offset(one: MatteSummary) -> Cell:
    return f"{one.offset} (inferred)" if one.is_offset_inferred else one.offset


def _masks(mattes: Mapping[str, MatteSummary]) -> FigureTable:
    rows = [(name, one.masks) for name, one in mattes.items()]
    return FigureTable(
        title="masks, alpha > 0.5",
        columns=("precision", "recall", "F", "best F", "above", "IoU", "boundary IoU"),
        rows=tuple(
            (
                name,
                (
                    *(one.precision, one.recall, one.f, one.best_f, one.best_threshold),
                    *(one.iou, one.boundary_iou),
                ),
            )
            for name, one in rows
        ),
        note="Precision, recall and F count the pixels of all frames of a video; IoU is a mean over frames. Best F: of "
        f"19 thresholds. {_MEAN}",
    )


def _exact(mattes: Mapping[str, MatteSummary]) -> FigureTable:
    rows = [(name, one.alpha) for name, one in mattes.items() if one.alpha]
    return FigureTable(
        title="alpha",
        columns=("MAD x1e3", "MSE x1e3", "SAD", "Grad", "Conn", "dtSSD x1e3", "MESSDdt x1e3", "SSDA"),
        rows=tuple(
            (
                name,
                (
                    *(thousandfold(one.mad), thousandfold(one.mse), one.sad, one.grad, one.conn),
                    *(thousandfold(one.dtssd), thousandfold(one.messddt), one.ssda),
                ),
            )
            for name, one in rows
        ),
        note=f"SAD, Grad and Conn are sums over pixels divided by 1000; dtSSD and MESSDdt are means over pixels. {_MEAN}",
    )


def _plates(plates: Mapping[str, PlateMetrics]) -> FigureTable:
    return FigureTable(
        title="plate",
        columns=("AGE", "pEPs", "pCEPs", "PSNR dB", "MS-SSIM", "CQM dB"),
        rows=tuple(
            (name, (one.age, one.peps, one.pceps, one.psnr_db, one.ms_ssim, one.cqm_db))
            for name, one in plates.items()
        ),
        note=f"AGE: mean difference in gray levels. pEPs: share of pixels that differ by more than {ERROR_LEVELS} "
        f"levels; pCEPs: of these, those whose four neighbors do too. {_MEAN}",
    )
