"""MAT-files, mapped by a layout: of level 5 by our own parser, of version 7.3 (HDF5 inside) through h5py.

A variable is `name`, a field `name.field`, an element of a cell or struct array `name.2` (from 1, in MATLAB's linear
order) or `name.*` (all). `axes` and shapes are those that MATLAB shows, in both versions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from .arrays import Group
from .layout import Layout
from .mapped import MappedReader
from .mat_fields import V5, V73, open_mat
from .reader import file_size


class Mat(MappedReader):
    """MAT-files of MATLAB 5 to 7.2 and of version 7.3, described by a layout."""

    kind: Literal["mat"] = "mat"
    extensions: ClassVar[tuple[str, ...]] = (".mat",)
    magic: ClassVar[tuple[bytes, ...]] = (V5, V73)
    c_library: ClassVar[bool] = True

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        root = open_mat(path, file_size(path))
        return root, root.close
