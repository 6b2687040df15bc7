"""Weights of a pre-trained network into a new one: what fits is taken, heads and subject tables are new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ..core.errors import PackageError, one_of

# by role, where a network does not say itself (`head_names`, `subject_names`, `front_end_names`)
ROLES = {
    "head_names": ("readout", "reconstruct"),
    "subject_names": ("adapter.gain", "adapter.code", "adversary"),
    "front_end_names": ("spatial", "resonators"),
}


def names_of(network: nn.Module, role: str) -> tuple[str, ...]:
    """Return the name prefixes of a role: head_names, subject_names or front_end_names."""
    return tuple(getattr(network, role, ROLES[role]))


def take(network: nn.Module, start: Mapping[str, Tensor], *, new: Iterable[str] = ()) -> list[str]:
    """Copy `start` into the network, except tensors under the prefixes `new`; return the names taken.

    Raises
    ------
    PackageError : a tensor that should be taken is missing from `start`, unknown to the network, or of another
    shape. All are named.
    """
    prefixes = tuple(new)
    own = {n: t for n, t in network.state_dict(keep_vars=True).items() if not under(n, prefixes)}
    given = {n: t for n, t in start.items() if not under(n, prefixes)}
    findings = [f"'{n}' is missing" for n in own if n not in given]
    findings += [f"'{n}' is unknown to the network" for n in given if n not in own]
    findings += [
        f"'{n}' has shape {tuple(given[n].shape)}, the network {tuple(own[n].shape)}"
        for n in own
        if n in given and given[n].shape != own[n].shape
    ]
    if findings:
        raise PackageError(
            f"The pre-trained start does not fit this network: {_some(findings)}",
            allowed=f"the same model and channels; only {one_of(prefixes)} may differ"
            if prefixes
            else "the same model",
            remedy="Pre-train with the same model, size and signals, or remove inputs.start",
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])
    return sorted(own)


def under(name: str, prefixes: Iterable[str]) -> bool:
    """Return whether a parameter's dotted name lies at or below one of the prefixes."""
    return any(name == p or name.startswith(f"{p.rstrip('.')}.") for p in prefixes)


def _some(findings: list[str], most: int = 4) -> str:
    more = f" and {len(findings) - most} more" if len(findings) > most else ""
    return "; ".join(findings[:most]) + more
