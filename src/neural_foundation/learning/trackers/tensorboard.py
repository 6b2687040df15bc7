"""TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from .base import Tracker


class TensorBoard(Tracker):
    """Event files beside what is fitted: `tensorboard --logdir runs/RECIPE`."""

    kind: Literal["tensorboard"] = "tensorboard"
    library: ClassVar[str] = "tensorboard"

    def logger(self, folder: Path, name: str, model: str) -> Any:
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(save_dir=folder / "tensorboard", name="", version="")
