"""The network of `spectrogram_efficientnet`.

Shapes: B batch, C channels, T samples, R regions, F frequencies, N columns, D features.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import MissingExtraError, PackageError, SpecError
from ..core.specs import SignalSpec
from ..signals.montages import OLD_NAMES, montage_pairs
from .layers.gem import GeM
from .layers.spectra import Spectra
from .spectrogram_efficientnet import SpectrogramEfficientNet
from .window_network import WindowNetwork

log = logging.getLogger(__name__)
FLOOR = 1e-4  # added to a power before its logarithm, in units of the scaled signal
LIMIT = 6.0  # deviations at which the image is cut
# the double banana's chains, by their place among its pairs: temporal, parasagittal, midline
CHAINS = {"LL": (0, 4), "RL": (4, 8), "LP": (8, 12), "RP": (12, 16), "Z": (16, 18)}
LATERAL = ("LL", "RL", "LP", "RP")
HALVED = 33  # columns but one that are two, not one, after five halvings
REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage of b0
FILE = "model.safetensors"
PREFIX = "efficientnet."  # of the weights of a hub's classifier, whose own head is left behind


class UnreachedError(PackageError):
    """Pre-trained weights lie on a hub that gave no answer."""


class SpectrogramEfficientNetNetwork(WindowNetwork):
    """The network of a `SpectrogramEfficientNet` spec; features are the image's, pooled.

    region_names : what is stacked in the image, from top to bottom.

    Raises
    ------
    MissingExtraError : transformers is not installed. SpecError : frequencies above half the rate.
    """

    spec: SpectrogramEfficientNet
    power_mean: Tensor
    power_std: Tensor
    took_pretrained: Tensor
    front_end_names = ("network.embeddings",)

    def make(self) -> int:
        spec, sfreq = self.spec, self.signal.sfreq
        if spec.high_hz > sfreq / 2:
            raise SpecError(f"high_hz is {spec.high_hz:g}", allowed=f"up to {sfreq / 2:g} Hz at this rate")
        length, hop = max(2, round(spec.segment_s * sfreq)), max(1, round(spec.hop_s * sfreq))
        self.spectra = Spectra(
            spec.frequencies, sfreq=sfreq, length=length, hop=hop, taper=spec.taper, bandwidth_hz=spec.bandwidth_hz
        )
        self.least_times = length
        self.least_exported = length + HALVED * hop  # an exporter takes a side of one for a constant
        stacked = regions_of(self.signal) if spec.regions == "auto" else {}
        stacked = stacked or {name: [i] for i, name in enumerate(self.signal.ch_names)}
        self.region_names = tuple(stacked)
        self.region_channels = list(stacked.values())
        self.register_buffer("power_mean", torch.zeros(spec.n_freqs))
        self.register_buffer("power_std", torch.ones(spec.n_freqs))
        self.network = efficientnet(spec)
        self.pool = GeM((2, 3))
        if spec.pretrained_or_scratch:  # among the weights, so that a fit that goes on knows it, too
            self.register_buffer("took_pretrained", torch.zeros((), dtype=torch.bool))
        return spec.rounded(1280)

    def embed(self, signal: Tensor) -> Tensor:
        """Return features (B, D) of scaled signals (B, C, T)."""
        network: Any = self.network
        encoder, x = network.encoder, network.embeddings(self.image(signal)[:, None])
        for block in encoder.blocks:
            x = self.again(block, x)
        pooled: Tensor = self.pool(encoder.top_activation(encoder.top_bn(encoder.top_conv(x))))
        return pooled

    def image(self, signal: Tensor) -> Tensor:
        """Return the standardised spectrograms (B, R F, N) of scaled signals (B, C, T)."""
        with torch.autocast(signal.device.type, enabled=False):
            power = (self.log_power(signal) - self.power_mean[:, None]) / self.power_std[:, None]
            return power.clamp(-LIMIT, LIMIT).flatten(1, 2)

    def log_power(self, signal: Tensor) -> Tensor:
        """Return the log power (B, R, F, N) of each region."""
        with torch.autocast(signal.device.type, enabled=False):
            power: Tensor = self.spectra(signal)
            parts = [power[:, channels].mean(1) for channels in self.region_channels]
            return torch.log(torch.stack(parts, 1) + FLOOR)

    def origin(self) -> dict[str, str]:
        if not self.spec.pretrained_or_scratch:
            return {}
        name = self.spec.pretrained
        return {"began_from": f"weights of '{name}'" if self.took_pretrained else f"scratch, '{name}' was not reached"}

    def _take_pretrained(self, name: str) -> None:
        """Begin with published weights; from scratch where they cannot be reached and the spec allows it."""
        try:
            take_pretrained(self.network, name, self.spec.revision)
        except UnreachedError as error:
            if not self.spec.pretrained_or_scratch:
                raise
            log.warning("begins from scratch, as pretrained_or_scratch says: %s", error)
        else:
            if self.spec.pretrained_or_scratch:
                self.took_pretrained.fill_(True)

    def settle(self, batches: list[Tensor]) -> None:
        """Take the pre-trained weights where there are any; set mean and spread of the log power at each frequency."""
        if self.spec.pretrained is not None:
            self._take_pretrained(self.spec.pretrained)
        sums, n = torch.zeros(2, self.spec.n_freqs, dtype=torch.float64), 0
        for signal in batches:
            power = self.log_power(signal).double()
            sums += torch.stack([power.sum((0, 1, 3)), power.square().sum((0, 1, 3))])
            n += power.shape[0] * power.shape[1] * power.shape[3]
        mean, second = sums / n
        self.power_mean.copy_(mean)
        self.power_std.copy_((second - mean.square()).clamp(min=0).sqrt().clamp(min=0.1))

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "regions": list(self.region_names)}


def regions_of(signal: SignalSpec) -> dict[str, list[int]]:
    """Return the channels of each chain of the double banana; nothing unless all four lateral chains have one.

    Upper and lower case are the same, and so are the old and the new names of T7, T8, P7 and P8. Channels of no chain
    are left out of the image.
    """
    pairs = montage_pairs("double_banana")
    here = {_new(name): i for i, name in enumerate(signal.ch_names)}
    found = {}
    for name, (first, last) in CHAINS.items():
        wanted = [f"{a}-{b}".lower() for a, b in pairs[first:last]]
        found[name] = [here[pair] for pair in wanted if pair in here]
    found = {name: channels for name, channels in found.items() if channels}
    return found if all(name in found for name in LATERAL) else {}


def _new(name: str) -> str:
    """Return the name of a bipolar channel in lower-case 10-10 names."""
    new = {old.lower(): newer.lower() for newer, old in OLD_NAMES.items()}
    return "-".join(new.get(e.strip(), e.strip()) for e in name.lower().split("-"))


def efficientnet(spec: SpectrogramEfficientNet) -> nn.Module:
    """Return the untrained network of one input channel, its weights drawn from torch's generator.

    Deliberate differences: batch norms take a tenth of each batch (transformers' default, 0.99, is meant as the share
    that is kept, and torch takes it for the share that is new) and start as the identity, convolutions with the spread
    that was published (transformers draws both with a deviation of 0.02, under which nothing comes through). Every
    convolution that halves the image is padded alike on both sides, so that images may have any size.
    """
    try:
        made: Any = import_module("transformers.models.efficientnet")
    except ImportError:
        raise MissingExtraError("transformers", "hms") from None
    width, depth = spec.factors
    config = made.EfficientNetConfig(
        num_channels=1,
        width_coefficient=width,
        depth_coefficient=depth,
        hidden_dim=spec.rounded(1280),
        depthwise_padding=list(range(sum(map(spec.repeated, REPEATS)))),
    )
    network: nn.Module = made.EfficientNetModel(config)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        elif isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network.train()


def take_pretrained(network: nn.Module, name: str, revision: str | None = None) -> None:
    """Put published weights into the network; the three colours of an image, all alike here, are added up.

    Raises
    ------
    PackageError : the weights cannot be had, are no safetensors, or are of another network. UnreachedError : the hub
    gave no answer.
    """
    given = {n.removeprefix(PREFIX): w for n, w in read_pretrained(name, revision).items()}
    stem = "embeddings.convolution.weight"
    if stem in given:
        given[stem] = given[stem].sum(1, keepdim=True)
    own = network.state_dict()
    wrong = [n for n, t in own.items() if n not in given or given[n].shape != t.shape]
    if wrong:
        raise PackageError(
            f"The weights of '{name}' do not fit: {len(wrong)} of {len(own)} tensors are missing or of another shape, "
            f"the first is {wrong[0]}",
            allowed="weights of the same variant, width and depth",
            remedy="Name another 'pretrained', or set 'variant' to that of the weights",
        )
    network.load_state_dict({n: given[n].to(t.dtype) for n, t in own.items()})


def read_pretrained(name: str, revision: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a folder's or a hub's model.safetensors; PackageError where they cannot be had.

    UnreachedError, which is one, where the hub gave no answer.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    hub: Any = import_module("huggingface_hub")
    folder = Path(name)
    try:
        path = folder / FILE if folder.is_dir() else hub.hf_hub_download(name, FILE, revision=revision)
        loaded: dict[str, Tensor] = load_file(path)
    except (OSError, ValueError, SafetensorError, hub.errors.HfHubHTTPError) as error:
        why = " ".join(str(error).split())[:200]
        kind = UnreachedError if not folder.is_dir() and _unreached(error, hub) else PackageError
        raise kind(
            f"The pre-trained weights '{name}' cannot be had ({type(error).__name__}: {why})",
            allowed=f"a folder or a name on the hub with a {FILE}",
            remedy="Check the name and the network, give a folder, or set pretrained to null to begin from scratch",
        ) from None
    return loaded


def _unreached(error: Exception, hub: Any) -> bool:
    """Return whether the hub gave no answer, or failed; a wrong name and a damaged file are another matter."""
    if isinstance(error, hub.errors.HfHubHTTPError):
        return error.response is not None and error.response.status_code >= 500
    return isinstance(error, OSError)
