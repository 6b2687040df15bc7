"""The chunk law, over every streaming kind: how a stream is cut never changes what comes out.

Operations, their chains, networks and the exported live decoder are held to the same tests.

Legend: values (n_chans, n_times) with an offset, gaps of NaN and invalid samples; a `cut` is the list of chunk
lengths. Error = max |a - b| over the RMS of the reference in the same tenth of the stream.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import SignalMismatchError, StreamError
from neural_foundation.core.kinds import HOMES, table_of
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import INFINITE, Chunk, State, Transducer, join, load_state, save_state
from neural_foundation.models.table import MODELS
from neural_foundation.realtime.binned_decoder import BinnedDecoder
from neural_foundation.realtime.decoder import StreamDecoder
from neural_foundation.signals import SIGNALS, chain

SIGNAL = SignalSpec(
    sfreq=200.0,
    ch_names=("C3", "Cz", "C4", "Pz", "EOG"),
    ch_types=("eeg", "eeg", "eeg", "eeg", "eog"),
    positions=((-0.06, 0.0, 0.06), (0.0, 0.0, 0.09), (0.06, 0.0, 0.06), (0.0, -0.06, 0.06), None),
)
N_TIMES = 1500
BOUND = 1e-5

MOTOR_IMAGERY: list[dict[str, Any]] = [
    {"kind": "pick", "types": ["eeg"]},
    {"kind": "notch", "hz": 50},
    {"kind": "bandpass", "low_hz": 1, "high_hz": 40},
    {"kind": "resample", "sfreq": 125},
    {"kind": "reference"},
    {"kind": "clip", "warmup_s": 0.5},
    {"kind": "align", "every_s": 0.3, "warmup_s": 1},
    {"kind": "normalise", "time_constant_s": 2},
]

# (kind, case): a bound transducer. A kind of operation whose law is `stream` must appear; so must `chain`.
OPERATIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("align", "default"): [{"kind": "align", "every_s": 0.5, "warmup_s": 1.2}],
    ("artefacts", "default"): [{"kind": "artefacts", "deflection": 3}],
    ("artefacts", "at once"): [{"kind": "artefacts", "deflection": 3, "lookahead_s": 0, "find": ["blink", "movement"]}],
    ("artefacts", "flags"): [{"kind": "artefacts", "output": "flags", "deflection": 3}],
    ("bad_channels", "default"): [{"kind": "bad_channels", "noise": 1.5}],
    ("bad_channels", "delayed"): [{"kind": "bad_channels", "repair": "zero", "mark": True, "lookahead_s": 1.0}],
    ("bad_channels", "reasons"): [{"kind": "bad_channels", "output": "reasons"}],
    ("band_powers", "welch"): [{"kind": "band_powers", "window_s": 1, "hop_s": 0.05}],
    ("band_powers", "log"): [{"kind": "band_powers", "method": "multitaper", "scale": "log", "place": "centre"}],
    ("bandpass", "iir"): [{"kind": "bandpass", "low_hz": 1, "high_hz": 40}],
    ("bandpass", "at rest"): [{"kind": "bandpass", "high_hz": 40, "settle": False}],
    ("bandpass", "linear fir"): [{"kind": "bandpass", "low_hz": 4, "high_hz": 40, "method": "fir"}],
    ("bandpass", "minimum fir"): [{"kind": "bandpass", "high_hz": 30, "method": "fir", "phase": "minimum"}],
    ("bandpass", "zero phase"): [{"kind": "bandpass", "low_hz": 1, "method": "zero_phase"}],
    ("clip", "default"): [{"kind": "clip", "limit": 2, "reject": 3, "time_constant_s": 1}],
    ("connectivity", "welch"): [{"kind": "connectivity", "window_s": 2, "measures": ["coherence", "plv", "wpli"]}],
    ("connectivity", "multitaper"): [{"kind": "connectivity", "method": "multitaper", "measures": ["pli"]}],
    ("entropy", "all"): [{"kind": "entropy", "window_s": 0.5, "measures": ["sample", "approximate", "permutation"]}],
    ("hjorth", "centre"): [{"kind": "hjorth", "window_s": 0.5, "place": "centre"}],
    ("line_length", "default"): [{"kind": "line_length", "hop_s": 0.035}],
    ("drift", "default"): [{"kind": "drift", "hop_s": 0.1, "reference_s": 1.0, "false_alarm_s": 20}],
    ("ica", "two channels"): [{"kind": "ica", "channels": ["Pz", "C3"], "matrix": [[1, 0.5], [0.1, 1]]}],
    ("line_noise", "default"): [{"kind": "line_noise", "time_constant_s": 0.2}],
    ("normalise", "channel"): [{"kind": "normalise", "time_constant_s": 1}],
    ("normalise", "global"): [{"kind": "normalise", "mode": "global"}],
    ("notch", "default"): [{"kind": "notch", "hz": 50}],
    ("pick", "names"): [{"kind": "pick", "channels": ["Pz", "C3"]}],
    ("reference", "average"): [{"kind": "reference"}],
    ("reference", "pairs"): [{"kind": "reference", "pairs": [["C3", "Cz"], ["C4", "Cz"]]}],
    ("resample", "down"): [{"kind": "resample", "sfreq": 128}],
    ("resample", "up"): [{"kind": "resample", "sfreq": 250}],
    ("resample", "minimum"): [{"kind": "resample", "sfreq": 50, "phase": "minimum"}],
    ("scale", "microvolts"): [{"kind": "scale", "gain": 1e6}],
    ("spectral", "default"): [{"kind": "spectral", "window_s": 1}],
    ("spectrogram", "stft"): [{"kind": "spectrogram", "resolution_hz": 0.5, "high_hz": 15, "scale": "db"}],
    ("spectrogram", "mel"): [{"kind": "spectrogram", "method": "mel", "place": "centre", "window_s": 2}],
    ("statistics", "default"): [{"kind": "statistics", "hop_s": 0.3, "window_s": 0.2}],
    ("wavelet", "power"): [{"kind": "wavelet", "frequencies": [6, 11, 30]}],
    ("wavelet", "phase"): [{"kind": "wavelet", "frequencies": [20], "hop_s": 0.015, "output": "phase"}],
    ("bandpass", "elliptic"): [{"kind": "bandpass", "low_hz": 1, "high_hz": 40, "design": "ellip"}],
    ("bandstop", "iir"): [{"kind": "bandstop", "low_hz": 20, "high_hz": 30, "design": "cheby2"}],
    ("bandstop", "zero phase"): [{"kind": "bandstop", "low_hz": 20, "high_hz": 30, "method": "zero_phase"}],
    ("interpolate", "some places"): [{"kind": "interpolate", "to": ["Fz", "Cz", "Oz"]}],
    ("laplacian", "small"): [{"kind": "laplacian", "neighbours": 3}],
    ("laplacian", "spline"): [{"kind": "laplacian", "method": "spline"}],
    ("crossings", "default"): [{"kind": "crossings", "threshold": 2, "bin_s": 0.035}],
    ("lfp_bands", "fir"): [{"kind": "lfp_bands", "bands": {"low": [4, 8], "high": [30, 70]}, "every_s": 0.05}],
    ("lfp_bands", "resonator"): [{"kind": "lfp_bands", "bands": {"a": [8, 13]}, "method": "resonator"}],
    ("phase", "fir"): [{"kind": "phase", "low_hz": 8, "high_hz": 13, "gives": ["cos", "sin", "amplitude"]}],
    ("phase", "resonator"): [{"kind": "phase", "low_hz": 8, "high_hz": 13, "method": "resonator", "gives": ["sin"]}],
    ("robust_reference", "default"): [{"kind": "robust_reference", "every_s": 0.3, "time_constant_s": 1}],
    ("smooth", "moving"): [{"kind": "smooth", "width_s": 0.3}],
    ("smooth", "centred"): [{"kind": "smooth", "width_s": 0.3, "causal": False}],
    ("smooth", "exponential"): [{"kind": "smooth", "shape": "exponential", "width_s": 0.1}],
    ("smooth", "gaussian"): [{"kind": "smooth", "shape": "gaussian", "width_s": 0.05, "causal": False}],
    ("bin_spikes", "its counts"): [{"kind": "bin_spikes", "bin_s": 0.005}],
    ("firing_rates", "exponential"): [{"kind": "firing_rates", "kernel": "exponential"}],
    ("firing_rates", "causal"): [{"kind": "firing_rates"}],
    ("firing_rates", "centred"): [{"kind": "firing_rates", "causal": False}],
    ("subspace", "default"): [{"kind": "subspace", "calibrate_s": 2, "cutoff": 2}],
    ("subspace", "at once"): [{"kind": "subspace", "calibrate_s": 2, "cutoff": 2, "wait": False}],
    ("chain", "motor imagery"): MOTOR_IMAGERY,
    ("chain", "empty"): [],
}


def bound(specs: list[dict[str, Any]], *, alone: bool) -> Transducer:
    ops = [SIGNALS.parse(spec) for spec in specs]
    counts = any(spec["kind"] in ("bin_spikes", "firing_rates") for spec in specs[:1])
    signal = SIGNAL.replace(units=("",) * SIGNAL.n_chans) if counts else SIGNAL
    return ops[0].bind(signal) if alone else chain(ops, signal)  # type: ignore[attr-defined,arg-type]


class NetworkStream(Transducer):
    """A network under the law: samples wait in the state until they make a token; out come logits, one a token."""

    def __init__(self, kind: str) -> None:
        import torch

        self.input = SIGNAL.replace(
            ch_names=SIGNAL.ch_names[:4], ch_types=SIGNAL.ch_types[:4], positions=SIGNAL.positions[:4]
        )
        target = TargetSpec(classes=("a", "b", "c"))
        self.network = MODELS.parse(kind).build(self.input, target, seed=3).eval()  # type: ignore[attr-defined]
        noise = torch.Generator().manual_seed(0)
        self.network.calibrate([1e-5 * torch.randn(4, 4, 10 * self.network.hop, generator=noise)])
        with torch.no_grad():
            for p in self.network.parameters():
                p += 0.01 * torch.randn(p.shape, generator=noise)
        self.output = SignalSpec(sfreq=SIGNAL.sfreq / self.network.hop, ch_names=target.classes)

    def start(self) -> State:
        from neural_foundation.models.network import to_arrays

        waiting = np.zeros((self.input.n_chans, 0), np.float32)
        return {"network": to_arrays(self.network.start(1)), "waiting": waiting, "n_out": 0}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        import torch

        from neural_foundation.models.network import to_arrays, to_tensors

        clean = np.nan_to_num(chunk.values, posinf=0)  # a network hears what a chain has cleaned
        signal = np.concatenate([state["waiting"], clean], 1)
        whole, first = signal.shape[1] // self.network.hop * self.network.hop, state["n_out"]
        values, after = np.zeros((self.output.n_chans, 0), np.float32), state["network"]
        if whole:
            with torch.inference_mode():
                out, moved = self.network.stream(torch.from_numpy(signal[None, :, :whole]), to_tensors(after))
            values, after = out.logits[0].T.numpy(), to_arrays(moved)
        n_out = first + values.shape[1]
        return Chunk.of(values, first), {"network": after, "waiting": signal[:, whole:], "n_out": n_out}


CASES = [*OPERATIONS, ("multiscale", "network"), ("decoder", "exported graph"), ("decoder", "of counts")]


@pytest.fixture(params=CASES, ids=" ".join)
def make(request: pytest.FixtureRequest) -> Callable[[], Transducer]:
    """What makes the transducer of a case, anew at each call."""
    kind = request.param[0]
    if request.param == ("decoder", "of counts"):
        folder = request.getfixturevalue("exported_binned")["causal"]
        return lambda: BinnedDecoder.open(folder)
    if kind == "decoder":
        package = request.getfixturevalue("exported_package")
        return lambda: StreamDecoder(package, resets_s=[3.03, 7.0])
    if kind in MODELS:
        return lambda: NetworkStream(kind)
    return lambda: bound(OPERATIONS[request.param], alone=kind != "chain")


def recording(signal: SignalSpec = SIGNAL, seed: int = 0) -> Chunk:
    """Return channels of noise on an offset, with what live streams bring: NaN, infinity, invalid stretches."""
    rng = generator(seed, "law")
    values = (rng.standard_normal((signal.n_chans, N_TIMES)).cumsum(1) * 2e-6 + 1e-3).astype(np.float32)
    values[2, 700:720] = np.nan
    values[0, 411] = np.inf
    valid = np.ones(N_TIMES, bool)
    valid[900:930] = valid[:2] = False
    return Chunk(values, valid)


def cut(chunk: Chunk, lengths: Iterator[int] | list[int]) -> list[Chunk]:
    chunks, at = [], 0
    for n in lengths:
        if at >= chunk.n_times:
            break
        chunks.append(Chunk(chunk.values[:, at : at + n], chunk.valid[at : at + n], chunk.start + at))
        at += n
    return chunks


def stepped(transducer: Transducer, chunks: list[Chunk], *, reload_at: int | None = None) -> Chunk:
    """Return the whole output, with the state written and read again before chunk `reload_at`."""
    state, out = transducer.start(), []
    for i, chunk in enumerate(chunks):
        if i == reload_at:
            state = load_state(save_state(state))
        piece, state = transducer.step(chunk, state)
        out.append(Chunk(piece.values.copy(), piece.valid.copy(), piece.start))
    return join([*out, transducer.flush(state)])


def error(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest deviation, each tenth of the stream over its own RMS.

    Of a tenth that is silent beside the whole, over a millionth of that: an FFT leaves 1e-16 where a sum leaves 0.
    """
    worst, least = 0.0, max(1e-6 * rms(want), 1e-30)
    for a, b in zip(np.array_split(got, 10, axis=1), np.array_split(want, 10, axis=1), strict=True):
        worst = max(worst, float(np.abs(a - b).max(initial=0)) / max(rms(b), least))
    return worst


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def assert_same(got: Chunk, want: Chunk) -> None:
    assert (got.start, got.n_times) == (want.start, want.n_times)
    np.testing.assert_array_equal(got.valid, want.valid)
    assert error(got.values, want.values) <= BOUND


def test_every_streaming_kind_has_a_case() -> None:
    streaming = {kind for table in map(table_of, HOMES) for kind in table if table.row(kind).law == "stream"}
    assert streaming | {"chain", "decoder"} == {kind for kind, _ in CASES}


def test_cuts_do_not_change_the_output(make: Callable[[], Transducer]) -> None:
    transducer = make()
    whole = recording(transducer.input)
    want = stepped(transducer, [whole])
    assert np.isfinite(want.values).all()
    assert want.n_times
    assert want.values.dtype == (np.float64 if isinstance(transducer, StreamDecoder) else np.float32)
    rng = generator(0, "cuts")
    for lengths in ([1] * N_TIMES, [7] * N_TIMES, [64] * N_TIMES, list(rng.integers(0, 200, N_TIMES))):
        assert_same(stepped(transducer, cut(whole, lengths)), want)


def test_a_saved_state_goes_on(make: Callable[[], Transducer]) -> None:
    whole = recording(make().input)
    want = stepped(make(), [whole])
    assert_same(stepped(make(), cut(whole, [333] * 5), reload_at=2), want)
    assert_same(stepped(make(), cut(whole, [1500]), reload_at=0), want)


def test_what_has_come_out_depends_on_the_count_alone(make: Callable[[], Transducer]) -> None:
    def counts(lengths: list[int]) -> dict[int, int]:
        transducer, seen, out = make(), 0, 0
        state, at = transducer.start(), {}
        for chunk in cut(recording(transducer.input, seed=1), lengths):
            piece, state = transducer.step(chunk, state)
            seen, out = seen + chunk.n_times, out + piece.n_times
            at[seen] = out
        return at

    fine, coarse = counts([1] * N_TIMES), counts([61] * N_TIMES)
    assert all(fine[seen] == out for seen, out in coarse.items())


def test_no_more_future_is_used_than_declared(make: Callable[[], Transducer]) -> None:
    transducer, edge = make(), 1000
    whole = recording(transducer.input)
    if transducer.lookahead_s == INFINITE:
        assert not stepped_values(transducer, whole).n_times  # nothing before the flush
        return
    other = Chunk(whole.values.copy(), whole.valid, 0)
    other.values[:, edge:] *= 3
    safe = int((edge / transducer.input.sfreq - transducer.lookahead_s) * transducer.output.sfreq)
    a, b = stepped_values(transducer, whole), stepped_values(transducer, other)
    assert safe > 0
    assert error(b.values[:, :safe], a.values[:, :safe]) <= BOUND  # an FFT spreads its rounding over the block
    live = stepped_values(transducer, cut(whole, [edge])[0])
    assert live.n_times >= safe - 1  # and no later than declared


def stepped_values(transducer: Transducer, chunk: Chunk) -> Chunk:
    return transducer.step(chunk, transducer.start())[0]


def test_the_input_is_left_alone(make: Callable[[], Transducer]) -> None:
    transducer = make()
    whole = recording(transducer.input)
    whole.values.flags.writeable = whole.valid.flags.writeable = False
    stepped(transducer, cut(whole, [700, 800]))  # a write would raise


LINK = st.sampled_from(
    [specs[0] for (kind, name), specs in OPERATIONS.items() if kind != "chain" and name != "zero phase"]
)


@settings(max_examples=15, deadline=None)
@given(specs=st.lists(LINK, max_size=4), lengths=st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_random_chains_and_cuts(specs: list[dict[str, Any]], lengths: list[int]) -> None:
    try:
        transducer = bound(specs, alone=False)
    except SignalMismatchError:  # bipolar after bipolar, 50 Hz after resampling to 50 Hz
        return
    whole = recording(seed=2)
    assert_same(stepped(transducer, cut(whole, [*lengths, N_TIMES])), stepped(transducer, [whole]))


CONTINUE = """
import json, sys
import numpy as np
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, join, load_state
from neural_foundation.signals import SIGNALS, chain
folder = sys.argv[1]
signal = SignalSpec.model_validate_json(open(folder + "/signal.json").read())
transducer = chain([SIGNALS.parse(s) for s in json.load(open(folder + "/ops.json"))], signal)
rest = np.load(folder + "/rest.npz")
state = load_state(open(folder + "/state", "rb").read())
out, state = transducer.step(Chunk(rest["values"], rest["valid"], 777), state)
out = join([out, transducer.flush(state)])
np.savez(folder + "/out.npz", values=out.values, valid=out.valid, start=out.start)
"""


def test_a_state_moves_to_another_process(tmp_path: Path) -> None:
    transducer, whole = bound(MOTOR_IMAGERY, alone=False), recording()
    first, rest = cut(whole, [777, N_TIMES])
    begun, state = transducer.step(first, transducer.start())
    (tmp_path / "state").write_bytes(save_state(state))
    (tmp_path / "signal.json").write_text(SIGNAL.model_dump_json())
    (tmp_path / "ops.json").write_text(json.dumps(MOTOR_IMAGERY))
    np.savez(tmp_path / "rest.npz", values=rest.values, valid=rest.valid)
    subprocess.run([sys.executable, "-c", CONTINUE, str(tmp_path)], check=True)
    with np.load(tmp_path / "out.npz") as out:
        ended = Chunk(out["values"], out["valid"], int(out["start"]))
    assert_same(join([begun, ended]), stepped(transducer, [whole]))


class Careless(Transducer):
    """Subtracts the mean of each chunk, which every cut changes."""

    input = output = SIGNAL

    def start(self) -> State:
        return {}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return Chunk(chunk.values - chunk.values.mean(), chunk.valid, chunk.start), state


def test_a_careless_operation_is_caught() -> None:
    whole = Chunk.of(np.nan_to_num(recording().values, posinf=0))
    with pytest.raises(AssertionError):
        assert_same(stepped(Careless(), cut(whole, [64] * N_TIMES)), stepped(Careless(), [whole]))


def test_bytes_that_are_no_state_are_refused() -> None:
    with pytest.raises(StreamError, match="not a saved state"):
        load_state(b"junk")
