"""Tables and plain arrays, mapped by a layout: .csv and .tsv, .parquet, .npy.

A path is the name of a column; `values: [a, b, c]` or `columns: [a, b, c]` makes each a channel, and the rows are the
samples. Give their rate in `sfreq`, or their times in `times`. A .npy file holds one array, named `array`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from .arrays import Group
from .csv_rows import CsvRows
from .layout import Layout, TableLayout
from .mapped import MappedReader
from .npy import MAGIC as NPY
from .npy import NpyGroup
from .parquet_rows import MAGIC as PARQUET
from .parquet_rows import ParquetRows


class Csv(MappedReader):
    """Tables of text, described by a layout."""

    kind: Literal["csv"] = "csv"
    extensions: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        rows = CsvRows(path, layout.table if layout is not None else TableLayout())
        return rows, rows.bytes.close


class Parquet(MappedReader):
    """Parquet tables, described by a layout. MissingExtraError without pyarrow."""

    kind: Literal["parquet"] = "parquet"
    extensions: ClassVar[tuple[str, ...]] = (".parquet",)
    magic: ClassVar[tuple[bytes, ...]] = (PARQUET,)
    c_library: ClassVar[bool] = True

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        rows = ParquetRows(path)
        return rows, rows.close


class Npy(MappedReader):
    """One NumPy array, described by a layout."""

    kind: Literal["npy"] = "npy"
    extensions: ClassVar[tuple[str, ...]] = (".npy",)
    magic: ClassVar[tuple[bytes, ...]] = (NPY,)

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        array = NpyGroup(path)
        return array, array.bytes.close
