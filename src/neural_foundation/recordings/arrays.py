"""The arrays of a file without an agreed form, as groups of groups and arrays, found by the paths of a layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, did_you_mean

Floats = NDArray[np.float64]
Kind = Literal["number", "text", "other"]
Form = Literal["", "struct", "structs", "cell"]  # of MATLAB
MAX_LISTED = 200
_MAX_DEPTH = 8
_MAX_TRIES = 5000
_SHOWN = 12


class Array(ABC):
    """One array of a file, read piece by piece.

    name : its path. shape : as the file's own tools show it. kind : what it holds. exact : whether its numbers are
    whole, so that none can be NaN. columns : whether it is made of columns, so that its first axis is time.
    in_pieces : whether reading it piece by piece costs no more than reading it at once. what : of an array of kind
    'other', what it holds, where that is worth saying.
    """

    columns = False
    in_pieces = False
    what = ""

    def __init__(self, name: str, shape: Sequence[int], kind: Kind = "number", *, exact: bool = False) -> None:
        self.name, self.shape, self.kind, self.exact = name, tuple(int(n) for n in shape), kind, exact

    @property
    def size(self) -> int:
        n = 1
        for axis in self.shape:
            n *= axis
        return n

    @property
    def is_vector(self) -> bool:
        """Return whether at most one axis is longer than 1, or nothing is in it."""
        return self.size == 0 or self.size == max(self.shape, default=1)

    def block(self, axis: int, start: int, stop: int) -> Floats:
        """Return [start, stop) of the time axis as (stop - start, n_other); of a vector: (stop - start, 1)."""
        if start == stop:
            return np.zeros((0, 1 if self.is_vector else self.size // max(1, self.shape[axis])))
        with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
            return np.asarray(self._block(axis, start, stop), np.float64)

    @abstractmethod
    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]: ...

    def numbers(self) -> NDArray[Any]:
        """Return all of it, in its own shape."""
        axis = 0 if len(self.shape) < 2 or self.is_vector else int(np.argmax(self.shape))
        rows = self._block(axis, 0, self.size if self.is_vector else self.shape[axis]) if self.size else np.zeros(0)
        return np.asarray(rows if axis == 0 else rows.T).reshape(self.shape)

    def words(self) -> list[str]:
        """Return its entries as words: a text array's own, or the numbers ('3', '0.5')."""
        return [str(int(x)) if float(x).is_integer() else repr(float(x)) for x in self.numbers().reshape(-1).tolist()]

    def __str__(self) -> str:
        what = {"number": "numbers", "text": "text", "other": "neither numbers nor text"}[self.kind]
        return f"'{self.name}' {self.shape} {what}{f' ({self.what})' if self.what else ''}"


class Group(ABC):
    """A place that holds arrays and groups. file : of which file. separator : between the words of a path."""

    separator = "."
    form: Form = ""

    def __init__(self, file: Path, name: str = "") -> None:
        self.file, self.name = file, name

    @abstractmethod
    def names(self) -> Sequence[str]: ...

    @abstractmethod
    def get(self, name: str) -> Group | Array:
        """Return the member of one of `names()`."""

    def stack(self, arrays: Sequence[Array]) -> Array:
        """Return vectors of one length as one array (n, n_arrays)."""
        return Stack(arrays)

    def listed(self) -> Sequence[str]:
        """Return the members that a list of all arrays follows."""
        return self.names()

    def under(self, name: str) -> str:
        """Return the path of a member."""
        return f"{self.name}{self.separator}{name}" if self.name else name

    def arrays(self, depth: int = 0, tries: Iterator[int] | None = None) -> Iterator[Array]:
        """Yield the arrays in it, to a depth, and among the first so many things, that no real file needs."""
        tries = iter(range(_MAX_TRIES)) if tries is None else tries
        for name, _ in zip(self.listed() if depth < _MAX_DEPTH else (), tries, strict=False):
            found = self.get(name)
            if isinstance(found, Array):
                yield found
            else:
                yield from found.arrays(depth + 1, tries)


class Stack(Array):
    """Vectors side by side: (n, n_arrays)."""

    columns = True

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = tuple(parts)
        name = ", ".join(p.name for p in parts)
        super().__init__(name, (parts[0].size, len(parts)), exact=all(p.exact for p in parts))

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        return np.concatenate([p.block(0, start, stop) for p in self.parts], axis=1)


class Words(Array):
    """An array of words, in memory. cells : whether each was a cell of its own."""

    def __init__(self, name: str, shape: Sequence[int], words: Sequence[str], *, cells: bool = False) -> None:
        super().__init__(name, shape, "text")
        self._words, self.cells = list(words), cells

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        raise TypeError("words are no numbers")  # find_array lets none pass

    def words(self) -> list[str]:
        return list(self._words)


class Strided(Array):
    """An uncompressed array at byte `at` of a source. read_at(n, at) -> n bytes. fortran : first axis runs fastest."""

    in_pieces = True

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        stored: np.dtype[Any],
        read_at: Callable[[int, int], bytes],
        at: int,
        *,
        fortran: bool,
    ) -> None:
        super().__init__(name, shape, exact=stored.kind in "iub")
        self.stored, self.read_at, self.at, self.fortran = stored, read_at, at, fortran

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        if self.is_vector:
            return self._run(start, stop - start)[:, None]
        n, others = self.shape[axis], self.size // self.shape[axis]
        long = [i for i, length in enumerate(self.shape) if length > 1]
        if axis == long[-1 if self.fortran else 0]:  # a stretch of time lies in one piece
            return self._run(start * others, (stop - start) * others).reshape(stop - start, others)
        return np.stack([self._run(c * n + start, stop - start) for c in range(others)], axis=1)

    def _run(self, first: int, n: int) -> NDArray[Any]:
        size = self.stored.itemsize
        return np.frombuffer(self.read_at(n * size, self.at + first * size), self.stored)

    def numbers(self) -> NDArray[Any]:
        return self._run(0, self.size).reshape(self.shape, order="F" if self.fortran else "C")


def find(root: Group, path: str) -> Array | Group:
    """Return what lies at a path; RecordingError names the nearest, or what there is."""
    place: Array | Group = root
    for word in _words(root, path):
        if isinstance(place, Array):
            _missing(root, path, f"'{place.name}' is an array")
        if word not in place.names():
            _missing(root, path, _there(place, word))
        place = place.get(word)
    return place


def find_array(root: Group, path: str, kind: Kind = "number") -> Array:
    """Return the array at a path; RecordingError where there is none, or one of another kind."""
    found = find(root, path)
    if isinstance(found, Group):
        _missing(root, path, f"'{path}' holds {_names(found.names())}", given=f"'{path}' is no array, but a group")
    if found.kind == "other" or (kind == "number" and found.kind != "number"):
        raise RecordingError(root.file, f"{found}", allowed="an array of numbers" if kind == "number" else "an array")
    return found


def find_all(root: Group, path: str) -> dict[str, Array]:
    """Return the arrays at a path by what tells them apart: the members of a group, or what `*` stands for.

    Where a `*` meets an empty member (an empty cell of MATLAB), it is passed over.
    """
    words = _words(root, path)
    if "*" not in words:
        found = find(root, path)
        if isinstance(found, Array):
            return {found.name: found}
        words = [*words, "*"]
    arrays = dict(_matches(root, root, words, path))
    if not arrays:
        _missing(root, path, f"there is {_names(root.names())}", given=f"no array matches '{path}'")
    return arrays


def _matches(root: Group, place: Group | Array, words: list[str], path: str) -> Iterator[tuple[str, Array]]:
    for i, word in enumerate(words):
        if isinstance(place, Array):
            if place.size:
                _missing(root, path, f"'{place.name}' is an array")
            return
        if word == "*":
            for name in place.names():
                for rest, array in _matches(root, place.get(name), words[i + 1 :], path):
                    yield (f"{name}{root.separator}{rest}" if rest else name), array
            return
        if word not in place.names():
            _missing(root, path, _there(place, word))
        place = place.get(word)
    if isinstance(place, Group):
        _missing(root, path, f"'{place.name}' holds {_names(place.names())}")
    yield "", place


def listing(root: Group) -> list[Array]:
    """Return the first arrays of a file."""
    return [array for array, _ in zip(root.arrays(), range(MAX_LISTED), strict=False)]


def _words(root: Group, path: str) -> list[str]:
    return [w for w in path.split(root.separator) if w] if root.separator else [path]


def _there(place: Group, word: str) -> str:
    names = place.names()
    where = f"'{place.name}' holds" if place.name else "there is"
    return f"{where} {_names(names)}.{did_you_mean(word, names[:MAX_LISTED])}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{n}'" for n in names[:_SHOWN]) or "nothing"
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _missing(root: Group, path: str, there: str, *, given: str = "") -> NoReturn:
    remedy = "Correct the path in the layout"
    raise RecordingError(root.file, f"{given or f'there is no {path!r}'}; {there}", remedy=remedy)
