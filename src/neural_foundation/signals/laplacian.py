"""Surface Laplacians: what each electrode has that its neighbours have not."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError, one_of
from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .base import SignalOp
from .blocks import eeg_of
from .mix import Mix
from .spherical import spline_kernel


class Laplacian(SignalOp):
    """Replaces each EEG channel by a local difference; other types pass unchanged. Every EEG channel needs a position.

    'small' and 'large' subtract a mean of `neighbours` electrodes, weighted by 1 / distance (Hjorth 1975,
    doi:10.1016/0013-4694(75)90056-5, with the weights of McFarland et al. 1997, doi:10.1016/S0013-4694(97)00022-2):
    'small' of the nearest; 'large' of those closest to twice as far in the directions of the nearest. In a 10-10 cap
    that is one step, or two, in four directions. Neighbours are found by position, so that at the rim of the cap they
    lie to one side, and two directions of 'large' may end in the same electrode. Volts stay volts.

    'spline' is the current source density of spherical splines (Perrin et al. 1989,
    doi:10.1016/0013-4694(89)90180-6), as `mne.preprocessing.compute_current_source_density` gives it with the same
    sphere; ours is the least-squares one through the electrodes. Volts become V/m^2, positive over a source. One bad
    channel disturbs all: repair or drop it first.
    """

    kind: Literal["laplacian"] = "laplacian"
    method: Literal["small", "large", "spline"] = Field(
        "small", description="nearest neighbours, next-nearest ones, or spherical splines"
    )
    neighbours: int = Field(4, ge=1, le=16, description="of methods small and large")
    stiffness: int = Field(4, ge=2, le=8, description="of the spline: higher is smoother")
    ridge: float = Field(1e-5, ge=0, lt=1, description="of the spline: added to its kernel's diagonal; MNE's lambda2")

    @property
    def keeps_topography(self) -> bool:
        return False

    @model_validator(mode="after")
    def _belongs(self) -> Laplacian:
        if self.method == "spline" and self.neighbours != 4:
            raise ValueError("neighbours belongs to the methods small and large")
        if self.method != "spline" and (self.stiffness != 4 or self.ridge != 1e-5):
            raise ValueError("stiffness and ridge belong to the method spline")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where positions are missing or too few channels are EEG."""
        eeg, places = _placed(signal)
        if self.method == "spline":
            local = csd_matrix(places, stiffness=self.stiffness, ridge=self.ridge)
        else:
            local = hjorth_matrix(places, self.neighbours, large=self.method == "large")
        matrix = np.eye(signal.n_chans)
        matrix[np.ix_(eeg, eeg)] = local
        return Mix(signal, matrix, _in_density(signal, eeg) if self.method == "spline" else signal)


def _placed(signal: SignalSpec) -> tuple[list[int], Array]:
    """Return the EEG channels and their positions (n, 3)."""
    eeg = eeg_of(signal)
    places = {i: signal.positions[i] if signal.positions else None for i in eeg}
    missing = [signal.ch_names[i] for i in eeg if places[i] is None]
    if missing or not eeg:
        raise SignalMismatchError(
            f"laplacian: no position for {one_of(missing)}" if missing else "laplacian: no channel is EEG",
            allowed="EEG channels with positions",
            remedy="Pick the channels that have one, or name electrodes as the 10-05 system does",
        )
    xyz = np.array([places[i] for i in eeg], np.float64)
    apart = np.linalg.norm(xyz[:, None] - xyz, axis=-1) + np.eye(len(xyz))
    if (apart < 1e-6).any():
        a, b = np.argwhere(apart < 1e-6)[0]
        raise SignalMismatchError(
            f"laplacian: '{signal.ch_names[eeg[a]]}' and '{signal.ch_names[eeg[b]]}' lie at the same place",
            remedy="Pick one of them first",
        )
    return eeg, xyz


def hjorth_matrix(places: Array, neighbours: int, *, large: bool) -> Array:
    """Return (n, n): each electrode minus the 1 / distance weighted mean of its neighbours; places (n, 3)."""
    matrix = np.eye(len(places))
    for i in range(len(places)):
        far = np.linalg.norm(places - places[i], axis=1)
        near = np.argsort(far, kind="stable")[1 : 1 + neighbours]
        chosen = _beyond(places, i, near) if large else near
        if len(near) < neighbours or not len(chosen):
            raise SignalMismatchError(
                f"laplacian: {len(places)} EEG channels are too few for {neighbours} neighbours each",
                allowed=f"{neighbours + 1} or more channels for 'small', twice as many for 'large'",
                remedy="Lower neighbours",
            )
        weights = 1 / far[chosen]
        matrix[i, chosen] = -weights / weights.sum()
    return matrix


def _beyond(places: Array, i: int, near: Array) -> Array:
    """Return, for each of the nearest, the electrode closest to the point twice as far in its direction; each once."""
    others = np.setdiff1d(np.arange(len(places)), [i, *near])
    if not len(others):
        return others
    points = 2 * places[near] - places[i]
    apart = np.linalg.norm(points[:, None] - places[others], axis=-1)
    return np.unique(others[apart.argmin(1)])


def csd_matrix(places: Array, *, stiffness: int, ridge: float, sphere: tuple[float, ...] | None = None) -> Array:
    """Return (n, n), volts to V/m^2. places (n, 3) in metres; sphere (x, y, z, radius), fitted where not given.

    With G and H the spline kernels of order m and m - 1 between the electrodes, the spline through potentials v has
    coefficients c = (G + ridge I)^-1 (v - c0), c0 such that they sum to 0, and minus its Laplacian is H c / radius^2.
    MNE takes the mean over channels off v first, which changes nothing: constants are in c0.
    """
    x, y, z, radius = sphere or fitted_sphere(places)
    unit = places - (x, y, z)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    inverse = np.linalg.inv(spline_kernel(cosines, stiffness) + ridge * np.eye(len(places)))
    sums = inverse.sum(0)
    coefficients = inverse - np.outer(inverse.sum(1), sums) / sums.sum()
    density: Array = spline_kernel(cosines, stiffness - 1) @ coefficients / radius**2
    return density


def fitted_sphere(places: Array) -> tuple[float, float, float, float]:
    """Return (x, y, z, radius) of the sphere whose equation |p|^2 = 2 p.c + (r^2 - |c|^2) fits best."""
    spread = np.linalg.matrix_rank(places - places.mean(0), tol=1e-3) if len(places) > 3 else 0
    if spread < 3:
        raise SignalMismatchError(
            f"laplacian: {len(places)} EEG channels lie on no sphere",
            allowed="at least 4 electrodes that are not in one plane",
            remedy="Use method 'small'",
        )
    system = np.hstack([2 * places, np.ones((len(places), 1))])
    solved = np.linalg.lstsq(system, np.square(places).sum(1), rcond=None)[0]
    centre = solved[:3]
    radius = float(np.sqrt(solved[3] + centre @ centre))
    return float(centre[0]), float(centre[1]), float(centre[2]), radius


def _in_density(signal: SignalSpec, eeg: list[int]) -> SignalSpec:
    """Return the signal with its EEG channels in units over square metres."""
    units = list(signal.units or ("V",) * signal.n_chans)
    for i in eeg:
        units[i] = f"{units[i]}/m^2"
    return signal.replace(units=tuple(units))
