"""The columns of a .parquet file, read lazily by row groups through pyarrow (the extra `tables`).

Source: Apache Parquet format 2, "File format" and the Thrift footer. Before pyarrow reads a row, both marks of the
file, the footer's length, and the places and sizes of all column chunks are held against the file's size. Checksums
of pages are verified where a file has them. The row group that was read last is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, MissingExtraError, RecordingError
from .arrays import Array, Floats, Group
from .hdf5 import MAX_RATIO
from .reader import AGAIN, file_size, newline_damage

MAGIC = b"PAR1"


class ParquetRows(Group):
    """The columns of a Parquet file, by name."""

    separator = ""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        size = file_size(path)
        _check_marks(path, size)
        parquet = _pyarrow()
        with _guarded(path):
            self.parquet = parquet.ParquetFile(path, page_checksum_verification=True)
        try:
            with _guarded(path):
                self._check(size)
                self.schema = self.parquet.schema_arrow
                meta = self.parquet.metadata
                counts = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        except BaseException:
            self.close()
            raise
        self.first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        self.n_rows = int(self.first[-1])
        self.columns = [str(n) for n in self.schema.names]
        if len(set(self.columns)) != len(self.columns):
            self.close()
            raise RecordingError(path, "several columns have one name", remedy="Rename them")
        self.closed = False
        self._kept: tuple[int, tuple[str, ...], Any] | None = None

    def close(self) -> None:
        """Release the file."""
        self.closed, self._kept = True, None
        self.parquet.close(force=True)

    def names(self) -> Sequence[str]:
        return self.columns

    def get(self, name: str) -> Group | Array:
        return ParquetColumns(self, (name,))

    def stack(self, arrays: Sequence[Array]) -> Array:
        return ParquetColumns(self, tuple(a.name for a in arrays))

    def group(self, number: int, columns: tuple[str, ...]) -> Any:
        """Return some columns of one row group, as pyarrow has them."""
        if self.closed:
            raise DataError(f"The session of {self.file} is closed", remedy="Read before closing it, or open it again")
        kept = self._kept
        if kept is None or kept[:2] != (number, columns):
            with _guarded(self.file):
                table = self.parquet.read_row_group(number, columns=list(columns), use_threads=False)
                table.validate(full=True)
            if table.num_rows != self.first[number + 1] - self.first[number] or table.num_columns != len(columns):
                raise RecordingError(self.file, f"row group {number + 1} is not as long as it says", remedy=AGAIN)
            kept = self._kept = (number, columns, table)
        return kept[2]

    def _check(self, size: int) -> None:
        meta = self.parquet.metadata
        rows = total = 0
        for i in range(meta.num_row_groups):
            group = meta.row_group(i)
            rows += group.num_rows
            for k in range(group.num_columns):
                chunk = group.column(k)
                at = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
                total += max(chunk.total_uncompressed_size, 0)
                inside = at >= len(MAGIC) and chunk.total_compressed_size >= 0
                if not inside or at + chunk.total_compressed_size > size or chunk.num_values < 0 or group.num_rows < 0:
                    raise RecordingError(self.file, f"a part of row group {i + 1} lies outside it", remedy=AGAIN)
        if rows != meta.num_rows or max(total, rows) > MAX_RATIO * size:
            given = f"it has {size} bytes, but claims {meta.num_rows} rows in {total} bytes"
            raise RecordingError(self.file, given, remedy=AGAIN)


class ParquetColumns(Array):
    """Some columns of a Parquet file, read in one pass."""

    columns = True

    def __init__(self, table: ParquetRows, picks: tuple[str, ...]) -> None:
        import pyarrow.types as types

        kinds = [table.schema.field(name).type for name in picks]
        numbers = all(types.is_integer(k) or types.is_floating(k) or types.is_boolean(k) for k in kinds)
        texts = all(types.is_string(k) or types.is_large_string(k) or types.is_dictionary(k) for k in kinds)
        shape = (table.n_rows,) if len(picks) == 1 else (table.n_rows, len(picks))
        super().__init__(", ".join(picks), shape, "number" if numbers else "text" if texts else "other")
        self.table, self.picks = table, picks

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        out = np.empty((stop - start, len(self.picks)))
        for number, low, high in self._groups(start, stop):
            group = self.table.group(number, self.picks)
            base = int(self.table.first[number])
            for k, name in enumerate(self.picks):
                column = group.column(name).slice(low - base, high - low)
                with _guarded(self.table.file):
                    out[low - start : high - start, k] = _floats(column)
        return out

    def words(self) -> list[str]:
        if self.kind == "number":
            return super().words()
        words: list[str] = []
        for number, _, _ in self._groups(0, self.table.n_rows):
            with _guarded(self.table.file):
                words += ["" if w is None else str(w) for w in self.table.group(number, self.picks)[0].to_pylist()]
        return words

    def _groups(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the row groups that hold rows [start, stop), and which of these rows."""
        first = self.table.first
        for number in range(len(first) - 1):
            low, high = max(start, int(first[number])), min(stop, int(first[number + 1]))
            if low < high:
                yield number, low, high


def _floats(column: Any) -> Floats:
    """Return a column as float64, NaN where it is null."""
    if str(column.type) == "bool":
        return np.array([np.nan if v is None else float(v) for v in column.to_pylist()])
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "tables") from None
    return pyarrow.parquet


def _check_marks(path: Path, size: int) -> None:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    if b"PARE" in (head, tail[4:]):
        raise RecordingError(path, "it is encrypted", remedy="Decrypt it first")
    footer = int.from_bytes(tail[:4], "little")
    if head == MAGIC and tail[4:] == MAGIC and 0 < footer <= size - 12:
        return
    pairs, bare = newline_damage(path)
    damage = "a line-ending conversion (LF to CR LF) damaged it: " if pairs > 1 and bare == 0 else ""
    given = f"{damage}it does not begin and end as Parquet files do ({size} bytes): it is truncated or something else"
    raise RecordingError(path, given, remedy=AGAIN)


@contextlib.contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for a damaged file into RecordingError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow raises a dozen types for damaged bytes
        pairs, bare = newline_damage(path)
        damage = "a line-ending conversion (LF to CR LF) damaged it: " if pairs > 1 and bare == 0 else ""
        given = f"{damage}the Parquet file is damaged ({type(error).__name__})"
        raise RecordingError(path, given, remedy=AGAIN) from None
