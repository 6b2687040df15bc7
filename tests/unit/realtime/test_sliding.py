"""Whole-window models, live: equal to an evaluation on the same windows, however the stream is cut."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import window_package
from hypothesis import given, settings
from hypothesis import strategies as st
from small_package import NAMES, RAW, signal

from neural_foundation.core.errors import SignalMismatchError, SpecError, StreamError
from neural_foundation.core.stream import Chunk, copy_state, join, load_state, run, save_state
from neural_foundation.models.package import Package
from neural_foundation.realtime.sliding import SlidingDecoder
from neural_foundation.signals.chain import chain

N = 900
WINDOW = 200


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return window_package.make(tmp_path_factory.mktemp("window") / "bands")


def decoded(decoder: SlidingDecoder, values: np.ndarray, edges: list[int], *, through_bytes: bool = False) -> Chunk:
    state, out = decoder.start(), []
    for a, b in pairwise(edges):
        piece, state = decoder.step(Chunk.of(values[:, a:b], a), state)
        out.append(piece)
        if through_bytes:
            state = load_state(save_state(state))
    return join([*out, decoder.flush(state)])


def cleaned(package: Package, values: np.ndarray) -> np.ndarray:
    return run(chain(package.facts.chain, RAW), values).values


@pytest.mark.parametrize("kind", window_package.SPECS)
def test_each_decision_is_that_of_an_evaluation_on_its_window(kind: str, tmp_path: Path) -> None:
    made = window_package.make(tmp_path, kind)
    values = signal(N, seed=9)
    decoder = SlidingDecoder(made, hop_s=0.35)
    out = decoded(decoder, values, [0, 1, 250, 601, N])
    ends = decoder.token_ends(N)
    assert ends.tolist() == list(range(WINDOW, N + 1, 35))
    clean = cleaned(made, values)
    expected = made.predict_proba(np.stack([clean[:, e - WINDOW : e] for e in ends]))
    np.testing.assert_allclose(out.values.T, expected, atol=1e-6)
    assert out.valid.all()
    assert np.ptp(expected[:, 0]) > 1e-3, "decisions that never change would prove nothing"


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(1, N - 1), max_size=12),
    hop_s=st.sampled_from([0.05, 0.1, 0.73, 2.5]),
    through_bytes=st.booleans(),
)
def test_chunk_law(package: Package, cuts: list[int], hop_s: float, through_bytes: bool) -> None:
    values = signal(N, seed=4)
    decoder = SlidingDecoder(package, hop_s=hop_s, resets_s=[2.03, 5.2])
    whole = decoded(decoder, values, [0, N])
    parts = decoded(decoder, values, sorted({0, N, *cuts}), through_bytes=through_bytes)
    assert whole.n_times == len(decoder.token_ends(N)) > 0
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)
    np.testing.assert_array_equal(parts.valid, whole.valid)


def test_sample_by_sample(package: Package) -> None:
    values = signal(450, seed=4)
    decoder = SlidingDecoder(package, hop_s=0.1)
    whole, singles = decoded(decoder, values, [0, 450]), decoded(decoder, values, list(range(451)))
    np.testing.assert_allclose(singles.values, whole.values, atol=1e-6)


def test_a_reset_waits_for_a_full_window(package: Package) -> None:
    values = signal(N, seed=2)
    decoder = SlidingDecoder(package, hop_s=0.5)
    first, state = decoder.step(Chunk.of(values[:, :330]), decoder.start())
    state = decoder.reset(state)
    second, state = decoder.step(Chunk.of(values[:, 330:529], 330), state)
    third, _ = decoder.step(Chunk.of(values[:, 529:600], 529), state)
    assert (first.n_times, second.n_times, third.n_times) == (3, 0, 2)
    at_once = decoded(SlidingDecoder(package, hop_s=0.5, resets_s=[3.3]), values[:, :600], [0, 600])
    np.testing.assert_allclose(np.concatenate([first.values, third.values], 1), at_once.values, atol=1e-6)


def test_two_streams_and_a_fork_stay_apart(package: Package) -> None:
    decoder = SlidingDecoder(package, hop_s=0.1)
    _, one = decoder.step(Chunk.of(signal(250, seed=1)), decoder.start())
    fork = copy_state(one)
    _, two = decoder.step(Chunk.of(signal(250, seed=2)), decoder.start())
    rest = Chunk.of(signal(300, seed=1)[:, 250:], 250)
    out, _ = decoder.step(rest, one)
    decoder.step(Chunk.of(signal(300, seed=2)[:, 250:], 250), two)
    again, _ = decoder.step(rest, fork)
    np.testing.assert_array_equal(out.values, again.values)


def test_a_window_of_which_half_is_not_valid_says_nothing(package: Package) -> None:
    chunk = Chunk.of(signal(600))
    chunk.valid[200:330] = False
    out, _ = (d := SlidingDecoder(package, hop_s=0.1)).step(chunk, d.start())
    ends = d.token_ends(600)
    covered = [np.count_nonzero(~chunk.valid[e - WINDOW : e]) for e in ends]
    np.testing.assert_array_equal(out.valid, np.array(covered) < 100)
    assert 0 < np.count_nonzero(out.valid) < len(ends)
    assert (out.values[:, ~out.valid] == 0.5).all()


def test_a_flat_channel_says_nothing_and_breaks_nothing(package: Package) -> None:
    bare = Package(package.folder, package.facts.model_copy(update={"chain": ()}))
    values = signal(800)
    values[1, 200:500] = 0
    out = decoded(decoder := SlidingDecoder(bare, hop_s=1.0), values, [0, 800])
    flat = [not values[1, e - WINDOW : e].any() for e in decoder.token_ends(800)]
    assert out.valid.tolist() == [not f for f in flat]
    assert any(flat)


def test_the_place_for_adaptation(package: Package) -> None:
    values = signal(400, seed=3)
    mixed = SlidingDecoder(package, hop_s=1)
    mixed.mix = 3.0 * np.eye(3)
    clean = 3 * cleaned(package, values)
    np.testing.assert_allclose(
        decoded(mixed, values, [0, 400]).values[:, 0], package.predict_proba(clean[None, :, :200])[0], atol=1e-5
    )


def test_the_hop_is_as_trained_unless_given(package: Package, tmp_path: Path) -> None:
    assert SlidingDecoder(package).hop == WINDOW // 10
    assert SlidingDecoder(window_package.make(tmp_path, hop_s=0.4)).hop == 40
    decoder = SlidingDecoder(package, hop_s=0.25)
    assert (decoder.hop, decoder.output.sfreq, decoder.classes) == (25, 4.0, ("left", "right"))
    with pytest.raises(SpecError, match=r"hop_s is 0.001. Allowed: 0.01 s"):
        SlidingDecoder(package, hop_s=0.001)


def test_a_network_can_be_asked_for_whole_windows_too(exported_package: Package) -> None:
    values = signal(420, seed=6)
    out = decoded(SlidingDecoder(exported_package, hop_s=1), values, [0, 77, 420])
    clean = cleaned(exported_package, values)
    expected = exported_package.predict_proba(np.stack([clean[:, a : a + WINDOW] for a in (0, 100, 200)]))
    np.testing.assert_allclose(out.values.T, expected, atol=1e-5)


def test_what_does_not_fit_is_refused(package: Package) -> None:
    with pytest.raises(SignalMismatchError, match="The signal has 128 Hz"):
        SlidingDecoder(package, RAW.replace(sfreq=128))
    nothing = Package(package.folder, package.facts.model_copy(update={"target": None}))
    with pytest.raises(StreamError, match="decodes nothing"):
        SlidingDecoder(nothing)
    with pytest.raises(SignalMismatchError, match=NAMES[0]):
        SlidingDecoder(package, RAW.replace(ch_names=("X", "Cz", "C4"), ch_types=(), positions=()))


def test_deciding_live_loads_nothing_heavy(package: Package) -> None:
    code = (
        "import sys, numpy as np\n"
        "from neural_foundation.core.stream import Chunk\n"
        "from neural_foundation.models.package import Package\n"
        "from neural_foundation.realtime.sliding import SlidingDecoder\n"
        f"decoder = SlidingDecoder(Package.open({str(package.folder)!r}))\n"
        "values = np.random.default_rng(0).standard_normal((3, 400)).astype(np.float32)\n"
        "out, _ = decoder.step(Chunk.of(values), decoder.start())\n"
        "assert out.n_times == 11, out.n_times\n"
        "print(' '.join(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"torch", "lightning", "sklearn", "pyriemann", "mne", "matplotlib", "onnxruntime", "pandas"}
