"""The network of `neds` on whole windows: what it starts with, what it sees, whose parameters it has."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from binned import made_session, made_set
from pydantic import ValidationError
from torch import Tensor

from neural_foundation.core.errors import NeuralFoundationError, PackageError, SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.models.neds import Neds
from neural_foundation.models.neds_network import NedsNetwork
from neural_foundation.models.table import MODELS
from neural_foundation.sampling.binned import BinnedBatch, BinnedSet

VARIANTS: dict[str, dict[str, Any]] = {
    "stitch": {"local_bins": 0},
    "per_bin": {"static_tokens": "per_bin"},
    "units": {"inputs": "units", "unit_width": 3, "local_bins": 3},
    "causal": {"causal": True, "context_bins": 6, "local_bins": 4},
}
BINS, NAMES = 20, ("spikes", "wheel_speed", "motion_energy", "choice", "block")


def spec(**fields: Any) -> Neds:
    return MODELS.parse({"kind": "neds", "size": "tiny", "width": 16, "heads": 2, **fields})  # type: ignore[return-value]


def built(windows: BinnedSet, *, seed: int = 3, noise: float = 0.1, **fields: Any) -> NedsNetwork:
    """Return a calibrated network, its parameters moved off their start, so that every one of them matters."""
    net = spec(**fields).build(windows.spec, seed=seed).eval()
    net.calibrate_sets(windows)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p += noise * torch.randn(p.shape, generator=g)
    return net


def batch(windows: BinnedSet, items: list[int] | None = None) -> BinnedBatch:
    return windows.source((), 2**30).batch(np.asarray(items or [0, 3, 20, 21, 24]), seed=0)


def hidden_half(b: BinnedBatch, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {n: torch.rand(len(b), 1 if n in NAMES[3:] else BINS, generator=g) < 0.5 for n in NAMES}


def changed(b: BinnedBatch, name: str, where: Tensor) -> BinnedBatch:
    """Return the batch with other values of a modality at some tokens (B, T) or (B, 1)."""
    groups = []
    for group in b.groups:
        here = where[group.first_row : group.first_row + len(group)]
        old = group.values[name]
        new = 1 - old if old.ndim == 1 else old + 2
        if name == "block":
            new = (old + 1) % 3
        values = torch.where(here[:, 0] if old.ndim == 1 else here[..., None], new, old)
        groups.append(replace(group, values={**group.values, name: values}))
    return replace(b, groups=tuple(groups))


def flat(outputs: list[dict[str, Tensor]]) -> Tensor:
    return torch.cat([v.flatten() for made in outputs for v in made.values()])


@pytest.fixture(scope="module")
def windows() -> BinnedSet:
    return made_set(2)


@pytest.fixture(scope="module", params=VARIANTS)
def net(request: pytest.FixtureRequest, windows: BinnedSet) -> NedsNetwork:
    return built(windows, **VARIANTS[request.param])


@pytest.mark.parametrize(("size", "layers", "width"), [("small", 5, 256), ("medium", 16, 256), ("large", 22, 256)])
def test_sizes_are_the_published_ones(size: str, layers: int, width: int) -> None:
    s = Neds(size=size)  # type: ignore[arg-type]
    assert (s.sized("layers"), s.sized("width"), s.sized("heads")) == (layers, width, 8)
    assert Neds(size=size, layers=3).sized("layers") == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"width": 20, "heads": 4}, "even multiple of heads"),
        ({"causal": True, "bin_embedding": True}, "does not have"),
        ({"context": "stream"}, "set causal: true"),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, Any], told: str) -> None:
    with pytest.raises((ValidationError, NeuralFoundationError), match=told):
        MODELS.parse({"kind": "neds", **fields})


def test_a_signal_of_samples_is_refused() -> None:
    with pytest.raises(SpecError, match="binned sessions"):
        Neds().build(SignalSpec(sfreq=100.0, ch_names=("a",)))  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
def test_a_fresh_network_predicts_what_calibration_knows(windows: BinnedSet, fields: dict[str, Any]) -> None:
    net = spec(**fields).build(windows.spec, seed=0).eval()
    net.calibrate_sets(windows)
    for session, made in enumerate(net(batch(windows))):
        counts = windows.values(session, "spikes").reshape(-1, 4 + session)
        rates = np.broadcast_to(counts.mean(0), made["spikes"].shape)
        np.testing.assert_allclose(made["spikes"].exp().detach(), rates, rtol=1e-5)
        assert not made["wheel_speed"].any()
        assert not made["motion_energy"].any()
        share = np.bincount(np.concatenate([windows.values(s, "block") for s in range(2)])) / 40
        np.testing.assert_allclose(
            made["block"].softmax(-1).detach(), np.broadcast_to(share, made["block"].shape), 1e-5
        )


def test_scales_are_those_of_the_windows_and_have_an_inverse() -> None:
    sessions = [made_session("a", 0, gaps=0.3), made_session("b", 1)]
    windows = made_set(sessions)
    net = spec().build(windows.spec)
    net.calibrate_sets(windows)
    for session in range(2):
        for name in ("wheel_speed", "motion_energy"):
            values = windows.values(session, name)
            z = net.standardise(session, name, torch.from_numpy(values))
            known = z.numpy()[~np.isnan(values)]
            if name == "wheel_speed":
                np.testing.assert_allclose([known.mean(), known.std()], [0, 1], atol=1e-4)
            np.testing.assert_allclose(net.restore(session, name, z), values, rtol=1e-5, atol=1e-5)
    with pytest.raises(SpecError, match="no scale"):
        net.standardise(0, "spikes", torch.zeros(1))


def test_silent_units_and_constant_channels_stay_finite() -> None:
    session = made_session("a", 0)
    session.values["spikes"][:] = 0
    session.values["wheel_speed"][:] = 7
    session.values["motion_energy"][:, 1] = np.nan
    windows = made_set([session])
    net = built(windows)
    out = net(batch(windows, [0, 1]))[0]
    assert all(v.isfinite().all() for v in out.values())
    fresh = spec().build(windows.spec)
    fresh.calibrate_sets(windows)
    np.testing.assert_allclose(fresh.part(0).of_counts("spikes").bias.detach(), np.log(0.5 / 400), rtol=1e-5)


def test_a_session_without_training_windows_keeps_its_start_and_says_so(windows, caplog) -> None:
    net = spec().build(windows.spec)
    with caplog.at_level(logging.WARNING):
        net.calibrate_sets(windows.select(windows.session == 0))
    assert "Session 'b' has no training window" in caplog.text
    assert not net.part(1).of_counts("spikes").bias.any()
    assert net.part(0).of_counts("spikes").bias.any()


def test_gradients_reach_every_parameter(net: NedsNetwork, windows: BinnedSet) -> None:
    b = batch(windows)
    net.zero_grad()
    flat(net(b, hidden_half(b))).square().sum().backward()
    dead = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not dead


@pytest.mark.parametrize("name", NAMES)
def test_hidden_values_do_not_leak_and_seen_ones_matter(net: NedsNetwork, windows: BinnedSet, name: str) -> None:
    b = batch(windows)
    hidden = hidden_half(b)
    with torch.inference_mode():
        whole = net(b, hidden)
        assert torch.equal(flat(whole), flat(net(changed(b, name, hidden[name]), hidden)))
        assert not torch.equal(flat(whole), flat(net(changed(b, name, ~hidden[name]), hidden)))
        for kind in (n for n in NAMES if n != name):
            outs = net(changed(b, name, ~hidden[name]), hidden)
            assert any(not torch.equal(a[kind], c[kind]) for a, c in zip(whole, outs, strict=True))


def test_each_row_has_its_own_mask(net: NedsNetwork, windows: BinnedSet) -> None:
    b = batch(windows)
    none = {n: torch.zeros(len(b), 1 if n in NAMES[3:] else BINS, dtype=torch.bool) for n in NAMES}
    one = {n: m.clone() for n, m in none.items()}
    one["spikes"][1] = True  # the second row of the first session
    with torch.inference_mode():
        without, (first, second) = net(b), net(b, one)
        assert torch.equal(flat(net(b, none)), flat(without))
    for name in NAMES:
        torch.testing.assert_close(first[name][0], without[0][name][0])
        torch.testing.assert_close(second[name], without[1][name])
    assert not torch.allclose(first["wheel_speed"][1], without[0]["wheel_speed"][1])


def test_a_session_alone_in_its_batch_is_treated_as_in_company(net: NedsNetwork, windows: BinnedSet) -> None:
    """The published code gave a single row no session vector and a read-out of zeros."""
    with torch.inference_mode():
        company, alone = net(batch(windows, [0, 3, 20, 21])), net(batch(windows, [20]))[0]
    for name in NAMES:
        torch.testing.assert_close(alone[name], company[1][name][:1], atol=1e-5, rtol=1e-4)
        assert alone[name].abs().sum() > 0
    b = batch(windows, [20])
    net.zero_grad()
    flat(net(b)).square().sum().backward()
    part = net.part(1)
    assert part.embedding.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None for p in net.part(0).parameters())


def test_sessions_of_other_modalities_share_a_batch(net: NedsNetwork) -> None:
    sessions = [made_session("a"), made_session("b", 1, without=("wheel_speed", "block")), made_session("c", 2)]
    windows = made_set(sessions)
    three = built(windows, **net.spec.model_dump(include={"causal", "context_bins", "inputs", "static_tokens"}))
    b = batch(windows, [1, 2, 22, 45])
    with torch.inference_mode():
        outs = three(b)
        assert [list(o) for o in outs] == [list(NAMES), ["spikes", "motion_energy", "choice"], list(NAMES)]
        for i, item in enumerate([1, 22, 45]):
            for name, value in three(batch(windows, [item]))[0].items():
                torch.testing.assert_close(outs[i][name][:1], value, atol=1e-5, rtol=1e-4)


def test_what_is_not_known_is_as_if_hidden(net: NedsNetwork, windows: BinnedSet) -> None:
    b = batch(windows)
    gap = torch.zeros(len(b), BINS, dtype=torch.bool)
    gap[:, 4:9] = True
    groups = []
    for group in b.groups:
        energy, choice = group.values["motion_energy"].clone(), torch.full_like(group.values["choice"], -1)
        energy[:, 4:9] = torch.nan
        groups.append(replace(group, values={**group.values, "motion_energy": energy, "choice": choice}))
    unknown = replace(b, groups=tuple(groups))
    with torch.inference_mode():
        expected = net(b, {"motion_energy": gap, "choice": torch.ones(len(b), 1, dtype=torch.bool)})
        assert torch.equal(flat(net(unknown)), flat(expected))
        assert flat(expected).isfinite().all()


def test_one_unknown_channel_counts_as_its_mean(windows: BinnedSet) -> None:
    net, b = built(windows), batch(windows, [0])
    group = b.groups[0]
    first, second = group.values["motion_energy"].clone(), group.values["motion_energy"].clone()
    first[..., 1] = torch.nan
    second[..., 1] = net.part(0).of_continuous("motion_energy").mean[1]
    outs = []
    for energy in (first, second):
        values = {**group.values, "motion_energy": energy}
        outs.append(flat(net(replace(b, groups=(replace(group, values=values),)))))
    torch.testing.assert_close(outs[0], outs[1])


def test_the_seed_is_the_weights_and_no_global_state_is_touched(windows: BinnedSet) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    nets = [spec(inputs="units").build(windows.spec, seed=s) for s in (7, 7, 8)]
    assert torch.equal(torch.random.get_rng_state(), before)
    states = [n.state_dict() for n in nets]
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
    assert not all(torch.equal(states[0][n], states[2][n]) for n in states[0])
    alone = spec(inputs="units").build(windows.spec.only(["b"]), seed=7)
    assert all(torch.equal(states[0][n], t) for n, t in alone.state_dict().items())


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
def test_growing_leaves_what_is_there_byte_for_byte(windows: BinnedSet, fields: dict[str, Any]) -> None:
    net = built(windows, **fields)
    before = {n: t.clone() for n, t in net.state_dict().items()}
    out = flat(net(batch(windows)))
    more = made_set([*windows.sessions, made_session("a.b_c/é", 5, units=7)])
    net.grow(more.spec)
    assert torch.equal(out, flat(net(batch(windows))))
    after = net.state_dict()
    assert all(after[n].numpy().tobytes() == t.numpy().tobytes() for n, t in before.items())
    assert [s.name for s in net.signal.sessions] == ["a", "b", "a.b_c/é"]
    assert net.index("a.b_c/é") == 2
    net.calibrate_sets(more.select(more.session == 2))
    made = net(batch(more, [45]))[0]
    assert made["spikes"].shape == (1, BINS, 7)


def test_a_built_network_takes_over_what_it_knows(windows: BinnedSet) -> None:
    old = built(windows, seed=1)
    more = made_set([windows.sessions[1], made_session("new", 5, units=7)])
    net = spec().build(more.spec, seed=2).eval()
    net.calibrate_sets(more)
    start = {n: t.clone() for n, t in net.state_dict().items()}
    kept = net.adopt(old.state_dict())
    assert {n.split(".")[1] for n in kept} == {"s_new"}
    after = net.state_dict()
    assert all(torch.equal(after[n], start[n]) for n in kept)
    assert all(torch.equal(after[n], old.state_dict()[n]) for n in after if n not in kept)
    with torch.inference_mode():
        old_rows, new_rows = old(batch(windows, [20, 21]))[0], net(batch(more, [0, 1]))[0]
    assert torch.equal(old_rows["spikes"], new_rows["spikes"])


def test_weights_that_do_not_fit_are_refused(windows: BinnedSet) -> None:
    old = built(windows)
    with pytest.raises(PackageError, match="do not fit"):
        spec(layers=3).build(windows.spec).adopt(old.state_dict())
    with pytest.raises(PackageError, match="sessions.s_a"):
        spec().build(made_set([made_session("a", units=9)]).spec).adopt(old.state_dict())
    kept = spec().build(windows.spec).adopt(old.state_dict(), without=("sessions", "classes"))
    assert {n.split(".")[0] for n in kept} == {"sessions", "classes"}


def test_the_roles_of_parameters_name_some(net: NedsNetwork) -> None:
    names = [n for n, _ in net.named_parameters()]
    for prefix in {*net.session_names, *net.front_end_names}:
        assert any(n.startswith(f"{prefix}.") for n in names)


def test_sessions_that_do_not_fit_are_refused(windows: BinnedSet) -> None:
    net = spec().build(windows.spec)
    with pytest.raises(SignalMismatchError, match="other channels"):
        net.grow(made_set([made_session("a", units=9)]).spec)
    with pytest.raises(SignalMismatchError, match="10 bins"):
        net.grow(made_set(1, n_bins=10).spec)
    with pytest.raises(SpecError, match="does not know session 'z'"):
        net.index("z")
    with pytest.raises(SignalMismatchError, match=r"'spikes' of shape \(1, 20, 9\)"):
        net(batch(made_set([made_session("a", units=9)]), [0]))
    with pytest.raises(SignalMismatchError, match="bin_embedding: false"):
        net(batch(made_set(1, n_bins=10), [0]))
    with pytest.raises(SpecError, match="no modality 'spike'"):
        net(batch(windows), {"spike": torch.zeros(5, BINS, dtype=torch.bool)})


def test_windows_of_any_length_without_a_bin_embedding(windows: BinnedSet) -> None:
    net = built(windows, bin_embedding=False)
    assert not len(net.bins)
    assert net(batch(made_set(1, n_bins=10), [0]))[0]["spikes"].shape == (1, 10, 4)


def test_dropout_of_tokens_and_units_is_for_training_alone(windows: BinnedSet) -> None:
    for fields in ({"dropout": 0.5}, {"dropout": 0.0, "unit_dropout": 0.5}, {"dropout": 0.0, "attention_dropout": 0.5}):
        net, b = built(windows, **fields), batch(windows)
        assert torch.equal(flat(net(b)), flat(net(b)))
        net.train()
        assert not torch.equal(flat(net(b)), flat(net(b)))


def test_a_silenced_unit_is_silent_in_the_whole_window(windows: BinnedSet) -> None:
    net = built(windows, dropout=0.0, unit_dropout=0.5).train()
    seen: list[Tensor] = []
    part = net.part(0).of_counts("spikes")
    part.tokens = lambda values, basis: seen.append(values) or torch.zeros(*values.shape[:2], 16)  # type: ignore
    net(batch(windows, list(range(20))))
    silent = (seen[0] == 0).all(1)
    assert ((seen[0] == 0) == silent[:, None]).all()
    assert 20 < silent.sum() < 60


def test_bfloat16_gives_float32_predictions_near_the_exact_ones(windows: BinnedSet) -> None:
    net, b = built(windows), batch(windows)
    with torch.inference_mode():
        exact = flat(net(b))
        with torch.autocast("cpu", torch.bfloat16):
            rough = flat(net(b))
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0.1)
    assert not torch.equal(rough, exact)


def test_it_learns_what_follows_from_what(windows: BinnedSet) -> None:
    """A few steps: speed from spikes, and spikes from behaviour, better than without."""
    net, b = spec(dropout=0.0).build(windows.spec, seed=0), batch(windows, list(range(12)))
    net.calibrate_sets(windows)
    target = net.standardise(0, "wheel_speed", b.groups[0].values["wheel_speed"])
    counts, rows = b.groups[0].values["spikes"], len(b)
    decoding = {n: torch.ones(rows, 1 if n in NAMES[3:] else BINS, dtype=torch.bool) for n in NAMES[1:]}
    encoding = {"spikes": torch.ones(rows, BINS, dtype=torch.bool)}
    optimiser, losses = torch.optim.AdamW(net.parameters(), lr=5e-3), []
    for _ in range(25):
        speed, rates = net(b, decoding)[0]["wheel_speed"], net(b, encoding)[0]["spikes"]
        parts = (speed - target).square().mean(), torch.nn.functional.poisson_nll_loss(rates, counts)
        losses.append([x.item() for x in parts])
        optimiser.zero_grad()
        sum(parts).backward()  # type: ignore[union-attr]
        optimiser.step()
    assert losses[-1][0] < 0.7 * losses[0][0]
    assert losses[-1][1] < losses[0][1] - 0.05
