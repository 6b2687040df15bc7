"""Trackers write where they are told, when asked, and their logs hold the losses; what they write is no result."""

from __future__ import annotations

import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from learning_fakes import SIGNAL, SUBJECTS, TARGET, SmallModel, windows

from neural_foundation.core.errors import MissingExtraError, SpecError
from neural_foundation.core.lineage import LOGS
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS, TRACKERS
from neural_foundation.learning.trackers.base import Tracker, logged, tracked

ASKED: dict[str, Any] = {"signal": SIGNAL, "target": TARGET, "subjects": SUBJECTS, "seed": 1}


def learner(**fields: object) -> Any:
    return LEARNERS.parse({"kind": "gradient", "objective": "classify", "max_steps": 3, "batch_size": 8, **fields})


def fitted(folder: Path, *tracking: object) -> Any:
    return fit(SmallModel(), learner(tracking=list(tracking)), windows(), None, folder=folder, **ASKED)


def test_every_kind_is_tried_here() -> None:
    assert set(TRACKERS) == {"tensorboard", "mlflow", "wandb"}


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra 'tracking'")
    fitted(tmp_path, "tensorboard")
    assert list((tmp_path / LOGS / "tensorboard").glob("events*"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_writes_beside_what_is_fitted(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra 'tracking'")
    fitted(tmp_path, {"kind": "mlflow", "experiment": "ward 7"})
    (path,) = tmp_path.rglob("mlflow.db")
    connection = sqlite3.connect(path)
    keys = {row[0] for row in connection.execute("select distinct key from metrics")}
    named = {row[0] for row in connection.execute("select name from experiments")}
    tags = dict(connection.execute("select key, value from tags"))
    connection.close()
    assert any("loss" in key for key in keys)
    assert "ward 7" in named
    assert tags["mlflow.runName"] == f"{tmp_path.parent.name}/{tmp_path.name}"
    assert not tags["mlflow.user"], "whose account it is does not leave the machine"
    assert str(Path.home()) not in "".join(tags.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_writes_where_its_setting_says(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra 'tracking'")
    fitted(tmp_path / "fit", {"kind": "mlflow", "uri": f"sqlite:///{tmp_path / 'shared.db'}"})
    assert (tmp_path / "shared.db").is_file()
    assert not logged(tmp_path / "fit")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_offline_needs_no_account_and_each_fit_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the extra 'tracking'")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    for name in ("one", "two"):
        fitted(tmp_path / name, "wandb")
        assert wandb.run is None, "the run has ended with the fit"
        assert len(list((tmp_path / name / LOGS / "wandb").glob("offline-run-*/*.wandb"))) == 1
    assert all(name.startswith(LOGS) for name in logged(tmp_path / "one"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_same_weights_with_and_without(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs the extra 'tracking'")
    plain, told = (dict(fitted(tmp_path / n, *t).model.named_parameters()) for n, t in (("a", ()), ("b", ("wandb",))))
    assert plain.keys() == told.keys()
    assert all(bool((plain[n] == told[n]).all()) for n in plain)


def test_null_is_none() -> None:
    assert learner(tracking=None).tracking == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("neptune", "'neptune'.*'mlflow', 'tensorboard' or 'wandb'"),
        ({"kind": "mlflow", "uri": "tracking.example"}, "field 'uri': it begins with none of http://.*'tracking.exam"),
        ({"kind": "wandb", "mode": "later"}, "field 'mode'.*'offline' or 'online'.*'later'"),
    ],
)
def test_what_is_refused(given: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        learner(tracking=[given])


@pytest.mark.parametrize(
    "uri",
    ["https://me:hush@tracking.example", "https://tracking.example/?token=hush", "postgresql://db/x?password=hush"],
)
def test_a_secret_in_a_recipe_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(SpecError, match="field 'uri': it holds a user, a password or a query; .*environment") as caught:
        learner(tracking=[{"kind": "mlflow", "uri": uri}])
    assert "hush" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_without_a_key_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the extra 'tracking'")
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SpecError, match="Weights & Biases begins no run.*wandb login.*mode: offline"):
        fitted(tmp_path / "fit", {"kind": "wandb", "mode": "online"})
    assert wandb.run is None


@pytest.mark.parametrize("kind", list(TRACKERS))
def test_a_missing_library_names_its_extra(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker: Any = TRACKERS.parse(kind)
    monkeypatch.setitem(sys.modules, tracker.library, None)
    said = re.escape(f"'{tracker.library}' is not installed. Run: pip install ") + ".*tracking"
    with pytest.raises(MissingExtraError, match=said):
        fitted(tmp_path, kind)


def test_all_are_let_go_of_when_a_fit_breaks_off(tmp_path: Path) -> None:
    ended: list[tuple[str, bool]] = []

    class Heard(Tracker):
        library = "sys"

        def logger(self, folder: Path, name: str, model: str) -> Any:
            assert folder == tmp_path / "net" / "fold-0.partial" / LOGS
            assert (name, model) == ("net/fold-0", "x")
            if self.kind == "broken":
                raise OSError("no room")
            return self.kind

        def end(self, *, whole: bool) -> None:
            ended.append((self.kind, whole))

    folder = tmp_path / "net" / "fold-0.partial"
    with pytest.raises(OSError, match="no room"), tracked([Heard(kind="a"), Heard(kind="broken")], folder, "x"):
        pytest.fail("it never begins")
    assert ended == [("broken", False), ("a", False)]
    with tracked([Heard(kind="b")], folder, "x") as loggers:
        assert loggers == ["b"]
    assert ended[-1] == ("b", True)
