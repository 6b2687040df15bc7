"""What the page on signals shows of spikes."""

from __future__ import annotations

import numpy as np

from neural_foundation.recordings.events import Spikes
from neural_foundation.signals.spikes import SpikeBinner, bin_spikes, binned


def test_the_example_on_spikes() -> None:
    spikes = Spikes.of({"unit 1": [0.010, 0.013, 0.020], "unit 2": [0.005]})
    counts = bin_spikes(spikes, 0.0, 0.03, bin_s=0.01)  # (2, 3)
    signal = binned(spikes, 0.01)  # the same as a lazy Signal, counted when read

    binner = SpikeBinner(spikes.unit_ids, bin_s=0.01)  # live: events in, whole bins out
    state = binner.start()
    chunk, state = binner.step(spikes.slice(0.0, 0.015), 0.015, state)  # one bin has ended

    np.testing.assert_array_equal(counts, [[0, 2, 1], [1, 0, 0]])
    np.testing.assert_array_equal(signal.read(), counts)
    np.testing.assert_array_equal(chunk.values, counts[:, :1])
