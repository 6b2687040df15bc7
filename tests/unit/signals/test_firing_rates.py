"""Firing rates against sums of kernels at the spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.recordings.events import Spikes
from neural_foundation.signals import SIGNALS, chain
from neural_foundation.signals.firing_rates import FiringRates
from neural_foundation.signals.spikes import binned

BIN, STOP = 0.001, 4.0
SPIKES = Spikes.of({u: np.sort(generator(i, "rate").integers(0, 3500, 60)) * BIN for i, u in enumerate("abc")})
COUNTS = binned(SPIKES, BIN, 0, STOP)
AT = np.arange(COUNTS.n_times) * BIN


def rates(**fields: Any) -> np.ndarray:
    return np.asarray(run(FiringRates(**fields).bind(COUNTS.spec), COUNTS.read()).values)


def sums(kernel: Any) -> np.ndarray:
    """Return the kernel summed over the spikes of each unit."""
    return np.stack([kernel(AT[:, None] - SPIKES.train(u)).sum(1) for u in SPIKES.unit_ids])


def test_a_centred_gaussian_is_the_sum_of_gaussians_at_the_spikes() -> None:
    sd = 0.03
    want = sums(lambda t: np.exp(-0.5 * (t / sd) ** 2) / (sd * np.sqrt(2 * np.pi)))
    got = rates(width_s=sd, causal=False)
    np.testing.assert_allclose(got, want, atol=0.002 * want.max())
    by_scipy = ndimage.gaussian_filter1d(COUNTS.read().astype(float), 30, axis=1, mode="constant", truncate=4) / BIN
    np.testing.assert_allclose(got, by_scipy, atol=1e-5 * want.max())


def test_a_causal_gaussian_counts_only_what_has_been() -> None:
    sd = 0.03
    want = sums(lambda t: np.where(t > -1e-9, 2 * np.exp(-0.5 * (t / sd) ** 2) / (sd * np.sqrt(2 * np.pi)), 0))
    np.testing.assert_allclose(rates(width_s=sd), want, atol=0.02 * want.max())


def test_an_exponential_is_a_sum_of_decays() -> None:
    want = sums(lambda t: np.where(t > -1e-9, np.exp(-np.maximum(t, 0) / 0.1) / 0.1, 0))
    np.testing.assert_allclose(rates(kernel="exponential", width_s=0.1), want, atol=0.01 * want.max())


def test_a_moving_count_is_over_the_last_bins() -> None:
    counts = COUNTS.read()
    want = np.stack([np.convolve(row, np.ones(50))[: counts.shape[1]] for row in counts]) / 0.05
    np.testing.assert_allclose(rates(kernel="moving", width_s=0.05), want, atol=1e-4)


@pytest.mark.parametrize(
    "fields",
    [{"width_s": 0.03}, {"width_s": 0.03, "causal": False}, {"kernel": "exponential"}, {"kernel": "moving"}],
)
def test_the_integral_of_a_rate_is_the_number_of_spikes(fields: dict[str, Any]) -> None:
    np.testing.assert_allclose(rates(**fields).sum(1) * BIN, 60, rtol=3e-3)


@pytest.mark.parametrize("causal", [True, False])
def test_beyond_the_ends_there_are_no_spikes(causal: bool) -> None:
    ends = binned(Spikes.of({"a": [0.0, 0.9999]}), 0.001, 0, 1)
    got = run(FiringRates(width_s=0.01, causal=causal).bind(ends.spec), ends.read()).values[0]
    first, last = got[:100].sum() * 0.001, got[-100:].sum() * 0.001
    assert first == pytest.approx(1 if causal else 0.52, abs=0.01)
    assert last == pytest.approx(0.077 if causal else 0.52, abs=0.01)


def test_the_output_is_in_hertz_a_channel_a_unit() -> None:
    op = FiringRates(causal=False, width_s=0.02).bind(COUNTS.spec)
    assert op.output.units == ("Hz",) * 3
    assert op.output.ch_names == ("a", "b", "c")
    assert op.lookahead_s == pytest.approx(0.08)
    ops = [FiringRates(kernel="exponential"), SIGNALS.parse({"kind": "smooth", "shape": "exponential", "width_s": 1})]
    assert chain(ops, COUNTS.spec).output.units == ("Hz",) * 3  # also where the two become one filter


def test_wrong_settings_are_refused(eeg: SignalSpec) -> None:
    with pytest.raises(
        SignalMismatchError, match=r"channels are in \['V'\], not counts. .* Begin the chain with bin_spikes"
    ):
        FiringRates().bind(eeg)
    with pytest.raises(SpecError, match="an exponential kernel looks back only"):
        SIGNALS.parse({"kind": "firing_rates", "kernel": "exponential", "causal": False})
