"""The exported decoder of binned sessions against the network in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import live_binned
import numpy as np
import pytest
import torch
from live_binned import BINS

from neural_foundation.core.errors import SpecError
from neural_foundation.export.binned_facts import STEP, WINDOW, chosen_session, decoded, input_spec, output_spec
from neural_foundation.export.binned_graph import StepDecoding, WindowDecoding, export_decoding
from neural_foundation.models.binned_package import BinnedPackage
from neural_foundation.models.predicted import hidden_for
from neural_foundation.realtime.engine import open_graph

BOUND = 1e-5


def counts(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.7, shape).astype(np.float32)


def error(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest deviation of (n, K), each tenth of the stream over its own RMS, an output at a time."""
    worst = 0.0
    for k in range(want.shape[1]):
        for a, b in zip(np.array_split(got[:, k], 10), np.array_split(want[:, k], 10), strict=True):
            if len(b):
                rms = float(np.sqrt(np.mean(np.square(b, dtype=np.float64))))
                worst = max(worst, float(np.abs(a - b).max()) / max(rms, 1e-30))
    return worst


class TestStep:
    @pytest.fixture
    def step(self, exported_binned: dict[str, Path]) -> StepDecoding:
        return StepDecoding(BinnedPackage.open(exported_binned["causal"]).network(), 0)

    @pytest.fixture
    def graph(self, exported_binned: dict[str, Path]) -> Any:
        return open_graph(exported_binned["causal"] / STEP)

    @pytest.mark.parametrize("bins", [1, 5, 6, 40, 200])
    @pytest.mark.parametrize("before", [0, 3, 50])
    def test_parity_from_the_start_and_from_mid_stream(self, step, graph, bins: int, before: int) -> None:
        heard = counts(1, before + bins, 6)
        heard[0, ::7, 2] = np.nan
        with torch.inference_mode():
            state = step.start()
            if before:
                _, *state = step(torch.from_numpy(heard[:, :before]), state)
            want = step(torch.from_numpy(heard[:, before:]), state)
        given = {n: s.numpy() for n, s in zip(step.names, state, strict=True)}
        rows = []
        for i in range(before, before + bins):
            made, *after = graph.run(None, {"counts": heard[:, i : i + 1], **given})
            given = dict(zip(step.names, after, strict=True))
            rows.append(made[0, 0])
        assert error(np.array(rows), want[0][0].numpy()) <= BOUND
        for name, tensor in zip(step.names, want[1:], strict=True):
            assert error(given[name].reshape(-1, 1), tensor.numpy().reshape(-1, 1)) <= BOUND

    def test_what_it_takes_and_gives(self, step, graph) -> None:
        taken = {i.name: i.shape for i in graph.get_inputs()}
        assert taken == {"counts": [1, 1, 6], **{n: list(s.shape) for n, s in zip(step.names, step.start())}}  # noqa: B905
        assert [o.name for o in graph.get_outputs()] == ["predictions", *(f"next_{n}" for n in step.names)]

    def test_an_unknown_count_is_taken_for_the_mean(self, step) -> None:
        heard = torch.from_numpy(counts(1, 8, 6))
        unknown, usual = heard.clone(), heard.clone()
        unknown[0, 3], usual[0, 3] = float("nan"), step.usual
        with torch.inference_mode():
            first, second = step(unknown, step.start())[0], step(usual, step.start())[0]
            part = step.network.part(0).of_counts("spikes")
            assert torch.equal(first, second)
            assert not torch.equal(first, step(heard, step.start())[0])
            assert part.centred(usual[0, 3].sqrt()).abs().max() < 1e-6

    def test_the_other_tokens_and_another_session(self, tmp_path: Path) -> None:
        fields = {"inputs": "units", "unit_width": 3, "transform": "log1p", "local_bins": 1, "context_bins": 3}
        network = live_binned.package(tmp_path / "p", causal=True, layers=1, **fields).network()
        graph = open_graph(export_decoding(network, tmp_path / "x.onnx", 1).path)
        step, heard = StepDecoding(network, 1), counts(1, 12, 6)
        heard[0, 4] = np.nan
        state = {n: s.numpy() for n, s in zip(step.names, step.start(), strict=True)}
        assert "local" not in state  # of one bin it keeps nothing, and a buffer of nothing cannot be bound
        rows = []
        for i in range(12):
            made, *after = graph.run(None, {"counts": heard[:, i : i + 1], **state})
            state = dict(zip(state, after, strict=True))
            rows.append(made[0, 0])
        with torch.inference_mode():
            want = step(torch.from_numpy(heard), step.start())[0][0].numpy()
        assert error(np.array(rows), want) <= BOUND


class TestWindow:
    @pytest.mark.parametrize("windows", [1, 3])
    def test_parity_at_any_number_of_windows(self, exported_binned: dict[str, Path], windows: int) -> None:
        heard = counts(windows, BINS, 6)
        heard[0, 4] = np.nan
        network = BinnedPackage.open(exported_binned["whole"]).network()
        with torch.inference_mode():
            want = WindowDecoding(network, 0)(torch.from_numpy(heard)).numpy()
        got = open_graph(exported_binned["whole"] / WINDOW).run(None, {"counts": heard})[0]
        assert got.shape == (windows, BINS, 8)
        assert error(got.reshape(-1, 8), want.reshape(-1, 8)) <= BOUND

    def test_it_is_what_an_evaluation_predicts(self, exported_binned: dict[str, Path]) -> None:
        package, data = BinnedPackage.open(exported_binned["whole"]), live_binned.windows()
        said = package.predict(data, hidden_for("decoding", data.spec)).sessions[0]
        heard = data.values(0, "spikes").astype(np.float32)
        got = open_graph(package.folder / WINDOW).run(None, {"counts": heard})[0]
        at = 0
        for name in decoded(data.spec, 0):
            want = said[name] if said[name].ndim == 3 else np.repeat(said[name][:, None], BINS, 1)
            np.testing.assert_allclose(got[..., at : at + want.shape[-1]], want, rtol=1e-4, atol=1e-5)
            at += want.shape[-1]
        assert at == got.shape[-1]


def test_the_bytes_depend_on_network_and_session_alone(exported_binned: dict[str, Path], tmp_path: Path) -> None:
    network = BinnedPackage.open(exported_binned["whole"]).network().train()
    made = export_decoding(network, tmp_path / "again.onnx", 0)
    assert network.training
    assert made.path.read_bytes() == (exported_binned["whole"] / WINDOW).read_bytes()
    assert b"/neural_foundation/" not in made.path.read_bytes()


class TestFacts:
    def test_channels_and_units(self) -> None:
        binned = live_binned.windows().spec
        assert input_spec(binned, 0).ch_names == tuple(f"a-{i}" for i in range(6))
        out = output_spec(binned, 0, hop=2)
        assert out.sfreq == pytest.approx(25)
        assert out.ch_names[:4] == (
            "wheel_speed/wheel_speed",
            "motion_energy/left",
            "motion_energy/right",
            "choice/left",
        )
        assert out.units[:2] == ("cm/s", "")
        assert output_spec(binned, 1).ch_names[:3] == ("motion_energy/left", "motion_energy/right", "choice/left")

    def test_counts_of_two_modalities_are_told_apart(self) -> None:
        binned = live_binned.windows().spec
        more = binned.modalities[0].model_copy(update={"name": "multi_unit"})
        session = binned.sessions[0].model_copy(update={"channels": (*binned.sessions[0].channels, ("x",))})
        binned = binned.model_copy(update={"modalities": (*binned.modalities, more), "sessions": (session,)})
        assert input_spec(binned, 0).ch_names[5:] == ("spikes/a-5", "multi_unit/x")

    def test_which_session(self) -> None:
        binned = live_binned.windows().spec
        assert chosen_session(binned, "b") == 1
        assert chosen_session(binned.only(["b"]), None) == 0
        with pytest.raises(SpecError, match="2 sessions"):
            chosen_session(binned, None)
        with pytest.raises(SpecError, match="does not know session 'c'"):
            chosen_session(binned, "c")

    @pytest.mark.parametrize(("gone", "said"), [(0, "no counts"), (1, "no behaviour")])
    def test_nothing_to_decode(self, gone: int, said: str) -> None:
        binned = live_binned.windows().spec
        channels = tuple(c if (i > 0) == bool(gone == 0) else () for i, c in enumerate(binned.sessions[0].channels))
        session = binned.sessions[0].model_copy(update={"channels": channels})
        with pytest.raises(SpecError, match=said):
            (input_spec if gone == 0 else output_spec)(binned.model_copy(update={"sessions": (session,)}), 0)
