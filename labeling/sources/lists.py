"""Lists of sources: a text file with one source per line, or a CSV table with a header."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from configs.errors import NotAVideo, SourceNotFound, UnsupportedVideo

SPEC_COLUMNS = ("url", "path", "source")
LICENSE_COLUMNS = ("license", "licence")
_DELIMITERS = ",;\t"
_COMMENT = "#"


@dataclass(frozen=True, slots=True)
class ListRow:
    """One source of a list, as written there."""

    spec: str
    line: int
    title: str | None = None
    uploader: str | None = None
    license: str | None = None


def read_list(path: Path) -> Iterator[ListRow]:
    """Yield the sources of a list in order. Empty lines and lines that start with `#` are skipped.

    Raises SourceNotFound for an empty list, UnsupportedVideo for a table without a column of sources, and NotAVideo
    for content that is not UTF-8 text.
    """
    read_rows = _read_table if path.suffix.lower() == ".csv" else _read_lines
    is_empty = True
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in read_rows(file, path):
                is_empty = False
                yield row
    except (UnicodeDecodeError, csv.Error) as exc:
        raise NotAVideo(f"{path}: not a list ({exc}); save it as text in UTF-8") from exc
    if is_empty:
        raise SourceNotFound(f"{path}: the list is empty; write a path or a URL on each line")


def _read_lines(file: TextIO, path: Path) -> Iterator[ListRow]:
    for number, line in enumerate(file, start=1):
        spec = line.strip()
        if spec and not spec.startswith(_COMMENT):
            yield ListRow(spec, number)


def _read_table(file: TextIO, path: Path) -> Iterator[ListRow]:
    header_line = file.readline()
    delimiter = max(_DELIMITERS, key=header_line.count)
    header = [name.strip().lower() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
    column = next((name for name in SPEC_COLUMNS if name in header), None)
    if column is None:
        raise UnsupportedVideo(
            f"{path}: the table has the columns {', '.join(header)}; name one of them {', '.join(SPEC_COLUMNS)}"
        )
    table = csv.reader(file, delimiter=delimiter)
    for cells in table:
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
        if row.get(column, _COMMENT).startswith(_COMMENT):
            continue
        license = next((row[name] for name in LICENSE_COLUMNS if name in row), None)
        yield ListRow(row[column], table.line_num + 1, row.get("title"), row.get("uploader"), license)
