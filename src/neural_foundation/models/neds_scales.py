"""What a network of binned sessions must know of its training windows: means, standard deviations, rates, shares."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..sampling.binned import BinnedSet
from .layers.stitching import Counts, Scale, transformed

if TYPE_CHECKING:
    from .neds_network import NedsNetwork

log = logging.getLogger(__name__)
Array = NDArray[np.float64]
AT_ONCE = 256  # windows
LEAST = 0.5  # events a silent unit is taken to have had, so that its log rate is finite


def calibrate(network: NedsNetwork, windows: BinnedSet) -> None:
    """Set the scales of every session in `windows`, and the shares of classes; the sums are float64."""
    with torch.no_grad():
        for index, session in enumerate(windows.spec.sessions):
            items = np.flatnonzero(windows.session == index)
            if not len(items):
                log.warning("Session '%s' has no training window; its scales keep their start", session.name)
                continue
            part = network.part(network.index(session.name))
            for name in windows.sessions[index].values:
                kind = windows.spec.modality(name).kind
                if kind == "counts":
                    _counts(part.of_counts(name), windows, items, name, network.spec.transform)
                elif kind == "continuous":
                    _continuous(part.of_continuous(name), windows, items, name)
        for name in windows.spec.of_kind("classes"):
            _classes(network, windows, name)


def _values(windows: BinnedSet, items: NDArray[np.int64], name: str) -> Iterator[NDArray[np.float32]]:
    session = int(windows.session[items[0]])
    for first in range(0, len(items), AT_ONCE):
        values = windows.values(session, name, items[first : first + AT_ONCE])
        yield np.asarray(values, np.float32).reshape(-1, values.shape[-1])


def _counts(part: Counts, windows: BinnedSet, items: NDArray[np.int64], name: str, transform: str) -> None:
    n, events = 0, np.zeros(len(part.mean))
    total, square = np.zeros(len(part.mean)), np.zeros(len(part.mean))
    for counts in _values(windows, items, name):
        scaled = transformed(torch.from_numpy(counts), transform).numpy().astype(np.float64)
        n += len(counts)
        events += counts.sum(0, dtype=np.float64)
        total += scaled.sum(0)
        square += (scaled**2).sum(0)
    variance = max(float((square / n - (total / n) ** 2).mean()), 0.0)
    part.mean.copy_(torch.from_numpy(total / n))
    part.scale.fill_(variance**0.5 or 1.0)
    part.bias.copy_(torch.from_numpy(np.log(np.maximum(events, LEAST) / n)))


def _continuous(part: Scale, windows: BinnedSet, items: NDArray[np.int64], name: str) -> None:
    n, total = np.zeros(len(part.mean)), np.zeros(len(part.mean))
    for values in _values(windows, items, name):
        n += np.isfinite(values).sum(0)
        total += np.nansum(values, 0, dtype=np.float64)
    mean, square = total / np.maximum(n, 1), np.zeros(len(part.mean))
    for values in _values(windows, items, name):
        square += np.nansum((values - mean) ** 2, 0)
    std = np.sqrt(square / np.maximum(n, 1))
    part.mean.copy_(torch.from_numpy(mean))
    part.std.copy_(torch.from_numpy(np.where(std > 0, std, 1.0)))


def _classes(network: NedsNetwork, windows: BinnedSet, name: str) -> None:
    bias = network.of_classes(name).read.bias
    seen = np.zeros(len(bias))
    for index, session in enumerate(windows.sessions):
        if name in session.values:
            values = windows.values(index, name)
            seen += np.bincount(values[values >= 0], minlength=len(bias))[: len(bias)]
    if seen.sum():
        bias.copy_(torch.from_numpy(np.log(np.maximum(seen, LEAST) / seen.sum())))
