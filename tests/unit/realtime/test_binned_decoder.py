"""Counts decoded live: what an evaluation says, however the stream is cut, saved, moved or shared."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import live_binned
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_binned import BINS

from neural_foundation.core.errors import PackageError, SpecError, StreamError
from neural_foundation.core.store import write_json
from neural_foundation.core.stream import Chunk, copy_state, join, load_state, run, save_state
from neural_foundation.models.binned_package import BinnedPackage, save_binned
from neural_foundation.models.predicted import hidden_for
from neural_foundation.models.table import MODELS
from neural_foundation.realtime.binned_decoder import BinnedDecoder
from neural_foundation.recordings import Spikes
from neural_foundation.signals.spikes import SpikeBinner, bin_spikes, counts_spec

N = 70
FORMS = [("causal", {}), ("whole", {"hop": 3}), ("whole", {"hop": 7, "place": "middle"}), ("whole", {"hop": 30})]
OPENED: dict[tuple[str, str], BinnedDecoder] = {}


def opened(folders: dict[str, Path], form: str, **fields: Any) -> BinnedDecoder:
    key = form, str(fields)
    if key not in OPENED:
        OPENED[key] = BinnedDecoder.open(folders[form], **fields)
    return OPENED[key]


def counts(n: int = N, seed: int = 0) -> Chunk:
    rng = np.random.default_rng(seed)
    values, valid = rng.poisson(0.7, (6, n)).astype(np.float32), np.ones(n, bool)
    values[2, 20:24], values[:, 40:41], valid[50:53] = np.nan, np.inf, False
    return Chunk(values, valid)


def decoded(decoder: BinnedDecoder, whole: Chunk, edges: list[int], *, through_bytes: bool = False) -> Chunk:
    state, out = decoder.start(), []
    for a, b in pairwise(edges):
        piece, state = decoder.step(Chunk(whole.values[:, a:b], whole.valid[a:b], a), state)
        out.append(piece)
        if through_bytes:
            state = load_state(save_state(state))
    return join([*out, decoder.flush(state)])


@pytest.mark.parametrize(("form", "fields"), FORMS, ids=str)
@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, N - 1), max_size=10), through_bytes=st.booleans())
def test_any_cut_gives_the_same(
    exported_binned: dict[str, Path], form: str, fields: dict[str, Any], cuts: list[int], *, through_bytes: bool
) -> None:
    decoder, heard = opened(exported_binned, form, **fields), counts()
    whole = decoded(decoder, heard, [0, N])
    parts = decoded(decoder, heard, sorted({0, N, *cuts}), through_bytes=through_bytes)
    assert np.isfinite(whole.values).all()
    assert np.ptp(whole.values[0]) > 0
    np.testing.assert_array_equal(parts.values, whole.values)
    np.testing.assert_array_equal(parts.valid, whole.valid)


@pytest.mark.parametrize(("form", "fields"), FORMS[:2], ids=str)
def test_torch_gives_what_the_graph_gives_and_goes_on_from_its_state(
    exported_binned: dict[str, Path], form: str, fields: dict[str, Any]
) -> None:
    graph, torch = (opened(exported_binned, form, graph=g, **fields) for g in (True, False))
    heard = counts()
    want = decoded(graph, heard, [0, N])
    np.testing.assert_allclose(decoded(torch, heard, [0, 13, N]).values, want.values, rtol=1e-4, atol=1e-4)
    first, state = graph.step(Chunk(heard.values[:, :33], heard.valid[:33]), graph.start())
    second, _ = torch.step(Chunk(heard.values[:, 33:], heard.valid[33:], 33), load_state(save_state(state)))
    np.testing.assert_allclose(join([first, second]).values, want.values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("form", "fields"), FORMS[:2], ids=str)
def test_streams_take_turns_and_a_copy_keeps_the_past(
    exported_binned: dict[str, Path], form: str, fields: dict[str, Any]
) -> None:
    decoder = opened(exported_binned, form, **fields)
    heard = [counts(seed=k) for k in range(2)]
    want = [decoded(decoder, h, [0, N]).values for h in heard]
    states, out = [decoder.start(), decoder.start()], [[], []]
    for at in range(0, N, 10):
        for k in range(2):
            kept = copy_state(states[k])
            piece = Chunk(heard[k].values[:, at : at + 10], heard[k].valid[at : at + 10], at)
            lost, _ = decoder.step(piece, states[k])
            again, states[k] = decoder.step(piece, kept)
            np.testing.assert_array_equal(lost.values, again.values)
            out[k].append(again.values)
    for k in range(2):
        np.testing.assert_array_equal(np.concatenate(out[k], 1), want[k])


def test_a_causal_model_says_in_each_bin_what_an_evaluation_does(exported_binned: dict[str, Path]) -> None:
    decoder, data = opened(exported_binned, "causal"), live_binned.windows()
    said = decoder.package.predict(data, hidden_for("decoding", data.spec)).sessions[0]
    heard = data.values(0, "spikes").astype(np.float32)
    state = decoder.start()
    for k in range(4):
        out, state = decoder.step(Chunk.of(heard[k].T, k * BINS), decoder.reset(state))
        for name, rows in decoder.parts.items():
            want = said[name][k]
            got = out.values[rows].T if want.ndim == 2 else out.values[rows, -1]
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert decoder.lookahead_s == 0
    assert decoder.output.sfreq == pytest.approx(50)


@pytest.mark.parametrize(("place", "bin_"), [("last", BINS - 1), ("middle", BINS // 2)])
def test_a_window_says_at_its_place_what_an_evaluation_does(
    exported_binned: dict[str, Path], place: str, bin_: int
) -> None:
    decoder, data = opened(exported_binned, "whole", place=place, hop=5), live_binned.windows()
    said = decoder.package.predict(data, hidden_for("decoding", data.spec)).sessions[0]
    heard = data.values(0, "spikes").astype(np.float32)
    out, state = decoder.step(Chunk.of(np.concatenate(heard[:3]).T), decoder.start())
    assert out.n_times == (3 * BINS - BINS) // 5 + 1
    for k in range(3):
        for name, rows in decoder.parts.items():
            want = said[name][k][bin_] if said[name].ndim == 3 else said[name][k]
            np.testing.assert_allclose(out.values[rows, k * BINS // 5], want, rtol=1e-4, atol=1e-5)
    assert decoder.last_bins(state, out.n_times).tolist() == list(range(bin_, 3 * BINS - (BINS - 1 - bin_), 5))
    assert decoder.lookahead_s == pytest.approx((BINS - 1 - bin_) * 0.02)
    assert decoder.output.sfreq == pytest.approx(10)


def test_a_reset_forgets_what_was_before(exported_binned: dict[str, Path]) -> None:
    for form, fields in FORMS[:2]:
        decoder, heard = opened(exported_binned, form, **fields), counts(60, seed=3).values[:, :30]
        fresh = decoder.step(Chunk.of(heard), decoder.start())[0].values
        _, state = decoder.step(Chunk.of(counts(25, seed=4).values), decoder.start())
        out, state = decoder.step(Chunk.of(heard, 25), decoder.reset(state))
        np.testing.assert_array_equal(out.values, fresh)
        assert decoder.last_bins(state, 1)[0] == (25 + 29 if form == "causal" else 25 + 28)


def test_doubt_is_said(exported_binned: dict[str, Path]) -> None:
    out = decoded(opened(exported_binned, "causal"), counts(), [0, N])
    assert np.flatnonzero(~out.valid).tolist() == [40, 50, 51, 52]
    gone = counts(40)
    gone.valid[5:15] = False
    decoder = opened(exported_binned, "whole", hop=3)
    whole, state = decoder.step(gone, decoder.start())
    assert whole.valid.tolist() == [False, False] + [True] * 5
    assert not whole.values[:, ~whole.valid].any()
    assert decoder.last_bins(state, 7).tolist() == list(range(19, 40, 3))


def test_events_become_what_their_bins_say(exported_binned: dict[str, Path]) -> None:
    decoder, rng = opened(exported_binned, "causal"), np.random.default_rng(0)
    spikes = Spikes.of({u: np.sort(rng.uniform(0, 2, 40)) for u in decoder.input.ch_names})
    want = run(decoder, bin_spikes(spikes, 0, 2, 0.02)).values
    binner = SpikeBinner(decoder.input.ch_names, 0.02)
    assert binner.output == decoder.input == counts_spec(spikes.unit_ids, 0.02)
    counting, state, out = binner.start(), decoder.start(), []
    for a, b in pairwise([0, 0.013, 0.5, 0.51, 1.777, 2.0]):
        piece, counting = binner.step(spikes.slice(a, b), b, counting)
        made, state = decoder.step(piece, state)
        out.append(made.values)
    np.testing.assert_array_equal(np.concatenate(out, 1), want)


MOVE = """
import sys
import numpy as np
from neural_foundation.core.stream import Chunk, load_state
from neural_foundation.realtime.binned_decoder import BinnedDecoder
decoder = BinnedDecoder.open(sys.argv[1])
state = load_state(open(sys.argv[2] + "/state", "rb").read())
out, _ = decoder.step(Chunk.of(np.load(sys.argv[2] + "/rest.npy"), 31), state)
np.save(sys.argv[2] + "/out.npy", out.values)
assert "torch" not in sys.modules
"""


def test_a_state_moves_to_another_process_which_needs_no_torch(
    exported_binned: dict[str, Path], tmp_path: Path
) -> None:
    decoder, heard = opened(exported_binned, "causal"), np.random.default_rng(5).poisson(1, (6, N)).astype(np.float32)
    want = run(decoder, heard).values
    _, state = decoder.step(Chunk.of(heard[:, :31]), decoder.start())
    (tmp_path / "state").write_bytes(save_state(state))
    np.save(tmp_path / "rest.npy", heard[:, 31:])
    subprocess.run([sys.executable, "-c", MOVE, str(exported_binned["causal"]), str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), want[:, 31:])


class TestOpening:
    def test_another_session_than_the_exported_one_runs_in_torch(self, exported_binned: dict[str, Path]) -> None:
        decoder = BinnedDecoder.open(exported_binned["causal"], session="b")
        assert decoder.input.ch_names[0] == "b-0"
        assert "wheel_speed" not in decoder.parts
        assert run(decoder, counts(5).values).values.shape == (4, 5)
        with pytest.raises(PackageError, match="no graph of session 'b'"):
            BinnedDecoder.open(exported_binned["causal"], session="b", graph=True)

    def test_without_an_export(self, exported_binned: dict[str, Path]) -> None:
        fitted = exported_binned["whole"].parent / "whole-fitted"
        with pytest.raises(SpecError, match="2 sessions"):
            BinnedDecoder.open(fitted)
        decoder = BinnedDecoder.open(fitted, session="a")
        assert (decoder.hop, decoder.lookahead_s) == (2, 0)
        with pytest.raises(PackageError, match="no graph"):
            BinnedDecoder.open(fitted, session="a", graph=True)

    def test_place_and_hop_are_of_windows(self, exported_binned: dict[str, Path]) -> None:
        for wrong in ({"place": "middle"}, {"hop": 2}):
            with pytest.raises(SpecError, match="each bin as it comes"):
                BinnedDecoder.open(exported_binned["causal"], **wrong)
        with pytest.raises(SpecError, match=r"A hop of 0 bins. Allowed: 1 or more"):
            BinnedDecoder.open(exported_binned["whole"], hop=0)

    def test_another_model(self, exported_binned: dict[str, Path], tmp_path: Path) -> None:
        facts = BinnedPackage.open(exported_binned["causal"]).facts
        save_binned(tmp_path, facts.model_copy(update={"model": MODELS.parse("ridge")}), {})
        with pytest.raises(PackageError, match=r"'ridge', which does not decode live.*'neds'"):
            BinnedDecoder.open(tmp_path)

    def test_facts_that_are_not(self, exported_binned: dict[str, Path], tmp_path: Path) -> None:
        package = BinnedPackage.open(exported_binned["causal"])
        save_binned(tmp_path, package.facts, package.arrays())
        write_json(tmp_path / "export.json", {"graph": "step.onnx", "session": "a"})
        with pytest.raises(PackageError, match=r"export\.json"):
            BinnedDecoder.open(tmp_path)
        write_json(tmp_path / "export.json", {"graph": "step.onnx", "session": "a", "outputs": [], "n_nodes": 1})
        with pytest.raises(PackageError, match=r"holds no step\.onnx"):
            BinnedDecoder.open(tmp_path)


def test_what_are_no_counts_of_these_units(exported_binned: dict[str, Path]) -> None:
    decoder = opened(exported_binned, "causal")
    with pytest.raises(StreamError, match="A chunk has 5 channels"):
        decoder.step(Chunk.of(np.zeros((5, 3), np.float32)), decoder.start())
    with pytest.raises(StreamError, match="below 0"):
        decoder.step(Chunk.of(np.full((6, 3), -1, np.float32)), decoder.start())
