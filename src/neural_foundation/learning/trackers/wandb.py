"""Weights & Biases: on this machine alone, or online."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from ...core.errors import SpecError
from ...core.specs import off_key
from .base import Tracker

SETTINGS: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    # the machine, its load and what is installed are nobody's business
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}


class WeightsAndBiases(Tracker):
    """A run of a project. Offline it lies beside what is fitted, until `wandb sync` sends it; online the key comes from
    `wandb login` or `WANDB_API_KEY`, never from a recipe. Losses are sent, and the settings of the fit.
    """

    kind: Literal["wandb"] = "wandb"
    mode: Literal["offline", "online"] = off_key("offline")
    project: str = off_key("neural-foundation", min_length=1)
    entity: str | None = off_key(None, min_length=1, description="who the project is of; None: the account's default")
    library: ClassVar[str] = "wandb"

    def logger(self, folder: Path, name: str, model: str) -> Any:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        folder.mkdir(parents=True, exist_ok=True)
        try:
            run = wandb.init(
                name=name,
                dir=folder,
                mode=self.mode,
                project=self.project,
                entity=self.entity,
                group=model,
                settings=wandb.Settings(**SETTINGS),
            )
        except wandb.Error as error:
            raise SpecError(
                f"Weights & Biases begins no run: {type(error).__name__}",
                allowed="a key by `wandb login` or WANDB_API_KEY, and a project that it may write to",
                remedy="Log in, or set `mode: offline`",
            ) from None
        return WandbLogger(experiment=run)

    def end(self, *, whole: bool) -> None:
        import wandb

        if wandb.run is not None:  # or the next fit of this process would go on with it
            wandb.run.finish(exit_code=0 if whole else 1)
