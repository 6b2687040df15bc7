"""Alignment: a person's running mean is taken out, causally and without labels, live as in an evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.export.step_graph import export_step
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.layers.subjects import PRIOR
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.people import people, rows
from neural_foundation.realtime.engine import StepEngine
from neural_foundation.sampling.windows import apart

PLACES = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(6))
SIGNAL = SignalSpec(sfreq=250.0, ch_names=tuple("abcdef"), positions=PLACES)
TARGET = TargetSpec(classes=("a", "b"))
TRIAL = 300  # samples: 12 tokens of 25, of which align_s takes 10


def trials(n: int, gain: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Trials of a person whose fast rhythm is `gain` times as strong as others'."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, TRIAL, generator=g)
    t = torch.arange(TRIAL) / 250.0
    phase = 6.3 * torch.rand(n, 6, 1, generator=g)
    return 1e-5 * (x + gain * torch.sin(2 * torch.pi * 20.0 * t + phase))


@pytest.fixture(scope="module")
def net():
    spec = Multiscale(
        d_model=16, n_layers=1, n_heads=2, virtual_channels=4, scales_s=(0.1, 1.0), resonators=(4, 5), align_s=1.0
    )
    net = spec.build(SIGNAL, TARGET, subjects=2).eval()
    both = torch.cat([trials(12, 0.5), trials(12, 3.0, seed=1)])
    net.calibrate([both])
    net.calibrate_people([(both, torch.tensor([1] * 12 + [2] * 12))])
    weight = torch.randn(2, net.n_powers, generator=torch.Generator().manual_seed(2)) / net.n_powers**0.5
    net.set_direct(weight, torch.zeros(2))
    return net


def begin(net, signal: torch.Tensor, start: np.ndarray, session: np.ndarray):
    return people(net, lambda items: signal[torch.from_numpy(items)], session, start, TRIAL)


def test_known_people_are_centred(net) -> None:
    signal = torch.cat([trials(12, 0.5), trials(12, 3.0, seed=1)])
    (features,) = net.probe_features(signal, torch.tensor([1] * 12 + [2] * 12))
    (plain,) = net.probe_features(signal)
    distance = [(f[:12].mean(0) - f[12:].mean(0)).norm() for f in (features, plain)]
    assert distance[0] < 0.2 * distance[1]


def test_a_new_persons_mean_grows_trial_by_trial(net) -> None:
    signal = trials(10, 3.0, seed=5)
    state = begin(net, signal, np.arange(10) * TRIAL, np.zeros(10))["person"]
    heard = net.heard(signal)
    assert (state[0] == 0).all()
    torch.testing.assert_close(state[4], heard[:4].sum(0))
    assert state[:, -1].tolist() == list(range(10))
    mean = net._person({"person": state}, None)
    torch.testing.assert_close(mean[4].double(), heard[:4, :-1].sum(0) / (4 + PRIOR))


def test_it_moves_a_strange_person_towards_the_others(net) -> None:
    signal = trials(40, 6.0, seed=6)
    before = begin(net, signal, np.arange(40) * TRIAL, np.zeros(40))
    with torch.inference_mode():
        tokens = [net(signal, begin=b).tokens[..., : net.n_powers].mean((0, 1)) for b in (None, before)]
    assert tokens[1].norm() < 0.5 * tokens[0].norm()


def test_order_of_windows_and_other_recordings_do_not_matter(net) -> None:
    signal = torch.cat([trials(6, 1.0, seed=7), trials(6, 4.0, seed=8)])
    start, session = np.tile(np.arange(6) * TRIAL, 2), np.repeat([0, 1], 6)
    whole = begin(net, signal, start, session)["person"]
    shuffled = np.random.default_rng(0).permutation(12)
    again = begin(net, signal[torch.from_numpy(shuffled)], start[shuffled], session[shuffled])["person"]
    torch.testing.assert_close(again, whole[torch.from_numpy(shuffled)])
    torch.testing.assert_close(begin(net, signal[:6], start[:6], session[:6])["person"], whole[:6])


def test_only_trials_that_have_ended_are_known(net) -> None:
    signal = trials(4, seed=9)
    start = np.array([0, TRIAL // 2, TRIAL, 2 * TRIAL - 1])
    assert begin(net, signal, start, np.zeros(4))["person"][:, -1].tolist() == [0, 0, 1, 1]
    assert apart(start, TRIAL).tolist() == [0, 2]


def test_rows_pick_windows(net) -> None:
    state = begin(net, trials(5), np.arange(5) * TRIAL, np.zeros(5))
    torch.testing.assert_close(rows(state, np.array([3, 1]))["person"], state["person"][[3, 1]])
    assert rows({}, np.array([0])) == {}


def test_without_alignment_nothing_is_known() -> None:
    plain = Multiscale(d_model=16, n_layers=0, n_heads=2, virtual_channels=2).build(SIGNAL, TARGET).eval()
    assert begin(plain, trials(2), np.arange(2) * TRIAL, np.zeros(2)) == {}
    assert "person" not in plain.start(1)


def test_windows_shorter_than_align_s_are_refused(net) -> None:
    with pytest.raises(SpecError, match=r"Windows of 0.4 s are shorter than align_s 1"):
        net.heard(trials(2)[:, :, :100])


@pytest.mark.parametrize("cuts", [[1] * 12, [5, 7], [12]])
def test_what_is_heard_does_not_depend_on_the_cuts(net, cuts: list[int]) -> None:
    signal = trials(3, seed=3)
    state, at = {**net.start(3), "trial": torch.ones(3, dtype=torch.float64)}, 0
    for n in cuts:
        _, state = net.stream(signal[:, :, at * 25 : (at + n) * 25], state)
        at += n
    torch.testing.assert_close(state["heard"], net.heard(signal), atol=1e-4, rtol=1e-4)


def test_live_decisions_over_trials_are_those_of_an_evaluation(net, tmp_path) -> None:
    export_step(net, tmp_path / "step.onnx", tokens="one")
    engine, signal = StepEngine(tmp_path / "step.onnx"), trials(6, 4.0, seed=4)
    rest, live = 1e-5 * torch.randn(6, 20 * 25, generator=torch.Generator().manual_seed(1)), []
    hear(engine, rest)  # before the first trial: nobody's mean
    for trial in signal:
        engine.next_trial()
        live.append(hear(engine, trial))
        hear(engine, rest[:, :50])  # a pause after align_s does not change the mean
    with torch.inference_mode():
        expected = net(signal, begin=begin(net, signal, np.arange(6) * (TRIAL + 50), np.zeros(6))).logits[:, -1]
    np.testing.assert_allclose(np.stack(live), expected.numpy(), atol=2e-4)


def hear(engine: StepEngine, signal: torch.Tensor) -> np.ndarray:
    for at in range(0, signal.shape[1], engine.hop):
        engine.signal[:] = signal[:, at : at + engine.hop].numpy()
        logits = engine.step()
    return logits.copy()


def test_a_trial_that_is_not_valid_does_not_count(net, tmp_path) -> None:
    export_step(net, tmp_path / "step.onnx", tokens="one")
    engine, signal = StepEngine(tmp_path / "step.onnx"), trials(2, 4.0, seed=4)
    engine.next_trial()
    hear(engine, signal[0])
    engine.next_trial(keep=False)
    assert (engine.live["person"] == 0).all()
    hear(engine, signal[1])
    engine.next_trial()
    assert engine.live["person"][0, -1] == 1


def test_no_single_trial_pulls_the_mean_away(net) -> None:
    assert net.heard(torch.zeros(1, 6, TRIAL))[:, :-1].abs().max() <= 8.0


def test_recordings_are_told_apart_by_their_file(net) -> None:
    signal, start = trials(6, seed=7), np.tile(np.arange(3) * TRIAL, 2)
    assert begin(net, signal, start, np.repeat([0, 1], 3))["person"][:, -1].tolist() == [0, 1, 2, 0, 1, 2]


def test_no_windows_need_no_mean(net) -> None:
    assert begin(net, trials(1), np.zeros(0, np.int64), np.zeros(0)) == {}


def test_only_an_aligned_network_stores_the_means_of_people(net) -> None:
    plain = Multiscale(d_model=16, n_layers=0, n_heads=2, virtual_channels=2).build(SIGNAL, TARGET, subjects=2)
    assert "adapter.offset" in net.state_dict()
    assert "adapter.offset" not in plain.state_dict()


def test_a_stream_without_trials_cannot_be_aligned() -> None:
    with pytest.raises(ValueError, match="counts trials"):
        Multiscale(align_s=1.0, context="stream")
