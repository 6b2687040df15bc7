"""The steps of `Rows` in torch, for a GPU: recursions as products of matrices over blocks of time.

Legend: x (n_chans, n_times) float64 on the device; valid (n_times,) bool; own: a step's memory, float64, laid out as
`row_kernels` lays it out, so a stream may move between the two. A linear recursion over a block of L samples is
y = H x + O z, z' = A z + K x (H the Toeplitz matrix of the impulse response); from block to block z is a prefix sum
over powers of A, done in log2(n_blocks) products (Blelloch 1990). Equal to the compiled pass up to rounding in
float64, not to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..core.errors import StreamError
from . import row_kernels
from .rows import Step

LENGTH = 64


class BlockFilter:
    """Second-order sections (n_sections, 6) as products of matrices; state (n_chans, 2 n_sections)."""

    def __init__(self, sos: np.ndarray, device: str) -> None:
        from scipy.signal import sosfilt

        n_state = 2 * len(sos)
        state = np.zeros((len(sos), n_state + 1, 2))  # channel j starts in unit state j; the last hears an impulse
        for j in range(n_state):
            state[j // 2, j, j % 2] = 1
        heard, steps, outputs = np.eye(n_state + 1)[-1], [_flat(state)], []
        for _ in range(LENGTH):
            out, state = sosfilt(sos, heard[:, None], zi=state)
            outputs.append(out[:, 0])
            steps.append(_flat(state))
            heard = np.zeros(n_state + 1)
        response, moves = np.array(outputs), np.array(steps)  # (L, n_state + 1), (L + 1, n_state + 1, n_state)
        lags = np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH))
        self.toeplitz = _on(np.where(lags >= 0, response[lags, -1], 0).T, device)  # x @ it
        self.from_state = _on(response[:, :-1].T, device)  # z @ it
        self.to_state = _on(moves[:0:-1, -1], device)  # x @ it
        self.moves = _on(moves[:, :-1], device)  # z @ moves[m]: the state m samples on

    def __call__(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the filtered signal and the state after it."""
        n_chans, n_times = x.shape
        n = n_times // LENGTH
        blocks = x[:, : n * LENGTH].reshape(n_chans, n, LENGTH)
        states = self._prefix(torch.cat([z[:, None], blocks @ self.to_state], 1))
        y = (blocks @ self.toeplitz + states[:, :n] @ self.from_state).reshape(n_chans, -1)
        rest, z = x[:, n * LENGTH :], states[:, n]
        m = rest.shape[1]
        tail = rest @ self.toeplitz[:m, :m] + z @ self.from_state[:, :m]
        return torch.cat([y, tail], 1), z @ self.moves[m] + rest @ self.to_state[LENGTH - m :]

    def _prefix(self, states: Tensor) -> Tensor:
        """Return states[:, b] + states[:, b - 1] A + states[:, b - 2] A^2 + ..."""
        apart, power = 1, self.moves[LENGTH]
        while apart < states.shape[1]:
            states = torch.cat([states[:, :apart], states[:, apart:] + states[:, :-apart] @ power], 1)
            apart, power = 2 * apart, power @ power
        return states


def _flat(state: np.ndarray) -> np.ndarray:
    """Return scipy's states (n_sections, n_chans, 2) as (n_chans, 2 n_sections)."""
    return state.transpose(1, 0, 2).reshape(state.shape[1], -1)


def _on(array: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float64)).to(device)


@lru_cache(maxsize=64)
def _leaky(alpha: float, device: str) -> BlockFilter:
    """s[t] = (1 - alpha) s[t - 1] + alpha x[t]."""
    return BlockFilter(np.array([[alpha, 0, 0, 1, alpha - 1, 0]]), device)


def leaky_sum(x: Tensor, before: Tensor, alpha: float) -> Tensor:
    """Return s (n_chans, n_times) of s[t] = (1 - alpha) s[t - 1] + alpha x[t], s[-1] = before (n_chans,)."""
    state = torch.stack([(1 - alpha) * before, torch.zeros_like(before)], 1)
    return _leaky(alpha, str(x.device))(x, state)[0]


Run = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def bound(step: Step, n_chans: int, device: str) -> Run:
    """Return the step as a function (x, valid, own, count) -> x; `valid` and `own` are updated in place."""
    p = step.params
    if step.code == row_kernels.SECTIONS:
        return _sections(p, n_chans, device)
    if step.code == row_kernels.SUBTRACT:
        source, target = _on(p[1 : 1 + n_chans] * p[0], device), _on(p[1 + n_chans :], device)
        return lambda x, valid, own, count: x - target[:, None] * (source @ x)
    if step.code == row_kernels.CLIP:
        return lambda x, valid, own, count: _clip(x, valid, own, count, *p.tolist())
    if step.code == row_kernels.MOMENTS:
        return lambda x, valid, own, count: _moments(x, valid, own, p[0], p[1], one=bool(p[2]))
    if step.code == row_kernels.GAIN:
        return lambda x, valid, own, count: x * p[0]
    raise StreamError(f"A step of code {step.code} has no form for a device", remedy="Run the chain on the CPU")


def _sections(p: np.ndarray, n_chans: int, device: str) -> Run:
    table = p[2:].reshape(int(p[0]), 7)
    sos = np.hstack([table[:, :3], np.ones((len(table), 1)), table[:, 3:5]])
    block, steady = BlockFilter(sos, device), _on(table[:, 5:], device)

    def run(x: Tensor, valid: Tensor, own: Tensor, count: int) -> Tensor:
        z, first = own[:-1].reshape(len(table), 2, n_chans), 0
        if p[1] and not own[-1]:
            first = int(valid.long().argmax()) if bool(valid.any()) else len(valid)
            if first == len(valid):
                return torch.zeros_like(x)
            z = steady[:, :, None] * x[:, first]
        y, after = block(x[:, first:], z.permute(2, 0, 1).reshape(n_chans, -1))
        own[:-1], own[-1] = after.reshape(n_chans, len(table), 2).permute(1, 2, 0).reshape(-1), 1
        return torch.cat([torch.zeros_like(x[:, :first]), y], 1)

    return run


def _weights(n: int, before: Tensor, alpha: float) -> Tensor:
    """Return the sums of weights (n + 1,) before and after each of n samples."""
    steps = torch.arange(n + 1, dtype=torch.float64, device=before.device)
    return 1 - (1 - before) * (1 - alpha) ** steps


def _clip(
    x: Tensor,
    valid: Tensor,
    own: Tensor,
    count: int,
    alpha: float,
    limit: float,
    reject: float,
    floor: float,
    warm: float,
) -> Tensor:
    """As `row_kernels._clip`. What a sample teaches depends on the scale before it: iterated until nothing changes.

    Each round makes at least one more time final, since a scale depends on what came before alone.
    """
    size, scale = x.abs(), own[:-1]
    open_ = torch.arange(len(valid), device=x.device) + count < warm
    weights, seen = _weights(int(valid.sum()), own[-1], alpha), valid.long().cumsum(0)
    before = seen - valid.long()
    open_ |= (before == 0) & (own[-1] == 0)
    learned = size[:, valid]
    while True:
        sums = leaky_sum(learned, scale * own[-1], alpha)
        scales = torch.cat([scale[:, None], sums / weights[1:]], 1)
        unit = scales[:, before].clamp(min=floor)
        clipped = torch.where(open_, size, torch.minimum(size, limit * unit))
        if torch.equal(clipped[:, valid], learned):
            break
        learned = clipped[:, valid]
    valid &= ~((size > reject * unit) & ~open_).any(0)
    own[:-1], own[-1] = scales[:, -1].clone(), weights[-1].clone()
    return torch.copysign(clipped, x)


def _moments(x: Tensor, valid: Tensor, own: Tensor, alpha: float, floor: float, *, one: bool) -> Tensor:
    """As `row_kernels._moments`: mean and variance times the sum of weights are leaky sums."""
    n_chans = len(x)
    mean, var, first = own[:n_chans], own[n_chans : 2 * n_chans], own[-1].clone()
    heard, seen = x[:, valid], valid.long().cumsum(0)
    weights = _weights(heard.shape[1], first, alpha)
    means = torch.cat([mean[:, None], leaky_sum(heard, mean * first, alpha) / weights[1:]], 1)
    spread = (1 - alpha) * weights[:-1] / weights[1:] * (heard - means[:, :-1]) ** 2
    variances = torch.cat([var[:, None], leaky_sum(spread, var * first, alpha) / weights[1:]], 1)
    pooled = variances.mean(0, keepdim=True) if one else variances
    y = (x - means[:, seen]) / pooled[:, seen].clamp(min=floor * floor).sqrt()
    own[:n_chans], own[n_chans : 2 * n_chans], own[-1] = means[:, -1].clone(), variances[:, -1].clone(), weights[-1]
    return torch.where(weights[seen] > 0, y, 0.0)
