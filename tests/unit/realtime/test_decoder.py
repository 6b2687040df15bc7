import asyncio
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_package
from small_package import RAW, make, signal

from neural_foundation import NeuralFoundationModel
from neural_foundation.core.errors import PackageError, SignalMismatchError, SpecError, StreamError
from neural_foundation.core.stream import Chunk, State, copy_state, join, load_state, run, save_state, stream
from neural_foundation.models.package import GRAPH, Package, save
from neural_foundation.realtime.decoder import StreamDecoder
from neural_foundation.signals.chain import chain
from neural_foundation.signals.table import SIGNALS


@pytest.fixture(scope="module")
def package(exported_package: Package) -> Package:
    return exported_package


def cuts(how: str, n: int) -> list[int]:
    rng = np.random.default_rng(5)
    steps = {
        "1": itertools.repeat(1),
        "7": itertools.repeat(7),
        "64": itertools.repeat(64),
        "whole": itertools.repeat(n),
    }.get(how) or iter(rng.integers(1, 120, n).tolist())
    edges = [0]
    while edges[-1] < n:
        edges.append(min(n, edges[-1] + next(steps)))
    return edges


def pieces(values: np.ndarray, how: str) -> list[Chunk]:
    edges = cuts(how, values.shape[1])
    return [Chunk.of(values[:, a:b], a) for a, b in itertools.pairwise(edges)]


def decoded(decoder: StreamDecoder, chunks: list[Chunk], *, through_bytes: bool = False) -> Chunk:
    state, out = decoder.start(), []
    for chunk in chunks:
        piece, state = decoder.step(chunk, state)
        out.append(piece)
        if through_bytes:
            state = load_state(save_state(state))
    return join(out)


@pytest.mark.parametrize(
    ("how", "through_bytes"), [("1", False), ("7", True), ("64", True), ("random", False), ("random", True)]
)
def test_chunk_law_through_the_exported_graph(package: Package, how: str, through_bytes: bool) -> None:
    values = signal(730)
    decoder = StreamDecoder(package, resets_s=[2.03, 4.5])
    whole = decoded(decoder, pieces(values, "whole"))
    parts = decoded(StreamDecoder(package, resets_s=[2.03, 4.5]), pieces(values, how), through_bytes=through_bytes)
    assert whole.n_times == len(decoder.token_ends(730))
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-5)
    np.testing.assert_array_equal(parts.valid, whole.valid)
    assert np.ptp(whole.values[0]) > 0.01, "decisions that never change would prove nothing"


def test_streamed_decisions_equal_the_evaluation(package: Package) -> None:
    values = signal(1000)
    clean = run(chain(package.facts.chain, RAW), values).values
    onsets = np.array([150, 420, 733])
    windows = np.stack([clean[:, o : o + 200] for o in onsets])
    expected = package.predict_proba(windows)
    decoder = StreamDecoder(package, resets_s=onsets / RAW.sfreq)
    out = decoded(decoder, pieces(values, "random"))
    at = np.searchsorted(decoder.token_ends(1000), onsets + 200)
    np.testing.assert_allclose(out.values[:, at].T, expected, atol=1e-5)


def test_flush_gives_the_tokens_that_a_look_ahead_held_back(package: Package) -> None:
    from neural_foundation.signals.table import SIGNALS

    fir = SIGNALS.parse({"kind": "bandpass", "low_hz": 5, "high_hz": 30, "method": "fir", "phase": "linear"})
    ahead = Package(package.folder, package.facts.model_copy(update={"chain": (fir,)}))
    decoder = StreamDecoder(ahead)
    assert decoder.lookahead_s > 0
    out, state = decoder.step(Chunk.of(signal(300)), decoder.start())
    rest = decoder.flush(state)
    assert out.n_times < 30
    assert out.n_times + rest.n_times == len(decoder.token_ends(300)) == 30
    clean = run(chain(ahead.facts.chain, RAW), signal(300)).values
    np.testing.assert_allclose(rest.values[:, -1], ahead.predict_proba(clean[None])[0], atol=1e-5)


def test_two_streams_on_one_decoder_stay_apart(package: Package) -> None:
    decoder = StreamDecoder(package)
    alone = [decoded(StreamDecoder(package), pieces(signal(300, seed=s), "64")).values for s in (1, 2)]
    states: list[State] = [decoder.start(), decoder.start()]
    outs: list[list[np.ndarray]] = [[], []]
    for pair in zip(pieces(signal(300, seed=1), "64"), pieces(signal(300, seed=2), "64"), strict=True):
        for i, chunk in enumerate(pair):
            piece, states[i] = decoder.step(chunk, states[i])
            outs[i].append(piece.values)
    for i in range(2):
        np.testing.assert_array_equal(np.concatenate(outs[i], 1), alone[i])


def test_a_copied_state_is_a_fork(package: Package) -> None:
    decoder = StreamDecoder(package)
    first, state = decoder.step(Chunk.of(signal(205)), decoder.start())
    fork = copy_state(state)
    rest = Chunk.of(signal(300)[:, 205:], 205)
    one, _ = decoder.step(rest, state)
    two, _ = decoder.step(rest, fork)
    np.testing.assert_array_equal(one.values, two.values)


def test_invalid_samples_mark_the_decision(package: Package) -> None:
    chunk = Chunk.of(signal(100))
    chunk.valid[30:37] = False
    out, _ = StreamDecoder(package).step(chunk, StreamDecoder(package).start())
    assert out.valid.tolist() == [True] * 3 + [False] + [True] * 6


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (RAW.replace(sfreq=128), "The signal has 128 Hz. Allowed: 100 Hz, as the model was trained on. Resample it"),
        (
            RAW.replace(ch_names=("C3", "Cz"), ch_types=(), positions=()),
            "The signal has 2 channels; 1 that the model expects are missing: C4",
        ),
        (RAW.replace(ch_names=("C4", "Cz", "C3"), ch_types=(), positions=()), "the same in another order"),
    ],
)
def test_another_signal_is_refused(package: Package, spec: object, message: str) -> None:
    with pytest.raises(SignalMismatchError, match=message):
        StreamDecoder(package, spec)  # type: ignore[arg-type]


def test_what_cannot_run_live_is_refused(package: Package, tmp_path: Path) -> None:
    from neural_foundation.signals.table import SIGNALS

    zero_phase = SIGNALS.parse({"kind": "bandpass", "low_hz": 2, "high_hz": 40, "method": "zero_phase"})
    offline = Package(package.folder, package.facts.model_copy(update={"chain": (zero_phase,)}))
    with pytest.raises(StreamError, match="cannot run live"):
        StreamDecoder(offline)
    with pytest.raises(StreamError, match="only pre-trained"):
        StreamDecoder(make(tmp_path / "pre", target=None, export=False))
    with pytest.raises(PackageError, match="holds no step.onnx. Run the recipe's 'export' stage"):
        StreamDecoder(make(tmp_path / "fit", export=False))


def test_damaged_graph_is_a_package_error(package: Package, tmp_path: Path) -> None:
    made = make(tmp_path / "p", export=False)
    (tmp_path / "p" / "step.onnx").write_bytes(package.graph.read_bytes()[:500])
    with pytest.raises(PackageError, match="cannot be opened as an ONNX graph"):
        StreamDecoder(made)


class TestPublishedNames:
    def test_samples_and_chunks_decide_the_same(self, package: Package) -> None:
        model = NeuralFoundationModel.from_pretrained(package.folder)
        assert model.tasks == ("hands",)
        values = signal(155)
        decoder = model.get_decoder("hands")
        last = None
        for sample in values.T:
            last = decoder.decode(sample)
        assert last is not None
        chunked = model.get_decoder("hands").decode(values)
        assert chunked is not None
        assert last.label == chunked.label
        assert (last.sample, chunked.sample) == (150, 155)
        assert chunked.probability == pytest.approx(last.probability, abs=1e-6)
        assert sum(last.probability.values()) == pytest.approx(1)

    def test_nothing_is_decided_before_the_first_token(self, package: Package) -> None:
        decoder = NeuralFoundationModel.from_pretrained(package.folder).get_decoder("hands")
        assert decoder.decode(signal(9)) is None
        assert decoder.decode(signal(1)) is not None
        decoder.reset()
        assert decoder.decode(signal(5)) is None

    def test_asyncio_loops_are_not_blocked_and_keep_order(self, package: Package) -> None:
        model = NeuralFoundationModel.from_pretrained(package.folder)
        values = signal(100)

        async def decide() -> list[object]:
            decoder = model.get_decoder("hands")
            return list(
                await asyncio.gather(*(decoder.decode_sample(values[:, a : a + 10]) for a in range(0, 100, 10)))
            )

        decoder = model.get_decoder("hands")
        assert asyncio.run(decide()) == [decoder.decode(values[:, a : a + 10]) for a in range(0, 100, 10)]

    def test_wrong_task_shape_and_path(self, package: Package) -> None:
        model = NeuralFoundationModel.from_pretrained(str(package.folder))
        with pytest.raises(SpecError, match=r"does not decode 'hand'. Did you mean 'hands'\?"):
            model.get_decoder("hand")
        with pytest.raises(
            SignalMismatchError, match=r"A sample has shape \(4,\). Allowed: \(3,\) or \(3, n_times\): C3, Cz, C4"
        ):
            model.get_decoder("hands").decode(np.zeros(4))
        with pytest.raises(PackageError, match="There is no package at /no/where/here"):
            NeuralFoundationModel.from_pretrained("/no/where/here")

    @pytest.mark.slow
    def test_a_package_without_graph_exports_for_itself(self, package: Package, tmp_path: Path) -> None:
        made = make(tmp_path / "p", export=False)
        decision = NeuralFoundationModel.from_pretrained(made.folder).get_decoder("hands").decode(signal(50))
        expected = NeuralFoundationModel.from_pretrained(package.folder).get_decoder("hands").decode(signal(50))
        assert decision == expected


def test_small_package_is_what_tests_think() -> None:
    assert small_package.MODEL.hop_s * RAW.sfreq == 10


@pytest.mark.parametrize(("bad", "kept"), [(None, True), (150, False), (250, True)])
def test_a_trial_counts_when_its_window_is_valid_throughout(
    package: Package, monkeypatch: pytest.MonkeyPatch, bad: int | None, kept: bool
) -> None:
    decoder, counted = StreamDecoder(package), []
    monkeypatch.setattr(decoder.engine, "next_trial", lambda *, keep: counted.append(keep))
    state, valid = decoder.reset(decoder.start()), np.ones(300, bool)
    valid[bad if bad is not None else 300 :][:1] = False  # the window is the first 200 samples
    for at in range(0, 300, 70):
        _, state = decoder.step(Chunk(signal(300)[:, at : at + 70], valid[at : at + 70], at), state)
    state = decoder.reset(state)
    assert counted == [True, kept]
    decoder.reset(state)
    assert counted[-1] is True


@pytest.fixture(scope="module")
def ahead(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The same model behind a chain that looks ahead."""
    folder = tmp_path_factory.mktemp("ahead")
    chain_ = (*package.facts.chain, SIGNALS.parse({"kind": "smooth", "width_s": 0.31, "causal": False}))
    made = save(folder, package.facts.model_copy(update={"chain": chain_}), package.arrays())
    shutil.copy(package.graph, folder / GRAPH)
    return made


@pytest.mark.parametrize("how", ["7", "64", "random", "whole"])
def test_a_reset_behind_a_chain_that_looks_ahead_is_where_the_cue_was(ahead: Package, how: str) -> None:
    values, cues = signal(730), [203, 450, 461]
    planned = StreamDecoder(ahead, resets_s=[c / 100 for c in cues])
    assert planned.lookahead_s > 0.1
    wanted = join([*stream(planned, [Chunk.of(values)])])
    decoder, out = StreamDecoder(ahead), []
    state = decoder.start()
    edges = sorted({*cuts(how, 730), *cues})
    ends: list[int] = []
    for a, b in itertools.pairwise(edges):
        if a in cues:
            state = decoder.reset(state)
        piece, state = decoder.step(Chunk.of(values[:, a:b], a), load_state(save_state(state)))
        ends += decoder.last_samples(state, piece.n_times).tolist()
        out.append(piece)
    out.append(decoder.flush(state))
    ends += decoder.last_samples(state, out[-1].n_times).tolist()
    found = join(out)
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-6)
    np.testing.assert_array_equal(ends, planned.token_ends(730))
