"""A training run on disk: one safetensors file with all tensors, and all numbers as JSON in its header.

One file, written atomically: it is whole or absent. No pickle. What it holds is a function of the step alone, not of
when or how often it was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import StoreError
from ..core.store import write_bytes

FORMAT_VERSION = 1
FOLDER, NAME = "checkpoints", "checkpoint.safetensors"


@dataclass
class Ledger:
    """The numbers of a run.

    step : optimiser steps done. history : one row an epoch. best : the best validation score, lower is better.
    waited : epochs since then. loss_sum, loss_count : of the epoch under way. finished : nothing is left to do.
    """

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    waited: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    finished: bool = False


def write(folder: Path, run: str, ledger: Ledger, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a checkpoint of the run with key `run`; `tensors` by part (network, loss, optimiser, ...) and name."""
    from safetensors.torch import save

    flat = {f"{part}/{name}": _copied(t) for part, named in tensors.items() for name, t in named.items()}
    header = {"format_version": FORMAT_VERSION, "run": run, "parts": sorted(tensors), "ledger": asdict(ledger)}
    # one metadata entry only: the order of several in the file is not fixed. Keys are not sorted, so that a history
    # that was read back is written elsewhere in the same order as one that was not
    write_bytes(folder / NAME, save(flat, {"checkpoint": json.dumps(header)}))


def read(folder: Path, run: str) -> tuple[Ledger, dict[str, dict[str, Tensor]]] | None:
    """Return the checkpoint in a folder, or None where there is none.

    Raises
    ------
    StoreError : it is damaged, of a newer version, or of another run.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    for litter in folder.glob(f".{NAME}.*.tmp"):  # of a process that was killed while it wrote
        litter.unlink(missing_ok=True)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["checkpoint"])
            flat = {name: _copied(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - not a dict
        _check(path, header, run)
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in header["parts"]}
        for name, tensor in flat.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        return Ledger(**header["ledger"]), parts
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error})", remedy="Remove its folder and run again") from None


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's memory by parameter number and name."""
    state = optimiser.state_dict()["state"]
    return {f"{number}/{name}": value for number, named in state.items() for name, value in named.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser over the same parameters its memory back."""
    whole = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def _check(path: Path, header: Mapping[str, Any], run: str) -> None:
    if header["format_version"] > FORMAT_VERSION:
        given = f"{path} has format_version {header['format_version']}"
        raise StoreError(given, allowed=f"up to {FORMAT_VERSION}", remedy="Use a newer neural-foundation")
    if header["run"] != run:
        given = f"{path} is of another run: model, learner, seed or data differ"
        raise StoreError(given, remedy="Remove its folder, or choose another")


def _copied(tensor: Tensor) -> Tensor:
    # torch's own allocation: what lies in a mapped file has another alignment
    return torch.empty_like(tensor, device="cpu", memory_format=torch.contiguous_format).copy_(tensor.detach())
