"""Networks of whole windows, live: the decisions of an evaluation on the same windows, from torch or from the graph."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import window_networks
from window_networks import SIGNAL, TINY, WINDOW, windows

from neural_foundation.core.errors import PackageError, SpecError
from neural_foundation.core.stream import Chunk
from neural_foundation.export.window_graph import export_window
from neural_foundation.models.package import WINDOW_GRAPH, Package
from neural_foundation.pipeline.stages.replay import live_decoder
from neural_foundation.realtime.engine import CPU, GPU
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.realtime.sliding import SlidingDecoder, predictor


def stream(n_times: int = 1000, seed: int = 5) -> np.ndarray:
    return windows(1, seed=seed, n_times=n_times)[0][0].numpy()


@pytest.fixture(scope="module", params=tuple(TINY))
def package(request, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return window_networks.package(tmp_path_factory.mktemp("live") / request.param, request.param)


def test_each_decision_is_that_of_the_package_on_its_window(package: Package) -> None:
    values, decoder = stream(), SlidingDecoder(package, hop_s=1.5)
    state, out = decoder.start(), []
    for a, b in ((0, 7), (7, 450), (450, 1000)):
        piece, state = decoder.step(Chunk.of(values[:, a:b], a), state)
        out.append(piece.values)
    ends = decoder.token_ends(1000)
    assert ends.tolist() == [400, 550, 700, 850, 1000]
    expected = package.predict_proba(np.stack([values[:, e - WINDOW : e] for e in ends]))
    np.testing.assert_allclose(np.concatenate(out, 1).T, expected, atol=1e-6)
    assert np.ptp(expected[:, 0]) > 1e-4, "decisions that never change would prove nothing"


def test_an_opened_model_slides_and_shares_its_weights(package: Package) -> None:
    model = LiveModel.open(package.folder)
    first, second = model.decoder(), model.decoder()
    assert isinstance(first, SlidingDecoder)
    assert isinstance(second, SlidingDecoder)
    assert first._predict is second._predict
    assert (model.whole_windows, model.device, model.hop_s) == (True, "cpu", 0.4)
    assert model.step_s > 0
    with pytest.raises(SpecError, match="runs on the CPU"):
        LiveModel.open(package.folder, device="cuda")


@pytest.fixture
def exported(package: Package, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(package.folder, tmp_path / "exported"))
    export_window(package.network(), folder / WINDOW_GRAPH)
    return folder


def test_a_gpu_that_onnxruntime_cannot_use_is_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime as ort

    monkeypatch.setattr(ort, "get_available_providers", lambda: [CPU])
    with pytest.raises(SpecError, match=r"onnxruntime computes on the CPU alone.*onnxruntime-gpu"):
        LiveModel.open(exported, device="cuda")
    monkeypatch.setattr(ort, "get_available_providers", lambda: [*GPU, CPU])
    opened = ort.InferenceSession
    monkeypatch.setattr(ort, "InferenceSession", lambda graph, options, providers: opened(graph, options, [CPU]))
    with pytest.raises(SpecError, match=r"Device 'cuda:7': onnxruntime could not use it"):
        LiveModel.open(exported, device="cuda:7")


def test_a_graph_of_windows_takes_a_gpu_where_onnxruntime_has_one(
    package: Package, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime as ort

    asked: list[Any] = []
    opened = ort.InferenceSession

    class Session:
        def __init__(self, graph: Path, options: Any, providers: list[Any]) -> None:
            asked.append(providers)
            self.run = opened(graph, options, [CPU]).run

        def get_providers(self) -> list[str]:
            return [GPU[1], CPU]  # TensorRT is compiled in, and not installed

        def get_provider_options(self) -> dict[str, dict[str, str]]:
            return {GPU[1]: {"device_id": "0"}}

    monkeypatch.setattr(ort, "get_available_providers", lambda: [*GPU, CPU])
    monkeypatch.setattr(ort, "InferenceSession", Session)
    model = LiveModel.open(exported, device="cuda")
    assert asked == [[(GPU[0], {"device_id": 0}), (GPU[1], {"device_id": 0}), CPU]]
    assert model.device == "cuda:0"
    with pytest.raises(SpecError, match="onnxruntime could not use it"):
        LiveModel.open(exported, device="cuda:1")  # it fell back to the first
    window = stream()[None, :, :WINDOW]
    made = model.decoder()._predict(window)  # type: ignore[attr-defined]
    np.testing.assert_allclose(made, package.predict_proba(window), atol=1e-5)


def test_other_ways_to_decode_take_it_for_whole_windows_too(package: Package) -> None:
    assert isinstance(live_decoder(package, SIGNAL, ()), SlidingDecoder)
    with pytest.raises(PackageError, match="decides on whole windows"):
        package.decide_along(None)  # type: ignore[arg-type]


def test_samples_that_are_not_valid_are_zero_as_in_training(tmp_path: Path) -> None:
    made = window_networks.package(tmp_path / "net", "squeezeformer", cut={"least_valid": 0.5})
    values, valid = stream(WINDOW), np.ones(WINDOW, bool)
    values[:, 50:120], valid[50:120] = 1.0, False
    decoder = SlidingDecoder(made)
    out, _ = decoder.step(Chunk(values, valid, 0), decoder.start())
    zeroed = np.where(valid, values, np.float32(0))
    np.testing.assert_allclose(out.values.T, made.predict_proba(zeroed[None]), atol=1e-6)
    assert np.abs(out.values.T - made.predict_proba(values[None])).max() > 1e-4


@pytest.mark.parametrize(
    ("lost", "says"),
    [((0, 0.3), True), ((0.4, 0.6), False), ((0.43, 0.47), True), ((0, 0.55), False), ((0.6, 1), True)],
)
def test_it_says_nothing_of_what_training_would_have_left_out(
    tmp_path: Path, lost: tuple[float, float], says: bool
) -> None:
    s = WINDOW / SIGNAL.sfreq  # the trial is the part between two and three fifths
    cut = {"start_s": -0.4 * s, "past_s": 0.4 * s, "least_valid": 0.5, "trial_valid": 0.6}
    decoder = SlidingDecoder(window_networks.package(tmp_path / "net", "squeezeformer", cut=cut))
    valid = np.ones(WINDOW, bool)
    valid[round(lost[0] * WINDOW) : round(lost[1] * WINDOW)] = False
    out, _ = decoder.step(Chunk(stream()[:, :WINDOW], valid, 0), decoder.start())
    assert out.valid.tolist() == [says]
    assert decoder.past_s == pytest.approx(0.4 * s)  # so long before the decision its trial ended


def test_the_graph_decides_where_there_is_one(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    made = window_networks.package(tmp_path / "net", "resnet_gru")
    before = LiveModel.open(made.folder).digest
    said = numpy_helper.from_array(np.array([[0.25, 0.75]], np.float32), "said")
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    axes = numpy_helper.from_array(np.array([1, 2]), "axes")
    nodes = [
        helper.make_node("ReduceMean", ["signal", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["none"]),
        helper.make_node("Add", ["none", "said"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, ["n", 3, "t"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 2])],
        [said, zero, axes, numpy_helper.from_array(np.array([1]), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (made.folder / WINDOW_GRAPH).write_bytes(model.SerializeToString())
    np.testing.assert_allclose(predictor(made)(np.zeros((2, 3, WINDOW), np.float32)), [[0.25, 0.75]] * 2)
    assert LiveModel.open(made.folder).digest != before


def test_training_mode_is_not_left_on(package: Package) -> None:
    torch.manual_seed(0)
    window = stream(WINDOW)[None]
    np.testing.assert_array_equal(predictor(package)(window), predictor(package)(window))
