"""Where to compute: a word of the user's, made certain."""

from __future__ import annotations

import re

from .errors import SpecError


def check_name(device: str) -> None:
    """Raise SpecError unless `device` is the name of one, there or not."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise SpecError(f"Device '{device}' is not known", allowed="'auto', 'cpu', 'cuda' or 'cuda:n'")


def resolve(device: str) -> str:
    """Return cpu or cuda:n for auto, cpu, cuda or cuda:n; SpecError where it is not a device or not there."""
    check_name(device)
    if device == "cpu":
        return device
    import torch

    count = torch.cuda.device_count()
    if device == "auto":
        return "cuda:0" if count else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        raise SpecError(
            f"Device '{device}' is not there",
            allowed=f"cpu, or one of {count} CUDA devices",
            remedy="Give --device auto",
        )
    return f"cuda:{index}"
