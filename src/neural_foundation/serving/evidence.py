"""What a decision rests on, on request: its window decided on again, a second of a chain silent each time.

Shapes: C channels of the cleaned signal, T samples of a window, G chains (or channels), S seconds, K classes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.stream import run
from ..evaluation.chains import chain_name, chains_or_channels
from ..evaluation.occlusion import occluded, seconds
from ..realtime.live_model import LiveModel
from ..realtime.sliding import as_trained
from ..signals.chain import chain
from .protocol import ProtocolError
from .settings import Limits

BATCH = 8  # windows that are decided on at once; then the time is looked at
OUTPUTS = (
    {"name": "evidence", "datatype": "FP32"},
    {"name": "evidence_class", "datatype": "BYTES"},
    {"name": "evidence_channels", "datatype": "BYTES"},
    {"name": "evidence_start_s", "datatype": "FP32"},
)


class Evidence:
    """Makes the evidence of one request at a time, within `limits`; `stopping` says that the server is about to end."""

    def __init__(self, limits: Limits, stopping: Callable[[], bool] = lambda: False) -> None:
        self._limits, self._stopping, self._one = limits, stopping, threading.Lock()

    def __call__(self, model: LiveModel, signal: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the evidence of the one window in raw signal (1, C, n), in volts.

        evidence (1, G, S) : how far the probability of the likeliest class falls without each part; below 0, it rises.
        evidence_class (1,), evidence_channels (G,) : that class, and the electrodes of each chain, or each channel.
        evidence_start_s (S,) : where each stretch begins, seconds of the window.

        Raises
        ------
        ProtocolError : 'evidence' for more or less than a window, a window that says nothing, a model that goes along
        a stream or too many parts; 'full' while another's is made; 'deadline', 'draining' where it was given up.
        """
        window = decided_on(model, signal)
        spec = model.facts.signal
        groups, n = chains_or_channels(spec.ch_names), window.shape[1]
        parts = seconds(0, n, spec.sfreq, most=ceil(n / spec.sfreq))
        self._check(len(groups) * len(parts))
        said, without = self._occluded(model, window, groups, parts)
        answer = int(said.argmax())
        return {
            "evidence": (said[answer] - without[None, ..., answer]).astype(np.float32),
            "evidence_class": np.array([model.classes[answer]], object),
            "evidence_channels": np.array([chain_name(spec.ch_names, g) for g in groups], object),
            "evidence_start_s": np.array([a / spec.sfreq for a, _ in parts], np.float32),
        }

    def _check(self, n_parts: int) -> None:
        if n_parts > self._limits.evidence:
            raise ProtocolError(
                "evidence",
                f"A window of {n_parts} parts",
                allowed=f"{self._limits.evidence}",
                remedy="Ask whoever runs the server to raise limits.evidence",
            )

    def _occluded(
        self,
        model: LiveModel,
        window: NDArray[np.float32],
        groups: list[list[int]],
        parts: list[tuple[int, int]],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if not self._one.acquire(blocking=False):
            raise ProtocolError("full", "The evidence of another request is being made", remedy="Try again later")
        try:
            until = time.monotonic() + self._limits.evidence_s
            return occluded(lambda windows: self._decided(model, windows, until), window, groups, parts, batch=BATCH)
        finally:
            self._one.release()

    def _decided(self, model: LiveModel, windows: NDArray[np.float32], until: float) -> NDArray[Any]:
        """Return the probabilities (n, K) that a decision would have, calibrated where the package is."""
        if self._stopping():
            raise ProtocolError("draining", "The server is about to stop", remedy="Ask again")
        if time.monotonic() > until:
            given = f"The evidence took longer than {self._limits.evidence_s:g} s"
            raise ProtocolError("deadline", given, remedy="Ask for a decision alone, or raise limits.evidence_s")
        said, confidence = model.predict(windows), model.facts.confidence
        return said if confidence is None else confidence.tempered(said.T).T


def decided_on(model: LiveModel, signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cleaned window (C, T) in raw signal (1, C, n); ProtocolError where it does not hold exactly one."""
    facts = model.facts
    if not model.whole_windows:
        raise ProtocolError("evidence", f"'{model.task}' goes along a stream", allowed="models of whole windows")
    length, hop = (round(s * facts.signal.sfreq) for s in (facts.windows.length_s, model.hop_s))
    clean = run(chain(facts.chain, facts.raw, live=True), signal[0]) if len(signal) == 1 else None
    if clean is None or not length <= clean.n_times < length + hop:
        n_times = round(facts.windows.length_s * facts.raw.sfreq)
        raise ProtocolError(
            "evidence",
            f"Evidence of {len(signal)} pieces of {signal.shape[2]} samples",
            allowed=f"one window: one piece of {n_times} samples ({facts.windows.length_s:g} s)",
        )
    window, valid = clean.values[:, :length], clean.valid[:length]
    trusted = as_trained(window, valid, facts.windows, facts.signal.sfreq)
    if trusted is None:
        raise ProtocolError("evidence", "Too little of the window can be trusted: it says nothing")
    return trusted
