"""What every network of whole windows keeps: one decision a window, its own scale, weights that are the seed's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from window_networks import SIGNAL, TARGET, TINY, WINDOW, network, package, spec_of, windows

from neural_foundation.core.errors import DataError, SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec, identity
from neural_foundation.models.window_network import LIMIT

KINDS = tuple(TINY)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module", params=KINDS)
def net(request):
    return network(request.param)


def logits(net, signal):
    with torch.inference_mode():
        return net(signal).logits


class TestOneDecisionAWindow:
    """A token is a whole window, decided alone."""

    def test_shapes(self, net) -> None:
        signal, _ = windows(5)
        with torch.inference_mode():
            out = net(signal)
        assert out.logits.shape == (5, 1, 2)
        assert out.features.shape[:2] == (5, 1)
        assert net.hop == WINDOW
        assert torch.isfinite(out.logits).all()
        assert float(out.logits.std()) > 0.01

    def test_windows_one_after_another_are_those_windows_alone(self, net) -> None:
        signal, _ = windows(6)
        rows = signal.view(2, 3, 3, WINDOW).transpose(1, 2).flatten(2)
        alone = logits(net, signal)
        torch.testing.assert_close(logits(net, rows).flatten(0, 1), alone.flatten(0, 1), atol=1e-5, rtol=1e-5)
        state = net.start(2)
        with torch.inference_mode():
            first, state = net.stream(rows[:, :, :WINDOW], state)
            second, state = net.stream(rows[:, :, WINDOW : 2 * WINDOW], state)
        torch.testing.assert_close(
            torch.cat([first.logits, second.logits], 1), logits(net, rows)[:, :2], atol=1e-5, rtol=1e-5
        )
        assert state == {}

    def test_the_batch_does_not_mix(self, net) -> None:
        signal, _ = windows(40)
        torch.testing.assert_close(logits(net, signal)[:1], logits(net, signal[:1]), atol=1e-5, rtol=1e-5)

    def test_a_decision_rests_on_the_end_and_the_beginning(self, net) -> None:
        signal, _ = windows(2)
        for part in (slice(0, 100), slice(300, 400)):
            other = signal.clone()
            other[:, :, part] = other[:, :, part].flip(2) * 3
            assert not torch.equal(logits(net, other), logits(net, signal))

    def test_silence_and_what_is_far_too_large_give_numbers(self, net) -> None:
        signal, _ = windows(2)
        for value in (torch.zeros_like(signal), signal * 1e8):
            assert torch.isfinite(logits(net, value)).all()

    @every_kind
    def test_without_a_target_there_are_features_alone(self, kind) -> None:
        net = network(kind, target=None)
        with torch.inference_mode():
            out = net(windows(2)[0])
        assert out.logits is None
        assert out.features.shape[:2] == (2, 1)

    @every_kind
    def test_what_learning_cuts_shorter_is_one_window(self, kind) -> None:
        signal, _ = windows(4)
        net = network(kind).train()
        assert net(signal[:, :, 20:]).logits.shape == (4, 1, 2)
        assert network(kind, target=None)(signal[:, :, :200]).features.shape[:2] == (4, 1)
        with pytest.raises(DataError, match="no whole windows"):
            net.eval()(signal[:, :, 20:])

    def test_other_windows_are_refused(self, net) -> None:
        signal, _ = windows(2)
        with pytest.raises(DataError, match=r"399 samples are no whole windows.*multiple of 400 samples \(4 s\)"):
            net(signal[:, :, 1:])
        with pytest.raises(SignalMismatchError, match=r"\(2, 2, 400\).*\(batch, 3, n_times\)"):
            net(signal[:, :2])
        with pytest.raises(SpecError, match="no tokens that could be hidden.*contrastive"):
            net(signal, token_mask=torch.zeros(2, 1, dtype=torch.bool))

    @every_kind
    def test_a_window_too_short_to_look_at_is_refused(self, kind) -> None:
        with pytest.raises(SpecError, match="samples or more|longer than what is looked at"):
            spec_of(kind, window_s=0.05).build(SIGNAL, TARGET)


class TestCrop:
    """A crop is the middle of the window, as if it had been cut outside."""

    @every_kind
    def test_it_equals_cropping_outside(self, kind) -> None:
        signal, _ = windows(6)
        middle = signal[:, :, 100:300].contiguous()
        cropped = spec_of(kind, crop_s=2.0).build(SIGNAL, TARGET, seed=3).eval()
        whole = spec_of(kind, window_s=2.0).build(SIGNAL, TARGET, seed=3).eval()
        cropped.calibrate([signal])
        whole.calibrate([middle])
        # the seed is of the kind alone, so the weights are the same; and so is what was learned of the scale
        assert all(
            torch.equal(a, b) for a, b in zip(cropped.state_dict().values(), whole.state_dict().values(), strict=True)
        )
        torch.testing.assert_close(logits(cropped, signal), logits(whole, middle), atol=1e-6, rtol=1e-5)
        other = signal.clone()
        other[:, :, :100] = 1
        torch.testing.assert_close(logits(cropped, other), logits(cropped, signal))

    def test_it_is_not_longer_than_the_window(self) -> None:
        with pytest.raises(SpecError, match="crop_s 5 is longer than window_s 4"):
            spec_of("resnet_gru", crop_s=5.0)


class TestScale:
    """The input is scaled by median and spread; zeros say nothing and stay zeros."""

    def test_a_scale_for_each_type_of_channel(self) -> None:
        rng = np.random.default_rng(0)
        signal = rng.standard_normal((20, 3, WINDOW)) * [[[1e-5], [1e-5], [1e-3]]] + [[[0], [0], [5e-3]]]
        signal[:, :, ::2] = 0
        signal[:, 0, 1] = 1.0  # an artefact moves no quartile
        signal = torch.from_numpy(signal.astype(np.float32))
        net = spec_of("resnet_gru").build(SIGNAL, TARGET)
        net.calibrate([signal[:10], signal[10:]])
        torch.testing.assert_close(net.input_scale, torch.tensor([1e-5, 1e-5, 1e-3]), rtol=0.05, atol=0)
        torch.testing.assert_close(net.input_centre, torch.tensor([0, 0, 5e-3]), rtol=0.05, atol=1e-6)
        scaled = net.scaled(signal)
        assert (scaled[:, :, ::2] == 0).all()
        assert float(scaled[:, 2, 1::2].std()) == pytest.approx(1, rel=0.05)
        assert float(scaled.max()) == LIMIT

    def test_one_scale_for_all(self) -> None:
        net = spec_of("resnet_gru", scaling="all").build(SIGNAL, TARGET)
        net.calibrate([windows(8)[0] * torch.tensor([1.0, 2.0, 4.0])[:, None]])
        assert len(net.input_scale.unique()) == 1

    def test_a_type_without_samples_keeps_a_scale_of_one(self) -> None:
        signal, _ = windows(8)
        signal[:, 2] = 0
        net = spec_of("resnet_gru").build(SIGNAL, TARGET)
        net.calibrate([signal])
        assert (net.input_centre[2], net.input_scale[2]) == (0, 1)

    @every_kind
    def test_the_unit_of_the_signal_does_not_matter(self, kind) -> None:
        signal, _ = windows(8)
        ours, theirs = (spec_of(kind).build(SIGNAL, TARGET, seed=1).eval() for _ in range(2))
        ours.calibrate([signal])
        theirs.calibrate([signal * 2**20])
        torch.testing.assert_close(logits(theirs, signal * 2**20), logits(ours, signal), atol=1e-4, rtol=1e-3)

    def test_what_it_cannot_be_taken_from(self) -> None:
        net = spec_of("resnet_gru").build(SIGNAL, TARGET)
        with pytest.raises(DataError, match=r"1 window\(s\) are too few"):
            net.calibrate([windows(1)[0]])
        with pytest.raises(DataError, match="not finite"):
            net.calibrate([windows(2)[0] * float("nan")])


class TestLearning:
    """Gradients reach all there is; two rhythms are told apart in a few steps."""

    @every_kind
    def test_gradients_reach_every_parameter(self, kind) -> None:
        net = network(kind).train()
        signal, target = windows(8)
        torch.manual_seed(0)
        torch.nn.functional.cross_entropy(net(signal).logits[:, -1], target).backward()
        silent = [n for n, p in net.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
        assert not silent
        # a squeeze of few channels may be wholly cut off at zero
        zero = [n for n, p in net.named_parameters() if not p.grad.any() and "excite" not in n]
        assert not zero

    @every_kind
    def test_two_rhythms_in_a_few_steps(self, kind) -> None:
        net = spec_of(kind, dropout=0.0).build(SIGNAL, TARGET, seed=1).train()
        net.calibrate([windows(16, seed=98)[0]])
        optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
        torch.manual_seed(0)
        for step in range(30):
            signal, target = windows(16, seed=step)
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(signal).logits[:, -1], target).backward()
            optimiser.step()
        signal, target = windows(40, seed=99)
        assert float((logits(net.eval(), signal)[:, -1].argmax(-1) == target).float().mean()) >= 0.9

    @every_kind
    def test_computing_activations_twice_changes_nothing(self, kind) -> None:
        signal, target = windows(6)
        found = []
        for checkpointing in (False, True):
            net = network(kind, checkpointing=checkpointing).train()
            torch.manual_seed(4)  # of the dropout
            torch.nn.functional.cross_entropy(net(signal).logits[:, -1], target).backward()
            found.append(({n: p.grad for n, p in net.named_parameters()}, net.state_dict()))
        for (once, twice), rtol in (((found[0][0], found[1][0]), 1e-4), ((found[0][1], found[1][1]), 0)):
            for name in once:  # gradients; and weights and running means, which count a batch once
                torch.testing.assert_close(once[name], twice[name], rtol=rtol, atol=1e-6 if rtol else 0, msg=name)
        assert identity(spec_of(kind, checkpointing=True)) == identity(spec_of(kind))  # the same key

    @every_kind
    def test_bf16_by_autocast(self, kind) -> None:
        net, (signal, _) = network(kind), windows(4)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            half = net(signal).logits.float()
        wanted = logits(net, signal)
        assert float((half - wanted).abs().max() / wanted.abs().max()) < 0.1

    @every_kind
    def test_the_seed_is_the_weights_and_the_process_keeps_its_own(self, kind) -> None:
        before = torch.get_rng_state()
        first, again, other = (spec_of(kind).build(SIGNAL, TARGET, seed=s).state_dict() for s in (7, 7, 8))
        assert torch.equal(before, torch.get_rng_state())
        assert all(torch.equal(first[n], again[n]) for n in first)
        assert any(not torch.equal(first[n], other[n]) for n in first)

    @every_kind
    def test_adopted_weights_leave_the_head_alone(self, kind) -> None:
        ours = network(kind, seed=1)
        kept = ours.adopt(network(kind, seed=2).state_dict(), without=ours.head_names)
        assert kept == ["readout.weight", "readout.bias"]


class TestSpecs:
    """Their descriptions."""

    @every_kind
    def test_no_state_is_claimed(self, kind) -> None:
        assert spec_of(kind).context == "trial"
        with pytest.raises(SpecError, match="context"):
            spec_of(kind, context="stream")

    @pytest.mark.parametrize(
        ("kind", "fields", "said"),
        [
            ("resnet_gru", {"kernel": 4}, "kernel 4 is even"),
            ("resnet_gru", {"blocks": (1, 0)}, "1 or more in each stage"),
            ("squeezeformer", {"width": 18}, "width 18 is not a multiple of twice the 2 heads"),
            ("squeezeformer", {"stem_kernel": 8}, "stem_kernel 8 is even"),
            ("spectrogram_efficientnet", {"low_hz": 30.0}, "low_hz 30 is not below high_hz 20"),
            ("spectrogram_efficientnet", {"segment_s": 9.0}, "longer than what is looked at"),
        ],
    )
    def test_what_does_not_go_together(self, kind, fields, said) -> None:
        with pytest.raises(SpecError, match=said):
            spec_of(kind, **fields)

    def test_sizes_as_published(self) -> None:
        sizes = {}
        for kind in KINDS:
            spec = type(spec_of(kind))(window_s=4.0)
            sizes[kind] = spec.build(SignalSpec(sfreq=200, ch_names=SIGNAL.ch_names), TARGET).n_parameters()
        assert sizes["resnet_gru"] == pytest.approx(9.4e6, rel=0.02)
        assert sizes["squeezeformer"] == pytest.approx(1.7e6, rel=0.03)
        assert sizes["spectrogram_efficientnet"] == pytest.approx(4.01e6, rel=0.01)  # b0 without its classes

    @pytest.mark.parametrize("fields", [{"pooling": "gem"}, {"unet": False}, {"blocks": 5}, {"token_s": 0.02}])
    def test_forms_of_a_squeezeformer(self, fields) -> None:
        net = network("squeezeformer", **fields)
        assert logits(net, windows(2)[0]).shape == (2, 1, 2)
        assert torch.isfinite(logits(net, windows(2)[0])).all()

    def test_descriptions_load_no_torch(self) -> None:
        names = ", ".join(f"neural_foundation.models.{kind}" for kind in KINDS)
        code = f"import sys, {names}\nassert not {{'torch', 'transformers', 'scipy'}} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)


@every_kind
def test_a_package_decides_as_its_network(kind, tmp_path: Path) -> None:
    made, (signal, _) = package(tmp_path / kind, kind), windows(3)
    expected = torch.softmax(logits(network(kind), signal)[:, -1].double(), -1).numpy()
    np.testing.assert_allclose(made.predict_proba(signal.numpy()), expected, atol=1e-6)
    assert made.whole_windows
