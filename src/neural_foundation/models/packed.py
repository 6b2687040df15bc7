"""What packages share on disk: facts as JSON, learned arrays without code, a card for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ..core.errors import NeuralFoundationError, PackageError
from ..core.kinds import spec_error
from ..core.specs import Spec
from ..core.store import atomic, read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .base import ModelSpec

FORMAT_VERSION = 1
FACTS, WEIGHTS, CARD = "package.json", "model.safetensors", "card.md"

AnyFacts = TypeVar("AnyFacts", bound=Spec)


def read_facts(folder: Path, facts: type[AnyFacts], *, stage: str, foreign: Mapping[str, tuple[str, str]]) -> AnyFacts:
    """Return what `package.json` holds; PackageError says what is missing or wrong with it.

    stage : what writes such packages. foreign : a field that only another sort of package has, what that is and what
    to do with it.
    """
    path = folder / FACTS
    if not path.is_file():
        given = f"{folder} is no package: it has no {FACTS}"
        raise PackageError(given, remedy=f"Give the folder that a {stage} stage wrote")
    value = read_json(path)
    for field, (what, remedy) in foreign.items():
        if isinstance(value, dict) and field in value:
            raise PackageError(f"{folder} is a package of {what}", remedy=remedy)
    version = value.get("format_version") if isinstance(value, dict) else None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        given = f"{path} has format_version {version!r}"
        raise PackageError(given, allowed=f"1 to {FORMAT_VERSION}", remedy="Use a newer neural-foundation")
    try:
        return facts.model_validate(value)
    except ValidationError as error:
        raise PackageError(str(spec_error(str(path), error, facts))) from None
    except NeuralFoundationError as error:
        raise PackageError(f"{path}: {error}") from None


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the learned arrays by name."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        loaded: dict[str, NDArray[Any]] = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        given = f"{folder / WEIGHTS} cannot be read ({error})"
        raise PackageError(given, remedy="Take the package from its source again") from None
    return loaded


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> int:
    """Write the learned arrays; return how many numbers they hold."""
    from safetensors.numpy import save_file

    whole = {n: np.asarray(a, order="C") for n, a in sorted(arrays.items())}  # a single number stays one
    with atomic(folder / WEIGHTS) as temporary:
        save_file(whole, temporary)
    return sum(a.size for a in whole.values())


def tensors(weights: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return a torch state dict as numpy arrays."""
    return {n: t.detach().cpu().numpy() for n, t in weights.items()}


def learned(model: ModelSpec, fitted: Any) -> dict[str, NDArray[Any]]:
    """Return what a fitted network or estimator has learned, as arrays."""
    if model.family == "estimator":
        return dict(fitted.state())
    return tensors(fitted.state_dict())


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return arrays as a torch state dict of their own memory."""
    import torch

    return {n: torch.from_numpy(np.array(a)) for n, a in arrays.items()}


def load_weights(network: nn.Module, folder: Path) -> None:
    """Put the package's arrays into a network; PackageError where they do not fit."""
    try:
        network.load_state_dict(as_tensors(read_arrays(folder)))
    except RuntimeError as error:
        why = " ".join(str(error).split())[:300]
        raise PackageError(f"The weights in {folder} do not fit the model that {FACTS} names ({why})") from None
