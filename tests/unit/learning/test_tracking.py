"""Trackers write where they are told, when asked, and their logs hold the losses."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from learning_fakes import SIGNAL, SUBJECTS, TARGET, SmallModel, windows

from neural_foundation.core.errors import SpecError
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS


def learner(**fields: object) -> object:
    return LEARNERS.parse({"kind": "gradient", "objective": "classify", "max_steps": 3, "batch_size": 8, **fields})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # deprecations inside the library are not ours
def test_mlflow_writes_into_the_run_s_folder(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra 'tracking'")
    asked = {"signal": SIGNAL, "target": TARGET, "subjects": SUBJECTS, "folder": tmp_path, "seed": 1}
    fit(SmallModel(), learner(tracking=["mlflow"]), windows(), None, **asked)
    (path,) = tmp_path.rglob("mlflow.db")
    connection = sqlite3.connect(path)
    keys = {row[0] for row in connection.execute("select distinct key from metrics")}
    connection.close()
    assert any("loss" in key for key in keys)


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(SpecError, match="field 'tracking.0'.*'tensorboard' or 'mlflow'.*'wandb'"):
        learner(tracking=["wandb"])
