"""One token of `multiscale` in few, large operations: `stream` for a batch of one, as a GPU likes it.

Shapes: C channels, P samples a hop, K virtual channels, R resonators, N responses of all resonators at all sub-steps
(real and imaginary), D width, L layers, H heads, V head width.

A step of one token reads every weight once and does almost nothing with it. What it takes on a GPU is the time to
read the weights and the number of operations one after another. So here the banks of all scales are one product,
tokens and pooled powers go through logarithm, scaling and clipping side by side, the memories of all layers fade at
once, and everything linear behind the pooled powers (templates, readout, direct path) is one small matrix.
Differences to `stream` are of rounding alone. What depends on weights only is written down plainly and folded away by
whoever records the step (`realtime.graph_engine`); as it stands it is slow.

`dtype` is that of the embedding and the backbone, where nearly all weights are. The front end, the pooled powers and
the readout are float32, and what is carried from token to token is float64 as ever.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .layers.linear_attention import Block, RMSNorm
from .layers.templates import PACE, Templates, relative
from .multiscale_network import FLOOR, LIMIT, NULL, MultiscaleNetwork
from .network import State

MEMORY = "attention"  # the memories of all layers as one tensor (L, H, V, V)
LEAST = 1e-24  # added to a mean square; a query of zeros stays one


class TokenStep:
    """`token(signal (C, P), state) -> (logits (n_outputs,), state after)`, for the population (subject 0).

    state : as `network.start(1)` gives it, but for the memories of the layers, which are one tensor `attention`
    (L, H, V, V) in the order of `joined`; it is changed in place, nothing else is.
    """

    def __init__(self, network: MultiscaleNetwork, dtype: torch.dtype = torch.float32) -> None:
        self.network, self.dtype = network, dtype
        self.joined = tuple(n for n in network.start(1) if n.startswith(f"{MEMORY}_"))

    def __call__(self, signal: Tensor, state: State) -> tuple[Tensor, State]:
        net = self.network
        logs, waves, after = self._front(signal, state)
        after |= net._hear(logs[1].reshape(1, 1, -1), state["age"], {**state, **after}) if net.aligned else {}
        tokens, pooled = self._standardised(logs, waves, state)
        direct, related = net._direct(signal[None], pooled, state)
        after |= {n: related[n] for n in related if related[n] is not state.get(n)}
        hidden = self._backbone(self._embed(tokens), state.get(MEMORY))
        evidence = torch.addcmul(hidden, torch.exp(net.log_gamma), state["evidence"])
        count = torch.exp(net.log_gamma) * state["count"] + 1.0
        mean = _into(torch.div, evidence, count, torch.float32)
        return self._logits(direct, mean), {**after, "evidence": evidence, "count": count}

    # ---- front end ---------------------------------------------------------------------------------------------

    def _front(self, signal: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        """Return relative log powers (2, K, R) of the token and pooled, slow waves (W, K), and the state after."""
        net, fade = self.network, torch.exp(self.network.log_gamma)
        made, resonators = self._responses((net.spatial.weight() * net.input_gain) @ signal, state["resonators"])
        power = made.square().mT @ self._average().mT  # (K, R)
        share = net.resonators.share(state["age"], 1)[:, 0]  # (1, R)
        powers = torch.addcmul(power, fade, state["power"])  # (1, K, R), float64 like the carried sum
        shares = torch.addcmul(share, fade, state["share"])
        mean = _into(torch.div, powers, shares[:, None], torch.float32)[0]
        both = torch.empty(2, *mean.shape, device=mean.device)
        torch.addcdiv(torch.add(torch.tensor(FLOOR, device=mean.device), mean, alpha=NULL), power, share, out=both[0])
        torch.add(mean, FLOOR, out=both[1])
        logs = (both.log().flatten(0, 1) @ self._relative()).view_as(both)
        after = {"resonators": resonators, "power": powers, "share": shares, "age": state["age"] + 1}
        rows = self._wave_rows()
        return logs, made.index_select(0, rows) if len(rows) else None, after

    def _responses(self, virtual: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the responses (N, K) of all scales and the state after, from virtual channels (K, P)."""
        bank = self.network.resonators
        coefficients, (within, ends, passed) = bank.constants()
        carried = state[0].flatten(0, 1)  # (4 R, K)
        made = torch.cat([*within, ends]) @ virtual.mT
        responses = made[: -len(ends)].addmm_(_block_diagonal(passed), carried.float())
        after = torch.baddbmm(made[-len(ends) :].double().view_as(state[0]), self._ahead(coefficients), state[0])
        return responses, after[None]

    def _ahead(self, coefficients: Any) -> Tensor:
        from .layers.resonators import free_response

        hop = torch.tensor([float(self.network.hop)], dtype=torch.float64, device=coefficients[0].device)
        return free_response(hop, coefficients)[:, :, 0].permute(2, 0, 1)  # (R, 4, 4)

    def _average(self) -> Tensor:
        """Return (R, N): the power of a resonator from the squares of its responses, sub-steps averaged."""
        bank, device = self.network.resonators, self.network.mask_token.device
        parts = [
            torch.eye(n, device=device).repeat(1, 2 * s.sub_steps) / s.sub_steps
            for s, n in zip(bank.scales, bank.counts, strict=True)
        ]
        return _block_diagonal(parts)

    def _relative(self) -> Tensor:
        """Return `templates.relative` as a matrix (R, R) from the right."""
        bank = self.network.resonators
        return relative(torch.eye(bank.n_resonators, device=self.network.mask_token.device), bank.counts)

    def _wave_rows(self) -> Tensor:
        """Return which responses are the slow waves at the hop's end, in the order of `stream`."""
        bank, rows, first = self.network.resonators, list[int](), 0
        for scale, n, slow in zip(bank.scales, bank.counts, bank.slow, strict=True):
            last = first + (scale.sub_steps - 1) * 2 * n
            rows += [last + part * n + i for part in range(2) for i in range(slow)]
            first += scale.sub_steps * 2 * n
        return torch.tensor(rows, dtype=torch.long, device=self.network.mask_token.device)

    # ---- features ----------------------------------------------------------------------------------------------

    def _standardised(self, logs: Tensor, waves: Tensor | None, state: State) -> tuple[Tensor, Tensor]:
        """Return the token's features (1, F) in `dtype`, waves last and by resonator, and pooled ones (1, 1, K R)."""
        net, shape = self.network, logs.shape[1:]
        n = net.n_powers
        shift = net.adapter(None, 1).view(shape)
        std = torch.stack([net.feature_std[:n], net.pooled_std]).view_as(logs)
        mean = torch.stack([net.feature_mean[:n], net.pooled_mean]).view_as(logs)
        scaled = torch.addcmul(shift - mean / std, logs, 1 / std)
        if net.aligned:
            scaled = scaled - net._person(state, None).view(shape)
        scaled = scaled.clamp_(-LIMIT, LIMIT)
        tokens = [scaled[0].flatten()]
        if waves is not None:
            std, mean = (_by_resonator(v[n:], len(waves)) for v in (net.feature_std, net.feature_mean))
            tokens.append(torch.addcmul(-mean / std, waves, 1 / std).clamp_(-LIMIT, LIMIT).flatten())
        return torch.cat(tokens)[None].to(self.dtype), scaled[1].reshape(1, 1, -1)

    def _embed(self, tokens: Tensor) -> Tensor:
        """Return the embedded token (1, D)."""
        net = self.network
        parts = [_template_weight(net.embed)]
        if net.embed_waves is not None:
            width, count = net.width, net.n_waves // net.filters
            parts.append(net.embed_waves.weight.view(width, net.filters, count).mT.reshape(width, -1))
        return functional.linear(tokens, torch.cat(parts, 1).to(self.dtype)).add_(net.embed.bias.to(self.dtype))

    # ---- backbone ----------------------------------------------------------------------------------------------

    def _backbone(self, x: Tensor, memory: Tensor | None) -> Tensor:
        """Return the hidden token (1, D) float32; the memory (L, H, V, V) is changed in place."""
        blocks: Any = self.network.backbone.blocks
        if memory is not None:
            fades = torch.stack([torch.exp(b.attention.log_gamma) for b in blocks])
            memory.mul_(fades[..., None, None])
            for block, own in zip(blocks, memory.unbind(), strict=True):
                self._block(block, x, own)
        return self._norm(self.network.token_norm, x).float()

    def _block(self, block: Block, x: Tensor, memory: Tensor) -> None:
        """Add what a block adds to x (1, D), in place."""
        attention = block.attention
        heads, width = attention.n_heads, attention.head_width
        projected = self._linear(attention.project, self._norm(block.attention_norm, x))
        parts = projected.view(4, heads, width)
        even = torch.full((width,), width**-0.5, dtype=self.dtype, device=x.device)
        query, key = functional.rms_norm(parts[:2], (width,), even, LEAST).unbind()
        memory.addcmul_(key[:, :, None], parts[2][:, None])
        mixed = torch.bmm(query[:, None], memory.to(self.dtype))[:, 0]
        gated = self._norm(attention.norm, mixed).mul_(functional.silu(parts[3]))
        x.addmm_(gated.view(1, -1), attention.out.weight.to(self.dtype).mT)
        gate, value = self._linear(block.mlp.up, self._norm(block.mlp_norm, x)).chunk(2, -1)
        x.addmm_(functional.silu(gate).mul_(value), block.mlp.down.weight.to(self.dtype).mT)

    def _norm(self, norm: RMSNorm, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), norm.gain.to(self.dtype), norm.eps)

    def _linear(self, layer: Any, x: Tensor) -> Tensor:
        return functional.linear(x, layer.weight.to(self.dtype))

    # ---- decision ----------------------------------------------------------------------------------------------

    def _logits(self, direct: Tensor, mean: Tensor) -> Tensor:
        """Return the logits (n_outputs,): all behind pooled powers and evidence is linear, and one matrix."""
        net = self.network
        read, bias = net.readout.weight.double(), net.readout.bias.double() + net.direct_bias.double()
        powers = read @ _template_weight(net.pooled).double()
        powers = functional.pad(powers, (0, direct.shape[-1] - net.n_powers)) + net.direct_weight.double()
        matrix = torch.cat([powers, read * net.token_gain.double()], 1).float()
        bias = (bias + read @ net.pooled.bias.double()).float()
        given = torch.cat([direct[0], mean], 1)
        return functional.linear(given, matrix)[0].add_(bias)


def _template_weight(templates: Templates) -> Tensor:
    """Return the templates as one matrix (D, K R)."""
    return (PACE * templates.maps[:, None] * templates.spectra).flatten(0, 1).mT.contiguous()


def _by_resonator(values: Tensor, count: int) -> Tensor:
    """Return values of the waves (K W,) as (W, K)."""
    return values.view(-1, count).mT


def _into(operation: Any, a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return operation(a, b) in another type, rounded as it is written: no second pass over memory."""
    made: Tensor = operation(a, b, out=torch.empty(a.shape, dtype=dtype, device=a.device))  # b no larger than a
    return made


def _block_diagonal(parts: list[Tensor]) -> Tensor:
    made: Tensor = torch.block_diag(*parts)  # type: ignore[no-untyped-call]
    return made


def supports(network: object) -> bool:
    """Return whether a network has a token step: `multiscale` with a target."""
    return isinstance(network, MultiscaleNetwork) and network.target is not None
