"""Tables of figures, for the terminal and the HTML page."""

from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class FigureTable:
    """Figures of each video and, except for counts, `all`: their mean over the videos."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """Name and values."""
    note: str
