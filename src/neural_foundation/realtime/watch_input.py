"""Has the input changed? Sums over what each channel hears, against the first minute of the connection.

Two kinds of input. Of fields (EEG, LFP): log powers in dB, every 2 s, of each channel and band against the median
channel (a rhythm that comes and goes everywhere is no change of a channel); each channel's mean over the bands below
13 Hz; the median channel in each band; and, of 4 channels or more, what a channel has of its own: the power, against
the median channel's, that no weighted sum of the others explains (1 / the diagonal of the inverse covariance, 1 to 45
Hz, with a ridge of 1 % of the mean power). A poor contact adds there; muscle, which neighbours share, less.
Of counts (all units ""): 2 sqrt(count + 3/8) of each unit (Anscombe 1948), and their mean, every 10 s, against the
first 5 minutes.

What is let be (`LEAST_DB` and so on): muscles tighten and rhythms wander over minutes. The figures are at least the
99 % quantile of how far minutes of 6 recordings of 4 people, sitting, lay from the first minute.

A channel may be loud for a moment by itself, but not silent: of fields, one hop that falls by `ALONE_DB`, to a
thousandth of its amplitude, is an alarm. A lost channel falls by hundreds; so does a device that stands still.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.specs import SignalSpec
from ..core.stream import State
from ..signals.bad_channels import ENOUGH
from .watch_cusum import Cusum, Heard
from .watch_spectra import Second, Spectra

Float = NDArray[np.float64]
HOP_S, REFERENCE_S = 2.0, 60.0
COUNT_HOP_S, COUNT_REFERENCE_S, UNIT_ALLOWANCE = 10.0, 300.0, 1.5
LEAST_DB = {"delta": 2.0, "theta": 2.0, "alpha": 2.0, "beta": 4.0, "gamma": 6.0, "power": 4.0}
LEAST_ALL_DB = {"delta": 5.0, "theta": 4.0, "alpha": 5.0, "beta": 6.0, "gamma": 8.0, "power": 6.0}
LEAST_LEVEL_DB, LEAST_OWN_DB = 1.5, 3.5
LOWEST_DB, SPREAD_DB, RIDGE = -600.0, 0.05, 0.01
ALONE_DB = 60.0


def is_counts(signal: SignalSpec) -> bool:
    """Return whether the signal is counts: it says that all its values are plain numbers."""
    return bool(signal.units) and set(signal.units) == {""}


class Fields:
    """Log powers of channels: in bands, over the low ones, and of their own."""

    robust, allowance, alone = True, 0.5, ALONE_DB
    hop_s, reference_s = HOP_S, REFERENCE_S

    def __init__(self, spectra: Spectra) -> None:
        bands, names = spectra.bands(), spectra.ch_names
        self._bands, self._level = list(bands.values()), min(3, len(bands))
        own = names if len(names) >= ENOUGH else ()
        self._own = len(own)
        self.names = (
            *(f"{c} {b}" for b in bands for c in names),
            *(f"{c} level" for c in names),
            *(f"all channels {b}" for b in bands),
            *(f"{c} its own" for c in own),
        )
        each = np.repeat([LEAST_DB[b] for b in bands], len(names))
        level, every = np.full(len(names), LEAST_LEVEL_DB), [LEAST_ALL_DB[b] for b in bands]
        self.least: Float | float = np.concatenate([each, level, every, np.full(len(own), LEAST_OWN_DB)])
        self.floor: Float | float = SPREAD_DB

    def raw(self, second: Second) -> Float:
        """Return the band powers (n_bands, n_chans) and, below them, the covariance (n_chans, n_chans)."""
        return np.vstack([*(second.power[:, b].mean(1) for b in self._bands), second.cov])

    def features(self, raw: Float) -> Float:
        """Return the features of a hop from its mean powers and covariance."""
        power, cov = np.split(raw, [len(self._bands)])
        db = _db(power)
        usual = np.median(db, 1, keepdims=True)
        own = db - usual
        every = [own.ravel(), own[: self._level].mean(0), usual[:, 0]]
        if self._own:
            alone = _db(1 / np.diag(np.linalg.inv(cov + _ridge(cov))))
            every.append(alone - np.median(alone))
        return np.concatenate(every)


def _db(power: Float) -> Float:
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-60)), LOWEST_DB))


def _ridge(cov: Float) -> Float:
    return np.asarray(max(RIDGE * np.trace(cov) / len(cov), 1e-60) * np.eye(len(cov)))


class Counts:
    """Counts of units."""

    robust, alone = False, np.inf  # a unit may pause
    hop_s, reference_s = COUNT_HOP_S, COUNT_REFERENCE_S

    def __init__(self, spectra: Spectra) -> None:
        n = len(spectra.ch_names)
        self.names = (*(f"{c} rate" for c in spectra.ch_names), "all units rate")
        self.allowance = np.append(np.full(n, UNIT_ALLOWANCE), 0.5)
        self.least: Float | float = 0.0
        self.floor: Float | float = np.append(np.ones(n), 0.05)
        self._hops = round(max(1.0, COUNT_HOP_S / spectra.length_s))

    def raw(self, second: Second) -> Float:
        """Return the counts (n_chans,)."""
        return np.asarray(second.values.sum(1, dtype=np.float64))

    def features(self, count: Float) -> Float:
        """Return the features of a hop from its mean counts a second."""
        root = 2 * np.sqrt(np.maximum(count * self._hops, 0.0) + 0.375)
        return np.append(root, root.mean())


class InputWatch:
    """The watch of the input. State: the hop being filled, and the sums."""

    def __init__(self, signal: SignalSpec, spectra: Spectra, false_alarm_s: float) -> None:
        self._of: Fields | Counts = Counts(spectra) if is_counts(signal) else Fields(spectra)
        self._hop = round(max(1.0, self._of.hop_s / spectra.length_s))
        hop_s = self._hop * spectra.length_s
        self.names = self._of.names
        self.cusum = Cusum(
            len(self.names),
            enough=round(self._of.reference_s / hop_s),
            run_length=false_alarm_s / hop_s,
            allowance=self._of.allowance,
            least=self._of.least,
            floor=self._of.floor,
            robust=self._of.robust,
            alone=self._of.alone,
        )

    def fresh(self) -> State:
        """Return the state before the first second."""
        return {"total": np.zeros(0), "n_total": 0, "cusum": self.cusum.fresh()}

    def second(self, second: Second, ok: bool, state: State) -> Heard | None:
        """Add a second; return what was heard where a hop ends. One not to be trusted (`ok`) leaves its hop unheard."""
        if not ok:
            state["n_total"] = 0
            return None
        raw = self._of.raw(second)
        state["total"] = raw if state["n_total"] == 0 else state["total"] + raw
        state["n_total"] += 1
        if state["n_total"] < self._hop:
            return None
        state["n_total"] = 0
        return self.cusum.take(self._of.features(state["total"] / self._hop), state["cusum"])

    def what(self, heard: Heard) -> str:
        """Return in words what a sum is about."""
        return f"{self.names[heard.index]} {'up' if heard.up else 'down'}"
