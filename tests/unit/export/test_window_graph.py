"""The graph of a network of whole windows against torch, and the gate before 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from window_networks import TINY, WINDOW, network, windows

from neural_foundation.core.errors import PackageError, SpecError
from neural_foundation.export.window_graph import (
    export_int8,
    export_window,
    kl_gate,
    least_times,
    parity,
    probability_of,
)
from neural_foundation.models.network import Network

# a spectrogram of fewer columns than these is of one length
FIELDS: dict[str, dict[str, Any]] = {
    "resnet_gru": {"crop_s": 2.0},
    "squeezeformer": {"pooling": "gem"},
    "spectrogram_efficientnet": {"segment_s": 0.5, "hop_s": 0.04},
}


def wanted(net: Any, signal: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return torch.softmax(net.decide(torch.from_numpy(signal))[0], -1).numpy()


def noise(n: int, n_times: int, seed: int = 0) -> np.ndarray:
    return windows(n, seed, n_times)[0].numpy()


@pytest.fixture(scope="module", params=tuple(TINY))
def made(request, tmp_path_factory: pytest.TempPathFactory) -> Any:
    net = network(request.param, **FIELDS[request.param])
    folder = tmp_path_factory.mktemp("graph")
    return net, export_window(net, folder / "window.onnx", program=folder / "window.pt2")


@pytest.mark.slow
class TestGraph:
    """One export a kind, which takes seconds."""

    @pytest.mark.parametrize("factor", [0.5, 1, 1.37, 2])
    @pytest.mark.parametrize("n", [1, 5])
    def test_parity_with_torch_at_several_lengths(self, made, factor, n) -> None:
        net, graph = made
        signal = noise(n, round(factor * WINDOW))
        given = probability_of(graph.path, signal)
        np.testing.assert_allclose(given, wanted(net, signal), atol=1e-4)
        assert n == 1 or np.ptp(given[:, 0]) > 1e-4

    def test_silence_is_a_number(self, made) -> None:
        net, graph = made
        signal = np.zeros((1, 3, WINDOW), np.float32)
        np.testing.assert_allclose(probability_of(graph.path, signal), wanted(net, signal), atol=1e-5)

    def test_it_says_what_it_is(self, made) -> None:
        net, graph = made
        model = onnx.load(graph.path)
        onnx.checker.check_model(model)
        assert [i.name for i in model.graph.input] == ["signal"]
        assert [o.name for o in model.graph.output] == ["probability", "logits"]
        assert (graph.n_chans, graph.n_times, graph.least_times) == (3, WINDOW, least_times(net))
        assert graph.n_nodes == len(model.graph.node)
        assert b".py" not in graph.path.read_bytes()
        assert set(parity(net, graph.path)) == {"200", "400", "800"}

    def test_the_program_of_torch_alone(self, made) -> None:
        net, graph = made
        program = torch.export.load(graph.program).module()
        signal = noise(3, WINDOW if not net.program_any_length else 2 * WINDOW)
        with torch.inference_mode():
            given = program(torch.from_numpy(signal))[0].numpy()
        np.testing.assert_allclose(given, wanted(net, signal), atol=1e-5)

    @pytest.mark.parametrize("mode", ["static", "dynamic"])
    def test_8_bits_are_kept_where_they_pass(self, made, mode, tmp_path: Path) -> None:
        _, graph = made
        signal, target = windows(24, seed=3)
        told = {"calibration": signal[:8].numpy(), "signal": signal.numpy(), "votes": np.eye(2)[target], "mode": mode}
        facts = export_int8(
            graph.path, tmp_path / "kept.onnx", **told, gate=lambda a, b, v: kl_gate(a, b, v, allowed=1)
        )
        assert facts["passes"]
        assert facts["graph"] == "kept.onnx"
        assert facts["n_bytes"] == (tmp_path / "kept.onnx").stat().st_size
        given, exact = (probability_of(p, signal.numpy()) for p in (tmp_path / "kept.onnx", graph.path))
        assert np.abs(given - exact).mean() < 0.2
        refused = export_int8(graph.path, tmp_path / "no.onnx", **told, gate=lambda *_: {"passes": False, "why": "no"})
        assert refused == {"passes": False, "why": "no", "mode": mode, "graph": None}
        assert not (tmp_path / "no.onnx").exists()

    def test_another_network_s_graph_is_found_out(self, made) -> None:
        net, graph = made
        other = network(net.spec.kind, seed=2, **FIELDS[net.spec.kind])
        with pytest.raises(PackageError, match="The graph differs from its model by"):
            parity(other, graph.path)


class TestGate:
    """Whether 8 bits are good enough."""

    votes = np.array([[3, 1], [0, 4], [2, 2]])
    sure = np.array([[0.7, 0.3], [0.1, 0.9], [0.5, 0.5]])

    def test_the_rise_of_the_divergence_decides(self) -> None:
        worse = np.array([[0.3, 0.7], [0.2, 0.8], [0.5, 0.5]])
        shares = self.votes / 4
        terms = np.where(shares > 0, shares * np.log(self.sure / worse), 0)
        rise = float(terms.sum(1).mean())
        facts = kl_gate(self.sure, worse, self.votes, allowed=rise - 1e-6)
        assert facts["rise"] == pytest.approx(rise)
        assert not facts["passes"]
        assert "more than" in facts["why"]
        assert facts["same_class"] == pytest.approx(2 / 3)
        assert kl_gate(self.sure, worse, self.votes, allowed=rise + 1e-6)["passes"]
        assert kl_gate(self.sure, self.sure, self.votes, allowed=0.0)["passes"]

    def test_what_is_no_graph_is_said_and_not_raised(self, tmp_path: Path) -> None:
        (tmp_path / "x.onnx").write_bytes(b"no graph")
        told = {"calibration": noise(2, WINDOW), "signal": noise(2, WINDOW), "votes": np.eye(2)}
        facts = export_int8(tmp_path / "x.onnx", tmp_path / "y.onnx", **told)
        assert not facts["passes"]
        assert "cannot be quantised" in facts["why"]
        assert not (tmp_path / "y.onnx").exists()


def test_a_network_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="only pre-trained"):
        export_window(network("resnet_gru", target=None), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_lengths_that_a_graph_takes() -> None:
    assert least_times(network("resnet_gru", crop_s=2.0)) == 200
    assert least_times(network("squeezeformer")) == 32
    assert least_times(network("spectrogram_efficientnet")) == WINDOW  # too few columns for any length
    assert isinstance(network("resnet_gru"), Network)
