"""What the cleaned signal of the training people looked like: the covariance that an adapting decoder steers back to.

`reference.safetensors` beside the weights: `covariance` (n_chans, n_chans) float64, the mean over people of each one's
covariance, and `people`, how many. One matrix over all of them: it names nobody and holds no sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, PackageError
from ..core.store import atomic

if TYPE_CHECKING:
    from ..recordings import Signal

REFERENCE = "reference.safetensors"
BLOCK_S = 10.0
LEAST_S = 1.0
Covariance = NDArray[np.float64]


def covariance(signal: Signal) -> Covariance | None:
    """Return the covariance (n_chans, n_chans) of the valid samples of a cleaned signal, about zero.

    None where less than a second of it is valid.
    """
    total, count, block = np.zeros((signal.spec.n_chans,) * 2), 0, max(1, round(BLOCK_S * signal.spec.sfreq))
    for at in range(0, signal.n_times, block):
        end = min(at + block, signal.n_times)
        x = signal.read(at, end)[:, signal.valid(at, end)].astype(np.float64)
        total, count = total + x @ x.T, count + x.shape[1]
    return total / count if count >= LEAST_S * signal.spec.sfreq else None


def mean_covariance(each: Iterable[tuple[str, Covariance]]) -> tuple[Covariance, int]:
    """Return the mean over people of (person, covariance) pairs, and how many people there are.

    Each recording is scaled to the same mean power first, so that a loud person weighs no more than a quiet one; the
    mean power of the result is the mean over people.
    """
    people: dict[str, list[Covariance]] = {}
    for who, matrix in each:
        people.setdefault(who, []).append(matrix)
    if not people:
        raise DataError(
            "No recordings to make a reference of",
            allowed=f"sessions of the training people with {LEAST_S:g} s of valid signal or more",
        )
    means = [np.mean(matrices, 0) for matrices in people.values()]
    power = [max(float(np.trace(m)), 1e-300) for m in means]
    return np.asarray(np.mean([m / p for m, p in zip(means, power, strict=True)], 0) * np.mean(power)), len(people)


def write_reference(folder: Path, sessions: Sequence[Path]) -> None:
    """Write the reference of a package from the cleaned sessions of its training people.

    sessions : files that a `prepare` stage wrote with the package's chain. Those with less than a second of valid
    signal are left out; DataError where none is left.
    """
    from ..recordings import read

    def each() -> Iterable[tuple[str, Covariance]]:
        for path in sessions:
            with read(path) as session:
                found = covariance(session.signal)
            if found is not None:
                yield session.subject, found

    matrix, people = mean_covariance(each())
    save_reference(folder, matrix, people=people)


def save_reference(folder: Path, matrix: Covariance, *, people: int = 0) -> None:
    """Write `reference.safetensors` into a package's folder."""
    from safetensors.numpy import save_file

    arrays = {"covariance": np.ascontiguousarray(matrix, np.float64), "people": np.array([people], np.int64)}
    with atomic(folder / REFERENCE) as temporary:
        save_file(arrays, temporary)


def load_reference(folder: Path, n_chans: int) -> Covariance | None:
    """Return the covariance (n_chans, n_chans) of a package; None where it has none; PackageError if damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / REFERENCE
    if not path.is_file():
        return None
    try:
        matrix = load_file(path)["covariance"]
    except (OSError, SafetensorError, KeyError) as error:
        raise PackageError(f"{path} cannot be read ({error})", remedy="Run the recipe's 'export' stage again") from None
    return checked(matrix, n_chans, str(path))


def checked(matrix: NDArray[np.float64], n_chans: int, name: str = "The reference") -> Covariance:
    """Return a covariance in float64; PackageError unless it is one of `n_chans` channels."""
    good = matrix.shape == (n_chans, n_chans) and matrix.dtype.kind == "f" and bool(np.isfinite(matrix).all())
    if not good or not np.allclose(matrix, matrix.T) or not np.diag(matrix).min(initial=0.0) >= 0 or not matrix.any():
        raise PackageError(
            f"{name} is no covariance of this signal: shape {matrix.shape}",
            allowed=f"({n_chans}, {n_chans}), symmetric, finite, not all zero",
        )
    return np.array(matrix, np.float64)
