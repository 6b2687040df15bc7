"""The `multiscale` network: chunk law, causality, montages, subjects, scales, sizes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError, SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec, identity
from neural_foundation.core.stream import load_state, save_state
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.network import to_arrays, to_tensors
from neural_foundation.models.table import MODELS

TARGET = TargetSpec(classes=("left", "right"))
SMALL = {"d_model": 16, "n_layers": 2, "n_heads": 2, "virtual_channels": 4, "resonators": (2, 3, 4, 5)}


def signal_spec(n_chans: int = 8, sfreq: float = 250.0) -> SignalSpec:
    places = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(n_chans))
    return SignalSpec(sfreq=sfreq, ch_names=tuple(f"E{i}" for i in range(n_chans)), positions=places)


def data(n: int, tokens: int, n_chans: int = 8, hop: int = 25, seed: int = 0) -> torch.Tensor:
    return 1e-5 * torch.randn(n, n_chans, tokens * hop, generator=torch.Generator().manual_seed(seed))


def network(subjects: int = 0, target: TargetSpec | None = TARGET, stirred: bool = True, **fields):
    net = Multiscale(**{**SMALL, **fields}).build(signal_spec(), target, subjects=subjects)
    net.calibrate([data(32, 20)])
    if stirred:
        g = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for p in net.parameters():
                p += 0.05 * torch.randn(p.shape, generator=g)
    return net.eval()


def streamed(net, signal, cuts):
    state, parts, at = net.start(len(signal)), [], 0
    for n in cuts:
        out, state = net.stream(signal[:, :, at * net.hop : (at + n) * net.hop], state)
        parts.append(out.logits)
        at += n
    return torch.cat(parts, 1)


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.square().mean().sqrt())


@pytest.mark.parametrize("context", ["trial", "stream"])
@pytest.mark.parametrize("cuts", [[1] * 130, [7] * 18 + [4], [64, 64, 2], [130]])
def test_chunk_law(context, cuts) -> None:
    net, signal = network(context=context), data(2, 130, seed=1)
    with torch.inference_mode():
        assert error(streamed(net, signal, cuts), net(signal).logits) < 1e-5


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_chunk_law_at_random_cuts(cuts) -> None:
    net, signal = network(), data(1, sum(cuts), seed=2)
    with torch.inference_mode():
        assert error(streamed(net, signal, cuts), net(signal).logits) < 1e-5


def test_a_saved_state_goes_on_where_it_stopped() -> None:
    net, signal = network(), data(2, 40, seed=3)
    with torch.inference_mode():
        whole = net(signal).logits
        _, state = net.stream(signal[:, :, : 17 * 25], net.start(2))
        state = to_tensors(load_state(save_state(to_arrays(state))))
        rest, _ = net.stream(signal[:, :, 17 * 25 :], state)
    assert error(rest.logits, whole[:, 17:]) < 1e-5


def test_the_state_is_float64_of_fixed_size_and_not_changed_by_a_step() -> None:
    net, signal = network(), data(1, 3)
    state = net.start(1)
    kept = {n: t.clone() for n, t in state.items()}
    with torch.inference_mode():
        _, after = net.stream(signal, state)
    assert all(torch.equal(state[n], kept[n]) for n in state)
    assert {n: t.shape for n, t in after.items()} == {n: t.shape for n, t in state.items()}
    assert all(t.dtype == torch.float64 for t in after.values())


def test_the_future_never_changes_the_past() -> None:
    net, signal = network(), data(1, 30, seed=4)
    other = signal.clone()
    other[:, :, 12 * 25 :] = 3.0
    with torch.inference_mode():
        a, b = net(signal), net(other)
    assert torch.equal(a.logits[:, :12], b.logits[:, :12])
    assert not torch.allclose(a.logits[:, 12:], b.logits[:, 12:])


def test_channels_may_come_in_any_order_with_their_positions() -> None:
    net, signal, order = network(), data(1, 10), np.random.default_rng(0).permutation(8)
    with torch.inference_mode():
        before = net(signal).logits
        net.bind_montage([net.signal.positions[i] for i in order])
        assert error(net(signal[:, order.copy()]).logits, before) < 1e-4


def test_missing_and_extra_channels_are_taken() -> None:
    net = network()
    with torch.inference_mode():
        net.bind_montage(net.signal.positions[:5])
        assert net(data(1, 4, n_chans=5)).logits.isfinite().all()
        dense = signal_spec(64)
        net.bind_montage(dense.positions, [i != 3 for i in range(64)])
        signal = data(1, 4, n_chans=64)
        kept = net(signal).logits
        signal[:, 3] = 1.0
        assert torch.equal(net(signal).logits, kept)


def test_short_scales_are_left_out_by_name() -> None:
    assert network().scales_left_out == ("1 ms",)
    fast = Multiscale(**SMALL).build(signal_spec(sfreq=4000.0), TARGET)
    assert fast.scales_left_out == ()
    assert fast.scales == ("1 ms", "10 ms", "100 ms", "1 s")
    slow = Multiscale(**SMALL).build(signal_spec(sfreq=100.0), TARGET)
    assert slow.scales_left_out == ("1 ms", "10 ms")
    assert max(slow.describe()["frequencies_hz"]) <= 45
    with pytest.raises(SpecError, match="At 1 Hz none of the scales 1 ms, 10 ms, 100 ms, 1 s"):
        Multiscale(**SMALL).build(signal_spec(sfreq=1.0), TARGET)


def test_new_subjects_start_from_the_population_and_training_subjects_leave_it() -> None:
    net, signal = network(subjects=3), data(2, 5)
    with torch.inference_mode():
        population = net(signal).logits
        assert error(net(signal, torch.zeros(2, dtype=torch.long)).logits, population) < 1e-5
        assert not torch.allclose(net(signal, torch.tensor([1, 2])).logits, population)
    fresh = network(subjects=3, stirred=False)
    with torch.inference_mode():
        assert error(fresh(signal, torch.tensor([1, 2])).logits, fresh(signal).logits) < 1e-5


def test_the_adversary_speaks_in_training_only_and_turns_the_gradient() -> None:
    net, signal = network(subjects=3, dropout=0.0), data(2, 5)
    assert net(signal).subject_logits is None
    out = net.train()(signal)
    assert out.subject_logits.shape == (2, 3)
    gradients = []
    for strength in (1.0, 0.0):
        object.__setattr__(net, "spec", net.spec.model_copy(update={"adversary": strength}))
        net.zero_grad()
        net(signal).subject_logits.square().sum().backward()
        gradients.append(net.pooled.spectra.grad.abs().max().item())
    assert gradients[0] > 0
    assert gradients[1] == 0


def test_pre_training_gives_targets_and_guesses_and_hides_masked_tokens() -> None:
    net, signal = network(target=None), data(2, 6)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[:, 3] = True
    with torch.inference_mode():
        out = net(signal, token_mask=mask)
        other = signal.clone()
        other[:, :, 3 * 25 : 4 * 25] *= 1.5
        hidden = net(other, token_mask=mask)
    assert out.logits is None
    assert out.reconstruction.shape == out.tokens.shape
    assert not out.tokens.requires_grad
    assert torch.equal(out.reconstruction[:, 3], hidden.reconstruction[:, 3])
    assert not torch.equal(out.tokens[:, 3], hidden.tokens[:, 3])


def test_calibration_standardises_the_features() -> None:
    net, signal = network(stirred=False), data(32, 20)
    with torch.inference_mode():
        tokens = net(signal).tokens
    powers = tokens[..., : net.n_powers]
    assert powers.mean((0, 1)).abs().max() < 0.05
    assert (powers.std((0, 1)) - 1).abs().max() < 0.1
    again = Multiscale(**SMALL).build(signal_spec(), TARGET)
    again.calibrate([signal])
    assert torch.equal(again.feature_mean, net.feature_mean)
    with pytest.raises(DataError, match="1 window.* too few"):
        again.calibrate([signal[:1]])


def test_the_unit_of_the_signal_does_not_matter_once_calibrated() -> None:
    volts, microvolts = (Multiscale(**SMALL).build(signal_spec(), TARGET).eval() for _ in range(2))
    signal = data(16, 10)
    volts.calibrate([signal])
    microvolts.calibrate([1e6 * signal])
    with torch.inference_mode():
        assert error(microvolts(1e6 * signal).logits, volts(signal).logits) < 1e-4


def test_flat_signals_stay_finite() -> None:
    with torch.inference_mode():
        assert network()(torch.zeros(1, 8, 100)).logits.isfinite().all()


def test_the_seed_alone_decides_the_weights() -> None:
    before = torch.get_rng_state()
    a, b, c = (Multiscale(**SMALL).build(signal_spec(), TARGET, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert not torch.equal(a["embed.spectra"], c["embed.spectra"])


def test_gradients_reach_every_part() -> None:
    net = network(subjects=2).train()
    out = net(data(4, 6), torch.tensor([0, 1, 2, 1]))
    (out.logits.square().sum() + out.subject_logits.square().sum()).backward()
    without = {n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0}
    assert without == {"mask_token"}


@pytest.mark.parametrize(
    ("size", "low", "high"),
    [
        ("tiny", 0.1e6, 1e6),
        ("small", 5.6e6, 6e6),
        ("base", 40e6, 50e6),
        ("125m", 120e6, 135e6),
        ("1.3b", 1.25e9, 1.4e9),
        ("13b", 12.5e9, 13.5e9),
    ],
)
def test_sizes_on_the_meta_device(size, low, high) -> None:
    with torch.device("meta"):
        net = Multiscale(size=size).build(signal_spec(64, 1000.0), TARGET, subjects=10)
    assert low < net.n_parameters() < high


def test_adopt_takes_what_fits() -> None:
    first, second = network(target=None), Multiscale(**SMALL).build(signal_spec(), TARGET)
    missing = second.adopt(first.state_dict())
    assert set(missing) == {"readout.weight", "readout.bias", "direct_weight", "direct_bias"}
    assert torch.equal(second.embed.spectra, first.embed.spectra)
    assert "embed.spectra" in second.adopt(first.state_dict(), without=("embed",))


def test_wrong_shapes_are_refused() -> None:
    net = network()
    with pytest.raises(SignalMismatchError, match=r"\(1, 7, 50\).*\(batch, 8, n_times\)"):
        net(torch.zeros(1, 7, 50))
    with pytest.raises(DataError, match="10 samples are shorter than one token"):
        net(torch.zeros(1, 8, 10))
    with pytest.raises(SignalMismatchError, match="whole tokens of 25 samples"):
        net.stream(torch.zeros(1, 8, 30), net.start(1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resonators": [3]}, "resonators has 1 entries for 4 scales_s"),
        ({"scales_s": [1.0, 0.1], "resonators": [3, 3]}, "scales_s must be positive and rise"),
        ({"low_hz": 50}, "low_hz 50 is not below high_hz 45"),
        ({"d_model": 30}, "d_model 30 is not a multiple of n_heads 4"),
    ],
)
def test_wrong_fields_are_refused(fields, message) -> None:
    with pytest.raises(SpecError, match=message):
        MODELS.parse({"kind": "multiscale", **fields})


def test_the_key_holds_what_changes_results() -> None:
    assert identity(Multiscale()) == {"kind": "multiscale"}
    assert identity(Multiscale(checkpointing=True)) == {"kind": "multiscale"}
    assert identity(Multiscale(hop_s=0.2)) == {"kind": "multiscale", "hop_s": 0.2}


def test_the_description_imports_no_torch() -> None:
    code = "import sys, neural_foundation.models.multiscale; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_direct_path_is_a_linear_probe_on_pooled_powers() -> None:
    built = network()
    x = torch.randn(4, built.n_chans, 3 * built.hop, generator=torch.Generator().manual_seed(0)) * 1e-5
    built.calibrate([x])
    (features,) = built.probe_features(x)
    weight = torch.randn(2, built.n_powers, generator=torch.Generator().manual_seed(1)) / built.n_powers
    built.set_direct(weight, torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(
        built(x).logits[:, -1], features @ weight.T + torch.tensor([1.0, -1.0]), atol=1e-4, rtol=1e-4
    )
