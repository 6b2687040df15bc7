"""A chain on a GPU: the same operations, in torch, on long chunks.

For recordings by the hour, not for live steps: a GPU pays where a chunk holds thousands of samples. Decisions made
live, and everything whose bytes have a checksum, stay on the CPU's compiled pass, which this one equals up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..core.device import resolve
from ..core.errors import StreamError
from ..core.stream import Chunk, State, Transducer
from .base import plain, readable
from .chain import Chain
from .pick import Select
from .reference import Bipolar
from .rows import Rows

if TYPE_CHECKING:
    from torch import Tensor

    Form = Callable[[Tensor, Tensor, State], Tensor]


class DeviceChain(Chain):
    """A chain whose parts run on `device`; it steps as a Chain does, also over gaps.

    Its state is that of the chain it was made from: a stream may move from one to the other. `process_tensor` leaves
    what comes out on the device. StreamError names a part that has no torch form.
    """

    def __init__(self, chain: Chain, device: str = "auto") -> None:
        super().__init__(chain.input, chain.parts, on_gap=chain.on_gap, max_gap_s=chain.max_gap_s)
        self.device = resolve(device)
        self._forms = [_form(part, self.device) for part in self.parts]

    def process_tensor(self, chunk: Chunk, state: State) -> tuple[Tensor, Tensor, State]:
        """Return (n_chans, n_times) float32 and validity (n_times,) on the device, and the state; no gaps here."""
        if chunk.start != state["expected"] and state["expected"] >= 0:
            raise StreamError(f"A chunk starts at sample {chunk.start}", allowed=f"{state['expected']}: no gap")
        state["expected"] = chunk.start + chunk.n_times
        values, valid = self._tensors(chunk, state)
        return values.float(), valid, state

    def _run(self, chunk: Chunk, state: State) -> Chunk:
        values, valid = self._tensors(chunk, state)
        return Chunk(values.float().cpu().numpy(), valid.cpu().numpy(), chunk.start)

    def _tensors(self, chunk: Chunk, state: State) -> tuple[Tensor, Tensor]:
        import torch

        values, valid = torch.from_numpy(readable(chunk, self.input.n_chans)), plain(chunk.valid, np.bool_).copy()
        x, ok = values.to(self.device), torch.from_numpy(valid).to(self.device)
        for i, form in enumerate(self._forms):
            if i == self._picks:
                x, ok = _finite(x, ok, state["held"])
            x = form(x, ok, state[self._keys[i]])
        return (x, ok) if self._picks < len(self._forms) else _finite(x, ok, state["held"])


def _finite(x: Tensor, valid: Tensor, held: np.ndarray) -> tuple[Tensor, Tensor]:
    """As `kernels.hold_finite`: hold the last finite value of a channel, its time invalid."""
    import torch

    finite = torch.isfinite(x)
    if not bool(finite.all()):
        at = torch.where(finite, torch.arange(1, x.shape[1] + 1, device=x.device), 0).cummax(1).values
        x = torch.cat([torch.from_numpy(held).to(x)[:, None], x], 1).gather(1, at)
        valid = valid & finite.all(0)
    if x.shape[1]:
        held[:] = x[:, -1].cpu().numpy()
    return x, valid


def _form(part: Transducer, device: str) -> Form:
    """Return a part as a function (x, valid, state) -> x; `valid` and `state` are updated in place."""
    if isinstance(part, Rows):
        return _rows(part, device)
    if isinstance(part, Select):
        chosen = part.chosen
        return lambda x, valid, state: x[chosen]
    if isinstance(part, Bipolar):
        anodes, cathodes = part.anodes, part.cathodes
        return lambda x, valid, state: x[anodes] - x[cathodes]
    raise StreamError(
        f"'{type(part).__name__}' has no form for a device",
        allowed="filters of method 'iir', reference, clip, normalise, scale, pick",
        remedy="Leave it out, or run the chain on the CPU",
    )


def _rows(part: Rows, device: str) -> Form:
    import torch

    from . import torch_rows

    runs = [torch_rows.bound(s, part.input.n_chans, device) for s in part.steps]

    def form(x: Tensor, valid: Tensor, state: State) -> Tensor:
        memory = torch.from_numpy(state["memory"]).to(device)
        for run, (a, b) in zip(runs, part.places, strict=True):
            x = run(x.float().double(), valid, memory[a:b], state["n"])
        state["memory"] = memory.cpu().numpy()
        state["n"] += x.shape[1]
        return x

    return form
