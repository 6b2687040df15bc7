"""The network of `multiscale`: its two forms are one function, `stream`, at one token or at many.

Shapes: B batch, C channels, K virtual channels, R resonators, F = K R log powers + E slow waves, P samples a hop,
M tokens, D width, H heads, V head width.

State, all with B first: `resonators` (R, 4, K), `power` (K, R), `share` (R,), `age` (), `attention_00` ... (H, V, V),
`evidence` (D,), `count` (), those of the relations where there are any, and, where people are aligned, `person`
(K R + 1,), `heard` (K R + 1,) and `trial` (); float64 throughout.

The decision rests on two pooled quantities. The backbone's tokens are averaged since the start (or with fading
weights), and so is the power of each resonator before its logarithm is taken: the log band power of all that was
heard, which alone makes the network a band-power classifier. The backbone starts as the identity and its share of
the features at zero, so training starts from there. A direct path leads from the pooled powers to the logits; it is
not trained by gradients but set by a linear probe in closed form (`layers.probe`) before the first step. Where the
spec names `relations` or `tags_hz`, it also reads second-order statistics across the head (`layers.relations`).
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import DataError, SignalMismatchError, SpecError
from ..core.seeds import derive, generator
from ..core.specs import Position, SignalSpec, TargetSpec
from .layers.decay import running_sum
from .layers.gradient_reversal import reverse_gradient
from .layers.linear_attention import Backbone, RMSNorm
from .layers.relations import Relations
from .layers.resonators import Resonators
from .layers.spatial import SpatialFilter
from .layers.subjects import PRIOR, SubjectAdapter
from .layers.templates import Templates, relative
from .multiscale import Multiscale
from .multiscale_scales import usable_scales
from .network import Network, NetworkOutput, State

log = logging.getLogger(__name__)
FLOOR = 1e-10  # of the signal's mean power, added before a logarithm
NULL = 0.05  # of the mean power so far, added too: a resonator's momentary zero is no event, and has no exact logarithm
LIMIT = 8.0  # standard deviations beyond which a feature is cut


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from a seed of our own and leave the process's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "multiscale"))
        yield


def _enough(known: int) -> None:
    if known < 2:
        raise SignalMismatchError(
            f"relations and tags_hz need the positions of two or more electrodes, known: {known}",
            remedy="Set a montage on the recordings, or leave both fields empty",
        )


class MultiscaleNetwork(Network):
    """The network of a `Multiscale` spec, bound to a signal and a target.

    scales_left_out : names of the time scales that the signal's rate cannot carry.
    """

    feature_mean: Tensor
    feature_std: Tensor
    pooled_mean: Tensor
    pooled_std: Tensor
    input_gain: Tensor
    direct_weight: Tensor
    direct_bias: Tensor
    log_gamma: Tensor
    relations: Relations | None

    def __init__(
        self, spec: Multiscale, signal: SignalSpec, target: TargetSpec | None, *, subjects: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.spec, self.signal, self.target, self.subjects = spec, signal, target, subjects
        self.front_end_names: tuple[str, ...] = ("spatial", "resonators")
        self.head_names: tuple[str, ...] = ("readout", "reconstruct", "direct_weight", "direct_bias", "relations")
        self.subject_names: tuple[str, ...] = ("adapter", "adversary")
        self.hop = max(1, round(spec.hop_s * signal.sfreq))
        scales, self.scales_left_out = usable_scales(spec, signal.sfreq, self.hop)
        if self.scales_left_out:
            log.info(
                "multiscale at %g Hz: scale %s left out (under two samples)",
                signal.sfreq,
                ", ".join(self.scales_left_out),
            )
        self.width, self.filters = spec.sized("d_model"), spec.sized("virtual_channels")
        self.spatial = SpatialFilter(
            signal.ch_names,
            signal.positions,
            n_filters=self.filters,
            n_sites=spec.sites,
            rng=generator(seed, "spatial"),
        )
        slow = [sum(f <= spec.slow_hz for f in s.centres_hz) if 0.05 <= s.length_s <= 0.3 else 0 for s in scales]
        self.resonators = Resonators(scales, sfreq=signal.sfreq, hop=self.hop, slow=slow)
        self._features()
        self._body()
        self._heads()

    @property
    def n_chans(self) -> int:  # type: ignore[override]
        return self.spatial.n_chans

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether the inside of the backbone's blocks is computed again on the way back instead of being kept."""
        return self.backbone.checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, on: bool) -> None:
        self.backbone.checkpointing = on

    @property
    def scales(self) -> tuple[str, ...]:
        """Names of the time scales in use."""
        return tuple(s.name for s in self.resonators.scales)

    def _features(self) -> None:
        self.n_powers = self.filters * self.resonators.n_resonators
        self.n_waves = self.filters * 2 * sum(self.resonators.slow)
        self.register_buffer("input_gain", torch.tensor(1e5))
        self.register_buffer("feature_mean", torch.zeros(self.n_powers + self.n_waves))
        self.register_buffer("feature_std", torch.ones(self.n_powers + self.n_waves))
        self.register_buffer("pooled_mean", torch.zeros(self.n_powers))
        self.register_buffer("pooled_std", torch.ones(self.n_powers))

    def _body(self) -> None:
        spec, width = self.spec, self.width
        rank, dropout = spec.adapter_rank, spec.subject_dropout
        self.adapter = SubjectAdapter(
            self.subjects, self.filters, self.resonators.n_resonators, rank=rank, dropout=dropout, aligned=self.aligned
        )
        self.embed = Templates(self.filters, self.resonators.n_resonators, width)
        self.embed_waves = nn.Linear(self.n_waves, width, bias=False) if self.n_waves else None
        if self.embed_waves is not None:
            nn.init.zeros_(self.embed_waves.weight)  # waves are learned where they help
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.dropout = nn.Dropout(spec.dropout)
        self.backbone = Backbone(
            width,
            spec.sized("n_layers"),
            spec.sized("n_heads"),
            longest=spec.sized("longest_tokens"),
            dropout=spec.dropout,
            checkpointing=spec.checkpointing,
        )
        self.token_norm = RMSNorm(width)
        self.pooled = Templates(self.filters, self.resonators.n_resonators, width)
        self.token_gain = nn.Parameter(torch.full((width,), 0.1))
        decay = 0.0 if spec.context == "trial" else -self.hop / (self.signal.sfreq * spec.tau_s)
        self.register_buffer("log_gamma", torch.tensor(decay, dtype=torch.float64), persistent=False)

    def _heads(self) -> None:
        self.relations = None
        if self.target is not None:
            outputs = self.target.n_outputs
            self.relations = self._relations()
            n_direct = self.n_powers + (self.relations.n_features if self.relations is not None else 0)
            self.register_buffer("direct_weight", torch.zeros(outputs, n_direct))
            self.register_buffer("direct_bias", torch.zeros(outputs))
            self.readout = nn.Linear(self.width, outputs)
            nn.init.normal_(self.readout.weight, std=0.02)
            nn.init.zeros_(self.readout.bias)
        else:
            self.reconstruct = nn.Linear(self.width, self.n_powers + self.n_waves)
        if self.subjects:
            self.adversary = nn.Sequential(
                nn.Linear(self.width, self.width), nn.GELU(), nn.Linear(self.width, self.subjects)
            )

    def _relations(self) -> Relations | None:
        """Return what the direct path reads besides powers; SpecError or SignalMismatchError where it cannot."""
        spec, top = self.spec, 0.45 * self.signal.sfreq
        if not spec.relations and not spec.tags_hz:
            return None
        highest = max([high for _, high in spec.relations] + list(spec.tags_hz))
        if highest > top:
            raise SpecError(f"relations or tags_hz reach {highest:g} Hz", allowed=f"up to {top:g} Hz at this rate")
        made = Relations(
            bands=spec.relations,
            tags=spec.tags_hz,
            harmonics=spec.tag_harmonics,
            n_sites=spec.relation_sites,
            sfreq=self.signal.sfreq,
            hop=self.hop,
        )
        made.bind(self._onto_sites())
        return made

    def _onto_sites(self) -> Tensor:
        _enough(self.spatial.n_known)
        return self.spatial.onto(self.spec.relation_sites)

    # ---- state -------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        device, wide = self.mask_token.device, torch.float64
        heads = self.spec.sized("n_heads")
        head = self.width // heads
        sizes: dict[str, tuple[int, ...]] = {
            "resonators": (self.resonators.n_resonators, 4, self.filters),
            "power": (self.filters, self.resonators.n_resonators),
            "share": (self.resonators.n_resonators,),
            "age": (),
            **{f"attention_{i:02d}": (heads, head, head) for i in range(self.spec.sized("n_layers"))},
            "evidence": (self.width,),
            "count": (),
            **(self.relations.start() if self.relations is not None else {}),
            **({"person": (self.n_powers + 1,), "heard": (self.n_powers + 1,), "trial": ()} if self.aligned else {}),
        }
        return {name: torch.zeros(batch, *size, dtype=wide, device=device) for name, size in sizes.items()}

    def bind_montage(
        self,
        positions: Sequence[Position | None],
        mask: Sequence[bool] | None = None,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        """Take signals of another montage from now on; see `SpatialFilter.bind_montage`."""
        used = [True] * len(positions) if mask is None else list(mask)
        if self.relations is not None:
            _enough(sum(u and p is not None for u, p in zip(used, positions, strict=True)))
        self.spatial.bind_montage(positions, mask, names=names)
        if self.relations is not None:
            self.relations.bind(self._onto_sites())

    @contextlib.contextmanager
    def fixed(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with torch.autocast(self.mask_token.device.type, enabled=False):
                stack.enter_context(self.spatial.fixed())
                stack.enter_context(self.resonators.fixed())
                if self.relations is not None:
                    stack.enter_context(self.relations.bank.fixed())
            yield

    # ---- the one path ------------------------------------------------------------------------------------------

    def stream(
        self, signal: Tensor, state: State, subject: Tensor | None = None, token_mask: Tensor | None = None
    ) -> tuple[NetworkOutput, State]:
        self._check_whole(signal)
        with torch.autocast(signal.device.type, enabled=False):
            age = state["age"]
            tokens, pooled, state = self._front(signal.float(), state)
            state = self._hear(pooled, age, state)
            tokens, pooled = self._standardise(tokens, pooled, subject, state)
            direct, state = self._direct(signal.float(), pooled, state)
        embedded = self.embed(self._by_channel(tokens))
        if self.embed_waves is not None:
            embedded = embedded + self.embed_waves(tokens[..., self.n_powers :])
        if token_mask is not None:
            embedded = torch.where(token_mask[..., None], self.mask_token.to(embedded.dtype), embedded)
        names = [n for n in state if n.startswith("attention_")]
        hidden, memories = self.backbone(self.dropout(embedded), [state[n] for n in names])
        hidden = self.token_norm(hidden)
        state = {**state, **dict(zip(names, memories, strict=True))}
        features, state = self._pool(hidden, pooled, state)
        return self._output(features, direct, hidden, tokens), state

    def _check_whole(self, signal: Tensor) -> None:
        if signal.ndim != 3 or signal.shape[1] != self.n_chans or signal.shape[2] % self.hop or not signal.shape[2]:
            raise SignalMismatchError(
                f"A step was given a signal of shape {tuple(signal.shape)}",
                allowed=f"(batch, {self.n_chans}, m * {self.hop}), whole tokens of {self.hop} samples, one or more",
            )

    def _front(self, signal: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Return log powers and waves (B, M, F), pooled log powers (B, M, K R) and the state after."""
        count = signal.shape[2] // self.hop
        virtual = self.spatial(signal * self.input_gain)
        power, waves, resonators = self.resonators(virtual, state["resonators"])  # (B, M, K, R)
        share = self.resonators.share(state["age"], count)
        powers, power_sum = running_sum(power.flatten(2), state["power"].flatten(1), self.log_gamma)
        shares, share_sum = running_sum(share, state["share"], self.log_gamma)
        mean = powers.reshape(*powers.shape[:2], self.filters, -1) / shares[:, :, None]
        tokens = relative(torch.log(power / share[:, :, None] + NULL * mean + FLOOR), self.resonators.counts).flatten(2)
        tokens = torch.cat([tokens, waves.flatten(2)], 2)
        after = {
            "resonators": resonators,
            "power": power_sum.view_as(state["power"]),
            "share": share_sum,
            "age": state["age"] + count,
        }
        return tokens, relative(torch.log(mean + FLOOR), self.resonators.counts).flatten(2), {**state, **after}

    def _by_channel(self, features: Tensor) -> Tensor:
        """Return the log powers of (B, M, F) as (B, M, K, R)."""
        return features[..., : self.n_powers].reshape(*features.shape[:2], self.filters, -1)

    def _standardise(
        self, tokens: Tensor, pooled: Tensor, subject: Tensor | None, state: State
    ) -> tuple[Tensor, Tensor]:
        shift = self.adapter(subject, tokens.shape[0])[:, None]
        if self.aligned:
            shift = shift - self._person(state, subject)[:, None]
        tokens = (tokens - self.feature_mean) / self.feature_std
        powers = (tokens[..., : self.n_powers] + shift).clamp(-LIMIT, LIMIT)
        waves = tokens[..., self.n_powers :].clamp(-LIMIT, LIMIT)
        pooled = (self._pooled_units(pooled) + shift).clamp(-LIMIT, LIMIT)
        return torch.cat([powers, waves], 2), pooled

    def _pooled_units(self, pooled: Tensor) -> Tensor:
        return (pooled - self.pooled_mean) / self.pooled_std

    # ---- people ------------------------------------------------------------------------------------------------

    @property
    def aligned(self) -> bool:
        """Whether a person's mean features are taken out."""
        return self.spec.align_s is not None

    @property
    def align_tokens(self) -> int:
        """Tokens of a trial that a person's mean is made of."""
        return max(1, round((self.spec.align_s or 0.0) * self.signal.sfreq) // self.hop)

    def _hear(self, pooled: Tensor, age: Tensor, state: State) -> State:
        """Note the pooled powers of a trial when `align_s` of it have passed, and that they were heard."""
        if not self.aligned:
            return state
        ages = age[:, None] + 1 + torch.arange(pooled.shape[1], dtype=torch.float64, device=pooled.device)
        now = ((ages == self.align_tokens) * state["trial"][:, None])[..., None]  # at one token, or at none
        bounded = self._pooled_units(pooled).clamp(-LIMIT, LIMIT)  # no single trial can pull the mean away
        heard = torch.cat([bounded, torch.ones_like(pooled[..., :1])], 2).double()
        return {**state, "heard": state["heard"] + (now * heard).sum(1)}

    def _person(self, state: State, subject: Tensor | None) -> Tensor:
        """Return the mean (B, K R) of a new person's trials before this one; 0 for a person of the training set."""
        mean = (state["person"][:, :-1] / (state["person"][:, -1:] + PRIOR)).float()
        return mean if subject is None else torch.where((subject == 0)[:, None], mean, 0.0)

    @torch.no_grad()
    def heard(self, signal: Tensor) -> Tensor:
        """Return what each trial (B, C, T) adds to its person's running mean, (B, K R + 1) float64."""
        if signal.shape[2] // self.hop < self.align_tokens:
            raise SpecError(
                f"Windows of {signal.shape[2] / self.signal.sfreq:g} s are shorter than align_s {self.spec.align_s:g}",
                remedy="Set align_s to the windows' length, or less",
            )
        state = self.start(signal.shape[0])
        state["trial"] = torch.ones_like(state["trial"])
        with self.fixed():
            for piece in self._pieces(signal):
                age = state["age"]
                _, pooled, state = self._front(piece, state)
                state = self._hear(pooled, age, state)
        return state["heard"]

    @torch.no_grad()
    def calibrate_people(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the mean that is taken out for each training subject, from signals (B, C, T) and subjects (B,)."""
        total = torch.zeros(self.subjects + 1, self.n_powers + 1, dtype=torch.float64, device=self.mask_token.device)
        for signal, subject in batches:
            total.index_add_(0, subject.to(total.device), self.heard(signal))
        mean = total[:, :-1] / total[:, -1:].clamp(min=1)
        mean[0] = 0  # the population is its own mean
        self.adapter.offset.copy_(-mean)

    def _pool(self, hidden: Tensor, pooled: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the features (B, M, D): mean of tokens so far, beside the pooled log power."""
        sums, evidence = running_sum(hidden, state["evidence"], self.log_gamma)
        ones = torch.ones_like(hidden[..., :1])
        counts, count = running_sum(ones, state["count"][:, None], self.log_gamma)
        features = self.pooled(self._by_channel(self.dropout(pooled))) + self.token_gain * (sums / counts).to(
            hidden.dtype
        )
        return features, {**state, "evidence": evidence, "count": count[:, 0]}

    def _direct(self, signal: Tensor, pooled: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what the direct path reads: pooled powers (B, M, K R), then relations where there are any."""
        if self.relations is None:
            return pooled, state
        with torch.no_grad():  # set in closed form, not trained
            related, after = self.relations(signal * self.input_gain, state, self.log_gamma)
        return torch.cat([pooled, related], 2), {**state, **after}

    def _output(self, features: Tensor, direct: Tensor, hidden: Tensor, tokens: Tensor) -> NetworkOutput:
        logits = None
        if self.target is not None:
            logits = self.readout(features) + nn.functional.linear(direct, self.direct_weight, self.direct_bias)
        reconstruction = self.reconstruct(hidden) if self.target is None else None
        subject_logits = None
        if self.subjects and self.training:
            subject_logits = self.adversary(reverse_gradient(features[:, -1], self.spec.adversary))
        return NetworkOutput(logits, features, tokens.detach(), subject_logits, reconstruction)

    # ---- before training ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set input gain (first batch), mean and spread of all features from signals (B, C, T) in the model's units."""
        sums: list[Tensor] = []
        n_tokens = n_windows = 0
        for signal in batches:
            self._check(signal)
            if not sums:
                self._set_gain(signal)
            tokens, last = self._front_of(signal)
            parts = [tokens.sum((0, 1)), tokens.square().sum((0, 1)), last.sum(0), last.square().sum(0)]
            sums = parts if not sums else [a + b for a, b in zip(sums, parts, strict=True)]
            n_tokens, n_windows = n_tokens + tokens.shape[0] * tokens.shape[1], n_windows + len(last)
        if n_windows < 2:
            raise DataError(f"{n_windows} window(s) are too few to calibrate on", allowed="two or more")
        for mean, std, first, second, n, least in (
            (self.feature_mean, self.feature_std, sums[0], sums[1], n_tokens, 1e-3),
            (self.pooled_mean, self.pooled_std, sums[2], sums[3], n_windows, 0.1),
        ):
            mean.copy_(first / n)
            std.copy_((second / n - (first / n).square()).clamp(min=0).sqrt().clamp(min=least))

    @torch.no_grad()
    def calibrate_direct(self, batches: Iterable[Tensor]) -> None:
        """Set what the direct path must know of the data, beyond `calibrate`, from signals (B, C, T)."""
        if self.relations is None:
            return
        sums = []
        for signal in batches:
            state, last = self.start(signal.shape[0]), torch.zeros(0)
            for piece in self._pieces(signal):
                last, after = self.relations.covariances(piece * self.input_gain, state, self.log_gamma)
                state = {**state, **after}
            sums.append(last[:, -1])
        self.relations.calibrate(sums)

    @torch.no_grad()
    def probe_features(self, signal: Tensor, subject: Tensor | None = None) -> list[Tensor]:
        """Return what the direct path reads at the end of signals (B, C, T), by subject (B,), in blocks (B, F_b)."""
        state, direct = self.start(signal.shape[0]), torch.zeros(0)
        with self.fixed():
            for piece in self._pieces(signal):
                tokens, pooled, state = self._front(piece, state)
                _, pooled = self._standardise(tokens, pooled, subject, state)
                direct, state = self._direct(piece, pooled, state)
        return list(torch.split(direct[:, -1], self.direct_blocks, 1))

    @property
    def direct_blocks(self) -> list[int]:
        """Features of each kind that the direct path reads, in order: powers, bands, tags; those there are."""
        related = self.relations.blocks if self.relations is not None else []
        return [self.n_powers, *related]

    @torch.no_grad()
    def set_direct(self, weight: Tensor, bias: Tensor) -> None:
        """Let the direct path alone decide: weight (outputs, sum of `direct_blocks`), bias (outputs,)."""
        self.direct_weight.copy_(weight)
        self.direct_bias.copy_(bias)
        self.readout.weight.zero_()
        self.readout.bias.zero_()

    def _pieces(self, signal: Tensor) -> Iterator[Tensor]:
        """Yield the whole tokens of a signal (B, C, T), a chunk at a time."""
        last = signal.shape[2] // self.hop * self.hop
        for first in range(0, last, self.chunk * self.hop):
            yield signal[:, :, first : min(first + self.chunk * self.hop, last)].float()

    def _set_gain(self, signal: Tensor) -> None:
        rms = self.spatial(signal.float()).double().square().mean().sqrt()
        self.input_gain.copy_(1.0 / rms.clamp(min=1e-12))

    def _front_of(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of all tokens (B, M, F) and pooled ones of the last (B, K R), float64, before scaling."""
        state, tokens = self.start(signal.shape[0]), []
        pooled = torch.zeros(0)
        for piece in self._pieces(signal):
            part, pooled, state = self._front(piece, state)
            tokens.append(part.double())
        return torch.cat(tokens, 1), pooled[:, -1].double()

    # ---- for people --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def describe(self) -> dict[str, object]:
        """Return what a card says of the network: size, scales, frequencies and time constants as learned."""
        return {
            "parameters": self.n_parameters(),
            "hop_s": self.hop / self.signal.sfreq,
            "scales": list(self.scales),
            "scales_left_out": list(self.scales_left_out),
            "frequencies_hz": [round(f, 3) for f in self.resonators.frequencies().tolist()],
            "time_constants_s": [round(t, 5) for t in self.resonators.time_constants().tolist()],
        }

    @torch.no_grad()
    def spatial_filters(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return the filters (K, C) on the channels of the bound montage."""
        return self.spatial.weight().cpu().numpy()

    @property
    def token_rate(self) -> float:
        """Tokens per second."""
        return self.signal.sfreq / self.hop

    @property
    def settling_s(self) -> float:
        """Seconds after which the start is forgotten by the slowest resonator to one part in a hundred."""
        return math.log(100.0) * max(s.length_s for s in self.resonators.scales)
