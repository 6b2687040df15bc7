"""What is known of a simulated session and of no real one: the rates that made its spikes, and the decoding ceiling.

`<session>-truth.npz` holds numbers only: the animal, the trials, each unit's weights, base and drift, and what drove
the units on the grid. It is read for a session that was binned, in whatever bins, with whatever units were kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, one_of
from ...core.modalities import BinnedSessionSpec, ModalitySpec
from ...core.store import load_arrays, save_arrays
from .session_decoder import Behaviour, Decoder
from .sessions_brain import GRID_S, Made, Units, log_drift, rates
from .sessions_task import CAMERAS, PRIORS, SPEED, Animal, Course, Floats

SPEED_NAME, CHOICE, BLOCK = "wheel_speed", "choice", "block"


class Binned(Protocol):
    """What is asked of a binned session (`sampling.BinnedSession` is one)."""

    @property
    def spec(self) -> BinnedSessionSpec: ...
    @property
    def bin_s(self) -> float: ...
    @property
    def modalities(self) -> tuple[ModalitySpec, ...]: ...
    @property
    def values(self) -> Mapping[str, NDArray[Any]]: ...
    @property
    def first(self) -> NDArray[np.int64]: ...
    @property
    def length(self) -> NDArray[np.int64]: ...
    @property
    def start_s(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True, eq=False)
class SessionTruth:
    """The truth of one session. features (F, n) on the grid; probes : over how many the units were dealt out."""

    name: str
    animal: Animal
    course: Course
    units: Units
    features: Floats
    probes: int

    def rates(self, session: Binned, *, drift: bool = True) -> NDArray[np.float32]:
        """Return the true expected counts (n_bins_in_all, C) in the session's bins, in the order of its units.

        drift : False leaves out each unit's slow change, which no behaviour tells: what can be known without time.
        DataError where a unit is not of this session, or a bin lies outside the recording.
        """
        which, n = self._which(session), self.features.shape[1]
        within = np.concatenate([np.arange(k) for k in session.length])
        begin = np.repeat(session.start_s, session.length) + within * session.bin_s
        row = np.repeat(session.first, session.length) + within
        edges = np.stack([begin, begin + session.bin_s]) / GRID_S
        if edges.min() < -1e-6 or edges.max() > n + 1e-6:
            low, high = edges.min() * GRID_S, edges.max() * GRID_S
            given = f"Bins from {low:g} to {high:g} s lie outside session '{self.name}'"
            raise DataError(given, allowed=f"0 to {n * GRID_S:g} s")
        out = np.zeros((len(session.values[self._counts(session)]), len(which)), np.float32)
        cell = np.clip(edges.astype(np.int64), 0, n - 1)
        for part, rate in rates(self.units.of(which), self.features, drift=drift):
            whole = np.concatenate([np.zeros((len(rate), 1)), np.cumsum(rate, axis=1)], axis=1)
            low, high = (whole[:, c] + rate[:, c] * (e - c) for c, e in zip(cell, edges, strict=True))
            out[row, part] = (GRID_S * (high - low)).T
        return out

    def decoded(self, session: Binned, trials: Sequence[int] | NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return what a decoder that knows the tuning makes of the spikes of some trials: the decoding ceiling.

        By modality, those that the session has: `wheel_speed`, `left_motion_energy`, `right_motion_energy`
        (n, T, 1) as posterior means in the units of the recording, `choice` and `block` (n, K) as posterior
        probabilities in the order of the session's words. How, and what is approximate, says `session_decoder`.
        It sees the bins of the trial alone, but knows each unit's drift. DataError where a trial's bins hold no
        stimulus or two, trials differ in length, or a class has a word of no meaning here.
        """
        trials = np.asarray(trials, np.int64)
        which = self._which(session)
        lengths = np.unique(session.length[trials])
        if len(lengths) != 1:
            raise DataError(f"The trials have {one_of(map(str, lengths.tolist()))} bins", allowed="one length")
        n_bins = int(lengths[0])
        begins = session.start_s[trials]
        stimulus = np.array([self._stimulus(t, t + n_bins * session.bin_s) for t in begins])
        rel = np.round(begins - stimulus, 4)
        slow = self._drift(which, stimulus)
        units = self.units.of(which)
        centre = (np.arange(n_bins) + 0.5) * session.bin_s
        decoders = {
            r: Decoder(self.animal, units.weights, units.base, r + centre, session.bin_s)
            for r in np.unique(rel).tolist()
        }
        counts = session.values[self._counts(session)]
        results = [
            decoders[r].decode(np.asarray(counts[first : first + n_bins], np.float64), drift)
            for r, first, drift in zip(rel.tolist(), session.first[trials], slow.T, strict=True)
        ]
        return self._named(session, results)

    def _named(self, session: Binned, results: list[Behaviour]) -> dict[str, NDArray[np.float32]]:
        made: dict[str, NDArray[Any]] = {SPEED_NAME: SPEED * np.stack([r.speed for r in results])[:, :, None]}
        for k, camera in enumerate(CAMERAS):
            whisking = np.stack([r.whisking[k] for r in results])
            made[f"{camera}_motion_energy"] = (self.animal.offset[k] + self.animal.gain[k] * whisking)[:, :, None]
        joint = np.stack([r.joint for r in results])  # (n, turn, block)
        for modality in session.modalities:
            if modality.name == CHOICE and CHOICE in session.values:
                at = [_word(modality, w, {"left": 0, "right": 1, "1": 0, "-1": 1}) for w in modality.classes]
                made[CHOICE] = joint.sum(2)[:, at]
            if modality.name == BLOCK and BLOCK in session.values:
                # the block's drive falls with the prior of the left side
                at = [_word(modality, w, {f"{p:g}": k for k, p in enumerate(PRIORS)}) for w in modality.classes]
                made[BLOCK] = joint.sum(1)[:, at]
        return {name: value.astype(np.float32) for name, value in made.items() if name in session.values}

    def _stimulus(self, start: float, stop: float) -> float:
        inside = self.course.stimulus_s[(self.course.stimulus_s >= start) & (self.course.stimulus_s < stop)]
        if len(inside) != 1:
            given = f"{len(inside)} stimuli lie in the trial from {start:g} to {stop:g} s of session '{self.name}'"
            raise DataError(given, allowed="one", remedy="Bin trials around stimOn_times, e.g. -0.5 to 1.5 s")
        return float(inside[0])

    def _drift(self, which: NDArray[np.int64], t: Floats) -> Floats:
        """Return the log drift (C, len(t)) of units at times."""
        n = self.features.shape[1]
        at = np.clip((t / GRID_S).astype(np.int64), 0, n - 1)
        value: Floats = log_drift(self.units.drift[which], n)[:, at]
        return value

    def _counts(self, session: Binned) -> str:
        names = [m.name for m in session.modalities if m.kind == "counts" and m.name in session.values]
        if len(names) != 1:
            raise DataError(f"Session '{session.spec.name}' has {len(names)} modalities of counts", allowed="one")
        return names[0]

    def _which(self, session: Binned) -> NDArray[np.int64]:
        """Return the index here of each unit of a session, by its id `probe01/7`, or `7` where there is one probe."""
        name = self._counts(session)
        ids = session.spec.channels[[m.name for m in session.modalities].index(name)]
        found = []
        for unit in ids:
            probe, _, number = unit.rpartition("/")
            at = int(number) * self.probes + int(probe.removeprefix("probe") or 0) if number.isdecimal() else -1
            if not 0 <= at < len(self.units.base) or (self.probes > 1 and not probe):
                given = f"Unit '{unit}' is none of the simulated session '{self.name}'"
                raise DataError(given, allowed=f"{len(self.units.base)} units", remedy="Give the truth of this session")
            found.append(at)
        return np.asarray(found, np.int64)


def _word(modality: ModalitySpec, word: str, known: Mapping[str, int]) -> int:
    try:
        plain = f"{float(word):g}"
    except ValueError:
        plain = word
    if plain not in known:
        raise DataError(f"The class '{word}' of '{modality.name}' has no meaning here", allowed=one_of(known))
    return known[plain]


def save_truth(folder: Path, name: str, made: Made) -> None:
    """Write `<session>-truth.npz` into `folder`."""
    arrays: dict[str, Any] = {"features": made.features.astype(np.float32), "probes": np.array(made.spec.probes)}
    for part in ("animal", "course", "units"):
        held = getattr(made, part)
        arrays |= {f"{part}.{f.name}": np.asarray(getattr(held, f.name)) for f in fields(held)}
    save_arrays(_file(folder, name), arrays)


def truth_of(folder: Path | str, name: str) -> SessionTruth | None:
    """Return the truth of a session by its name, None where the folder holds none; StoreError where it is damaged."""
    file = _file(Path(folder), name)
    if not file.exists():
        return None
    arrays = load_arrays(file)
    parts: dict[str, dict[str, Any]] = {"animal": {}, "course": {}, "units": {}}
    for key, array in arrays.items():
        part, _, field = key.partition(".")
        if field:
            parts[part][field] = array if array.ndim else float(array)
    return SessionTruth(
        name,
        Animal(**parts["animal"]),
        Course(**parts["course"]),
        Units(**parts["units"]),
        arrays["features"].astype(np.float64),
        int(arrays["probes"]),
    )


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}-truth.npz"
