"""Regions of the head, the image of a window, pre-trained weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from window_networks import SIGNAL, TARGET, TINY, network, spec_of, windows

from neural_foundation.core.errors import MissingExtraError, PackageError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.models.spectrogram_efficientnet import SpectrogramEfficientNet
from neural_foundation.models.spectrogram_efficientnet_network import efficientnet, regions_of
from neural_foundation.signals.montages import montage_pairs

KIND = "spectrogram_efficientnet"
BANANA = tuple(f"{a}-{b}" for a, b in montage_pairs("double_banana"))


def banana(names: tuple[str, ...] = BANANA) -> SignalSpec:
    return SignalSpec(sfreq=100, ch_names=names)


def head(signal: SignalSpec, **fields):
    return SpectrogramEfficientNet(window_s=4, **TINY[KIND], **fields).build(signal, TARGET, seed=1).eval()


def noise(n: int, n_chans: int) -> torch.Tensor:
    return 1e-5 * torch.randn(n, n_chans, 400, generator=torch.Generator().manual_seed(n))


class TestRegions:
    """What is stacked in the image."""

    def test_the_chains_of_the_double_banana(self) -> None:
        found = regions_of(banana())
        assert {name: len(channels) for name, channels in found.items()} == {"LL": 4, "RL": 4, "LP": 4, "RP": 4, "Z": 2}
        assert [BANANA[i] for i in found["RP"]] == ["Fp2-F4", "F4-C4", "C4-P4", "P4-O2"]
        assert sorted(sum(found.values(), [])) == list(range(18))

    def test_old_names_other_case_and_channels_besides(self) -> None:
        names = ("EKG", "FP1-F7", "F7-T3", "t5-o1", "Fp2-F8", "Fp1-F3", "P4-O2")
        assert regions_of(banana(names)) == {"LL": [1, 2, 3], "RL": [4], "LP": [5], "RP": [6]}

    def test_others_are_stacked_channel_by_channel(self) -> None:
        assert regions_of(banana(BANANA[:8])) == {}
        assert head(banana(("a", "b", "c"))).region_names == ("a", "b", "c")
        assert head(banana(), regions="channels").region_names == BANANA

    def test_the_order_of_channels_does_not_matter(self) -> None:
        order = np.random.default_rng(0).permutation(18)
        ours, theirs = head(banana()), head(banana(tuple(BANANA[i] for i in order)))
        ours.calibrate([noise(6, 18)])
        theirs.calibrate([noise(6, 18)[:, order]])
        with torch.inference_mode():
            given, wanted = theirs(noise(3, 18)[:, order]).features, ours(noise(3, 18)).features
        torch.testing.assert_close(given, wanted, atol=1e-4, rtol=1e-3)

    def test_a_channel_of_no_chain_is_not_seen(self) -> None:
        net, signal = head(banana(("EKG", *BANANA))), noise(2, 19)
        other = signal.clone()
        other[:, 0] *= -7
        with torch.inference_mode():
            assert torch.equal(net(signal).features, net(other).features)


class TestImage:
    """Log powers, standardised."""

    def test_a_rhythm_lies_in_its_rows(self) -> None:
        net = head(banana())
        t = torch.arange(400) / 100
        signal = noise(4, 18)
        signal[:, :4] += 1e-4 * torch.sin(2 * torch.pi * 10 * t)  # left temporal
        net.calibrate([noise(8, 18)])
        image = net.image(net.scaled(signal))
        assert image.shape == (4, 5 * 16, 31)
        rows = image.unflatten(1, (5, 16)).mean((0, 3))
        assert int(rows[0].argmax()) == int(np.abs(np.array(net.spec.frequencies) - 10).argmin())
        assert float(rows[0].max()) > 3 > 1 > float(rows[1:].abs().max())

    def test_it_is_standardised_at_each_frequency(self) -> None:
        net, signal = network(KIND), windows(16, seed=9)[0]
        image = net.image(net.scaled(signal)).unflatten(1, (3, 16))
        np.testing.assert_allclose(image.mean((0, 1, 3)), 0, atol=0.1)
        np.testing.assert_allclose(image.std((0, 1, 3)), 1, atol=0.1)

    def test_frequencies_above_half_the_rate(self) -> None:
        with pytest.raises(SpecError, match="high_hz is 60. Allowed: up to 50 Hz"):
            head(banana(), high_hz=60)


class TestWeights:
    """From scratch, or from a folder or the hub."""

    def test_the_variants_are_those_published(self) -> None:
        assert [SpectrogramEfficientNet(variant=v).rounded(1280) for v in ("b0", "b1", "b2", "b3")] == [
            1280,
            1280,
            1408,
            1536,
        ]
        assert SpectrogramEfficientNet(variant="b3").repeated(3) == 5
        assert SpectrogramEfficientNet(width=0.25).rounded(32) == 8

    def test_running_means_are_not_those_of_the_last_batch(self) -> None:
        norms = [m for m in efficientnet(spec_of(KIND)).modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert norms
        assert {m.momentum for m in norms} == {0.1}

    @pytest.mark.parametrize("prefix", ["", "efficientnet."])
    def test_pretrained_weights_are_taken_before_training_and_travel_with_the_package(
        self, prefix, tmp_path: Path
    ) -> None:
        from safetensors.torch import save_file

        given = efficientnet(spec_of(KIND)).state_dict()
        stem = "embeddings.convolution.weight"
        colours = {**given, stem: torch.randn(given[stem].shape[0], 3, 3, 3), "classifier.weight": torch.zeros(2)}
        save_file({prefix + n: t.contiguous() for n, t in colours.items()}, tmp_path / "model.safetensors")
        net = spec_of(KIND, pretrained=str(tmp_path)).build(SIGNAL, TARGET, seed=5)
        net.calibrate([windows(4)[0]])
        own = net.network.state_dict()
        torch.testing.assert_close(own[stem], colours[stem].sum(1, keepdim=True))
        names = [n for n, _ in net.network.named_parameters() if n != stem]  # running means are those of these windows
        assert all(torch.equal(own[n], given[n]) for n in names)
        (tmp_path / "model.safetensors").unlink()  # a package is opened without them
        again = spec_of(KIND, pretrained=str(tmp_path)).build(SIGNAL, TARGET)
        again.load_state_dict(net.state_dict())

    def test_weights_that_cannot_be_had_or_do_not_fit(self, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        net = spec_of(KIND, pretrained=str(tmp_path)).build(SIGNAL, TARGET)
        with pytest.raises(PackageError, match=r"cannot be had.*model.safetensors.*set pretrained to null"):
            net.calibrate([windows(4)[0]])
        (tmp_path / "model.safetensors").write_bytes(b"no tensors")
        with pytest.raises(PackageError, match="cannot be had"):
            net.calibrate([windows(4)[0]])
        save_file({"x": torch.zeros(2)}, tmp_path / "model.safetensors")
        with pytest.raises(PackageError, match=r"do not fit: \d+ of \d+ tensors.*same variant"):
            net.calibrate([windows(4)[0]])

    def test_weights_that_cannot_be_reached(self, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        strict = spec_of(KIND, pretrained="nobody/nothing").build(SIGNAL, TARGET, seed=5)
        with pytest.raises(PackageError, match="'nobody/nothing' cannot be had"):
            strict.calibrate([windows(4)[0]])
        assert strict.origin() == {}
        net = spec_of(KIND, pretrained="nobody/nothing", pretrained_or_scratch=True).build(SIGNAL, TARGET, seed=5)
        net.calibrate([windows(4)[0]])
        assert "begins from scratch" in caplog.text
        assert "'nobody/nothing' cannot be had" in caplog.text
        assert net.origin() == {"began_from": "scratch, 'nobody/nothing' was not reached"}
        scratch = spec_of(KIND).build(SIGNAL, TARGET, seed=5)
        scratch.calibrate([windows(4)[0]])
        own, wanted = net.state_dict(), scratch.state_dict()
        assert set(own) - set(wanted) == {"took_pretrained"}
        assert all(torch.equal(own[n], t) for n, t in wanted.items())

    def test_weights_that_were_reached_are_told_too(self, tmp_path: Path, caplog) -> None:
        from safetensors.torch import save_file

        given = efficientnet(spec_of(KIND)).state_dict()
        save_file({n: t.contiguous() for n, t in given.items()}, tmp_path / "model.safetensors")
        fields = {"pretrained": str(tmp_path), "pretrained_or_scratch": True}
        net = spec_of(KIND, **fields).build(SIGNAL, TARGET, seed=5)
        net.calibrate([windows(4)[0]])
        told = {"began_from": f"weights of '{tmp_path}'"}
        assert (net.origin(), caplog.text) == (told, "")
        again = spec_of(KIND, **fields).build(SIGNAL, TARGET)
        again.load_state_dict(net.state_dict())
        assert again.origin() == told, "a fit that goes on knows it"

    @pytest.mark.parametrize(("status", "scratch"), [(503, True), (404, False)])
    def test_a_hub_that_fails_and_one_that_has_none(self, monkeypatch, status: int, scratch: bool) -> None:
        import httpx
        from huggingface_hub.errors import HfHubHTTPError

        def refuse(*given: object, **more: object) -> str:
            raise HfHubHTTPError("no", response=httpx.Response(status, request=httpx.Request("HEAD", "https://hub")))

        monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
        net = spec_of(KIND, pretrained="nobody/nothing", pretrained_or_scratch=True).build(SIGNAL, TARGET)
        if scratch:
            net.calibrate([windows(4)[0]])
            assert net.origin()["began_from"].startswith("scratch")
            return
        with pytest.raises(PackageError, match="cannot be had"):
            net.calibrate([windows(4)[0]])

    def test_what_is_wrong_is_never_begun_from_scratch(self, tmp_path: Path) -> None:
        for name in (str(tmp_path), "/no/such/folder"):  # a folder without weights; no name of a hub's
            net = spec_of(KIND, pretrained=name, pretrained_or_scratch=True).build(SIGNAL, TARGET)
            with pytest.raises(PackageError, match="cannot be had"):
                net.calibrate([windows(4)[0]])
        with pytest.raises(SpecError, match="pretrained_or_scratch needs 'pretrained'"):
            spec_of(KIND, pretrained_or_scratch=True)

    def test_a_name_that_is_nowhere(self) -> None:
        net = spec_of(KIND, pretrained="/no/such/folder").build(SIGNAL, TARGET)
        with pytest.raises(PackageError, match="'/no/such/folder' cannot be had"):
            net.calibrate([windows(4)[0]])

    def test_without_transformers(self, monkeypatch) -> None:
        for name in [n for n in sys.modules if n.startswith("transformers")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(MissingExtraError, match=r"'transformers' is not installed.*neural-foundation\[hms\]"):
            spec_of(KIND).build(SIGNAL, TARGET)
