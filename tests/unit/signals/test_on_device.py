"""A chain in torch against the compiled pass; on the CPU here, on a GPU where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import StreamError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, join, load_state, run, save_state
from neural_foundation.signals import SIGNALS, Chain, SignalOp, chain
from neural_foundation.signals.on_device import DeviceChain

CLEANING = [
    {"kind": "pick", "types": ["eeg"]},
    {"kind": "notch", "hz": 50},
    {"kind": "bandpass", "low_hz": 1, "high_hz": 40},
    {"kind": "reference"},
    {"kind": "clip", "limit": 2, "reject": 5, "warmup_s": 0.5, "time_constant_s": 2},
    {"kind": "normalise", "time_constant_s": 2},
]
CASES: dict[str, list[dict[str, Any]]] = {
    "cleaning": CLEANING,
    "pairs": [{"kind": "reference", "pairs": [["C3", "Cz"], ["C4", "Pz"]]}, {"kind": "normalise", "mode": "global"}],
    "at rest": [{"kind": "bandpass", "high_hz": 40, "settle": False}, {"kind": "scale", "gain": 1e6}],
    "clip at once": [{"kind": "clip", "limit": 3, "reject": 6, "warmup_s": 0}],
    "picks alone": [{"kind": "pick", "channels": ["Pz", "C3"]}],
    "nothing": [],
}


def made(specs: list[dict[str, Any]], signal: SignalSpec, **settings: Any) -> Chain:
    return chain([op for op in map(SIGNALS.parse, specs) if isinstance(op, SignalOp)], signal, **settings)


@pytest.fixture
def soiled(noise: np.ndarray) -> Chunk:
    """A recording with a late start, artefacts, samples that are not finite, and some not valid."""
    noise[0, 1000:1005], noise[2, 1200] = 1e-3, -4e-5
    noise[1, 700:710], noise[:, 300] = np.nan, np.inf
    valid = np.ones(noise.shape[1], bool)
    valid[:13], valid[1500:1600] = False, False
    return Chunk(noise, valid)


def cut(chunk: Chunk, *edges: int) -> list[Chunk]:
    at = [0, *edges, chunk.n_times]
    return [Chunk(chunk.values[:, a:b], chunk.valid[a:b], a) for a, b in zip(at, at[1:], strict=False)]


def through(transducer: Chain, chunks: list[Chunk]) -> Chunk:
    state, out = transducer.start(), []
    for chunk in chunks:
        piece, state = transducer.step(chunk, state)
        out.append(piece)
    return join([*out, transducer.flush(state)])


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_chain_up_to_rounding(case: str, eeg: SignalSpec, soiled: Chunk) -> None:
    compiled = made(CASES[case], eeg)
    want = through(compiled, [soiled])
    for chunks in ([soiled], cut(soiled, 5, 13, 64, 650, 1003, 1004)):
        got = through(DeviceChain(compiled, "cpu"), chunks)
        np.testing.assert_array_equal(got.valid, want.valid)
        scale = want.values.std() if want.values.any() else 1
        np.testing.assert_allclose(got.values / scale, want.values / scale, atol=2e-5)


def test_a_stream_may_move_between_the_two(eeg: SignalSpec, soiled: Chunk) -> None:
    compiled = made(CLEANING, eeg)
    torch_chain, want = DeviceChain(compiled, "cpu"), through(compiled, [soiled])
    state, out = compiled.start(), []
    for i, chunk in enumerate(cut(soiled, 400, 900, 1300)):
        piece, state = (torch_chain if i % 2 else compiled).step(chunk, load_state(save_state(state)))
        out.append(piece)
    np.testing.assert_allclose(join(out).values, want.values, atol=2e-5 * want.values.std())


def test_a_gap_restarts_it_too(eeg: SignalSpec, noise: np.ndarray) -> None:
    chunks = [Chunk.of(noise[:, :700]), Chunk.of(noise[:, 1000:], 1000)]
    compiled = made(CLEANING[:3], eeg, on_gap="reset")
    for bound in (compiled, DeviceChain(compiled, "cpu")):
        state = bound.start()
        first, state = bound.step(chunks[0], state)
        second, state = bound.step(chunks[1], state)
        assert second.start == 1000
        assert first.valid.all()
        assert not second.valid[0]


def test_the_output_may_stay_on_the_device(eeg: SignalSpec, noise: np.ndarray) -> None:
    compiled = made(CLEANING, eeg)
    on_device = DeviceChain(compiled, "cpu")
    values, valid, state = on_device.process_tensor(Chunk.of(noise), on_device.start())
    np.testing.assert_allclose(values.numpy(), run(compiled, noise).values, atol=1e-4)
    assert valid.shape == (2000,)
    with pytest.raises(StreamError, match="A chunk starts at sample 2001. Allowed: 2000: no gap"):
        on_device.process_tensor(Chunk.of(noise, 2001), state)


def test_a_part_without_a_form_is_named(eeg: SignalSpec) -> None:
    with pytest.raises(StreamError, match="'RunningAlign' has no form for a device.*run the chain on the CPU"):
        DeviceChain(made([{"kind": "align"}], eeg), "cpu")
