"""MLflow: a file, or a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from ...core.specs import off_key
from .base import Tracker


class MLflow(Tracker):
    """Runs of an experiment, in SQLite beside what is fitted or on a server. Who may write there says the environment
    (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`, `MLFLOW_TRACKING_TOKEN`), never a recipe.
    """

    kind: Literal["mlflow"] = "mlflow"
    uri: str | None = off_key(
        None, pattern=r"^(https?|file|sqlite|postgresql|mysql)\S*://[^@\s]+$", description="None: SQLite, in `logs`"
    )
    experiment: str | None = off_key(None, min_length=1, description="None: the model's kind")
    library: ClassVar[str] = "mlflow"

    def logger(self, folder: Path, name: str) -> Any:
        from lightning.pytorch.loggers import MLFlowLogger

        uri = self.uri
        if uri is None:
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        return MLFlowLogger(experiment_name=self.experiment or name, tracking_uri=uri)
