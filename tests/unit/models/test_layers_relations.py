"""Second-order statistics across the head: against their closed forms, and what they cannot tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.layers.relations import SHRINKAGE, Relations, tag_frequencies
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.riemann import logm, whitener

SITES, SFREQ, HOP = 5, 250.0, 25
BANDS = ((4.0, 8.0), (8.0, 16.0))


def relations(bands=BANDS, tags=(), **fields) -> Relations:
    made = Relations(bands=bands, tags=tags, harmonics=1, n_sites=SITES, sfreq=SFREQ, hop=HOP, **fields)
    made.bind(torch.eye(SITES))
    return made


def covariances(n: int, made: Relations, seed: int = 0, spread: float = 0.3) -> torch.Tensor:
    """Positive definite matrices (n, G + Q, N, N) about one mean."""
    rng = np.random.default_rng(seed)
    a = np.eye(SITES) + spread * rng.standard_normal((n, made.n_bands + made.n_tags, SITES, SITES))
    return torch.from_numpy(a @ a.swapaxes(-1, -2)).float()


def sums(made: Relations, signal: torch.Tensor, cuts: list[int]) -> torch.Tensor:
    state = {n: torch.zeros(len(signal), *s, dtype=torch.float64) for n, s in made.start().items()}
    parts, at = [], 0
    for n in cuts:
        part, state = made.covariances(
            signal[:, :, at * HOP : (at + n) * HOP], state, torch.tensor(0.0, dtype=torch.float64)
        )
        parts.append(part)
        at += n
    return torch.cat(parts, 1)


def sine(hz: float, mix: np.ndarray, seconds: float = 4.0, noise: float = 0.1, seed: int = 0) -> torch.Tensor:
    t = np.arange(round(seconds * SFREQ)) / SFREQ
    rng = np.random.default_rng(seed)
    made = np.outer(mix, np.sin(2 * np.pi * hz * t + rng.uniform(0, 6))) + noise * rng.standard_normal((SITES, len(t)))
    return torch.from_numpy(made[None]).float()


def test_band_features_are_the_tangent_space_near_the_mean() -> None:
    made, matrices = relations(bands=BANDS[:1]), covariances(300, relations(bands=BANDS[:1]), spread=0.03)
    made.calibrate([matrices])
    features = made.features(matrices)
    c = matrices[:, 0].double().numpy()
    c = c / np.trace(c, axis1=1, axis2=2)[:, None, None] * SITES
    c = (1 - SHRINKAGE) * c + SHRINKAGE * np.eye(SITES)
    white = whitener(c.mean(0))
    rows, columns = np.triu_indices(SITES)
    tangent = logm(white @ c @ white)[:, rows, columns]
    expected = (tangent - tangent.mean(0)) / tangent.std(0)
    assert np.corrcoef(features.numpy().ravel(), expected.ravel())[0, 1] > 0.999


def test_features_of_the_training_windows_are_standardised_and_bounded() -> None:
    made = relations(tags=(10.0,))
    matrices = covariances(400, made)
    made.calibrate([matrices[:150], matrices[150:]])
    features = made.features(matrices)
    assert features.shape == (400, made.n_features)
    assert made.blocks == [2 * 15, made.n_tags]
    torch.testing.assert_close(features.mean(0), torch.zeros(made.n_features), atol=0.05, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(made.n_features), atol=0.1, rtol=0)
    wild = made.features(1e6 * covariances(50, made, seed=1, spread=30.0))
    assert wild.abs().max() <= 8.0


def test_the_gain_of_a_recording_changes_nothing() -> None:
    made = relations(tags=(10.0,))
    matrices = covariances(50, made)
    made.calibrate([matrices])
    torch.testing.assert_close(made.features(matrices), made.features(123.0 * matrices), atol=1e-3, rtol=1e-3)


def test_a_silent_signal_has_finite_features() -> None:
    made = relations(tags=(10.0,))
    made.calibrate([covariances(50, made)])
    assert torch.isfinite(made.features(torch.zeros(2, made.n_bands + made.n_tags, SITES, SITES))).all()


@pytest.mark.parametrize("cuts", [[1] * 40, [7] * 5 + [5], [40]])
def test_covariances_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    made, signal = relations(tags=(10.0,)), torch.randn(2, SITES, 1000, generator=torch.Generator().manual_seed(0))
    whole = sums(made, signal, [13, 27])
    torch.testing.assert_close(sums(made, signal, cuts), whole, atol=1e-5, rtol=1e-4)


def test_a_band_holds_what_goes_together_in_it() -> None:
    made, mix = relations(), np.array([1.0, -1.0, 0.5, 0.0, 0.0])
    found = sums(made, sine(6.0, mix), [40])[0, -1]
    slow, fast = found[0].numpy(), found[1].numpy()
    assert np.trace(slow) > 5 * np.trace(fast)
    correlation = slow / np.sqrt(np.outer(np.diag(slow), np.diag(slow)))
    assert correlation[0, 1] < -0.95
    assert correlation[0, 2] > 0.9
    assert abs(correlation[0, 3]) < 0.6


def test_tags_find_a_frequency_in_any_direction_and_under_any_mixing() -> None:
    made, rng = relations(bands=(), tags=(10.0, 13.0)), np.random.default_rng(0)
    order = list(tag_frequencies((10.0, 13.0), 1, 100.0))
    mixing = torch.from_numpy(np.eye(SITES) + 0.5 * rng.standard_normal((SITES, SITES))).float()
    for hz, seed in ((10.0, 1), (13.0, 2)):
        signal = sine(hz, rng.standard_normal(SITES), noise=1.0, seed=seed)
        plain = made._raw(sums(made, signal, [40])[:, -1])[0]
        mixed = made._raw(sums(made, mixing @ signal, [40])[:, -1])[0]
        assert int(plain.argmax()) == order.index(hz)
        assert int(mixed.argmax()) == order.index(hz)


def test_tag_frequencies() -> None:
    assert tag_frequencies((13.0,), 2, 100.0) == (11, 12, 13, 14, 15, 24, 25, 26, 27, 28)
    assert tag_frequencies((13.0, 15.0), 1, 16.0) == (11, 12, 13, 14, 15, 16)


PLACES = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(8))
SIGNAL = SignalSpec(sfreq=SFREQ, ch_names=tuple("abcdefgh"), positions=PLACES)
SMALL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "virtual_channels": 4, "resonators": (2, 3, 4, 5)}
TARGET = TargetSpec(classes=("a", "b"))


def test_a_network_decides_from_them_and_streams() -> None:
    net = Multiscale(**SMALL, relations=BANDS, tags_hz=(10.0,), relation_sites=6).build(SIGNAL, TARGET).eval()
    signal = 1e-5 * torch.randn(24, 8, 500, generator=torch.Generator().manual_seed(0))
    net.calibrate([signal])
    net.calibrate_direct([signal])
    blocks = net.probe_features(signal)
    assert [b.shape[1] for b in blocks] == net.direct_blocks == [net.n_powers, 2 * 21, 10]
    weight = torch.randn(2, sum(net.direct_blocks), generator=torch.Generator().manual_seed(1))
    net.set_direct(weight, torch.zeros(2))
    with torch.inference_mode():
        decided = net(signal).logits
        torch.testing.assert_close(decided[:, -1], torch.cat(blocks, 1) @ weight.T, atol=1e-3, rtol=1e-3)
        state, parts = net.start(24), []
        for at in range(0, 500, net.hop):
            out, state = net.stream(signal[:, :, at : at + net.hop], state)
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, 1), decided, atol=2e-3, rtol=1e-3)


def test_another_montage_is_read_at_the_same_sites() -> None:
    net = Multiscale(**SMALL, relations=BANDS).build(SIGNAL, TARGET).eval()
    net.bind_montage(PLACES[:5])
    assert net.relations.interpolate.shape == (32, 5)
    assert net(torch.zeros(1, 5, 100)).logits.shape == (1, 4, 2)


def test_without_positions_they_are_refused() -> None:
    with pytest.raises(SignalMismatchError, match="positions of two or more electrodes, known: 0"):
        Multiscale(**SMALL, relations=BANDS).build(SIGNAL.replace(positions=()), TARGET)
    with pytest.raises(SignalMismatchError, match="Set a montage"):
        Multiscale(**SMALL, tags_hz=(10.0,)).build(SIGNAL.replace(positions=()), TARGET)


def test_bands_and_tags_must_fit_the_rate() -> None:
    with pytest.raises(SpecError, match=r"reach 120 Hz.*112.5 Hz"):
        Multiscale(**SMALL, relations=((60.0, 120.0),)).build(SIGNAL, TARGET)
    with pytest.raises(ValueError, match="0 < low < high"):
        Multiscale(relations=((8.0, 4.0),))
    with pytest.raises(ValueError, match="above 0"):
        Multiscale(tags_hz=(0.0,))


def test_a_network_for_pretraining_has_none() -> None:
    net = Multiscale(**SMALL, relations=BANDS).build(SIGNAL, None)
    assert net.relations is None
    assert not [n for n in net.state_dict() if n.startswith("relations")]


def test_one_window_is_enough_to_calibrate_on() -> None:
    made = relations(tags=(10.0,))
    made.calibrate([covariances(1, made)])
    assert torch.isfinite(made.features(covariances(3, made, seed=1))).all()


def test_a_montage_that_is_refused_leaves_the_one_before() -> None:
    net = Multiscale(**SMALL, relations=BANDS).build(SIGNAL, TARGET).eval()
    with pytest.raises(SignalMismatchError, match="known: 1"):
        net.bind_montage([PLACES[0], None])
    assert net(torch.zeros(1, 8, 100)).logits.shape == (1, 4, 2)
