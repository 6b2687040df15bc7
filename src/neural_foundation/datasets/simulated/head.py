"""A spherical head: electrodes, dipoles inside it, and what each dipole puts on each electrode.

Shapes: positions (n, 3) in metres, head frame (x right, y front, z up); leadfield (n_chans, n_dipoles) in volts per
ampere metre. The sphere has MNE's four shells (brain, fluid, skull, scalp at 0.90, 0.92, 0.97, 1.00 of the radius);
the potentials are those of Berg and Scherg's approximation (1994, Electroencephalogr Clin Neurophysiol 90:58-64) to
the exact series.

All 64 electrodes are always computed and the reference is their average, so a subject simulated with fewer channels
is the same subject seen through fewer electrodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...recordings.montage import standard_1005

Float = NDArray[np.float64]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CH_NAMES = _names(
    "Fp1 Fpz Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 "
    "T9 T7 C5 C3 C1 Cz C2 C4 C6 T8 T10 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 "
    "PO7 PO3 POz PO4 PO8 O1 Oz O2 Iz"
)
MONTAGES = {
    8: _names("FC3 FC4 C3 Cz C4 CP3 CP4 Pz"),
    16: _names("Fp1 Fp2 F3 Fz F4 FC3 FC4 C3 Cz C4 CP3 CP4 P3 Pz P4 Oz"),
    19: _names("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2"),
    22: _names("Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz"),
    32: _names(
        "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC3 FC1 FC2 FC4 FC6 T7 C5 C3 Cz C4 C6 T8 CP5 CP3 CP1 CP2 CP4 CP6 P7 P3 Pz P4 P8 Oz"
    ),
    64: CH_NAMES,
}


@dataclass(frozen=True, eq=False)
class Head:
    """Electrodes (64, 3), the centre of the sphere that fits them best, and its radius in metres."""

    electrodes: Float
    centre: Float
    radius: float

    def electrode(self, name: str) -> Float:
        """Return the position of one electrode (3,)."""
        return np.asarray(self.electrodes[CH_NAMES.index(name)])

    def inside(self, towards: Float, depth: float) -> Float:
        """Return the points at `depth` (0 centre, 1 scalp) on the rays from the centre through `towards` (n, 3)."""
        return np.asarray(self.centre + depth * self.radius * unit(towards - self.centre))


def standard_positions(ch_names: Sequence[str]) -> Float:
    """Return where the named electrodes of the 10-05 system lie (n, 3)."""
    table = standard_1005()
    return np.array([table[name] for name in ch_names], dtype=np.float64)


@lru_cache(maxsize=1)
def standard_head() -> Head:
    """Return the head on which nobody differs from the template."""
    positions = standard_positions(CH_NAMES)
    design = np.column_stack([2 * positions, np.ones(len(positions))])
    x = np.linalg.lstsq(design, (positions**2).sum(1), rcond=None)[0]
    return Head(positions, x[:3], float(np.sqrt(x[3] + x[:3] @ x[:3])))


def own_head(rng: np.random.Generator) -> Head:
    """Return one subject's head: size within some percent, cap turned by degrees, electrodes off by millimetres."""
    standard = standard_head()
    scale = float(np.clip(rng.normal(1.0, 0.04), 0.88, 1.12))
    turn = np.deg2rad(rng.normal(0.0, 2.5, 3))
    offsets = (standard.electrodes - standard.centre) * scale
    turned = offsets + np.cross(turn, offsets)  # first order: the angles are small
    moved = turned + rng.normal(0.0, 0.002, offsets.shape)
    return Head(standard.centre + moved, standard.centre, standard.radius * scale)


def leadfield(head: Head, positions: Float, orientations: Float) -> Float:
    """Return what dipoles at `positions`, along unit `orientations`, put on the 64 electrodes (64, n), V per A m."""
    import mne

    info = mne.create_info(list(CH_NAMES), 1.0, "eeg", verbose="ERROR")
    for ch, position in zip(info["chs"], head.electrodes, strict=True):
        ch["loc"][:3] = position
    sphere = mne.make_sphere_model(tuple(head.centre), head.radius, verbose="ERROR")
    points = {"rr": positions, "nn": orientations}
    sources = mne.setup_volume_source_space(pos=points, sphere=sphere, verbose="ERROR")
    forward = mne.make_forward_solution(
        info, trans=None, src=sources, bem=sphere, meg=False, eeg=True, mindist=0.0, verbose="ERROR"
    )
    along_xyz = forward["sol"]["data"].reshape(len(CH_NAMES), len(positions), 3)
    field = np.einsum("cdk,dk->cd", along_xyz, orientations)
    return np.asarray(field - field.mean(0))


def unit(vectors: Float) -> Float:
    """Return the vectors (..., 3) at length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
