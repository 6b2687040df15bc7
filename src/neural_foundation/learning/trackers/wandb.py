"""Weights & Biases: on this machine alone, or online."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from ...core.specs import off_key
from .base import Tracker


class WeightsAndBiases(Tracker):
    """A run of a project. Offline it lies beside what is fitted, until `wandb sync` sends it; online the key comes from
    `wandb login` or `WANDB_API_KEY`, never from a recipe. Losses are sent, recordings are not.
    """

    kind: Literal["wandb"] = "wandb"
    mode: Literal["offline", "online"] = off_key("offline")
    project: str = off_key("neural-foundation", min_length=1)
    entity: str | None = off_key(None, min_length=1, description="who the project is of; None: the account's default")
    library: ClassVar[str] = "wandb"

    def logger(self, folder: Path, name: str) -> Any:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        folder.mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, x_disable_meta=True)
        return WandbLogger(
            name=name,
            save_dir=folder,
            offline=self.mode == "offline",
            project=self.project,
            entity=self.entity,
            settings=quiet,
        )

    def end(self, logger: Any) -> None:
        logger.experiment.finish()  # or the next fit of this process would go on with this run
