"""The exported step graph against the network, at every cut."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import load_state, save_state
from neural_foundation.export.step_graph import chunk_path, export_step
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.network import to_arrays

PLACES = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(6))
SIGNAL = SignalSpec(sfreq=250.0, ch_names=tuple("abcdef"), positions=PLACES)
TINY = Multiscale(d_model=16, n_layers=1, n_heads=2, virtual_channels=4, scales_s=(0.1, 1.0), resonators=(4, 5))


@pytest.fixture(scope="module")
def net():
    net = TINY.build(SIGNAL, TargetSpec(classes=("a", "b")), subjects=2).eval()
    g = torch.Generator().manual_seed(0)
    net.calibrate([1e-5 * torch.randn(16, 6, 500, generator=g)])
    with torch.no_grad():
        for p in net.parameters():
            p += 0.05 * torch.randn(p.shape, generator=g)
    return net


@pytest.fixture(scope="module")
def graph(net, tmp_path_factory):
    return export_step(net, tmp_path_factory.mktemp("graph") / "step.onnx")


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def sessions(graph):
    return [session(graph.path), session(graph.chunk_path)]


def run(sessions, signal, cuts, state):
    hop, parts, at = sessions[0].get_inputs()[0].shape[2], [], 0
    for n in cuts:
        chosen = sessions[0] if n == 1 else sessions[1]
        out = chosen.run(None, {"signal": signal[:, :, at * hop : (at + n) * hop], **state})
        state = dict(zip(state, out[1:], strict=True))
        parts.append(out[0])
        at += n
    return np.concatenate(parts, 1), state


class TestLiveGraph:
    """The graph of one token, as it is in a package."""

    @pytest.mark.parametrize("scale", [1e-5, 1, 100])
    def test_parity_with_torch(self, exported_package, scale) -> None:
        net = exported_package.network()
        signal = scale * torch.randn(1, 3, 72 * net.hop, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            wanted = net(signal).logits.numpy()
        live = [session(exported_package.graph)]
        given, _ = run(live, signal.numpy(), [1] * 72, to_arrays(net.start(1)))
        assert np.abs(given - wanted).max() / np.sqrt((wanted**2).mean()) < 1e-5

    def test_silence_is_a_number(self, exported_package) -> None:
        net = exported_package.network()
        signal = torch.zeros(1, 3, 5 * net.hop)
        with torch.inference_mode():
            wanted = net(signal).logits.numpy()
        given, _ = run([session(exported_package.graph)], signal.numpy(), [1] * 5, to_arrays(net.start(1)))
        np.testing.assert_allclose(given, wanted, rtol=1e-5)  # no optimizer took the floor under the logarithm away

    def test_the_interface_is_explicit(self, exported_package) -> None:
        net, live = exported_package.network(), session(exported_package.graph)
        names = list(net.start(1))
        assert [i.name for i in live.get_inputs()] == ["signal", *names]
        assert [o.name for o in live.get_outputs()] == ["logits", *(f"next_{n}" for n in names)]
        assert live.get_inputs()[0].shape == [1, 3, net.hop]
        assert all(i.type == "tensor(double)" for i in live.get_inputs()[1:])

    def test_only_what_touches_signal_or_state_is_left(self, exported_package) -> None:
        only_what_moves(exported_package.graph)
        assert b".py" not in exported_package.graph.read_bytes()


def only_what_moves(path) -> None:
    model = onnx.load(path)
    onnx.checker.check_model(model)
    moving = {i.name for i in model.graph.input}
    for node in model.graph.node:
        assert moving & set(node.input), node.op_type
        moving |= set(node.output)


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [[1] * 72, [7] * 10 + [2], [64, 8], [72], [1, 30, 2, 1, 38]])
def test_parity_with_torch_at_every_cut(net, sessions, cuts) -> None:
    signal = 1e-5 * torch.randn(1, 6, 72 * 25, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = net(signal).logits.numpy()
    given, _ = run(sessions, signal.numpy(), cuts, to_arrays(net.start(1)))
    assert np.abs(given - wanted).max() / np.sqrt((wanted**2).mean()) < 1e-5


@pytest.mark.slow
def test_a_saved_state_goes_on_between_torch_and_onnx(net, sessions) -> None:
    signal = 1e-5 * torch.randn(1, 6, 20 * 25, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        wanted = net(signal).logits.numpy()
        _, state = net.stream(signal[:, :, : 9 * 25], net.start(1))
    state = load_state(save_state(to_arrays(state)))
    given, state = run(sessions, signal[:, :, 9 * 25 : 15 * 25].numpy(), [1, 5], state)
    rest, _ = run(sessions, signal[:, :, 15 * 25 :].numpy(), [1] * 5, load_state(save_state(state)))
    given = np.concatenate([given, rest], 1)
    assert np.abs(given - wanted[:, 9:]).max() / np.sqrt((wanted**2).mean()) < 1e-5


@pytest.mark.slow
def test_both_graphs_say_the_same_of_themselves(net, graph, sessions) -> None:
    assert graph.state["resonators"] == (9, 4, 4)
    assert graph.hop == 25
    for one in sessions:
        assert [i.name for i in one.get_inputs()] == ["signal", *net.start(1)]
    assert isinstance(sessions[1].get_inputs()[0].shape[2], str)


@pytest.mark.slow
def test_bytes_depend_on_the_network_alone_and_tell_nothing_else(net, graph, tmp_path) -> None:
    again = export_step(net, tmp_path / "other.onnx", tokens="one")
    assert again.chunk_path is None
    assert not chunk_path(again.path).exists()
    digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (again.path, graph.path)}
    assert len(digests) == 1
    assert b".py" not in graph.path.read_bytes()
    assert b".py" not in graph.chunk_path.read_bytes()


@pytest.mark.slow
def test_only_what_touches_signal_or_state_is_left(graph) -> None:
    only_what_moves(graph.path)


def test_a_subject_without_adapter_is_refused(net, tmp_path) -> None:
    with pytest.raises(SpecError, match=r"Subject 3 has no adapter.*0 \(population\) to 2"):
        export_step(net, tmp_path / "step.onnx", subject=3)
