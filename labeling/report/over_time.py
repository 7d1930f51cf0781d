"""Tables of the errors of masks over time, for the terminal and the page."""

from collections.abc import Iterator, Mapping

from labeling.evaluation.summary import SetSummary
from labeling.report.tables import FigureTable
from labeling.text.figures import thousandfold

_NOTE = (
    "Masks of all people together, in consecutive labeled frames of a video. SSDA sums over pixels and grows with the "
    "image; dtSSD and MESSDdt are means over pixels (Erofeev et al. 2015). A set without such frames is left out."
)


def over_time_tables(sets: Mapping[str, SetSummary]) -> Iterator[FigureTable]:
    """Yield the tables of teacher and student; none if no set has consecutive frames."""
    for role in ("teacher", "student"):
        found = {name: getattr(one, f"{role}_over_time") for name, one in sets.items()}
        rows = tuple(
            (name, (one.pairs, one.ssda, thousandfold(one.dtssd), thousandfold(one.messddt)))
            for name, one in found.items()
            if one
        )
        if rows:
            yield FigureTable(
                title=f"{role}, over time",
                columns=("pairs", "SSDA", "dtSSD x1e3", "MESSDdt x1e3"),
                rows=rows,
                note=_NOTE,
            )
