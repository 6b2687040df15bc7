"""Second-order statistics across the head: which sites go together in a band, and how much of the power a tag has.

Shapes: B batch, C channels, N sites, M tokens, G bands, Q tag frequencies, F = G N (N + 1) / 2 + Q features.

Powers of single (virtual) channels do not say which regions rise and fall together. Here covariances of band-passed
potentials at N sites are summed since the start, by resonators with fixed frequencies, and become two kinds of
features; a decision is read from them linearly.

Bands. Each covariance S, divided by its mean variance and shrunk, is whitened by the reference W = mean(S)^(-1/2) of
the training windows, T = W S W, and goes through the Cayley transform,

    2 (T - I) (T + I)^(-1) = 2 I - 4 (T + I)^(-1),

the first Pade approximant of log T. log T at the mean is the tangent space of Barachant et al. 2012 (IEEE TBME 59(4));
the Cayley transform agrees with it to second order, is bounded, and needs one inverse where the logarithm needs
eigenvectors, so it streams and runs in an ONNX graph. Each feature is standardised.

Tags. For stimulation frequencies (SSVEP) covariances S_q lie at their harmonics and one and two hertz beside. With P
their mean over q, log tr(P^(-1) S_q) is the power at q over all directions, each weighed by what little else it has:
like canonical correlation (Lin et al. 2006, IEEE TBME 53(12)) it finds the direction anew in every window, but it
needs neither phase nor a window's length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .decay import running_sum
from .resonators import Resonators, Scale

EACH_BAND = 3  # resonators a band
BESIDE_HZ = (-2.0, -1.0, 0.0, 1.0, 2.0)
SHRINKAGE = 0.05
SILENT = 1e-10  # of the signal's mean power: a silent window has no relations, and no logarithm of zero
LIMIT = 8.0  # standard deviations beyond which a feature is cut


def inverse(matrices: Tensor) -> Tensor:
    """Return the inverses of (..., N, N). ONNX has no such operator; in a graph it is the one of ONNX Runtime."""
    made: Tensor
    if torch.onnx.is_in_onnx_export():
        made = torch.onnx.ops.symbolic(
            "com.microsoft::Inverse", (matrices,), dtype=matrices.dtype, shape=matrices.shape, version=1
        )
    else:
        made = torch.linalg.inv(matrices)
    return made


def tag_frequencies(tags: Sequence[float], harmonics: int, top_hz: float) -> tuple[float, ...]:
    """Return the harmonics of all tags and what lies beside them, up to `top_hz`, in rising order."""
    found = {round(f * h + o, 6) for f in tags for h in range(1, harmonics + 1) for o in BESIDE_HZ}
    return tuple(sorted(f for f in found if 0.5 <= f <= top_hz))


class Relations(nn.Module):
    """`forward(signal (B, C, M P), state, log_gamma) -> (features (B, M, F), state)`; nothing is learned.

    Parameters
    ----------
    bands : (low, high) in Hz, G of them. tags : stimulation frequencies in Hz. harmonics : of each tag.
    n_sites : N. sfreq, hop : of the signal.
    """

    upper: Tensor
    interpolate: Tensor
    white: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        bands: Sequence[tuple[float, float]],
        tags: Sequence[float],
        harmonics: int,
        n_sites: int,
        sfreq: float,
        hop: int,
    ) -> None:
        super().__init__()
        self.n_bands, self.n_sites = len(bands), n_sites
        inside = [low * (high / low) ** ((i + 0.5) / EACH_BAND) for low, high in bands for i in range(EACH_BAND)]
        beside = tag_frequencies(tags, harmonics, 0.45 * sfreq)
        self.n_tags = len(beside)
        scales = [Scale(0.1, tuple(inside), min(hop, 2))] if inside else []
        scales += [Scale(1.0, beside, 1)] if beside else []
        self.bank = Resonators(scales, sfreq=sfreq, hop=hop, slow=[0] * len(scales)).requires_grad_(False)
        upper = torch.triu_indices(n_sites, n_sites)
        self.register_buffer("upper", upper[0] * n_sites + upper[1], persistent=False)
        self.register_buffer("interpolate", torch.zeros(n_sites, 0), persistent=False)
        self.n_features = self.n_bands * len(upper[0]) + self.n_tags
        self.register_buffer("white", torch.eye(n_sites).repeat(self.n_bands, 1, 1))
        self.register_buffer("mean", torch.zeros(self.n_features))
        self.register_buffer("std", torch.ones(self.n_features))

    def bind(self, interpolate: Tensor) -> None:
        """Take signals of a montage, interpolated to the sites by (N, C)."""
        self.interpolate = interpolate

    @property
    def blocks(self) -> list[int]:
        """Features of the bands and of the tags, those there are."""
        return [n for n in (self.n_features - self.n_tags, self.n_tags) if n]

    def start(self) -> dict[str, tuple[int, ...]]:
        """Return names and shapes (without batch) of the state."""
        pairs = (self.n_bands + self.n_tags, self.n_sites, self.n_sites)
        return {"relation_resonators": (self.bank.n_resonators, 4, self.n_sites), "relations": pairs}

    def covariances(
        self, signal: Tensor, state: dict[str, Tensor], log_gamma: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sums (B, M, G + Q, N, N) of products so far, and the state after."""
        sites = self.interpolate @ signal
        responses, resonators = self.bank.responses(sites, state["relation_resonators"])
        made = []
        if self.n_bands:
            h = responses[0]
            h = h.view(*h.shape[:2], self.n_bands, EACH_BAND, *h.shape[3:])  # (S, 2, G, 3, M, B, N)
            made.append(h.permute(5, 4, 2, 6, 0, 1, 3).flatten(4))
        if self.n_tags:
            h = responses[-1]  # (S, 2, Q, M, B, N)
            made.append(h.permute(4, 3, 2, 5, 0, 1).flatten(4))
        products = torch.cat([h @ h.mT / h.shape[-1] for h in made], 2)
        sums, after = running_sum(products.flatten(2), state["relations"].flatten(1), log_gamma)
        return sums.view_as(products), {
            "relation_resonators": resonators,
            "relations": after.view_as(state["relations"]),
        }

    def forward(self, signal: Tensor, state: dict[str, Tensor], log_gamma: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        sums, after = self.covariances(signal, state, log_gamma)
        return self.features(sums), after

    def features(self, sums: Tensor) -> Tensor:
        """Return the standardised features (..., F) of sums (..., G + Q, N, N)."""
        return ((self._raw(sums) - self.mean) / self.std).clamp(-LIMIT, LIMIT)

    def _raw(self, sums: Tensor) -> Tensor:
        made = []
        if self.n_bands:
            whitened = self.white @ self._normal(sums[..., : self.n_bands, :, :]) @ self.white
            cayley = -4.0 * inverse(whitened + self._identity(sums))
            made.append(cayley.flatten(-2)[..., self.upper].flatten(-2))  # 2 I is in the mean
        if self.n_tags:
            tagged = sums[..., self.n_bands :, :, :]
            power = inverse(self._normal(tagged.mean(-3)))[..., None, :, :] * self._scaled(tagged)
            made.append(torch.log(power.sum((-2, -1)).clamp(min=SILENT)))
        return torch.cat(made, -1)

    def _normal(self, sums: Tensor) -> Tensor:
        """Return each matrix over its mean variance, shrunk towards the identity."""
        level = sums.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=SILENT)[..., None, None]
        return (1 - SHRINKAGE) * sums / level + SHRINKAGE * self._identity(sums)

    def _scaled(self, tagged: Tensor) -> Tensor:
        """Return the covariances of all tags over the one mean variance of them all."""
        level = tagged.diagonal(dim1=-2, dim2=-1).mean((-2, -1)).clamp(min=SILENT)
        return tagged / level[..., None, None, None]

    def _identity(self, like: Tensor) -> Tensor:
        return torch.eye(self.n_sites, dtype=like.dtype, device=like.device)

    @torch.no_grad()
    def calibrate(self, sums: Iterable[Tensor]) -> None:
        """Set reference and scales from the sums (n, G + Q, N, N) at the end of training windows."""
        every = list(sums)
        if self.n_bands:
            normal = [self._normal(s[:, : self.n_bands]).double() for s in every]
            mean = torch.stack([n.sum(0) for n in normal]).sum(0) / sum(len(n) for n in normal)
            values, vectors = torch.linalg.eigh(mean)
            self.white.copy_((vectors * values.clamp(min=1e-6).rsqrt()[:, None]) @ vectors.mT)
        raw = torch.cat([self._raw(s) for s in every]).double()
        self.mean.copy_(raw.mean(0))
        self.std.copy_(raw.std(0, correction=0).clamp(min=1e-4))
