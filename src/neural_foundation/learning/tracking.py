"""TensorBoard and MLflow, when asked for and installed; logs never enter a result."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtraError


def trackers(kinds: Sequence[str], folder: Path, name: str) -> list[Any]:
    """Return Lightning loggers writing under `folder`; MissingExtraError where a library is absent."""
    return [_MAKERS[kind](folder, name) for kind in kinds]


def _tensorboard(folder: Path, name: str) -> Any:
    _require("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(save_dir=folder / "tensorboard", name="", version="")


def _mlflow(folder: Path, name: str) -> Any:
    _require("mlflow")
    from lightning.pytorch.loggers import MLFlowLogger

    folder.mkdir(parents=True, exist_ok=True)
    return MLFlowLogger(experiment_name=name, tracking_uri=f"sqlite:///{folder.resolve() / 'mlflow.db'}")


def _require(library: str) -> None:
    from importlib import import_module

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, about their own dependencies
            import_module(library)
    except ImportError:
        raise MissingExtraError(library, "tracking") from None


_MAKERS = {"tensorboard": _tensorboard, "mlflow": _mlflow}
