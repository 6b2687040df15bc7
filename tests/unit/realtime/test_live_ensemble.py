"""An ensemble, live: its decisions are those of an evaluation, for a stream, through REST and through the socket."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import ensembles
import numpy as np
import pytest
from ensembles import NAMES
from small_package import RAW, signal

from neural_foundation.core.errors import PackageError, SpecError, StreamError
from neural_foundation.core.stream import Chunk, join, load_state, save_state
from neural_foundation.export.ensemble_package import ENSEMBLE, EnsemblePackage
from neural_foundation.models.package import Package
from neural_foundation.realtime.adaptation import AdaptingDecoder
from neural_foundation.realtime.decision import LiveDecision
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.realtime.live_stream import LiveStream
from neural_foundation.realtime.sliding import SlidingDecoder
from neural_foundation.serving import protocol, v2
from neural_foundation.serving.auth import LOCAL
from neural_foundation.serving.client import decode
from neural_foundation.serving.connection import Answer, Connection, opened
from neural_foundation.serving.hello import Hello
from neural_foundation.serving.models import ServedModels, package_folder
from neural_foundation.serving.registry import Open
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Limits, Served, ServeSettings
from neural_foundation.serving.watch_route import Watcher

N, WINDOW, HOP = 700, 200, 20
ENDS = list(range(WINDOW, N + 1, HOP))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> EnsemblePackage:
    return ensembles.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def model(package: EnsemblePackage) -> LiveModel:
    return LiveModel.open(package.folder)


def evaluated(n_times: int, seed: int, ends: list[int] = ENDS) -> np.ndarray:
    """Return the windows (n, 3, 200) of the cleaned signal that end where decisions fall."""
    clean = ensembles.cleaned(n_times, seed)
    return np.stack([clean[:, e - WINDOW : e] for e in ends])


def test_each_decision_is_that_of_an_evaluation_on_its_window(package: EnsemblePackage, model: LiveModel) -> None:
    assert (model.task, model.members, model.whole_windows, model.device) == ("hands", NAMES, True, "cpu")
    decoder, values = model.decoder(), signal(N, 7)
    state, out = decoder.start(), []
    for a, b in pairwise([0, 1, 230, 231, 555, N]):
        piece, state = decoder.step(Chunk.of(values[:, a:b], a), state)
        out.append(piece)
        state = load_state(save_state(state))
    made = join([*out, decoder.flush(state)])
    windows = evaluated(N, 7)
    wanted = package.predict_proba(windows)
    assert np.ptp(wanted[:, 0]) > 0.02, "decisions that never change would prove nothing"
    np.testing.assert_allclose(made.values.T, wanted, rtol=0, atol=1e-6)
    assert made.valid.all()


def test_a_stream_knows_what_each_member_said(package: EnsemblePackage, model: LiveModel) -> None:
    stream = LiveStream(model.decoder())
    told = [t for a in range(0, N, 130) for t in stream.take(Chunk.of(signal(N, 7)[:, a : min(a + 130, N)], a))]
    each = np.concatenate([t.members for t in told if t.members is not None])
    np.testing.assert_allclose(each, package.each(evaluated(N, 7)), rtol=0, atol=1e-6)
    single = LiveStream(SlidingDecoder(package.members[0][0]))
    assert all(t.members is None for t in single.take(Chunk.of(signal(N, 7))))


def test_a_window_that_cannot_be_trusted_says_nothing(model: LiveModel) -> None:
    chunk = Chunk.of(signal(N))
    chunk.valid[:] = False
    (told,) = LiveStream(model.decoder()).take(chunk)
    assert not told.valid.any()
    assert (told.probability == 0.5).all()
    assert told.members is not None
    assert (told.members == 0.5).all()


def test_decisions_through_the_socket_are_those_of_an_evaluation(package: EnsemblePackage) -> None:
    values = signal(N, 7)
    with served(ServeSettings(packages=(Served(folder=package.folder),), port=0)) as url:
        found = decode(url, [values[:, a : a + 50] for a in range(0, N, 50)], task="hands")
    assert [d.sample for d in found] == ENDS
    probability = np.array([list(d.probability.values()) for d in found])
    np.testing.assert_allclose(probability, package.predict_proba(evaluated(N, 7)), rtol=0, atol=1e-6)
    wanted = package.uncertainty(evaluated(N, 7))
    np.testing.assert_allclose([d.entropy for d in found], wanted.entropy, rtol=0, atol=1e-5)
    np.testing.assert_allclose([d.disagreement for d in found], wanted.disagreement, rtol=0, atol=1e-5)


def test_a_connection_goes_on_with_how_unsure_it_was(package: EnsemblePackage, model: LiveModel) -> None:
    def told(answer: Answer) -> list[LiveDecision]:
        return [protocol.decision(r, i, model.classes, 100.0) for i, r in enumerate(answer.rows)]  # type: ignore[arg-type]

    values, limits = signal(N, 7), Limits(block_s=10)
    whole, first = (Connection(model, Hello(), "key:lab", limits) for _ in range(2))
    every = whole.decoded(Chunk.of(values), 0.0, 1)
    before = first.decoded(Chunk.of(values[:, :330]), 0.0, 1)
    first.sequence = 1
    saved, head = opened(first.snapshot())
    second = Connection.restored(saved, head, model, limits)
    after = second.decoded(Chunk.of(values[:, 330:], 330), 0.0, 2)
    assert [d.entropy for d in (*told(before), *told(after))] == [d.entropy for d in told(every)]
    again = second.told_again(2)
    assert again is not None
    np.testing.assert_array_equal(protocol.read_decisions(protocol.unpack(again), 2), every.rows[2:])
    page = Watcher(Open(whole, LOCAL))
    page.take(every)
    assert [d["entropy"] for d in page.state()["decisions"]] == [d.entropy for d in told(every)]
    with pytest.raises(StreamError, match="decisions of another form"):
        Connection.restored(saved | {"recent": saved["recent"][:-8]}, head, model, limits)


def test_rest_tells_how_unsure_it_is(package: EnsemblePackage, model: LiveModel) -> None:
    pieces = np.stack([signal(N, 7), signal(N, 8)])
    found = v2.infer(model, pieces)
    windows = np.concatenate([evaluated(N, 7), evaluated(N, 8)])
    unsure, n = package.uncertainty(windows), len(ENDS)
    np.testing.assert_allclose(found["probability"].reshape(2 * n, 2), package.predict_proba(windows), atol=1e-6)
    np.testing.assert_allclose(found["entropy"].ravel(), unsure.entropy, atol=1e-5)
    np.testing.assert_allclose(found["disagreement"].ravel(), unsure.disagreement, atol=1e-5)
    np.testing.assert_allclose(found["members"].reshape(2 * n, 3, 2), package.each(windows), atol=1e-6)
    facts = v2.metadata(model)
    assert {o["name"]: len(o["shape"]) for o in facts["outputs"]} == {n: a.ndim for n, a in found.items()}
    assert facts["parameters"]["members"] == NAMES
    short = v2.infer(model, signal(50)[None])
    assert (short["members"].shape, short["entropy"].shape) == ((1, 0, 3, 2), (1, 0))


def test_of_one_model_rest_tells_what_it_told_before(package: EnsemblePackage) -> None:
    single = LiveModel.open(package.folder / "members" / "trees" / "fold-0")
    assert single.members == ()
    names = [o["name"] for o in v2.metadata(single)["outputs"]]
    assert names == ["probability", "valid", "abstained", "sample", "label"] == list(v2.infer(single, signal(N)[None]))
    assert "members" not in v2.metadata(single)["parameters"]


def test_its_digest_is_that_of_its_members_and_blend(
    package: EnsemblePackage, model: LiveModel, tmp_path: Path
) -> None:
    folder = ensembles.copied(package, tmp_path / "copy")
    assert LiveModel.open(folder).digest == model.digest
    text = (folder / ENSEMBLE).read_text()
    (folder / ENSEMBLE).write_text(text.replace('"method": "weighted"', '"method": "mean"'))
    assert LiveModel.open(folder).digest != model.digest


def test_a_gpu_is_refused_where_onnxruntime_knows_none(
    package: EnsemblePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SpecError, match="onnxruntime computes on the CPU alone"):
        LiveModel.open(package.folder, device="cuda")


def test_one_may_adapt_to_a_stream_of_it(package: EnsemblePackage, model: LiveModel) -> None:
    decoder = AdaptingDecoder(model)
    out, state = decoder.step(Chunk.of(signal(400, 7)), decoder.start())
    each = decoder.last_members(state, out.n_times)
    assert each is not None
    np.testing.assert_allclose(each[:1], package.each(evaluated(400, 7, [200])), rtol=0, atol=1e-6)
    np.testing.assert_allclose(out.values.T[:1], package.predict_proba(evaluated(400, 7, [200])), rtol=0, atol=1e-6)


def test_a_run_s_folder_gives_the_ensemble_not_its_members(package: EnsemblePackage, tmp_path: Path) -> None:
    folder = ensembles.copied(package, tmp_path / "run" / "export" / "0123")
    assert package_folder(tmp_path / "run") == folder
    models = ServedModels([Served(folder=folder)])
    assert models["hands"].members == NAMES
    assert not models.reload("hands")
    ensembles.copied(package, tmp_path / "run" / "export" / "4567")
    with pytest.raises(PackageError, match="holds 2 exported packages"):
        package_folder(tmp_path / "run")


def test_a_damaged_ensemble_is_not_taken(package: EnsemblePackage, tmp_path: Path) -> None:
    folder = ensembles.copied(package, tmp_path / "copy")
    models = ServedModels([Served(folder=folder)])
    (folder / "members/net/fold-0/window.onnx").write_bytes(b"no graph")
    with pytest.raises(PackageError, match="window.onnx is not as the ensemble was written"):
        models.reload("hands")
    assert models["hands"].decoder(RAW).classes == ("left", "right")
    assert isinstance(models["hands"].package, Package)
