"""Lists of sources: a text file with one source per line, or a CSV table with a header."""

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from configs.errors import NotAVideo, SourceNotFound, UnsupportedVideo
from labeling.sources.passed_over import PassedOverCounter

SPEC_COLUMNS = ("url", "path", "source")
TABLE_SUFFIXES = (".csv", ".tsv")
PLAYLIST_SUFFIXES = (".m3u", ".m3u8")
LICENSE_COLUMNS = ("license", "licence")
_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""Excel's first line, which names the delimiter."""
NO_SPEC = f"rows without a value in {', '.join(SPEC_COLUMNS)}"
_COMMENT = "#"
_HLS = "#EXT-X-"
"""Begins the lines of a playlist whose entries are pieces of one stream."""
_SHOWN = 60
"""Characters of a wrong line that a message shows."""
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or another ZIP file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
}
"""What files that begin so are, whatever their names say."""
_QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class ListRow:
    """One source of a list, as written there."""

    spec: str
    line: int
    title: str | None = None
    uploader: str | None = None
    license: str | None = None


def read_list(path: Path, passed_over: PassedOverCounter | None = None) -> Iterator[ListRow]:
    """Yield the sources of a list in order. Empty lines and lines that start with `#` are skipped, as in a player's playlist.

    A row of a table names its source in the first of `SPEC_COLUMNS` that it fills; rows without any are counted.

    Raises SourceNotFound for an empty list, UnsupportedVideo for a table without a column of sources and for the
    playlist of a stream, and NotAVideo for content that is neither UTF-8 nor, as Excel's "Unicode text" is, UTF-16
    with its mark.
    """
    _refuse_other_files(path)
    is_table = path.suffix.lower() in TABLE_SUFFIXES
    counter = passed_over or PassedOverCounter()
    is_empty = True
    try:
        with path.open(encoding=_encoding_of(path), newline="") as file:
            for row in _read_table(file, path, counter) if is_table else _read_lines(file, path):
                is_empty = False
                yield row
    except (UnicodeError, csv.Error) as exc:
        raise NotAVideo(f"{path}: not a list ({exc}); save it as text in UTF-8") from exc
    if is_empty:
        raise SourceNotFound(f"{path}: the list is empty; write a path or a URL on each line")


def _refuse_other_files(path: Path) -> None:
    with path.open("rb") as file:
        begin = file.read(max(map(len, _OTHER_FILES)))
    for magic, kind in _OTHER_FILES.items():
        if begin.startswith(magic):
            raise NotAVideo(f"{path}: {kind}, whatever its name says: save the list as text or CSV")


def _encoding_of(path: Path) -> str:
    with path.open("rb") as file:
        starts_as_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return "utf-16" if starts_as_utf16 else "utf-8-sig"


def _read_lines(file: TextIO, path: Path) -> Iterator[ListRow]:
    is_playlist = path.suffix.lower() in PLAYLIST_SUFFIXES
    for number, line in enumerate(file, start=1):
        spec = line.strip()
        if is_playlist and spec.startswith(_HLS):
            raise UnsupportedVideo(
                f"{path}: the playlist of one stream (HLS), not a list of videos: name its URL, or join its pieces, "
                "for example with ffmpeg -c copy"
            )
        if spec and not spec.startswith(_COMMENT):
            is_quoted = len(spec) > 1 and spec[0] == spec[-1] and spec[0] in _QUOTES
            yield ListRow(spec[1:-1] if is_quoted else spec, number)


def _read_table(file: TextIO, path: Path, passed_over: PassedOverCounter) -> Iterator[ListRow]:
    header_line, first_line = _first_filled(file, 0)
    named = _SEPARATOR_LINE.fullmatch(header_line)
    if named:
        header_line, first_line = _first_filled(file, first_line)
    delimiter = named[1] if named else max(_DELIMITERS, key=header_line.count)
    header = [name.strip().lower() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
    columns = [name for name in SPEC_COLUMNS if name in header]
    if not header_line:
        return
    if not columns:
        raise UnsupportedVideo(
            f"{path}: line {first_line} should name the columns, separated by a comma, semicolon, tab or |, and is "
            f"{header_line.strip()[:_SHOWN]!r}; name one of them {', '.join(SPEC_COLUMNS)}"
        )
    table = csv.reader(file, delimiter=delimiter)
    for cells in table:
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
        spec, line = next((row[name] for name in columns if name in row), ""), table.line_num + first_line
        if not spec and row and not next(iter(row.values())).startswith(_COMMENT):
            passed_over.add(str(path), NO_SPEC, f"line {line}")
        if not spec or spec.startswith(_COMMENT):
            continue
        license = next((row[name] for name in LICENSE_COLUMNS if name in row), None)
        yield ListRow(spec, line, row.get("title"), row.get("uploader"), license)


def _first_filled(file: TextIO, line: int) -> tuple[str, int]:
    """Return the next line that is not empty, and its number; `line` are read."""
    for number, text in enumerate(iter(file.readline, ""), start=line + 1):
        if text.strip():
            return text, number
    return "", line
