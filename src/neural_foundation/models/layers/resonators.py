"""A bank of damped complex resonators at several time scales: causal band power and phase, one token a hop.

Shapes: B batch, K virtual channels, R resonators (of all scales), S sub-steps of a hop, P samples a hop, M tokens.

A resonator is two equal poles in a row,

    a_t = lambda a_{t-1} + (1 - |lambda|) x_t,    b_t = lambda b_{t-1} + (1 - |lambda|) a_t,
    lambda = exp((-1 / tau + 2 pi i f) / sfreq),

a complex gammatone filter of order two with |gain| about 1 at f. Two poles of half the scale have the delay of one of
the full scale and far steeper skirts, so that the strong low frequencies of EEG leak less into weak high ones.
Its power is |b|^2, averaged over S sub-steps of the hop.

Within a hop, b is a product of the samples with a kernel built from lambda; from hop to hop, (a, b) obey a 2 x 2
complex recurrence, solved for a chunk of tokens at once. Powers of lambda and the carried (a, b) are float64.

After n samples of white noise the expected power is a known share of its final value (the filter is still
charging); `share` gives it, so that a scale as long as the trial is useful from its first token.

tau and f are learned within bounds about their start: tau by a factor of two, f by one spacing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Kernels = tuple[list[Tensor], Tensor, list[Tensor]]


@dataclass(frozen=True)
class Scale:
    """One time scale: its length, the frequencies it starts with and the sub-steps a hop its power is sampled at."""

    length_s: float
    centres_hz: tuple[float, ...]
    sub_steps: int

    @property
    def name(self) -> str:
        return f"{self.length_s * 1000:g} ms" if self.length_s < 1 else f"{self.length_s:g} s"


def spaced(low: float, high: float, n: int, *, logarithmic: bool) -> tuple[float, ...]:
    """Return n frequencies from low to high, evenly or evenly in the logarithm."""
    if n == 1:
        return (math.sqrt(low * high) if logarithmic else (low + high) / 2,)
    steps = [i / (n - 1) for i in range(n)]
    return tuple(low * (high / low) ** s if logarithmic else low + (high - low) * s for s in steps)


def _spacing(centres: Sequence[float]) -> list[float]:
    if len(centres) == 1:
        return [0.25 * centres[0]]
    gaps = [b - a for a, b in zip(centres, centres[1:], strict=False)]
    return [min(a, b) for a, b in zip([gaps[0], *gaps], [*gaps, gaps[-1]], strict=True)]


class Resonators(nn.Module):
    """The bank: `forward(x (B, K, M P), state (B, R, 4, K) float64) -> (power (B, M, K, R), waves, state)`.

    Parameters
    ----------
    scales : one or more. sfreq : samples per second. hop : P.
    slow : for each scale, how many of its first resonators also give b itself at the hop's end.
    """

    start_hz: Tensor
    spacing_hz: Tensor
    start_tau_s: Tensor

    def __init__(self, scales: Sequence[Scale], *, sfreq: float, hop: int, slow: Sequence[int]) -> None:
        super().__init__()
        self.scales, self.sfreq, self.hop, self.slow = tuple(scales), sfreq, hop, tuple(slow)
        self._fixed: tuple[tuple[Tensor, Tensor, Tensor], Kernels] | None = None
        self.counts = [len(s.centres_hz) for s in scales]
        self.n_resonators = sum(self.counts)
        self.log_tau = nn.Parameter(torch.zeros(self.n_resonators))
        self.shift = nn.Parameter(torch.zeros(self.n_resonators))
        tau = [s.length_s / 2 for s in scales for _ in s.centres_hz]
        for name, values in (
            ("start_hz", [f for s in scales for f in s.centres_hz]),
            ("spacing_hz", [g for s in scales for g in _spacing(s.centres_hz)]),
            ("start_tau_s", tau),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)

    def frequencies(self) -> Tensor:
        """Return f (R,) in Hz, float64."""
        return self.start_hz + self.spacing_hz * torch.tanh(self.shift.double())

    def time_constants(self) -> Tensor:
        """Return tau (R,) of each pole in seconds, float64."""
        return self.start_tau_s * torch.exp(math.log(2.0) * torch.tanh(self.log_tau.double()))

    def ends(self, scale: Scale) -> list[int]:
        """Return the number of samples of a hop that have passed at the end of each sub-step of a scale."""
        return [math.ceil((j + 1) * self.hop / scale.sub_steps) for j in range(scale.sub_steps)]

    def start(self, filters: int, batch: int, device: torch.device | None = None) -> Tensor:
        """Return the state (B, R, 4, K) before the first sample: real and imaginary a, real and imaginary b."""
        return torch.zeros(batch, self.n_resonators, 4, filters, dtype=torch.float64, device=device)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return power (B, M, K, R), slow waves (B, M, K, 2 R_slow), both float32, and the state after."""
        responses, state = self.responses(x, state)
        powers, waves = [], []
        for h, slow in zip(responses, self.slow, strict=True):
            powers.append(h.square().sum(1).mean(0))
            if slow:
                waves.append(h[-1, :, :slow].flatten(0, 1))
        power = torch.cat(powers).permute(2, 1, 3, 0)
        wave = torch.cat(waves).permute(2, 1, 3, 0) if waves else power[..., :0]
        return power, wave, state

    def responses(self, x: Tensor, state: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return b of each scale, (S, 2, R_s, M, B, K) float32 with real and imaginary part, and the state after.

        Inside, time within the hop and resonators come first and tokens and virtual channels last, N = B K, so that
        every step is one matrix product and none moves memory about.
        """
        batch, filters = x.shape[:2]
        tokens = x.shape[2] // self.hop
        coefficients, (within, ends, passed) = self.constants()
        samples = x.reshape(batch, filters, tokens, self.hop).permute(3, 2, 0, 1).reshape(self.hop, -1)  # (P, M N)
        left = (ends @ samples).view(self.n_resonators, 4 * tokens, batch * filters)
        before, state = self._carry(left, state, coefficients, tokens)
        starts = torch.split(before, [4 * n for n in self.counts])
        responses = []
        for scale, n, kernel, free, start in zip(self.scales, self.counts, within, passed, starts, strict=True):
            h = torch.addmm(kernel @ samples, free, start.reshape(start.shape[0], -1))
            responses.append(h.view(scale.sub_steps, 2, n, tokens, batch, filters))
        return responses, state

    def coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return 1 / tau and angular frequency per sample, and the gain of one pole; each (R,) float64."""
        decay = 1.0 / (self.time_constants() * self.sfreq)
        return decay, 2 * math.pi * self.frequencies() / self.sfreq, 1 - torch.exp(-decay)

    def constants(self) -> tuple[tuple[Tensor, Tensor, Tensor], Kernels]:
        """Return the coefficients and the kernels: what depends on the weights alone."""
        if self._fixed is not None:
            return self._fixed
        coefficients = self.coefficients()
        return coefficients, self.kernels(coefficients)

    @contextlib.contextmanager
    def fixed(self) -> Iterator[None]:
        """Compute what depends on the weights alone once, for as long as the context lasts; gradients still flow."""
        before, self._fixed = self._fixed, self.constants()
        try:
            yield
        finally:
            self._fixed = before

    def kernels(self, coefficients: tuple[Tensor, Tensor, Tensor]) -> Kernels:
        """Return, in float32, what makes b at the sub-steps and (a, b) at the hop's end.

        within : for each scale (2 S R_s, P), rows by sub-step, real and imaginary, resonator; from the hop's samples.
        ends : (4 R, P), rows by resonator; (a, b) at the hop's end from its samples.
        passed : for each scale (2 S R_s, 4 R_s); b at the sub-steps from (a, b) before the hop.
        """
        within, passed = [], []
        samples = torch.arange(1, self.hop + 1, device=self.start_hz.device)
        for scale, part in zip(self.scales, self._by_scale(coefficients), strict=True):
            n = torch.tensor(self.ends(scale), device=samples.device)
            taps = self._response(n[:, None] - samples, part)[2:]  # (2, S, P, R)
            within.append(taps.permute(1, 0, 3, 2).reshape(-1, self.hop).float())
            free = free_response(n.double(), part)[2:]  # (2, 4, S, R)
            spread = torch.diag_embed(free).permute(2, 0, 3, 4, 1)  # (S, 2, R, R, 4)
            passed.append(spread.reshape(-1, 4 * len(part[0])).float())
        ends = self._response(self.hop - samples, coefficients)  # (4, P, R)
        return within, ends.permute(2, 0, 1).reshape(-1, self.hop).float(), passed

    def _by_scale(self, coefficients: tuple[Tensor, Tensor, Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        decay, omega, gain = (torch.split(c, self.counts) for c in coefficients)
        return list(zip(decay, omega, gain, strict=True))

    def _response(self, lag: Tensor, coefficients: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return real and imaginary a, then b, `lag` samples after a unit sample: (4, *lag, R); 0 for negative lags."""
        decay, omega, gain = coefficients
        n = lag[..., None].double()
        size = torch.exp(-decay * n.clamp(min=0)) * gain * (n >= 0)
        a = torch.stack([size * torch.cos(omega * n), size * torch.sin(omega * n)])
        return torch.cat([a, a * (n + 1) * gain])

    def _carry(
        self, left: Tensor, state: Tensor, coefficients: tuple[Tensor, Tensor, Tensor], tokens: int
    ) -> tuple[Tensor, Tensor]:
        """Return (a, b) before each token (R 4, M, N) float32 and after the last (B, R, 4, K) float64.

        `left` (R, 4 M, N) is what each hop alone would leave. Over hops, in real numbers, the recurrence is
        s_{m+1} = F s_m + left_m with a 4 x 4 matrix F for each resonator, so s_m = F^m s_0 + sum F^(m-1-n) left_n.
        """
        batch, _, _, filters = state.shape
        carried = state.permute(1, 2, 0, 3).reshape(self.n_resonators, 4, -1)  # (R, 4, N)
        hops = torch.arange(tokens + 1, dtype=torch.float64, device=state.device)
        if tokens == 1:
            last = left
            before = carried.to(left.dtype)
        else:
            driven = self._driven(coefficients, hops)
            free = free_response(hops[:-1] * self.hop, coefficients).permute(3, 0, 2, 1).to(left.dtype)  # (R, 4, M, 4)
            before = torch.baddbmm(
                free.flatten(1, 2) @ carried.to(left.dtype), driven[:, :, :-1].flatten(3).flatten(1, 2), left
            )
            last = driven[:, :, -1].flatten(2) @ left
        ahead = free_response(hops[-1:] * self.hop, coefficients)[:, :, 0].permute(2, 0, 1)  # (R, 4, 4)
        after = ahead @ carried + last.double()
        return before.view(-1, tokens, batch * filters), after.view(-1, 4, batch, filters).permute(2, 0, 1, 3)

    def _driven(self, coefficients: tuple[Tensor, Tensor, Tensor], hops: Tensor) -> Tensor:
        """Return F^(m-1-n) for m = 0 .. M, n = 0 .. M - 1, zero where n >= m: (R, 4, M + 1, 4, M) float32."""
        powers = free_response(hops[:-1] * self.hop, coefficients).permute(3, 0, 1, 2).float()  # (R, 4, 4, M)
        lag = (hops[:, None] - 1 - hops[None, :-1]).long()
        taken = powers[..., lag.clamp(min=0)] * (lag >= 0)
        return taken.transpose(2, 3)

    def share(self, age: Tensor, tokens: int) -> Tensor:
        """Return the expected power of white noise as a share of its final value, (B, M, R) float32.

        age : tokens since the start before this chunk, (B,) float64. The sum of (j + 1)^2 q^j for j < n over that
        for all j, q = |lambda|^2, averaged over the sub-steps of each hop.
        """
        decay = self.constants()[0][0]
        ends = [torch.tensor(self.ends(s), dtype=torch.float64, device=age.device) for s in self.scales]
        steps = torch.cat([e.repeat_interleave(n) for e, n in zip(ends, self.counts, strict=True)])  # (sum of S R_s,)
        which = torch.cat(
            [
                i.repeat(s.sub_steps)
                for i, s in zip(torch.split(torch.arange(self.n_resonators), self.counts), self.scales, strict=True)
            ]
        )
        average = torch.zeros(len(steps), self.n_resonators, dtype=torch.float64, device=age.device)
        times = torch.cat(
            [torch.full((s.sub_steps * n,), s.sub_steps) for s, n in zip(self.scales, self.counts, strict=True)]
        )
        average[torch.arange(len(steps)), which] = 1.0 / times.to(average)
        hops = age[:, None] + torch.arange(tokens, dtype=torch.float64, device=age.device)
        return (charged(hops[..., None] * self.hop + steps, -2.0 * decay[which]) @ average).float()


def free_response(n: Tensor, coefficients: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return F^n (4, 4, *n, R) float64: how (a, b), real and imaginary, go on without input for `n` samples."""
    decay, omega, gain = coefficients
    n = n[..., None]
    fade = torch.exp(-decay * n)
    real, imag = fade * torch.cos(omega * n), fade * torch.sin(omega * n)
    ramp, none = n * gain, torch.zeros_like(real)
    rows = [
        [real, -imag, none, none],
        [imag, real, none, none],
        [ramp * real, -ramp * imag, real, -imag],
        [ramp * imag, ramp * real, imag, real],
    ]
    return torch.stack([torch.stack(row) for row in rows])


def charged(n: Tensor, q_log: Tensor) -> Tensor:
    """Return the share of the sum of (j + 1)^2 q^j over all j that j < n has, q = exp(q_log)."""
    q = torch.exp(q_log)
    s0, s1, s2 = 1 / (1 - q), q / (1 - q) ** 2, q * (1 + q) / (1 - q) ** 3
    total = s0 + 2 * s1 + s2
    # the rest, with n + 1 = u + 1: (u + 1)^2 s0 + 2 (u + 1) s1 + s2
    return 1 - torch.exp(q_log * n) * ((n * (s0 / total) + 2 * (s0 + s1) / total) * n + 1)
