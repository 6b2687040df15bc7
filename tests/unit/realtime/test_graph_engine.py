import copy
from typing import Any

import numpy as np
import pytest
import torch
from small_package import HANDS, RAW, signal

from neural_foundation.core.errors import SpecError, StreamError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import Chunk, join, load_state, save_state
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.majority import Majority
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.package import Package
from neural_foundation.realtime import graph_engine, live_model
from neural_foundation.realtime.decoder import StreamDecoder
from neural_foundation.realtime.engine import StepEngine
from neural_foundation.realtime.folded import constants, kernels, record
from neural_foundation.realtime.graph_engine import GraphEngine, GraphStep, record_step
from neural_foundation.realtime.live_model import LiveModel

PLACES = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(6))
SIGNAL = SignalSpec(sfreq=250, ch_names=tuple("abcdef"), positions=PLACES)
TARGET = TargetSpec(classes=("a", "b", "c"))
SMALL: dict[str, Any] = {
    "d_model": 32,
    "n_layers": 2,
    "n_heads": 2,
    "virtual_channels": 3,
    "resonators": (2, 2, 4, 4),
}


@pytest.fixture(scope="module")
def package(exported_package: Package) -> Package:
    return exported_package


@pytest.fixture(scope="module")
def step(package: Package) -> GraphStep:
    return record_step(package, "cpu", "float32")


def trained(**fields: Any) -> Any:
    """A network whose blocks, waves and direct path all have a say."""
    network = Multiscale(**{**SMALL, **fields}).build(SIGNAL, TARGET, seed=1).eval()
    rng = torch.Generator().manual_seed(0)
    values = 1e-5 * torch.randn(3, 6, 1000, generator=rng)
    with torch.no_grad():
        network.calibrate([values])
        network.calibrate_direct([values])
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
        network.token_gain.fill_(1.0)
        network.direct_weight.copy_(0.02 * torch.randn(network.direct_weight.shape, generator=rng))
    return network


def stepped(engine: Any, values: np.ndarray) -> np.ndarray:
    out = []
    for first in range(0, values.shape[1] // engine.hop * engine.hop, engine.hop):
        engine.signal[:] = values[:, first : first + engine.hop]
        out.append(engine.step().copy())
    return np.array(out)


def noise(n_times: int, seed: int = 5) -> np.ndarray:
    return (1e-5 * np.random.default_rng(seed).standard_normal((6, n_times))).astype(np.float32)


def offline(network: Any, values: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(values[None])).logits[0].numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"context": "stream"},
        {"align_s": 0.5},
        {"n_layers": 0, "slow_hz": 0.0},
        {"relations": ((8.0, 12.0),), "tags_hz": (15.0,), "relation_sites": 3},
    ],
    ids=str,
)
def test_it_decides_as_the_network_does(fields: dict[str, Any]) -> None:
    network, values = trained(**fields), noise(1500)
    wanted = offline(network, values)
    given = stepped(GraphEngine(network, "cpu", "float32"), values)
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(given, wanted, atol=1e-5 * np.abs(wanted).max())


def test_the_recorded_stream_of_any_network_is_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_engine, "supports", lambda network: False)
    network, values = trained(), noise(1500)
    engine = GraphEngine(network, "cpu", "float32")
    np.testing.assert_allclose(stepped(engine, values), offline(network, values), atol=1e-4)
    with pytest.raises(SpecError, match="no step in bfloat16"):
        record_step(network, "cpu", "bfloat16")


def test_bfloat16_weights_stay_near() -> None:
    network, values = trained(), noise(5000)
    with torch.no_grad():  # all of the decision from the backbone
        network.pooled.maps.zero_()
        network.direct_weight.zero_()
    exact, rounded = (GraphEngine(network, "cpu", t) for t in ("float32", "bfloat16"))  # type: ignore[arg-type]
    wanted, given = stepped(exact, values), stepped(rounded, values)
    assert 1e-6 < off(given, wanted, wanted.mean(0)) < 0.03
    for name, array in exact.state().items():
        front = name in {"resonators", "power", "share", "age", "count"}
        assert off(rounded.state()[name], array) <= (0.0 if front else 0.01), name


def off(given: np.ndarray, wanted: np.ndarray, mean: Any = 0.0) -> float:
    """Return the root mean square of what differs, as a share of what is wanted."""
    return float(np.sqrt(np.square(given - wanted).mean() / np.square(wanted - mean).mean()))


def test_bfloat16_halves_what_is_read() -> None:
    network = trained(d_model=192)
    whole, half = (record_step(network, "cpu", t).weight_bytes for t in ("float32", "bfloat16"))  # type: ignore[arg-type]
    assert 0.5 <= half / whole < 0.55


def test_a_state_goes_to_the_exported_graph_and_back(package: Package, step: GraphStep) -> None:
    onnx, torched = StepEngine(package.graph), step.engine()
    values = signal(900)
    alone = stepped(StepEngine(package.graph), values)
    parts = [stepped(onnx, values[:, :300])]
    torched.restore(onnx.state())
    parts.append(stepped(torched, values[:, 300:600]))
    onnx.restore(torched.state())
    parts.append(stepped(onnx, values[:, 600:]))
    np.testing.assert_allclose(np.concatenate(parts), alone, atol=1e-5)
    mine, theirs = torched.state(), onnx.state()
    assert {n: (a.shape, a.dtype) for n, a in mine.items()} == {n: (a.shape, a.dtype) for n, a in theirs.items()}
    assert torched.names == onnx.names


def test_the_chunk_law_holds_and_a_connection_moves_between_devices(package: Package, step: GraphStep) -> None:
    values = signal(730)
    decoders = [StreamDecoder(package), StreamDecoder(package, session=step)]
    whole, _ = decoders[0].step(Chunk.of(values), decoders[0].start())
    edges = [0, 1, 8, 20, 150, 151, 333, 400, 640, 730]
    state, out = decoders[1].start(), []
    for i, (a, b) in enumerate(zip(edges, edges[1:], strict=False)):
        piece, state = decoders[1 - i % 2].step(Chunk.of(values[:, a:b], a), state)
        out.append(piece)
        state = load_state(save_state(state))
    np.testing.assert_allclose(join(out).values, whole.values, atol=1e-5)


def test_two_streams_on_one_decoder_stay_apart(package: Package, step: GraphStep) -> None:
    decoder, alone = StreamDecoder(package, session=step), StreamDecoder(package)
    states, outs = [decoder.start(), decoder.start()], [[], []]  # type: ignore[var-annotated]
    for at in range(0, 300, 60):
        for i in range(2):
            piece, states[i] = decoder.step(Chunk.of(signal(300, seed=i)[:, at : at + 60], at), states[i])
            outs[i].append(piece.values)
    for i in range(2):
        wanted, _ = alone.step(Chunk.of(signal(300, seed=i)), alone.start())
        np.testing.assert_allclose(np.concatenate(outs[i], 1), wanted.values, atol=1e-5)


def test_engines_of_a_step_share_weights_and_nothing_else(step: GraphStep) -> None:
    first, second = step.engine(), step.engine()
    stepped(first, signal(200))
    assert not any(a.any() for a in second.state().values())
    assert first.session is second.session
    before = {n: a.copy() for n, a in first.live.items()}
    assert before.keys() == first.live.keys() == dict(first.live).keys()
    first.restore(first.live)
    for name, array in first.state().items():
        np.testing.assert_array_equal(array, before[name])
    first.reset()
    assert not any(a.any() for a in first.live.values())


@pytest.mark.parametrize("keep", [True, False])
def test_a_trial_begins_with_what_is_known_of_the_person(keep: bool) -> None:
    engine = GraphEngine(trained(align_s=0.5), "cpu", "float32")
    stepped(engine, noise(500))
    state = engine.state()
    state["heard"][:], state["person"][:] = 2.0, 3.0
    engine.restore(state)
    engine.next_trial(keep=keep)
    after = engine.state()
    assert np.unique(after.pop("person")).tolist() == [5.0 if keep else 3.0]
    assert after.pop("trial").tolist() == [1.0]
    assert not any(a.any() for a in after.values())


def test_what_depends_on_weights_alone_is_not_in_the_step(step: GraphStep) -> None:
    heard = set[Any]()
    for node in step.run.graph.nodes:
        if node.op == "placeholder" or (node.op == "call_function" and "empty" in str(node.target)):
            heard.add(node)
        elif node.op == "call_function":
            assert any(i in heard for i in node.all_input_nodes), f"{node} is constant"
            heard.add(node)


def test_folding_keeps_results_and_refuses_a_constant_that_is_written() -> None:
    weight, x = torch.tensor([[4.0, 1.0], [0.0, 2.0]]), torch.tensor([1.0, 2.0])

    def scaled(x: torch.Tensor) -> torch.Tensor:
        return (weight.exp() * 2).mT @ x

    made = record(scaled, [x])
    torch.testing.assert_close(made(3 * x), scaled(3 * x))
    assert kernels(made) == 1
    assert len(constants(made)) == 1
    with pytest.raises(StreamError, match="writes into a constant"):
        record(lambda x: torch.zeros(2).add_(x), [x])


def test_a_network_that_lies_elsewhere_or_trains_is_left_alone() -> None:
    network = trained().train()
    before = copy.deepcopy(network.state_dict())
    stepped(GraphEngine(network, "cpu", "float32"), noise(200))
    assert network.training
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_only_what_decodes_is_recorded() -> None:
    with pytest.raises(StreamError, match="decodes nothing"):
        record_step(Multiscale(**SMALL).build(SIGNAL, None), "cpu")


# ---- which device ------------------------------------------------------------------------------------------------


def test_a_gpu_that_is_not_there_is_an_error(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SpecError, match="'cuda' is not there"):
        LiveModel.open(package.folder, device="cuda")
    with pytest.raises(SpecError, match="'cuda:1' is not there"):
        GraphEngine(package, "cuda:1")
    with pytest.raises(SpecError, match="'tpu' is not known"):
        LiveModel.open(package.folder, device="tpu")
    assert LiveModel.open(package.folder).device == "cpu"


def test_auto_takes_a_gpu_for_large_models_only(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert live_model.learned_numbers(package) == sum(a.size for a in package.arrays().values())
    assert live_model.chosen(package, "auto") == "cpu"
    monkeypatch.setattr(live_model, "GPU_FROM", 100)
    assert live_model.chosen(package, "auto") == "cuda:0"
    assert live_model.chosen(package, "cpu") == "cpu"


def test_an_estimator_runs_on_the_cpu(package: Package) -> None:
    facts = package.facts.model_copy(update={"model": Majority()})
    whole = Package(package.folder, facts)
    assert live_model.chosen(whole, "auto") == "cpu"
    with pytest.raises(SpecError, match="majority runs on the CPU"):
        live_model.chosen(whole, "cuda")


def test_a_live_model_decodes_by_a_recorded_step(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_model, "_session", lambda package, device, dtype: record_step(package, "cpu", dtype))
    chunk = Chunk.of(signal(300))
    given, wanted = LiveModel(package).decoder(), StreamDecoder(package, RAW)
    assert isinstance(given, StreamDecoder)
    assert isinstance(given.engine, GraphEngine)
    assert given.classes == HANDS.classes
    np.testing.assert_allclose(
        given.step(chunk, given.start())[0].values, wanted.step(chunk, wanted.start())[0].values, atol=1e-5
    )


@pytest.mark.parametrize(("size", "least", "most"), [("125m", 118e6, 130e6), ("1.3b", 1.25e9, 1.36e9)])
def test_sizes_have_the_parameters_of_their_name(size: Any, least: float, most: float) -> None:
    places = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(64))
    whole = SignalSpec(sfreq=1000, ch_names=tuple(f"E{i}" for i in range(64)), positions=places)
    with torch.device("meta"):
        assert least < Multiscale(size=size).build(whole, HANDS).n_parameters() < most
