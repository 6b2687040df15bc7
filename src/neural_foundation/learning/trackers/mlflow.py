"""MLflow: a file, or a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from ...core.specs import off_key
from .base import Tracker

SCHEMES = ("http", "https", "sqlite", "file", "postgresql", "mysql")
# else MLflow tells the server the account's name and the path of the command
WHO = {"mlflow.user": "", "mlflow.source.name": "neural-foundation", "mlflow.source.type": "LOCAL"}


class MLflow(Tracker):
    """Runs of an experiment, in SQLite beside what is fitted or on a server. Who may write there says the environment
    (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`, `MLFLOW_TRACKING_TOKEN`), never a recipe. Losses are
    written, and the settings of the fit; no recordings, no account's name.
    """

    kind: Literal["mlflow"] = "mlflow"
    uri: str | None = off_key(None, description="of a server or database, without user or password; None: SQLite")
    experiment: str | None = off_key(None, min_length=1, description="None: the model's kind")
    library: ClassVar[str] = "mlflow"

    @field_validator("uri")
    @classmethod
    def _no_secret(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        parts = urlsplit(uri)
        if parts.username or parts.password or parts.query:
            given = "it holds a user, a password or a query; give them by the environment (MLFLOW_TRACKING_...)"
            raise PydanticCustomError("secret", given)
        if parts.scheme.partition("+")[0] not in SCHEMES:
            raise ValueError(f"it begins with none of {', '.join(f'{s}://' for s in SCHEMES)}")
        return uri

    def logger(self, folder: Path, name: str, model: str) -> Any:
        from lightning.pytorch.loggers import MLFlowLogger

        uri = self.uri
        if uri is None:
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        return MLFlowLogger(experiment_name=self.experiment or model, run_name=name, tracking_uri=uri, tags=dict(WHO))
