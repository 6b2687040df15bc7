"""MAT-files, mapped by a layout: of level 5 by our own parser, of version 7.3 (HDF5 inside) through h5py.

A variable is `name`, a field `name.field`, an element of a cell or struct array `name.2` (from 1, in MATLAB's linear
order) or `name.*` (all). `axes` and shapes are those that MATLAB shows, in both versions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from ..core.errors import RecordingError
from .arrays import Group
from .layout import Layout
from .mapped import MappedReader
from .mapped_hdf5 import open_groups
from .mat5 import Mat5
from .reader import OpenFile, file_size

_V73 = b"MATLAB 7.3 MAT"
_V5 = b"MATLAB 5.0 MAT"
_USER_BLOCK = 512


class Mat(MappedReader):
    """MAT-files of MATLAB 5 to 7.2 and of version 7.3, described by a layout."""

    kind: Literal["mat"] = "mat"
    extensions: ClassVar[tuple[str, ...]] = (".mat",)
    magic: ClassVar[tuple[bytes, ...]] = (_V5, _V73)
    c_library: ClassVar[bool] = True

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        size = file_size(path)
        file = OpenFile(path)
        try:
            head = file.read_at(min(size, len(_V73)), 0)
            if head == _V73:
                file.close()
                return open_groups(path, size, base=_USER_BLOCK, matlab=True)
            if head != _V5:
                raise RecordingError(
                    path,
                    "it does not start as MAT-files of level 5 or version 7.3 do",
                    allowed="what MATLAB's save writes with -v6, -v7 or -v7.3",
                    remedy="Save it again so (save -v7), or copy it again from its source",
                )
            return Mat5(path, file, size), file.close
        except BaseException:
            file.close()
            raise
