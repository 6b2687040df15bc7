"""The rows of a .csv or .tsv file, read in blocks by a strict parser.

Notable:
- Opening runs once through the bytes: it counts the lines and marks one every 64 KiB. Cells are parsed when they are
  asked for, only those of the lines that are needed.
- One line is one row, with as many cells as the first line; quotes hold cells as RFC 4180 says, but no line end.
- Numbers have a decimal point. A cell of the `missing` words is NaN; any other text in a column of numbers is an error.
- The last line must end as the others do: a file that was cut has no such end, and this is all that shows it.
- UTF-8, with or without its mark. All lines end in LF, or all in CR LF.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of
from .arrays import Array, Floats, Group
from .channels import repeated
from .layout import TableLayout
from .reader import OpenFile, file_size

MAX_LINE = 1 << 22
_BLOCK = 1 << 20
_MARK = 1 << 16
_SNIFFED = 100
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_AGAIN = "Copy it again from its source, or export it again"


class CsvRows(Group):
    """The columns of a table of text, by name."""

    separator = ""

    def __init__(self, path: Path, table: TableLayout) -> None:
        super().__init__(path)
        size = file_size(path)
        self.bytes, self.words = OpenFile(path), frozenset(table.missing)
        self.delimiter = table.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            self._index(size)
            self._head(table.header)
        except BaseException:
            self.bytes.close()
            raise

    def names(self) -> Sequence[str]:
        return self.columns

    def get(self, name: str) -> Group | Array:
        return Columns(self, (self.columns.index(name),), name)

    def stack(self, arrays: Sequence[Array]) -> Array:
        picks = tuple(self.columns.index(a.name) for a in arrays)
        return Columns(self, picks, ", ".join(a.name for a in arrays))

    def rows(self, start: int, stop: int) -> Iterator[list[list[str]]]:
        """Yield the cells of rows [start, stop), some rows at a time."""
        first, last = start + self.skipped, stop + self.skipped  # in lines
        at = int(np.searchsorted(self.line, first, side="right")) - 1
        while at < len(self.line) - 1 and self.line[at] < last:
            raw = self.bytes.read_at(int(self.at[at + 1] - self.at[at]), int(self.at[at]))
            base = int(self.line[at])
            lines = self._lines(raw)[max(first - base, 0) : last - base]
            yield self._cells(lines, max(first, base))
            at += 1

    def number_of(self, cell: str, line: int, column: int) -> float:
        """Return the number in a cell; RecordingError where it is none."""
        word = cell.strip()
        if word in self.words:
            return float("nan")
        if _NUMBER.fullmatch(word):
            return float(word)
        name = self.columns[column]
        hint = "decimal point, not a comma" if re.fullmatch(r"[+-]?\d+,\d+", word) else "number"
        given = f"line {line + 1}, column '{name}': {word[:40]!r} is no number"
        allowed = f"a {hint}, or {one_of(sorted(self.words))} where it is unknown"
        raise RecordingError(self.file, given, allowed=allowed, remedy="Correct it, or add it to table.missing")

    def _index(self, size: int) -> None:
        """Mark the line that starts after each 64 KiB, check the ends of the lines."""
        line, at, n_lines, pairs, returns, marked, last = [0], [0], 0, 0, 0, 0, b""
        start_of_line = 0
        for begin in range(0, size, _BLOCK):
            block = self.bytes.read_at(min(_BLOCK, size - begin), begin)
            self._plain(block, begin)
            pairs += (last + block).count(b"\r\n") if last == b"\r" else block.count(b"\r\n")
            returns, last = returns + block.count(b"\r"), block[-1:]
            starts = np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + begin + 1
            longest = np.diff(starts, prepend=start_of_line).max(initial=begin + len(block) - start_of_line)
            start_of_line = int(starts[-1]) if len(starts) else start_of_line
            if longest > MAX_LINE + _BLOCK:
                self._fail(f"a line has more than {MAX_LINE} bytes", remedy="Is it a table of text?")
            while (i := int(np.searchsorted(starts, marked + _MARK))) < len(starts):
                marked = int(starts[i])
                line.append(n_lines + i + 1)
                at.append(marked)
            n_lines += len(starts)
        self._ends(n_lines, pairs, returns, last)
        if at[-1] != size:
            line.append(n_lines)
            at.append(size)
        self.line, self.at, self.n_lines = np.array(line), np.array(at), n_lines

    def _plain(self, block: bytes, begin: int) -> None:
        if begin == 0 and block[:2] in (b"\xff\xfe", b"\xfe\xff"):
            self._fail("it is text in UTF-16", remedy="Save it as UTF-8")
        if found := _CONTROL.search(block):
            what = "NUL" if found[0] == b"\0" else f"the control character {found[0][0]:#04x}"
            self._fail(f"byte {begin + found.start()} is {what}: it is no text, or damaged", remedy=_AGAIN)

    def _ends(self, n_lines: int, pairs: int, returns: int, last: bytes) -> None:
        if returns > pairs:
            if n_lines == 0:
                self._fail("its lines end in CR", allowed="LF or CR LF", remedy="Save it with one of these")
            given = f"a line-ending conversion (LF to CR LF) damaged it: {returns} CR before {n_lines} LF"
            self._fail(given, remedy=_AGAIN)
        if pairs not in (0, n_lines):
            given = f"{pairs} of its {n_lines} lines end in CR LF, the others in LF"
            self._fail(given, allowed="one kind of line end", remedy="It was damaged or edited: export it again")
        if last != b"\n":
            remedy = f"{_AGAIN}; if its last line is whole, put a line end after it"
            self._fail("its last line has no end: it is truncated", remedy=remedy)

    def _head(self, header: bool) -> None:
        first = self.bytes.read_at(int(self.at[1]), 0)
        if first.startswith(_BOM):
            first = first[len(_BOM) :]
        cells = self._split(self._lines(first)[:1], 0)[0]
        self.skipped = int(header)
        self.columns = [c.strip() or f"c{i + 1}" for i, c in enumerate(cells)]
        if header and all(_NUMBER.fullmatch(c) for c in cells):
            given = "its first line holds numbers, not names of columns"
            self._fail(given, remedy="Say so in the layout: table: {header: false}")
        if not header:
            self.columns = [f"c{i + 1}" for i in range(len(cells))]
        if twice := repeated(self.columns):
            self._fail(f"several columns are named {one_of(twice)}", remedy="Rename them")
        self.n_rows = self.n_lines - self.skipped
        sniffed = [row for rows in self.rows(0, min(self.n_rows, _SNIFFED)) for row in rows]
        self.is_number = [self._numeric([row[i].strip() for row in sniffed]) for i in range(len(cells))]

    def _numeric(self, cells: list[str]) -> bool:
        """Return whether the first cell that is not missing is a number: then all must be."""
        first = next((c for c in cells if c not in self.words), "0")
        return _NUMBER.fullmatch(first) is not None

    def _lines(self, raw: bytes) -> list[str]:
        try:
            return raw.decode("utf-8").replace("\r\n", "\n").split("\n")[:-1]
        except UnicodeDecodeError:
            self._fail("it is not text in UTF-8", remedy="Save it as UTF-8")

    def _cells(self, lines: list[str], first: int) -> list[list[str]]:
        if first == 0 and lines and lines[0].startswith("\ufeff"):
            lines[0] = lines[0][1:]
        rows = self._split(lines, first)
        n = len(self.columns)
        for i, row in enumerate(rows):
            if len(row) != n:
                given = f"line {first + i + 1} has {len(row)} cells, the first line has {n}"
                self._fail(given, allowed="as many cells in each line", remedy=_AGAIN)
        return rows

    def _split(self, lines: list[str], first: int) -> list[list[str]]:
        if not any('"' in line for line in lines):
            return [line.split(self.delimiter) for line in lines]
        rows = []
        for i, line in enumerate(lines):
            try:
                rows += list(csv.reader([line], delimiter=self.delimiter, strict=True)) or [[""]]
            except csv.Error as error:
                self._fail(f"line {first + i + 1}: its quotes do not match ({error})", remedy=_AGAIN)
        return rows

    def _fail(self, given: str, *, allowed: str = "", remedy: str) -> NoReturn:
        raise RecordingError(self.file, given, allowed=allowed, remedy=remedy)


class Columns(Array):
    """Some columns of a table, read in one pass."""

    columns = True

    def __init__(self, table: CsvRows, picks: tuple[int, ...], name: str) -> None:
        numbers = all(table.is_number[i] for i in picks)
        shape = (table.n_rows,) if len(picks) == 1 else (table.n_rows, len(picks))
        super().__init__(name, shape, "number" if numbers else "text")
        self.table, self.picks = table, picks

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        out = np.empty((stop - start, len(self.picks)))
        at = 0
        for rows in self.table.rows(start, stop):
            line = start + at + self.table.skipped
            for k, column in enumerate(self.picks):
                out[at : at + len(rows), k] = self._parse([row[column] for row in rows], line, column)
            at += len(rows)
        return out

    def _parse(self, cells: list[str], line: int, column: int) -> Floats:
        text = "".join(cells)
        if text.isascii() and "_" not in text:  # Python's numbers are then ours, but for the words of infinity
            try:
                return np.array(list(map(float, cells)))
            except ValueError:
                pass
        return np.array([self.table.number_of(c, line + i, column) for i, c in enumerate(cells)])

    def words(self) -> list[str]:
        (column,) = self.picks
        return [row[column].strip() for rows in self.table.rows(0, self.table.n_rows) for row in rows]
